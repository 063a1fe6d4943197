//! Client credentials: what an agent can get, and what it cannot.

use harness::stack::broker::SECRET;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};

use super::support::{Answer, Desk, RESOURCE};

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

/// The claims of a token, proved by another implementation against the published keys.
async fn prove(desk: &Desk, token: &str, audience: &str) -> Value {
    let answer = desk.http.get(desk.url("/jwks.json")).send().await.unwrap();
    let keys: JwkSet = answer.json().await.unwrap();
    let header = decode_header(token).unwrap();
    assert_eq!(header.typ.as_deref(), Some("at+jwt"));
    let key = keys.find(header.kid.as_deref().unwrap()).expect("the key is published");
    let mut rules = Validation::new(Algorithm::ES256);
    rules.set_audience(&[audience]);
    rules.set_issuer(&[&desk.broker.url]);
    decode::<Value>(token, &DecodingKey::from_jwk(key).unwrap(), &rules).unwrap().claims
}

#[tokio::test]
async fn a_token_says_what_was_granted_and_no_more() {
    let desk = Desk::open("issue").await;
    let form = [GRANT, ("scope", "crm:read crm:admin"), ("resource", RESOURCE)];
    let answer = desk.ask("agent-7", &form).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"));
    assert_eq!((&answer.body["scope"], &answer.body["expires_in"]), (&json!("crm:read"), &json!(2)));
    let claims = prove(&desk, &answer.text("access_token"), RESOURCE).await;
    assert_eq!(
        (&claims["sub"], &claims["client_id"], &claims["scope"]),
        (&json!("agent-7"), &json!("agent-7"), &json!("crm:read"))
    );
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 2);
    assert_eq!(claims["jti"].as_str().unwrap().len(), 36);
    let records = desk.records("kind=issue").await;
    assert_eq!(records[0]["token"]["jti"], claims["jti"]);
    assert_eq!(records[0]["decision"], "permit");
}

#[tokio::test]
async fn without_a_scope_all_that_are_allowed_are_granted() {
    let desk = Desk::open("issue-all").await;
    assert_eq!(desk.ask("agent-7", &[GRANT]).await.body["scope"], "crm:read crm:write");
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_and_recorded() {
    let desk = Desk::open("issue-refused").await;
    for (expected, form) in [
        ((400, "invalid_scope"), vec![GRANT, ("scope", "crm:admin"), ("resource", RESOURCE)]),
        ((400, "invalid_scope"), vec![GRANT, ("scope", "\"")]),
        ((400, "invalid_target"), vec![GRANT, ("resource", "https://other.example.test")]),
        ((400, "invalid_request"), vec![GRANT, ("scope", "crm:read"), ("scope", "crm:write")]),
        ((400, "invalid_request"), vec![("scope", "crm:read")]),
        ((400, "invalid_request"), vec![GRANT, GRANT]),
        ((400, "unsupported_grant_type"), vec![("grant_type", "password")]),
        ((400, "unauthorized_client"), vec![("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")]),
    ] {
        let answer = desk.ask("agent-7", &form).await;
        assert_eq!(answer.error(), expected, "{form:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    let denied = desk.records("decision=deny").await;
    assert_eq!((&denied[0]["remedy"], &denied[1]["remedy"]), (&json!({ "scopes": ["crm:admin"] }), &Value::Null));
    let reasons: Vec<_> = denied.iter().map(|record| record["reason"].clone()).collect();
    let expected = ["invalid_scope", "invalid_scope", "invalid_target", "invalid_request", "unauthorized_client"];
    assert_eq!(reasons, expected);
}

#[tokio::test]
async fn a_client_has_to_prove_who_it_is() {
    let desk = Desk::open("issue-client").await;
    let ask = async |id: Option<(&str, &str)>| {
        let request = desk.http.post(desk.url("/token")).form(&[GRANT]);
        let request = match id {
            Some((id, secret)) => request.basic_auth(id, Some(secret)),
            None => request,
        };
        Answer::of(request.send().await.unwrap()).await
    };
    let wrong = "another-secret-of-thirty-two-characters";
    let mut answers = Vec::new();
    for id in [None, Some(("agent-7", wrong)), Some(("nobody", SECRET)), Some(("gateway", wrong)), Some(("", ""))] {
        let answer = ask(id).await;
        assert_eq!(answer.error(), (401, "invalid_client"), "{id:?}");
        assert_eq!(answer.header("www-authenticate"), "Basic realm=\"accredit\"");
        answers.push(answer.body);
    }
    // The answer does not tell an unknown client from a wrong secret.
    assert!(answers.iter().all(|body| *body == answers[0]));
    let answer = desk.ask("gateway", &[GRANT]).await;
    assert_eq!(answer.error(), (403, "access_denied"));
}

#[tokio::test]
async fn a_token_request_is_a_form_of_bounded_size() {
    let desk = Desk::open("issue-form").await;
    let request = || desk.http.post(desk.url("/token")).basic_auth("agent-7", Some(SECRET));
    let json = request().json(&json!({ "grant_type": "client_credentials" })).send().await.unwrap();
    assert_eq!(Answer::of(json).await.error(), (400, "invalid_request"));
    let large = request().form(&[GRANT, ("scope", &"x".repeat(100_000))]).send().await.unwrap();
    assert_eq!(large.status(), 413);
}

#[tokio::test]
async fn the_server_describes_itself() {
    let desk = Desk::open("issue-metadata").await;
    let url = desk.url("/.well-known/oauth-authorization-server");
    let document: Value = desk.http.get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(document["issuer"], desk.broker.url);
    assert_eq!(document["token_endpoint"], desk.url("/token"));
    assert_eq!(document["jwks_uri"], desk.url("/jwks.json"));
    assert!(document["authorization_endpoint"].is_string(), "the official SDKs of MCP take no document without it");
    let keys: Value = desk.http.get(desk.url("/jwks.json")).send().await.unwrap().json().await.unwrap();
    assert!(keys["keys"][0].get("d").is_none(), "the private key is published");
}
