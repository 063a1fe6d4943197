//! The feed of revocations as proxies follow it, and the operators who fill it.

use std::time::{Duration, Instant};

use harness::stack::broker::{SECRET, accredit};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::clients::desk;
use super::support::{Answer, Desk, POSTGRES};

/// Everything that was told so far, and up to where.
#[derive(Clone, Debug, Default)]
struct Follower {
    seq: u64,
    mark: String,
}

impl Follower {
    async fn ask(&self, desk: &Desk, wait: &str) -> Answer {
        let url = desk.url(&format!("/v1/revocations?after={}&mark={}&wait={wait}", self.seq, self.mark));
        let request = desk.http.get(url).basic_auth("gateway", Some(SECRET));
        Answer::of(request.send().await.unwrap()).await
    }

    /// Asks, and goes on after the answer.
    async fn follow(&mut self, desk: &Desk, wait: &str) -> Value {
        let answer = self.ask(desk, wait).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{answer:?}");
        self.seq = answer.body["seq"].as_u64().unwrap();
        self.mark = answer.text("mark");
        answer.body
    }
}

async fn operate(desk: &Desk, path: &str, body: &Value) -> Answer {
    let request = desk.http.post(desk.url(path)).bearer_auth(SECRET).json(body);
    Answer::of(request.send().await.unwrap()).await
}

async fn revoke(desk: &Desk, target: Value) -> Answer {
    operate(desk, "/v1/revocations", &json!({ "target": target, "why": "tests" })).await
}

fn agent(id: &str) -> Value {
    json!({ "kind": "agent", "id": id })
}

#[tokio::test]
async fn a_proxy_is_told_everything_once_and_then_what_happens() {
    let desk = desk("feed").await;
    assert_eq!(revoke(&desk, agent("other")).await.status, 201);
    let mut follower = Follower::default();
    let page = follower.follow(&desk, "10s").await;
    let whole = json!({ "kind": "agent", "issuer": desk.broker.url, "id": "other" });
    assert_eq!((&page["reset"], &page["changes"][0]["target"]), (&json!(true), &whole));
    assert!(!page.to_string().contains("tests"), "proxies need not know why");
    let began = Instant::now();
    let page = follower.follow(&desk, "400ms").await;
    assert!(began.elapsed() >= Duration::from_millis(400), "it was held");
    assert_eq!((&page["changes"], &page["reset"]), (&json!([]), &Value::Null));
    let (news, lifted) = tokio::join!(follower.ask(&desk, "10s"), async {
        sleep(Duration::from_millis(100)).await;
        operate(&desk, "/v1/revocations/lift", &json!({ "target": agent("other") })).await
    });
    assert_eq!((lifted.status, &news.body["changes"][0]["lifts"]), (200, &json!(true)));
    assert!(began.elapsed() < Duration::from_secs(5), "told when it happened");
}

#[tokio::test]
async fn a_proxy_that_followed_another_history_is_told_everything_again() {
    let mut desk = desk("feed-reset").await;
    for id in ["a", "b"] {
        revoke(&desk, agent(id)).await;
    }
    let mut follower = Follower::default();
    follower.follow(&desk, "0s").await;
    desk.broker.crash().await;
    assert_eq!(follower.follow(&desk, "0s").await["reset"], Value::Null, "a restart is no new history");
    for (seq, mark) in [(follower.seq, "x"), (follower.seq + 1, &*follower.mark), (1, &*follower.mark), (7, "0")] {
        let other = Follower { seq, mark: mark.to_owned() };
        let page = other.ask(&desk, "10s").await.body;
        assert_eq!((&page["reset"], page["changes"].as_array().unwrap().len()), (&json!(true), 2), "{other:?}");
    }
}

