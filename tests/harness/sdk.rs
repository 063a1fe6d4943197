//! Conversations between the official SDKs of MCP, each as client and as server.
//!
//! All are stock and know nothing of Accredit. A client is told what to do as a [`Script`] and says what came of each
//! step; a server notes each handler that runs. `tests/sdk/` has those that are not in Rust.

mod client;
mod script;
mod server;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::agent::{Credentials, Era};
use crate::stack::Process;
use script::Runner;

/// The SDKs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sdk {
    Python,
    Rust,
    /// Its server has no sessions, so it can neither ask nor tell a client of the legacy era anything.
    TypeScript,
}

/// What a client does, in MCP's own words, and two of ours: `progressed` waits for as many notices of progress as `count`
/// says, `updated` for one notice of a changed resource.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    pub method: &'static str,
    pub params: Value,
}

/// One conversation.
#[derive(Clone, Debug)]
pub struct Script {
    pub url: String,
    pub access: Access,
    pub era: Era,
    pub steps: Vec<Step>,
}

/// What a client has to show.
#[derive(Clone, Debug)]
pub enum Access {
    /// A bearer token.
    Token(String),
    /// An OAuth client's registration: where to get tokens, and for which scopes, it has to find out.
    Client(Credentials),
}

/// A step and what came of it. The first is `connect`; the last is `close`, unless there was no connection.
#[derive(Clone, Debug)]
pub struct Said {
    pub step: String,
    pub outcome: Result<Value, Wrong>,
}

/// An error, as far as the SDK lets its user see.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Wrong {
    /// The SDK's name of it.
    pub class: String,
    /// The HTTP status, where the SDK tells it.
    pub status: Option<u16>,
    /// The scope a challenge asked for, where the SDK tells it.
    pub scope: Option<String>,
    /// Of the JSON-RPC error.
    pub code: Option<i64>,
    pub message: String,
    pub data: Value,
}

/// A handler that ran at a server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ran {
    /// `tool`, `prompt`, `resource`, `completion`, `subscription` or `method`.
    pub kind: String,
    pub name: String,
    /// For a tool, the scopes of the bearer token it came with, if any.
    pub scope: Option<String>,
}

/// A running server, which ends when dropped.
pub struct Running {
    pub port: u16,
    log: PathBuf,
    _life: Life,
}

enum Life {
    Process(#[expect(dead_code, reason = "held for its drop")] Process),
    Task(JoinHandle<()>),
}

impl Drop for Life {
    fn drop(&mut self) {
        if let Self::Task(task) = self {
            task.abort();
        }
    }
}

impl Sdk {
    pub const ALL: [Self; 3] = [Self::Python, Self::Rust, Self::TypeScript];

    /// Starts the server of this SDK, its files in `dir` and named for `name`.
    pub async fn serve(self, name: &'static str, dir: &Path) -> Running {
        match self {
            Self::Python => Runner::Python.serve(name, dir).await,
            Self::Rust => server::serve(name, dir).await,
            Self::TypeScript => Runner::Node.serve(name, dir).await,
        }
    }

    /// Holds conversations with the client of this SDK, one after the other.
    pub async fn converse(self, scripts: &[Script]) -> Vec<Vec<Said>> {
        match self {
            Self::Python => Runner::Python.converse(scripts).await,
            Self::Rust => client::converse(scripts).await,
            Self::TypeScript => Runner::Node.converse(scripts).await,
        }
    }
}

impl Running {
    /// The handlers that have run, in order.
    ///
    /// # Panics
    /// When the log holds a line that is not one of ours.
    pub fn ran(&self) -> Vec<Ran> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("the log holds what ran")).collect()
    }
}
