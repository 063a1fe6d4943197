//! The broker alone: for tests that need neither Envoy nor tools.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{fs, io};

use serde_json::Value;

use super::process::{Failure, Process};
use super::programs::Programs;

/// A running broker; it ends when dropped.
pub struct Broker {
    pub process: Process,
    pub url: String,
    dir: PathBuf,
}

/// The secret of every client and the operators' token in [`Broker::files`].
pub const SECRET: &str = "a-secret-of-thirty-two-characters-at-least";

impl Broker {
    /// Writes `policy.yaml`, `broker.yaml` (as JSON, which is YAML) and the file `secret` into `dir`, listening on a
    /// free port. Out: the port's URL, which is also the issuer; both texts may hold `URL` for it.
    pub fn files(dir: &Path, policy: &Value, broker: &Value) -> String {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = port.expect("loopback has a free port").to_string();
        let url = format!("http://{address}");
        let text = |value: &Value| value.to_string().replace("URL", &url).replace("LISTEN", &address);
        fs::write(dir.join("policy.yaml"), text(policy)).expect("the policy can be written");
        fs::write(dir.join("broker.yaml"), text(broker)).expect("the configuration can be written");
        fs::write(dir.join("secret"), SECRET).expect("the secret can be written");
        url
    }

    /// Starts it from the files in `dir`.
    ///
    /// # Errors
    /// Its log, when it ends or does not get ready.
    pub async fn start(dir: &Path, url: &str) -> Result<Self, Failure> {
        Self::start_for(dir, url, reqwest::Client::builder().no_proxy()).await
    }

    /// The same, found ready by a client that trusts it.
    ///
    /// # Errors
    /// Its log, when it ends or does not get ready.
    pub async fn start_for(dir: &Path, url: &str, http: reqwest::ClientBuilder) -> Result<Self, Failure> {
        Self::start_as(dir, url, http, |_| ()).await
    }

    /// The same in other surroundings.
    ///
    /// # Errors
    /// Its log, when it ends or does not get ready.
    pub async fn start_in(dir: &Path, url: &str, wrap: impl FnOnce(&mut Command)) -> Result<Self, Failure> {
        Self::start_as(dir, url, reqwest::Client::builder().no_proxy(), wrap).await
    }

    async fn start_as(
        dir: &Path,
        url: &str,
        http: reqwest::ClientBuilder,
        wrap: impl FnOnce(&mut Command),
    ) -> Result<Self, Failure> {
        let mut command = Command::new(&Programs::built().accredit);
        command.args(["serve", "--config"]).arg(dir.join("broker.yaml"));
        wrap(&mut command);
        let process = Process::spawn("broker", &mut command, dir).ready_for(&format!("{url}/readyz"), http).await?;
        Ok(Self { process, url: url.to_owned(), dir: dir.to_owned() })
    }

    /// Ends it as a crash would, and starts it again.
    pub async fn crash(&mut self) {
        self.process.kill();
        *self = Self::start(&self.dir, &self.url).await.unwrap_or_else(|failure| panic!("{failure}"));
    }

    /// Empties the registry behind its back.
    pub async fn forget_agents(&self) {
        self.tamper(sqlx::query("DELETE FROM agents")).await;
    }

    /// Makes all keys of sessions older by so many seconds.
    pub async fn age_session_keys(&self, seconds: i64) {
        let query = "UPDATE session_keys SET not_before = not_before - $1, not_after = not_after - $1";
        self.tamper(sqlx::query(query).bind(seconds)).await;
    }

    /// Makes all signing keys older by so many seconds.
    pub async fn age_signing_keys(&self, seconds: i64) {
        let query = "UPDATE signing_keys SET created = created - $1, signs_from = signs_from - $1, \
                     retired_at = retired_at - $1";
        self.tamper(sqlx::query(query).bind(seconds * 1000)).await;
    }

    /// Empties the ring behind its back.
    pub async fn forget_signing_keys(&self) {
        self.tamper(sqlx::query("DELETE FROM signing_keys")).await;
    }

    /// Keeps a copy of the signing keys.
    pub async fn copy_signing_keys(&self) {
        self.tamper(sqlx::query("CREATE TABLE kept AS SELECT * FROM signing_keys")).await;
    }

    /// Puts the copy back beside the signing keys there are, as keys that are over soon.
    pub async fn bring_signing_keys_back(&self) {
        let query = "INSERT INTO signing_keys SELECT id, sealed, created, created, created + 3600000 FROM kept";
        self.tamper(sqlx::query(query)).await;
    }

    /// Keeps the broker from writing to its database until the result is dropped.
    pub async fn lock(&self) -> impl Sized + use<> {
        let mut database = self.database().await;
        let begun = sqlx::query("BEGIN IMMEDIATE").execute(&mut database).await;
        begun.expect("the database can be locked");
        database
    }

    async fn tamper(&self, query: sqlx::query::Query<'_, sqlx::Any, sqlx::any::AnyArguments>) {
        query.execute(&mut self.database().await).await.expect("the database can be changed");
    }

    /// Its database, behind its back.
    pub async fn database(&self) -> sqlx::AnyConnection {
        use sqlx::Connection as _;
        sqlx::any::install_default_drivers();
        let file = format!("sqlite://{}", self.dir.join("data/accredit.db").display());
        let url = fs::read_to_string(self.dir.join("store.url")).unwrap_or(file);
        sqlx::AnyConnection::connect(&url).await.expect("the database opens")
    }

    /// The folder it works in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The permission bits of a file in its folder of data.
    pub fn mode(&self, name: &str) -> io::Result<u32> {
        Ok(fs::metadata(self.dir.join("data").join(name))?.permissions().mode() & 0o777)
    }
}

/// The command line, to be started.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(&Programs::built().accredit);
    command.args(args);
    command
}

/// Runs the command line with `input` on standard input.
pub fn accredit(args: &[&str], input: &[u8]) -> Output {
    use std::io::Write as _;
    use std::process::Stdio;
    let mut command = command(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    // A program that refuses its arguments does not read.
    child.stdin.take().expect("it is piped").write_all(input).ok();
    child.wait_with_output().expect("the program ends")
}
