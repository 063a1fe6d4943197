//! The proxy's exchange: the broker believes neither the proxy nor the token.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use harness::{Alg, Issuer};
use serde_json::{Value, json};

use super::support::{Desk, FOREIGN, RESOURCE, set};

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn a_permitted_call_gets_a_credential_of_its_own() {
    let desk = Desk::open("exchange").await;
    let token = desk.token("crm:read crm:write").await;
    let answer = desk.exchange(&token, "crm_lookup", "crm:read", |_| ()).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"));
    let minted = claims(&answer.text("access_token"));
    assert_eq!((&minted["aud"], &minted["scope"]), (&json!("https://crm.internal"), &json!("crm:read")));
    assert_eq!((&minted["sub"], &minted["client_id"]), (&json!("agent-7"), &json!("agent-7")));
    assert_eq!(answer.body["headers"]["authorization"], format!("Bearer {}", answer.text("access_token")));
    // The agent's own token ends after two seconds: the credential does not outlive it.
    assert!(minted["exp"].as_u64() <= claims(&token)["exp"].as_u64());
    let records = desk.records("tool=crm_lookup").await;
    let kinds: Vec<_> = records.iter().map(|record| &record["kind"]).collect();
    assert_eq!(kinds, ["intent", "mint"]);
    for record in &records {
        assert_eq!(record["credential"]["lease"], answer.body["lease_id"]);
        assert_eq!((&record["request_id"], &record["arguments_sha256"]), (&json!("r-1"), &json!("00")));
        let text = record.to_string();
        assert!(!text.contains(&token) && !text.contains(&answer.text("access_token")));
    }
}

