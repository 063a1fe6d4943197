//! Key sets: which public keys an issuer's tokens may be signed with.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use jwt_compact::jwk::JsonWebKey;
use serde_json::{Map, Value};
use sha2::Sha256;

use super::alg::{Algorithm, Kind};
use super::verifier::Verifier;
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
    thumbprint: [u8; 32],
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        let parts = |key: &Self| (key.id.clone(), key.verifier.algorithm(), key.thumbprint);
        parts(self) == parts(other)
    }
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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeySet(Vec<Key>);

/// Why a key set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadKeySet(pub String);

impl fmt::Display for BadKeySet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// How the keys of an issuer are read.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// The algorithms the issuer signs with.
    pub accepted: &'a [Algorithm],
    /// What its keys have to be meant for.
    pub usage: Usage,
}

/// What keys are meant for, by their `use`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Signatures: `sig`, or nothing.
    Signature,
    /// SPIFFE JWT-SVIDs: `jwt-svid`, and nothing else.
    ///
    /// [SPIFFE Trust Domain and Bundle §4.2.2](https://spiffe.io/docs/latest/spiffe-specs/spiffe_trust_domain_and_bundle/)
    JwtSvid,
}

impl KeySet {
    /// Reads a JWK Set document.
    ///
    /// [RFC 7517 §5](https://www.rfc-editor.org/rfc/rfc7517#section-5): keys of unknown kinds are passed over.
    pub fn parse(bytes: &[u8], reading: Reading<'_>) -> Result<Self, BadKeySet> {
        if bytes.len() > SIZE {
            return Err(bad("is larger than 256 KiB"));
        }
        let flawed = |flaw: json::Flaw| BadKeySet(format!("is {flaw}"));
        let text = json::text(bytes).map_err(flawed)?;
        let mut document = json::value(text).map_err(flawed)?;
        match document.get_mut("keys").map(Value::take) {
            Some(Value::Array(keys)) => Self::read(&keys, reading),
            _ => Err(bad("has no list `keys`")),
        }
    }