#[tokio::test]
async fn only_proxies_follow_and_only_operators_revoke() {
    let desk = desk("feed-who").await;
    let get = || desk.http.get(desk.url("/v1/revocations?after=0"));
    let ask = async |request: reqwest::RequestBuilder| Answer::of(request.send().await.unwrap()).await;
    assert_eq!(ask(get()).await.error(), (401, "invalid_client"));
    assert_eq!(ask(get().basic_auth("gateway", Some("x"))).await.error(), (401, "invalid_client"));
    assert_eq!(ask(get().basic_auth("agent-7", Some(SECRET))).await.error(), (403, "access_denied"));
    assert_eq!(ask(get().bearer_auth("x")).await.error(), (401, "invalid_token"));
    for path in ["/v1/revocations", "/v1/revocations/lift"] {
        let body = json!({ "target": agent("other") });
        let post = || desk.http.post(desk.url(path)).json(&body);
        for request in [post(), post().bearer_auth("x"), post().basic_auth("gateway", Some(SECRET))] {
            assert_eq!(ask(request).await.error(), (401, "invalid_token"), "{path}");
        }
    }
    for query in ["", "?after=x", "?after=1&wait=soon", "?after=1&more=1", "?after=-1"] {
        let request = desk.http.get(desk.url(&format!("/v1/revocations{query}"))).basic_auth("gateway", Some(SECRET));
        assert_eq!(ask(request).await.error(), (400, "invalid_request"), "{query}");
    }
    assert!(desk.records("kind=revocation").await.is_empty());
}

#[tokio::test]
async fn what_would_revoke_nothing_is_refused_or_told() {
    let desk = desk("feed-bad").await;
    for (target, before) in [
        (json!({ "kind": "server", "server": "cmr" }), None),
        (json!({ "kind": "tool", "server": "crm", "tool": "crm_lookp" }), None),
        (json!({ "kind": "tool", "server": "crm", "tool": "report_*" }), None),
        (json!({ "kind": "tool", "server": "crm" }), None),
        (json!({ "kind": "everything" }), None),
        (json!({ "kind": "agent", "id": "" }), None),
        (json!({ "kind": "agent", "id": "x".repeat(3000) }), None),
        (json!({ "kind": "agent", "id": "x", "more": 1 }), None),
        (json!("agent"), None),
        (agent("other"), Some("yesterday")),
        (agent("other"), Some("2100-01-01T00:00:00Z")),
        (json!({ "kind": "server", "server": "crm" }), Some("now")),
    ] {
        let answer = operate(&desk, "/v1/revocations", &json!({ "target": target, "before": before })).await;
        assert_eq!(answer.error(), (400, "invalid_request"), "{target} {before:?}");
    }
    assert!(desk.records("kind=revocation").await.is_empty());
    let unknown = revoke(&desk, agent("nobody")).await;
    assert_eq!((unknown.status, &unknown.body["notes"]), (201, &json!(["no agent is registered as `nobody`"])));
    let foreign = json!({ "kind": "subject", "issuer": "https://typo.example", "subject": "alice" });
    let note = "no issuer of the policy is `https://typo.example`";
    assert_eq!(revoke(&desk, foreign).await.body["notes"], json!([note]));
    let known = json!({ "kind": "tool", "server": "crm", "tool": "crm_lookup" });
    assert_eq!(revoke(&desk, known).await.body["notes"], json!([]));
}

#[tokio::test]
async fn what_is_revoked_gets_nothing_here_either_and_it_is_on_the_record() {
    let desk = desk("feed-here").await;
    let exchanges = async |token: &str| desk.exchange(token, "crm_lookup", "crm:read", |_| ()).await.status;
    let token = desk.token_of("other").await;
    assert_eq!(exchanges(&token).await, 200);
    let before = json!({ "target": agent("other"), "before": "now", "why": "lost laptop" });
    assert_eq!(operate(&desk, "/v1/revocations", &before).await.status, 201);
    assert_eq!(exchanges(&token).await, 403);
    sleep(Duration::from_millis(2100)).await;
    assert_eq!(exchanges(&desk.token_of("other").await).await, 200, "it may come back");
    assert_eq!(exchanges(&token).await, 403, "its old tokens may not");
    revoke(&desk, json!({ "kind": "tool", "server": "crm", "tool": "crm_lookup" })).await;
    assert_eq!(exchanges(&desk.token_of("other").await).await, 403);
    let records = desk.records("kind=revocation").await;
    let [first, second] = &records[..] else { panic!("{records:?}") };
    assert_eq!((&first["agent"]["id"], &first["admin"]["why"]), (&json!("other"), &json!("lost laptop")));
    assert_eq!((&first["admin"]["by"], &first["admin"]["action"]), (&json!("operator"), &json!("revocation.add")));
    assert_eq!((&second["server"], &second["tool"]), (&json!("crm"), &json!("crm_lookup")));
}

