//! Key sets: which public keys an issuer's tokens may be signed with.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use jwt_compact::jwk::JsonWebKey;
use serde_json::{Map, Value};

use super::alg::{Algorithm, Verifier};
use crate::json;

/// The most keys one set may hold.
const KEYS: usize = 100;

/// The largest key set that is read, in bytes.
pub const SIZE: usize = 256 * 1024;

/// One public key.
#[derive(Clone, Debug)]
pub struct Key {
    id: Option<String>,
    verifier: Verifier,
}

impl Key {
    /// Its `kid`.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// What checks signatures with it.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }
}

/// The usable keys of one issuer.
#[derive(Clone, Debug, Default)]
pub struct KeySet(Vec<Key>);

/// Why a key set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadKeySet(pub String);

impl fmt::Display for BadKeySet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl KeySet {
    /// Reads a JWK Set document.
    ///
    /// [RFC 7517 §5](https://www.rfc-editor.org/rfc/rfc7517#section-5): keys of unknown kinds are passed over.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadKeySet> {
        if bytes.len() > SIZE {
            return Err(bad("larger than 256 KiB"));
        }
        let text = json::text(bytes).map_err(|flaw| bad(&flaw.to_string()))?;
        let mut document = json::value(text).map_err(|flaw| bad(&flaw.to_string()))?;
        match document.get_mut("keys").map(Value::take) {
            Some(Value::Array(keys)) => Self::read(&keys),
            _ => Err(bad("has no list `keys`")),
        }
    }

    /// Reads the members of `keys`.
    pub fn read(keys: &[Value]) -> Result<Self, BadKeySet> {
        if keys.len() > KEYS {
            return Err(bad("holds more than 100 keys"));
        }
        let read: Result<Vec<_>, _> = keys.iter().map(key).collect();
        let usable: Vec<Key> = read?.into_iter().flatten().collect();
        let mut ids = BTreeSet::new();
        if !usable.iter().filter_map(Key::id).all(|id| ids.insert(id)) {
            return Err(bad("two keys share one `kid`"));
        }
        if usable.is_empty() {
            return Err(bad("holds no usable signature key"));
        }
        Ok(Self(usable))
    }

    /// The key a token's header names.
    ///
    /// Without a `kid` there has to be exactly one key of that algorithm: trying one after the other would let
    /// the sender choose.
    pub fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&Key> {
        let fits = |key: &&Key| key.verifier.algorithm() == algorithm;
        let mut found = self.0.iter().filter(fits).filter(|key| id.is_none() || key.id() == id);
        let first = found.next();
        first.filter(|_| found.next().is_none())
    }
}

fn bad(text: &str) -> BadKeySet {
    BadKeySet(text.to_owned())
}

/// Reads one key; `None` for one that is not for checking signatures we know.
fn key(value: &Value) -> Result<Option<Key>, BadKeySet> {
    let Value::Object(jwk) = value else {
        return Err(bad("a key is not an object"));
    };
    let kind = text(jwk, "kty");
    // A set that publishes private or shared keys was made by mistake; nothing signed with them proves anything.
    if kind == Some("oct") || PRIVATE.iter().any(|name| jwk.contains_key(*name)) {
        return Err(bad("publishes a private or symmetric key"));
    }
    let Some(algorithm) = algorithm(jwk).filter(|_| verifies(jwk)) else {
        return Ok(None);
    };
    let verifier = public(jwk).and_then(|jwk| Verifier::new(algorithm, &jwk));
    let id = text(jwk, "kid").map(str::to_owned);
    Ok(verifier.map(|verifier| Key { id, verifier }))
}

