//! One child process: its log, its readiness, its end.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a part may take to get ready. Compiling the filter in Envoy takes longest.
const START: Duration = Duration::from_secs(30);
/// How long a part may take to stop by itself.
const STOP: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// A child that is stopped when dropped.
pub struct Process {
    name: &'static str,
    child: Child,
    dir: PathBuf,
    end: Signal,
    detached: bool,
}

/// A part that did not get ready: its name, why, and all it wrote.
#[derive(Clone, Debug)]
pub struct Failure {
    pub part: &'static str,
    pub why: String,
    pub log: String,
}

impl Process {
    /// Starts `command` in `dir`; both its outputs are appended to `dir/<name>.log`.
    ///
    /// # Panics
    /// When it does not start.
    pub fn spawn(name: &'static str, command: &mut Command, dir: &Path) -> Self {
        Self::spawn_by(name, command, dir, Signal::TERM, Command::spawn)
    }

    /// The same with another way to make the child, and another signal that asks it to end.
    ///
    /// # Panics
    /// When it does not start.
    pub(crate) fn spawn_by(
        name: &'static str,
        command: &mut Command,
        dir: &Path,
        end: Signal,
        spawn: impl FnOnce(&mut Command) -> io::Result<Child>,
    ) -> Self {
        let log = File::options().create(true).append(true).open(dir.join(format!("{name}.log")));
        let log = log.unwrap_or_else(|error| panic!("no log in {}: {error}", dir.display()));
        let err = log.try_clone().expect("a file handle can be doubled");
        let child = spawn(command.current_dir(dir).stdin(Stdio::null()).stdout(log).stderr(err));
        let child = child.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        Self { name, child, dir: dir.to_owned(), end, detached: false }
    }

    /// Waits until `url` answers 200.
    ///
    /// # Errors
    /// Its log, when it ends or does not get ready.
    pub async fn ready(self, url: &str) -> Result<Self, Failure> {
        self.ready_for(url, reqwest::Client::builder().no_proxy()).await
    }

    /// The same, asked by a client that trusts it.
    ///
    /// # Errors
    /// Its log, when it ends or does not get ready.
    ///
    /// # Panics
    /// When the client cannot be built.
    pub async fn ready_for(self, url: &str, http: reqwest::ClientBuilder) -> Result<Self, Failure> {
        let http = http.timeout(Duration::from_secs(2)).build().expect("an HTTP client builds");
        let answers = async || http.get(url).send().await.is_ok_and(|answer| answer.status() == 200);
        self.ready_when(&format!("{url} did not answer 200"), answers).await
    }

    /// Waits until `ready`; `unready` is what to say when that takes too long.
    ///
    /// # Errors
    /// Its log, when it ends or does not get ready.
    pub(crate) async fn ready_when(mut self, unready: &str, ready: impl AsyncFn() -> bool) -> Result<Self, Failure> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be asked") {
                return Err(self.failure(format!("ended with {status}")));
            }
            if ready().await {
                return Ok(self);
            }
            if start.elapsed() > START {
                return Err(self.failure(format!("{unready} within {START:?}")));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn failure(&self, why: String) -> Failure {
        Failure { part: self.name, why, log: self.log() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended by itself or been ended.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Everything it has written, over all its starts in this directory.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.dir.join(format!("{}.log", self.name))).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Ends it at once (SIGKILL): a crash.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Asks it to end (SIGTERM unless it takes another signal) and does not wait.
    pub fn tell(&mut self) {
        if self.runs() {
            // The child is not waited for yet, so the id is still its own.
            kill_process(Pid::from_child(&self.child), self.end).ok();
        }
    }

    /// Asks it to end and waits; ends it at once when it takes too long.
    pub fn stop(&mut self) {
        self.tell();
        let start = Instant::now();
        while self.runs() && start.elapsed() < STOP {
            std::thread::sleep(POLL);
        }
        self.kill();
    }

    /// Leaves it running and writes `<name>.pid`.
    pub(super) fn detach(mut self) {
        let file = self.dir.join(format!("{}.pid", self.name));
        let written = fs::write(&file, format!("{}\n", self.pid()));
        written.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.detached = true;
    }
}

/// Ends what an earlier [`Process::detach`] left running in `dir`, and only that: a process whose id was given to
/// another program since does not work in this directory.
pub(super) fn stop_detached(dir: &Path, name: &str) {
    let file = dir.join(format!("{name}.pid"));
    let Some(pid) = fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok()) else { return };
    let works_here = || fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == dir);
    let Some(id) = Pid::from_raw(pid).filter(|_| works_here()) else { return };
    kill_process(id, Signal::TERM).ok();
    let start = Instant::now();
    while works_here() && start.elapsed() < STOP {
        std::thread::sleep(POLL);
    }
    if works_here() {
        kill_process(id, Signal::KILL).ok();
    }
    fs::remove_file(&file).ok();
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.detached {
            self.stop();
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} is not ready: {}; the end of its log:", self.part, self.why)?;
        let lines: Vec<_> = self.log.lines().collect();
        let end = lines.len().saturating_sub(30);
        lines.iter().skip(end).try_for_each(|line| writeln!(f, "  {line}"))
    }
}
