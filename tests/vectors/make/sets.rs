//! Key sets with something wrong in them, each with a token for the wrong key.

use crate::policy::{CORP, owner};
use crate::token::{encode, jwk, of, resigned};
use harness::Alg;
use serde_json::{Value, json};

const SET: &str = "key_set_refused";
const KEY: &str = "token_key_unknown";

pub fn cases() -> Vec<Value> {
    [meaning(), weak(), mismatched(), made_wrong()].concat()
}

/// A set of `keys` and a sound one beside them, and a token that names the key `kid`.
fn case(row: &str, name: &str, keys: &[Value], alg: Alg, reason: Option<&str>) -> Value {
    let sound = jwk("beside", Alg::EdDsa);
    let all = [keys, &[sound]].concat();
    raw(row, name, &json!({ "keys": all }).to_string(), of(CORP, "odd", alg).sign(), reason)
}

fn raw(row: &str, name: &str, document: &str, token: String, reason: Option<&str>) -> Value {
    json!({ "row": row, "name": name, "jwks": document, "token": token, "reason": reason })
}

/// The key of `alg` with these members set, or dropped by null.
fn changed(alg: Alg, changes: Value) -> Value {
    let mut key = jwk("odd", alg);
    for (name, value) in changes.as_object().expect("changes are an object") {
        match value {
            Value::Null => drop(key.as_object_mut().expect("a key is an object").remove(name)),
            value => key[name] = value.clone(),
        }
    }
    key
}

fn meaning() -> Vec<Value> {
    let es = |changes| changed(Alg::Es256, changes);
    let mut cases: Vec<Value> = [
        ("use: sig", es(json!({})), None),
        ("no use", es(json!({ "use": null })), None),
        ("key_ops: verify", es(json!({ "use": null, "key_ops": ["verify"] })), None),
        ("members nobody knows", es(json!({ "x-note": { "a": 1 }, "ext": true })), None),
        ("use: enc", es(json!({ "use": "enc" })), Some(KEY)),
        ("use: jwt-svid", es(json!({ "use": "jwt-svid" })), Some(KEY)),
        ("use: a list", es(json!({ "use": ["sig"] })), Some(KEY)),
        ("key_ops: sign", es(json!({ "key_ops": ["sign"] })), Some(KEY)),
        ("key_ops: encrypt", es(json!({ "key_ops": ["encrypt", "wrapKey"] })), Some(KEY)),
        ("key_ops: empty", es(json!({ "key_ops": [] })), Some(KEY)),
        ("key_ops: a text", es(json!({ "key_ops": "verify" })), Some(KEY)),
        ("alg: of an encryption", es(json!({ "alg": "ECDH-ES" })), Some(KEY)),
        ("alg: none", es(json!({ "alg": "none" })), Some(KEY)),
        ("alg: a number", es(json!({ "alg": 1 })), Some(KEY)),
    ]
    .into_iter()
    .map(|(name, key, reason)| case("key-meaning", name, &[key], Alg::Es256, reason))
    .collect();
    let (one, other) = (es(json!({})), changed(Alg::Es384, json!({})));
    cases.push(case("key-meaning", "one kid for two keys", &[one.clone(), other], Alg::Es256, Some(SET)));
    let secret = json!({ "kty": "oct", "kid": "shared", "k": encode([7; 32]) });
    cases.push(case("key-meaning", "a shared key among public ones", &[one, secret], Alg::Es256, Some(SET)));
    cases
}

/// Keys anyone could find the other half of.
fn weak() -> Vec<Value> {
    let rsa = |changes| changed(Alg::Rs256, changes);
    let ones = |bytes: usize| encode(vec![0xff; bytes]);
    let mut cases: Vec<Value> = [
        ("RSA of 1024 bits", rsa(json!({ "n": ones(128) }))),
        ("RSA of 2040 bits", rsa(json!({ "n": ones(255) }))),
        ("RSA of 8192 bits", rsa(json!({ "n": ones(1024) }))),
        ("an even modulus", rsa(json!({ "n": encode([vec![0xff; 255], vec![0xfe]].concat()) }))),
        ("a zero before the modulus", rsa(json!({ "n": encode([vec![0], vec![0xff; 256]].concat()) }))),
        ("an empty modulus", rsa(json!({ "n": "" }))),
        ("the exponent 1", rsa(json!({ "e": "AQ" }))),
        ("the exponent 3", rsa(json!({ "e": "Aw" }))),
        ("the exponent 0", rsa(json!({ "e": "AA" }))),
        ("an even exponent", rsa(json!({ "e": "AQAA" }))),
        ("an exponent of 128 bits", rsa(json!({ "e": ones(16) }))),
    ]
    .into_iter()
    .map(|(name, key)| case("weak-key", name, &[key], Alg::Rs256, Some(KEY)))
    .collect();
    for (name, secret) in [("an empty shared key", String::new()), ("a short shared key", encode([7; 16]))] {
        let key = json!({ "kty": "oct", "kid": "odd", "alg": "HS256", "k": secret });
        let set = json!({ "keys": [key] }).to_string();
        cases.push(raw("weak-key", name, &set, of(CORP, "odd", Alg::Es256).sign(), Some(SET)));
    }
    for (name, x) in [("order 1", [vec![1], vec![0; 31]].concat()), ("order 4", vec![0; 32])] {
        cases.push(small_order(name, &x));
    }
    cases
}

