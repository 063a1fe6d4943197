//! Revocation by operators: how it reaches the workers of a real Envoy, and what becomes of answers under way.

use std::time::{Duration, Instant};

use harness::wire::One;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::scene::{CORP, Scene, Setup, call, denial};

/// Enough connections for each worker to have some.
const CONNECTIONS: usize = 16;

fn agent(id: &str) -> Value {
    json!({ "kind": "agent", "issuer": CORP, "id": id })
}

impl Scene {
    /// An operator revokes this, or lifts it with `/lift`.
    async fn revoke(&self, how: &str, target: &Value) {
        let http = Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/v1/revocations{how}", self.stack.ports.broker());
        let request = http.post(url).bearer_auth(self.stack.secret("admin.token")).json(&json!({ "target": target }));
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// Calls over a connection that is there: the worker it belongs to answers.
    async fn call_on(&self, connection: &mut One, token: &str) -> (u16, String) {
        let request = self.post(token, "crm_lookup").body(call("crm_lookup").as_bytes());
        let reply = connection.exchange(&[request]).await.expect("Envoy answers");
        if reply.status == 200 { (200, String::new()) } else { denial(&reply) }
    }
}

#[tokio::test]
async fn every_worker_refuses_a_revoked_agent_until_it_is_lifted() {
    let Some(scene) = Scene::open("feed").await else { return };
    let (token, other) = (scene.token().sign(), scene.token().agent("agent-9").sign());
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut connection = One::connect(&scene.address()).await.unwrap();
        assert_eq!(scene.call_on(&mut connection, &token).await.0, 200);
        connections.push(connection);
    }
    scene.revoke("", &agent("agent-1")).await;
    let began = Instant::now();
    for connection in &mut connections {
        // A refusal that comes before the body closes the connection.
        while scene.call_on(connection, &token).await != (401, "revoked".to_owned()) {
            assert!(began.elapsed() < Duration::from_secs(5), "a worker has not heard of it");
            sleep(Duration::from_millis(5)).await;
        }
    }
    for _ in 0..CONNECTIONS {
        assert_eq!(denial(&scene.call(&token, "crm_lookup").await), (401, "revoked".into()));
        assert_eq!(scene.call(&other, "crm_lookup").await.status, 200);
    }
    scene.revoke("/lift", &agent("agent-1")).await;
    let began = Instant::now();
    for _ in 0..CONNECTIONS {
        while scene.call(&token, "crm_lookup").await.status != 200 {
            assert!(began.elapsed() < Duration::from_secs(5), "a worker has not heard of it");
            sleep(Duration::from_millis(5)).await;
        }
    }
    let records = scene.records(|records| records.iter().any(|record| record["reason"] == "revoked")).await;
    let denied = records.iter().find(|record| record["reason"] == "revoked").unwrap();
    assert_eq!((&denied["agent"]["id"], &denied["decision"]), (&json!("agent-1"), &json!("deny")));
}

#[tokio::test]
async fn the_long_stream_of_a_revoked_agent_is_cut_and_another_agents_is_not() {
    let Some(scene) = Scene::open("feed-streams").await else { return };
    let mut streams = Vec::new();
    for id in ["agent-1", "agent-9"] {
        let token = scene.token().agent(id).sign();
        streams.push(stream(&scene, &token).await);
    }
    scene.revoke("", &agent("agent-1")).await;
    let [cut, kept] = &mut streams[..] else { panic!() };
    let ended = async |answer: &mut reqwest::Response| while let Ok(Some(_)) = answer.chunk().await {};
    timeout(Duration::from_secs(5), ended(cut)).await.expect("its stream is still open");
    assert!(timeout(Duration::from_millis(500), ended(kept)).await.is_err(), "nobody has revoked the other");
    let cut = |record: &Value| record["kind"] == "outcome" && record["reason"] == "revoked";
    let records = scene.records(|records| records.iter().any(cut)).await;
    let record = records.iter().find(|record| cut(record)).unwrap();
    assert_eq!((&record["method"], &record["agent"]["id"]), (&json!("GET"), &json!("agent-1")));
}

/// The open event stream of a session.
async fn stream(scene: &Scene, token: &str) -> reqwest::Response {
    let http = Client::builder().no_proxy().build().unwrap();
    let ask = |method: Method| {
        let request = http.request(method, scene.stack.mcp()).bearer_auth(token);
        let request = request.header("accept", "application/json, text/event-stream");
        request.header("mcp-protocol-version", "2025-11-25")
    };
    let client = json!({ "name": "test", "version": "1" });
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client });
    let first = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params });
    let opened = ask(Method::POST).json(&first).send().await.unwrap();
    let session = opened.headers()["mcp-session-id"].clone();
    drop(opened);
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let told = ask(Method::POST).header("mcp-session-id", session.clone()).json(&ready).send().await.unwrap();
    assert_eq!(told.status(), 202);
    let stream = ask(Method::GET).header("mcp-session-id", session).send().await.unwrap();
    assert_eq!(stream.status(), 200);
    stream
}

#[tokio::test]
async fn without_the_broker_calls_go_on_for_max_age_and_then_fail_closed() {
    let setup = Setup::new("feed-away").top("revocation", json!({ "max_age": "3s" }));
    let setup = setup.top("audit", json!({ "when_unreachable": "queue", "flush": "100ms" }));
    let Some(mut scene) = setup.server("tools", json!({ "crm_lookup": { "scopes": ["crm:read"] } })).open().await
    else {
        return;
    };
    let token = scene.token().sign();
    // The tool server takes nobody without a credential: this far a call comes that was let through.
    let through = (502, "upstream_refused".to_owned());
    for _ in 0..CONNECTIONS {
        assert_eq!(denial(&scene.call(&token, "crm_lookup").await), through);
    }
    scene.stack.broker.kill();
    let away = Instant::now();
    assert_eq!(denial(&scene.call(&token, "crm_lookup").await), through, "what was known a moment ago still counts");
    while denial(&scene.call(&token, "crm_lookup").await) != (503, "revocation_stale".into()) {
        assert!(away.elapsed() < Duration::from_secs(4), "calls go on past `max_age`");
        sleep(Duration::from_millis(20)).await;
    }
    scene.stack.start_broker().await.unwrap();
    for attempt in 0.. {
        assert!(attempt < 150, "calls are still refused");
        if denial(&scene.call(&token, "crm_lookup").await) == through {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
}
