//! The other verifier, used as its documentation says.

use super::{ISSUER, RESOURCE, SKEW};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;
use std::collections::BTreeMap;

/// `jsonwebtoken` with one key for each algorithm, by its name.
pub struct Theirs(BTreeMap<String, (Algorithm, DecodingKey)>);

impl Theirs {
    pub fn new(keys: &[Value]) -> Self {
        let read = |key: &Value| {
            let jwk: Jwk = serde_json::from_value(key.clone()).unwrap();
            let (name, alg) = (key["kid"].as_str().unwrap(), key["alg"].as_str().unwrap());
            (name.to_owned(), (alg.parse().unwrap(), DecodingKey::from_jwk(&jwk).unwrap()))
        };
        Self(keys.iter().map(read).collect())
    }

    /// The key decides on the algorithm, not the token.
    pub fn accepts(&self, token: &str) -> Result<(), String> {
        let header = decode_header(token).map_err(|error| error.to_string())?;
        let named = |kid: &String| self.0.get(kid);
        let only = || self.0.values().find(|(algorithm, _)| *algorithm == header.alg);
        let found = header.kid.as_ref().map_or_else(only, named);
        let (algorithm, key) = found.ok_or("no key of that name")?;
        let mut rules = Validation::new(*algorithm);
        rules.leeway = SKEW;
        rules.validate_nbf = true;
        rules.set_issuer(&[ISSUER]);
        rules.set_audience(&[RESOURCE]);
        rules.set_required_spec_claims(&["exp", "iss", "aud"]);
        decode::<Value>(token, key, &rules).map(drop).map_err(|error| error.to_string())
    }
}
