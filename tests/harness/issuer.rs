//! A token issuer for tests: sound tokens, and the broken ones an attacker would bring.

mod holder;
mod keys;
mod token;

use crate::host::START;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
pub use holder::Holder;
use keys::{foreign, keys};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::UNIX_EPOCH;
pub use token::{Token, broken, corrupt, forge, seal};

/// An issuer with one key per kind. The keys are made once per process and shared by all issuers.
pub struct Issuer {
    url: String,
    minted: AtomicU32,
    start: u64,
}

/// A signature algorithm the issuer has a key for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alg {
    /// Ed25519, under its older name.
    EdDsa,
    /// ECDSA on P-256.
    Es256,
    /// ECDSA on P-384.
    Es384,
    /// RSA-PSS with SHA-256.
    Ps256,
    /// The same with SHA-384.
    Ps384,
    /// The same with SHA-512.
    Ps512,
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
    /// The same with SHA-384.
    Rs384,
    /// The same with SHA-512.
    Rs512,
}

impl Issuer {
    /// An issuer with this identifier.
    pub fn new(url: &str) -> Self {
        Self { url: url.into(), minted: AtomicU32::new(0), start: START }
    }

    /// The same for programs that read the real clock: its tokens are issued now.
    pub fn at_now(mut self) -> Self {
        self.start = UNIX_EPOCH.elapsed().expect("it is later than 1970").as_secs();
        self
    }

    /// Its public keys: `rsa-1`, `ec-1` and `ed-1`, each bound to its usual algorithm.
    pub fn jwks(&self) -> Value {
        self.jwks_for(&[Alg::Rs256, Alg::Es256, Alg::EdDsa])
    }

    /// Its public keys for these algorithms, each under its own name.
    pub fn jwks_for(&self, algs: &[Alg]) -> Value {
        json!({ "keys": algs.iter().map(|alg| self.jwk(*alg)).collect::<Vec<_>>() })
    }

    /// The public key for one algorithm.
    pub fn jwk(&self, alg: Alg) -> Value {
        let mut jwk = keys().jwk(alg);
        jwk.extend([("use".into(), json!("sig")), ("alg".into(), json!(alg.name())), ("kid".into(), json!(alg.kid()))]);
        Value::Object(jwk)
    }

    /// The RSA public key as DER, for tokens that pass it off as an HMAC secret.
    pub fn public_der(&self) -> Vec<u8> {
        keys().rsa_der()
    }

    /// The same as PEM.
    pub fn public_pem(&self) -> String {
        let text = STANDARD.encode(self.public_der());
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// An ES256 token that is in order: issued at the start of the virtual clock to `agent-1` for the `crm` server with
    /// the scope `crm:read`, and good for ten minutes.
    pub fn token(&self) -> Token {
        let number = self.minted.fetch_add(1, Ordering::Relaxed) + 1;
        let claims = json!({
            "iss": self.url, "sub": "agent-1", "client_id": "agent-1", "aud": "https://gateway.example.com/crm/mcp",
            "iat": self.start, "nbf": self.start, "exp": self.start + 600, "jti": format!("token-{number}"), "scope": "crm:read",
        });
        Token::new(keys(), "at+jwt", claims).alg(Alg::Es256)
    }

    /// A JWT-SVID of the workload `id` for the `crm` server, good for ten minutes.
    pub fn svid(&self, id: &str) -> Token {
        let claims = json!({
            "sub": id, "aud": ["https://gateway.example.com/crm/mcp"], "iat": self.start, "exp": self.start + 600,
        });
        Token::new(keys(), "JWT", claims).alg(Alg::Es256)
    }

    /// The public keys of a trust domain: the same as in [`jwks`](Self::jwks), meant for JWT-SVIDs.
    pub fn svid_jwks(&self) -> Value {
        let mut jwks = self.jwks_for(&[Alg::Rs256, Alg::Es256]);
        jwks["keys"].as_array_mut().unwrap().iter_mut().for_each(|key| key["use"] = json!("jwt-svid"));
        jwks
    }

    /// The status list at `uri`, one byte for each token.
    pub fn statuses(&self, uri: &str, bytes: &[u8]) -> Token {
        let packed = miniz_oxide::deflate::compress_to_vec_zlib(bytes, 6);
        let list = json!({ "bits": 8, "lst": URL_SAFE_NO_PAD.encode(packed) });
        let claims = json!({ "sub": uri, "iat": self.start, "status_list": list });
        Token::new(keys(), "statuslist+jwt", claims).alg(Alg::Es256)
    }

    /// Signs any two texts, JSON or not, as header and payload.
    pub fn sign(&self, alg: Alg, header: &str, payload: &str) -> String {
        seal(header, payload, |message| keys().sign(alg, message))
    }

    /// The same with a key of somebody else.
    pub fn sign_foreign(&self, alg: Alg, header: &str, payload: &str) -> String {
        seal(header, payload, |message| foreign().sign(alg, message))
    }
}

impl Alg {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::EdDsa,
        Self::Es256,
        Self::Es384,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
    ];

    /// Its name in a token's header.
    pub fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
        }
    }

    /// The name of the issuer's key for it.
    pub fn kid(self) -> &'static str {
        match self {
            Self::EdDsa => "ed-1",
            Self::Es256 => "ec-1",
            Self::Es384 => "ec-384",
            Self::Ps256 => "rsa-ps-256",
            Self::Ps384 => "rsa-ps-384",
            Self::Ps512 => "rsa-ps-512",
            Self::Rs256 => "rsa-1",
            Self::Rs384 => "rsa-384",
            Self::Rs512 => "rsa-512",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, jwk::Jwk};

    fn verified(alg: Alg, token: &str) -> bool {
        let jwk: Jwk = serde_json::from_value(Issuer::new("https://idp.example.test").jwk(alg)).unwrap();
        let mut rules = Validation::new(alg.name().parse::<Algorithm>().unwrap());
        rules.validate_exp = false;
        rules.validate_aud = false;
        decode::<Value>(token, &DecodingKey::from_jwk(&jwk).unwrap(), &rules).is_ok()
    }

    #[test]
    fn an_independent_verifier_accepts_what_is_signed_and_refuses_what_is_broken() {
        let issuer = Issuer::new("https://idp.example.test");
        for alg in Alg::ALL {
            let token = issuer.token().alg(alg).sign();
            assert!(verified(alg, &token), "{alg:?}");
            assert!(!verified(alg, &corrupt(&token)), "{alg:?}");
            assert!(!verified(alg, &forge(&token, "scope", "crm:admin")), "{alg:?}");
            assert!(!verified(alg, &issuer.token().alg(alg).sign_foreign()), "{alg:?}");
        }
    }
}
