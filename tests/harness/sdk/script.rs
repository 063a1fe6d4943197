//! The SDKs of other languages, in the environments that `scripts/setup` makes; their programs are in `tests/sdk/`.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::{Access, Life, Running, Said, Script, Wrong};
use crate::agent::{Credentials, Era};
use crate::stack::Process;

/// What runs a program.
#[derive(Clone, Copy, Debug)]
pub(super) enum Runner {
    Node,
    Python,
}

impl Runner {
    pub(super) async fn serve(self, name: &'static str, dir: &Path) -> Running {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = port.expect("loopback has a free port").port();
        let log = dir.join(format!("{name}.jsonl"));
        let mut command = self.command("server");
        command.args(["--port", &port.to_string(), "--log"]).arg(&log);
        let process = Process::spawn(name, &mut command, dir).ready(&format!("http://127.0.0.1:{port}/healthz")).await;
        let process = process.unwrap_or_else(|failure| panic!("{failure}"));
        Running { port, log, _life: Life::Process(process) }
    }

    pub(super) async fn converse(self, scripts: &[Script]) -> Vec<Vec<Said>> {
        let script = |Script { url, access, era, steps }: &Script| {
            let mut script = json!({ "url": url, "mode": self.mode(era), "steps": steps });
            match access {
                Access::Token(token) => script["token"] = json!(token),
                Access::Client(Credentials { broker, id, secret }) => {
                    script["client"] = json!({ "issuer": broker, "id": id, "secret": secret });
                }
            }
            script
        };
        let input = Value::from_iter(scripts.iter().map(script));
        let mut command = tokio::process::Command::from(self.command("client"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the client starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(input.to_string().as_bytes()).await.expect("the client reads its scripts");
        drop(stdin);
        let output = child.wait_with_output().await.expect("the client ends");
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the client failed: {complaints}");
        String::from_utf8_lossy(&output.stdout).lines().map(said).collect()
    }

    /// `client` or `server`.
    ///
    /// # Panics
    /// When the SDK is not there: tests that talk to it are never skipped.
    fn command(self, part: &str) -> Command {
        let programs = repository().join("tests/sdk");
        match self {
            Self::Node => {
                let modules = place("MCP_NODE_PATH", "node/node_modules");
                let mut command = Command::new("node");
                command.arg(programs.join(format!("{part}.cjs"))).env("NODE_PATH", modules);
                command
            }
            Self::Python => {
                let mut command = Command::new(place("MCP_PYTHON", "python/bin/python"));
                command.arg(programs.join(format!("{part}.py")));
                command
            }
        }
    }

    /// The SDK's own word for an era.
    fn mode(self, era: &Era) -> Value {
        match (era, self) {
            (Era::Legacy, _) => json!("legacy"),
            (Era::Auto, _) => json!("auto"),
            (Era::Modern, Self::Node) => json!({ "pin": "2026-07-28" }),
            (Era::Modern, Self::Python) => json!("2026-07-28"),
            (Era::Revision(revision), _) => panic!("the SDK cannot be told to begin at {revision}"),
        }
    }
}

/// What the variable names, else what `scripts/setup` installs.
fn place(variable: &str, installed: &str) -> PathBuf {
    let named = std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
    let place = named.unwrap_or_else(|| repository().join("target/sdk").join(installed));
    assert!(place.exists(), "there is no {}: run scripts/setup, which tells of {variable}", place.display());
    place
}

#[derive(Deserialize)]
struct Turn {
    step: String,
    #[serde(default)]
    result: Value,
    error: Option<Wrong>,
}

/// One conversation.
fn said(line: &str) -> Vec<Said> {
    let turns: Vec<Turn> = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
    let said = |turn: Turn| Said { step: turn.step, outcome: turn.error.map_or(Ok(turn.result), Err) };
    turns.into_iter().map(said).collect()
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is a folder of the repository")
}
