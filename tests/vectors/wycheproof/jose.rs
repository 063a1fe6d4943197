//! Signed tokens, and the keys or key sets they are to be checked with.

use super::{Group, Test, holds};
use accredit_policy::token::jwk::{Reading, Usage};
use accredit_policy::token::jws::Compact;
use accredit_policy::token::{Algorithm, KeySet};
use serde_json::{Value, json};

/// Whether the token holds; `None` for a test of another kind.
pub fn verdict(group: &Group, test: &Test) -> Option<bool> {
    let token = match test.jws.as_ref()? {
        Value::String(compact) => compact.clone(),
        other => other.to_string(),
    };
    Some(proves(&token, &keys(group)?).unwrap_or(false))
}

/// The keys the checker has. Shared keys have no public half.
pub fn keys(group: &Group) -> Option<Value> {
    let keys = group.about.get("public").or_else(|| group.about.get("private"))?;
    Some(match keys.get("keys") {
        Some(_) => keys.clone(),
        None => json!({ "keys": [keys] }),
    })
}

fn proves(token: &str, keys: &Value) -> Option<bool> {
    let reading = Reading { accepted: Algorithm::ALL, usage: Usage::Signature };
    let keys = KeySet::parse(keys.to_string().as_bytes(), reading).ok()?;
    let compact = Compact::parse(token).ok()?;
    let header = compact.header().ok()?;
    let key = keys.find(header.key.as_deref(), header.algorithm)?;
    Some(holds(key.verifier(), &compact.signature, compact.signed.as_bytes()))
}
