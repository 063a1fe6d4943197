//! A closed loop: so many connections, each of which sends its next request when the last was answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use harness::wire::Post;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::row::Asks;
use crate::stub::EVENTS;
use crate::wire::{Peer, body, last, status};
use crate::{CONNECTIONS, Failure};

/// How long a cell may take before something must be wrong.
const PATIENCE: Duration = Duration::from_secs(120);

/// Requests, all of which have to be answered with one status.
pub struct Load {
    pub requests: Arc<[Vec<u8>]>,
    pub status: u16,
    pub asks: Asks,
}

/// How the requests of one load fared.
pub struct Timing {
    pub elapsed: Duration,
    /// From the first byte sent to the last byte read, or to the first event; shortest first.
    pub latencies: Vec<Duration>,
}

impl Timing {
    /// Requests per second.
    pub fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// What `percent` of the requests did not exceed, in microseconds.
    pub fn latency(&self, percent: usize) -> f64 {
        let at = self.latencies.len() * percent / 100;
        self.latencies.get(at).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
    }
}

/// What `row` asks for, with each of these tokens.
pub fn requests(tokens: &[String], asks: Asks) -> Arc<[Vec<u8>]> {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let (method, name, params) = match asks {
        Asks::Call(0) => ("tools/call", Some("crm_lookup"), arguments(json!({ "id": "1001" }))),
        Asks::Call(size) => ("tools/call", Some("crm_lookup"), arguments(json!({ "text": text(size) }))),
        Asks::Events => ("tools/call", Some("crm_lookup"), arguments(json!({ "id": EVENTS }))),
        Asks::List => ("tools/list", None, json!({})),
    };
    let mut params = params;
    params["_meta"] = meta;
    let body = json!({ "jsonrpc": "2.0", "id": "c-1", "method": method, "params": params }).to_string();
    let call = |token: &String| {
        let call = Post::new("/crm/mcp", "gateway.example.com")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            // Envoy's `mcp` filter wants both.
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", method);
        name.into_iter().fold(call, |call, name| call.header("mcp-name", name)).body(body.as_bytes())
    };
    tokens.iter().map(call).collect()
}

fn arguments(arguments: Value) -> Value {
    json!({ "name": "crm_lookup", "arguments": arguments })
}

/// So many bytes of text, every so often something that has to be escaped.
fn text(size: usize) -> String {
    "a call can hold a whole document, with \"quotes\" and\nlines ".chars().cycle().take(size * 15 / 16).collect()
}

impl Load {
    /// Sends all of it to `address`.
    pub async fn run(self, address: &str) -> Result<Timing, Failure> {
        let start = Instant::now();
        let sent = timeout(PATIENCE, self.share(address)).await;
        let mut latencies = sent.map_err(|_| format!("not done after {PATIENCE:?}"))??;
        let elapsed = start.elapsed();
        latencies.sort_unstable();
        Ok(Timing { elapsed, latencies })
    }

    async fn share(self, address: &str) -> Result<Vec<Duration>, Failure> {
        let next = Arc::new(AtomicUsize::new(0));
        let mut clients = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let client = Client { address: address.into(), status: self.status, events: self.asks == Asks::Events };
            clients.spawn(client.send(Arc::clone(&self.requests), Arc::clone(&next)));
        }
        let mut latencies = Vec::with_capacity(self.requests.len());
        while let Some(client) = clients.join_next().await {
            latencies.extend(client.map_err(|error| error.to_string())??);
        }
        Ok(latencies)
    }
}

/// One of those that send at the same time.
struct Client {
    address: String,
    status: u16,
    events: bool,
}

impl Client {
    /// Sends what is next until nothing is left. Out: how long each took.
    async fn send(self, requests: Arc<[Vec<u8>]>, next: Arc<AtomicUsize>) -> Result<Vec<Duration>, Failure> {
        let mut latencies = Vec::with_capacity(requests.len());
        let mut peer = self.connect().await?;
        while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
            let start = Instant::now();
            peer.send(request).await.map_err(|error| format!("cannot send: {error}"))?;
            if self.events {
                peer.holds(b"data:").await.map_err(|error| format!("no event: {error}"))?;
            }
            let first = start.elapsed();
            let reply = peer.message().await.map_err(|error| format!("no answer: {error}"))?;
            latencies.push(if self.events { first } else { start.elapsed() });
            self.check(reply)?;
            if last(reply) {
                peer = self.connect().await?;
            }
        }
        Ok(latencies)
    }

    async fn connect(&self) -> Result<Peer, Failure> {
        Peer::connect(&self.address).await.map_err(|error| format!("no connection: {error}"))
    }

    fn check(&self, reply: &[u8]) -> Result<(), Failure> {
        let (found, expected) = (status(reply).unwrap_or_default(), self.status);
        if found == expected {
            return Ok(());
        }
        Err(format!("found status {found}, expected is {expected}: {}", String::from_utf8_lossy(body(reply))))
    }
}
