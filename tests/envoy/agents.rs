//! Stock MCP clients, unchanged: what they may call they get, what they may not never arrives.

use harness::agent::{Agent, CallError, Era, Http};
use serde_json::{Value, json};

use super::scene::{Scene, call};

#[tokio::test]
async fn permitted_calls_give_what_the_server_gives_in_both_eras_and_versions() {
    let Some(scene) = Scene::open("permitted").await else { return };
    let token = scene.own("crm:read crm:write").await;
    let mut calls = 0;
    for http in [Http::One, Http::Two] {
        for (era, revision) in [(Era::Legacy, "2025-11-25"), (Era::Modern, "2026-07-28")] {
            let agent = Agent::dial(&scene.stack.mcp()).token(&token).http(http).era(era).connect().await.unwrap();
            assert_eq!(agent.revision(), revision);
            let found = agent.call("crm_lookup", json!({ "id": "1001" })).await.unwrap();
            assert_eq!(found["name"], "Ada Lovelace");
            agent.call("crm_update", json!({ "id": "1002", "fields": { "tier": "gold" } })).await.unwrap();
            agent.close().await;
            calls += 2;
        }
    }
    assert_eq!(scene.ran().len(), calls);
    let token_sha256 = sha256(&token);
    for request in scene.received() {
        let text = json!(request.headers).to_string();
        assert!(!text.contains(&token_sha256) && !text.contains(&token), "the agent's token reached the server");
        let credentials = request.header("authorization");
        let Some(tool) = &request.tool else {
            assert!(credentials.is_empty(), "a request without a rule carried a credential");
            continue;
        };
        let scope = if tool == "crm_lookup" { "crm:read" } else { "crm:write" };
        let [credential] = credentials[..] else { panic!("{tool} carried {} credentials", credentials.len()) };
        let claims = &credential["claims"];
        assert_eq!((&claims["aud"], &claims["scope"]), (&json!("https://crm.internal"), &json!(scope)));
        assert!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap() <= 60);
    }
    scene.keeps_quiet(&[&token]);
}

#[tokio::test]
async fn a_list_shows_what_can_be_called_in_both_eras_and_versions() {
    let Some(scene) = Scene::open("listed").await else { return };
    for http in [Http::One, Http::Two] {
        for (scope, expected) in
            [("crm:read", &["crm_lookup"][..]), ("crm:read crm:write", &["crm_lookup", "crm_update"])]
        {
            for era in [Era::Legacy, Era::Modern] {
                let token = scene.own(scope).await;
                let agent = Agent::dial(&scene.stack.mcp()).token(&token).http(http).era(era).connect().await.unwrap();
                assert_eq!(agent.tools().await.unwrap(), expected);
                agent.close().await;
            }
        }
    }
}

#[tokio::test]
async fn a_call_outside_the_scopes_never_reaches_the_server() {
    let Some(scene) = Scene::open("forbidden").await else { return };
    for http in [Http::One, Http::Two] {
        for era in [Era::Legacy, Era::Modern] {
            let token = scene.own("crm:read").await;
            let agent = Agent::dial(&scene.stack.mcp()).token(&token).http(http).era(era).connect().await.unwrap();
            let error = agent.call("crm_delete", json!({ "id": "1001" })).await.unwrap_err();
            let CallError::Challenged { status, challenge, .. } = &error else { panic!("{error}") };
            assert_eq!(*status, 403);
            assert!(challenge.starts_with("Bearer error=\"insufficient_scope\", scope=\"crm:admin\", "), "{challenge}");
            assert_eq!(agent.call("no_such_tool", json!({})).await.unwrap_err().status(), Some(403));
            assert!(agent.call("crm_lookup", json!({ "id": "1001" })).await.is_ok(), "the session broke");
            agent.close().await;
        }
    }
    assert!(scene.ran().iter().all(|tool| tool == "crm_lookup"));
    assert!(scene.received().iter().all(|request| request.tool.as_deref().is_none_or(|tool| tool == "crm_lookup")));
    let reply = scene.call(&scene.own("crm:read").await, "crm_delete").await;
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((&body["id"], &body["error"]["data"]["required_scopes"]), (&json!("c-1"), &json!(["crm:admin"])));
}

#[tokio::test]
async fn what_a_client_claims_about_itself_goes_no_further() {
    let Some(scene) = Scene::open("claims").await else { return };
    let head = scene.post(&scene.own("crm:read").await, "crm_lookup");
    let head = head.header("x-accredit-agent", "root").header("dpop", "proof");
    let reply = scene.send(&[head.header("x-odd", [0xff, 0x80]).body(call("crm_lookup").as_bytes())]).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let received = scene.received();
    let names: Vec<_> = received[0].headers.iter().map(|(name, _)| name.as_str()).collect();
    for gone in ["x-accredit-agent", "dpop"] {
        assert!(!names.contains(&gone), "{gone} went upstream");
    }
}

#[tokio::test]
async fn the_audit_holds_each_request_once_and_ties_it_to_its_credential() {
    let Some(mut scene) = Scene::open("audit").await else { return };
    let token = scene.own("crm:read").await;
    assert_eq!(scene.call(&token, "crm_lookup").await.status, 200);
    assert_eq!(scene.call(&token, "crm_delete").await.status, 403);
    assert_eq!(scene.call("x", "crm_lookup").await.status, 401);
    let done = |records: &[Value]| records.iter().filter(|record| record["proxy"]["worker"].is_string()).count() >= 3;
    let records = scene.records(done).await;
    let of = |kind: &str| -> Vec<&Value> { records.iter().filter(|record| record["kind"] == kind).collect() };
    let ([intent], [mint], [outcome]) = (&of("intent")[..], &of("mint")[..], &of("outcome")[..]) else {
        panic!("{records:#?}");
    };
    for record in [intent, mint, outcome] {
        assert_eq!(record["request_id"], outcome["request_id"]);
        assert_eq!(record["credential"]["lease"], mint["credential"]["lease"]);
        assert_eq!((&record["agent"]["id"], &record["tool"]), (&json!("demo-agent"), &json!("crm_lookup")));
        assert_eq!(record["arguments_sha256"].as_str().unwrap().len(), 64);
    }
    assert_eq!(outcome["upstream"]["status"], 200);
    assert!(outcome["upstream"]["bytes"].as_u64().unwrap() > 0);
    let reasons: Vec<_> = of("decision").iter().map(|record| record["reason"].clone()).collect();
    assert_eq!(reasons.len(), 2);
    assert!(reasons.contains(&json!("scope_missing")) && reasons.contains(&json!("token_malformed")));
    assert!(!json!(records).to_string().contains(&token));
    // Envoy writes its access log in its own time, and what is left when it ends.
    scene.stack.envoy.stop();
    let log = scene.stack.envoy.log();
    assert!(log.contains("\"agent\":\"demo-agent\"") && log.contains("\"reason\":\"scope_missing\""), "{log}");
    scene.keeps_quiet(&[&token]);
}

#[tokio::test]
async fn a_client_that_knows_nothing_learns_where_to_ask() {
    let Some(scene) = Scene::open("metadata").await else { return };
    let reply = scene.call("x", "crm_lookup").await;
    let [challenge] = &reply.header("www-authenticate")[..] else { panic!("{reply:?}") };
    let url = challenge.split("resource_metadata=\"").nth(1).unwrap().trim_end_matches('"').to_owned();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let document: Value = http.get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(document["resource"], scene.stack.mcp());
    assert_eq!(document["authorization_servers"][0], scene.stack.ports.broker());
}

fn sha256(text: &str) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
