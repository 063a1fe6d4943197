//! An ordinary agent: an OAuth client with an MCP client, both off the shelf and ignorant of Accredit.

mod error;

use std::time::Duration;

use reqwest::Client;
use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, Implementation, ProtocolVersion,
};
use rmcp::service::RunningService;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientLifecycleMode, ClientServiceExt, RoleClient};
use serde_json::Value;

pub use error::CallError;
use error::chain;

/// How long anything may take: a test that hangs says nothing.
const PATIENCE: Duration = Duration::from_secs(20);

/// An OAuth client's registration at the broker.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The broker's base URL.
    pub broker: String,
    pub id: String,
    pub secret: String,
}

impl Credentials {
    /// A token by client credentials (RFC 6749 §4.4) for one resource (RFC 8707).
    ///
    /// # Errors
    /// The broker's refusal.
    pub async fn token(&self, scope: &str, resource: &str) -> Result<String, Refused> {
        let form = [("grant_type", "client_credentials"), ("scope", scope), ("resource", resource)];
        let grant = self.grant(&form).await?;
        Ok(grant["access_token"].as_str().expect("a grant holds `access_token`").to_owned())
    }

    /// Any request to the token endpoint, authenticated with HTTP Basic. Out: the whole answer.
    ///
    /// # Errors
    /// The broker's refusal; status 0 when there was no answer.
    pub async fn grant(&self, form: &[(&str, &str)]) -> Result<Value, Refused> {
        let request = http(Http::One).post(format!("{}/token", self.broker));
        let request = request.basic_auth(&self.id, Some(&self.secret)).form(form).timeout(PATIENCE);
        let answer = request.send().await.map_err(|error| Refused::unheard(&error))?;
        let status = answer.status();
        let body: Value = answer.json().await.map_err(|error| Refused::unheard(&error))?;
        if status.is_success() { Ok(body) } else { Err(Refused { status: status.as_u16(), body }) }
    }
}

/// The token endpoint's refusal.
#[derive(Debug)]
pub struct Refused {
    pub status: u16,
    /// `error` and `error_description` (RFC 6749 §5.2), or the text of a transport error.
    pub body: Value,
}

impl Refused {
    fn unheard(error: &reqwest::Error) -> Self {
        Self { status: 0, body: Value::String(chain(error)) }
    }
}

/// The HTTP version the agent dials with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    One,
    /// Without TLS, by prior knowledge.
    Two,
}

/// The protocol era the agent speaks.
#[derive(Clone, Debug)]
pub enum Era {
    /// `initialize`, at 2025-11-25 and down to what the server answers.
    Legacy,
    /// `initialize` at this revision.
    Revision(ProtocolVersion),
    /// 2026-07-28: `server/discover`, no session, everything in each request.
    Modern,
    /// The modern era if the server has it, else legacy.
    Auto,
}

/// How an agent is to connect; see [`Agent::dial`].
pub struct Dial {
    url: String,
    token: Option<String>,
    http: Http,
    era: Era,
}

impl Dial {
    /// Sends `token` as bearer with every request.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    pub fn http(mut self, http: Http) -> Self {
        self.http = http;
        self
    }

    pub fn era(mut self, era: Era) -> Self {
        self.era = era;
        self
    }

    /// # Errors
    /// What the gateway or the server answered instead of a handshake.
    pub async fn connect(self) -> Result<Agent, CallError> {
        let (transport, client, lifecycle) = self.parts();
        let service = bounded(client.serve_with_lifecycle(transport, lifecycle)).await?;
        Ok(Agent { service: service? })
    }

    /// What the SDK takes to connect so, for a client that also hears what the server asks and tells.
    pub(crate) fn parts(self) -> (StreamableHttpClientTransport<Client>, ClientConfig, ClientLifecycleMode) {
        let mut config = StreamableHttpClientTransportConfig::with_uri(self.url);
        config.auth_header = self.token;
        let transport = StreamableHttpClientTransport::with_client(http(self.http), config);
        let about = Implementation::new("demo-agent", env!("CARGO_PKG_VERSION"));
        let mut client = ClientConfig::new(ClientCapabilities::default(), about);
        let modern = vec![ProtocolVersion::V_2026_07_28];
        let lifecycle = match self.era {
            Era::Legacy => ClientLifecycleMode::Initialize,
            Era::Revision(revision) => {
                client.protocol_version = revision;
                ClientLifecycleMode::Initialize
            }
            Era::Modern => ClientLifecycleMode::Discover { preferred_versions: modern },
            Era::Auto => ClientLifecycleMode::Auto { preferred_versions: modern, legacy_version: None },
        };
        (transport, client, lifecycle)
    }
}

/// A connected MCP client.
pub struct Agent {
    service: RunningService<RoleClient, ClientConfig>,
}

impl Agent {
    /// Starts from HTTP/1.1, no token, and the modern era where the server has it.
    pub fn dial(url: &str) -> Dial {
        Dial { url: url.to_owned(), token: None, http: Http::One, era: Era::Auto }
    }

    /// Connects with all defaults and a bearer token.
    ///
    /// # Errors
    /// What the gateway or the server answered instead of a handshake.
    pub async fn connect(url: &str, token: &str) -> Result<Self, CallError> {
        Self::dial(url).token(token).connect().await
    }

    /// Calls a tool with an object of arguments. Out: its structured result, else its text.
    ///
    /// # Errors
    /// A refusal on any layer.
    pub async fn call(&self, tool: &str, arguments: Value) -> Result<Value, CallError> {
        let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
        let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        let result = bounded(self.service.call_tool(params)).await??;
        let (failed, value) = (result.is_error == Some(true), value(result));
        if failed { Err(CallError::Tool(value)) } else { Ok(value) }
    }

    /// The names of the tools the server lists, sorted.
    ///
    /// # Errors
    /// A refusal on any layer.
    pub async fn tools(&self) -> Result<Vec<String>, CallError> {
        let tools = bounded(self.service.list_all_tools()).await??;
        let mut names: Vec<_> = tools.into_iter().map(|tool| tool.name.into_owned()).collect();
        names.sort();
        Ok(names)
    }

    /// The revision the handshake settled on.
    pub fn revision(&self) -> String {
        let info = self.service.peer_info().expect("a connected client knows its server");
        info.protocol_version.to_string()
    }

    /// Ends the session, if there is one, and the connection.
    pub async fn close(self) {
        // What the server answers to a goodbye changes nothing.
        let _ = bounded(self.service.cancel()).await;
    }
}

fn value(result: CallToolResult) -> Value {
    let text = |result: CallToolResult| {
        let texts = result.content.iter().filter_map(|block| block.as_text());
        Value::String(texts.map(|text| text.text.as_str()).collect::<Vec<_>>().join("\n"))
    };
    result.structured_content.clone().unwrap_or_else(|| text(result))
}

async fn bounded<T>(work: impl Future<Output = T>) -> Result<T, CallError> {
    let slow = |_| CallError::Broken(format!("no answer within {PATIENCE:?}"));
    tokio::time::timeout(PATIENCE, work).await.map_err(slow)
}

/// A proxy of the environment must not come between the parts on loopback.
fn http(version: Http) -> Client {
    let client = Client::builder().no_proxy();
    let client = match version {
        // The SDK's own default: no idle connections.
        Http::One => client.http1_only().pool_max_idle_per_host(0),
        Http::Two => client.http2_prior_knowledge(),
    };
    client.build().expect("a plain HTTP client builds")
}
