//! Searching the audit: every filter leaves something out, pages hold still while records arrive, hostile names are names.

use std::time::Duration;

use harness::stack::broker::SECRET;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::audit::{deliver, record};
use super::support::{Answer, Desk};

/// A record with a value everywhere.
pub fn whole(id: &str) -> Value {
    json!({
        "id": id, "time": "2026-11-23T00:00:00.000Z", "kind": "decision", "decision": "deny", "reason": "scope_missing",
        "agent": { "issuer": "https://idp", "id": "scout" }, "subject": "alice", "chain": ["scout", "planner", "front"],
        "server": "crm", "tool": "crm_delete", "scopes": { "required": ["crm:admin"], "held": ["crm:read"] },
        "credential": { "name": "crm-api", "lease": "lease-1" }, "request_id": "r-1",
        "trace_id": "0af7651916cd43dd8448eb211c80319c", "policy": "ab12",
    })
}

/// One that has other values everywhere.
pub fn other() -> Value {
    json!({
        "id": "other", "time": "2026-11-24T00:00:00.000Z", "kind": "outcome", "decision": "permit", "reason": "revoked",
        "agent": { "issuer": "https://ipd", "id": "clerk" }, "subject": "bob", "chain": ["clerk", "planner-2"],
        "server": "hr", "tool": "hr_read", "credential": { "name": "hr-api", "lease": "lease-2" }, "request_id": "r-2",
        "trace_id": "11111111111111111111111111111111", "policy": "cd34",
    })
}

/// Delivers records as the proxy.
pub async fn keep(desk: &Desk, records: &[Value]) {
    let answer = deliver(desk, "gateway", json!({ "records": records }).to_string()).await;
    assert_eq!(answer.status, 204, "{answer:?}");
}

async fn search(desk: &Desk, query: &[(&str, &str)]) -> Answer {
    let url = reqwest::Url::parse_with_params(&desk.url("/v1/audit/events"), query).unwrap();
    Answer::of(desk.http.get(url).bearer_auth(SECRET).send().await.unwrap()).await
}

fn ids(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let records = answer.body["records"].as_array().unwrap();
    records.iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect()
}

/// The identifiers of what proxies delivered and matches.
async fn found(desk: &Desk, query: &[(&str, &str)]) -> Vec<String> {
    let mut ids = ids(&search(desk, &[query, &[("limit", "1000")]].concat()).await);
    // What the broker tells by itself has its own identifiers.
    ids.retain(|id| id.len() < 36);
    ids
}

#[tokio::test]
async fn every_filter_finds_its_record_and_leaves_the_other_out() {
    let desk = Desk::open("query-filters").await;
    keep(&desk, &[whole("one"), other()]).await;
    assert_eq!(found(&desk, &[]).await, ["one", "other"]);
    for (name, one, two) in [
        ("actor", "scout", "clerk"),
        ("actor", "planner", "planner-2"),
        ("agent", "scout", "clerk"),
        ("credential", "crm-api", "hr-api"),
        ("decision", "deny", "permit"),
        ("id", "one", "other"),
        ("issuer", "https://idp", "https://ipd"),
        ("kind", "decision", "outcome"),
        ("lease", "lease-1", "lease-2"),
        ("policy", "ab12", "cd34"),
        ("reason", "scope_missing", "revoked"),
        ("request_id", "r-1", "r-2"),
        ("server", "crm", "hr"),
        ("subject", "alice", "bob"),
        ("tool", "crm_delete", "hr_read"),
        ("trace", "0af7651916cd43dd8448eb211c80319c", "11111111111111111111111111111111"),
        ("until", "2026-11-23T00:00:00.001Z", "2026-11-23T00:00:00Z"),
    ] {
        assert_eq!(found(&desk, &[(name, one)]).await, ["one"], "{name}");
        assert!(!found(&desk, &[(name, two)]).await.contains(&"one".to_owned()), "{name}");
    }
    assert_eq!(found(&desk, &[("since", "2026-11-23T00:00:00Z")]).await, ["one", "other"]);
    assert_eq!(found(&desk, &[("since", "2026-11-23T00:00:00.001Z")]).await, ["other"]);
    assert!(found(&desk, &[("agent", "scout"), ("subject", "bob")]).await.is_empty(), "all have to match");
}

