//! The whole of it as processes on loopback: broker, tool server, Envoy with the filter.
//!
//! In: a directory, ports, and what a test wants changed in the shipped configuration. Out: a [`Stack`]
//! that is ready for calls and stops its processes when dropped. Everything it writes is in the
//! directory: the configuration as used, secrets, `broker.log`, `tools.log`, `envoy.log`, and
//! `tools.jsonl` with what arrived at the tools and what ran.

pub mod broker;
pub mod envoy;
mod files;
mod ports;
mod process;
mod programs;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::agent::Credentials;
use crate::tools::log::{self, Event};
use files::Files;
pub use ports::Ports;
pub use process::{Failure, Process};
use programs::Programs;

/// The agent that `envoy/broker.yaml` registers; its secret is `secrets/agent.secret`.
pub const AGENT: &str = "demo-agent";

/// A running stack. Each part can be killed (`stack.broker.kill()`) and started again.
pub struct Stack {
    // Stopped in this order: Envoy still has audit records for the broker when it ends.
    pub envoy: Process,
    pub tools: Process,
    pub broker: Process,
    pub ports: Ports,
    dir: PathBuf,
}

impl Stack {
    /// Starts everything as shipped.
    ///
    /// # Panics
    /// When a part does not build, start or get ready; the message holds the end of its log.
    pub async fn start(dir: &Path, ports: Ports) -> Self {
        Self::builder(dir).ports(ports).start().await
    }

    /// Starts from the shipped configuration, on the ports of the environment.
    pub fn builder(dir: &Path) -> Builder {
        Builder { files: Files::shipped(dir), ports: Ports::default() }
    }

    /// Starts the broker again, after `broker.kill()` or `broker.stop()`.
    ///
    /// # Errors
    /// The end of its log.
    pub async fn start_broker(&mut self) -> Result<(), Failure> {
        self.broker.stop();
        self.broker = start_broker(&self.dir, self.ports).await?;
        Ok(())
    }

    /// Starts the tool server again.
    ///
    /// # Errors
    /// The end of its log.
    pub async fn start_tools(&mut self) -> Result<(), Failure> {
        self.tools.stop();
        self.tools = start_tools(&self.dir, self.ports).await?;
        Ok(())
    }

    /// Starts Envoy again.
    ///
    /// # Errors
    /// The end of its log.
    pub async fn start_envoy(&mut self) -> Result<(), Failure> {
        self.envoy.stop();
        self.envoy = envoy::try_start(&self.dir, self.ports).await?;
        Ok(())
    }

    /// Leaves the processes running and writes `<name>.pid` into the directory for each.
    pub fn detach(self) {
        let Self { broker, tools, envoy, .. } = self;
        [broker, tools, envoy].into_iter().for_each(Process::detach);
    }

    /// Ends what an earlier `detach` left running in `dir`.
    pub fn stop_detached(dir: &Path) {
        let Ok(dir) = dir.canonicalize() else { return };
        // Envoy first: it may still have records for the broker.
        ["envoy", "tools", "broker"].iter().for_each(|name| process::stop_detached(&dir, name));
    }

    /// The MCP endpoint that agents dial.
    pub fn mcp(&self) -> String {
        format!("{}/crm/mcp", self.ports.gateway())
    }

    /// The agent's registration, to ask the broker for tokens.
    pub fn agent(&self) -> Credentials {
        let secret = self.secret("agent.secret");
        Credentials { broker: self.ports.broker(), id: AGENT.to_owned(), secret }
    }

    /// The content of a file in `secrets/`: `admin.token`, `proxy.secret` or `agent.secret`.
    pub fn secret(&self, name: &str) -> String {
        files::secret(&self.dir, name)
    }

