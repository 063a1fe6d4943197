//! `accredit audit …`

mod export;
mod filter;
mod report;
mod row;
mod tail;
mod verify;

use std::error::Error;
use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::Value;

use super::Output;
use super::remote::{Remote, To};
use super::table;
use filter::{Filter, Page};

/// What is done with the audit.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Search the records.
    Query {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        page: Page,
        #[command(flatten)]
        to: To,
    },
    /// Print records as they come, one a line, until it is interrupted.
    Tail {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        to: To,
    },
    /// Write all records that match, in a form other systems read.
    Export(export::Export),
    /// Say what the records say all in all.
    #[command(subcommand)]
    Report(report::Report),
    /// Print the public key that signs checkpoints, for `verify --key`.
    Key {
        #[command(flatten)]
        to: To,
    },
    /// Check that no record was altered, removed, added or moved, without a broker.
    Verify(verify::Verify),
}

impl Audit {
    /// Runs it.
    pub async fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        match self {
            Self::Query { filter, page, to } => {
                let query = [filter.query(), page.query()].concat();
                let answer = Remote::new(&to.remote)?.search(EVENTS, &query).await?;
                let text = match to.output {
                    Output::Json => answer.to_string(),
                    Output::Text => table::of(Some(&row::all(answer.get("records"))), row::COLUMNS),
                };
                seen(say(&text))?;
            }
            Self::Tail { filter, to } => tail::follow(&filter, &to).await?,
            Self::Export(export) => export.run().await?,
            Self::Report(report) => drop(seen(say(&report.run().await?))?),
            Self::Key { to } => {
                let answer = Remote::new(&to.remote)?.get(&["v1", "audit", "key"]).await?;
                to.output.print(&answer, |answer| table::text(answer, "/vkey"));
            }
            Self::Verify(verify) => return verify.run().await,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Where the records are.
const EVENTS: &[&str] = &["v1", "audit", "events"];

/// The number to go on after.
fn number(answer: &Value) -> u64 {
    answer.get("after").and_then(Value::as_u64).unwrap_or_default()
}

/// Prints a line at once.
fn say(line: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
}

/// Whoever reads may have seen enough: a closed pipe is no failure. Out: whether they go on reading.
fn seen(written: io::Result<()>) -> io::Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}
