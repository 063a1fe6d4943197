//! Who may use which grant, and start which workflow.

use harness::{Alg, Holder, Issuer};
use serde_json::{Value, json};

use super::support::{FOREIGN, Form, RESOURCE, set};
use super::team::{EXCHANGE, JWT_BEARER, SCOUT, Team};

#[tokio::test]
async fn a_grant_is_for_those_whose_entry_has_it() {
    let team = Team::open("delegate-grants").await;
    let subject = team.own("worker", RESOURCE).await;
    assert_eq!(team.take("idle", &subject, RESOURCE, |_| ()).await.error(), (400, "unauthorized_client"));
    let assertion = [("grant_type", JWT_BEARER), ("assertion", "x")];
    assert_eq!(team.0.ask("scout", &assertion).await.error(), (400, "unauthorized_client"));
    let only = |config: &mut Value| config["agents"][1]["grants"] = json!(["token_exchange"]);
    let team = Team::with("delegate-grants-only", &Issuer::new(FOREIGN), only).await;
    let form = [("grant_type", "client_credentials"), ("resource", RESOURCE)];
    assert_eq!(team.0.ask("scout", &form).await.error(), (400, "unauthorized_client"));
    assert_eq!(team.refusals().await, ["unauthorized_client"]);
}

#[tokio::test]
async fn a_proof_that_is_not_sound_is_refused_on_the_record_by_every_grant() {
    let team = Team::open("grants-proof").await;
    let stale = Holder::new(Alg::EdDsa);
    for grant in ["client_credentials", EXCHANGE, JWT_BEARER] {
        let answer = team.prove("scout", &stale, &[("grant_type", grant)]).await;
        assert_eq!(answer.error(), (400, "invalid_dpop_proof"), "{grant}");
        assert_eq!(team.refusals().await.last().unwrap(), "invalid_dpop_proof", "{grant}");
    }
    assert_eq!(team.refusals().await.len(), 3);
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

#[tokio::test]
async fn a_task_or_a_user_gives_no_workflow_that_nobody_asked_for() {
    const ENTERPRISE: &str = "https://login.acme.example.test";
    const RIGHTS: &str = "crm:read trigger:nightly";
    let idp = Issuer::new(ENTERPRISE).at_now();
    let jwks = json!({ "keys": idp.jwks()["keys"] });
    let starter = |config: &mut Value| {
        config["agents"][0]["triggers"] = json!(["nightly"]);
        config["agents"][1]["triggers"] = json!(["nightly"]);
        config["enterprise"] = json!({ "acme": { "issuer": ENTERPRISE, "jwks": jwks, "algorithms": ["ES256"] } });
    };
    let team = Team::with("grants-triggers", &Issuer::new(FOREIGN), starter).await;
    let own = async |id: &str, resource: &str| {
        let form = [("grant_type", "client_credentials"), ("resource", resource), ("scope", RIGHTS)];
        team.0.ask(id, &form).await.text("access_token")
    };
    let (subject, actor) = (own("planner", SCOUT).await, own("scout", RESOURCE).await);
    for (number, asked, got) in [("1", None, "crm:read"), ("2", Some(RIGHTS), RIGHTS)] {
        let scope = |form: &mut Form| {
            set(form, "actor_token", &actor);
            form.extend(asked.map(|scope| ("scope".to_owned(), scope.to_owned())));
        };
        assert_eq!(team.take("scout", &subject, RESOURCE, scope).await.text("scope"), got);
        let token = idp.token().header("typ", "oauth-id-jag+jwt").audience(&team.0.broker.url).claim("sub", "alice");
        let token = token.claim("client_id", "planner").claim("resource", RESOURCE).claim("jti", number);
        let assertion = token.scope(RIGHTS).sign();
        let form = [("grant_type", JWT_BEARER), ("assertion", assertion.as_str())];
        let form: Vec<_> = form.into_iter().chain(asked.map(|scope| ("scope", scope))).collect();
        assert_eq!(team.0.ask("planner", &form).await.text("scope"), got);
    }
}
