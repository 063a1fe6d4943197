//! Where the fuzzers start: a few tokens, sets and proofs, sound and broken.

use serde_json::Value;
use std::fs;
use std::path::Path;

/// Cases that lead into different parts of the core.
const TOKENS: [&str; 8] = [
    "ES256",
    "EdDSA",
    "RS256",
    "`none` without a signature",
    "five parts",
    "crit: an unknown name",
    "general JSON",
    "`exp` is a text",
];
const SETS: [&str; 5] =
    ["members nobody knows", "the exponent 1", "a shared key among public ones", "P-521", "one kid for two keys"];
const PROOFS: [&str; 4] = ["sound", "with its private key", "of a key the token is not bound to", "another host"];

/// Header and claims, under a signature that is not theirs.
const FRAMED: [(&str, &str); 3] = [
    ("framed-claims", include_str!("framed/claims.txt")),
    ("framed-chain", include_str!("framed/chain.txt")),
    ("framed-numbers", include_str!("framed/numbers.txt")),
];

/// Writes them anew, without touching those that fuzzers have found.
pub fn write(document: &Value) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    kept(&root.join("token"), &document["cases"], "token", &TOKENS);
    kept(&root.join("jwks"), &document["sets"], "jwks", &SETS);
    kept(&root.join("dpop"), &document["proofs"]["cases"], "proof", &PROOFS);
    for (name, text) in FRAMED {
        put(&root.join("token"), name, text.trim_end());
    }
    put(&root.join("dpop"), "framed", include_str!("framed/proof.txt").trim_end());
}

fn kept(folder: &Path, cases: &Value, member: &str, names: &[&str]) {
    for name in names {
        let mut found = cases.as_array().expect("there are cases").iter().filter(|case| case["name"] == *name);
        let case = found.next().unwrap_or_else(|| panic!("there is no case `{name}`"));
        put(folder, &plain(name), case[member].as_str().expect("it is a text"));
    }
}

fn put(folder: &Path, name: &str, text: &str) {
    fs::create_dir_all(folder).expect("the folder can be made");
    fs::write(folder.join(name), text).expect("the seed can be written");
}

/// A name for a file.
fn plain(name: &str) -> String {
    let words = name.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase()
}
