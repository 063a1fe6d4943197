//! `accredit secrets put`, `list`, `remove` and `rotate`

use std::error::Error;
use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use accredit_policy::Secret;
use clap::Subcommand;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::remote::{Remote, To};
use super::table;

/// What is done with secrets.
#[derive(Debug, Subcommand)]
pub enum Secrets {
    /// Keep a value under a name, in place of the one before.
    Put {
        /// The name credentials of `kind: static` know it by.
        name: String,
        /// The file that holds the value; standard input unless given. A newline at the end is left out.
        #[arg(long)]
        file: Option<PathBuf>,
        #[command(flatten)]
        to: To,
    },
    /// List names, versions and times; never values.
    List {
        #[command(flatten)]
        to: To,
    },
    /// Forget a secret.
    Remove {
        /// Its name.
        name: String,
        #[command(flatten)]
        to: To,
    },
    /// Make a new data key and seal everything anew with it.
    Rotate {
        #[command(flatten)]
        to: To,
    },
}

impl Secrets {
    /// Runs it.
    pub async fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        match self {
            Self::Put { name, file, to } => {
                let value = read(file.as_deref())?;
                let answer = Remote::new(&to.remote)?.put(&["v1", "secrets", &name], &value).await?;
                to.output.print(&answer, |answer| format!("{name}: version {} is kept", answer["version"]));
            }
            Self::List { to } => {
                let answer = Remote::new(&to.remote)?.get(&["v1", "secrets"]).await?;
                to.output.print(&answer, |answer| table::of(answer.get("secrets"), COLUMNS));
            }
            Self::Remove { name, to } => {
                Remote::new(&to.remote)?.delete(&["v1", "secrets", &name]).await?;
                to.output.print(&json!({ "name": name, "removed": true }), |_| format!("{name}: removed"));
            }
            Self::Rotate { to } => return rotate(&to).await,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What does not open is found wanting.
async fn rotate(to: &To) -> Result<ExitCode, Box<dyn Error>> {
    let answer = Remote::new(&to.remote)?.post(&["v1", "data-keys"], &Value::Null).await?;
    let number = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or_default();
    let text = |answer: &Value| {
        let key = answer.get("key").and_then(Value::as_str).unwrap_or_default();
        let (done, failed) = (number("resealed"), number("failed"));
        format!("data key {key}: {done} values are sealed anew, {failed} do not open")
    };
    to.output.print(&answer, text);
    Ok(if number("failed") == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The value, which never comes as an argument: those show in the list of processes.
fn read(file: Option<&Path>) -> Result<Secret, Box<dyn Error>> {
    let mut text = Zeroizing::new(String::new());
    match file {
        Some(file) => {
            let read = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
            *text = read;
        }
        None => {
            let mut input = std::io::stdin();
            if input.is_terminal() {
                eprintln!("reading the value from standard input, to its end");
            }
            input.read_to_string(&mut text).map_err(|error| format!("standard input: {error}"))?;
        }
    }
    let value = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    match value.is_empty() {
        true => Err("the value is empty".into()),
        false => Ok(Secret::new(value)),
    }
}

const COLUMNS: &[(&str, &str)] =
    &[("NAME", "/name"), ("VERSION", "/version"), ("CREATED", "/created"), ("BY", "/created_by")];
