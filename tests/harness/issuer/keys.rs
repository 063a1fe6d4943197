//! The test issuer's keys, made once per process.

use super::Alg;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use std::sync::OnceLock;

/// One key pair per kind.
#[derive(Debug)]
pub(super) struct Keys {
    rsa: RsaKeyPair,
    p256: EcdsaKeyPair,
    p384: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

/// The issuer's keys.
pub(super) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(Keys::generate)
}

/// An attacker's keys.
pub(super) fn foreign() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(Keys::generate)
}

/// The keys of a client that proves what it holds.
pub(super) fn held() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(Keys::generate)
}

impl Keys {
    pub(super) fn rsa_der(&self) -> Vec<u8> {
        self.rsa.public_key().as_der().unwrap().as_ref().to_vec()
    }

    fn generate() -> Self {
        Self {
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
            p256: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            p384: EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(),
            ed: Ed25519KeyPair::generate().unwrap(),
        }
    }

    pub(super) fn sign(&self, alg: Alg, message: &[u8]) -> Vec<u8> {
        let rsa = |padding: &'static dyn RsaEncoding| {
            let mut bytes = vec![0; self.rsa.public_modulus_len()];
            self.rsa.sign(padding, &SystemRandom::new(), message, &mut bytes).unwrap();
            bytes
        };
        match alg {
            Alg::EdDsa => self.ed.sign(message).as_ref().to_vec(),
            Alg::Es256 => self.p256.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Alg::Es384 => self.p384.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Alg::Ps256 => rsa(&signature::RSA_PSS_SHA256),
            Alg::Ps384 => rsa(&signature::RSA_PSS_SHA384),
            Alg::Ps512 => rsa(&signature::RSA_PSS_SHA512),
            Alg::Rs256 => rsa(&signature::RSA_PKCS1_SHA256),
            Alg::Rs384 => rsa(&signature::RSA_PKCS1_SHA384),
            Alg::Rs512 => rsa(&signature::RSA_PKCS1_SHA512),
        }
    }

    pub(super) fn jwk(&self, alg: Alg) -> Map<String, Value> {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        // Uncompressed point: 0x04, x, y.
        let point = |curve: &str, point: &[u8]| {
            let (x, y) = point[1..].split_at(point.len() / 2);
            json!({ "kty": "EC", "crv": curve, "x": text(x), "y": text(y) })
        };
        let jwk = match alg {
            Alg::EdDsa => json!({ "kty": "OKP", "crv": "Ed25519", "x": text(self.ed.public_key().as_ref()) }),
            Alg::Es256 => point("P-256", self.p256.public_key().as_ref()),
            Alg::Es384 => point("P-384", self.p384.public_key().as_ref()),
            Alg::Ps256 | Alg::Ps384 | Alg::Ps512 | Alg::Rs256 | Alg::Rs384 | Alg::Rs512 => {
                let key = self.rsa.public_key();
                let (n, e) = (key.modulus(), key.exponent());
                json!({ "kty": "RSA", "n": text(n.big_endian_without_leading_zero()), "e": text(e.big_endian_without_leading_zero()) })
            }
        };
        let Value::Object(jwk) = jwk else { unreachable!() };
        jwk
    }
}
