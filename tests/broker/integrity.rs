//! The audit held against `accredit audit verify`: whatever is done to it behind the broker's back is found and named.

use std::process::Output;

use harness::stack::broker::{SECRET, accredit};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AnyConnection, Executor as _, Row as _};

use super::audit_query::{keep, whole};
use super::support::{Answer, Desk, POSTGRES, RESOURCE, config};

mod forge;
mod outside;

/// The columns of a record, and what is written into each instead.
const CHANGES: [(&str, &str); 23] = [
    ("seq", "seq + 1000"),
    ("chain", "chain || 'x'"),
    ("position", "position + 1000"),
    ("record", "record || ' '"),
    ("hash", "(SELECT hash FROM kept WHERE seq <> audit.seq ORDER BY seq LIMIT 1)"),
    ("id", "id || 'x'"),
    ("time", "time || 'x'"),
    ("kind", "kind || 'x'"),
    ("decision", "COALESCE(decision, '') || 'x'"),
    ("reason", "COALESCE(reason, '') || 'x'"),
    ("agent", "COALESCE(agent, '') || 'x'"),
    ("subject", "COALESCE(subject, '') || 'x'"),
    ("server", "COALESCE(server, '') || 'x'"),
    ("tool", "COALESCE(tool, '') || 'x'"),
    ("request_id", "COALESCE(request_id, '') || 'x'"),
    ("issuer", "COALESCE(issuer, '') || 'x'"),
    ("credential", "COALESCE(credential, '') || 'x'"),
    ("lease", "COALESCE(lease, '') || 'x'"),
    ("trace", "COALESCE(trace, '') || 'x'"),
    ("policy", "COALESCE(policy, '') || 'x'"),
    ("needed", "COALESCE(needed, '') || 'x'"),
    ("lacked", "COALESCE(lacked, '') || 'x'"),
    ("millis", "millis + 1"),
];

/// What `verify` says: its exit code and its verdict.
pub struct Verdict {
    pub code: Option<i32>,
    pub said: Value,
}

impl Verdict {
    fn of(output: &Output) -> Self {
        let said = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        Self { code: output.status.code(), said }
    }

    /// Each thing that is wrong, and the number of the record.
    pub fn faults(&self) -> Vec<(&str, Option<u64>)> {
        let findings = self.said["findings"].as_array().expect("findings are a list").iter();
        findings.map(|finding| (finding["what"].as_str().unwrap(), finding["seq"].as_u64())).collect()
    }

    pub fn unsigned(&self) -> u64 {
        self.said["chains"].as_array().unwrap().iter().map(|chain| chain["unsigned"].as_u64().unwrap()).sum()
    }

    #[track_caller]
    pub fn clean(&self) -> &Self {
        assert_eq!((self.code, &self.said["clean"]), (Some(0), &json!(true)), "{}", self.said);
        self
    }

    #[track_caller]
    pub fn wanting(&self) -> &Self {
        assert_eq!((self.code, &self.said["clean"]), (Some(1), &json!(false)), "{}", self.said);
        self
    }
}

/// The verdict on the broker's database.
pub fn verify(desk: &Desk, more: &[&str]) -> Verdict {
    let place = desk.broker.dir().join(if POSTGRES { "store.url" } else { "data/accredit.db" });
    let option = if POSTGRES { "--postgres" } else { "--database" };
    let args = ["audit", "verify", "--output", "json", option, place.to_str().unwrap()];
    Verdict::of(&accredit(&[&args, more].concat(), b""))
}

