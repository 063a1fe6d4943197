//! `accredit keys list` and `rotate`

use std::error::Error;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::remote::{Remote, To};
use super::table;

/// What is done with signing keys.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// List the keys that are published, and what each does.
    List {
        #[command(flatten)]
        to: To,
    },
    /// Make a new key, which is published for a while before it signs.
    Rotate {
        /// The older keys are in the wrong hands: the new one signs at once, and no token of theirs is good any more.
        #[arg(long)]
        now: bool,
        /// Why, for the record.
        #[arg(long)]
        why: Option<String>,
        #[command(flatten)]
        to: To,
    },
}

impl Keys {
    /// Runs it.
    pub async fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        let (to, answer) = match self {
            Self::List { to } => {
                let answer = Remote::new(&to.remote)?.get(&["v1", "keys"]).await?;
                (to, answer)
            }
            Self::Rotate { now, why, to } => {
                let wish = json!({ "now": now, "why": why });
                let answer = Remote::new(&to.remote)?.post(&["v1", "keys", "rotate"], &wish).await?;
                (to, answer)
            }
        };
        to.output.print(&answer, |answer| table::of(answer.get("keys"), COLUMNS));
        Ok(ExitCode::SUCCESS)
    }
}

const COLUMNS: &[(&str, &str)] =
    &[("KID", "/kid"), ("STATE", "/state"), ("CREATED", "/created"), ("SIGNS FROM", "/signs_from"), ("ENDS", "/ends")];
