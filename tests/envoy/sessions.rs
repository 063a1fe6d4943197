//! Sessions of the legacy era: each caller has its own, and nobody has another's.

use std::collections::BTreeSet;

use harness::Alg;
use harness::agent::{Agent, Era, Http};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::scene::{Scene, Setup};

const HEADER: &str = "mcp-session-id";

fn initialize() -> Value {
    let client = json!({ "name": "test", "version": "1" });
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params })
}

fn ask(scene: &Scene, method: Method, token: &str, session: Option<&str>) -> RequestBuilder {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.request(method, scene.stack.mcp()).bearer_auth(token);
    let request = request.header("accept", "application/json, text/event-stream");
    let request = request.header("mcp-protocol-version", "2025-11-25");
    session.into_iter().fold(request, |request, session| request.header(HEADER, session))
}

async fn post(scene: &Scene, token: &str, session: Option<&str>, body: &Value) -> Response {
    ask(scene, Method::POST, token, session).json(body).send().await.unwrap()
}

/// The identifiers of sessions that the server has seen.
fn seen(scene: &Scene) -> BTreeSet<String> {
    let received = scene.received();
    let ids = received.iter().flat_map(|request| request.header(HEADER)).filter_map(Value::as_str);
    ids.map(str::to_owned).collect()
}

async fn shares(scene: &Scene) {
    let token = |agent: &str, subject: &str| {
        scene.token().alg(Alg::Es256).claim("client_id", agent).claim("sub", subject).sign()
    };
    let mine = token("agent-1", "alice");
    let opened = post(scene, &mine, None, &initialize()).await;
    assert_eq!(opened.status(), 200);
    let sealed = opened.headers()[HEADER].to_str().unwrap().to_owned();
    drop(opened);
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    assert_eq!(post(scene, &mine, Some(&sealed), &ready).await.status(), 202);
    let ids = seen(scene);
    assert!(ids.len() == 1 && !ids.contains(&sealed), "the server has one session of its own: {ids:?}");
    let own = ids.first().unwrap();

    let before = scene.received().len();
    let list = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" });
    for (other, session) in
        [(token("agent-2", "alice"), &sealed), (token("agent-1", "bob"), &sealed), (mine.clone(), own)]
    {
        for method in [Method::POST, Method::GET, Method::DELETE] {
            let request = ask(scene, method.clone(), &other, Some(session));
            let request = if method == Method::POST { request.json(&list) } else { request };
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 404, "{method}");
            let body: Value = answer.json().await.unwrap();
            assert_eq!(body["error"]["data"]["reason"], "session_foreign");
        }
    }
    assert_eq!(scene.received().len(), before, "a session in other hands reached the server");

    assert_eq!(post(scene, &mine, Some(&sealed), &list).await.status(), 200);
    assert!(ask(scene, Method::DELETE, &mine, Some(&sealed)).send().await.unwrap().status().is_success());
    assert_eq!(
        post(scene, &mine, Some(&sealed), &list).await.status(),
        404,
        "the server says itself that it has ended"
    );
    assert_eq!(seen(scene), ids);
    let logs = scene.stack.logs();
    assert!(!logs.contains(&sealed) && !logs.contains(own.as_str()));
}

#[tokio::test]
async fn a_session_sealed_with_the_brokers_key_is_good_in_one_callers_hands() {
    let Some(scene) = Scene::open("sessions").await else { return };
    shares(&scene).await;
}

#[tokio::test]
async fn a_session_sealed_with_the_operators_key_is_good_in_one_callers_hands() {
    let key = json!({ "env": "ACCREDIT_PROXY_SECRET" });
    let Some(scene) = Setup::new("sessions-written").top("session_key", key).open().await else { return };
    shares(&scene).await;
}

#[tokio::test]
async fn stock_clients_keep_their_sessions_on_every_worker() {
    let Some(scene) = Scene::open("sessions-clients").await else { return };
    let token = scene.own("crm:read").await;
    for http in [Http::One, Http::Two] {
        let agents = (0..4).map(async |_| {
            let dial = Agent::dial(&scene.stack.mcp()).token(&token).http(http).era(Era::Legacy);
            let agent = dial.connect().await.unwrap();
            for _ in 0..5 {
                agent.call("crm_lookup", json!({ "id": "1001" })).await.unwrap();
            }
            agent.close().await;
        });
        for agent in agents {
            agent.await;
        }
    }
    assert_eq!((scene.ran().len(), seen(&scene).len()), (40, 8));
}