/// [RFC 7518 §6](https://www.rfc-editor.org/rfc/rfc7518#section-6): the private members of every key type.
const PRIVATE: &[&str] = &["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The one algorithm a key serves: the one it names, else the only one we know for its type.
///
/// [RFC 8725 §3.1](https://www.rfc-editor.org/rfc/rfc8725#section-3.1): each key with exactly one algorithm.
fn algorithm(jwk: &Map<String, Value>) -> Option<Algorithm> {
    let natural = match (text(jwk, "kty")?, text(jwk, "crv")) {
        ("EC", Some("P-256")) => Algorithm::Es256,
        ("OKP", Some("Ed25519")) => Algorithm::EdDsa,
        ("RSA", None) => Algorithm::Rs256,
        _ => return None,
    };
    match jwk.get("alg") {
        None => Some(natural),
        Some(named) => Algorithm::parse(named.as_str()?).filter(|named| *named == natural),
    }
}

/// [RFC 7517 §4.2, §4.3](https://www.rfc-editor.org/rfc/rfc7517#section-4.2): `use` and `key_ops` bind.
fn verifies(jwk: &Map<String, Value>) -> bool {
    let usage = jwk.get("use").is_none_or(|usage| usage == "sig");
    let operations = jwk
        .get("key_ops")
        .is_none_or(|operations| operations.as_array().is_some_and(|list| list.iter().any(|one| one == "verify")));
    usage && operations
}

/// The key's numbers, without the members jwt-compact does not know.
fn public(jwk: &Map<String, Value>) -> Option<JsonWebKey<'static>> {
    let number = |name| Some(Cow::Owned(super::base64url(text(jwk, name)?)?));
    let curve = || Some(Cow::Owned(text(jwk, "crv")?.to_owned()));
    Some(match text(jwk, "kty")? {
        "RSA" => JsonWebKey::Rsa { modulus: number("n")?, public_exponent: number("e")?, private_parts: None },
        "EC" => JsonWebKey::EllipticCurve { curve: curve()?, x: number("x")?, y: number("y")?, secret: None },
        "OKP" => JsonWebKey::KeyPair { curve: curve()?, x: number("x")?, secret: None },
        _ => return None,
    })
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    jwk.get(name)?.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The key of RFC 8037 §A.2.
    fn ed25519() -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
    }

    fn with(name: &str, value: Value) -> Value {
        let mut key = ed25519();
        key[name] = value;
        key
    }

    #[test]
    fn finds_the_named_key_of_the_right_algorithm() {
        let keys = KeySet::read(&[ed25519()]).unwrap();
        assert!(keys.find(Some("ed"), Algorithm::EdDsa).is_some());
        assert!(keys.find(None, Algorithm::EdDsa).is_some());
        assert!(keys.find(Some("ed"), Algorithm::Es256).is_none());
        assert!(keys.find(Some("other"), Algorithm::EdDsa).is_none());
    }

    #[test]
    fn without_a_kid_the_key_must_be_the_only_one() {
        let keys = KeySet::read(&[ed25519(), with("kid", json!("second"))]).unwrap();
        assert!(keys.find(None, Algorithm::EdDsa).is_none());
        assert!(keys.find(Some("second"), Algorithm::EdDsa).is_some());
    }

    #[test]
    fn passes_over_keys_that_do_not_verify() {
        for key in [
            with("use", json!("enc")),
            with("key_ops", json!(["sign"])),
            with("key_ops", json!("verify")),
            with("alg", json!("ES256")),
            with("alg", json!(7)),
            with("crv", json!("X25519")),
            with("kty", json!("future")),
            with("x", json!("AA")),
        ] {
            assert!(KeySet::read(std::slice::from_ref(&key)).is_err(), "{key}");
            let beside = KeySet::read(&[key, with("kid", json!("sound"))]).unwrap();
            assert!(beside.find(Some("ed"), Algorithm::EdDsa).is_none());
        }
    }

    #[test]
    fn refuses_sets_made_by_mistake() {
        let symmetric = json!({"kty": "oct", "k": "AAAA"});
        for keys in [vec![with("d", json!("AA"))], vec![ed25519(), symmetric], vec![ed25519(), ed25519()]] {
            assert!(KeySet::read(&keys).is_err(), "{keys:?}");
        }
        assert!(KeySet::parse(br#"{"keys":[],"keys":[]}"#).is_err());
        assert!(KeySet::parse(b"[]").is_err());
        assert!(KeySet::parse(&vec![b' '; SIZE + 1]).is_err());
    }

    #[test]
    fn refuses_weak_rsa_keys() {
        let rsa = |bytes: usize, e: &str| {
            let n = super::super::encode(&vec![0xff; bytes]);
            KeySet::read(&[json!({"kty": "RSA", "n": n, "e": e})])
        };
        assert!(rsa(256, "AQAB").is_ok());
        assert!(rsa(128, "AQAB").is_err());
        assert!(rsa(1024, "AQAB").is_err());
        assert!(rsa(256, "Aw").is_err());
        assert!(rsa(256, "AQAA").is_err());
    }
}
