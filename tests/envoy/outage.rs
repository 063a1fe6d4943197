//! When the broker or the key server is away: refused, never forwarded, and no record lost.

use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use super::scene::{Scene, denial};

#[tokio::test]
async fn without_the_broker_nothing_is_forwarded_and_it_heals_by_itself() {
    let Some(mut scene) = Scene::open("broker-away").await else { return };
    let token = scene.token().sign();
    assert_eq!(scene.call(&token, "crm_lookup").await.status, 200);
    scene.stack.broker.kill();
    for _ in 0..5 {
        let reply = scene.call(&token, "crm_lookup").await;
        assert_eq!(reply.status, 503, "{reply:?}");
        assert_eq!(reply.header("retry-after"), ["1"]);
    }
    // A denial needs no broker.
    assert_eq!(denial(&scene.call("x", "crm_lookup").await).0, 401);
    assert_eq!(scene.ran().len(), 1);
    scene.stack.start_broker().await.unwrap();
    for attempt in 0.. {
        assert!(attempt < 150, "calls are still refused");
        if scene.call(&token, "crm_lookup").await.status == 200 {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    // A worker that had not heard of revocations yet refuses for that reason.
    let reasons = ["audit_unavailable", "broker_unavailable", "revocation_stale"];
    let away = |record: &&Value| record["reason"].as_str().is_some_and(|reason| reasons.contains(&reason));
    let records = scene.records(|records| records.iter().filter(away).count() >= 5).await;
    let mut ids: Vec<_> = records.iter().map(|record| record["id"].to_string()).collect();
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all, "a record was kept twice");
}

#[tokio::test]
async fn without_keys_a_token_is_not_refused_but_not_believed_either() {
    let Some(mut scene) = Scene::open("keys-away").await else { return };
    let token = scene.own("crm:read").await;
    scene.stack.broker.kill();
    let reply = scene.call(&token, "crm_lookup").await;
    assert_eq!(denial(&reply), (503, "keys_unavailable".into()));
    assert!(reply.header("www-authenticate").is_empty(), "the agent was told that its token is bad");
    assert!(scene.received().is_empty());
    scene.stack.start_broker().await.unwrap();
    sleep(Duration::from_secs(1)).await;
    for attempt in 0.. {
        assert!(attempt < 150, "calls are still refused");
        if scene.call(&token, "crm_lookup").await.status == 200 {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn without_the_tool_server_the_agent_learns_only_that() {
    let Some(mut scene) = Scene::open("tools-away").await else { return };
    scene.stack.tools.kill();
    let reply = scene.call(&scene.token().sign(), "crm_lookup").await;
    assert_eq!(reply.status, 503);
    let failed = |records: &[Value]| records.iter().any(|record| record["upstream"]["status"] == 503);
    scene.records(failed).await;
}
