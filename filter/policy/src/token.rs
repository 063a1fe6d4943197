//! From the text of a token to [`Verified`]: the steps of
//! [RFC 7519 §7.2](https://www.rfc-editor.org/rfc/rfc7519#section-7.2) in their order.
//!
//! text → header → issuer and key → signature → claims. A step sees nothing an earlier one has not let through.

pub mod alg;
pub mod claims;
pub mod jwk;
pub mod jws;
pub mod typ;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

pub use alg::Algorithm;
pub use jwk::KeySet;

use crate::denial::Reason;
use crate::keys::{Keys, Lookup};
use crate::policy::{Issuer, Policy, Server};
use crate::secret::Secret;
use crate::time::Time;
use claims::Claims;
use jws::Untrusted;

/// A token that was proved for one server. Only [`verify`] makes one.
#[derive(Clone, Debug)]
pub struct Verified {
    issuer: String,
    claims: Claims,
    digest: String,
}

impl Verified {
    /// The issuer, as in `iss`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What the token says.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The token's SHA-256 in lower-case hex, for the record.
    pub fn digest(&self) -> &str {
        &self.digest
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

/// What became of a token.
#[derive(Debug)]
pub enum Outcome {
    /// It holds.
    Proved(Box<Verified>),
    /// It does not.
    Refused(Refusal),
    /// The keys of this issuer, by its name in the policy, have to be there first.
    Waits(String),
}

/// Proves `token` for `server` with the keys there are at `now`.
pub fn verify(token: &str, server: &Server, policy: &Policy, keys: &mut Keys, now: Time) -> Outcome {
    match judge(token, server, policy, keys, now) {
        Ok(outcome) => outcome,
        Err(refusal) => Outcome::Refused(refusal),
    }
}

fn judge(token: &str, server: &Server, policy: &Policy, keys: &mut Keys, now: Time) -> Result<Outcome, Refusal> {
    let untrusted = Untrusted::parse(token)?;
    let issuer = issuer(&untrusted, server, policy)?;
    let algorithm = untrusted.header.algorithm;
    if !issuer.algorithms.contains(&algorithm) {
        return Err(Refusal::new(Reason::TokenAlgorithm, "the issuer does not use this algorithm"));
    }
    issuer.typ.check(untrusted.header.typ.as_deref())?;
    let key = match keys.find(issuer, untrusted.header.key.as_deref(), algorithm, now) {
        Lookup::Found(key) => key,
        Lookup::Waits => return Ok(Outcome::Waits(issuer.name.clone())),
        Lookup::Unknown => return Err(Refusal::new(Reason::TokenKeyUnknown, "no key of the issuer fits")),
        Lookup::Unavailable => return Err(Refusal::new(Reason::KeysUnavailable, "the issuer's keys never loaded")),
    };
    if !key.verifier().accepts(&untrusted.signature, untrusted.signed.as_bytes()) {
        return Err(Refusal::new(Reason::TokenSignature, "the signature does not hold"));
    }
    let claims = Claims::parse(&untrusted.payload, issuer, server, now)?;
    let digest = digest(&Secret::new(token));
    Ok(Outcome::Proved(Box::new(Verified { issuer: issuer.identifier.clone(), claims, digest })))
}

/// The issuer a token claims, if this server accepts it.
fn issuer<'p>(token: &Untrusted<'_>, server: &Server, policy: &'p Policy) -> Result<&'p Issuer, Refusal> {
    let claimed = claims::issuer(&token.payload)?;
    let accepted = server.issuers.iter().filter_map(|name| policy.issuer(name));
    let mut matching = accepted.filter(|issuer| issuer.identifier == claimed);
    matching.next().ok_or(Refusal::new(Reason::TokenIssuer, "this server does not accept the issuer"))
}

/// A token's SHA-256 in lower-case hex: how records name it.
pub fn digest(token: &Secret) -> String {
    hex(&Sha256::digest(token.reveal()))
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
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests;
