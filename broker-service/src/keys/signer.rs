//! One ES256 key: how it is made, kept as PKCS#8, and signs.
//!
//! AWS-LC signs, many times faster than RustCrypto's `p256`; the latter makes keys and takes them apart.

use std::{error, fmt};

use accredit_policy::Secret;
use accredit_policy::token::encode;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jwt_compact::jwk::JsonWebKey;
use p256::SecretKey;
use p256::ecdsa::{SigningKey, VerifyingKey};
use p256::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::clock;

/// A private key, ready to sign.
pub struct Signer {
    id: String,
    jwk: Value,
    pair: EcdsaKeyPair,
}

/// A private key in PKCS#8, overwritten when dropped.
pub type Pkcs8 = Zeroizing<Vec<u8>>;

/// Why there is no key, or nothing signed; holds no secret.
#[derive(Debug)]
pub enum NotSigned {
    /// The bytes are no P-256 key in PKCS#8.
    Content,
    /// No key signs now, or it is not known which.
    NoKey,
    /// The system gives no randomness.
    Random(getrandom::Error),
    /// The claims are no JSON, or the library fails.
    Token,
}

impl fmt::Display for NotSigned {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Content => formatter.write_str("not a P-256 key in PKCS#8"),
            Self::NoKey => formatter.write_str("the signing keys were not read for too long"),
            Self::Random(error) => write!(formatter, "the system gives no randomness: {error}"),
            Self::Token => formatter.write_str("a token could not be signed"),
        }
    }
}

impl error::Error for NotSigned {}

/// A new private key.
pub fn fresh() -> Result<Pkcs8, NotSigned> {
    let key = loop {
        let scalar = Zeroizing::new(clock::random::<32>().map_err(NotSigned::Random)?);
        // One in 2^32 texts is no scalar of the curve.
        if let Ok(key) = SecretKey::from_slice(&*scalar) {
            break key;
        }
    };
    write(&key)
}

/// The private key of a PEM text.
pub fn pem(text: &Secret) -> Result<Pkcs8, NotSigned> {
    write(&SecretKey::from_pkcs8_pem(text.reveal()).map_err(|_| NotSigned::Content)?)
}

fn write(key: &SecretKey) -> Result<Pkcs8, NotSigned> {
    let document = key.to_pkcs8_der().map_err(|_| NotSigned::Content)?;
    Ok(Zeroizing::new(document.as_bytes().to_vec()))
}

impl Signer {
    /// Reads a private key.
    pub fn read(pkcs8: &[u8]) -> Result<Self, NotSigned> {
        let key = SecretKey::from_pkcs8_der(pkcs8).map_err(|_| NotSigned::Content)?;
        let public = *SigningKey::from(&key).verifying_key();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map_err(|_| NotSigned::Content)?;
        let id = thumbprint(&public);
        Ok(Self { jwk: publish(&public, &id), id, pair })
    }

    /// Its `kid`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The public key as it is published.
    pub fn jwk(&self) -> &Value {
        &self.jwk
    }

    /// Signs `claims` as a token of the media type `typ`.
    ///
    /// [RFC 7515 §5.1](https://www.rfc-editor.org/rfc/rfc7515#section-5.1), with the signature of
    /// [RFC 7518 §3.4](https://www.rfc-editor.org/rfc/rfc7518#section-3.4)
    pub fn sign<T: Serialize>(&self, typ: &str, claims: T) -> Result<Secret, NotSigned> {
        let header = json!({ "alg": "ES256", "kid": self.id, "typ": typ }).to_string();
        let claims = serde_json::to_vec(&claims).map_err(|_| NotSigned::Token)?;
        let mut token = format!("{}.{}", encode(header.as_bytes()), encode(&claims));
        let signature = self.pair.sign(&SystemRandom::new(), token.as_bytes()).map_err(|_| NotSigned::Token)?;
        token.push('.');
        token.push_str(&encode(signature.as_ref()));
        Ok(Secret::new(token))
    }
}

fn publish(key: &VerifyingKey, id: &str) -> Value {
    let mut key = json!(JsonWebKey::from(key));
    if let Value::Object(members) = &mut key {
        let more = [("kid", id), ("use", "sig"), ("alg", "ES256")];
        members.extend(more.map(|(name, value)| (name.to_owned(), json!(value))));
    }
    key
}

/// [RFC 7638](https://www.rfc-editor.org/rfc/rfc7638)
fn thumbprint(key: &VerifyingKey) -> String {
    encode(&JsonWebKey::from(key).thumbprint::<Sha256>())
}

#[cfg(test)]
mod tests {
    use jwt_compact::alg::Es256;
    use jwt_compact::{AlgorithmExt as _, UntrustedToken};

    use super::*;

    #[test]
    fn what_one_library_signs_the_other_verifies() {
        let pkcs8 = fresh().unwrap();
        let signer = Signer::read(&pkcs8).unwrap();
        let token = signer.sign("at+jwt", json!({ "sub": "alice", "exp": 9 })).unwrap();
        let untrusted = UntrustedToken::new(token.reveal()).unwrap();
        assert_eq!(untrusted.header().key_id.as_deref(), Some(signer.id()));
        assert_eq!(untrusted.header().token_type.as_deref(), Some("at+jwt"));
        let key =
            VerifyingKey::try_from(&serde_json::from_value::<JsonWebKey<'_>>(signer.jwk().clone()).unwrap()).unwrap();
        let claims = Es256.validator::<Value>(&key).validate(&untrusted).unwrap();
        assert_eq!((&claims.claims().custom["sub"], signer.id().len()), (&json!("alice"), 43));
        let other = Signer::read(&fresh().unwrap()).unwrap();
        let forged = other.sign("at+jwt", json!({ "sub": "alice" })).unwrap();
        assert!(Es256.validator::<Value>(&key).validate(&UntrustedToken::new(forged.reveal()).unwrap()).is_err());
    }

    #[test]
    fn nothing_but_a_key_of_the_curve_is_read() {
        let mut pkcs8 = fresh().unwrap();
        assert!(Signer::read(b"not a key").is_err() && pem(&Secret::new("not a key")).is_err());
        pkcs8.truncate(40);
        assert!(Signer::read(&pkcs8).is_err());
    }
}
