//! Disks that are full, read-only, broken or stuck: nothing is minted or acknowledged that is not kept, everybody is told,
//! and all goes on by itself when it is over.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use harness::parts::{Fsync, Postgres};
use harness::stack::broker::{Broker, SECRET};
use harness::stack::fresh;
use harness::{Alg, Issuer};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::support::{Answer, Desk, FOREIGN, POSTGRES, RESOURCE, config, key, policy};

/// How long the broker may take to find out, or to be itself again: several times its own bounds.
const SOON: Duration = Duration::from_secs(20);

/// A broker on a disk that can fail, and what it has acknowledged.
struct Disk {
    desk: Desk,
    foreign: Issuer,
    leases: BTreeSet<String>,
    records: BTreeSet<String>,
    made: u32,
}

impl Disk {
    async fn open(dir: &Path, config: &Value, wrap: impl FnOnce(&mut Command)) -> Self {
        let foreign = Issuer::new(FOREIGN).at_now();
        let url = Broker::files(dir, &policy(&foreign), config);
        let broker = Broker::start_in(dir, &url, wrap).await.unwrap_or_else(|failure| panic!("{failure}"));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let desk = Desk { broker, http };
        Self { desk, foreign, leases: BTreeSet::new(), records: BTreeSet::new(), made: 0 }
    }

    async fn mint(&self) -> Answer {
        let token = self.foreign.token().alg(Alg::Es256).audience(RESOURCE).scope("crm:read").sign();
        self.desk.exchange(&token, "crm_lookup", "crm:read", |_| ()).await
    }

    /// The name of a record that is still to be delivered.
    fn next(&mut self) -> String {
        self.made += 1;
        format!("r-{}", self.made)
    }

    async fn deliver(&self, id: &str) -> Answer {
        let record = json!({ "id": id, "time": "2026-11-25T00:00:00.000Z", "kind": "outcome" });
        let request = self.desk.http.post(self.desk.url("/v1/audit/events")).basic_auth("gateway", Some(SECRET));
        Answer::of(request.json(&json!({ "records": [record] })).send().await.unwrap()).await
    }

    /// Calls that have to be acknowledged.
    async fn works(&mut self) {
        for _ in 0..5 {
            let minted = self.mint().await;
            assert_eq!(minted.status, 200, "{minted:?}");
            self.leases.insert(minted.text("lease_id"));
            let id = self.next();
            let kept = self.deliver(&id).await;
            assert_eq!(kept.status, 204, "{kept:?}");
            self.records.insert(id);
        }
        assert_eq!(self.ready().await, 200);
        assert_eq!(self.metric("accredit_store_up").await, 1);
    }

    /// Calls that have to be refused, and everybody has to be told.
    async fn refuses(&mut self) {
        let began = Instant::now();
        let id = self.next();
        let (minted, kept) = tokio::join!(self.mint(), self.deliver(&id));
        for answer in [minted, kept] {
            assert_eq!(answer.error(), (503, "temporarily_unavailable"));
            assert_eq!(answer.header("retry-after"), "1");
        }
        assert_eq!(self.ready().await, 503);
        assert!(began.elapsed() < SOON, "refusals took {:?}", began.elapsed());
        assert_eq!(self.metric("accredit_store_up").await, 0);
        assert!(self.metric("accredit_store_refused_total").await > 0);
    }

    async fn recovers(&mut self) {
        let began = Instant::now();
        while self.ready().await != 200 {
            assert!(began.elapsed() < SOON, "it is not ready again: {}", self.desk.broker.process.log());
            sleep(Duration::from_millis(100)).await;
        }
        self.works().await;
    }

    async fn ready(&self) -> u16 {
        self.desk.http.get(self.desk.url("/readyz")).send().await.unwrap().status().as_u16()
    }

    async fn metric(&self, name: &str) -> u64 {
        self.desk.metric(name).await
    }

    /// After a crash all is there that was acknowledged, and no credential without its intent.
    async fn holds(mut self, crash: impl AsyncFnOnce(&mut Desk)) {
        crash(&mut self.desk).await;
        let records = self.desk.all_records("limit=1000").await;
        let of = |kind: &str| -> BTreeSet<String> {
            let kind: Vec<_> = records.iter().filter(|record| record["kind"] == kind).collect();
            kind.iter().filter_map(|record| record["credential"]["lease"].as_str().map(str::to_owned)).collect()
        };
        let (intents, minted) = (of("intent"), of("mint"));
        assert!(intents.is_superset(&self.leases) && intents.is_superset(&minted), "a credential has no intent");
        let ids: BTreeSet<String> = records.iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect();
        let lost: Vec<_> = self.records.difference(&ids).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        println!("{} leases and {} records acknowledged, all there", self.leases.len(), self.records.len());
    }
}

