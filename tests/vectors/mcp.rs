//! Requests an attacker would send, and what has to become of each: in the core, in the filter, and in
//! `tests/envoy/attacks.rs` in Envoy.

pub mod case;
mod core;
mod filter;

use case::{RESOURCE, Verdict, cases, server};
use harness::{Alg, Issuer};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const ISSUER: &str = "https://idp.example.com";

const SESSION_KEY: &str = "0123456789abcdef0123456789abcdef";

/// A token that may read, and nothing else.
fn token() -> String {
    Issuer::new(ISSUER).token().alg(Alg::EdDsa).audience(RESOURCE).scope("crm:read").sign()
}

fn policy() -> Value {
    let mut server = server();
    server["issuers"] = json!(["corp"]);
    json!({
        "version": 1,
        "issuers": { "corp": {
            "issuer": ISSUER, "jwks": Issuer::new(ISSUER).jwks(), "algorithms": ["RS256", "ES256", "EdDSA"],
        } },
        "session_key": { "env": "ACCREDIT_SESSION_KEY" },
        "broker": { "cluster": "broker", "authority": "broker.internal" },
        "servers": { "crm": server },
    })
}

#[test]
fn every_request_has_a_name_of_its_own_and_says_what_goes_wrong() {
    let cases = cases();
    let names: BTreeSet<_> = cases.iter().map(|case| (&case.topic, &case.name)).collect();
    assert_eq!(names.len(), cases.len());
    for case in &cases {
        assert!(!case.naive.is_empty(), "{}", case.name);
        let judged = case.verdict.is_some() || (case.http1.is_some() && case.http2.is_some());
        assert!(judged, "{}: there is nothing to compare", case.name);
    }
}

#[test]
fn there_are_requests_of_every_kind_permitted_and_denied() {
    let cases = cases();
    let topics: BTreeSet<_> = cases.iter().map(|case| case.topic.as_str()).collect();
    for topic in topics {
        let of = |permit: bool| {
            let about = cases.iter().filter(|case| case.topic == topic);
            about.filter(|case| matches!(case.verdict, Some(Verdict::Permit(..))) == permit).count()
        };
        assert!(of(true) > 0 && of(false) > 0, "{topic} has only requests of one kind");
    }
}
