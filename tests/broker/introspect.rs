//! Introspection: who learns what of which token.

use std::time::Duration;

use harness::{Alg, Holder, Issuer};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::clients::{GRANT, alike, desk, said, send};
use super::support::{Answer, Desk, FOREIGN, RESOURCE};

async fn look(desk: &Desk, id: &str, token: &str) -> Answer {
    desk.post_as(id, "/introspect", &[("token", token)]).await
}

fn inactive(answer: &Answer) {
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{answer:?}");
    assert_eq!(answer.body, json!({ "active": false }));
}

#[tokio::test]
async fn a_good_token_is_told_with_all_that_is_in_it() {
    let desk = desk("introspect").await;
    let token = desk.token_of("other").await;
    let claims = said(&token);
    let mut expected = claims.clone();
    expected["active"] = json!(true);
    expected["token_type"] = json!("Bearer");
    for id in ["gateway", "other", "server"] {
        let answer = look(&desk, id, &token).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{id}");
        assert_eq!(answer.body, expected, "{id}");
    }
    for name in ["iss", "sub", "aud", "client_id", "scope", "exp", "iat", "jti"] {
        assert!(!claims[name].is_null(), "{name}");
    }
}

#[tokio::test]
async fn what_a_token_is_bound_to_is_told() {
    let desk = desk("introspect-bound").await;
    let proof = Holder::new(Alg::Es256).at_now().proof("POST", &desk.url("/token"), "").sign();
    let request = desk.http.post(desk.url("/token")).basic_auth("holder", Some(harness::stack::broker::SECRET));
    let token = send(request.header("dpop", proof).form(&[GRANT])).await.text("access_token");
    let answer = look(&desk, "gateway", &token).await;
    assert_eq!((&answer.body["active"], &answer.body["token_type"]), (&json!(true), &json!("DPoP")));
    assert_eq!(answer.body["cnf"]["jkt"], Holder::new(Alg::Es256).thumbprint());
}

#[tokio::test]
async fn nothing_tells_why_a_token_is_not_good() {
    let desk = desk("introspect-inactive").await;
    let short = desk.token("crm:read").await;
    let of_other = desk.token_of("other").await;
    let foreign = Issuer::new(FOREIGN).at_now().token().alg(Alg::Es256).agent("other").audience(RESOURCE).sign();
    let mut answers = vec![
        look(&desk, "agent-7", &of_other).await,
        look(&desk, "gateway", &foreign).await,
        look(&desk, "gateway", "no token").await,
        look(&desk, "gateway", &harness::issuer::corrupt(&of_other)).await,
        look(&desk, "gateway", &harness::issuer::forge(&of_other, "scope", "crm:write")).await,
    ];
    let hint = [("token", of_other.as_str()), ("token_type_hint", "refresh_token")];
    assert_eq!(desk.post_as("gateway", "/introspect", &hint).await.body["active"], true, "a hint is no more than that");
    desk.turn("other", "suspend").await;
    answers.push(look(&desk, "gateway", &of_other).await);
    sleep(Duration::from_millis(2100)).await;
    answers.push(look(&desk, "gateway", &short).await);
    answers.iter().for_each(inactive);
    alike(&answers);
}

#[tokio::test]
async fn suspension_and_resumption_count_at_once() {
    let desk = desk("introspect-suspended").await;
    let token = desk.token_of("other").await;
    let active = async || look(&desk, "gateway", &token).await.body["active"].clone();
    assert_eq!(active().await, true);
    desk.turn("other", "suspend").await;
    assert_eq!(active().await, false);
    desk.turn("other", "resume").await;
    assert_eq!(active().await, true);
    desk.turn("other", "retire").await;
    assert_eq!(active().await, false);
}

#[tokio::test]
async fn only_a_client_may_ask_and_for_one_token() {
    let desk = desk("introspect-callers").await;
    let token = desk.token_of("other").await;
    let anyone = desk.post("/introspect", &[("token", &token)]).await;
    assert_eq!(anyone.error(), (401, "invalid_client"));
    let bearer = send(desk.http.post(desk.url("/introspect")).bearer_auth(&token).form(&[("token", &token)])).await;
    assert_eq!(bearer.error(), (401, "invalid_client"));
    assert_eq!(desk.post_as("gateway", "/introspect", &[]).await.error(), (400, "invalid_request"));
    let twice = [("token", token.as_str()), ("token", token.as_str())];
    assert_eq!(desk.post_as("gateway", "/introspect", &twice).await.error(), (400, "invalid_request"));
    let document: Value =
        desk.http.get(desk.url("/.well-known/oauth-authorization-server")).send().await.unwrap().json().await.unwrap();
    assert_eq!(document["introspection_endpoint"], desk.url("/introspect"));
}
