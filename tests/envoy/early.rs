//! An Envoy that cannot hold headers, as Istio and Envoy Gateway set it up: what the headers say is decided, and the body
//! has to say the same.

use harness::agent::{Agent, Era, Http};
use harness::wire::{End, Reply};
use serde_json::{Value, json};

use super::scene::{Scene, Setup, call, denial};

/// Envoy without the option that lets a filter hold headers and see the body.
async fn open(name: &str) -> Option<Scene> {
    headers(Setup::new(name)).open().await
}

/// The same for any deployment.
pub fn headers(setup: Setup) -> Setup {
    setup.top("body", json!("early_headers")).envoy(|config| {
        let taken = take(config, "allow_on_headers_stop_iteration");
        assert_eq!(taken, 1, "the option is somewhere else now");
    })
}

/// Takes a member out wherever it stands; says how often it did.
fn take(value: &mut Value, name: &str) -> usize {
    match value {
        Value::Object(map) => {
            let here = usize::from(map.remove(name).is_some());
            here + map.values_mut().map(|value| take(value, name)).sum::<usize>()
        }
        Value::Array(items) => items.iter_mut().map(|item| take(item, name)).sum(),
        _ => 0,
    }
}

/// A call by its headers of `named`, by its body of `asked`, in both versions of HTTP.
async fn both(scene: &Scene, token: &str, named: &str, asked: &str) -> [Reply; 2] {
    let body = call(asked);
    let pieces: Vec<_> = body.as_bytes().chunks(64).collect();
    let one = scene.call_chunked(token, named, &pieces).await;
    [one, scene.call_two(token, named, &pieces, End::Stream).await.expect("Envoy answers")]
}

#[tokio::test]
async fn what_headers_and_body_both_ask_for_is_done() {
    let Some(scene) = open("early").await else { return };
    let token = scene.own("crm:read crm:write").await;
    for reply in both(&scene, &token, "crm_lookup", "crm_lookup").await {
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let agent = Agent::dial(&scene.stack.mcp()).token(&token).http(Http::One).era(Era::Modern).connect().await.unwrap();
    assert_eq!(agent.tools().await.unwrap(), ["crm_lookup", "crm_update"]);
    agent.call("crm_update", json!({ "id": "1002", "fields": { "tier": "gold" } })).await.unwrap();
    agent.close().await;
    assert_eq!(scene.ran(), ["crm_lookup", "crm_lookup", "crm_update"]);
    let text = json!(scene.received().iter().map(|request| &request.headers).collect::<Vec<_>>()).to_string();
    assert!(!text.contains(&token), "the agent's token reached the server");
}

#[tokio::test]
async fn a_body_that_asks_for_something_else_never_runs() {
    let Some(scene) = open("early-mismatch").await else { return };
    let token = scene.own("crm:read").await;
    for reply in both(&scene, &token, "crm_lookup", "crm_delete").await {
        assert_eq!(denial(&reply), (400, "header_mismatch".into()));
    }
    for reply in both(&scene, &token, "crm_delete", "crm_lookup").await {
        assert_eq!(denial(&reply), (403, "scope_missing".into()));
    }
    let trailers = End::Trailers(http::HeaderMap::new());
    let body = call("crm_delete");
    let reply = scene.call_two(&token, "crm_lookup", &[body.as_bytes()], trailers).await.unwrap();
    assert_eq!(denial(&reply).0, 400);
    assert!(scene.ran().is_empty(), "{:?}", scene.ran());
    assert!(scene.received().iter().all(|request| request.tool.is_none()), "a body went upstream");
}

#[tokio::test]
async fn the_legacy_era_is_refused() {
    let Some(scene) = open("early-legacy").await else { return };
    let token = scene.own("crm:read").await;
    let refused = Agent::dial(&scene.stack.mcp()).token(&token).http(Http::One).era(Era::Legacy).connect().await;
    assert!(refused.is_err());
    assert!(scene.received().is_empty());
}
