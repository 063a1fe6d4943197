//! Secrets of operators: sealed at rest, told to the upstream request and to nobody else.

mod config;
mod shared;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use harness::Issuer;
use harness::stack::broker::{Broker, SECRET, accredit};
use harness::stack::fresh;
use serde_json::{Value, json};
use sqlx::{Connection as _, Row as _, SqliteConnection};

use super::support::{self, Answer, Desk, FOREIGN, policy};

const CANARY: &str = "sk-live-canary-0123456789";

/// A broker whose credential is the secret `crm-key`, and its folder.
struct Shelf {
    desk: Desk,
    dir: PathBuf,
}

/// Files for such a broker, the configuration changed. Out: its folder and URL.
fn files(name: &str, change: impl FnOnce(&mut Value)) -> (PathBuf, String) {
    let dir = fresh(&format!("broker-secrets-{name}"));
    let url = rewrite(&dir, change);
    (dir, url)
}

fn rewrite(dir: &Path, change: impl FnOnce(&mut Value)) -> String {
    let mut config = support::config();
    config["credentials"]["crm-api"] =
        json!({ "kind": "static", "secret": "crm-key", "headers": { "x-api-key": "{secret}" } });
    change(&mut config);
    Broker::files(dir, &policy(&Issuer::new(FOREIGN)), &config)
}

impl Shelf {
    async fn open(name: &str) -> Self {
        Self::with(name, |_| ()).await
    }

    async fn with(name: &str, change: impl FnOnce(&mut Value)) -> Self {
        let (dir, url) = files(name, change);
        Self::start(dir, &url).await
    }

    async fn start(dir: PathBuf, url: &str) -> Self {
        let broker = Broker::start(&dir, url).await.unwrap_or_else(|failure| panic!("{failure}"));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { desk: Desk { broker, http }, dir }
    }

    /// Ends it, and starts it again with another configuration.
    async fn again(mut self, change: impl FnOnce(&mut Value)) -> Self {
        self.desk.broker.process.stop();
        let url = rewrite(&self.dir, change);
        Self::start(self.dir.clone(), &url).await
    }

    /// `accredit secrets …` against it.
    fn cli(&self, args: &[&str], input: &str) -> Output {
        let token = self.dir.join("secret");
        let remote = ["--broker", &self.desk.broker.url, "--token-file", token.to_str().unwrap()];
        accredit(&[&["secrets"], args, &remote].concat(), input.as_bytes())
    }

    fn put(&self, name: &str, value: &str) {
        let output = self.cli(&["put", name], value);
        assert!(output.status.success(), "{output:?}");
    }

    /// What a call of the tool gets.
    async fn credential(&self) -> Answer {
        let token = self.desk.token("crm:read").await;
        self.desk.exchange(&token, "crm_lookup", "crm:read", |_| ()).await
    }

    /// The header a call of the tool gets.
    async fn key(&self) -> String {
        let answer = self.credential().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["headers"]["x-api-key"].as_str().unwrap().to_owned()
    }

    async fn database(&self) -> SqliteConnection {
        let url = format!("sqlite://{}", self.dir.join("data/accredit.db").display());
        SqliteConnection::connect(&url).await.unwrap()
    }

    async fn sealed(&self, name: &str) -> Vec<u8> {
        let query = sqlx::query("SELECT sealed FROM secrets WHERE name = ?1 AND current = 1").bind(name);
        query.fetch_one(&mut self.database().await).await.unwrap().get(0)
    }

    async fn tamper(&self, name: &str, sealed: &[u8]) {
        let query = sqlx::query("UPDATE secrets SET sealed = ?2 WHERE name = ?1 AND current = 1");
        query.bind(name).bind(sealed).execute(&mut self.database().await).await.unwrap();
    }

