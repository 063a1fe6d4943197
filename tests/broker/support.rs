//! One broker with one agent, one proxy and one tool, and how to ask it.

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use harness::Issuer;
use harness::parts::Postgres;
use harness::stack::broker::{Broker, SECRET};
use harness::stack::fresh;
use reqwest::{Client, Response};
use serde_json::{Value, json};

pub const RESOURCE: &str = "https://gateway.example.test/crm/mcp";
pub const FOREIGN: &str = "https://idp.example.test";

/// Writes a key that wraps data keys.
pub fn key(dir: &Path, name: &str) {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(dir.join(name)).expect("a new file");
    file.write_all("0123456789abcdef".repeat(4).as_bytes()).expect("the key can be written");
}

/// One cluster for all tests of the process, which waits for the disk as the broker demands.
///
/// # Panics
/// When it is not installed: half of what the broker promises would go untested.
pub async fn postgres() -> &'static Postgres {
    Postgres::durable().await.expect("scripts/setup says how to get PostgreSQL")
}

/// Whether the suite runs against PostgreSQL: it is the same for both stores, built twice.
pub const POSTGRES: bool = matches!(env!("CARGO_CRATE_NAME").as_bytes(), b"broker_postgres");

/// A broker and an HTTP client.
pub struct Desk {
    pub broker: Broker,
    pub http: Client,
}

/// A policy with the broker's own issuer and a foreign one with inline keys.
pub fn policy(foreign: &Issuer) -> Value {
    json!({
        "version": 1,
        "issuers": {
            "own": {
                "issuer": "URL", "jwks": { "url": "URL/jwks.json", "cluster": "broker" }, "algorithms": ["ES256"],
                "clock_skew": "0s",
            },
            "corp": { "issuer": FOREIGN, "jwks": foreign.jwks(), "algorithms": ["ES256", "RS256", "EdDSA"] },
        },
        "broker": { "cluster": "broker", "authority": "broker" },
        "servers": {
            "crm": {
                "resource": RESOURCE,
                "match": { "host": "gateway.example.test", "path": "/crm/mcp" },
                "protocol": "mcp",
                "issuers": ["own", "corp"],
                "tools": {
                    "crm_lookup": { "scopes": ["crm:read"], "credential": "crm-api" },
                    "crm_update": { "scopes": ["crm:write", "crm:read"], "credential": "crm-api" },
                    "crm_ping": { "scopes": ["crm:read"] },
                },
            },
        },
    })
}

pub fn config() -> Value {
    json!({
        "version": 1,
        "issuer": "URL",
        "listen": "LISTEN",
        "data": "data",
        "policy": "policy.yaml",
        "operators": { "token_file": "secret" },
        "proxies": { "gateway": { "secret_file": "secret" } },
        "agents": [{
            "id": "agent-7", "owner": "ops@example.test", "purpose": "tests", "secret_file": "secret",
            "scopes": ["crm:read", "crm:write"], "resources": [RESOURCE], "token_lifetime": "2s",
        }],
        "credentials": { "crm-api": { "kind": "jwt", "audience": "https://crm.internal", "ttl": "60s" } },
    })
}

impl Desk {
    /// A broker in an empty directory of that name.
    pub async fn open(name: &str) -> Self {
        Self::with(name, &Issuer::new(FOREIGN)).await
    }

    /// The same, trusting `foreign`.
    pub async fn with(name: &str, foreign: &Issuer) -> Self {
        Self::of(name, &policy(foreign)).await
    }

    /// The same with any policy.
    pub async fn of(name: &str, policy: &Value) -> Self {
        Self::configured(name, policy, config()).await
    }

    /// The same with any configuration.
    pub async fn configured(name: &str, policy: &Value, config: Value) -> Self {
        Self::placed(name, policy, config, &[]).await
    }

