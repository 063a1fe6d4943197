//! How often one may ask, and how often one may guess.

use std::time::Duration;

use harness::Issuer;
use harness::stack::broker::Broker;
use harness::stack::fresh;
use serde_json::json;
use tokio::time::sleep;

use super::clients::{GRANT, Key, assertion, desk_with};
use super::support::{Answer, FOREIGN, config, policy};

fn limited(answer: &Answer) {
    assert_eq!(answer.error(), (429, "temporarily_unavailable"), "{answer:?}");
    assert_eq!((answer.header("retry-after"), answer.header("cache-control")), ("1", "no-store"));
}

#[tokio::test]
async fn a_client_that_asks_too_often_has_to_wait_and_others_need_not() {
    let desk = desk_with("limit-client", |config| {
        config["limits"] = json!({ "token": { "per_second": 1, "burst": 3 } });
    })
    .await;
    for _ in 0..3 {
        assert_eq!(desk.ask("agent-7", &[GRANT]).await.status, 200);
    }
    limited(&desk.ask("agent-7", &[GRANT]).await);
    limited(&desk.post_as("agent-7", "/introspect", &[("token", "x")]).await);
    limited(&desk.post_as("agent-7", "/revoke", &[("token", "x")]).await);
    assert_eq!(desk.ask("other", &[GRANT]).await.status, 200);
    for _ in 0..10 {
        assert_eq!(
            desk.post_as("gateway", "/introspect", &[("token", "x")]).await.status,
            200,
            "proxies are no agents"
        );
    }
    sleep(Duration::from_millis(1100)).await;
    assert_eq!(desk.ask("agent-7", &[GRANT]).await.status, 200, "the wait was as long as it was told");
}

#[tokio::test]
async fn who_guesses_has_to_wait_even_for_the_right_guess() {
    let desk = desk_with("limit-guesses", |config| {
        config["limits"] = json!({ "failures": { "per_second": 1, "burst": 3 } });
    })
    .await;
    for id in ["signer", "nobody", "workload"] {
        assert_eq!(desk.ask(id, &[GRANT]).await.error(), (401, "invalid_client"), "{id}");
    }
    limited(&desk.ask("nobody", &[GRANT]).await);
    limited(&desk.ask("agent-7", &[GRANT]).await);
    limited(&desk.assert(&Key::signer().sign(&assertion(&desk, "signer"))).await);
    for path in ["/healthz", "/readyz", "/jwks.json", "/.well-known/oauth-authorization-server"] {
        assert_eq!(desk.http.get(desk.url(path)).send().await.unwrap().status(), 200, "{path}");
    }
    sleep(Duration::from_millis(1100)).await;
    assert_eq!(desk.ask("agent-7", &[GRANT]).await.status, 200);
    assert_eq!(desk.ask("agent-7", &[GRANT]).await.status, 200, "what succeeds is no failure");
}

#[tokio::test]
async fn rates_have_bounds() {
    let (dir, mut config) = (fresh("broker-limit-bounds"), config());
    config["limits"] = json!({ "token": { "per_second": 0, "burts": 1 }, "failures": { "burst": 2_000_000 } });
    let url = Broker::files(&dir, &policy(&Issuer::new(FOREIGN)), &config);
    let log = Broker::start(&dir, &url).await.err().unwrap().log;
    for expected in [
        "`limits.token.per_second`: found `0`, accepted is `1` to `1000000`",
        "`limits.token.burts`: found unknown key `burts`",
        "(hint: did you mean `burst`?)",
        "`limits.failures.burst`: found `2000000`",
    ] {
        assert!(log.contains(expected), "{expected}\n{log}");
    }
}