#[tokio::test]
async fn only_what_stands_is_lifted_and_a_suspended_agent_is_resumed() {
    let desk = desk("feed-lift").await;
    let lift = async |target: Value| operate(&desk, "/v1/revocations/lift", &json!({ "target": target })).await;
    assert_eq!(lift(agent("other")).await.error(), (404, "not_found"));
    revoke(&desk, agent("other")).await;
    assert_eq!(lift(agent("other")).await.status, 200);
    assert_eq!(lift(agent("other")).await.error(), (404, "not_found"));
    let dated = json!({ "target": agent("other"), "before": "now" });
    assert_eq!(operate(&desk, "/v1/revocations/lift", &dated).await.error(), (400, "invalid_request"));
    assert_eq!(operate(&desk, "/v1/agents/other/suspend", &json!({})).await.status, 200);
    assert_eq!(lift(agent("other")).await.error(), (409, "conflict"));
    assert_eq!(operate(&desk, "/v1/agents/other/resume", &json!({})).await.status, 200);
    assert_eq!(lift(agent("other")).await.error(), (404, "not_found"));
}

#[tokio::test]
async fn a_suspended_agent_is_in_the_feed() {
    let desk = desk("feed-suspend").await;
    let mut follower = Follower::default();
    follower.follow(&desk, "0s").await;
    for (verb, lifts) in [("suspend", Value::Null), ("resume", json!(true)), ("retire", Value::Null)] {
        assert_eq!(operate(&desk, &format!("/v1/agents/other/{verb}"), &json!({})).await.status, 200);
        let change = follower.follow(&desk, "5s").await["changes"][0].clone();
        assert_eq!((&change["target"]["id"], &change["lifts"]), (&json!("other"), &lifts), "{verb}");
    }
}

#[tokio::test]
async fn an_agent_that_takes_back_very_many_tokens_loses_all_it_has() {
    let desk = desk("feed-many").await;
    let (taken, other) = (desk.token_of("other").await, desk.token_of("other").await);
    let mut store = desk.broker.database().await;
    for seq in 1..=1000 {
        let query = "INSERT INTO revocations (seq, target, lifts, created, until, by_whom, mark) \
                     VALUES ($1, $2, 0, 0, 4102444800000, 'other', 'x')";
        let target = json!({ "kind": "token", "issuer": desk.broker.url, "id": format!("t-{seq}") }).to_string();
        sqlx::query(query).bind(seq).bind(target).execute(&mut store).await.unwrap();
    }
    desk.post_as("other", "/revoke", &[("token", &taken)]).await;
    for token in [&taken, &other] {
        assert_eq!(desk.exchange(token, "crm_lookup", "crm:read", |_| ()).await.status, 403);
    }
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM revocations").fetch_one(&mut store).await.unwrap();
    assert_eq!(count, 1001, "one for all");
}

#[tokio::test]
async fn questions_that_wait_leave_connections_for_calls() {
    let mut config = super::support::config();
    config["limits"] = json!({ "connections": 6 });
    let policy = super::support::policy(&harness::Issuer::new(super::support::FOREIGN));
    let desk = Desk::configured("feed-held", &policy, config).await;
    let mut follower = Follower::default();
    follower.follow(&desk, "0s").await;
    let held: Vec<_> = (0..3)
        .map(|_| {
            let url = desk.url(&format!("/v1/revocations?after={}&mark={}&wait=20s", follower.seq, follower.mark));
            tokio::spawn(desk.http.get(url).basic_auth("gateway", Some(SECRET)).send())
        })
        .collect();
    sleep(Duration::from_millis(500)).await;
    let began = Instant::now();
    assert_eq!(follower.ask(&desk, "20s").await.status, 200);
    assert!(began.elapsed() < Duration::from_secs(5), "a fourth is not held");
    assert!(held.iter().all(|held| !held.is_finished()), "three are");
}

