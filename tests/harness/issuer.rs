//! A token issuer for tests: sound tokens, and the broken ones an attacker would bring.

mod keys;

use crate::host::START;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use keys::{foreign, keys};
use serde_json::{Map, Value, json};
use std::cell::Cell;
use std::time::UNIX_EPOCH;

/// An issuer with one key per kind. The keys are made once per process and shared by all issuers.
pub struct Issuer {
    url: String,
    minted: Cell<u32>,
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
        Self { url: url.into(), minted: Cell::new(0), start: START }
    }

    /// The same for programs that read the real clock: its tokens are issued now.
    pub fn at_now(mut self) -> Self {
        self.start = UNIX_EPOCH.elapsed().expect("it is later than 1970").as_secs();
        self
    }

    /// Its public keys: `rsa-1`, `ec-1` and `ed-1`, each bound to its usual algorithm.
    pub fn jwks(&self) -> Value {
        json!({ "keys": [self.jwk(Alg::Rs256), self.jwk(Alg::Es256), self.jwk(Alg::EdDsa)] })
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
        self.minted.set(self.minted.get() + 1);
        let claims = json!({
            "iss": self.url, "sub": "agent-1", "client_id": "agent-1", "aud": "https://gateway.example.com/crm/mcp",
            "iat": self.start, "nbf": self.start, "exp": self.start + 600, "jti": format!("token-{}", self.minted.get()), "scope": "crm:read",
        });
        let Value::Object(claims) = claims else { unreachable!() };
        let mut header = Map::new();
        header.insert("typ".into(), json!("at+jwt"));
        Token { header, claims, alg: Alg::Es256 }.alg(Alg::Es256)
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

/// A token that is not signed yet.
#[derive(Clone, Debug)]
pub struct Token {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    alg: Alg,
}

impl Token {
    /// Another algorithm, with the key that goes with it.
    pub fn alg(mut self, alg: Alg) -> Self {
        self.alg = alg;
        self.header("alg", alg.name()).header("kid", alg.kid())
    }

    /// Another key name, while the key stays the same.
    pub fn kid(self, kid: &str) -> Self {
        self.header("kid", kid)
    }

    /// Sets a header parameter.
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.into(), value.into());
        self
    }

    /// Drops a header parameter.
    pub fn without_header(mut self, name: &str) -> Self {
        self.header.remove(name);
        self
    }

    /// Sets a claim.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }

    /// Drops a claim.
    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// An agent that acts for itself.
    pub fn agent(self, agent: &str) -> Self {
        self.claim("client_id", agent).claim("sub", agent)
    }

    /// The scopes, separated by spaces.
    pub fn scope(self, scope: &str) -> Self {
        self.claim("scope", scope)
    }

    /// One audience.
    pub fn audience(self, audience: &str) -> Self {
        self.claim("aud", audience)
    }

    /// A token that ran out five minutes before the virtual clock started.
    pub fn expired(self) -> Self {
        let issued = self.claims["iat"].as_u64().expect("a token is issued at some time");
        self.claim("iat", issued - 900).claim("nbf", issued - 900).claim("exp", issued - 300)
    }

    /// Signs it.
    pub fn sign(self) -> String {
        let alg = self.alg;
        self.seal(|message| keys().sign(alg, message))
    }

    /// Signs it with a key the issuer does not have, under the name of the one it has.
    pub fn sign_foreign(self) -> String {
        let alg = self.alg;
        self.seal(|message| foreign().sign(alg, message))
    }

    /// `alg: HS256` with this secret: the issuer's public key, for an attacker who hopes the verifier mixes them up.
    pub fn sign_hmac(self, secret: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        self.header("alg", "HS256").seal(|message| hmac::sign(&key, message).as_ref().to_vec())
    }

    /// `alg: none` and no signature.
    pub fn unsigned(self) -> String {
        self.header("alg", "none").seal(|_| Vec::new())
    }

    fn seal(self, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
        seal(&Value::Object(self.header).to_string(), &Value::Object(self.claims).to_string(), sign)
    }
}

/// The same token with one claim changed and the old signature.
pub fn forge(token: &str, claim: &str, value: impl Into<Value>) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    claims[claim] = value.into();
    format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims.to_string()), parts[2])
}

/// The same token with one bit of its signature changed.
pub fn corrupt(token: &str) -> String {
    let (rest, signature) = token.rsplit_once('.').unwrap();
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    bytes[0] ^= 1;
    format!("{rest}.{}", URL_SAFE_NO_PAD.encode(bytes))
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
            Self::Ps256 | Self::Ps384 | Self::Ps512 | Self::Rs256 | Self::Rs384 | Self::Rs512 => "rsa-1",
        }
    }
}

/// A token of any two texts with any signature.
pub fn seal(header: &str, payload: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
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
