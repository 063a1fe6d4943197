//! Where our verdict is not Wycheproof's, and why.

use super::{Group, Test, jose, raw};
use serde_json::Value;

/// Single tests: file, number, reason.
const TESTS: &[(&str, u64, &str)] = &[
    ("json_web_signature_test.json", 346, "the key says `PS256`, the token `PS384`: a key serves one algorithm"),
    ("json_web_signature_test.json", 350, "the key says `PS256`, the token `PS384`: a key serves one algorithm"),
    ("rsa_pss_2048_sha256_mgf1_0_test.json", 69, "wrong in its file for a salt of 32 bytes, which is right in JOSE"),
];

/// Why our verdict may differ; `None` where it may not. A rule for many tests only ever excuses a refusal.
pub fn exception(file: &str, group: &Group, test: &Test) -> Option<&'static str> {
    let single = TESTS.iter().find(|(name, id, _)| *name == file && *id == test.tc_id).map(|(.., why)| *why);
    single.or_else(|| (test.result == "valid").then(|| unsupported(group))?)
}

/// Keys we take no signature of.
fn unsupported(group: &Group) -> Option<&'static str> {
    let is = |name: &str, value: &str| keys(group).iter().any(|key| key.get(name).is_some_and(|one| one == value));
    let exponent = group.about.get("publicKey").and_then(|key| key.get("publicExponent")).and_then(Value::as_str);
    match () {
        () if is("kty", "oct") => Some("shared keys prove nothing to a verifier that could have signed itself"),
        () if is("crv", "P-521") => Some("ES512 is not among our algorithms"),
        () if raw::salted(group) => Some("a salt is as long as the hash"),
        () if exponent.is_some_and(|e| e == "03") => Some("an exponent of at least 65537 is asked for"),
        () if group.about.get("keySize").and_then(Value::as_u64).is_some_and(|size| size > 4096) => {
            Some("a modulus of at most 4096 bits bounds the work")
        }
        () => None,
    }
}

fn keys(group: &Group) -> Vec<Value> {
    jose::keys(group).and_then(|set| set["keys"].as_array().cloned()).unwrap_or_default()
}
