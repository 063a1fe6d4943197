//! `accredit leases list` and `revoke`

use std::error::Error;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::remote::{Remote, To};
use super::table;

/// What is done with leases.
#[derive(Debug, Subcommand)]
pub enum Leases {
    /// List credentials that were minted, the oldest first.
    List {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        to: To,
    },
    /// Take a credential back at its target, where the target can.
    Revoke {
        /// The lease's identifier.
        id: String,
        #[command(flatten)]
        to: To,
    },
}

/// Everything given has to match.
#[derive(Debug, Args)]
pub struct Filter {
    /// Whose call it was for.
    #[arg(long)]
    agent: Option<String>,
    /// For whom the agent acted.
    #[arg(long)]
    subject: Option<String>,
    /// The server's name in the policy.
    #[arg(long)]
    server: Option<String>,
    /// The credential's name.
    #[arg(long)]
    credential: Option<String>,
    /// `open`, `live` or `ended`.
    #[arg(long)]
    state: Option<String>,
    /// Only leases after this one.
    #[arg(long)]
    after: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 100)]
    limit: u16,
}

impl Leases {
    /// Runs it.
    pub async fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        match self {
            Self::List { filter, to } => {
                let Filter { agent, subject, server, credential, state, after, limit } = filter;
                let limit = Some(limit.to_string());
                let query = [
                    ("agent", agent),
                    ("subject", subject),
                    ("server", server),
                    ("credential", credential),
                    ("state", state),
                    ("after", after),
                    ("limit", limit),
                ];
                let answer = Remote::new(&to.remote)?.search(&["v1", "leases"], &query).await?;
                to.output.print(&answer, |answer| table::of(answer.get("leases"), COLUMNS));
                Ok(ExitCode::SUCCESS)
            }
            Self::Revoke { id, to } => {
                let answer = Remote::new(&to.remote)?.delete(&["v1", "leases", &id]).await?;
                let outcome = table::text(&answer, "/outcome");
                to.output.print(&answer, |answer| match table::text(answer, "/outcome").as_str() {
                    "expires" => format!("{id}: the target takes nothing back; it is good until it expires"),
                    "ended" => format!("{id}: it has ended already"),
                    "pending" => format!("{id}: the target has not taken it back yet; the broker goes on trying"),
                    outcome => format!("{id}: {outcome}"),
                });
                // Still good is not what was wanted.
                Ok(if ["expires", "pending"].contains(&outcome.as_str()) {
                    ExitCode::FAILURE
                } else {
                    ExitCode::SUCCESS
                })
            }
        }
    }
}

const COLUMNS: &[(&str, &str)] = &[
    ("ID", "/id"),
    ("STATE", "/state"),
    ("CREDENTIAL", "/credential"),
    ("KIND", "/kind"),
    ("AGENT", "/agent/id"),
    ("FOR", "/subject"),
    ("SERVER", "/server"),
    ("TOOL", "/tool"),
    ("EXPIRES", "/expires"),
];
