//! A client that holds a key, and proves it with every request.

use super::keys::held;
use super::{Alg, Token};
use crate::host::START;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::UNIX_EPOCH;

/// One client with one key. All holders of the same kind of key have the same.
#[derive(Debug)]
pub struct Holder {
    alg: Alg,
    start: u64,
}

impl Holder {
    /// A client whose key is for this algorithm.
    pub fn new(alg: Alg) -> Self {
        Self { alg, start: START }
    }

    /// The same for programs that read the real clock: its proofs are made now.
    pub fn at_now(mut self) -> Self {
        self.start = UNIX_EPOCH.elapsed().expect("it is later than 1970").as_secs();
        self
    }

    /// The public key.
    pub fn jwk(&self) -> Value {
        Value::Object(held().jwk(self.alg))
    }

    /// The key's thumbprint in base64url.
    ///
    /// [RFC 7638 §3](https://www.rfc-editor.org/rfc/rfc7638#section-3): the members in the order of their names, which is
    /// how they are kept.
    pub fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.jwk().to_string()))
    }

    /// A proof that is in order, for a request with `token`; each has a name of its own.
    ///
    /// [RFC 9449 §4.2](https://www.rfc-editor.org/rfc/rfc9449#section-4.2)
    pub fn proof(&self, method: &str, url: &str, token: &str) -> Token {
        // Never the same twice: one key may serve several holders.
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("proof-{}", MADE.fetch_add(1, Ordering::Relaxed));
        let ath = URL_SAFE_NO_PAD.encode(Sha256::digest(token));
        let claims = json!({ "htm": method, "htu": url, "iat": self.start, "jti": name, "ath": ath });
        let proof = Token::new(held(), "dpop+jwt", claims).alg(self.alg);
        proof.without_header("kid").header("jwk", self.jwk())
    }
}
