//! Whether a token's sender is who it was issued to.
//!
//! ```text
//! Verified ──judge──▶ Judged::Bound ─────────────────────────▶ Bound
//!                └──▶ Judged::Once(fresh proof) ──claimed──────▶ Bound
//! ```
//!
//! [`decide`](crate::decide::decide) takes a [`Bound`] and nothing less, so no request gets past this.

use std::time::Duration;

use subtle::ConstantTimeEq as _;

use crate::denial::Reason;
use crate::headers::Sole;
use crate::nonce::Nonce;
use crate::pattern::Pattern;
use crate::policy::{Policy, Sender, Server};
use crate::replay::{Claim, Fresh};
use crate::time::Time;
use crate::token::confirmation::Confirmation;
use crate::token::dpop::{self, Expected};
use crate::token::native::Native;
use crate::token::{Refusal, Verified};

/// A token in the hands of the one it was issued to, as far as the token and the server ask for that.
#[derive(Clone, Debug)]
pub struct Bound(Verified);

impl Bound {
    /// The token.
    pub fn verified(&self) -> &Verified {
        &self.0
    }

    /// A token whose sender another party has judged that is authenticated itself: the proxy, for the broker.
    pub fn vouched(verified: Verified) -> Self {
        Self(verified)
    }
}

/// How a token was presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// [RFC 6750 §2.1](https://www.rfc-editor.org/rfc/rfc6750#section-2.1)
    Bearer,
    /// [RFC 9449 §7.1](https://www.rfc-editor.org/rfc/rfc9449#section-7.1)
    Dpop,
}

/// The other end of the connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// SHA-256 of the DER of its certificate.
    pub certificate: Option<[u8; 32]>,
    /// The first URI among its certificate's alternative names.
    pub identity: Option<String>,
    /// Its address.
    pub source: Option<String>,
}

impl Peer {
    /// Reads what the proxy says: the digest in hex, the URI as it is. What cannot be read is not there.
    pub fn read(digest: Option<String>, identity: Option<String>) -> Self {
        let certificate = digest.and_then(|digest| unhex(&digest));
        Self { certificate, identity: identity.filter(|identity| !identity.is_empty()), source: None }
    }

    /// The same at this address.
    pub fn at(self, source: Option<String>) -> Self {
        Self { source, ..self }
    }
}

/// [RFC 8705 §3.1](https://www.rfc-editor.org/rfc/rfc8705#section-3.1) has the same digest in base64url.
fn unhex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> = pairs.iter().map(|[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect();
    bytes.filter(|_| rest.is_empty())?.try_into().ok()
}

/// What a request shows of its sender.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// How the token came.
    pub scheme: Scheme,
    /// The `DPoP` header.
    pub proof: Sole<'a>,
    /// The request's method.
    pub method: &'a str,
    /// Its public URL, without query.
    pub url: &'a str,
    /// The other end of the connection.
    pub peer: &'a Peer,
}

/// A sender judged.
#[derive(Clone, Debug)]
pub enum Judged {
    /// In order.
    Bound(Bound),
    /// In order if the proof was not seen before.
    Once(Fresh, Pending),
}

/// A sender whose proof has to be seen for the first time.
#[derive(Clone, Debug)]
pub struct Pending(Verified);

impl Pending {
    /// Goes on with what the memory of proofs says.
    pub fn claimed(self, claim: Claim) -> Result<Bound, Refusal> {
        match claim {
            Claim::First => Ok(Bound(self.0)),
            Claim::Again => Err(Refusal::new(Reason::SenderProofInvalid, "the proof was used before")),
            Claim::Unknown => Err(Refusal::new(Reason::HostFailed, "the proof cannot be remembered")),
        }
    }
}

/// Whether the connection's other end has to be known to judge the sender.
pub fn needs_peer(verified: &Verified, server: &Server, policy: &Policy) -> bool {
    let bound = verified.claims().confirmation.as_ref().is_some_and(|bound| bound.certificate.is_some());
    bound || server.asks || workloads(verified, server, policy).next().is_some()
}

