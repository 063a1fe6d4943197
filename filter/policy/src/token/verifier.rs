//! A public key bound to the one algorithm it serves, and the check of a signature with it.

use jwt_compact::AlgorithmSignature as _;
use jwt_compact::alg::{Ed25519, Es256, Rsa};
use jwt_compact::jwk::JsonWebKey;
use p256::pkcs8::EncodePublicKey as _;

use super::alg::Algorithm;
use super::es384::{self, Es384};
use super::native::{self, Native, Question, Verdict};

type Key<A> = <A as jwt_compact::Algorithm>::VerifyingKey;

/// A public key that can be used with one algorithm only.
#[derive(Clone, Debug)]
pub struct Verifier {
    algorithm: Algorithm,
    key: Inner,
    /// DER SubjectPublicKeyInfo, for the host; empty where the host cannot check the algorithm.
    der: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Inner {
    Es256(Box<Key<Es256>>),
    Es384(Box<Key<Es384>>),
    EdDsa(Key<Ed25519>),
    Rsa(Box<Key<Rsa>>, Rsa),
}

impl Verifier {
    /// Binds the key to `algorithm`; `None` when its type, curve or strength does not fit.
    pub fn new(algorithm: Algorithm, jwk: &JsonWebKey<'_>) -> Option<Self> {
        let key = match algorithm {
            Algorithm::Es256 => Inner::Es256(Box::new(Key::<Es256>::try_from(jwk).ok()?)),
            Algorithm::Es384 => Inner::Es384(Box::new(es384::key(jwk)?)),
            Algorithm::EdDsa => Inner::EdDsa(Key::<Ed25519>::try_from(jwk).ok()?),
            Algorithm::Ps256 => Inner::rsa(jwk, Rsa::ps256())?,
            Algorithm::Ps384 => Inner::rsa(jwk, Rsa::ps384())?,
            Algorithm::Ps512 => Inner::rsa(jwk, Rsa::ps512())?,
            Algorithm::Rs256 => Inner::rsa(jwk, Rsa::rs256())?,
            Algorithm::Rs384 => Inner::rsa(jwk, Rsa::rs384())?,
            Algorithm::Rs512 => Inner::rsa(jwk, Rsa::rs512())?,
        };
        let der = algorithm.native().and_then(|_| key.der()).unwrap_or_default();
        Some(Self { algorithm, key, der })
    }

    /// The algorithm this key serves.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether `signature` is this key's over `message`: the host's word where it has one, else our own.
    pub fn accepts(&self, signature: &[u8], message: &[u8], native: Native) -> bool {
        match self.ask(signature, message, native) {
            Some(verdict) => verdict == Verdict::Holds,
            None => self.key.accepts(signature, message),
        }
    }

    fn ask(&self, signature: &[u8], message: &[u8], native: Native) -> Option<Verdict> {
        let hash = self.algorithm.native().filter(|_| !self.der.is_empty())?;
        let size = match self.key {
            Inner::Es256(_) => 32,
            Inner::Es384(_) => 48,
            Inner::EdDsa(_) | Inner::Rsa(..) => return native(&Question { hash, key: &self.der, signature, message }),
        };
        match native::der(signature, size) {
            Some(signature) => native(&Question { hash, key: &self.der, signature: &signature, message }),
            None => Some(Verdict::Fails),
        }
    }
}

impl Inner {
    fn rsa(jwk: &JsonWebKey<'_>, alg: Rsa) -> Option<Self> {
        let key = strong(jwk).then(|| Key::<Rsa>::try_from(jwk).ok())??;
        Some(Self::Rsa(Box::new(key), alg))
    }

    fn der(&self) -> Option<Vec<u8>> {
        let document = match self {
            Self::Es256(key) => key.to_public_key_der(),
            Self::Es384(key) => key.to_public_key_der(),
            Self::Rsa(key, _) => key.to_public_key_der(),
            Self::EdDsa(_) => return None,
        };
        document.ok().map(|document| document.as_bytes().to_vec())
    }

    fn accepts(&self, signature: &[u8], message: &[u8]) -> bool {
        match self {
            Self::Es256(key) => holds(&Es256, key, signature, message),
            Self::Es384(key) => holds(&Es384, key, signature, message),
            Self::EdDsa(key) => holds(&Ed25519, key, signature, message),
            Self::Rsa(key, alg) => holds(alg, key, signature, message),
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
    // No library of ours takes more than 33 bits.
    let sound = exponent.is_some_and(|e| (65_537..1 << 33).contains(&e) && e % 2 == 1);
    let lead = modulus.first().is_some_and(|byte| *byte >= 0x80);
    let odd = modulus.last().is_some_and(|byte| byte % 2 == 1);
    let bits = modulus.len().saturating_mul(8);
    sound && lead && odd && (2048..=4096).contains(&bits)
}

fn big_endian(bytes: &[u8]) -> Option<u64> {
    let digit = |sum: u64, byte: &u8| sum.checked_mul(256)?.checked_add(u64::from(*byte));
    bytes.iter().try_fold(0, digit)
}
