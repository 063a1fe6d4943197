//! ES384 for jwt-compact, which has no P-384 of its own.
//!
//! [RFC 7518 §3.4](https://www.rfc-editor.org/rfc/rfc7518#section-3.4): both numbers of a signature have 48 bytes.

use std::borrow::Cow;
use std::num::NonZeroUsize;

use jwt_compact::jwk::JsonWebKey;
use jwt_compact::{Algorithm, AlgorithmSignature};
use p384::ecdsa::signature::{Signer as _, Verifier as _};
use p384::ecdsa::{self, SigningKey, VerifyingKey};

/// Bytes of a coordinate, and of each number of a signature.
const SIZE: usize = 48;

/// ECDSA on P-384 with SHA-384.
#[derive(Debug)]
pub(super) struct Es384;

/// A signature in the fixed form of JOSE.
#[derive(Debug)]
pub(super) struct Signature(ecdsa::Signature);

impl AlgorithmSignature for Signature {
    const LENGTH: Option<NonZeroUsize> = NonZeroUsize::new(2 * SIZE);

    fn try_from_slice(bytes: &[u8]) -> anyhow::Result<Self> {
        Ok(Self(ecdsa::Signature::from_slice(bytes)?))
    }

    fn as_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.0.to_bytes().to_vec())
    }
}

impl Algorithm for Es384 {
    type SigningKey = SigningKey;
    type VerifyingKey = VerifyingKey;
    type Signature = Signature;

    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed("ES384")
    }

    fn sign(&self, key: &SigningKey, message: &[u8]) -> Signature {
        Signature(key.sign(message))
    }

    fn verify_signature(&self, signature: &Signature, key: &VerifyingKey, message: &[u8]) -> bool {
        key.verify(message, &signature.0).is_ok()
    }
}

/// The point a JSON Web Key names; `None` when it is none of the curve.
///
/// [RFC 7518 §6.2.1](https://www.rfc-editor.org/rfc/rfc7518#section-6.2.1): coordinates have their full length.
pub(super) fn key(jwk: &JsonWebKey<'_>) -> Option<VerifyingKey> {
    let JsonWebKey::EllipticCurve { curve, x, y, .. } = jwk else {
        return None;
    };
    let full = curve == "P-384" && x.len() == SIZE && y.len() == SIZE;
    // [SEC 1 §2.3.3](https://www.secg.org/sec1-v2.pdf): 4 marks a point with both coordinates.
    let point = [&[4], &**x, &**y].concat();
    full.then(|| VerifyingKey::from_sec1_bytes(&point).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (SigningKey, JsonWebKey<'static>) {
        let signing = SigningKey::from_slice(&[7; SIZE]).unwrap();
        let point = signing.verifying_key().to_encoded_point(false);
        let number = |bytes: Option<&p384::FieldBytes>| Cow::Owned(bytes.unwrap().to_vec());
        let (x, y) = (number(point.x()), number(point.y()));
        (signing, JsonWebKey::EllipticCurve { curve: "P-384".into(), x, y, secret: None })
    }

    #[test]
    fn a_signature_holds_for_its_message_and_key_only() {
        let (signing, jwk) = pair();
        let key = key(&jwk).unwrap();
        let signature = Es384.sign(&signing, b"message");
        assert!(Es384.verify_signature(&signature, &key, b"message"));
        assert!(!Es384.verify_signature(&signature, &key, b"other"));
        let copy = Signature::try_from_slice(&signature.as_bytes()).unwrap();
        assert!(Es384.verify_signature(&copy, &key, b"message"));
        assert!(Signature::try_from_slice(&[0; 2 * SIZE]).is_err());
    }

    #[test]
    fn a_point_off_the_curve_is_no_key() {
        let (_, jwk) = pair();
        let JsonWebKey::EllipticCurve { x, y, .. } = jwk else { panic!() };
        let with = |curve: &'static str, x: &[u8], y: &[u8]| JsonWebKey::EllipticCurve {
            curve: curve.into(),
            x: Cow::Owned(x.to_vec()),
            y: Cow::Owned(y.to_vec()),
            secret: None,
        };
        assert!(key(&with("P-384", &x, &y)).is_some());
        assert!(key(&with("P-384", &y, &x)).is_none());
        assert!(key(&with("P-256", &x, &y)).is_none());
        assert!(key(&with("P-384", &x[1..], &y)).is_none());
        assert!(key(&with("P-384", &[&[0], &*x].concat(), &y[1..])).is_none());
    }
}
