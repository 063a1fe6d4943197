//! `accredit policy explain`: what the filter would do with a request, from files.

mod offline;

use std::error::Error;
use std::io::{self, BufRead, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use accredit_policy::Policy;
use clap::Args;
use serde_json::Value;

use super::Output;
use crate::config;
use offline::Offline;

/// What to explain.
#[derive(Debug, Args)]
pub struct Explain {
    /// The policy, YAML or JSON.
    #[arg(long)]
    policy: PathBuf,
    /// The request as JSON, or `-` for standard input.
    #[arg(long)]
    request: PathBuf,
    /// One request a line, one answer a line.
    #[arg(long)]
    batch: bool,
    /// The keys of an issuer of the policy, in place of fetching them.
    #[arg(long, value_name = "ISSUER=FILE")]
    jwks: Vec<String>,
    /// A status list token, in place of fetching it.
    #[arg(long, value_name = "URL=FILE")]
    status_list: Vec<String>,
    /// How to print the verdict.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl Explain {
    /// Prints the verdict; exit code 0 for a permit, 1 for a denial. A batch is 0 when every line was answered.
    pub fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        let mut policy = config::policy(&self.policy)?;
        for pair in &self.jwks {
            pin(&mut policy, pair)?;
        }
        let lists = self.status_list.iter().map(|pair| list(pair)).collect::<Result<_, _>>()?;
        let mut offline = Offline::new(policy, lists);
        if self.batch {
            return self.batch(&mut offline);
        }
        let text = match self.request.as_os_str() == "-" {
            true => io::read_to_string(io::stdin())?,
            false => std::fs::read_to_string(&self.request)
                .map_err(|error| format!("{}: {error}", self.request.display()))?,
        };
        let verdict = offline.explain(&text);
        match self.output {
            Output::Json => println!("{verdict}"),
            Output::Text => people(&verdict),
        }
        let permitted = verdict.get("decision").is_some_and(|decision| decision == "permit");
        Ok(if permitted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn batch(&self, offline: &mut Offline) -> Result<ExitCode, Box<dyn Error>> {
        let input: Box<dyn BufRead> = match self.request.as_os_str() == "-" {
            true => Box::new(io::stdin().lock()),
            false => Box::new(io::BufReader::new(
                std::fs::File::open(&self.request).map_err(|error| format!("{}: {error}", self.request.display()))?,
            )),
        };
        let mut output = io::BufWriter::new(io::stdout().lock());
        // Lines are bytes: one that is no UTF-8 is answered like any other that cannot be read.
        for line in input.split(b'\n') {
            let line = line?;
            let answer = match std::str::from_utf8(&line) {
                Ok(text) => offline.explain(text),
                Err(_) => offline::unreadable("not UTF-8"),
            };
            writeln!(output, "{answer}")?;
        }
        output.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Puts the keys of `ISSUER=FILE` into the policy.
fn pin(policy: &mut Policy, pair: &str) -> Result<(), Box<dyn Error>> {
    let (issuer, file) =
        pair.split_once('=').ok_or_else(|| format!("--jwks: found `{pair}`, accepted is `ISSUER=FILE`"))?;
    let document = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
    match policy.pin(issuer, &document).map_err(|bad| format!("{file}: the document {bad}"))? {
        true => Ok(()),
        false => Err(format!("--jwks: found `{issuer}`, accepted is a name below `issuers` of the policy").into()),
    }
}

/// Reads the status list of `URL=FILE`.
fn list(pair: &str) -> Result<(String, Vec<u8>), Box<dyn Error>> {
    let (url, file) =
        pair.split_once('=').ok_or_else(|| format!("--status-list: found `{pair}`, accepted is `URL=FILE`"))?;
    let document = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
    Ok((url.to_owned(), document))
}

fn people(verdict: &Value) {
    let fields = [
        "decision",
        "reason",
        "status",
        "server",
        "agent",
        "subject",
        "chain",
        "tool",
        "scopes",
        "credential",
        "error",
    ];
    let shown = fields.into_iter().filter_map(|name| Some((name, verdict.get(name)?)));
    for (name, value) in
        shown.filter(|(_, value)| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()))
    {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        println!("{name:<11}{text}");
    }
}
