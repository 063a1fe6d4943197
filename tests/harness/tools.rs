//! The CRM tool server of the demo and the end-to-end tests: a real MCP server that knows nothing of Accredit.
//!
//! In: MCP over streamable HTTP at `/mcp`, any revision the official SDK speaks, legacy and modern.
//! Connecting and listing need no credential; each `tools/call` needs a JWT that carries the tool's
//! scope (see [`credential`]). Out: the tool's result, or 401/403/503, and one log line per request
//! and per execution (see [`log`]), so that a test can prove what arrived and what ran.

pub mod credential;
mod crm;
pub mod log;

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use rmcp::transport::streamable_http_server::{StreamableHttpService, session::local::LocalSessionManager};
use serde_json::Value;
use tokio::net::TcpListener;

use credential::{Claims, Refusal, Verifier};
use crm::Crm;
use log::{Entry, Log};

/// The MCP endpoint's body cap is 4 MiB; a little more lets the SDK answer for itself.
const BODY: usize = 8 << 20;

/// What each tool asks of the credential.
pub const SCOPES: [(&str, &str); 3] =
    [("crm_lookup", "crm:read"), ("crm_update", "crm:write"), ("crm_delete", "crm:admin")];

/// The server as an axum application: `/mcp`, and `/healthz` which is not logged.
///
/// # Errors
/// When the log file cannot be created.
pub fn app(verifier: Verifier, log: &Path) -> std::io::Result<Router> {
    let desk = Arc::new(Desk { verifier, log: Log::create(log)? });
    let crm = Crm::default();
    let mcp = StreamableHttpService::new(
        move || Ok(crm.clone()),
        Arc::new(LocalSessionManager::default()),
        Default::default(),
    );
    Ok(Router::new()
        .route_service("/mcp", mcp)
        .layer(from_fn_with_state(desk, receive))
        .route("/healthz", get(|| async { "ok" })))
}

/// Serves `app` until the process ends.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, app: Router) -> std::io::Result<()> {
    // Nagle's algorithm and delayed acknowledgements add 40 ms to an event on HTTP/2.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, app).await
}

/// Where every request is written down and every credential is looked at.
struct Desk {
    verifier: Verifier,
    log: Log,
}

/// What the tool handler needs to know of the HTTP request it runs for.
#[derive(Clone)]
struct Call {
    entry: Arc<Entry>,
    credential: Result<Claims, Refusal>,
}

/// Logs the request, refuses a call without a sufficient credential, and hands the rest to the SDK.
async fn receive(State(desk): State<Arc<Desk>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let mut entry = desk.log.received(&parts);
    let Ok(body) = to_bytes(body, BODY).await else {
        return (StatusCode::BAD_REQUEST, "the body is cut short or too large").into_response();
    };
    let message = Message::read(&body);
    entry.complete(&message, &body);
    let entry = Arc::new(entry);

    let credential = if message.is_call() {
        desk.verifier.verify(&parts.headers).await
    } else {
        entry.not_executed();
        Err(Refusal::Missing)
    };
    if message.is_call()
        && let Err(refusal) = permits(&credential, message.tool.as_deref().unwrap_or_default())
    {
        entry.not_executed();
        return refusal.into_response();
    }

    parts.extensions.insert(Call { entry: entry.clone(), credential });
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    if !response.status().is_success() {
        entry.not_executed();
    }
    response
}

/// The credential carries the scope of `tool`. A tool nobody knows needs none: the SDK refuses it.
fn permits(credential: &Result<Claims, Refusal>, tool: &str) -> Result<(), Refusal> {
    let claims = credential.as_ref().map_err(Clone::clone)?;
    match SCOPES.iter().find(|(name, _)| *name == tool) {
        Some((_, scope)) if !claims.holds(scope) => Err(Refusal::Scope(scope)),
        _ => Ok(()),
    }
}

/// The two members of a JSON-RPC message that the log and the credential check read.
#[derive(Default)]
struct Message {
    method: Option<String>,
    tool: Option<String>,
}

impl Message {
    fn read(body: &[u8]) -> Self {
        let Ok(json) = serde_json::from_slice::<Value>(body) else { return Self::default() };
        let text = |pointer| json.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let method = text("/method");
        let tool = text("/params/name").filter(|_| method.as_deref() == Some("tools/call"));
        Self { method, tool }
    }

    fn is_call(&self) -> bool {
        self.method.as_deref() == Some("tools/call")
    }
}
