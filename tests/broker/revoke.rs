//! Revocation by clients: of their own tokens, for good, everywhere.

use serde_json::{Value, json};

use super::clients::{alike, desk, said};
use super::support::{Answer, Desk, POSTGRES};

async fn revoke(desk: &Desk, id: &str, token: &str) -> Answer {
    desk.post_as(id, "/revoke", &[("token", token)]).await
}

async fn active(desk: &Desk, token: &str) -> Value {
    desk.post_as("gateway", "/introspect", &[("token", token)]).await.body["active"].clone()
}

async fn exchanges(desk: &Desk, token: &str) -> (u16, String) {
    let answer = desk.exchange(token, "crm_lookup", "crm:read", |_| ()).await;
    (answer.status, answer.error().1.to_owned())
}

#[tokio::test]
async fn a_revoked_token_is_worth_nothing_from_then_on() {
    let mut desk = desk("revoke").await;
    let (token, kept) = (desk.token_of("other").await, desk.token_of("other").await);
    assert_eq!(exchanges(&desk, &token).await.0, 200);
    let answer = revoke(&desk, "other", &token).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"));
    for _ in 0..2 {
        assert_eq!(exchanges(&desk, &token).await, (403, "access_denied".into()));
        assert_eq!((active(&desk, &token).await, active(&desk, &kept).await), (json!(false), json!(true)));
        // It was on the disk before the answer.
        desk.broker.crash().await;
    }
    assert_eq!(exchanges(&desk, &kept).await.0, 200);
    let records = desk.records("kind=revocation").await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["token"]["jti"], said(&token)["jti"]);
    assert_eq!(records[0]["agent"]["id"], "other");
    assert_eq!(revoke(&desk, "other", &token).await.status, 200, "once more is no error");
    assert_eq!(desk.records("kind=revocation").await.len(), 1, "and no event");
}

#[tokio::test]
async fn a_client_revokes_its_own_tokens_only_and_learns_nothing_of_others() {
    let desk = desk("revoke-others").await;
    let token = desk.token_of("other").await;
    let own = desk.token_of("server").await;
    let answers = [
        revoke(&desk, "server", &token).await,
        revoke(&desk, "gateway", &token).await,
        revoke(&desk, "server", "no token").await,
        revoke(&desk, "server", &harness::issuer::corrupt(&own)).await,
        revoke(&desk, "server", &own).await,
    ];
    assert_eq!(answers[0].status, 200);
    alike(&answers);
    assert_eq!((active(&desk, &token).await, active(&desk, &own).await), (json!(true), json!(false)));
    assert_eq!(desk.post("/revoke", &[("token", &token)]).await.error(), (401, "invalid_client"));
    assert_eq!(desk.post_as("other", "/revoke", &[]).await.error(), (400, "invalid_request"));
    assert_eq!(active(&desk, &token).await, true);
}

#[tokio::test]
async fn every_hint_is_taken() {
    let desk = desk("revoke-hints").await;
    for hint in ["access_token", "refresh_token", "unknown"] {
        let token = desk.token_of("other").await;
        let form = [("token", token.as_str()), ("token_type_hint", hint)];
        assert_eq!(desk.post_as("other", "/revoke", &form).await.status, 200, "{hint}");
        assert_eq!(active(&desk, &token).await, false, "{hint}");
    }
}

#[tokio::test]
async fn what_another_revoked_a_moment_ago_is_seen_before_the_intent() {
    let desk = desk("revoke-moment").await;
    let token = desk.token_of("other").await;
    let mut store = desk.broker.database().await;
    // Without the word that a broker sends to the others: this one has not heard of it.
    let unheard = "INSERT INTO revocations (seq, target, lifts, created, by_whom) VALUES (1, $1, 0, 0, 'another')";
    let target = json!({ "kind": "server", "server": "crm" }).to_string();
    sqlx::query(unheard).bind(target).execute(&mut store).await.unwrap();
    assert_eq!(exchanges(&desk, &token).await, (403, "access_denied".into()));
    let records = desk.records("tool=crm_lookup").await;
    assert_eq!((records.len(), &records[0]["reason"]), (1, &json!("revoked")), "{records:?}");
    let leases: i64 = sqlx::query_scalar("SELECT count(*) FROM leases").fetch_one(&mut store).await.unwrap();
    assert_eq!(leases, 0);
}

#[tokio::test]
async fn what_cannot_be_written_is_not_revoked() {
    if POSTGRES {
        return; // The lock is one of SQLite's.
    }
    let desk = desk("revoke-disk").await;
    let token = desk.token_of("other").await;
    let lock = desk.broker.lock().await;
    let answer = revoke(&desk, "other", &token).await;
    assert_eq!(answer.error(), (503, "temporarily_unavailable"));
    assert_eq!(answer.header("retry-after"), "1");
    drop(lock);
    assert_eq!(active(&desk, &token).await, true);
}