    /// The policy as filter and broker have it.
    pub fn policy(&self) -> PathBuf {
        self.dir.join("policy.yaml")
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What arrived at the tool server and what ran, in order.
    pub fn events(&self) -> Vec<Event> {
        log::read(&self.dir.join("tools.jsonl"))
    }

    /// Everything the processes have written to their logs: nothing secret may be in it.
    pub fn logs(&self) -> String {
        [&self.broker, &self.tools, &self.envoy].map(Process::log).concat()
    }

    /// What a person or a script needs to use the stack, as `NAME=value`.
    pub fn env(&self) -> Vec<(String, String)> {
        let agent = self.agent();
        [
            ("GATEWAY_URL", self.ports.gateway()),
            ("BROKER_URL", self.ports.broker()),
            ("ADMIN_TOKEN", self.secret("admin.token")),
            ("AGENT_ID", agent.id),
            ("AGENT_SECRET", agent.secret),
            ("ENVOY_ADMIN_URL", self.ports.envoy_admin()),
            ("CONSOLE_URL", format!("{}/console", self.ports.broker())),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// What is to be different from the shipped configuration.
pub struct Builder {
    files: Files,
    ports: Ports,
}

impl Builder {
    pub fn ports(mut self, ports: Ports) -> Self {
        self.ports = ports;
        self
    }

    /// Edits the text of `policy.yaml`, ports already in place. Both the filter and the broker get the result.
    pub fn policy(mut self, edit: impl FnOnce(String) -> String + 'static) -> Self {
        self.files.policy = Box::new(edit);
        self
    }

    /// Edits the text of `broker.yaml`, ports already in place.
    pub fn broker(mut self, edit: impl FnOnce(String) -> String + 'static) -> Self {
        self.files.broker = Box::new(edit);
        self
    }

    /// Edits Envoy's whole configuration, the policy already in it; see [`envoy::manager`] and [`envoy::filter`].
    pub fn envoy(mut self, edit: impl FnOnce(&mut Value) + 'static) -> Self {
        self.files.envoy = Box::new(edit);
        self
    }

    /// # Panics
    /// When a part does not build, start or get ready; the message holds the end of its log.
    pub async fn start(self) -> Stack {
        self.try_start().await.unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// # Errors
    /// The part that did not get ready, with its log: how a test sees a policy refused.
    ///
    /// # Panics
    /// When a part does not build or the shipped files cannot be read.
    pub async fn try_start(self) -> Result<Stack, Failure> {
        let (dir, ports) = (self.files.write(self.ports), self.ports);
        let broker = start_broker(&dir, ports).await?;
        let tools = start_tools(&dir, ports).await?;
        let envoy = envoy::try_start(&dir, ports).await?;
        Ok(Stack { broker, tools, envoy, ports, dir })
    }
}

async fn start_broker(dir: &Path, ports: Ports) -> Result<Process, Failure> {
    let mut command = Command::new(&Programs::built().accredit);
    command.args(["serve", "--config"]).arg(dir.join("broker.yaml"));
    let broker = Process::spawn("broker", &mut command, dir);
    broker.ready(&format!("{}/readyz", ports.broker())).await
}

async fn start_tools(dir: &Path, ports: Ports) -> Result<Process, Failure> {
    let mut command = Command::new(&Programs::built().tools);
    command.arg("--listen").arg(format!("127.0.0.1:{}", ports.tools));
    command.arg("--jwks").arg(format!("{}/jwks.json", ports.broker()));
    command.arg("--issuer").arg(ports.broker());
    command.args(["--audience", "https://crm.internal"]);
    command.arg("--log").arg(dir.join("tools.jsonl"));
    let tools = Process::spawn("tools", &mut command, dir);
    tools.ready(&format!("http://127.0.0.1:{}/healthz", ports.tools)).await
}

/// Creates a directory for a stack below `target/`, named for the test, empty.
///
/// # Panics
/// When the directory cannot be made.
pub fn fresh(name: &str) -> PathBuf {
    let dir = programs::target().join("stacks").join(name);
    fs::remove_dir_all(&dir).ok();
    fs::create_dir_all(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    dir
}
