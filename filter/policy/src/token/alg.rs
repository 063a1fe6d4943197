//! The signature algorithms we accept, and nothing else.
//!
//! [RFC 8725 §3.1](https://www.rfc-editor.org/rfc/rfc8725#section-3.1): the verifier names the algorithms;
//! the token only picks one of them.

use std::fmt;

use jwt_compact::AlgorithmSignature as _;
use jwt_compact::alg::{Ed25519, Es256, Rsa};
use jwt_compact::jwk::JsonWebKey;

/// A signature algorithm, asymmetric throughout: there is no value for `none` or HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519, under its old name `EdDSA` or the one of RFC 9864, `Ed25519`.
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
}

impl Algorithm {
    /// The names accepted in `alg`.
    pub const NAMES: &'static [&'static str] = &["ES256", "EdDSA", "Ed25519", "RS256"];

    /// The algorithm of that exact name.
    ///
    /// [RFC 7515 §4.1.1](https://www.rfc-editor.org/rfc/rfc7515#section-4.1.1): a case-sensitive string.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "ES256" => Self::Es256,
            "EdDSA" | "Ed25519" => Self::EdDsa,
            "RS256" => Self::Rs256,
            _ => return None,
        })
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        })
    }
}

type Key<A> = <A as jwt_compact::Algorithm>::VerifyingKey;

/// A public key that can be used with one algorithm only.
#[derive(Clone, Debug)]
pub struct Verifier(Inner);

#[derive(Clone, Debug)]
enum Inner {
    Es256(Box<Key<Es256>>),
    EdDsa(Key<Ed25519>),
    Rs256(Box<Key<Rsa>>),
}

impl Verifier {
    /// Binds the key to `algorithm`; `None` when its type, curve or strength does not fit.
    pub fn new(algorithm: Algorithm, jwk: &JsonWebKey<'_>) -> Option<Self> {
        let inner = match algorithm {
            Algorithm::Es256 => Inner::Es256(Box::new(Key::<Es256>::try_from(jwk).ok()?)),
            Algorithm::EdDsa => Inner::EdDsa(Key::<Ed25519>::try_from(jwk).ok()?),
            Algorithm::Rs256 if strong(jwk) => Inner::Rs256(Box::new(Key::<Rsa>::try_from(jwk).ok()?)),
            Algorithm::Rs256 => return None,
        };
        Some(Self(inner))
    }

    /// The algorithm this key serves.
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Inner::Es256(_) => Algorithm::Es256,
            Inner::EdDsa(_) => Algorithm::EdDsa,
            Inner::Rs256(_) => Algorithm::Rs256,
        }
    }

    /// Whether `signature` is this key's over `message`.
    pub fn accepts(&self, signature: &[u8], message: &[u8]) -> bool {
        match &self.0 {
            Inner::Es256(key) => holds(&Es256, key, signature, message),
            Inner::EdDsa(key) => holds(&Ed25519, key, signature, message),
            Inner::Rs256(key) => holds(&Rsa::rs256(), key, signature, message),
        }
    }
}

fn holds<A: jwt_compact::Algorithm>(alg: &A, key: &A::VerifyingKey, signature: &[u8], message: &[u8]) -> bool {
    // Reading a signature of another length panics in jwt-compact's Ed25519.
    let fits = A::Signature::LENGTH.is_none_or(|length| length.get() == signature.len());
    let read = |signature| A::Signature::try_from_slice(signature).ok();
    let signature = Some(signature).filter(|_| fits).and_then(read);
    signature.is_some_and(|signature| alg.verify_signature(&signature, key, message))
}

/// A modulus of 2048 to 4096 bits and an odd exponent of at least 65537.
///
/// [RFC 7518 §3.3](https://www.rfc-editor.org/rfc/rfc7518#section-3.3) sets the lower bound; the upper one
/// bounds the work an issuer's key can cause.
fn strong(jwk: &JsonWebKey<'_>) -> bool {
    let JsonWebKey::Rsa { modulus, public_exponent, .. } = jwk else {
        return false;
    };
    let exponent = big_endian(public_exponent);
    let sound = exponent.is_some_and(|e| e >= 65_537 && e % 2 == 1);
    let lead = modulus.first().is_some_and(|byte| *byte >= 0x80);
    let bits = modulus.len().saturating_mul(8);
    sound && lead && (2048..=4096).contains(&bits)
}

fn big_endian(bytes: &[u8]) -> Option<u64> {
    let digit = |sum: u64, byte: &u8| sum.checked_mul(256)?.checked_add(u64::from(*byte));
    bytes.iter().try_fold(0, digit)
}
