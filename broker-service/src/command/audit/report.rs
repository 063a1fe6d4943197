//! What the records say all in all.

mod dot;

use std::error::Error;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::filter::{Query, moment};
use super::row::short;
use crate::command::Output;
use crate::command::remote::{Remote, To};
use crate::command::table;

/// A report.
#[derive(Debug, Subcommand)]
pub enum Report {
    /// Scopes and resources that agents were granted and nobody has used.
    UnusedScopes {
        #[command(flatten)]
        since: Since,
        /// Only this agent.
        #[arg(long)]
        agent: Option<String>,
        #[command(flatten)]
        to: To,
    },
    /// What was denied, and the smallest change that would permit it.
    Denied {
        #[command(flatten)]
        since: Since,
        /// Only this agent.
        #[arg(long)]
        agent: Option<String>,
        #[command(flatten)]
        to: To,
    },
    /// Agents that nobody has seen for long, whose time is over, and owners who have no other.
    Dormant {
        /// How long is long.
        #[arg(long, default_value_t = 30)]
        days: u16,
        #[command(flatten)]
        to: To,
    },
    /// What an agent can get at, by itself and through those it may hand tasks on to.
    Reach {
        /// The agent.
        agent: String,
        #[command(flatten)]
        since: Since,
        #[command(flatten)]
        to: To,
    },
    /// Who hands tasks on to whom.
    Chains {
        #[command(flatten)]
        since: Since,
        /// Only what goes to this agent or comes from it.
        #[arg(long)]
        agent: Option<String>,
        /// Print a graph for Graphviz.
        #[arg(long, conflicts_with = "output")]
        dot: bool,
        #[command(flatten)]
        to: To,
    },
}

/// How far back.
#[derive(Debug, Args)]
pub struct Since {
    /// Not before this moment: `2027-01-31T00:00:00Z`, or how long ago, as `15m` or `2d`; the last 30 days unless given,
    /// and for `reach` ever.
    #[arg(long, value_parser = moment)]
    since: Option<String>,
}

/// Turns an answer into what people read.
type Show = fn(&Value) -> String;

impl Report {
    /// What it says.
    pub async fn run(self) -> Result<String, Box<dyn Error>> {
        let (name, query, to, show) = self.parts();
        let answer = Remote::new(&to.remote)?.search(&["v1", "audit", "reports", name], &query).await?;
        if answer.get("truncated").is_some_and(|cut| *cut == true) {
            eprintln!("there is more than is shown");
        }
        Ok(match to.output {
            Output::Json => answer.to_string(),
            Output::Text => show(&answer),
        })
    }

    /// Its name, what it is about, where to ask and how to show it.
    fn parts(self) -> (&'static str, Query, To, Show) {
        match self {
            Self::UnusedScopes { since: Since { since }, agent, to } => {
                ("unused-scopes", vec![("since", since), ("agent", agent)], to, unused)
            }
            Self::Denied { since: Since { since }, agent, to } => {
                ("denied", vec![("since", since), ("agent", agent)], to, denied)
            }
            Self::Dormant { days, to } => ("dormant", vec![("days", Some(days.to_string()))], to, dormant),
            Self::Reach { agent, since: Since { since }, to } => {
                ("reach", vec![("since", since), ("agent", Some(agent))], to, reach)
            }
            Self::Chains { since: Since { since }, agent, dot, to } => {
                ("chains", vec![("since", since), ("agent", agent)], to, if dot { dot::graph } else { chains })
            }
        }
    }
}

fn unused(answer: &Value) -> String {
    const COLUMNS: &[(&str, &str)] = &[
        ("AGENT", "/agent"),
        ("STATUS", "/status"),
        ("OWNER", "/owner"),
        ("SCOPES", "/scopes"),
        ("RESOURCES", "/resources"),
    ];
    table::of(answer.get("agents"), COLUMNS)
}

fn denied(answer: &Value) -> String {
    const COLUMNS: &[(&str, &str)] = &[
        ("COUNT", "/count"),
        ("AGENT", "/agent"),
        ("SERVER", "/server"),
        ("TOOL", "/tool"),
        ("REASON", "/reason"),
        ("LAST", "/last"),
        ("WOULD PERMIT", "/fix"),
    ];
    let rows = answer.get("denials").and_then(Value::as_array).into_iter().flatten().map(|row| {
        let text = |pointer: &str| table::text(row, pointer);
        json!({
            "count": text("/count"),
            "agent": short(&text("/agent")),
            "server": text("/server"),
            "tool": short(&text("/tool")),
            "reason": text("/reason"),
            "last": text("/last"),
            "fix": fix(&text),
        })
    });
    table::of(Some(&rows.collect()), COLUMNS)
}

/// A change on one line: which file, where in it, and what to add.
fn fix(text: &impl Fn(&str) -> String) -> String {
    match (text("/fix/at").as_str(), text("/fix/add").as_str()) {
        ("-", _) => "-".to_owned(),
        (at, "-") => format!("{at}: {}", text("/fix/path")),
        (at, add) => format!("{at}: {} + {}", text("/fix/path"), short(add)),
    }
}

fn dormant(answer: &Value) -> String {
    const COLUMNS: &[(&str, &str)] = &[
        ("AGENT", "/agent"),
        ("STATUS", "/status"),
        ("OWNER", "/owner"),
        ("WHY", "/why"),
        ("LAST SEEN", "/last_seen"),
        ("EXPIRES", "/expires_at"),
    ];
    const OWNERS: &[(&str, &str)] = &[("OWNER WITHOUT AN ACTIVE AGENT", "/owner"), ("AGENTS", "/agents")];
    format!("{}\n\n{}", table::of(answer.get("agents"), COLUMNS), table::of(answer.get("owners"), OWNERS))
}

fn reach(answer: &Value) -> String {
    const TOOLS: &[(&str, &str)] = &[
        ("HOLDER", "/holder"),
        ("SERVER", "/server"),
        ("TOOL", "/tool"),
        ("SCOPES", "/scopes"),
        ("CREDENTIAL", "/credential"),
        ("CONDITIONAL", "/conditional"),
        ("CALLS", "/calls"),
        ("LAST USED", "/last_used"),
    ];
    const AGENTS: &[(&str, &str)] = &[
        ("HANDS ON TO", "/agent"),
        ("DEPTH", "/depth"),
        ("THROUGH", "/through"),
        ("SCOPES", "/scopes"),
        ("LAST USED", "/last_used"),
    ];
    format!("{}\n\n{}", table::of(answer.get("tools"), TOOLS), table::of(answer.get("agents"), AGENTS))
}

fn chains(answer: &Value) -> String {
    const COLUMNS: &[(&str, &str)] = &[
        ("FROM", "/from"),
        ("TO", "/to"),
        ("TAKEN OVER", "/taken"),
        ("CALLS", "/calls"),
        ("DENIED", "/denied"),
        ("LAST", "/last"),
    ];
    table::of(answer.get("edges"), COLUMNS)
}