#[tokio::test]
async fn records_that_arrive_late_are_found_by_their_own_time() {
    let desk = Desk::open("query-late").await;
    keep(&desk, &[other(), whole("late")]).await;
    let mut last = other();
    last["id"] = json!("last");
    keep(&desk, &[last]).await;
    assert_eq!(found(&desk, &[("since", "2026-11-24T00:00:00Z")]).await, ["other", "last"]);
    assert_eq!(found(&desk, &[("since", "2026-11-24T00:00:00Z"), ("order", "newest")]).await, ["last", "other"]);
    assert_eq!(found(&desk, &[("until", "2026-11-24T00:00:00Z")]).await, ["late"]);
    assert!(found(&desk, &[("since", "2999-01-01T00:00:00Z")]).await.is_empty());
}

#[tokio::test]
async fn an_actor_is_found_anywhere_in_the_chain_of_its_own_records() {
    let desk = Desk::open("query-actors").await;
    let mut alone = whole("alone");
    alone["chain"] = json!([]);
    keep(&desk, &[whole("one"), alone.clone()]).await;
    // The same once more beside a new one: nobody gets another's actors.
    keep(&desk, &[whole("one"), alone, other()]).await;
    assert_eq!(found(&desk, &[("actor", "scout")]).await, ["one", "alone"]);
    for (actor, expected) in [("planner", &["one"][..]), ("front", &["one"]), ("planner-2", &["other"]), ("fron", &[])]
    {
        assert_eq!(found(&desk, &[("actor", actor)]).await, expected, "{actor}");
    }
    assert_eq!(found(&desk, &[("actor", "front"), ("agent", "clerk")]).await, [""; 0]);
}

#[tokio::test]
async fn a_record_that_comes_again_with_another_chain_gets_no_more_actors() {
    let desk = Desk::open("query-again").await;
    let mut alone = whole("one");
    alone["chain"] = json!([]);
    keep(&desk, &[alone]).await;
    let mut twice = whole("two");
    twice["chain"] = json!(["scout"]);
    keep(&desk, &[whole("one"), twice, whole("two"), other()]).await;
    assert_eq!(found(&desk, &[("actor", "scout")]).await, ["one", "two"]);
    assert!(found(&desk, &[("actor", "planner")]).await.is_empty());
    assert_eq!(found(&desk, &[("actor", "planner-2")]).await, ["other"]);
}

#[tokio::test]
async fn hostile_names_are_names_and_nothing_else() {
    let desk = Desk::open("query-hostile").await;
    let long = "x".repeat(10_000);
    let names = [
        "a\u{0}b",
        "a\u{fffd}b",
        "%",
        "_",
        "sc%",
        "' OR '1'='1",
        "\";--",
        "\u{1b}[2J",
        "\u{202e}tuocs",
        "a\nb",
        " scout",
        &long,
        &format!("{long}y"),
    ];
    for (index, name) in names.iter().enumerate() {
        let mut hostile = whole(&format!("h{index}"));
        (hostile["agent"]["id"], hostile["tool"]) = (json!(name), json!(name));
        (hostile["subject"], hostile["chain"]) = (json!(name), json!(["scout", name]));
        keep(&desk, &[hostile]).await;
    }
    for (index, name) in names.iter().enumerate().filter(|(_, name)| name.len() < 5_000) {
        for filter in ["actor", "agent", "subject", "tool"] {
            assert_eq!(found(&desk, &[(filter, name)]).await, [format!("h{index}")], "{filter} {name:?}");
        }
    }
    // Beyond a URL's usual length, too.
    for (index, name) in names.iter().enumerate().filter(|(_, name)| name.len() > 5_000) {
        assert_eq!(found(&desk, &[("agent", name)]).await, [format!("h{index}")]);
    }
}

