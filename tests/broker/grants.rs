//! Who may use which grant, and start which workflow.

use harness::Issuer;
use serde_json::{Value, json};

use super::support::{FOREIGN, RESOURCE};
use super::team::Team;

#[tokio::test]
async fn a_grant_is_for_those_whose_entry_has_it() {
    let team = Team::open("delegate-grants").await;
    let subject = team.own("worker", RESOURCE).await;
    assert_eq!(team.take("idle", &subject, RESOURCE, |_| ()).await.error(), (400, "unauthorized_client"));
    let assertion = [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", "x")];
    assert_eq!(team.0.ask("scout", &assertion).await.error(), (400, "unauthorized_client"));
    let only = |config: &mut Value| config["agents"][1]["grants"] = json!(["token_exchange"]);
    let team = Team::with("delegate-grants-only", &Issuer::new(FOREIGN), only).await;
    let form = [("grant_type", "client_credentials"), ("resource", RESOURCE)];
    assert_eq!(team.0.ask("scout", &form).await.error(), (400, "unauthorized_client"));
    assert_eq!(team.refusals().await, ["unauthorized_client"]);
}

#[tokio::test]
async fn to_start_a_workflow_is_a_right_apart_from_its_tools() {
    let starter = |config: &mut Value| {
        config["agents"][3]["scopes"] = json!([]);
        config["agents"][3]["triggers"] = json!(["nightly"]);
        config["agents"][1]["triggers"] = json!(["nightly"]);
    };
    let team = Team::with("delegate-triggers", &Issuer::new(FOREIGN), starter).await;
    let ask = async |id: &str, scope: &str| {
        let form = [("grant_type", "client_credentials"), ("resource", RESOURCE), ("scope", scope)];
        let answer = team.0.ask(id, &form).await;
        answer.body["scope"].as_str().map(str::to_owned).ok_or(answer.error().1.to_owned())
    };
    assert_eq!(ask("idle", "trigger:nightly").await, Ok("trigger:nightly".into()));
    assert_eq!(ask("idle", "trigger:nightly crm:read").await, Ok("trigger:nightly".into()));
    assert_eq!(ask("idle", "crm:read").await, Err("invalid_scope".into()));
    assert_eq!(ask("idle", "trigger:hourly").await, Err("invalid_scope".into()));
    assert_eq!(ask("idle", "nightly").await, Err("invalid_scope".into()));
    assert_eq!(ask("idle", "").await, Err("invalid_scope".into()), "the right has to be asked for");
    assert_eq!(ask("scout", "").await, Ok("crm:admin crm:read".into()), "and is none of those one gets unasked");
    assert_eq!(ask("scout", "trigger:nightly crm:read").await, Ok("crm:read trigger:nightly".into()));
    assert_eq!(ask("worker", "trigger:nightly").await, Err("invalid_scope".into()));
}
