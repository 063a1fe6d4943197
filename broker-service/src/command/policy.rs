//! `accredit policy check` and `schema`

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use accredit_policy::config::raw;
use serde_json::json;

use super::Output;
use crate::config::{self, Unusable};

/// Checks a file; wrong content is a finding, not a failure.
pub fn check(file: &Path, output: Output) -> Result<ExitCode, Box<dyn Error>> {
    match (config::policy(file), output) {
        (Ok(policy), Output::Text) => {
            println!("{}: valid, {} servers, digest {}", file.display(), policy.servers().count(), policy.digest());
            Ok(ExitCode::SUCCESS)
        }
        (Ok(policy), Output::Json) => {
            println!("{}", json!({ "valid": true, "digest": policy.digest(), "errors": [] }));
            Ok(ExitCode::SUCCESS)
        }
        (Err(Unusable::Content(_, errors)), Output::Json) => {
            let errors: Vec<_> = errors
                .iter()
                .map(|error| {
                    json!({
                        "path": error.path,
                        "found": error.found,
                        "accepted": error.accepted,
                        "hint": error.hint,
                    })
                })
                .collect();
            println!("{}", json!({ "valid": false, "errors": errors }));
            Ok(ExitCode::FAILURE)
        }
        (Err(error), _) => {
            eprintln!("{error}");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Prints the JSON Schema, made from the types that read the file.
pub fn schema() -> Result<ExitCode, Box<dyn Error>> {
    println!("{}", serde_json::to_string_pretty(&schemars::schema_for!(raw::File))?);
    Ok(ExitCode::SUCCESS)
}
