//! `accredit revoke`

use std::error::Error;
use std::process::ExitCode;

use accredit_policy::revocation::Target;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::remote::{Remote, To};
use super::table;

/// What is taken back, or given again.
#[derive(Debug, Subcommand)]
pub enum Revoke {
    #[command(flatten)]
    Add(What),
    /// List revocations, the newest first.
    List {
        #[command(flatten)]
        to: To,
    },
    /// Give again what was revoked until it is lifted.
    #[command(subcommand)]
    Lift(What),
}

/// What it is about.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Revoke an agent: its own tokens, and every token in whose chain it stands.
    Agent {
        /// Its identifier.
        id: String,
        /// Only as far as it acts for this subject.
        #[arg(long = "for")]
        subject: Option<String>,
        #[command(flatten)]
        how: How,
    },
    /// Revoke what an agent has handed on, and let it act itself.
    Actor {
        /// Its identifier.
        id: String,
        #[command(flatten)]
        how: How,
    },
    /// Revoke all tokens for a subject, whoever acts.
    Subject {
        /// Its `sub`.
        subject: String,
        #[command(flatten)]
        how: How,
    },
    /// Revoke one token.
    Token {
        /// Its `jti`.
        jti: String,
        #[command(flatten)]
        how: How,
    },
    /// Revoke all tokens signed with a key.
    Key {
        /// Its `kid`.
        kid: String,
        #[command(flatten)]
        how: How,
    },
    /// Revoke all tokens of an issuer, and those in whose chain it names somebody.
    Issuer {
        /// Its `iss`.
        url: String,
        #[command(flatten)]
        told: Told,
    },
    /// Refuse all calls of a server of the policy.
    Server {
        /// Its name in the policy.
        server: String,
        #[command(flatten)]
        told: Told,
    },
    /// Refuse all calls of a tool, a prompt, a resource or an operation.
    Tool {
        /// The server's name in the policy.
        server: String,
        /// The tool's.
        tool: String,
        #[command(flatten)]
        told: Told,
    },
}

/// By whom it is named, and which of its tokens are meant.
#[derive(Debug, Args)]
pub struct How {
    /// The `iss` of its tokens; the broker's own unless given.
    #[arg(long)]
    issuer: Option<String>,
    #[command(flatten)]
    told: Told,
}

/// Which tokens are meant, and why.
#[derive(Debug, Args)]
pub struct Told {
    /// Only tokens issued before this moment, as `now` or `2026-11-25T10:00:00Z`; all, until it is lifted, unless given.
    #[arg(long)]
    issued_before: Option<String>,
    /// Why, for the record.
    #[arg(long)]
    why: Option<String>,
    #[command(flatten)]
    to: To,
}

impl Revoke {
    /// Runs it.
    pub async fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        match self {
            Self::List { to } => {
                let answer = Remote::new(&to.remote)?.get(&["v1", "revocations"]).await?;
                to.output.print(&answer, listed);
                Ok(ExitCode::SUCCESS)
            }
            Self::Lift(what) => what.send(&["v1", "revocations", "lift"], "lifted").await,
            Self::Add(what) => what.send(&["v1", "revocations"], "revoked").await,
        }
    }
}

impl What {
    async fn send(self, path: &[&str], done: &str) -> Result<ExitCode, Box<dyn Error>> {
        let (target, Told { issued_before, why, to }) = self.target();
        let body = with(json!({ "target": target }), [("before", issued_before), ("why", why)]);
        let answer = Remote::new(&to.remote)?.post(path, &body).await?;
        to.output.print(&answer, |answer| {
            let before = match table::text(answer, "/before").as_str() {
                "-" => String::new(),
                before => format!(", tokens issued before {before}"),
            };
            let notes = answer.get("notes").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
            let notes: String = notes.map(|note| format!("\nnote: {note}")).collect();
            format!("{}: {done}{before}{notes}", said(answer))
        });
        Ok(ExitCode::SUCCESS)
    }

    fn target(self) -> (Value, Told) {
        let named = |target: Value, How { issuer, told }: How| (with(target, [("issuer", issuer)]), told);
        match self {
            Self::Agent { id, subject: None, how } => named(json!({ "kind": "agent", "id": id }), how),
            Self::Agent { id, subject: Some(subject), how } => {
                named(json!({ "kind": "agent_for", "id": id, "subject": subject }), how)
            }
            Self::Actor { id, how } => named(json!({ "kind": "actor", "id": id }), how),
            Self::Subject { subject, how } => named(json!({ "kind": "subject", "subject": subject }), how),
            Self::Token { jti, how } => named(json!({ "kind": "token", "id": jti }), how),
            Self::Key { kid, how } => named(json!({ "kind": "key", "id": kid }), how),
            Self::Issuer { url, told } => (json!({ "kind": "issuer", "issuer": url }), told),
            Self::Server { server, told } => (json!({ "kind": "server", "server": server }), told),
            Self::Tool { server, tool, told } => (json!({ "kind": "tool", "server": server, "tool": tool }), told),
        }
    }
}

/// The object with those of the members that are given.
fn with<const N: usize>(mut object: Value, more: [(&str, Option<String>); N]) -> Value {
    let given = more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?))));
    if let Some(members) = object.as_object_mut() {
        members.extend(given);
    }
    object
}

fn listed(answer: &Value) -> String {
    let list = answer.get("revocations").and_then(Value::as_array).into_iter().flatten();
    let rows = list.map(|one| with(one.clone(), [("what", Some(said(one)))])).collect();
    table::of(
        Some(&Value::Array(rows)),
        &[
            ("SEQ", "/seq"),
            ("WHAT", "/what"),
            ("BEFORE", "/before"),
            ("STATE", "/state"),
            ("CREATED", "/created"),
            ("BY", "/by"),
            ("WHY", "/why"),
        ],
    )
}

/// A target in words, without what could speak to a terminal.
fn said(answer: &Value) -> String {
    let target = answer.get("target").cloned().and_then(|target| serde_json::from_value::<Target>(target).ok());
    let words = target.map(|target| target.to_string()).unwrap_or_else(|| table::text(answer, "/target"));
    words.chars().filter(|letter| !letter.is_control()).collect()
}
