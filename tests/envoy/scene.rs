//! One whole deployment, and how to send to it and look into it.

use std::time::Duration;

use harness::site::Site;
use harness::stack::{Ports, Stack, envoy, fresh};
use harness::tools::log::{Event, Received};
use harness::wire::{Closed, End, One, Post, Reply, Two, chunked};
use harness::{Alg, Issuer, Token};
use serde_json::{Value, json};
use tokio::time::sleep;

pub const CORP: &str = "https://idp.example.test";

/// Where a site has the issuer's keys.
pub const KEYS: &str = "/jwks.json";

/// A running stack that also trusts a foreign issuer.
pub struct Scene {
    pub stack: Stack,
    pub issuer: Issuer,
}

/// What is to be different from the demo, besides the foreign issuer.
pub struct Setup {
    name: String,
    issuer: Value,
    server: Vec<(String, Value)>,
    top: Vec<(&'static str, Value)>,
    beside: Vec<(&'static str, Value)>,
    edits: Vec<Edit>,
    credentials: Vec<(&'static str, Value)>,
}

/// A change of Envoy's configuration.
type Edit = Box<dyn FnOnce(&mut Value)>;

impl Setup {
    /// Nothing else: the foreign issuer's keys stand in the policy.
    pub fn new(name: &str) -> Self {
        let jwks = Issuer::new(CORP).jwks();
        let issuer = json!({ "issuer": CORP, "jwks": jwks, "algorithms": ["ES256", "RS256", "EdDSA"] });
        Self {
            name: name.to_owned(),
            issuer,
            server: Vec::new(),
            top: Vec::new(),
            beside: Vec::new(),
            edits: Vec::new(),
            credentials: Vec::new(),
        }
    }

    /// Sets a member of the foreign issuer.
    pub fn issuer(mut self, name: &str, value: Value) -> Self {
        self.issuer[name] = value;
        self
    }

    /// Sets a member of the server.
    pub fn server(mut self, name: impl Into<String>, value: Value) -> Self {
        self.server.push((name.into(), value));
        self
    }

    /// Sets a member of the policy itself.
    pub fn top(mut self, name: &'static str, value: Value) -> Self {
        self.top.push((name, value));
        self
    }

    /// Adds a server to the policy.
    pub fn beside(mut self, name: &'static str, server: Value) -> Self {
        self.beside.push((name, server));
        self
    }

    /// Has the foreign issuer's keys fetched from `site`, where they are at [`KEYS`], through the cluster `idp`.
    pub fn fetched(self, site: &Site) -> Self {
        let jwks = json!({ "url": site.url(KEYS), "cluster": "idp", "refresh": "5m" });
        let address = json!({ "socket_address": { "address": "127.0.0.1", "port_value": site.port() } });
        let endpoints = json!([{ "lb_endpoints": [{ "endpoint": { "address": address } }] }]);
        let load = json!({ "cluster_name": "idp", "endpoints": endpoints });
        let cluster = json!({ "name": "idp", "connect_timeout": "1s", "load_assignment": load });
        let this = self.issuer("jwks", jwks);
        this.envoy(move |config| config["static_resources"]["clusters"].as_array_mut().unwrap().push(cluster))
    }

    /// Adds a credential of the broker's.
    pub fn credential(mut self, name: &'static str, definition: Value) -> Self {
        self.credentials.push((name, definition));
        self
    }

    /// Edits Envoy's configuration.
    pub fn envoy(mut self, edit: impl FnOnce(&mut Value) + 'static) -> Self {
        self.edits.push(Box::new(edit));
        self
    }

    /// Starts it; `None` where there is no Envoy.
    pub async fn open(self) -> Option<Scene> {
        let Self { name, issuer, server, top, beside, edits, credentials } = self;
        if !envoy::available(&name) {
            return None;
        }
        let stack = Stack::builder(&fresh(&format!("envoy-{name}"))).ports(Ports::free());
        let stack = stack.policy(move |text| {
            let mut policy = trusting(&text, issuer, server, top);
            beside.into_iter().for_each(|(name, server)| policy["servers"][name] = server);
            policy.to_string()
        });
        let stack = stack.broker(move |text| {
            let mut config: Value = serde_saphyr::from_str(&text).expect("the broker's configuration is YAML");
            credentials.into_iter().for_each(|(name, definition)| config["credentials"][name] = definition);
            config.to_string()
        });
        let stack = stack.envoy(move |config| edits.into_iter().for_each(|edit| edit(config))).start().await;
        Some(Scene { stack, issuer: Issuer::new(CORP).at_now() })
    }
}

impl Scene {
    /// Starts it; `None` where there is no Envoy.
    pub async fn open(name: &str) -> Option<Self> {
        Setup::new(name).open().await
    }

    /// A foreign token that is in order for the server.
    pub fn token(&self) -> Token {
        self.issuer.token().audience(&self.stack.mcp()).scope("crm:read")
    }

    /// A token of the broker's own for the demo agent.
    pub async fn own(&self, scope: &str) -> String {
        self.stack.agent().token(scope, &self.stack.mcp()).await.expect("the broker issues a token")
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.stack.ports.gateway)
    }

    /// The head of a POST that calls `tool`, HTTP/1.1.
    pub fn post(&self, token: &str, tool: &str) -> Post {
        self.post_as(&format!("Bearer {token}"), tool)
    }

    /// The same with any `Authorization`.
    pub fn post_as(&self, authorization: &str, tool: &str) -> Post {
        let post = Post::new("/crm/mcp", &self.address()).header("authorization", authorization);
        headers(tool).iter().fold(post, |post, (name, value)| post.header(name, value))
    }

    /// Sends bytes over HTTP/1.1 and reads the reply.
    pub async fn send(&self, pieces: &[impl AsRef<[u8]>]) -> Reply {
        let mut connection = One::connect(&self.address()).await.expect("Envoy listens");
        connection.exchange(pieces).await.expect("Envoy answers")
    }

    /// A whole call over HTTP/1.1.
    pub async fn call(&self, token: &str, tool: &str) -> Reply {
        self.send(&[self.post(token, tool).body(call(tool).as_bytes())]).await
    }

    /// The same, its body in chunks.
    pub async fn call_chunked(&self, token: &str, tool: &str, pieces: &[&[u8]]) -> Reply {
        let head = self.post(token, tool).header("transfer-encoding", "chunked").head();
        let mut all = vec![head];
        all.extend(chunked(pieces));
        self.send(&all).await
    }

    /// A call over HTTP/2, its body in frames.
    pub async fn call_two(&self, token: &str, tool: &str, frames: &[&[u8]], end: End) -> Result<Reply, Closed> {
        let request = self.request(token, tool);
        Two::connect(&self.address()).await.expect("Envoy listens").send(request, frames, end).await
    }

    /// The head of a POST that calls `tool`, for HTTP/2.
    pub fn request(&self, token: &str, tool: &str) -> http::Request<()> {
        let request = http::Request::post(self.stack.mcp()).header("authorization", format!("Bearer {token}"));
        let request = headers(tool).iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(()).expect("the request is well-formed")
    }

    /// What reached the tool server.
    pub fn received(&self) -> Vec<Received> {
        let request = |event| if let Event::Request(request) = event { Some(request) } else { None };
        self.stack.events().into_iter().filter_map(request).collect()
    }

    /// The names of the tools that ran.
    pub fn ran(&self) -> Vec<String> {
        let tool = |event| if let Event::Execution(ran) = event { Some(ran.tool) } else { None };
        self.stack.events().into_iter().filter_map(tool).collect()
    }

    /// The audit once `done` is content with it.
    pub async fn records(&self, done: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client builds");
        let url = format!("{}/v1/audit/events?limit=1000", self.stack.ports.broker());
        let mut records = Vec::new();
        for _ in 0..100 {
            let request = http.get(&url).bearer_auth(self.stack.secret("admin.token"));
            let answer: Value = request.send().await.expect("the broker answers").json().await.expect("it is JSON");
            records = answer["records"].as_array().expect("records are a list").clone();
            if done(&records) {
                return records;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("the audit never held what was expected: {records:#?}");
    }

    /// All records that match `query`, however many.
    pub async fn audit(&self, query: &str) -> Vec<Value> {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client builds");
        let (mut records, mut after) = (Vec::new(), 0);
        loop {
            let url = format!("{}/v1/audit/events?limit=1000&after={after}&{query}", self.stack.ports.broker());
            let request = http.get(&url).bearer_auth(self.stack.secret("admin.token"));
            let answer: Value = request.send().await.expect("the broker answers").json().await.expect("it is JSON");
            let page = answer["records"].as_array().expect("records are a list");
            if page.is_empty() {
                return records;
            }
            records.extend(page.iter().cloned());
            after = answer["after"].as_i64().expect("there is a number to go on after");
        }
    }

    /// Nothing secret may be in what the programs wrote about themselves.
    pub fn keeps_quiet(&self, tokens: &[&str]) {
        let logs = self.stack.logs();
        for token in tokens {
            let (_, signature) = token.rsplit_once('.').expect("a token has parts");
            assert!(!logs.contains(signature), "a log holds a token");
        }
        for secret in ["admin.token", "proxy.secret", "agent.secret"] {
            assert!(!logs.contains(&self.stack.secret(secret)), "a log holds `{secret}`");
        }
    }
}

/// Publishes the foreign issuer's keys for these algorithms, and no other.
pub fn publish(site: &Site, algs: &[Alg]) {
    site.publish(KEYS, &Issuer::new(CORP).jwks_for(algs).to_string());
}

/// The text of a modern `tools/call`: without a session, so that each request stands alone.
pub fn call(tool: &str) -> String {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({ "name": tool, "arguments": { "id": "1001", "fields": { "tier": "gold" } }, "_meta": meta });
    json!({ "jsonrpc": "2.0", "id": "c-1", "method": "tools/call", "params": params }).to_string()
}

/// The headers that go with it.
pub fn headers(tool: &str) -> [(&str, &str); 5] {
    [
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", tool),
    ]
}

/// The demo's policy with another issuer, and with these members of the server.
fn trusting(text: &str, issuer: Value, server: Vec<(String, Value)>, top: Vec<(&'static str, Value)>) -> Value {
    let mut policy: Value = serde_saphyr::from_str(text).expect("the demo's policy is YAML");
    policy["issuers"]["corp"] = issuer;
    policy["servers"]["crm"]["issuers"] = json!(["accredit", "corp"]);
    server.into_iter().for_each(|(name, value)| policy["servers"]["crm"][name.as_str()] = value);
    top.into_iter().for_each(|(name, value)| policy[name] = value);
    policy
}

/// The reason a denial gives, with its status.
pub fn denial(reply: &Reply) -> (u16, String) {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_else(|_| panic!("no JSON: {}", reply.text()));
    (reply.status, body["error"]["data"]["reason"].as_str().unwrap_or_default().to_owned())
}