#[tokio::test]
async fn what_nobody_can_hit_any_more_is_forgotten() {
    let desk = desk("feed-until").await;
    let token = desk.token_of("other").await;
    desk.post_as("other", "/revoke", &[("token", &token)]).await;
    revoke(&desk, agent("nobody")).await;
    let count = async || {
        let mut store = desk.broker.database().await;
        let query = sqlx::query_scalar("SELECT count(*) FROM revocations");
        query.fetch_one(&mut store).await.map(|count: i64| count).unwrap()
    };
    assert_eq!(count().await, 2);
    let mut store = desk.broker.database().await;
    sqlx::query("UPDATE revocations SET until = 1 WHERE until IS NOT NULL").execute(&mut store).await.unwrap();
    for attempt in 0.. {
        assert!(attempt < 100, "it is still there");
        if count().await == 1 {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_proxy_that_waits_does_not_keep_the_broker_from_stopping() {
    let mut desk = desk("feed-stop").await;
    let mut follower = Follower::default();
    follower.follow(&desk, "0s").await;
    let url = desk.url(&format!("/v1/revocations?after={}&mark={}&wait=25s", follower.seq, follower.mark));
    let waits = tokio::spawn(desk.http.get(url).basic_auth("gateway", Some(SECRET)).send());
    sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    desk.broker.process.stop();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(waits.await.unwrap().unwrap().status(), 200, "what it waited for is nothing, and it is told so");
}

#[tokio::test]
async fn a_store_that_cannot_be_read_tells_nothing() {
    if POSTGRES {
        return; // Its connections are not cut here.
    }
    let desk = desk("feed-store").await;
    let mut store = desk.broker.database().await;
    sqlx::query("ALTER TABLE revocations RENAME TO gone").execute(&mut store).await.unwrap();
    assert_eq!(Follower::default().ask(&desk, "0s").await.error(), (503, "temporarily_unavailable"));
}

#[tokio::test]
async fn the_command_line_revokes_lists_and_lifts() {
    let desk = desk("feed-cli").await;
    let token_file = desk.broker.dir().join("secret");
    let run = |arguments: &[&str]| {
        let broker = ["--broker", &desk.broker.url, "--token-file", token_file.to_str().unwrap()];
        let output = accredit(&[arguments, &broker].concat(), b"");
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout) + &text(output.stderr))
    };
    let url = &desk.broker.url;
    let whys = ["--why", "lost laptop"];
    for (what, said) in [
        (vec!["agent", "other"], format!("agent other of {url}: revoked")),
        (vec!["agent", "other", "--for", "alice"], format!("agent other for alice of {url}: revoked")),
        (vec!["actor", "other"], format!("actor other of {url}: revoked")),
        (vec!["subject", "alice"], format!("subject alice of {url}: revoked")),
        (vec!["token", "t-1"], format!("token t-1 of {url}: revoked")),
        (vec!["key", "k-1"], format!("key k-1 of {url}: revoked")),
        (vec!["issuer", "https://idp.example.test"], "issuer https://idp.example.test: revoked".to_owned()),
        (vec!["server", "crm"], "server crm: revoked".to_owned()),
        (vec!["tool", "crm", "crm_lookup"], "tool crm_lookup of crm: revoked".to_owned()),
    ] {
        let (code, text) = run(&[&["revoke"], &what[..], &whys].concat());
        assert_eq!((code, text.trim()), (Some(0), &*said));
        let lifted = said.replace("revoked", "lifted");
        let (code, text) = run(&[&["revoke", "lift"], &what[..]].concat());
        assert_eq!((code, text.trim()), (Some(0), &*lifted));
        assert_eq!(run(&[&["revoke", "lift"], &what[..]].concat()).0, Some(1), "{said}");
    }
    let (code, text) = run(&["revoke", "agent", "nobody", "--issued-before", "now"]);
    assert!(code == Some(0) && text.contains("tokens issued before 20") && text.contains("note: no agent"), "{text}");
    let (_, list) = run(&["revoke", "list"]);
    assert!(list.lines().count() == 11 && list.contains("lost laptop") && list.contains("lifted"), "{list}");
    let (_, json) = run(&["revoke", "list", "--output", "json"]);
    let list: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&list["revocations"][0]["state"], &list["revocations"][1]["state"]),
        (&json!("stands"), &json!("lifted"))
    );
    assert_eq!(run(&["revoke", "server", "cmr"]).0, Some(1));
    assert_eq!(run(&["revoke", "agent"]).0, Some(2));
    assert_eq!(run(&["revoke", "tool", "crm"]).0, Some(2));
}
