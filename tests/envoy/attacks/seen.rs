//! An upstream that writes down what arrives, and reads it as a careless server does.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::case::{Case, Verdict};

/// Where the demo's route leads.
const PATH: &str = "/mcp";

/// What arrived, by the number of its case.
#[derive(Clone)]
pub struct Upstream {
    port: u16,
    seen: Arc<Mutex<BTreeMap<String, Vec<Arrival>>>>,
}

struct Arrival {
    method: String,
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Upstream {
    pub async fn open() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let upstream = Self { port, seen: Arc::default() };
        let limit = axum::extract::DefaultBodyLimit::max(8 << 20);
        let routes = Router::new().fallback(arrive).layer(limit).with_state(upstream.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        upstream
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Takes up what arrived for a case: nothing, the case as it was sent, or what is wrong with it.
    pub fn found(&self, case: &Case, id: &str) -> Option<Result<(), String>> {
        let arrivals = self.seen.lock().unwrap().remove(id)?;
        Some(match &arrivals[..] {
            [arrival] => arrival.compare(case),
            _ => Err(format!("it arrived {} times", arrivals.len())),
        })
    }

    /// What nobody has asked for.
    pub fn strays(&self) -> Vec<String> {
        self.seen.lock().unwrap().keys().cloned().collect()
    }
}

impl Arrival {
    fn compare(&self, case: &Case) -> Result<(), String> {
        if case.leaks(self.headers.keys().map(header::HeaderName::as_str)) {
            return Err(format!("the upstream saw what is not for it: {:?}", self.headers));
        }
        if self.headers.contains_key(header::UPGRADE) || self.headers.contains_key("http2-settings") {
            return Err("it arrived as an upgrade".into());
        }
        if (self.method.as_str(), self.path.as_str()) != (&case.method, PATH) {
            return Err(format!("it arrived as {} {}", self.method, self.path));
        }
        match &case.verdict {
            Some(Verdict::Permit(method, object)) if self.method == "POST" => {
                if self.body != case.body() {
                    return Err("its body arrived changed".into());
                }
                self.runs(method, object.as_deref())
            }
            Some(Verdict::Permit(..)) => Ok(()),
            // Envoy made something else of it: what arrived has to be what may run.
            _ => self.runs("tools/call", Some("crm_lookup")),
        }
    }

    /// Whether a server that reads the body as it comes would run this.
    fn runs(&self, method: &str, object: Option<&str>) -> Result<(), String> {
        let body: Value = serde_json::from_slice(&self.body).map_err(|error| error.to_string())?;
        let params = &body["params"];
        let named = match method {
            "response" => return Ok(()),
            "tools/call" | "prompts/get" => &params["name"],
            "resources/read" | "resources/subscribe" => &params["uri"],
            "completion/complete" if params["ref"]["type"] == "ref/prompt" => &params["ref"]["name"],
            "completion/complete" => &params["ref"]["uri"],
            _ => &Value::Null,
        };
        // Long names are recorded by their beginning.
        let fits = match (named.as_str(), object) {
            (Some(named), Some(object)) => named == object || (object.len() >= 256 && named.starts_with(object)),
            (named, object) => named == object,
        };
        match fits && body["method"] == method {
            true => Ok(()),
            false => Err(format!("a server would run {} of {named}", body["method"])),
        }
    }
}

async fn arrive(
    State(upstream): State<Upstream>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let id = headers.get("x-case").map_or_else(String::new, |id| String::from_utf8_lossy(id.as_bytes()).into_owned());
    let arrival = Arrival { method: method.to_string(), path: uri.path().to_owned(), headers, body: body.to_vec() };
    upstream.seen.lock().unwrap().entry(id).or_default().push(arrival);
    let nothing = json!({ "tools": [], "prompts": [], "resources": [], "resourceTemplates": [], "content": [] });
    Json(json!({ "jsonrpc": "2.0", "id": 1, "result": nothing })).into_response()
}
