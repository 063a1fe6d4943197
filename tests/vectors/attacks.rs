//! Every vector through the core, with the core's own check of signatures and with a host's.

use crate::file::{NOW, policy, vectors, verdict};
use crate::host;
use accredit_policy::Time;
use accredit_policy::nonce::Nonce;
use accredit_policy::token::dpop::{self, Demand, Expected};
use accredit_policy::token::native::{self, Native};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;

/// Who checks signatures: the core itself, or a host.
const CHECKERS: [(&str, Native); 2] = [("the core", native::absent), ("a host", host::native)];

/// The kinds of attack there have to be vectors of.
const ROWS: [&str; 18] = [
    "alg-none",
    "base64",
    "claims",
    "crit",
    "cross-kind",
    "duplicates",
    "ecdsa-range",
    "ed25519-points",
    "embedded-key",
    "encryption",
    "hmac-confusion",
    "key-lookup",
    "rsa-padding",
    "rsa-scheme",
    "serialization",
    "sound",
    "time-overflow",
    "type-confusion",
];

#[test]
fn every_token_is_judged_as_expected_whoever_checks_signatures() {
    let policy = policy();
    for case in &vectors().cases {
        for (whose, native) in CHECKERS {
            let verdict = verdict(&case.token, &policy, native, NOW);
            assert_eq!(verdict.err(), case.reason.as_deref(), "{}: {} ({whose})", case.row, case.name);
        }
    }
}

#[test]
fn a_key_set_with_a_flaw_proves_nothing_with_the_flawed_key() {
    for set in &vectors().sets {
        for (whose, native) in CHECKERS {
            let mut policy = policy();
            let reason = match policy.pin("corp", set.jwks.as_bytes()) {
                Ok(_) => verdict(&set.token, &policy, native, NOW).err(),
                Err(_) => Some("key_set_refused"),
            };
            assert_eq!(reason, set.reason.as_deref(), "{}: {} ({whose})", set.row, set.name);
        }
    }
}

#[test]
fn a_proof_is_good_for_its_request_its_token_and_its_key_only() {
    let proofs = &vectors().proofs;
    let key: [u8; 32] = URL_SAFE_NO_PAD.decode(&proofs.thumbprint).unwrap().try_into().unwrap();
    let token: [u8; 32] = Sha256::digest(&proofs.token).into();
    let nonce = Nonce::new([7; 32]);
    let expected = Expected {
        method: &proofs.method,
        url: &proofs.url,
        token: &token,
        key: &key,
        demand: Demand::default(),
        nonce: &nonce,
    };
    for case in &proofs.cases {
        for (whose, native) in CHECKERS {
            let verdict = dpop::check(&case.proof, &expected, native, Time::from_seconds(proofs.now));
            let reason = verdict.err().map(|refusal| refusal.reason.name());
            assert_eq!(reason, case.reason.as_deref(), "{}: {} ({whose})", case.row, case.name);
        }
    }
}

#[test]
fn every_kind_of_attack_has_a_vector_and_every_vector_a_name_of_its_own() {
    let vectors = vectors();
    let rows: BTreeSet<&str> = vectors.cases.iter().map(|case| case.row.as_str()).collect();
    assert_eq!(rows.into_iter().collect::<Vec<_>>(), ROWS);
    let names: BTreeSet<_> = vectors.cases.iter().map(|case| (&case.row, &case.name)).collect();
    assert_eq!(names.len(), vectors.cases.len());
    let names: BTreeSet<_> = vectors.sets.iter().map(|set| (&set.row, &set.name)).collect();
    assert_eq!(names.len(), vectors.sets.len());
}

#[test]
fn every_other_kind_of_token_is_offered_to_every_kind_of_issuer() {
    let crossed: Vec<_> = vectors().cases.iter().filter(|case| case.row == "cross-kind").collect();
    assert!(crossed.iter().all(|case| case.reason.is_some()));
    for kind in [
        "DPoP proof",
        "ID token as JWT",
        "ID-JAG",
        "SET",
        "SET as JWT",
        "client attestation",
        "introspection response",
        "logout token",
        "logout token as JWT",
        "status list token",
        "transaction token",
    ] {
        for issuer in ["at+jwt", "any type"] {
            let name = format!("{kind} at an issuer of {issuer}");
            assert!(crossed.iter().any(|case| case.name == name), "{name}");
        }
    }
    assert!(crossed.iter().any(|case| case.name.starts_with("JWE at")));
}