#[tokio::test]
async fn pages_hold_still_while_records_arrive() {
    let desk = Desk::open("query-pages").await;
    for round in 0..4 {
        keep(&desk, &(0..5).map(|number| whole(&format!("r{round}{number}"))).collect::<Vec<_>>()).await;
    }
    let (mut newest, mut before, mut fresh) = (Vec::new(), i64::MAX, 0);
    loop {
        let bound = before.to_string();
        let answer =
            search(&desk, &[("agent", "scout"), ("order", "newest"), ("limit", "3"), ("before", &bound)]).await;
        if ids(&answer).is_empty() {
            break;
        }
        newest.extend(ids(&answer));
        before = answer.body["before"].as_i64().unwrap();
        keep(&desk, &[whole(&format!("late{fresh}"))]).await;
        fresh += 1;
    }
    let old: Vec<String> = (0..4).flat_map(|round| (0..5).map(move |number| format!("r{round}{number}"))).collect();
    assert_eq!(newest, old.iter().rev().cloned().collect::<Vec<_>>());
    let (mut oldest, mut after) = (Vec::new(), 0);
    loop {
        let bound = after.to_string();
        let answer = search(&desk, &[("agent", "scout"), ("limit", "3"), ("after", &bound)]).await;
        if ids(&answer).is_empty() {
            break;
        }
        oldest.extend(ids(&answer));
        after = answer.body["after"].as_i64().unwrap();
        if fresh < 10 {
            keep(&desk, &[whole(&format!("late{fresh}"))]).await;
            fresh += 1;
        }
    }
    let late = (0..fresh).map(|number| format!("late{number}"));
    assert_eq!(oldest, old.into_iter().chain(late).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_page_without_a_match_still_goes_on() {
    let desk = Desk::open("query-after").await;
    keep(&desk, &[whole("one"), whole("two")]).await;
    let answer = search(&desk, &[("agent", "nobody")]).await;
    let after = answer.body["after"].as_i64().unwrap();
    assert!(ids(&answer).is_empty() && after >= 2, "what was looked through is not looked through again");
    keep(&desk, &[record("three")]).await;
    assert_eq!(found(&desk, &[("after", &after.to_string())]).await, ["three"]);
}

#[tokio::test]
async fn who_waits_is_answered_when_a_record_matches() {
    let desk = Desk::open("query-wait").await;
    let start = search(&desk, &[("limit", "1"), ("order", "newest")]).await.body["after"].to_string();
    let began = Instant::now();
    assert!(ids(&search(&desk, &[("after", &start), ("wait", "1s")]).await).is_empty());
    assert!(began.elapsed() >= Duration::from_secs(1));
    let wait = async {
        let answer = search(&desk, &[("after", &start), ("agent", "scout"), ("wait", "20s")]).await;
        (ids(&answer), Instant::now())
    };
    let tell = async {
        sleep(Duration::from_millis(300)).await;
        keep(&desk, &[other()]).await;
        sleep(Duration::from_millis(700)).await;
        keep(&desk, &[whole("one")]).await;
        Instant::now()
    };
    let ((found, answered), told) = tokio::join!(wait, tell);
    assert_eq!(found, ["one"], "what does not match is not waited for");
    assert!(answered.duration_since(told) < Duration::from_secs(3));
}

#[tokio::test]
async fn a_wrong_filter_is_told_with_what_is_accepted() {
    let desk = Desk::open("query-wrong").await;
    for (name, value, said) in [
        ("agnet", "x", "unknown field `agnet`"),
        ("kind", "mints", "unknown variant `mints`"),
        ("decision", "maybe", "expected `permit` or `deny`"),
        ("since", "yesterday", "found `yesterday`, accepted is a moment such as"),
        ("wait", "long", "found `long`, accepted is a time such as `25s`"),
        ("order", "random", "`oldest` or `newest`"),
    ] {
        let answer = search(&desk, &[(name, value)]).await;
        assert_eq!(answer.error(), (400, "invalid_request"));
        let details = answer.body["details"][0].as_str().unwrap();
        assert!(details.contains(said), "{details}");
    }
}