/// An Ed25519 key of small order: without a check, `R = A` and `s = 0` hold for every message in some verifiers.
fn small_order(name: &str, x: &[u8]) -> Value {
    let key = changed(Alg::EdDsa, json!({ "x": encode(x) }));
    let set = json!({ "keys": [key, jwk("beside", Alg::Es256)] }).to_string();
    let token = resigned(&of(CORP, "odd", Alg::EdDsa).sign(), &[x, &[0; 32]].concat());
    raw("ed25519-points", &format!("a key of {name}"), &set, token, Some("token_signature"))
}

/// Keys that are no point of their curve, or no key of their kind.
fn mismatched() -> Vec<Value> {
    let (es, ed) = (|changes| changed(Alg::Es256, changes), |changes| changed(Alg::EdDsa, changes));
    let own = owner().jwk(Alg::Es256);
    let zeros = encode([0; 32]);
    let mut cases: Vec<Value> = [
        ("a point off the curve", es(json!({ "y": own["x"] }))),
        ("the point 0, 0", es(json!({ "x": zeros, "y": zeros }))),
        ("a coordinate of the field's size", es(json!({ "x": encode([0xff; 32]) }))),
        ("a coordinate too short", es(json!({ "x": encode([7; 31]) }))),
        ("a coordinate too long", es(json!({ "x": encode([0; 33]) }))),
        ("no y", es(json!({ "y": null }))),
        ("P-384 by name", es(json!({ "crv": "P-384" }))),
        ("P-521", es(json!({ "crv": "P-521" }))),
        ("secp256k1", es(json!({ "crv": "secp256k1" }))),
        ("no curve", es(json!({ "crv": null }))),
        ("RSA by name", es(json!({ "kty": "RSA" }))),
        ("OKP by name", es(json!({ "kty": "OKP" }))),
        ("ES384 on P-256", es(json!({ "alg": "ES384" }))),
        ("RS256 on P-256", es(json!({ "alg": "RS256" }))),
        ("a kty nobody knows", es(json!({ "kty": "AKP" }))),
        ("padded base64", es(json!({ "x": format!("{}=", own["x"].as_str().expect("a text")) }))),
    ]
    .into_iter()
    .map(|(name, key)| case("key-mismatch", name, &[key], Alg::Es256, Some(KEY)))
    .collect();
    for (name, key) in [
        ("X25519", ed(json!({ "crv": "X25519" }))),
        ("Ed448", ed(json!({ "crv": "Ed448" }))),
        ("31 bytes", ed(json!({ "x": encode([7; 31]) }))),
    ] {
        let set = json!({ "keys": [key, jwk("beside", Alg::Es256)] }).to_string();
        let token = of(CORP, "odd", Alg::EdDsa).sign();
        cases.push(raw("key-mismatch", &format!("Ed25519: {name}"), &set, token, Some(KEY)));
    }
    cases
}

/// Documents that should never have been published, or are none.
fn made_wrong() -> Vec<Value> {
    let es = |changes| changed(Alg::Es256, changes);
    let private = es(json!({ "d": encode([7; 32]) }));
    let hidden = json!({ "kty": "future", "kid": "odd", "d": encode([7; 32]) });
    let primes = changed(Alg::Rs256, json!({ "p": "AQ", "q": "AQ" }));
    let row = "key-meaning";
    let mut cases = vec![
        case(row, "a private EC key", &[private], Alg::Es256, Some(SET)),
        case(row, "an RSA key with its primes", &[primes], Alg::Rs256, Some(SET)),
        case(row, "a private key of a kind nobody knows", &[hidden], Alg::Es256, Some(SET)),
        case(row, "a key that is a text", &[json!("key")], Alg::Es256, Some(SET)),
    ];
    let own = es(json!({})).to_string();
    let twice = own.replacen('{', "{\"kid\":\"other\",", 1);
    for (name, document) in [
        ("a member twice", format!("{{\"keys\":[{twice}]}}")),
        ("`keys` twice", format!("{{\"keys\":[],\"keys\":[{own}]}}")),
        ("a list", format!("[{own}]")),
        ("a single key", own.clone()),
        ("no key", "{\"keys\":[]}".into()),
        ("`keys` an object", format!("{{\"keys\":{{\"odd\":{own}}}}}")),
        ("no JSON", "<html>".into()),
        ("two documents", format!("{{\"keys\":[{own}]}}{{}}")),
    ] {
        cases.push(raw(row, name, &document, of(CORP, "odd", Alg::Es256).sign(), Some(SET)));
    }
    cases
}
