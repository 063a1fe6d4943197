//! `accredit agents register`, `list`, `show`, `suspend`, `resume`, `retire`, `rotate-secret` and `export`

use std::error::Error;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::remote::{Remote, To};
use super::table;

/// What is done with agents.
#[derive(Debug, Subcommand)]
pub enum Agents {
    /// Register an agent. Its secret is printed, this once.
    Register {
        /// The registration as YAML or JSON, in the form agents have in `broker.yaml`; `-` reads standard input.
        file: PathBuf,
        /// Change what is said of an agent that is registered already; its secret stays.
        #[arg(long)]
        change: bool,
        #[command(flatten)]
        to: To,
    },
    /// List all agents.
    List {
        #[command(flatten)]
        to: To,
    },
    /// Show one agent.
    Show {
        /// Its identifier.
        id: String,
        #[command(flatten)]
        to: To,
    },
    /// Refuse an agent everywhere, until it is resumed.
    Suspend {
        /// Its identifier.
        id: String,
        #[command(flatten)]
        why: Why,
        #[command(flatten)]
        to: To,
    },
    /// Let a suspended agent go on.
    Resume {
        /// Its identifier.
        id: String,
        #[command(flatten)]
        why: Why,
        #[command(flatten)]
        to: To,
    },
    /// Refuse an agent everywhere, for good.
    Retire {
        /// Its identifier.
        id: String,
        #[command(flatten)]
        why: Why,
        #[command(flatten)]
        to: To,
    },
    /// Make a new secret and print it, this once; the old one is worth nothing from then on.
    RotateSecret {
        /// The agent's identifier.
        id: String,
        #[command(flatten)]
        to: To,
    },
    /// Print all agents in the form they have in `broker.yaml`, without secrets.
    Export {
        #[command(flatten)]
        to: To,
    },
}

/// Why, for the record.
#[derive(Debug, clap::Args)]
pub struct Why {
    /// Why, for the record.
    #[arg(long)]
    why: Option<String>,
}

impl Agents {
    /// Runs it.
    pub async fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        match self {
            Self::Register { file, change, to } => register(&file, change, &to).await?,
            Self::List { to } => {
                let answer = Remote::new(&to.remote)?.get(&["v1", "agents"]).await?;
                to.output.print(&answer, |answer| table::of(answer.get("agents"), COLUMNS));
            }
            Self::Show { id, to } => {
                let answer = Remote::new(&to.remote)?.get(&["v1", "agents", &id]).await?;
                to.output.print(&answer, table::members);
            }
            Self::Suspend { id, why, to } => turn(&id, "suspend", why, &to).await?,
            Self::Resume { id, why, to } => turn(&id, "resume", why, &to).await?,
            Self::Retire { id, why, to } => turn(&id, "retire", why, &to).await?,
            Self::RotateSecret { id, to } => {
                let answer =
                    Remote::new(&to.remote)?.post(&["v1", "agents", &id, "rotate-secret"], &Value::Null).await?;
                to.output.print(&answer, secret);
            }
            Self::Export { to } => {
                let mut answer = Remote::new(&to.remote)?.get(&["v1", "agents"]).await?;
                for agent in answer.get_mut("agents").and_then(Value::as_array_mut).into_iter().flatten() {
                    let members = agent.as_object_mut();
                    members.map(|members| ["status", "created", "last_used"].map(|name| members.remove(name)));
                }
                // JSON is YAML.
                to.output.print(&answer, |answer| format!("{answer:#}"));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

const COLUMNS: &[(&str, &str)] = &[
    ("ID", "/id"),
    ("STATUS", "/status"),
    ("OWNER", "/owner"),
    ("METHOD", "/method"),
    ("LAST USED", "/last_used"),
    ("PURPOSE", "/purpose"),
];

async fn register(file: &Path, change: bool, to: &To) -> Result<(), Box<dyn Error>> {
    let registration = read(file)?;
    let remote = Remote::new(&to.remote)?;
    let answer = match (change, registration.get("id").and_then(Value::as_str)) {
        (false, _) => remote.post(&["v1", "agents"], &registration).await?,
        (true, Some(id)) => remote.replace(&["v1", "agents", id], &registration).await?,
        (true, None) => return Err(format!("{}: `id`: found nothing, accepted is a string", file.display()).into()),
    };
    to.output.print(&answer, |answer| match answer.get("secret") {
        Some(_) => secret(answer),
        None => format!("{} is registered", table::text(answer, "/id")),
    });
    Ok(())
}

async fn turn(id: &str, verb: &str, Why { why }: Why, to: &To) -> Result<(), Box<dyn Error>> {
    let body = why.map_or(json!({}), |why| json!({ "why": why }));
    let answer = Remote::new(&to.remote)?.post(&["v1", "agents", id, verb], &body).await?;
    to.output.print(&answer, |answer| format!("{id} is {}", table::text(answer, "/status")));
    Ok(())
}

fn secret(answer: &Value) -> String {
    let (id, secret) = (table::text(answer, "/id"), table::text(answer, "/secret"));
    format!("{id}\n{secret}\nthe secret is kept nowhere: store it now")
}

/// A registration from a file or standard input, YAML or JSON.
fn read(file: &Path) -> Result<Value, Box<dyn Error>> {
    let mut text = String::new();
    match file == Path::new("-") {
        true => drop(std::io::stdin().read_to_string(&mut text)?),
        false => text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?,
    }
    let value: Result<Value, _> = serde_saphyr::from_str(&text);
    value.map_err(|error| format!("{}: not YAML: {}", file.display(), error.to_string().replace('\n', " ")).into())
}
