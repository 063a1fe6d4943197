//! From the policy file to a [`Policy`], with every mistake reported at once.

pub mod check;
pub mod error;
pub mod field;
pub mod raw;
pub mod unit;

use serde::Deserialize as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

pub use error::{ConfigError, ConfigErrors};

use crate::json;
use crate::policy::Policy;
use crate::token::hex;
use error::{Path, Report};

/// Reads a policy written as JSON, as Envoy hands it to the filter.
pub fn parse(bytes: &[u8]) -> Result<Policy, ConfigErrors> {
    match json::text(bytes).and_then(json::value) {
        Ok(value) => read(value),
        Err(flaw) => {
            let mut report = Report::default();
            let hint = "pass the policy as JSON in a `google.protobuf.StringValue`; a `Struct` does not reach the filter as JSON";
            report.advise(&Path::root(), format!("text that is {flaw}"), "a policy in strict JSON", hint);
            report.finish(None)
        }
    }
}

/// Reads a policy that was already taken from JSON or YAML.
pub fn read(value: Value) -> Result<Policy, ConfigErrors> {
    let digest = hex(&Sha256::digest(canonical(&value).as_bytes()));
    let mut report = Report::default();
    let policy = match raw::File::deserialize(value) {
        Ok(file) => check::file(file, digest, &mut report),
        Err(_) => {
            report.add(
                &Path::root(),
                "no object",
                "a policy, an object with `version`, `issuers`, `broker`, `servers`",
            );
            None
        }
    };
    report.finish(policy)
}

/// The value as JSON with sorted names and no white space, so that its digest depends on what it says only.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let mut members: Vec<_> = object.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            let member =
                |(name, value): (&String, &Value)| format!("{}:{}", Value::from(name.as_str()), canonical(value));
            let members: Vec<_> = members.into_iter().map(member).collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
