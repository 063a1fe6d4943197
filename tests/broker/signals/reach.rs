//! Whom events are about, and which tokens that hits.

use serde_json::{Value, json};

use super::{ENTERPRISE, EVENTS, Watch, err, now};
use crate::support::{FOREIGN, RESOURCE};
use crate::team::{JWT_BEARER, SCOUT, claims};

#[tokio::test]
async fn a_user_of_the_enterprise_is_hit_in_the_tokens_issued_here() {
    let watch = Watch::open("signals-lent").await;
    let assertion = || {
        let token = watch.acme.token().header("typ", "oauth-id-jag+jwt").audience(&watch.desk().broker.url);
        token.claim("client_id", "planner").claim("sub", "alice").scope("crm:read").claim("resource", RESOURCE)
    };
    let bring = async |id: &str| {
        let assertion = assertion().claim("jti", id).sign();
        watch.desk().ask("planner", &[("grant_type", JWT_BEARER), ("assertion", assertion.as_str())]).await
    };
    let token = bring("first").await.text("access_token");
    assert_eq!(watch.exchanges(&token).await, 200);
    watch.taken(watch.event(&watch.acme, ENTERPRISE, "alice")).await;
    assert_eq!(watch.exchanges(&token).await, 403);
    assert_eq!(bring("second").await.error(), (400, "invalid_grant"), "an assertion from before");
    // A user of that name is none of the agent, for which no assertion is taken either.
    watch.taken(watch.event(&watch.acme, ENTERPRISE, "planner")).await;
    let own = watch.team.own("planner", RESOURCE).await;
    assert_eq!(watch.exchanges(&own).await, 200);
    assert_eq!(watch.revocations().await.len(), 3);
}

#[tokio::test]
async fn an_agent_is_hit_for_one_user_of_the_enterprise() {
    let watch = Watch::open("signals-for").await;
    let tokens = ["alice", "bob"].map(async |user| {
        let token = watch.acme.token().header("typ", "oauth-id-jag+jwt").audience(&watch.desk().broker.url);
        let token =
            token.claim("client_id", "planner").claim("sub", user).scope("crm:read").claim("resource", RESOURCE);
        let form = [("grant_type", JWT_BEARER), ("assertion", &token.sign())];
        watch.desk().ask("planner", &form).await.text("access_token")
    });
    let [alice, bob] = tokens;
    let (alice, bob) = (alice.await, bob.await);
    let name = |name: &str| json!({ "format": "iss_sub", "iss": ENTERPRISE, "sub": name });
    let subject = json!({ "format": "complex", "user": name("alice"), "application": name("planner") });
    // It happened before the tokens were issued here, where nobody knew of it.
    let happened = json!({ format!("{EVENTS}caep/event-type/session-revoked"): { "event_timestamp": now() - 60 } });
    let event = watch.event(&watch.acme, ENTERPRISE, "").claim("sub_id", subject).claim("events", happened);
    watch.taken(event).await;
    assert_eq!((watch.exchanges(&alice).await, watch.exchanges(&bob).await), (403, 200));
}

#[tokio::test]
async fn an_agent_of_ours_is_hit_as_an_agent_where_the_transmitter_speaks_for_us() {
    let watch = Watch::with("signals-own", |config| {
        config["signals"]["corp"]["issuers"] = json!(["URL", FOREIGN]);
    })
    .await;
    let url = watch.desk().broker.url.clone();
    let held = watch.team.own("planner", SCOUT).await;
    assert_eq!(watch.team.take("scout", &held, RESOURCE, |_| ()).await.status, 200);
    watch.taken(watch.event(&watch.corp, &url, "planner")).await;
    assert_eq!(watch.team.take("scout", &held, RESOURCE, |_| ()).await.status, 400);
    assert_eq!(watch.revocations().await[0]["agent"], json!({ "issuer": url, "id": "planner" }));
}

#[tokio::test]
async fn the_file_says_whom_events_are_for_how_old_they_may_be_and_what_plain_names_are() {
    let watch = Watch::with("signals-file", |config| {
        let corp = &mut config["signals"]["corp"];
        corp["audience"] = json!("receiver-7");
        corp["max_age"] = json!("20m");
        corp["subjects"] = json!({ "email": "subject", "opaque": "token" });
    })
    .await;
    let event = || watch.corp("alice").audience("receiver-7");
    assert_eq!(err(&watch.push(&watch.corp("alice").sign()).await).1, "invalid_audience");
    assert_eq!(err(&watch.push(&event().claim("iat", now() - 1300).sign()).await).1, "invalid_request");
    watch.taken(event().claim("iat", now() - 1100)).await;
    watch.taken(event().claim("sub_id", json!({ "format": "email", "email": "a@example.test" }))).await;
    let token = watch.token("bob", 0);
    assert_eq!(watch.exchanges(&token).await, 200);
    watch.taken(event().claim("sub_id", json!({ "format": "opaque", "id": claims(&token)["jti"] }))).await;
    assert_eq!(watch.exchanges(&token).await, 403);
    let subjects: Vec<_> = watch.revocations().await.iter().map(|record| record["subject"].clone()).collect();
    assert_eq!(subjects, [json!("alice"), json!("a@example.test"), Value::Null]);
}