#[tokio::test]
async fn a_foreign_issuers_token_carries_its_chain_into_the_credential() {
    let foreign = Issuer::new(FOREIGN).at_now();
    let desk = Desk::with("exchange-foreign", &foreign).await;
    for alg in [Alg::Es256, Alg::Rs256, Alg::EdDsa] {
        let act = json!({ "sub": "planner", "act": { "sub": "researcher" } });
        let token = foreign
            .token()
            .alg(alg)
            .audience(RESOURCE)
            .scope("crm:read")
            .claim("sub", "alice")
            .claim("act", act.clone());
        let answer = desk.exchange(&token.sign(), "crm_lookup", "crm:read", |_| ()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let minted = claims(&answer.text("access_token"));
        // Under the broker's `iss` the names would be its own: each says whose it is, the agent's too.
        let named = |sub: &Value, act: Value| json!({ "sub": sub, "iss": FOREIGN, "act": act });
        let inner = json!({ "sub": "researcher", "iss": FOREIGN });
        let chain = named(&minted["client_id"], named(&json!("planner"), inner));
        assert_eq!((&minted["sub"], &minted["act"]), (&json!("alice"), &chain));
        assert!(minted["exp"].as_u64().unwrap() - minted["iat"].as_u64().unwrap() <= 60);
    }
    let records = desk.records("subject=alice&kind=mint").await;
    assert_eq!(records[0]["chain"], json!(["planner", "researcher"]));
}

#[tokio::test]
async fn a_proxy_cannot_get_more_than_the_policy_gives() {
    let desk = Desk::open("exchange-more").await;
    let token = desk.token("crm:read").await;
    let details = |change: fn(&mut Value)| {
        let mut details =
            json!([{ "type": "tool_call", "server": "crm", "tool": "crm_lookup", "credential": "crm-api" }]);
        change(&mut details);
        details.to_string()
    };
    let cases: Vec<(&str, (u16, &str), String)> = vec![
        ("scope", (403, "access_denied"), "crm:read crm:write".into()),
        ("scope", (403, "access_denied"), "crm:admin".into()),
        ("resource", (400, "invalid_target"), "https://other.example.test".into()),
        ("subject_token_type", (400, "invalid_request"), "urn:ietf:params:oauth:token-type:id_token".into()),
        ("authorization_details", (403, "access_denied"), details(|all| all[0]["tool"] = json!("crm_update"))),
        ("authorization_details", (403, "access_denied"), details(|all| all[0]["tool"] = json!("crm_delete"))),
        ("authorization_details", (403, "access_denied"), details(|all| all[0]["tool"] = json!("crm_ping"))),
        ("authorization_details", (403, "access_denied"), details(|all| all[0]["credential"] = json!("root"))),
        ("authorization_details", (400, "invalid_target"), details(|all| all[0]["server"] = json!("billing"))),
        ("authorization_details", (400, "invalid_request"), details(|all| all[0]["type"] = json!("payment"))),
        ("authorization_details", (400, "invalid_request"), details(|all| all[0]["more"] = json!(1))),
        ("authorization_details", (400, "invalid_request"), details(|all| *all = json!([all[0], all[0]]))),
        ("authorization_details", (400, "invalid_request"), "[]".into()),
        ("authorization_details", (400, "invalid_request"), "x".into()),
    ];
    for (name, expected, value) in cases {
        let answer = desk.exchange(&token, "crm_lookup", "crm:read", |form| set(form, name, &value)).await;
        assert_eq!(answer.error(), expected, "{name}={value}");
        assert!(answer.body.get("access_token").is_none());
    }
    assert!(desk.records("kind=mint").await.is_empty());
    assert!(desk.records("kind=intent").await.is_empty());
    let denied = desk.records("kind=decision&decision=deny").await;
    assert_eq!(denied.len(), 9);
    let update = denied.iter().find(|record| record["tool"] == "crm_update").unwrap();
    assert_eq!(update["remedy"], json!({ "rule": "tools.crm_update", "scopes": ["crm:write"] }));
}

#[tokio::test]
async fn a_token_that_proves_nothing_mints_nothing() {
    let foreign = Issuer::new(FOREIGN).at_now();
    let desk = Desk::with("exchange-token", &foreign).await;
    let sound = || foreign.token().alg(Alg::Es256).audience(RESOURCE).scope("crm:read");
    let stranger = Issuer::new("https://stranger.example.test").at_now();
    for (reason, token) in [
        ("token_malformed", "x".to_owned()),
        ("token_signature", sound().sign_foreign()),
        ("token_expired", sound().expired().sign()),
        ("token_audience", sound().audience("https://other.example.test").sign()),
        ("token_issuer", stranger.token().alg(Alg::Es256).audience(RESOURCE).scope("crm:read").sign()),
        ("token_type", sound().header("typ", "JWT").sign()),
        ("token_algorithm", sound().unsigned()),
    ] {
        let answer = desk.exchange(&token, "crm_lookup", "crm:read", |_| ()).await;
        assert_eq!(answer.error(), (400, "invalid_request"), "{reason}");
        let records = desk.records(&format!("reason={reason}")).await;
        assert_eq!(records.len(), 1, "{reason}");
    }
    let own = desk.token("crm:read").await;
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(desk.exchange(&own, "crm_lookup", "crm:read", |_| ()).await.error(), (400, "invalid_request"));
}

#[tokio::test]
async fn a_token_without_time_left_lends_none() {
    let foreign = Issuer::new(FOREIGN).at_now();
    let desk = Desk::with("exchange-skew", &foreign).await;
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    // Past, but within what clocks are allowed to differ.
    let token = foreign.token().alg(Alg::Es256).audience(RESOURCE).scope("crm:read").claim("exp", now - 2);
    let answer = desk.exchange(&token.sign(), "crm_lookup", "crm:read", |_| ()).await;
    assert_eq!(answer.error(), (400, "invalid_request"), "{answer:?}");
}

#[tokio::test]
async fn an_agent_the_registry_does_not_know_gets_nothing_for_our_own_token() {
    let desk = Desk::open("exchange-unknown").await;
    let token = desk.token("crm:read").await;
    desk.broker.forget_agents().await;
    assert_eq!(desk.exchange(&token, "crm_lookup", "crm:read", |_| ()).await.error(), (403, "access_denied"));
}

#[tokio::test]
async fn what_no_rule_lets_pass_goes_no_further() {
    let desk = Desk::open("exchange-arguments").await;
    let token = desk.token("crm:read").await;
    let call = json!({ "type": "tool_call", "server": "crm", "tool": "crm_lookup", "credential": "crm-api" });
    for (name, value, expected) in [
        ("arguments", json!({ "repo": ["docs"] }), (403, "access_denied")),
        ("request_id", json!("x".repeat(257)), (400, "invalid_request")),
    ] {
        let mut call = call.clone();
        call[name] = value;
        let details = json!([call]).to_string();
        let change = |form: &mut _| set(form, "authorization_details", &details);
        assert_eq!(desk.exchange(&token, "crm_lookup", "crm:read", change).await.error(), expected, "{name}");
    }
}
