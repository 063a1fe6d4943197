//! Foreign issuers: the broker fetches their keys and status lists itself, and believes the proxy in nothing but who sent
//! the token.

use std::time::Duration;

use harness::site::Site;
use harness::{Alg, Holder, Issuer, Token};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::support::{Answer, Desk, FOREIGN, RESOURCE, policy};

/// The policy with the foreign issuer's keys at `site`.
fn fetching(site: &Site) -> Value {
    let mut policy = policy(&Issuer::new(FOREIGN));
    policy["issuers"]["corp"]["jwks"] = json!({ "url": site.url("/jwks.json"), "cluster": "idp" });
    policy
}

fn publish(site: &Site, algs: &[Alg]) {
    site.publish("/jwks.json", &Issuer::new(FOREIGN).jwks_for(algs).to_string());
}

fn token() -> Token {
    Issuer::new(FOREIGN).at_now().token().audience(RESOURCE).scope("crm:read")
}

async fn exchange(desk: &Desk, token: Token) -> Answer {
    desk.exchange(&token.sign(), "crm_lookup", "crm:read", |_| ()).await
}

const LATER: (u16, &str) = (503, "temporarily_unavailable");
const REFUSED: (u16, &str) = (400, "invalid_request");

#[tokio::test]
async fn keys_that_cannot_be_had_are_no_fault_of_the_token() {
    let site = Site::new();
    let desk = Desk::of("foreign-late", &fetching(&site)).await;
    assert_eq!(exchange(&desk, token()).await.error(), LATER);
    publish(&site, &[Alg::Es256]);
    site.open().await;
    let began = Instant::now();
    loop {
        let answer = exchange(&desk, token()).await;
        if answer.status == 200 {
            break;
        }
        assert_eq!(answer.error(), LATER);
        assert!(began.elapsed() < Duration::from_secs(5), "the broker does not recover");
        sleep(Duration::from_millis(50)).await;
    }
    assert!(!desk.records("reason=keys_unavailable").await.is_empty());
}

#[tokio::test]
async fn a_new_key_is_fetched_when_the_first_token_names_it() {
    let site = Site::new();
    publish(&site, &[Alg::EdDsa]);
    site.open().await;
    let desk = Desk::of("foreign-rotation", &fetching(&site)).await;
    assert_eq!(exchange(&desk, token().alg(Alg::EdDsa)).await.status, 200);
    publish(&site, &[Alg::EdDsa, Alg::Es256]);
    assert_eq!(exchange(&desk, token()).await.status, 200);
    for number in 0..20 {
        assert_eq!(exchange(&desk, token().kid(&format!("made-up-{number}"))).await.error(), REFUSED);
    }
    assert!(site.asked("/jwks.json") <= 3, "made-up keys cause a fetch each");
}

#[tokio::test]
async fn the_broker_asks_the_status_list_itself() {
    let (site, issuer) = (Site::new(), Issuer::new(FOREIGN).at_now());
    publish(&site, &[Alg::Es256]);
    site.open().await;
    let list = site.url("/lists/1");
    let tell = |bytes: &[u8]| site.publish("/lists/1", &issuer.statuses(&list, bytes).sign());
    let mut policy = fetching(&site);
    policy["issuers"]["corp"]["status"] = json!({ "cluster": "idp", "max_age": "1s" });
    let desk = Desk::of("foreign-status", &policy).await;
    tell(&[0, 1]);
    assert_eq!(exchange(&desk, token().listed(&list, 0)).await.status, 200);
    for index in [1, 2] {
        assert_eq!(exchange(&desk, token().listed(&list, index)).await.error(), REFUSED);
    }
    assert_eq!(desk.records("reason=revoked").await.len(), 2);
    tell(&[1, 1]);
    sleep(Duration::from_millis(1100)).await;
    assert_eq!(exchange(&desk, token().listed(&list, 0)).await.error(), REFUSED);
    site.withdraw("/lists/1");
    sleep(Duration::from_millis(1100)).await;
    assert_eq!(exchange(&desk, token().listed(&list, 0)).await.error(), LATER);
    assert_eq!(desk.records("reason=revocation_stale").await.len(), 1);
}

#[tokio::test]
async fn who_sent_a_bound_token_is_the_proxys_word_and_nothing_else() {
    let desk = Desk::with("foreign-bound", &Issuer::new(FOREIGN)).await;
    for bound in [token().bound_to(&Holder::new(Alg::EdDsa)), token().bound_to_certificate(&[7; 32])] {
        assert_eq!(exchange(&desk, bound.clone()).await.status, 200);
        let forged = desk.exchange(&bound.sign_foreign(), "crm_lookup", "crm:read", |_| ()).await;
        assert_eq!(forged.error(), REFUSED);
    }
    assert_eq!(exchange(&desk, token().claim("cnf", json!({ "kid": "k" }))).await.error(), REFUSED);
}

#[tokio::test]
async fn the_broker_judges_the_chain_too() {
    let mut policy = policy(&Issuer::new(FOREIGN));
    policy["servers"]["crm"]["delegation"] = json!({ "max_depth": 2, "actors": ["planner", "worker"] });
    let desk = Desk::of("foreign-chain", &policy).await;
    assert_eq!(exchange(&desk, token().actors(&["worker", "planner"])).await.status, 200);
    for (reason, names) in [
        ("chain_too_deep", &["worker", "planner", "worker"][..]),
        ("chain_actor", &["stranger"]),
        ("chain_loop", &["worker", "worker"]),
    ] {
        assert_eq!(exchange(&desk, token().actors(names)).await.error(), (403, "access_denied"));
        let records = desk.records(&format!("reason={reason}")).await;
        assert_eq!(records[0]["chain"], json!(names));
    }
}

#[tokio::test]
async fn a_workload_gets_a_credential_in_its_own_name() {
    let (domain, id) = ("spiffe://prod.example", "spiffe://prod.example/agents/planner");
    let issuer = Issuer::new(FOREIGN).at_now();
    let mut policy = policy(&issuer);
    policy["issuers"]["prod"] = json!({
        "kind": "spiffe", "issuer": domain, "jwks": issuer.svid_jwks(), "algorithms": ["ES256"],
        "grants": { "spiffe://prod.example/agents/*": ["crm:read"] },
    });
    policy["servers"]["crm"]["issuers"] = json!(["own", "prod"]);
    let desk = Desk::of("foreign-svid", &policy).await;
    assert_eq!(exchange(&desk, issuer.svid(id).audience(RESOURCE)).await.status, 200);
    let records = desk.records("kind=mint").await;
    assert_eq!(records[0]["agent"], json!({ "issuer": domain, "id": id }));
    let other = issuer.svid("spiffe://prod.example/batch/nightly").audience(RESOURCE);
    assert_eq!(exchange(&desk, other).await.error(), (403, "access_denied"));
}
