//! Several agents that hand tasks on to each other: the planner to the scout, the scout to the worker.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use harness::stack::broker::SECRET;
use harness::{Holder, Issuer};
use serde_json::{Value, json};

use super::support::{Answer, Desk, Form, RESOURCE, config, policy};

pub const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
pub const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
pub const SCOUT: &str = "https://gateway.example.test/a2a/scout";
pub const WORKER: &str = "https://gateway.example.test/a2a/worker";

/// A broker with these agents.
pub struct Team(pub Desk);

/// The policy with the servers that the scout and the worker are themselves.
pub fn servers(foreign: &Issuer) -> Value {
    let mut policy = policy(foreign);
    for (name, resource) in [("scout", SCOUT), ("worker", WORKER)] {
        policy["servers"][name] = json!({
            "resource": resource,
            "match": { "host": "gateway.example.test", "path_prefix": format!("/a2a/{name}") },
            "protocol": "a2a",
            "issuers": ["own", "corp"],
            "tools": { "SendMessage": { "scopes": ["crm:read"] } },
        });
    }
    policy
}

/// The configuration with the agents.
pub fn agents() -> Value {
    let agent = |id: &str, grants: &[&str], scopes: &[&str], delegates: &[&str], accepts: &[&str]| {
        json!({
            "id": id, "owner": "ops@example.test", "purpose": "tests", "secret_file": "secret",
            "grants": grants, "scopes": scopes, "resources": [RESOURCE, SCOUT, WORKER],
            "may_delegate_to": delegates, "accepts": accepts, "token_lifetime": "60s",
        })
    };
    let (own, both) = (&["client_credentials"][..], &["client_credentials", "token_exchange"][..]);
    let mut config = config();
    config["agents"] = json!([
        agent("planner", &["client_credentials", "jwt_bearer"], &["crm:read", "crm:write"], &["scout"], &[]),
        agent("scout", both, &["crm:read", "crm:admin"], &["work*"], &[SCOUT]),
        agent("worker", both, &["crm:read"], &["planner", "scout", "idle"], &[WORKER]),
        agent("idle", own, &["crm:read"], &[], &[]),
    ]);
    config
}

impl Team {
    pub async fn open(name: &str) -> Self {
        Self::with(name, &Issuer::new(super::support::FOREIGN), |_| ()).await
    }

    /// The same, trusting `foreign`, with changes to the configuration.
    pub async fn with(name: &str, foreign: &Issuer, change: impl FnOnce(&mut Value)) -> Self {
        let mut config = agents();
        change(&mut config);
        Self(Desk::configured(name, &servers(foreign), config).await)
    }

    /// An agent's own token for a resource, with all it may have.
    pub async fn own(&self, id: &str, resource: &str) -> String {
        let answer = self.0.ask(id, &[("grant_type", "client_credentials"), ("resource", resource)]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text("access_token")
    }

    /// `id` takes over what `subject` is about, for `resource`; with changes to the form.
    pub async fn take(&self, id: &str, subject: &str, resource: &str, change: impl FnOnce(&mut Form)) -> Answer {
        let actor = self.own(id, resource).await;
        let mut form: Form = [
            ("grant_type", EXCHANGE),
            ("subject_token", subject),
            ("subject_token_type", ACCESS_TOKEN),
            ("actor_token", &actor),
            ("actor_token_type", ACCESS_TOKEN),
            ("resource", resource),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        change(&mut form);
        self.post(id, &form).await
    }

    pub async fn post(&self, id: &str, form: &Form) -> Answer {
        let form: Vec<_> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.0.ask(id, &form).await
    }

    /// The same with a proof of the key of `holder`.
    pub async fn prove(&self, id: &str, holder: &Holder, form: &[(&str, &str)]) -> Answer {
        let url = self.0.url("/token");
        let proof = holder.proof("POST", &url, "").without("ath").sign();
        let request = self.0.http.post(url).basic_auth(id, Some(SECRET)).header("dpop", proof).form(form);
        Answer::of(request.send().await.expect("the broker answers")).await
    }

    /// An agent takes a token of its own back.
    pub async fn revoke(&self, id: &str, token: &str) {
        let request = self.0.http.post(self.0.url("/revoke")).basic_auth(id, Some(SECRET)).form(&[("token", token)]);
        assert_eq!(request.send().await.expect("the broker answers").status(), 200);
    }

    /// The operator suspends, resumes or retires an agent.
    pub async fn turn(&self, id: &str, verb: &str) {
        let request = self.0.http.post(self.0.url(&format!("/v1/agents/{id}/{verb}"))).bearer_auth(SECRET);
        let answer = Answer::of(request.json(&json!({ "why": "tests" })).send().await.expect("it answers")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// The reasons of all refusals to issue, in order.
    pub async fn refusals(&self) -> Vec<String> {
        let records = self.0.records("kind=issue&decision=deny").await;
        records.iter().map(|record| record["reason"].as_str().unwrap().to_owned()).collect()
    }
}

/// What a token says.
pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}
