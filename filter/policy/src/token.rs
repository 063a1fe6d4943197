//! From the text of a token to [`Verified`]: the steps of
//! [RFC 7519 §7.2](https://www.rfc-editor.org/rfc/rfc7519#section-7.2) in their order.
//!
//! text → header → issuer and key → signature → claims → this server, now. A step sees nothing an earlier one has not let
//! through. The steps up to the claims are taken once for each token, the last one on every request.

pub mod alg;
pub mod assertion;
pub mod cache;
pub mod chain;
pub mod claims;
pub mod confirmation;
pub mod dpop;
mod es384;
pub mod jwk;
pub mod jws;
pub mod native;
pub mod prover;
mod statement;
pub mod status;
pub mod svid;
pub mod typ;
pub mod verifier;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

pub use alg::Algorithm;
pub use jwk::KeySet;
pub use prover::{Outcome, Prover};

use crate::denial::Reason;
use crate::json;
use crate::secret::Secret;
use claims::Claims;
use jws::Compact;

/// A token that was proved: by [`Prover::prove`], then it is good for one server now, or by [`Prover::recognise`].
#[derive(Clone, Debug)]
pub struct Verified(Arc<Proved>);

/// A token whose signature holds, whoever it is for.
#[derive(Debug)]
pub(crate) struct Proved {
    /// Its `iss`, or its trust domain.
    pub(crate) issuer: String,
    /// The issuer's name in the policy.
    pub(crate) name: String,
    pub(crate) claims: Claims,
    /// The `kid` of the key it was proved with.
    pub(crate) key: Option<String>,
    /// SHA-256 of the token.
    pub(crate) digest: [u8; 32],
    /// Which key set of the issuer it was proved with.
    pub(crate) edition: u64,
}

impl Verified {
    #[cfg(test)]
    pub(crate) fn of(proved: Arc<Proved>) -> Self {
        Self(proved)
    }

    /// The issuer, as in `iss`.
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// What the token says.
    pub fn claims(&self) -> &Claims {
        &self.0.claims
    }

    /// All that the token says; `None` for another token than the one that was proved.
    pub fn told(&self, token: &Secret) -> Option<Value> {
        said(token).filter(|_| digest(token) == *self.digest())
    }

    /// The token's SHA-256: in hex how records name it, in base64url how proofs do.
    pub fn digest(&self) -> &[u8; 32] {
        &self.0.digest
    }

    /// The `kid` of the key that signed it, where it names one.
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// The issuer's name in the policy.
    pub(crate) fn authority(&self) -> &str {
        &self.0.name
    }
}

/// Why a token proves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The row of the denial table.
    pub reason: Reason,
    /// For the operator; holds nothing of the token.
    pub note: &'static str,
}

impl Refusal {
    /// A refusal for `reason`, explained by `note`.
    pub fn new(reason: Reason, note: &'static str) -> Self {
        Self { reason, note }
    }
}

/// A token's SHA-256.
pub fn digest(token: &Secret) -> [u8; 32] {
    Sha256::digest(token.reveal()).into()
}

/// The claims of a token that was proved, all of them.
pub(crate) fn said(token: &Secret) -> Option<Value> {
    let compact = Compact::parse(token.reveal()).ok()?;
    json::value(json::text(&compact.payload).ok()?).ok()
}

/// Strict base64url: no padding, no white space, no stray bits.
///
/// [RFC 7515 §2](https://www.rfc-editor.org/rfc/rfc7515#section-2)
pub(crate) fn base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Base64url without padding.
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(if nibble < 10 { b'0' | nibble } else { (b'a' - 10).wrapping_add(nibble) });
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}

#[cfg(test)]
mod tests;
