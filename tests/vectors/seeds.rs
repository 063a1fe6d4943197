//! The inputs fuzzing starts from, and those it once found something with.

#[path = "../fuzz/oracle.rs"]
mod oracle;

use std::fs;
use std::path::Path;

fn each(target: &str, judge: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        judge(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 0, "there are no seeds for `{target}`");
}

#[test]
fn no_seed_passes_for_a_token_that_is_none() {
    each("token", oracle::token);
}

#[test]
fn no_seed_makes_a_key_set_publish_secrets() {
    each("jwks", oracle::jwks);
}

#[test]
fn no_seed_passes_for_a_proof_that_is_none() {
    each("dpop", oracle::dpop);
}

#[test]
fn no_seed_is_one_request_to_us_and_another_to_a_server() {
    each("jsonrpc", oracle::jsonrpc);
}