    /// The same with files in its folder, which only their owner may read.
    pub async fn placed(name: &str, policy: &Value, mut config: Value, files: &[(&str, &str)]) -> Self {
        let dir = fresh(&format!("broker-{}{name}", if POSTGRES { "postgres-" } else { "" }));
        for (name, text) in files {
            fs::write(dir.join(name), text).expect("the file can be written");
            fs::set_permissions(dir.join(name), Permissions::from_mode(0o600)).expect("the file is ours");
        }
        if POSTGRES {
            let name = name.replace('-', "_");
            let postgres = postgres().await;
            std::fs::write(dir.join("store.url"), postgres.database(&name).await).expect("the URL can be written");
            config["store"]["postgres"]["url_file"] = json!("store.url");
            if config["secrets"].is_null() {
                key(&dir, "master.key");
                config["secrets"] = json!({ "key_file": "master.key" });
            }
        }
        let url = Broker::files(&dir, policy, &config);
        let broker = Broker::start(&dir, &url).await.unwrap_or_else(|failure| panic!("{failure}"));
        let http = Client::builder().no_proxy().build().expect("a client builds");
        Self { broker, http }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.broker.url)
    }

    /// A token request by `id`.
    pub async fn ask(&self, id: &str, form: &[(&str, &str)]) -> Answer {
        let request = self.http.post(self.url("/token")).basic_auth(id, Some(SECRET)).form(form);
        Answer::of(request.send().await.expect("the broker answers")).await
    }

    /// A token of the agent's own.
    pub async fn token(&self, scope: &str) -> String {
        let form = [("grant_type", "client_credentials"), ("scope", scope), ("resource", RESOURCE)];
        let answer = self.ask("agent-7", &form).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text("access_token")
    }

    /// The proxy's exchange of `token` for a call of `tool`, with changes to the form.
    pub async fn exchange(&self, token: &str, tool: &str, scope: &str, change: impl FnOnce(&mut Form)) -> Answer {
        let mut form = call(token, tool, scope);
        change(&mut form);
        let form: Vec<_> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.ask("gateway", &form).await
    }

    /// One series of the broker's metrics; 0 where nothing was counted yet.
    pub async fn metric(&self, series: &str) -> u64 {
        let text = self.http.get(self.url("/metrics")).send().await.expect("it answers").text().await.expect("a text");
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().expect("a number"))
    }

    /// The audit but for administrative acts and what it says of itself, as operators see it.
    pub async fn records(&self, query: &str) -> Vec<Value> {
        let records = self.all_records(query).await;
        records.into_iter().filter(|record| record["kind"] != "admin" && record["kind"] != "chain").collect()
    }

    /// The audit, as operators see it.
    pub async fn all_records(&self, query: &str) -> Vec<Value> {
        let request = self.http.get(self.url(&format!("/v1/audit/events?{query}"))).bearer_auth(SECRET);
        let answer = Answer::of(request.send().await.expect("the broker answers")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["records"].as_array().expect("records are a list").clone()
    }
}

pub type Form = Vec<(String, String)>;

/// The exchange of `token` for a call of `tool`.
pub fn call(token: &str, tool: &str, scope: &str) -> Form {
    let details = json!([{
        "type": "tool_call", "server": "crm", "tool": tool, "credential": "crm-api",
        "arguments_digest": "sha-256:00", "request_id": "r-1",
    }]);
    [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", token),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("resource", RESOURCE),
        ("scope", scope),
        ("authorization_details", &details.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// Replaces one value of a form.
pub fn set(form: &mut Form, name: &str, value: &str) {
    form.iter_mut().filter(|(other, _)| other == name).for_each(|(_, old)| value.clone_into(old));
}

/// An answer, read; no secret may be in one that refuses.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    pub async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("the answer is text");
        assert!(!text.contains(SECRET), "the answer holds a secret: {text}");
        Self::read(status, headers, text)
    }

    /// The same for an answer that shows a new secret.
    pub async fn of_secrets(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self::read(status, headers, response.text().await.expect("the answer is text"))
    }

    fn read(status: u16, headers: reqwest::header::HeaderMap, text: String) -> Self {
        Self { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
    }

    pub fn text(&self, name: &str) -> String {
        self.body[name].as_str().unwrap_or_else(|| panic!("no `{name}`: {self:?}")).to_owned()
    }

    pub fn error(&self) -> (u16, &str) {
        (self.status, self.body["error"].as_str().unwrap_or_default())
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}