    /// All there is on the disk, by file.
    fn disk(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut folders = vec![self.dir.clone()];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    // Some come and go.
                    false => files.extend(fs::read(&path).ok().map(|bytes| (path, bytes))),
                }
            }
        }
        files
    }

    /// Panics where `bytes` stand in any file but those named.
    fn absent(&self, bytes: &[u8], but: &[&str]) {
        let files = self.disk();
        assert!(files.iter().any(|(path, _)| path.ends_with("data/accredit.db")));
        for (path, content) in files.iter().filter(|(path, _)| !but.iter().any(|name| path.ends_with(name))) {
            assert!(!content.windows(bytes.len()).any(|window| window == bytes), "{}", path.display());
        }
    }
}

/// The log of a broker that does not start.
async fn refused(dir: &Path, url: &str) -> String {
    match Broker::start(dir, url).await {
        Ok(_) => panic!("the broker started"),
        Err(failure) => failure.log.lines().last().unwrap_or_default().to_owned(),
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What operators did to secrets and keys, as the records tell.
async fn acts(desk: &Desk) -> Vec<String> {
    let records = desk.all_records("kind=admin&limit=1000").await;
    let acts = records.iter().map(|record| &record["admin"]);
    let acts = acts.map(|act| format!("{} {}", act["action"].as_str().unwrap(), act["target"].as_str().unwrap()));
    acts.filter(|act| !act.starts_with("agent.") && !act.starts_with("key.")).collect()
}

#[tokio::test]
async fn a_secret_reaches_the_upstream_request_and_nothing_else() {
    let shelf = Shelf::open("canary").await;
    let answer = shelf.credential().await;
    assert_eq!(answer.error(), (503, "temporarily_unavailable"), "{answer:?}");
    assert!(!answer.body.to_string().contains("crm-key"), "{answer:?}");
    let log = shelf.desk.broker.process.log();
    assert!(log.contains("there is no secret `crm-key` (hint: `accredit secrets put crm-key`)"), "{log}");

    let output = shelf.cli(&["put", "crm-key"], &format!("{CANARY}\n"));
    assert_eq!((output.status.code(), text(&output).trim()), (Some(0), "crm-key: version 1 is kept"), "{output:?}");
    assert_eq!(shelf.key().await, CANARY);
    let list = shelf.cli(&["list", "--output", "json"], "");
    let listed: Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!(
        (listed["secrets"][0]["name"].as_str(), listed["secrets"][0]["version"].as_i64()),
        (Some("crm-key"), Some(1))
    );
    assert!(text(&shelf.cli(&["list"], "")).contains("crm-key"));

    assert_eq!(acts(&shelf.desk).await, ["secret.put crm-key"]);
    let records = shelf.desk.all_records("").await;
    for shown in [format!("{records:?}"), text(&list), text(&output), shelf.desk.broker.process.log()] {
        assert!(!shown.contains(CANARY), "{shown}");
    }
    shelf.absent(CANARY.as_bytes(), &[]);
}

#[tokio::test]
async fn a_value_counts_until_the_next_one_or_until_it_is_removed() {
    let mut shelf = Shelf::open("life").await;
    shelf.put("crm-key", "first");
    let file = shelf.dir.join("value");
    fs::write(&file, "second\r\n").unwrap();
    let output = shelf.cli(&["put", "crm-key", "--file", file.to_str().unwrap(), "--output", "json"], "");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((answer["name"].as_str(), answer["version"].as_i64()), (Some("crm-key"), Some(2)), "{output:?}");
    assert_eq!(shelf.key().await, "second");
    shelf.desk.broker.crash().await;
    assert_eq!(shelf.key().await, "second");
    let kept: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM secrets WHERE sealed IS NOT NULL")
        .fetch_one(&mut shelf.database().await)
        .await
        .unwrap();
    assert_eq!(kept, 1, "earlier values are forgotten");

    assert_eq!(shelf.cli(&["remove", "crm-key"], "").status.code(), Some(0));
    assert_eq!(shelf.credential().await.status, 503);
    let gone = shelf.cli(&["remove", "crm-key"], "");
    assert_eq!(gone.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("there is no such secret"), "{gone:?}");
    shelf.put("crm-key", "third");
    assert_eq!(shelf.key().await, "third");
    let told = acts(&shelf.desk).await.join(", ");
    assert_eq!(told, "secret.put crm-key, secret.put crm-key, secret.remove crm-key, secret.put crm-key");
    let list: Value = serde_json::from_slice(&shelf.cli(&["list", "--output", "json"], "").stdout).unwrap();
    assert_eq!(list["secrets"][0]["version"], 3, "no version comes twice");
}

#[tokio::test]
async fn only_operators_put_and_only_what_can_be_a_secret() {
    let shelf = Shelf::open("who").await;
    let url = |path: &str| shelf.desk.url(path);
    let http = &shelf.desk.http;
    let put = |name: &str| http.put(url(&format!("/v1/secrets/{name}"))).bearer_auth(SECRET);
    for (request, expected) in [
        (http.put(url("/v1/secrets/crm-key")).body("x"), (401, "invalid_token")),
        (http.put(url("/v1/secrets/crm-key")).basic_auth("gateway", Some(SECRET)).body("x"), (401, "invalid_token")),
        (http.get(url("/v1/secrets")), (401, "invalid_token")),
        (http.delete(url("/v1/secrets/crm-key")), (401, "invalid_token")),
        (http.post(url("/v1/data-keys")), (401, "invalid_token")),
        (put("crm-key"), (400, "invalid_request")),
        (put("crm-key").body(vec![0xff, 0xfe]), (400, "invalid_request")),
        (put("crm-key").body("x".repeat(16 * 1024 + 1)), (400, "invalid_request")),
        (put("-crm").body("x"), (400, "invalid_request")),
        (put(&"x".repeat(65)).body("x"), (400, "invalid_request")),
        (put("crm%2Fkey").body("x"), (400, "invalid_request")),
        (http.delete(url("/v1/secrets/nothing")).bearer_auth(SECRET), (404, "not_found")),
    ] {
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert_eq!(answer.error(), expected, "{answer:?}");
    }
    let answer = Answer::of(put("crm-key").body("x".repeat(16 * 1024)).send().await.unwrap()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(acts(&shelf.desk).await.len(), 1, "what is refused changes nothing");
    // A value with a line break is kept, but cannot travel in a header.
    shelf.put("crm-key", "two\nlines");
    assert_eq!(shelf.credential().await.status, 503);
    let empty = shelf.cli(&["put", "crm-key"], "\n");
    assert_eq!(empty.status.code(), Some(1), "{empty:?}");
}

#[tokio::test]
async fn a_sealed_value_opens_in_its_own_row_and_version_only() {
    let shelf = Shelf::open("swap").await;
    shelf.put("crm-key", "first");
    let first = shelf.sealed("crm-key").await;
    shelf.put("erp-key", "other");
    let other = shelf.sealed("erp-key").await;
    shelf.put("crm-key", "second");
    let second = shelf.sealed("crm-key").await;
    let mut flipped = second.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for bad in [&first, &other, &flipped, &second[..second.len() - 1].to_vec(), &Vec::new(), &vec![0; 64]] {
        shelf.tamper("crm-key", bad).await;
        let answer = shelf.credential().await;
        assert_eq!(answer.error(), (503, "temporarily_unavailable"), "{answer:?}");
    }
    let log = shelf.desk.broker.process.log();
    assert!(
        log.contains("the secret `crm-key`: a sealed value was changed, or does not belong where it lies"),
        "{log}"
    );
    shelf.tamper("crm-key", &second).await;
    assert_eq!(shelf.key().await, "second");
}

#[tokio::test]
async fn nothing_lies_on_the_disk_in_clear() {
    let shelf = Shelf::open("clear").await;
    shelf.put("crm-key", CANARY);
    let request = shelf.desk.http.get(shelf.desk.url("/v1/session-keys")).basic_auth("gateway", Some(SECRET));
    let answer = Answer::of(request.send().await.unwrap()).await;
    let key = answer.body["keys"][0]["key"].as_str().unwrap();
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(key).unwrap();
    for clear in [CANARY.as_bytes(), key.as_bytes(), &bytes] {
        shelf.absent(clear, &[]);
    }
    let file = shelf.dir.join("data/master.key");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let master = fs::read_to_string(file).unwrap();
    shelf.absent(master.trim().as_bytes(), &["data/master.key"]);
}

#[tokio::test]
async fn a_broker_without_its_key_does_not_start() {
    let (dir, url) = {
        let mut shelf = Shelf::open("keyless").await;
        shelf.put("crm-key", CANARY);
        shelf.desk.broker.process.stop();
        (shelf.dir.clone(), shelf.desk.broker.url.clone())
    };
    let file = dir.join("data/master.key");
    let master = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let says = refused(&dir, &url).await;
    assert!(says.contains("master.key: No such file"), "{says}");
    assert!(!file.exists(), "no new key in place of the lost one");

    fs::write(&file, "ab".repeat(32)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let says = refused(&dir, &url).await;
    assert!(says.contains("found mode `644`, accepted is `600` (hint: chmod 600"), "{says}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let says = refused(&dir, &url).await;
    assert!(says.contains("is wrapped with `file:") && says.contains("`secrets.previous`"), "{says}");

    fs::write(&file, master).unwrap();
    let shelf = Shelf::start(dir, &url).await;
    assert_eq!(shelf.key().await, CANARY);
}

fn key_file(dir: &Path, name: &str, digits: &str) {
    fs::write(dir.join(name), digits.repeat(32)).unwrap();
    fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn the_key_that_wraps_can_be_changed() {
    let shelf = Shelf::open("rewrap").await;
    shelf.put("crm-key", CANARY);
    key_file(&shelf.dir, "new.key", "5a");
    let both = json!({ "key_file": "new.key", "previous": { "key_file": "data/master.key" } });
    let shelf = shelf.again(|config| config["secrets"] = both.clone()).await;
    assert_eq!(shelf.key().await, CANARY);
    let mut shelf = shelf.again(|config| config["secrets"] = json!({ "key_file": "new.key" })).await;
    assert_eq!(shelf.key().await, CANARY);
    shelf.desk.broker.process.stop();
    let url = rewrite(&shelf.dir, |_| ());
    let says = refused(&shelf.dir, &url).await;
    assert!(says.contains("is wrapped with `file:"), "the earlier key opens nothing any more: {says}");
}

#[tokio::test]
async fn a_new_data_key_seals_everything_anew() {
    let mut shelf = Shelf::open("rotate").await;
    shelf.put("crm-key", CANARY);
    for index in 0..120 {
        let put = shelf.desk.http.put(shelf.desk.url(&format!("/v1/secrets/filler-{index}"))).bearer_auth(SECRET);
        assert_eq!(put.body("x").send().await.unwrap().status(), 200);
    }
    let session = shelf.desk.http.get(shelf.desk.url("/v1/session-keys")).basic_auth("gateway", Some(SECRET));
    let session = Answer::of(session.send().await.unwrap()).await.body;
    let old = shelf.sealed("crm-key").await;
    shelf.tamper("filler-7", &old).await;

    let output = shelf.cli(&["rotate", "--output", "json"], "");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&answer["resealed"], &answer["failed"]), (&json!(123), &json!(1)), "{output:?}");
    assert_eq!(output.status.code(), Some(1), "what does not open is found wanting");
    let new = shelf.sealed("crm-key").await;
    assert_ne!(new[1..17], old[1..17]);
    assert_eq!(shelf.key().await, CANARY);
    let request = shelf.desk.http.get(shelf.desk.url("/v1/session-keys")).basic_auth("gateway", Some(SECRET));
    assert_eq!(Answer::of(request.send().await.unwrap()).await.body, session);
    assert_eq!(acts(&shelf.desk).await.last().unwrap(), "data-key.rotate all");

    // As if the rotation had been cut short.
    shelf.tamper("crm-key", &old).await;
    assert_eq!(shelf.key().await, CANARY, "the older key still opens");
    shelf.desk.broker.crash().await;
    assert_eq!(shelf.sealed("crm-key").await[1..17], new[1..17], "a start goes on where it stopped");
    assert_eq!(shelf.key().await, CANARY);
    shelf.put("filler-7", "y");
    let output = shelf.cli(&["rotate"], "");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output).contains("124 values are sealed anew, 0 do not open"), "{output:?}");
}
