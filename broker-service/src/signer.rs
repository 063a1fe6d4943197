//! Keys that targets know us by: a PEM file becomes a signer of JWTs.
//!
//! RSA is AWS-LC's, in constant time: the crate `rsa` would tell about a private key by its timing.

use std::fmt;

use accredit_policy::Secret;
use accredit_policy::token::encode;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as Rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding,
};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Serialize;
use serde_json::json;
use zeroize::Zeroizing;

/// The shortest RSA key, in bytes.
///
/// [RFC 7518 §3.3](https://www.rfc-editor.org/rfc/rfc7518#section-3.3): "2048 bits or larger MUST be used".
const RSA: usize = 256;

/// Signs JWTs with one key and one algorithm.
pub struct Signer {
    key: Key,
    algorithm: Algorithm,
    id: Option<String>,
}

enum Key {
    P256(EcdsaKeyPair),
    Rsa(Rsa),
}

/// How a signature is made.
///
/// [RFC 7518 §3.1](https://www.rfc-editor.org/rfc/rfc7518#section-3.1)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256.
    Es256,
    /// RSASSA-PSS.
    Ps256,
    /// RSASSA-PKCS1-v1_5.
    Rs256,
}

/// Why a text is no key we sign with; holds nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadKey {
    /// No private key in PEM, or one of another kind.
    Content,
    /// A key the algorithm is not for.
    Algorithm(Algorithm),
}

/// No signature could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsigned;

impl Algorithm {
    /// Every algorithm there is.
    pub const ALL: [Self; 3] = [Self::Es256, Self::Ps256, Self::Rs256];

    /// Its `alg`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Ps256 => "PS256",
            Self::Rs256 => "RS256",
        }
    }
}

impl fmt::Display for BadKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Content => formatter.write_str("no key of these kinds"),
            Self::Algorithm(other) => write!(formatter, "a key that is not for `{}`", other.name()),
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Signer({})", self.algorithm.name())
    }
}

impl Signer {
    /// What [`Self::read`] takes.
    pub const ACCEPTED: &'static str = "a private key in PEM: P-256 in PKCS#8, or RSA of 2048 bits or more";

    /// Reads a key; `algorithm` is ES256 or RS256 by the kind of the key unless given.
    pub fn read(pem: &Secret, algorithm: Option<Algorithm>, id: Option<String>) -> Result<Self, BadKey> {
        let mut der = PrivateKeyDer::from_pem_slice(pem.reveal().as_bytes()).map_err(|_| BadKey::Content)?;
        let key = key(&der);
        zeroize::Zeroize::zeroize(&mut der);
        let key = key.ok_or(BadKey::Content)?;
        let algorithm = match (&key, algorithm) {
            (Key::P256(_), None | Some(Algorithm::Es256)) => Algorithm::Es256,
            (Key::Rsa(_), None) => Algorithm::Rs256,
            (Key::Rsa(_), Some(algorithm @ (Algorithm::Ps256 | Algorithm::Rs256))) => algorithm,
            (_, Some(other)) => return Err(BadKey::Algorithm(other)),
        };
        Ok(Self { key, algorithm, id })
    }

    /// Signs `claims` as a JWT in the compact form.
    ///
    /// [RFC 7515 §7.1](https://www.rfc-editor.org/rfc/rfc7515#section-7.1)
    pub fn sign<T: Serialize>(&self, claims: &T) -> Result<Secret, Unsigned> {
        let mut header = json!({ "alg": self.algorithm.name(), "typ": "JWT" });
        if let (Some(id), Some(members)) = (&self.id, header.as_object_mut()) {
            members.insert("kid".into(), json!(id));
        }
        let claims = Zeroizing::new(serde_json::to_vec(claims).map_err(|_| Unsigned)?);
        let input = Zeroizing::new(format!("{}.{}", encode(header.to_string().as_bytes()), encode(&claims)));
        let signature = self.raw(input.as_bytes()).map_err(|_| Unsigned)?;
        Ok(Secret::new(format!("{}.{}", *input, encode(&signature))))
    }

    fn raw(&self, input: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let random = SystemRandom::new();
        match &self.key {
            Key::P256(key) => key.sign(&random, input).map(|signature| signature.as_ref().to_vec()),
            Key::Rsa(key) => {
                let padding: &'static dyn RsaEncoding = match self.algorithm {
                    Algorithm::Ps256 => &RSA_PSS_SHA256,
                    Algorithm::Es256 | Algorithm::Rs256 => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(padding, &random, input, &mut signature)?;
                Ok(signature)
            }
        }
    }
}

fn key(der: &PrivateKeyDer<'_>) -> Option<Key> {
    let rsa = match der {
        PrivateKeyDer::Pkcs1(der) => Rsa::from_der(der.secret_pkcs1_der()).ok()?,
        PrivateKeyDer::Pkcs8(der) => {
            let der = der.secret_pkcs8_der();
            match EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der) {
                Ok(key) => return Some(Key::P256(key)),
                Err(_) => Rsa::from_pkcs8(der).ok()?,
            }
        }
        _ => return None,
    };
    (rsa.public_modulus_len() >= RSA).then_some(Key::Rsa(rsa))
}

#[cfg(test)]
pub(crate) mod tests;
