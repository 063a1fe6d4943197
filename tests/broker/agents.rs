//! The registry of agents: registered by operators, and refused everywhere once they are suspended or retired.

use std::time::Duration;

use harness::Issuer;
use harness::stack::broker::SECRET;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::support::{Answer, Desk, FOREIGN, RESOURCE, config, policy};

fn scout() -> Value {
    json!({
        "id": "scout", "owner": "ops@example.test", "purpose": "looks things up",
        "scopes": ["crm:read"], "resources": [RESOURCE],
    })
}

impl Desk {
    async fn operate(&self, method: Method, path: &str, body: &Value) -> Answer {
        let request = self.http.request(method, self.url(path)).bearer_auth(SECRET).json(body);
        Answer::of_secrets(request.send().await.expect("the broker answers")).await
    }

    async fn as_agent(&self, id: &str, secret: &str) -> Answer {
        let form = [("grant_type", "client_credentials"), ("scope", "crm:read"), ("resource", RESOURCE)];
        let request = self.http.post(self.url("/token")).basic_auth(id, Some(secret)).form(&form);
        Answer::of(request.send().await.expect("the broker answers")).await
    }
}

#[tokio::test]
async fn a_secret_is_shown_once_and_kept_as_a_digest() {
    let desk = Desk::open("agents-register").await;
    let registered = desk.operate(Method::POST, "/v1/agents", &scout()).await;
    assert_eq!((registered.status, registered.header("cache-control")), (201, "no-store"));
    let secret = registered.text("secret");
    assert_eq!(desk.as_agent("scout", &secret).await.status, 200);
    assert_eq!(desk.as_agent("scout", "x").await.error(), (401, "invalid_client"));
    let shown = desk.operate(Method::GET, "/v1/agents/scout", &Value::Null).await;
    assert_eq!((&shown.body["status"], &shown.body["secret"]), (&json!("active"), &Value::Null));
    assert!(!desk.operate(Method::GET, "/v1/agents", &Value::Null).await.body.to_string().contains(&secret));
    assert_eq!(desk.operate(Method::POST, "/v1/agents", &scout()).await.error(), (409, "conflict"));
    let rotated = desk.operate(Method::POST, "/v1/agents/scout/rotate-secret", &Value::Null).await;
    assert_ne!(rotated.text("secret"), secret);
    assert_eq!(desk.as_agent("scout", &secret).await.error(), (401, "invalid_client"));
    assert_eq!(desk.as_agent("scout", &rotated.text("secret")).await.status, 200);
    let mut acts: Vec<_> = desk.all_records("kind=admin").await.iter().map(|one| one["admin"].clone()).collect();
    acts.retain(|act| act["action"].as_str().unwrap().starts_with("agent."));
    assert_eq!(acts[1], json!({ "by": "operator", "action": "agent.register", "target": "scout" }));
    assert_eq!(acts[2]["action"], "agent.rotate-secret");
}

#[tokio::test]
async fn a_registration_says_all_that_is_wrong_with_it() {
    let desk = Desk::open("agents-wrong").await;
    let mut wrong = scout();
    wrong["owner"] = json!(" ");
    wrong["scopes"] = json!(["trigger:nightly"]);
    wrong["resources"] = json!(["https://nowhere.example.test"]);
    wrong["grants"] = json!(["client_credential"]);
    wrong["secret_file"] = json!("secret");
    wrong["expires_at"] = json!("tomorrow");
    let answer = desk.operate(Method::POST, "/v1/agents", &wrong).await;
    assert_eq!(answer.error(), (400, "invalid_request"));
    let details = answer.body["details"].to_string();
    for expected in [
        "`owner`",
        "put its name under `triggers`",
        "`resources[0]`",
        "did you mean `client_credentials`?",
        "`secret_file`",
        "`expires_at`: found `tomorrow`",
    ] {
        assert!(details.contains(expected), "{expected}: {details}");
    }
    for path in ["/v1/agents/nobody", "/v1/agents/scout"] {
        assert_eq!(desk.operate(Method::GET, path, &Value::Null).await.error(), (404, "not_found"));
    }
    for token in ["", "x"] {
        let request = desk.http.post(desk.url("/v1/agents")).bearer_auth(token).json(&scout());
        assert_eq!(Answer::of(request.send().await.unwrap()).await.error(), (401, "invalid_token"));
    }
}

#[tokio::test]
async fn a_suspended_agent_is_refused_everywhere_until_it_is_resumed() {
    let desk = Desk::open("agents-suspend").await;
    let secret = desk.operate(Method::POST, "/v1/agents", &scout()).await.text("secret");
    let token = desk.as_agent("scout", &secret).await.text("access_token");
    assert_eq!(desk.exchange(&token, "crm_lookup", "crm:read", |_| ()).await.status, 200);
    let why = json!({ "why": "it calls at night" });
    let suspended = desk.operate(Method::POST, "/v1/agents/scout/suspend", &why).await;
    assert_eq!((suspended.status, &suspended.body["status"]), (200, &json!("suspended")));
    assert_eq!(desk.as_agent("scout", &secret).await.error(), (401, "invalid_client"));
    let refused = desk.exchange(&token, "crm_lookup", "crm:read", |_| ()).await;
    assert_eq!(refused.error(), (403, "access_denied"));
    assert_eq!(desk.operate(Method::POST, "/v1/agents/scout/suspend", &why).await.error(), (409, "conflict"));
    assert_eq!(desk.operate(Method::POST, "/v1/agents/scout/resume", &json!({})).await.status, 200);
    assert_eq!(desk.exchange(&token, "crm_lookup", "crm:read", |_| ()).await.status, 200);
    assert_eq!(desk.operate(Method::POST, "/v1/agents/scout/retire", &json!({})).await.status, 200);
    assert_eq!(desk.operate(Method::POST, "/v1/agents/scout/resume", &json!({})).await.error(), (409, "conflict"));
    assert_eq!(desk.exchange(&token, "crm_lookup", "crm:read", |_| ()).await.error(), (403, "access_denied"));
    let acts = desk.all_records("kind=admin").await;
    assert!(acts.iter().any(|act| act["admin"]["why"] == "it calls at night"));
}

