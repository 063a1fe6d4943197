//! Bare signatures: a key, a message, bytes.

use super::{Group, Test, holds};
use accredit_policy::token::jwk::{Reading, Usage};
use accredit_policy::token::{Algorithm, KeySet, encode};
use serde_json::{Value, json};

/// Whether the signature holds; `None` for an algorithm JOSE does not have or we do not know.
pub fn verdict(group: &Group, test: &Test) -> Option<bool> {
    let (message, signature) = (unhex(test.msg.as_ref()?)?, unhex(test.sig.as_ref()?)?);
    let (algorithm, key) = match group.r#type.as_str() {
        "RsassaPkcs1Verify" => (pkcs1(group)?, rsa(group)?),
        "RsassaPssVerify" => (pss(group)?, rsa(group)?),
        "EcdsaP1363Verify" => curve(group)?,
        "EddsaVerify" => (Algorithm::EdDsa, edwards(group)?),
        _ => return None,
    };
    let reading = Reading { accepted: &[algorithm], usage: Usage::Signature };
    let keys = KeySet::read(&[key], reading);
    let key = keys.as_ref().ok().and_then(|keys| keys.find(None, algorithm));
    Some(key.is_some_and(|key| holds(key.verifier(), &signature, &message)))
}

fn pkcs1(group: &Group) -> Option<Algorithm> {
    match text(group, "sha")? {
        "SHA-256" => Some(Algorithm::Rs256),
        "SHA-384" => Some(Algorithm::Rs384),
        "SHA-512" => Some(Algorithm::Rs512),
        _ => None,
    }
}

/// [RFC 7518 §3.5](https://www.rfc-editor.org/rfc/rfc7518#section-3.5): one hash for all.
fn pss(group: &Group) -> Option<Algorithm> {
    let hash = text(group, "sha")?;
    let one = text(group, "mgf") == Some("MGF1") && text(group, "mgfSha") == Some(hash);
    match hash {
        "SHA-256" if one => Some(Algorithm::Ps256),
        "SHA-384" if one => Some(Algorithm::Ps384),
        "SHA-512" if one => Some(Algorithm::Ps512),
        _ => None,
    }
}

/// Whether the salt has another length than the hash, which JOSE does not allow.
pub fn salted(group: &Group) -> bool {
    let length = group.about.get("sLen").and_then(Value::as_u64);
    let hash = match text(group, "sha") {
        Some("SHA-256") => 32,
        Some("SHA-384") => 48,
        _ => 64,
    };
    length.is_some_and(|length| length != hash)
}

fn curve(group: &Group) -> Option<(Algorithm, Value)> {
    let key = group.about.get("publicKey")?;
    let (algorithm, crv) = match (key.get("curve")?.as_str()?, text(group, "sha")?) {
        ("secp256r1", "SHA-256") => (Algorithm::Es256, "P-256"),
        ("secp384r1", "SHA-384") => (Algorithm::Es384, "P-384"),
        _ => return None,
    };
    let point = unhex(key.get("uncompressed")?.as_str()?)?;
    let (x, y) = point.get(1..)?.split_at(point.len() / 2);
    Some((algorithm, json!({ "kty": "EC", "crv": crv, "x": encode(x), "y": encode(y) })))
}

fn edwards(group: &Group) -> Option<Value> {
    let key = group.about.get("publicKey")?;
    let bytes = unhex(key.get("pk")?.as_str()?)?;
    (key.get("curve")? == "edwards25519").then(|| json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(&bytes) }))
}

fn rsa(group: &Group) -> Option<Value> {
    let key = group.about.get("publicKey")?;
    let number = |name: &str| {
        let bytes = unhex(key.get(name)?.as_str()?)?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Some(encode(&bytes[zeros..]))
    };
    Some(json!({ "kty": "RSA", "n": number("modulus")?, "e": number("publicExponent")? }))
}

fn text<'a>(group: &'a Group, name: &str) -> Option<&'a str> {
    group.about.get(name)?.as_str()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    digits.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}