/// What `accredit audit key` prints.
fn key(desk: &Desk) -> String {
    let secret = desk.broker.dir().join("secret");
    let output =
        accredit(&["audit", "key", "--broker", &desk.broker.url, "--token-file", secret.to_str().unwrap()], b"");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Desk {
    /// Asks the broker to end, waits for it, and starts it again.
    async fn restart(&mut self) {
        self.broker.process.stop();
        self.broker.crash().await;
    }

    /// Leaves a record of every kind a broker and its proxies write.
    pub async fn live(&self, name: &str) {
        let token = self.token("crm:read").await;
        assert_eq!(self.exchange(&token, "crm_lookup", "crm:read", |_| ()).await.status, 200);
        assert_eq!(self.exchange(&token, "crm_update", "crm:write crm:read", |_| ()).await.status, 403);
        let lease = self.exchange(&token, "crm_lookup", "crm:read", |_| ()).await.text("lease_id");
        let end = self.http.delete(self.url(&format!("/v1/leases/{lease}"))).bearer_auth(SECRET);
        assert_eq!(end.send().await.unwrap().status(), 200);
        let kinds = [("decision", "d"), ("outcome", "o"), ("gap", "g")];
        let records = kinds.map(|(kind, id)| {
            json!({ "id": format!("{name}-{id}"), "time": "2026-11-23T00:00:00.000Z", "kind": kind, "tool": "a\u{0}b" })
        });
        let batch = self.http.post(self.url("/v1/audit/events")).basic_auth("gateway", Some(SECRET));
        assert_eq!(batch.json(&json!({ "records": records })).send().await.unwrap().status(), 204);
        let form = [("token", token.as_str())];
        let revoke = self.http.post(self.url("/revoke")).basic_auth("agent-7", Some(SECRET)).form(&form);
        assert_eq!(revoke.send().await.unwrap().status(), 200);
    }
}

/// A log of two lives, the second after a crash, both ended in order but for that; and a copy of it in a table of its own.
async fn lived(name: &str) -> (Desk, AnyConnection) {
    let mut config = config();
    config["agents"][0]["resources"] = json!([RESOURCE]);
    let mut desk =
        Desk::configured(name, &super::support::policy(&harness::Issuer::new(super::support::FOREIGN)), config).await;
    desk.live("one").await;
    desk.broker.crash().await;
    desk.live("two").await;
    desk.broker.process.stop();
    let mut database = desk.broker.database().await;
    run(&mut database, "CREATE TABLE kept AS SELECT * FROM audit").await;
    (desk, database)
}

async fn run(database: &mut AnyConnection, statement: &str) {
    database
        .execute(sqlx::AssertSqlSafe(statement.to_owned()))
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
}

async fn restore(database: &mut AnyConnection) {
    run(database, "DELETE FROM audit").await;
    run(database, "INSERT INTO audit SELECT * FROM kept").await;
}

async fn last(database: &mut AnyConnection) -> i64 {
    database.fetch_one("SELECT MAX(seq) FROM audit").await.unwrap().get(0)
}

#[tokio::test]
async fn a_log_with_every_kind_of_record_and_two_chains_is_clean() {
    let (desk, mut database) = lived("integrity-clean").await;
    let verdict = verify(&desk, &[]);
    verdict.clean();
    assert_eq!(verdict.unsigned(), 0, "{}", verdict.said);
    assert_eq!((verdict.said["chains"].as_array().unwrap().len(), &verdict.said["trust"]), (2, &json!("not_pinned")));
    assert_eq!(verdict.said["records"], json!(last(&mut database).await));
    let kinds = database.fetch_all("SELECT DISTINCT kind FROM audit ORDER BY kind").await.unwrap();
    let kinds: Vec<String> = kinds.iter().map(|row| row.get(0)).collect();
    assert_eq!(kinds, ["admin", "chain", "decision", "end", "gap", "intent", "issue", "mint", "outcome", "revocation"]);
}

#[tokio::test]
async fn whatever_column_of_whatever_record_is_changed_is_named() {
    let (desk, mut database) = lived("integrity-columns").await;
    for seq in 1..=last(&mut database).await {
        for (column, value) in CHANGES {
            run(&mut database, &format!("UPDATE audit SET {column} = {value} WHERE seq = {seq}")).await;
            let verdict = verify(&desk, &[]);
            let faults = verdict.wanting().faults();
            let named = faults.iter().any(|(_, found)| *found == u64::try_from(seq).ok());
            // A record that has moved is missed where it was.
            assert!(named || column == "seq", "{column} of {seq}: {faults:?}");
            restore(&mut database).await;
        }
    }
    verify(&desk, &[]).clean();
}

#[tokio::test]
async fn records_that_are_removed_moved_or_doubled_are_missed_by_name() {
    let (desk, mut database) = lived("integrity-places").await;
    let last = last(&mut database).await;
    for seq in 1..=last {
        let (here, next) = (u64::try_from(seq).ok(), u64::try_from(seq + 1).ok());
        run(&mut database, &format!("DELETE FROM audit WHERE seq = {seq}")).await;
        let expected = if seq == last { ("truncated", here) } else { ("missing", next) };
        assert_eq!(verify(&desk, &[]).wanting().faults()[0], expected, "without {seq}");
        run(&mut database, &format!("DELETE FROM audit WHERE seq > {seq}")).await;
        let verdict = verify(&desk, &[]);
        assert!(
            verdict.wanting().faults().iter().any(|(what, _)| *what == "truncated"),
            "up to {seq}: {}",
            verdict.said
        );
        restore(&mut database).await;
        if seq < last {
            for (from, to) in [(seq, -1), (seq + 1, seq), (-1, seq + 1)] {
                run(&mut database, &format!("UPDATE audit SET seq = {to} WHERE seq = {from}")).await;
            }
            assert_eq!(verify(&desk, &[]).wanting().faults()[0].1, here, "{seq} and the next have changed places");
            restore(&mut database).await;
        }
    }
    // On PostgreSQL each partition has its own, and only the first one is in use.
    run(&mut database, if POSTGRES { "DROP INDEX audit_1_chain" } else { "DROP INDEX audit_chain" }).await;
    for seq in 1..=last {
        let twice = format!(
            "INSERT INTO audit (seq, chain, position, hash, record, id, time, kind, millis) \
             SELECT {}, chain, position, hash, record, id || 'x', time, kind, millis FROM kept WHERE seq = {seq}",
            last + 1
        );
        run(&mut database, &twice).await;
        assert_eq!(verify(&desk, &[]).wanting().faults()[0], ("repeated", u64::try_from(last + 1).ok()));
        restore(&mut database).await;
    }
}

#[tokio::test]
async fn whatever_actor_beside_a_record_is_changed_is_named() {
    let desk = Desk::open("integrity-actors").await;
    keep(&desk, &[whole("a"), whole("b")]).await;
    let mut database = desk.broker.database().await;
    let seq: i64 = database.fetch_one("SELECT MAX(seq) FROM audit").await.unwrap().get(0);
    verify(&desk, &[]).clean();
    run(&mut database, "CREATE TABLE kept AS SELECT * FROM audit_actors").await;
    let here = format!("WHERE seq = {seq} AND place = 1");
    let gone = seq + 1;
    for (change, at) in [
        (format!("UPDATE audit_actors SET actor = actor || 'x' {here}"), seq),
        (format!("UPDATE audit_actors SET giver = NULL {here}"), seq),
        (format!("UPDATE audit_actors SET place = 7 {here}"), seq),
        (format!("DELETE FROM audit_actors {here}"), seq),
        (format!("DELETE FROM audit_actors WHERE seq = {seq}"), seq),
        (format!("INSERT INTO audit_actors (seq, place, actor) VALUES ({seq}, 3, 'x')"), seq),
        (format!("INSERT INTO audit_actors (seq, place, actor) VALUES ({gone}, 0, 'x')"), gone),
    ] {
        run(&mut database, &change).await;
        assert_eq!(verify(&desk, &[]).wanting().faults(), [("actors", u64::try_from(at).ok())], "{change}");
        run(&mut database, "DELETE FROM audit_actors").await;
        run(&mut database, "INSERT INTO audit_actors SELECT * FROM kept").await;
    }
    verify(&desk, &[]).clean();
}

#[tokio::test]
async fn a_crash_between_a_record_and_its_checkpoint_is_no_fault_and_the_next_life_vouches_for_it() {
    let mut desk = Desk::open("integrity-crash").await;
    desk.live("one").await;
    desk.broker.process.kill();
    let verdict = verify(&desk, &[]);
    assert!(verdict.clean().unsigned() > 5, "{}", verdict.said);
    desk.broker.crash().await;
    super::roles::soon("the tail is not signed", async || verify(&desk, &[]).clean().unsigned() == 0).await;
    let chains = verify(&desk, &[]).said["chains"].as_array().unwrap().len();
    assert_eq!(chains, 2, "a live database verifies as well");
}

#[tokio::test]
async fn an_export_verifies_like_the_database_and_every_line_counts() {
    let mut desk = Desk::open("integrity-export").await;
    desk.live("one").await;
    desk.restart().await;
    desk.live("two").await;
    let get = || desk.http.get(desk.url("/v1/audit/export"));
    assert_eq!(Answer::of(get().send().await.unwrap()).await.error(), (401, "invalid_token"));
    super::roles::soon("a checkpoint is missing", async || {
        let text = get().bearer_auth(SECRET).send().await.unwrap().text().await.unwrap();
        text.lines().filter(|line| line.starts_with("{\"checkpoint\"")).count() >= 2
    })
    .await;
    let token = desk.broker.dir().join("secret");
    let export = |args: &[&str]| {
        let broker = ["--broker", &desk.broker.url, "--token-file", token.to_str().unwrap()];
        accredit(&[&["audit", "export", "--format", "chain"], args, &broker].concat(), b"")
    };
    assert_eq!(export(&["--agent", "agent-7"]).status.code(), Some(1), "a part of a chain proves nothing");
    let text = String::from_utf8(export(&[]).stdout).unwrap();
    let (file, pinned) = (desk.broker.dir().join("export.ndjson"), key(&desk));
    let check = |lines: &[&str]| {
        std::fs::write(&file, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        let args = ["audit", "verify", "--output", "json", "--key", &pinned, "--export", file.to_str().unwrap()];
        Verdict::of(&accredit(&args, b""))
    };
    let lines: Vec<_> = text.lines().collect();
    let whole = check(&lines);
    assert_eq!((&whole.clean().said["trust"], &whole.said["key"]), (&json!("pinned"), &json!(pinned)));
    assert_eq!(whole.unsigned(), 0, "what was there is signed for: {}", whole.said);
    let records = lines.iter().filter(|line| line.starts_with("{\"seq\"")).count();
    assert_eq!(whole.said["records"], json!(records));
    for at in 0..records {
        let seq = u64::try_from(at + 1).unwrap();
        let mut changed = lines.clone();
        let altered = changed[at].replacen("\"time\":\"2026", "\"time\":\"2027", 1);
        changed[at] = &altered;
        assert_eq!(check(&changed).wanting().faults()[0], ("altered", Some(seq)));
        changed[at] = "{}";
        assert_eq!(check(&changed).wanting().faults()[0], ("unreadable", Some(seq)));
        changed.remove(at);
        // What was written after the last checkpoint can go unseen.
        assert!(check(&changed).code == Some(1) || at + 1 == records, "without {seq}");
    }
}

#[tokio::test]
async fn wrong_usage_is_told_from_a_log_that_is_found_wanting() {
    let code = |args: &[&str]| accredit(&[&["audit", "verify"], args].concat(), b"").status.code();
    assert_eq!(code(&[]), Some(2));
    assert_eq!(code(&["--database", "a", "--export", "b"]), Some(2));
    assert_eq!(code(&["--database", "a", "--key", "no+key"]), Some(2));
    let missing = accredit(&["audit", "verify", "--database", "nowhere.db"], b"");
    assert!(missing.status.code() == Some(1) && String::from_utf8_lossy(&missing.stderr).contains("nowhere.db: "));
}

#[tokio::test]
async fn only_operators_see_the_key() {
    let desk = Desk::open("integrity-key").await;
    let request = desk.http.request(Method::GET, desk.url("/v1/audit/key"));
    assert_eq!(Answer::of(request.send().await.unwrap()).await.error(), (401, "invalid_token"));
    let name = desk.broker.url.strip_prefix("http://").unwrap();
    assert!(key(&desk).starts_with(&format!("{name}/audit+")), "{}", key(&desk));
}
