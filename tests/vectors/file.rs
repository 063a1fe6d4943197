//! The vectors in `attacks.json`.

use accredit_policy::token::native::Native;
use accredit_policy::token::{Outcome, Prover};
use accredit_policy::{Policy, Secret, Time};
use serde::Deserialize;
use serde_json::Value;
use std::sync::OnceLock;

/// Within the life of the tokens, outside of that of those that are too old or too new.
pub const NOW: Time = Time::from_seconds(1_800_000_000);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vectors {
    pub policy: Value,
    pub cases: Vec<Case>,
    pub sets: Vec<Set>,
    pub proofs: Proofs,
}

/// A token, and the reason it is refused for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub row: String,
    pub name: String,
    pub token: String,
    pub reason: Option<String>,
}

/// A key set, and what becomes of a token that is signed with its odd key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    pub row: String,
    pub name: String,
    pub jwks: String,
    pub token: String,
    pub reason: Option<String>,
}

/// DPoP proofs for one request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proofs {
    pub now: u64,
    pub method: String,
    pub url: String,
    pub token: String,
    pub thumbprint: String,
    pub cases: Vec<Proof>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    pub row: String,
    pub name: String,
    pub proof: String,
    pub reason: Option<String>,
}

pub fn vectors() -> &'static Vectors {
    static READ: OnceLock<Vectors> = OnceLock::new();
    READ.get_or_init(|| serde_json::from_str(include_str!("attacks.json")).unwrap())
}

pub fn policy() -> Policy {
    accredit_policy::config::read(vectors().policy.clone()).unwrap()
}

/// The name of the reason a token is refused for.
pub fn verdict(token: &str, policy: &Policy, native: Native, now: Time) -> Result<(), &'static str> {
    let server = policy.server("crm").unwrap();
    match Prover::new(native, 0).prove(&Secret::new(token), server, policy, now, now) {
        Outcome::Proved(_) => Ok(()),
        Outcome::Refused(refusal) => Err(refusal.reason.name()),
        Outcome::Waits(issuer) => panic!("waits for {issuer}"),
    }
}
