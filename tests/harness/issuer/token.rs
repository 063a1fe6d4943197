//! A token, as sound or as broken as a test wants it.

use super::keys::{Keys, foreign};
use super::{Alg, Holder};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

/// A token that is not signed yet.
#[derive(Clone, Debug)]
pub struct Token {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    alg: Alg,
    keys: &'static Keys,
}

impl Token {
    /// A token of this `typ` with these claims; [`alg`](Self::alg) completes the header.
    pub(super) fn new(keys: &'static Keys, typ: &str, claims: Value) -> Self {
        let Value::Object(claims) = claims else { panic!("claims are an object") };
        let header = Map::from_iter([("typ".to_owned(), Value::from(typ))]);
        Self { header, claims, alg: Alg::Es256, keys }
    }

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

    /// A token bound to the key of `holder`.
    pub fn bound_to(self, holder: &Holder) -> Self {
        self.claim("cnf", json!({ "jkt": holder.thumbprint() }))
    }

    /// A token bound to the certificate with this SHA-256.
    pub fn bound_to_certificate(self, digest: &[u8]) -> Self {
        self.claim("cnf", json!({ "x5t#S256": URL_SAFE_NO_PAD.encode(digest) }))
    }

    /// A task handed on by these actors, the current one first.
    pub fn actors(self, names: &[&str]) -> Self {
        let chain = names.iter().rev().fold(None, |inner, name| {
            let mut act = json!({ "sub": name });
            if let Some(inner) = inner {
                act["act"] = inner;
            }
            Some(act)
        });
        chain.into_iter().fold(self, |token, act| token.claim("act", act))
    }

    /// A token that stands at `index` of the status list at `uri`.
    pub fn listed(self, uri: &str, index: u64) -> Self {
        self.claim("status", json!({ "status_list": { "uri": uri, "idx": index } }))
    }

    /// A token that ran out five minutes before the virtual clock started.
    pub fn expired(self) -> Self {
        let issued = self.claims["iat"].as_u64().expect("a token is issued at some time");
        self.claim("iat", issued - 900).claim("nbf", issued - 900).claim("exp", issued - 300)
    }

    /// Signs it.
    pub fn sign(self) -> String {
        let (alg, keys) = (self.alg, self.keys);
        self.seal(|message| keys.sign(alg, message))
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

/// The same token with signatures that do not hold, each in another way.
pub fn broken(token: Token) -> Vec<String> {
    let sound = token.clone().sign();
    let (message, signature) = sound.rsplit_once('.').unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let with = |bytes: &[u8]| format!("{message}.{}", URL_SAFE_NO_PAD.encode(bytes));
    let lengths = [vec![], vec![0; bytes.len()], bytes[1..].to_vec(), [&bytes[..], &[0]].concat()];
    let others = [corrupt(&sound), forge(&sound, "scope", "crm:admin"), token.sign_foreign()];
    lengths.iter().map(|bytes| with(bytes)).chain(others).collect()
}

/// A token of any two texts, with any signature.
pub fn seal(header: &str, payload: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}
