//! PostgreSQL: a private cluster on loopback, with passwords, that ends with the test process.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::sync::OnceCell;

use super::tied::{self, Account};
use super::{find, free_port, setup};
use crate::stack::{Failure, Process};

const SUPERUSER: &str = "postgres";
const PASSWORD: &str = "a-password-of-the-superuser";
/// How long the backends of a killed server may take to notice.
const AFTERMATH: Duration = Duration::from_secs(10);

/// Whether what is committed is forced to the disk. Either outlives the server's crash; only `On` that of the machine,
/// and costs what it costs in production.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    Off,
    On,
}

/// A running cluster; it ends when dropped, and with this process at the latest.
pub struct Postgres {
    pub process: Process,
    port: u16,
    fsync: Fsync,
    programs: PathBuf,
    dir: PathBuf,
}

impl Postgres {
    /// The cluster of this process, started when first asked for, without `fsync`; `None` where it is not installed.
    ///
    /// # Panics
    /// When it does not get ready.
    pub async fn shared() -> Option<&'static Self> {
        static SHARED: OnceCell<Option<Postgres>> = OnceCell::const_new();
        SHARED.get_or_init(|| Self::start(Fsync::Off)).await.as_ref()
    }

    /// The same with `fsync`, without which no broker keeps its records there.
    ///
    /// # Panics
    /// When it does not get ready.
    pub async fn durable() -> Option<&'static Self> {
        static DURABLE: OnceCell<Option<Postgres>> = OnceCell::const_new();
        DURABLE.get_or_init(|| Self::start(Fsync::On)).await.as_ref()
    }

    /// A cluster of the test's own, to kill and to start again; `None` where it is not installed.
    ///
    /// # Panics
    /// When it does not get ready.
    pub async fn start(fsync: Fsync) -> Option<Self> {
        let programs = find("PostgreSQL", "POSTGRES_BIN", installed)?;
        let (dir, port) = (cluster(&programs), free_port());
        let process = serve(&programs, &dir, port, fsync).await.unwrap_or_else(|failure| panic!("{failure}"));
        Some(Self { process, port, fsync, programs, dir })
    }

    /// Makes an empty database, in place of an earlier one of that name. Out: its URL, for the superuser.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn database(&self, name: &str) -> String {
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        self.execute(&format!("DROP DATABASE IF EXISTS {quoted} WITH (FORCE)")).await;
        self.execute(&format!("CREATE DATABASE {quoted}")).await;
        self.url(SUPERUSER, PASSWORD, name)
    }

    /// The URL of the superuser, for the database `postgres`.
    pub fn superuser(&self) -> String {
        self.url(SUPERUSER, PASSWORD, SUPERUSER)
    }

    /// The URL of any role, for any database. None of the three may have a character that URLs escape.
    pub fn url(&self, role: &str, password: &str, database: &str) -> String {
        format!("postgres://{role}:{password}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its Unix socket, which takes the same passwords.
    pub fn socket(&self) -> &Path {
        &self.dir
    }

    /// Runs one statement as the superuser, in the database `postgres`.
    ///
    /// # Panics
    /// When it fails.
    pub async fn execute(&self, statement: &str) {
        let mut superuser = PgConnection::connect(&self.superuser()).await.expect("the superuser may log in");
        let done = superuser.execute(sqlx::AssertSqlSafe(statement.to_owned())).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// Has all of it stand still: what was sent is neither answered nor refused.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let id = self.process.pid();
        let sessions = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let sessions = sessions.split_whitespace().filter_map(|id| id.parse().ok());
        for id in sessions.chain([id as i32]).filter_map(Pid::from_raw) {
            // A session may have ended meanwhile.
            kill_process(id, signal).ok();
        }
    }

    /// Ends it at once, with all its sessions: a crash.
    pub fn kill(&mut self) {
        let id = self.process.pid();
        let sessions = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        self.process.kill();
        for session in sessions.split_whitespace().filter_map(|id| Pid::from_raw(id.parse().ok()?)) {
            // It may have noticed that the server is gone.
            kill_process(session, Signal::KILL).ok();
            while !ended(session) {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Ends the sessions, then the server, in order.
    pub fn stop(&mut self) {
        self.process.stop();
    }

    /// Starts it again with the same port and data.
    ///
    /// # Panics
    /// When it does not get ready.
    pub async fn restart(&mut self) {
        self.stop();
        let start = Instant::now();
        self.process = loop {
            match serve(&self.programs, &self.dir, self.port, self.fsync).await {
                Ok(process) => break process,
                // It does not start as long as a session of a killed server is there.
                Err(failure) if start.elapsed() > AFTERMATH => panic!("{failure}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.process.stop();
        fs::remove_dir_all(&self.dir).ok();
    }
}

/// Whether it has ended, waited for or not.
fn ended(process: Pid) -> bool {
    let state = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
    state.map_or(true, |state| state.contains(") Z "))
}

/// The folder of `initdb` and `postgres`: on the path, of Debian's newest, or what `scripts/setup` unpacked.
fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let complete = |dir: &PathBuf| ["initdb", "postgres"].iter().all(|program| dir.join(program).is_file());
    let unpacked = setup("postgres/usr/lib/postgresql").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(versions(Path::new("/usr/lib/postgresql")))
        .chain(versions(&unpacked))
        .find(complete)
}

/// The `bin` folders of all versions in `home`, newest first.
fn versions(home: &Path) -> impl Iterator<Item = PathBuf> {
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
    let mut numbers: Vec<_> = fs::read_dir(home).into_iter().flatten().flatten().filter_map(number).collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    let home = home.to_owned();
    numbers.into_iter().map(move |number| home.join(number.to_string()).join("bin"))
}

/// Makes a cluster in a directory of its own. Its path is short, for a Unix socket, and open to `account`.
fn cluster(programs: &Path) -> PathBuf {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let prefix = "accredit-postgres-";
    sweep(prefix);
    let name = format!("{prefix}{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
    let dir = std::env::temp_dir().join(name);
    fs::create_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).expect("it is ours");
    let password = dir.join("password");
    fs::write(&password, PASSWORD).expect("the password can be written");
    if let Some(Account { user, group }) = account() {
        for path in [&dir, &password] {
            chown(path, Some(user), Some(group)).expect("root may give things away");
        }
    }
    let mut initdb = tied::command(&programs.join("initdb"), "KILL", account());
    initdb.args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--username", SUPERUSER]);
    initdb.arg("--pwfile").arg(&password).arg("--pgdata").arg(dir.join("data")).current_dir(&dir);
    let output = initdb.output().unwrap_or_else(|error| panic!("{initdb:?} does not start: {error}"));
    assert!(output.status.success(), "initdb failed: {}", String::from_utf8_lossy(&output.stderr));
    dir
}

/// Removes what test processes left that have ended.
fn sweep(prefix: &str) {
    let owner = |name: &str| name.strip_prefix(prefix)?.split('-').next()?.parse::<u32>().ok();
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let owner = entry.file_name().to_str().and_then(owner);
        if owner.is_some_and(|id| !Path::new("/proc").join(id.to_string()).exists()) {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

/// Who it runs as: PostgreSQL refuses to be root.
fn account() -> Option<Account> {
    let other = || tied::account("postgres").or_else(|| tied::account("nobody"));
    geteuid().is_root().then(|| other().expect("the machine has the account `nobody`"))
}

async fn serve(programs: &Path, dir: &Path, port: u16, fsync: Fsync) -> Result<Process, Failure> {
    // SIGQUIT: at once and without leaving shared memory behind; SIGINT: sessions end, then the server.
    let mut command = tied::command(&programs.join("postgres"), "QUIT", account());
    command.arg("-D").arg(dir.join("data")).args(["-h", "127.0.0.1", "-p", &port.to_string(), "-k"]).arg(dir);
    let settings =
        ["max_connections=200", "shared_buffers=32MB", if fsync == Fsync::On { "fsync=on" } else { "fsync=off" }];
    command.args(settings.iter().flat_map(|setting| ["-c", setting]));
    let url = format!("postgres://{SUPERUSER}:{PASSWORD}@127.0.0.1:{port}/{SUPERUSER}?sslmode=disable");
    let ready = async || PgConnection::connect(&url).await.is_ok();
    tied::spawn("postgres", command, dir, Signal::INT).ready_when("no session could be opened", ready).await
}