    /// Reads the members of `keys`.
    pub fn read(keys: &[Value], reading: Reading<'_>) -> Result<Self, BadKeySet> {
        if keys.len() > KEYS {
            return Err(bad("holds more than 100 keys"));
        }
        let read: Result<Vec<_>, _> = keys.iter().map(|value| key(value, reading)).collect();
        let usable: Vec<Key> = read?.into_iter().flatten().collect();
        let mut ids = BTreeSet::new();
        if !usable.iter().filter_map(Key::id).all(|id| ids.insert(id)) {
            return Err(bad("holds two keys with one `kid`"));
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
fn key(value: &Value, reading: Reading<'_>) -> Result<Option<Key>, BadKeySet> {
    let Value::Object(jwk) = value else {
        return Err(bad("holds a key that is no object"));
    };
    // A set that publishes private or shared keys was made by mistake; nothing signed with them proves anything.
    if text(jwk, "kty") == Some("oct") || private(jwk) {
        return Err(bad("publishes a private or symmetric key"));
    }
    let Some(algorithm) = algorithm(jwk, reading.accepted).filter(|_| verifies(jwk, reading.usage)) else {
        return Ok(None);
    };
    let id = text(jwk, "kid").map(str::to_owned);
    let bound = public(jwk).and_then(|jwk| bind(algorithm, &jwk));
    Ok(bound.map(|(verifier, thumbprint)| Key { id, verifier, thumbprint }))
}

/// The key of a proof, which carries it itself, and its thumbprint; `None` unless it is public, strong and for
/// `algorithm`.
pub fn carried(jwk: &Map<String, Value>, algorithm: Algorithm) -> Option<(Verifier, [u8; 32])> {
    let fits =
        !private(jwk) && verifies(jwk, Usage::Signature) && self::algorithm(jwk, &[algorithm]) == Some(algorithm);
    bind(algorithm, &public(jwk).filter(|_| fits)?)
}

/// The key for its algorithm, and its thumbprint.
///
/// [RFC 7638 §3](https://www.rfc-editor.org/rfc/rfc7638#section-3): SHA-256 over the members that make the key.
fn bind(algorithm: Algorithm, jwk: &JsonWebKey<'_>) -> Option<(Verifier, [u8; 32])> {
    Some((Verifier::new(algorithm, jwk)?, jwk.thumbprint::<Sha256>().into()))
}

/// [RFC 7518 §6](https://www.rfc-editor.org/rfc/rfc7518#section-6): the private members of every key type.
fn private(jwk: &Map<String, Value>) -> bool {
    ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|name| jwk.contains_key(*name))
}

/// The one algorithm a key serves: the one it names, else the one that is natural for its kind.
///
/// [RFC 8725 §3.1](https://www.rfc-editor.org/rfc/rfc8725#section-3.1): each key with exactly one algorithm.
fn algorithm(jwk: &Map<String, Value>, accepted: &[Algorithm]) -> Option<Algorithm> {
    let kind = Kind::of(text(jwk, "kty")?, text(jwk, "crv"))?;
    match jwk.get("alg") {
        None => Some(kind.natural(accepted)),
        Some(named) => Algorithm::parse(named.as_str()?).filter(|named| named.kind() == kind),
    }
}

/// [RFC 7517 §4.2, §4.3](https://www.rfc-editor.org/rfc/rfc7517#section-4.2): `use` and `key_ops` bind.
fn verifies(jwk: &Map<String, Value>, usage: Usage) -> bool {
    let meant = match (usage, jwk.get("use")) {
        (Usage::Signature, None) => true,
        (Usage::Signature, Some(named)) => named == "sig",
        (Usage::JwtSvid, named) => named.is_some_and(|named| named == "jwt-svid"),
    };
    let operations = jwk
        .get("key_ops")
        .is_none_or(|operations| operations.as_array().is_some_and(|list| list.iter().any(|one| one == "verify")));
    meant && operations
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

    const ED: Reading<'_> = Reading { accepted: &[Algorithm::EdDsa], usage: Usage::Signature };

    fn read(keys: &[Value]) -> Result<KeySet, BadKeySet> {
        KeySet::read(keys, ED)
    }

    fn with(name: &str, value: Value) -> Value {
        let mut key = ed25519();
        key[name] = value;
        key
    }

    #[test]
    fn finds_the_named_key_of_the_right_algorithm() {
        let keys = read(&[ed25519()]).unwrap();
        assert!(keys.find(Some("ed"), Algorithm::EdDsa).is_some());
        assert!(keys.find(None, Algorithm::EdDsa).is_some());
        assert!(keys.find(Some("ed"), Algorithm::Es256).is_none());
        assert!(keys.find(Some("other"), Algorithm::EdDsa).is_none());
    }

    #[test]
    fn without_a_kid_the_key_must_be_the_only_one() {
        let keys = read(&[ed25519(), with("kid", json!("second"))]).unwrap();
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
            assert!(read(std::slice::from_ref(&key)).is_err(), "{key}");
            let beside = read(&[key, with("kid", json!("sound"))]).unwrap();
            assert!(beside.find(Some("ed"), Algorithm::EdDsa).is_none());
        }
    }

    #[test]
    fn refuses_sets_made_by_mistake() {
        let symmetric = json!({"kty": "oct", "k": "AAAA"});
        for keys in [vec![with("d", json!("AA"))], vec![ed25519(), symmetric], vec![ed25519(), ed25519()]] {
            assert!(read(&keys).is_err(), "{keys:?}");
        }
        assert!(KeySet::parse(br#"{"keys":[],"keys":[]}"#, ED).is_err());
        assert!(KeySet::parse(b"[]", ED).is_err());
        assert!(KeySet::parse(&vec![b' '; SIZE + 1], ED).is_err());
    }

    #[test]
    fn refuses_weak_rsa_keys() {
        let rsa = |bytes: usize, e: &str| {
            let n = super::super::encode(&vec![0xff; bytes]);
            read(&[json!({"kty": "RSA", "n": n, "e": e})])
        };
        assert!(rsa(256, "AQAB").is_ok());
        assert!(rsa(128, "AQAB").is_err());
        assert!(rsa(1024, "AQAB").is_err());
        assert!(rsa(256, "Aw").is_err());
        assert!(rsa(256, "AQAA").is_err());
        assert!(rsa(256, "AgAAAAE").is_err());
    }

    #[test]
    fn a_key_serves_the_algorithm_it_names_or_the_natural_one() {
        let n = super::super::encode(&[0xff; 256]);
        let rsa = |alg: Option<&str>, accepted: &[Algorithm]| {
            let mut jwk = json!({"kty": "RSA", "n": n, "e": "AQAB"});
            jwk["alg"] = alg.map_or(Value::Null, Value::from);
            if alg.is_none() {
                jwk.as_object_mut().unwrap().remove("alg");
            }
            KeySet::read(&[jwk], Reading { accepted, usage: Usage::Signature }).unwrap()
        };
        let both = [Algorithm::Rs256, Algorithm::Ps384];
        assert!(rsa(Some("PS384"), &both).find(None, Algorithm::Ps384).is_some());
        assert!(rsa(Some("PS384"), &both).find(None, Algorithm::Rs256).is_none());
        assert!(rsa(None, &both).find(None, Algorithm::Rs256).is_some());
        assert!(rsa(None, &both).find(None, Algorithm::Ps384).is_none());
        assert!(rsa(None, &[Algorithm::Ps512]).find(None, Algorithm::Ps512).is_some());
    }

    #[test]
    fn svid_keys_are_for_svids_only() {
        let svid = Reading { accepted: &[Algorithm::EdDsa], usage: Usage::JwtSvid };
        let marked = with("use", json!("jwt-svid"));
        assert!(KeySet::read(std::slice::from_ref(&marked), svid).is_ok());
        assert!(read(&[marked]).is_err());
        for other in [ed25519(), with("use", json!("sig")), with("use", json!("x509-svid"))] {
            assert!(KeySet::read(&[other], svid).is_err());
        }
    }

    #[test]
    fn a_carried_key_is_public_and_has_a_thumbprint() {
        let jwk = |value: Value| value.as_object().unwrap().clone();
        let (_, thumbprint) = carried(&jwk(ed25519()), Algorithm::EdDsa).unwrap();
        // RFC 8037 §A.3
        assert_eq!(super::super::encode(&thumbprint), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert!(carried(&jwk(ed25519()), Algorithm::Es256).is_none());
        for (name, value) in [("d", json!("AA")), ("use", json!("enc")), ("alg", json!("ES256")), ("x", json!(""))] {
            assert!(carried(&jwk(with(name, value)), Algorithm::EdDsa).is_none(), "{name}");
        }
    }
}