/// The shim, built.
fn shim(dir: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("broker/disk/shim.c");
    let shim = dir.join("shim.so");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&shim).arg(source).arg("-ldl").status();
    assert!(built.expect("there is a C compiler").success(), "the shim does not build");
    shim
}

#[tokio::test]
async fn on_a_disk_that_fails_nothing_is_minted_and_nothing_acknowledged_is_lost() {
    if POSTGRES {
        return;
    }
    let dir = fresh("broker-disk-fault");
    let (shim, fault) = (shim(&dir), dir.join("fault"));
    let mut disk = Disk::open(&dir, &config(), |command| {
        command.env("LD_PRELOAD", shim).env("ACCREDIT_FAULT", dir.join("fault"));
    })
    .await;
    disk.works().await;
    for kind in ["full", "read-only", "sync", "hang"] {
        fs::write(&fault, &kind[..1]).unwrap();
        let began = Instant::now();
        disk.refuses().await;
        let refused = began.elapsed();
        fs::write(&fault, "").unwrap();
        disk.recovers().await;
        println!("{kind}: refused within {refused:?}, recovered {:?} later", began.elapsed() - refused);
    }
    disk.holds(async |desk| desk.broker.crash().await).await;
}

#[tokio::test]
async fn a_connection_whose_sync_failed_is_not_used_again() {
    if POSTGRES {
        return;
    }
    let dir = fresh("broker-disk-connection");
    let (shim, fault) = (shim(&dir), dir.join("fault"));
    let mut disk = Disk::open(&dir, &config(), |command| {
        command.env("LD_PRELOAD", shim).env("ACCREDIT_FAULT", dir.join("fault"));
    })
    .await;
    disk.works().await;
    let open = logs(&disk);
    fs::write(&fault, "s").unwrap();
    assert_eq!(disk.mint().await.status, 503);
    let began = Instant::now();
    while logs(&disk) >= open {
        assert!(began.elapsed() < SOON, "all {open} connections are still open");
        sleep(Duration::from_millis(10)).await;
    }
}

/// How many connections have the write-ahead log open.
fn logs(disk: &Disk) -> usize {
    let handles = fs::read_dir(format!("/proc/{}/fd", disk.desk.broker.process.pid())).expect("the broker runs");
    let files = handles.filter_map(|handle| fs::read_link(handle.ok()?.path()).ok());
    files.filter(|file| file.ends_with("accredit.db-wal")).count()
}

#[tokio::test]
async fn a_full_file_system_is_refused_on_and_recovered_from() {
    if POSTGRES {
        return;
    }
    let dir = fresh("broker-disk-full").canonicalize().unwrap();
    let data = dir.join("data");
    fs::create_dir_all(&data).unwrap();
    let mut probe = Command::new("unshare");
    let probe = probe.args(["--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs"]).arg(&data).status();
    if !probe.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this machine lets nobody mount a tmpfs");
        return;
    }
    let mut disk = Disk::open(&dir, &config(), |command| {
        let program = command.get_program().to_owned();
        let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        *command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c"]);
        command.arg("mount -t tmpfs -o size=6m tmpfs data && exec \"$@\"").arg("sh").arg(program).args(args);
    })
    .await;
    disk.works().await;
    // The same folder as the broker sees it.
    let seen = PathBuf::from(format!("/proc/{}/root", disk.desk.broker.process.pid()));
    let fill = seen.join(data.strip_prefix("/").unwrap()).join("fill");
    for _ in 0..2 {
        assert!(fs::write(&fill, vec![0; 8 << 20]).is_err(), "the file system has no bound");
        disk.fills().await;
        disk.refuses().await;
        fs::remove_file(&fill).unwrap();
        disk.recovers().await;
    }
    // The file system ends with the process, so what is there is asked of the one that runs.
    disk.holds(async |_| ()).await;
}

impl Disk {
    /// Goes on until the last free page is taken: what SQLite has reserved before can still be written.
    async fn fills(&mut self) {
        for _ in 0..2000 {
            let id = self.next();
            let kept = self.deliver(&id).await;
            if kept.status != 204 {
                return;
            }
            self.records.insert(id);
        }
        panic!("the disk is never full");
    }
}

#[tokio::test]
async fn a_server_that_stands_still_is_an_error_and_no_hang() {
    if !POSTGRES {
        return;
    }
    let Some(postgres) = Postgres::start(Fsync::On).await else { return };
    let dir = fresh("broker-postgres-disk-stopped");
    fs::write(dir.join("store.url"), postgres.database("stopped").await).unwrap();
    key(&dir, "master.key");
    let mut config = config();
    config["store"] = json!({ "postgres": { "url_file": "store.url" } });
    config["secrets"] = json!({ "key_file": "master.key" });
    let mut disk = Disk::open(&dir, &config, |_| ()).await;
    disk.works().await;
    postgres.freeze();
    disk.refuses().await;
    postgres.thaw();
    disk.recovers().await;
    disk.holds(async |desk| desk.broker.crash().await).await;
}
