//! Calls that are on the broker's disk before they go upstream, through a real Envoy.

use serde_json::{Value, json};

use super::scene::{Setup, denial};

#[tokio::test]
async fn a_call_that_is_recorded_before_has_its_intent_on_the_disk_or_goes_nowhere() {
    let setup = Setup::new("intent").top("audit", json!({ "when_unreachable": "queue", "flush": "100ms" }));
    let tools = json!({ "crm_lookup": { "scopes": ["crm:read"], "audit": "before" } });
    let Some(mut scene) = setup.server("tools", tools).open().await else { return };
    let token = scene.token().sign();
    // The tool server takes nobody without a credential: this far a call comes that was let through.
    assert_eq!(denial(&scene.call(&token, "crm_lookup").await), (502, "upstream_refused".into()));
    assert_eq!(scene.received().len(), 1);
    let of = |records: &[Value], kind: &str| records.iter().position(|record| record["kind"] == kind);
    let records = scene.records(|records| of(records, "outcome").is_some()).await;
    let (intent, outcome) = (of(&records, "intent").expect("an intent"), of(&records, "outcome").unwrap());
    assert!(intent < outcome, "the intent comes first: {records:#?}");
    let [intent, outcome] = [intent, outcome].map(|at| &records[at]);
    assert_eq!((&intent["tool"], &intent["request_id"]), (&json!("crm_lookup"), &outcome["request_id"]));
    assert!(intent["request_id"].is_string() && intent["credential"]["lease"].is_null());
    scene.stack.broker.kill();
    let reply = scene.call(&token, "crm_lookup").await;
    let (status, reason) = denial(&reply);
    // A worker that had not heard of revocations yet refuses for that reason.
    assert!(status == 503 && ["audit_unavailable", "revocation_stale"].contains(&reason.as_str()), "{reason}");
    assert_eq!(scene.received().len(), 1, "it went upstream without a record");
}