#[tokio::test]
async fn an_agent_whose_time_is_over_is_refused_at_once_and_suspended() {
    let desk = Desk::open("agents-over").await;
    let mut short = scout();
    let soon = std::time::SystemTime::now() + Duration::from_secs(2);
    short["expires_at"] = json!(humantime::format_rfc3339_millis(soon).to_string());
    let secret = desk.operate(Method::POST, "/v1/agents", &short).await.text("secret");
    let token = desk.as_agent("scout", &secret).await.text("access_token");
    sleep(Duration::from_millis(2100)).await;
    assert_eq!(desk.as_agent("scout", &secret).await.error(), (401, "invalid_client"));
    assert_eq!(desk.exchange(&token, "crm_lookup", "crm:read", |_| ()).await.error(), (403, "access_denied"));
    for _ in 0..100 {
        let shown = desk.operate(Method::GET, "/v1/agents/scout", &Value::Null).await;
        if shown.body["status"] == "suspended" {
            let resumed = desk.operate(Method::POST, "/v1/agents/scout/resume", &json!({})).await;
            return assert_eq!(resumed.error(), (409, "conflict"), "its time is over all the same");
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("it was not suspended");
}

#[tokio::test]
async fn a_scope_that_was_taken_back_mints_nothing_more() {
    let desk = Desk::open("agents-narrowed").await;
    let secret = desk.operate(Method::POST, "/v1/agents", &scout()).await.text("secret");
    let token = desk.as_agent("scout", &secret).await.text("access_token");
    let mut narrowed = scout();
    narrowed["scopes"] = json!(["crm:write"]);
    let changed = desk.operate(Method::PUT, "/v1/agents/scout", &narrowed).await;
    assert_eq!((changed.status, &changed.body["secret"]), (200, &Value::Null));
    assert_eq!(desk.exchange(&token, "crm_lookup", "crm:read", |_| ()).await.error(), (403, "access_denied"));
    assert_eq!(desk.as_agent("scout", &secret).await.error(), (400, "invalid_scope"), "the secret stayed");
}

#[tokio::test]
async fn the_file_makes_what_it_names_and_leaves_alone_what_it_does_not() {
    let mut desk = Desk::open("agents-file").await;
    let secret = desk.operate(Method::POST, "/v1/agents", &scout()).await.text("secret");
    desk.operate(Method::PUT, "/v1/agents/agent-7", &{
        let mut changed = scout();
        changed["scopes"] = json!(["crm:read"]);
        changed
    })
    .await;
    desk.operate(Method::POST, "/v1/agents/agent-7/suspend", &json!({})).await;
    desk.broker.crash().await;
    let file = desk.operate(Method::GET, "/v1/agents/agent-7", &Value::Null).await;
    assert_eq!(file.body["scopes"], json!(["crm:read", "crm:write"]), "as the file says");
    assert_eq!(file.body["status"], "suspended", "which the file does not say");
    assert_eq!(desk.as_agent("scout", &secret).await.status, 200);
    assert_eq!(desk.as_agent("agent-7", SECRET).await.error(), (401, "invalid_client"));
    let before = desk.all_records("kind=admin").await.len();
    desk.broker.crash().await;
    assert_eq!(desk.all_records("kind=admin").await.len(), before, "nothing was to be done");
}

#[tokio::test]
async fn a_token_of_a_suspended_agent_of_another_issuer_is_the_operators_to_revoke() {
    let foreign = Issuer::new(FOREIGN).at_now();
    let desk = Desk::configured("agents-foreign", &policy(&foreign), config()).await;
    let token = foreign.token().audience(RESOURCE).scope("crm:read").agent("agent-7").sign();
    desk.operate(Method::POST, "/v1/agents/agent-7/suspend", &json!({})).await;
    let answer = desk.exchange(&token, "crm_lookup", "crm:read", |_| ()).await;
    assert_eq!(answer.status, 200, "another issuer's agent of the same name is another agent: {answer:?}");
}

#[tokio::test]
async fn of_those_who_register_one_agent_at_once_one_does() {
    let desk = Desk::open("agents-race").await;
    let scout = scout();
    let [a, b, c, d] = [(); 4].map(|()| desk.operate(Method::POST, "/v1/agents", &scout));
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    let answers = [a, b, c, d];
    let registered: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert_eq!(registered.len(), 1, "{:?}", answers.each_ref().map(|answer| answer.status));
    assert_eq!(desk.as_agent("scout", &registered[0].text("secret")).await.status, 200);
}
