//! `accredit audit query` and `export`: what people and other systems are shown, without secrets and without surprises.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use harness::stack::broker::{SECRET, accredit};
use serde_json::{Value, json};
use sqlx::Executor as _;

use super::audit_query::{keep, other, whole};
use super::support::{Desk, RESOURCE};

/// Runs `accredit audit`.
pub fn audit(desk: &Desk, args: &[&str]) -> Output {
    let token = desk.broker.dir().join("secret");
    let fixed = ["--broker", &desk.broker.url, "--token-file", token.to_str().unwrap()];
    accredit(&[&["audit"], args, &fixed].concat(), b"")
}

/// What it prints.
pub fn text(desk: &Desk, args: &[&str]) -> String {
    let output = audit(desk, args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_query_is_a_table_or_the_records() {
    let desk = Desk::open("audit-table").await;
    keep(&desk, &[whole("one"), other()]).await;
    let table = text(&desk, &["query", "--server", "crm", "--since", "2026-11-01T00:00:00Z"]);
    let [titles, row] = table.lines().collect::<Vec<_>>()[..] else { panic!("{table}") };
    assert!(titles.starts_with("TIME") && titles.ends_with("WITH"), "{titles}");
    for said in ["deny", "scout", "alice", "scout < planner < front", "crm/crm_delete", "scope_missing needs crm:admin"]
    {
        assert!(row.contains(said), "{row}");
    }
    let answer: Value = serde_json::from_str(&text(&desk, &["query", "--actor", "front", "--output", "json"])).unwrap();
    assert_eq!(answer["records"], json!([whole("one")]));
    let newest = text(&desk, &["query", "--newest", "--limit", "1", "--output", "json"]);
    let newest: Value = serde_json::from_str(&newest).unwrap();
    assert_eq!(newest["records"], json!([other()]));
    assert_eq!(audit(&desk, &["query", "--since", "yesterday"]).status.code(), Some(2));
}

#[tokio::test]
async fn an_export_has_every_record_once_in_each_form() {
    let desk = Desk::open("audit-export").await;
    for round in 0..4 {
        keep(&desk, &(0..300).map(|number| whole(&format!("r{round}-{number}"))).collect::<Vec<_>>()).await;
    }
    keep(&desk, &[other()]).await;
    let expected: Vec<String> =
        (0..4).flat_map(|round| (0..300).map(move |number| format!("r{round}-{number}"))).collect();
    let id = |value: &Value, pointer: &str| value.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    let raw = lines(&text(&desk, &["export", "--format", "ndjson", "--agent", "scout"]));
    assert_eq!(raw.iter().map(|record| id(record, "/id")).collect::<Vec<_>>(), expected);
    assert_eq!(raw[0], whole("r0-0"));
    let ocsf = lines(&text(&desk, &["export", "--format", "ocsf", "--agent", "scout"]));
    assert_eq!(ocsf.iter().map(|event| id(event, "/metadata/uid")).collect::<Vec<_>>(), expected);
    assert!(ocsf.iter().all(|event| event["class_uid"] == 6003 && event["type_uid"] == 600_399));
    let otlp = lines(&text(&desk, &["export", "--format", "otlp", "--agent", "scout"]));
    let logs = otlp.iter().flat_map(|request| {
        request["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap().iter().cloned()
    });
    assert_eq!(logs.map(|log| id(&log, "/attributes/0/value/stringValue")).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_file_is_for_its_owner_and_never_overwritten() {
    let desk = Desk::open("audit-file").await;
    keep(&desk, &[whole("one")]).await;
    let file = desk.broker.dir().join("out.ndjson");
    let args = ["export", "--format", "ndjson", "--agent", "scout", "--file", file.to_str().unwrap()];
    assert!(audit(&desk, &args).status.success());
    assert_eq!(lines(&fs::read_to_string(&file).unwrap()), [whole("one")]);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let again = audit(&desk, &args);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8(again.stderr).unwrap().contains("out.ndjson: "));
}

#[tokio::test]
async fn hostile_names_break_no_table_and_no_export() {
    let desk = Desk::open("audit-hostile").await;
    let long = "x".repeat(10_000);
    for (index, name) in ["a\u{0}b", "\u{1b}[2J", "a\nb", "\u{202e}x", "\",\"id\":\"y", &long].iter().enumerate() {
        let mut hostile = whole(&format!("h{index}"));
        (hostile["agent"]["id"], hostile["tool"], hostile["chain"]) = (json!(name), json!(name), json!([name, "a"]));
        keep(&desk, &[hostile]).await;
    }
    let table = text(&desk, &["query", "--subject", "alice"]);
    assert_eq!(table.lines().count(), 7, "{table}");
    assert!(!table.chars().any(|letter| letter != '\n' && letter.is_control() || letter == '\u{202e}'), "{table:?}");
    assert!(table.lines().all(|line| line.chars().count() < 500));
    for format in ["ndjson", "ocsf", "otlp"] {
        assert!(!lines(&text(&desk, &["export", "--format", format, "--subject", "alice"])).is_empty(), "{format}");
    }
}

#[tokio::test]
async fn no_token_or_secret_is_in_any_output() {
    let desk = Desk::open("audit-canary").await;
    let token = desk.token("crm:read").await;
    let minted = desk.exchange(&token, "crm_lookup", "crm:read", |_| ()).await.text("access_token");
    desk.exchange(&token, "crm_update", "crm:read", |_| ()).await;
    assert_eq!(desk.ask("agent-7", &[("grant_type", "client_credentials"), ("resource", RESOURCE)]).await.status, 200);
    let mut said = String::new();
    for args in [
        &["query", "--limit", "1000"][..],
        &["query", "--limit", "1000", "--output", "json"],
        &["export", "--format", "ndjson"],
        &["export", "--format", "ocsf"],
        &["export", "--format", "otlp"],
    ] {
        said.push_str(&text(&desk, args));
    }
    assert!(said.contains("agent-7") && said.contains("crm_lookup"));
    for secret in [SECRET, &token, &minted] {
        // A signature alone would be enough to tell.
        assert!(!said.contains(secret.rsplit('.').next().unwrap()), "a secret is shown");
    }
}

/// The bytes of a log that no buffers between two processes hold.
const LARGE: usize = 24 * 1024 * 1024;

#[tokio::test]
async fn an_export_that_a_removal_overtakes_has_no_end() {
    let desk = Desk::open("audit-overtaken").await;
    let size = 8 * 1024;
    for batch in 0..LARGE / size / 64 {
        let records: Vec<_> = (0..64)
            .map(|number| {
                let mut record = whole(&format!("{batch}-{number}"));
                record["tool"] = json!("x".repeat(size));
                record
            })
            .collect();
        keep(&desk, &records).await;
    }
    let export = || desk.http.get(desk.url("/v1/audit/export")).bearer_auth(SECRET).send();
    let whole = export().await.unwrap().bytes().await.unwrap();
    assert!(whole.len() > LARGE);
    let mut overtaken = export().await.unwrap();
    assert!(overtaken.chunk().await.unwrap().is_some());
    desk.broker.database().await.execute("DELETE FROM audit").await.unwrap();
    while let Ok(chunk) = overtaken.chunk().await {
        assert!(chunk.is_some(), "it ended as if it were whole");
    }
}
