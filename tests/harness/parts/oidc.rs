//! A foreign authorization server, by makers that never heard of Accredit: panva's oidc-provider.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{find, free_port, setup, tied};
use crate::stack::Process;

/// A running server; it ends when dropped, and with this process at the latest.
pub struct Oidc {
    pub process: Process,
    /// Its issuer identifier, of which its metadata tells the rest.
    pub issuer: String,
    log: PathBuf,
}

/// What a server is to know.
#[derive(Debug)]
pub struct Settings {
    clients: Vec<Value>,
    resources: Value,
    exchange: Value,
    alg: &'static str,
    log: bool,
}

/// What a token is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JWT, which this server can neither introspect nor revoke.
    Jwt,
    /// A random name.
    Opaque,
}

/// A request that the server answered. Never a secret or a token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Request {
    pub path: String,
    pub status: u16,
    /// The OAuth error of the answer.
    pub error: Option<String>,
    /// The client, once it is authenticated or at least known.
    pub client: Option<String>,
    /// The method it is registered with, such as `private_key_jwt`.
    pub auth: Option<String>,
    pub grant: Option<String>,
    pub scope: Option<String>,
    pub resource: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { clients: Vec::new(), resources: json!({}), exchange: Value::Null, alg: "ES256", log: true }
    }
}

impl Settings {
    /// A client with a secret, by HTTP Basic.
    pub fn client(self, id: &str, secret: &str) -> Self {
        self.register(json!({
            "client_id": id, "client_secret": secret, "token_endpoint_auth_method": "client_secret_basic",
        }))
    }

    /// A client that signs assertions with a key of `jwks`; the audience is the issuer or the token endpoint.
    ///
    /// [RFC 7523 §2.2](https://www.rfc-editor.org/rfc/rfc7523#section-2.2)
    pub fn client_with_key(self, id: &str, jwks: &Value) -> Self {
        self.register(json!({ "client_id": id, "jwks": jwks, "token_endpoint_auth_method": "private_key_jwt" }))
    }

    /// A resource that tokens are for, its scopes separated by spaces.
    pub fn resource(mut self, url: &str, scope: &str, format: Format, ttl: u32) -> Self {
        let format = if format == Format::Jwt { "jwt" } else { "opaque" };
        self.resources[url] = json!({ "scope": scope, "format": format, "ttl": ttl });
        self
    }

    /// Whose tokens clients may exchange: of this issuer, for this audience, signed with one of these keys.
    ///
    /// [RFC 8693](https://www.rfc-editor.org/rfc/rfc8693)
    pub fn exchange(mut self, issuer: &str, audience: &str, jwks: &Value) -> Self {
        self.exchange = json!({ "issuer": issuer, "audience": audience, "jwks": jwks });
        self
    }

    /// Signs tokens by RS256 instead of ES256.
    pub fn rsa(mut self) -> Self {
        self.alg = "RS256";
        self
    }

    /// Notes no requests: for measurements.
    pub fn quiet(mut self) -> Self {
        self.log = false;
        self
    }

    fn register(mut self, client: Value) -> Self {
        self.clients.push(client);
        self
    }
}

impl Oidc {
    /// Starts one, its files in `dir`; `None` where it is not installed.
    ///
    /// # Panics
    /// When it does not get ready.
    pub async fn start(dir: &Path, settings: &Settings) -> Option<Self> {
        let modules = find("oidc-provider", "PARTS_NODE_PATH", || setup("node/node_modules"))?;
        let (port, log) = (free_port(), dir.join("oidc.jsonl"));
        let Settings { clients, resources, exchange, alg, log: noted } = settings;
        let told = json!({
            "port": port, "clients": clients, "resources": resources, "exchange": exchange, "alg": alg,
            "log": noted.then_some(&log),
        });
        let file = dir.join("oidc.json");
        fs::write(&file, told.to_string()).expect("the settings can be written");
        let mut command = tied::command(Path::new("node"), "TERM", None);
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("parts/oidc.cjs");
        command.arg(program).arg(file).env("NODE_PATH", modules);
        let issuer = format!("http://127.0.0.1:{port}");
        let process = tied::spawn("oidc", command, dir, Signal::TERM).ready(&format!("{issuer}/jwks")).await;
        let process = process.unwrap_or_else(|failure| panic!("{failure}"));
        Some(Self { process, issuer, log })
    }

    pub fn token_endpoint(&self) -> String {
        format!("{}/token", self.issuer)
    }

    pub fn introspection_endpoint(&self) -> String {
        format!("{}/token/introspection", self.issuer)
    }

    pub fn revocation_endpoint(&self) -> String {
        format!("{}/token/revocation", self.issuer)
    }

    pub fn jwks_uri(&self) -> String {
        format!("{}/jwks", self.issuer)
    }

    /// The requests at `path`, such as `/token`, that it has answered, in order.
    ///
    /// # Panics
    /// When the log holds a line that is not one of ours.
    pub fn requests(&self, path: &str) -> Vec<Request> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let request = |line| serde_json::from_str::<Request>(line).expect("the log holds requests");
        text.lines().map(request).filter(|request| request.path == path).collect()
    }
}
