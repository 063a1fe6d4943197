//! Records: only proxies bring them, only operators read them, and what was taken stays.

use harness::stack::broker::SECRET;
use serde_json::{Value, json};

use super::support::{Answer, Desk};

pub fn record(id: &str) -> Value {
    json!({
        "id": id, "time": "2026-11-23T00:00:00.000Z", "kind": "outcome", "decision": "permit", "tool": "crm_lookup",
        "agent": { "issuer": "x", "id": "agent-9" }, "server": "crm",
    })
}

/// Delivers a batch as `id`.
pub async fn deliver(desk: &Desk, id: &str, body: String) -> Answer {
    let request = desk.http.post(desk.url("/v1/audit/events")).basic_auth(id, Some(SECRET));
    Answer::of(request.header("content-type", "application/json").body(body).send().await.unwrap()).await
}

#[tokio::test]
async fn a_batch_that_was_taken_survives_a_crash_and_is_kept_once() {
    let mut desk = Desk::open("audit").await;
    let batch = json!({ "records": [record("a"), record("b")] }).to_string();
    assert_eq!(deliver(&desk, "gateway", batch.clone()).await.status, 204);
    desk.broker.crash().await;
    assert_eq!(deliver(&desk, "gateway", batch).await.status, 204);
    let records = desk.records("agent=agent-9").await;
    assert_eq!(records, [record("a"), record("b")]);
}

#[tokio::test]
async fn only_proxies_deliver() {
    let desk = Desk::open("audit-deliver").await;
    let batch = json!({ "records": [record("a")] }).to_string();
    assert_eq!(deliver(&desk, "agent-7", batch.clone()).await.error(), (403, "access_denied"));
    assert_eq!(deliver(&desk, "nobody", batch).await.error(), (401, "invalid_client"));
    assert!(desk.records("").await.is_empty());
}

#[tokio::test]
async fn what_the_broker_did_no_proxy_tells() {
    let desk = Desk::open("audit-forged").await;
    for kind in ["admin", "chain", "cut", "end", "intent", "issue", "mint", "revocation"] {
        let mut forged = record(kind);
        forged["kind"] = json!(kind);
        forged["credential"] = json!({ "name": "crm-api", "lease": "lease-1" });
        let batch = json!({ "records": [record("a"), forged] }).to_string();
        assert_eq!(deliver(&desk, "gateway", batch).await.error(), (400, "invalid_request"), "{kind}");
    }
    let mut heads = record("heads");
    heads["heads"] = json!([{ "chain": "c", "length": 1, "seq": 1, "hash": "00" }]);
    let batch = json!({ "records": [heads] }).to_string();
    assert_eq!(deliver(&desk, "gateway", batch).await.error(), (400, "invalid_request"));
    let mut intent = record("announced");
    intent["kind"] = json!("intent");
    let batch = json!({ "records": [intent] }).to_string();
    assert_eq!(deliver(&desk, "gateway", batch).await.status, 204, "a call is announced without a lease");
    let mut long = record("long");
    long["request_id"] = json!("x".repeat(10_000));
    long["tool"] = json!("a\u{0}b");
    let batch = json!({ "records": [long.clone()] }).to_string();
    assert_eq!(deliver(&desk, "gateway", batch).await.status, 204);
    assert_eq!(desk.records("kind=outcome").await, [long], "a long name costs no one a record");
}

#[tokio::test]
async fn a_batch_that_is_none_is_refused_whole() {
    let desk = Desk::open("audit-batch").await;
    let mut unknown = record("u");
    unknown["authorization"] = json!("Bearer x");
    let many: Vec<_> = (0..600).map(|number| record(&number.to_string())).collect();
    for bad in [
        json!({}),
        json!({ "records": [record("a"), unknown] }),
        json!({ "records": [record("")] }),
        json!({ "records": [record(&"x".repeat(65))] }),
        json!({ "records": many }),
        json!([record("a")]),
    ] {
        assert_eq!(deliver(&desk, "gateway", bad.to_string()).await.error(), (400, "invalid_request"));
    }
    assert_eq!(deliver(&desk, "gateway", "x".repeat(1_100_000)).await.status, 413);
    assert!(desk.records("").await.is_empty());
}

#[tokio::test]
async fn only_operators_read() {
    let desk = Desk::open("audit-read").await;
    let get = || desk.http.get(desk.url("/v1/audit/events"));
    for request in [get(), get().bearer_auth("x"), get().basic_auth("gateway", Some(SECRET)), get().bearer_auth("")] {
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert_eq!(answer.error(), (401, "invalid_token"));
        assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_token\"");
    }
}

#[tokio::test]
async fn filters_all_have_to_match_and_pages_go_on_where_the_last_ended() {
    let desk = Desk::open("audit-filter").await;
    let mut other = record("b");
    other["tool"] = json!("crm_update");
    let batch = json!({ "records": [record("a"), other, record("c")] });
    deliver(&desk, "gateway", batch.to_string()).await;
    let ids = async |query: &str| -> Vec<String> {
        desk.records(query).await.iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("tool=crm_lookup&agent=agent-9").await, ["a", "c"]);
    assert!(ids("tool=crm_lookup&agent=agent-1").await.is_empty());
    // The first records tell of the chain, of the signing key and of the agent's registration.
    assert_eq!(ids("after=3&limit=1").await, ["a"]);
    assert_eq!(ids("after=4&limit=1").await, ["b"]);
    assert!(ids("agent=x'%20OR%20'1'='1").await.is_empty());
    let unknown = desk.http.get(desk.url("/v1/audit/events?agnet=x")).bearer_auth(SECRET).send().await.unwrap();
    assert_eq!(Answer::of(unknown).await.error(), (400, "invalid_request"));
}