/// Judges who sends the token of `verified`.
pub fn judge(
    verified: Verified,
    (server, policy): (&Server, &Policy),
    shown: &Shown<'_>,
    (nonce, native): (&Nonce, Native),
    now: Time,
) -> Result<Judged, Refusal> {
    if !workloads(&verified, server, policy).all(|list| of(list, shown.peer)) {
        return unbound("the peer is none of the `workloads`");
    }
    let bound = verified.claims().confirmation.clone();
    let key = bound.as_ref().and_then(|bound| bound.key);
    demanded(server.sender, bound.as_ref())?;
    if let Some(certificate) = bound.and_then(|bound| bound.certificate) {
        holds(&certificate, shown.peer)?;
    }
    let Some(key) = key else {
        // [RFC 9449 §7.1](https://www.rfc-editor.org/rfc/rfc9449#section-7.1): only bound tokens go with this scheme.
        return match shown.scheme {
            Scheme::Bearer => Ok(Judged::Bound(Bound(verified))),
            Scheme::Dpop => unbound("a token that is not bound to a key was sent with the scheme `DPoP`"),
        };
    };
    // [RFC 9449 §7.2](https://www.rfc-editor.org/rfc/rfc9449#section-7.2): as a bearer token it would be anyone's.
    if shown.scheme != Scheme::Dpop {
        return unbound("a token bound to a key was sent as a bearer token");
    }
    let proof = match shown.proof {
        Sole::One(proof) => proof,
        Sole::Absent => return Err(Refusal::new(Reason::SenderProofInvalid, "there is no `DPoP` header")),
        Sole::Broken => return Err(Refusal::new(Reason::SenderProofInvalid, "`DPoP` stands twice or is no text")),
    };
    let expected = Expected {
        method: shown.method,
        url: shown.url,
        token: verified.digest(),
        key: &key,
        demand: server.dpop,
        nonce,
    };
    let proof = dpop::check(proof, &expected, native, now)?;
    let whose = (verified.issuer(), verified.claims().agent.as_str());
    let fresh = Fresh::new(whose, &key, &proof.id, proof.made.plus(longest(policy)));
    Ok(Judged::Once(fresh, Pending(verified)))
}

/// How long a proof may be good on any server: one that some server takes for longer must not be forgotten because
/// another saw it first.
fn longest(policy: &Policy) -> Duration {
    policy.servers().map(|server| server.dpop.max_age).max().unwrap_or_default()
}

/// Whether the token is bound as the server asks for.
fn demanded(sender: Sender, bound: Option<&Confirmation>) -> Result<(), Refusal> {
    let key = bound.is_some_and(|bound| bound.key.is_some());
    let certificate = bound.is_some_and(|bound| bound.certificate.is_some());
    match sender {
        Sender::Bearer => Ok(()),
        Sender::Dpop if key => Ok(()),
        Sender::Mtls if certificate => Ok(()),
        Sender::Bound if key || certificate => Ok(()),
        Sender::Dpop => unbound("the server takes only tokens bound to a key, which this one is not"),
        Sender::Mtls => unbound("the server takes only tokens bound to a certificate, which this one is not"),
        Sender::Bound => unbound("the server takes only bound tokens, which this one is not"),
    }
}

/// [RFC 8705 §3](https://www.rfc-editor.org/rfc/rfc8705#section-3): the certificate of this very connection.
fn holds(certificate: &[u8; 32], peer: &Peer) -> Result<(), Refusal> {
    match peer.certificate {
        Some(shown) if bool::from(shown.ct_eq(certificate)) => Ok(()),
        Some(_) => unbound("the client's certificate is not the one the token is bound to"),
        None => unbound("the token is bound to a certificate, and the client has none"),
    }
}

/// The lists of workloads that apply: the issuer's and the server's.
fn workloads<'p>(
    verified: &Verified,
    server: &'p Server,
    policy: &'p Policy,
) -> impl Iterator<Item = &'p [Pattern]> + use<'p> {
    let issuer = policy.issuer(verified.authority()).map(|issuer| issuer.workloads.as_slice());
    [issuer, Some(server.workloads.as_slice())].into_iter().flatten().filter(|list| !list.is_empty())
}

fn of(list: &[Pattern], peer: &Peer) -> bool {
    peer.identity.as_ref().is_some_and(|identity| list.iter().any(|one| one.matches(identity)))
}

fn unbound<T>(note: &'static str) -> Result<T, Refusal> {
    Err(Refusal::new(Reason::SenderUnbound, note))
}

#[cfg(test)]
mod tests;
