//! What arrived at the tool server and what ran, as JSON lines: written here, read back by tests.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::{HeaderValue, header, request::Parts};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::Message;
use super::credential::Claims;

/// One line of the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// An HTTP request, whatever came of it.
    Request(Received),
    /// A tool that ran. Its line comes after its request's.
    Execution(Executed),
}

/// An HTTP request as it arrived.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Received {
    /// Unix time in seconds.
    pub time: f64,
    /// Counts from 0; ties an execution to its request.
    pub request: u64,
    pub method: String,
    pub path: String,
    /// As `HTTP/1.1`.
    pub http_version: String,
    /// All names and values, repeated ones too, on HTTP/2 with `:authority`; for `authorization` the value is
    /// `{"scheme", "claims", "sha256"}` with the claims unverified and the digest over the token.
    pub headers: Vec<(String, Value)>,
    /// Absent when the request was cut before its end.
    pub body: Option<Body>,
    /// `method` of the JSON-RPC message.
    pub rpc_method: Option<String>,
    /// `params.name` of a `tools/call`.
    pub tool: Option<String>,
    /// Whether a tool ran for it.
    pub executed: bool,
}

/// A body, by its measures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    pub bytes: usize,
    pub sha256: String,
}

impl Received {
    /// All values of the header `name` (lower case), in their order.
    pub fn header(&self, name: &str) -> Vec<&Value> {
        self.headers.iter().filter(|(held, _)| held == name).map(|(_, value)| value).collect()
    }
}

/// A tool that ran, and for whom, by the verified claims.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Executed {
    pub time: f64,
    pub request: u64,
    pub tool: String,
    pub arguments: Map<String, Value>,
    pub client_id: Option<String>,
    pub sub: Option<String>,
    pub jti: Option<String>,
}

/// Reads a log back; an absent file is an empty log.
///
/// # Panics
/// When a line is not one of ours.
pub fn read(path: &Path) -> Vec<Event> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
    text.lines().map(line).collect()
}

/// The writing end.
pub(super) struct Log {
    file: Arc<Mutex<File>>,
    next: AtomicU64,
}

impl Log {
    pub(super) fn create(path: &Path) -> std::io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self { file: Arc::new(Mutex::new(file)), next: AtomicU64::new(0) })
    }

    /// A request whose head has arrived.
    pub(super) fn received(&self, parts: &Parts) -> Entry {
        let authority = parts.uri.authority().into_iter();
        let authority = authority.map(|host| (":authority".to_owned(), Value::from(host.as_str())));
        let headers = parts.headers.iter().map(|(name, value)| shown(name.as_str(), value));
        let line = Received {
            time: now(),
            request: self.next.fetch_add(1, Ordering::Relaxed),
            method: parts.method.to_string(),
            path: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            http_version: format!("{:?}", parts.version),
            headers: authority.chain(headers).collect(),
            body: None,
            rpc_method: None,
            tool: None,
            executed: false,
        };
        Entry { line, written: AtomicBool::new(false), file: self.file.clone() }
    }
}

/// A request whose line is written once, as soon as it is known whether a tool runs for it:
/// always before the answer leaves, so that a client that has its answer finds the line.
pub(super) struct Entry {
    line: Received,
    written: AtomicBool,
    file: Arc<Mutex<File>>,
}

impl Entry {
    /// The request's body has arrived to its end.
    pub(super) fn complete(&mut self, message: &Message, body: &[u8]) {
        self.line.body = Some(Body { bytes: body.len(), sha256: hex(&Sha256::digest(body)) });
        self.line.rpc_method = message.method.clone();
        self.line.tool = message.tool.clone();
    }

    /// Writes the request's line and the execution's, before the tool runs.
    pub(super) fn executed(&self, tool: &str, arguments: &Map<String, Value>, claims: &Claims) {
        self.write(true);
        self.append(&Event::Execution(Executed {
            time: now(),
            request: self.line.request,
            tool: tool.to_owned(),
            arguments: arguments.clone(),
            client_id: claims.client_id.clone(),
            sub: claims.sub.clone(),
            jti: claims.jti.clone(),
        }));
    }

    /// Writes the request's line, unless it is written.
    pub(super) fn not_executed(&self) {
        self.write(false);
    }

    fn write(&self, executed: bool) {
        if !self.written.swap(true, Ordering::Relaxed) {
            self.append(&Event::Request(Received { executed, ..self.line.clone() }));
        }
    }

    fn append(&self, event: &Event) {
        let line = serde_json::to_string(event).expect("an event is plain data");
        let mut file = self.file.lock().unwrap();
        writeln!(file, "{line}").expect("the log file takes a line");
    }
}

/// A request that is cut short, or gets lost inside the SDK, still leaves its line.
impl Drop for Entry {
    fn drop(&mut self) {
        self.not_executed();
    }
}

fn shown(name: &str, value: &HeaderValue) -> (String, Value) {
    let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
    let value = if name == header::AUTHORIZATION { hidden(&text) } else { Value::String(text) };
    (name.to_owned(), value)
}

/// What may be written of a credential: its scheme, its claims, its digest.
fn hidden(text: &str) -> Value {
    let (scheme, token) = text.split_once(' ').unwrap_or(("", text));
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims = claims.and_then(|json| serde_json::from_slice::<Value>(&json).ok());
    json!({ "scheme": scheme, "claims": claims, "sha256": hex(&Sha256::digest(token)) })
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs_f64()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
