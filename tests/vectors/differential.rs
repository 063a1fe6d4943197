//! Generated tokens before two verifiers: ours, and `jsonwebtoken` on aws-lc-rs.
//!
//! They share neither the reading of tokens nor the library of signatures. We may refuse more, for the reasons that are
//! listed; but for one name of an algorithm we accept nothing the other one refuses.

mod plan;
mod theirs;

use accredit_policy::token::{Outcome, Prover};
use accredit_policy::{Policy, Secret, Time, config};
use harness::{Alg, Issuer};
use plan::{Plan, plans};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::UNIX_EPOCH;
use theirs::Theirs;

pub const ISSUER: &str = "https://idp.example.com";
pub const RESOURCE: &str = "https://gateway.example.com/crm/mcp";
/// How far clocks may be apart, in seconds.
pub const SKEW: u64 = 30;

/// Where we refuse what the other verifier accepts: our note, and why.
const STRICTER: &[(&str, &str)] = &[
    ("`typ` is not an access token's", "RFC 9068 §4: one kind of token must not pass for another"),
    ("the header has `crit`", "RFC 7515 §4.1.11: an extension that is not understood has to be refused"),
    ("the header has `b64`", "RFC 7797 §3: the payload would be another one"),
    ("the header has `zip`", "RFC 7516 §4.1.3: signed tokens are not packed"),
    ("the header has `jwk`", "RFC 8725 §3.10: a key that comes with the token proves nothing"),
    ("the header has `jku`", "RFC 8725 §3.10: a key that comes with the token proves nothing"),
    ("the header has `x5u`", "RFC 8725 §3.10: a key that comes with the token proves nothing"),
    ("the header has `x5c`", "RFC 8725 §3.10: a key that comes with the token proves nothing"),
    ("the header has `cty`", "RFC 8725 §3.11: a token within the token would be judged by nobody"),
    ("the header is not one strict JSON object", "RFC 7515 §4: names must be unique"),
    (
        "the claims are not one strict JSON object",
        "RFC 7519 §4: names must be unique, and servers may read another one",
    ),
    ("`exp` is past", "RFC 7519 §4.1.4: on or after the end; the other one accepts the last second"),
    ("`nbf` or `iat` is in the future", "a token of the future was not issued yet; the other one does not read `iat`"),
    ("the lifetime is longer than `max_token_lifetime`", "the policy bounds what a stolen token is good for"),
    (
        "a header parameter is not a string",
        "RFC 7515 §4.1: `kid` and `typ` are strings; the other one passes over `null`",
    ),
    ("`sub`, `jti`, `iat` or `client_id` is missing, which an `at+jwt` has", "RFC 9068 §2.2"),
    ("a claim is no plain string", "claims that are compared and recorded have to be text"),
    ("the scope claim is no list of scopes", "RFC 6749 §3.3: what is granted has to be readable"),
    ("a time is no positive number", "RFC 7519 §2: a NumericDate is a number; the other one does not read `iat`"),
    ("this server does not accept the issuer", "RFC 7519 §4.1.1: `iss` is one string; the other one takes a list"),
];

/// Where the other verifier refuses what we accept: what it says, and why.
const LOOSER: &[(&str, &str)] =
    &[("unknown variant `Ed25519`", "RFC 9864 §2.2 has given EdDSA on that curve a name of its own")];

#[test]
fn nothing_is_accepted_that_another_verifier_refuses() {
    let pair = Pair::new();
    let config = Config { cases: 2048, failure_persistence: None, ..Config::default() };
    let judged = TestRunner::new(config).run(&plans(), |plan| pair.judge(&plan).map(drop).map_err(TestCaseError::fail));
    judged.unwrap_or_else(|failed| panic!("{failed}"));
}

#[test]
fn we_are_stricter_in_every_way_that_is_listed() {
    let pair = Pair::new();
    let mut runner = TestRunner::deterministic();
    let mut missing: BTreeSet<&str> = STRICTER.iter().map(|(note, _)| *note).collect();
    for _ in 0..20_000 {
        let plan = plans().new_tree(&mut runner).unwrap().current();
        if let Some(note) = pair.judge(&plan).unwrap() {
            missing.remove(note);
        }
        if missing.is_empty() {
            return;
        }
    }
    panic!("nobody is stricter any more about {missing:?}");
}

/// Both verifiers, with the same issuer, audience, algorithms and clock.
struct Pair {
    issuer: Issuer,
    policy: Policy,
    theirs: Theirs,
}

impl Pair {
    fn new() -> Self {
        let issuer = Issuer::new(ISSUER);
        let keys: Vec<Value> = Alg::ALL.iter().map(|alg| key(&issuer, *alg)).collect();
        Self { policy: policy(&keys), theirs: Theirs::new(&keys), issuer }
    }

    /// The note of the rule by which only we refuse; an error where the verdicts may not differ as they do.
    fn judge(&self, plan: &Plan) -> Result<Option<&'static str>, String> {
        loop {
            let now = now();
            let token = plan.token(&self.issuer, now);
            let (ours, theirs) = (self.ours(&token, now), self.theirs.accepts(&token));
            if now != self::now() {
                continue; // The other verifier reads the clock itself.
            }
            return match (ours, theirs) {
                (Ok(()), Err(why)) if LOOSER.iter().any(|(known, _)| why.contains(known)) => Ok(None),
                (Ok(()), Err(why)) => Err(format!("only we accept, they say {why}: {token}")),
                (Err(note), Ok(())) if STRICTER.iter().any(|(known, _)| *known == note) => Ok(Some(note)),
                (Err(note), Ok(())) => Err(format!("only we refuse, since {note}: {token}")),
                _ => Ok(None),
            };
        }
    }

    fn ours(&self, token: &str, now: u64) -> Result<(), &'static str> {
        let now = Time::from_seconds(now);
        let server = self.policy.server("crm").unwrap();
        match Prover::default().prove(&Secret::new(token), server, &self.policy, now, now) {
            Outcome::Proved(_) => Ok(()),
            Outcome::Refused(refusal) => Err(refusal.note),
            Outcome::Waits(issuer) => panic!("waits for {issuer}"),
        }
    }
}

/// The issuer's key for one algorithm, named after it.
fn key(issuer: &Issuer, alg: Alg) -> Value {
    let mut jwk = issuer.jwk(alg);
    jwk["kid"] = json!(alg.name());
    jwk
}

fn policy(keys: &[Value]) -> Policy {
    let names: Vec<&str> = Alg::ALL.iter().map(|alg| alg.name()).collect();
    let policy = json!({
        "version": 1,
        "issuers": { "corp": {
            "issuer": ISSUER, "jwks": { "keys": keys }, "algorithms": names, "clock_skew": format!("{SKEW}s"),
        } },
        "broker": { "cluster": "broker", "authority": "broker.internal" },
        "servers": { "crm": {
            "resource": RESOURCE, "match": { "host": "gateway.example.com", "path": "/crm/mcp" }, "protocol": "mcp",
            "issuers": ["corp"],
        } },
    });
    config::read(policy).unwrap()
}

fn now() -> u64 {
    UNIX_EPOCH.elapsed().unwrap().as_secs()
}
