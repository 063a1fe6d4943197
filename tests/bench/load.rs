//! A closed loop: so many connections, each of which sends its next request when the last was answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use harness::wire::Post;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::wire::{Peer, body, last, status};
use crate::{CONNECTIONS, Failure};

/// How long a cell may take before something must be wrong.
const PATIENCE: Duration = Duration::from_secs(120);

/// Requests, all of which have to be answered with one status.
pub struct Load {
    pub requests: Arc<[Vec<u8>]>,
    pub status: u16,
}

/// How the requests of one load fared.
pub struct Timing {
    pub elapsed: Duration,
    /// From the first byte sent to the last byte read, shortest first.
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

/// A permitted call with each of these tokens.
pub fn calls(tokens: &[String]) -> Arc<[Vec<u8>]> {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({ "name": "crm_lookup", "arguments": { "id": "1001" }, "_meta": meta });
    let body = json!({ "jsonrpc": "2.0", "id": "c-1", "method": "tools/call", "params": params }).to_string();
    let call = |token: &String| {
        Post::new("/crm/mcp", "gateway.example.com")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            // Envoy's `mcp` filter wants both.
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", "crm_lookup")
            .body(body.as_bytes())
    };
    tokens.iter().map(call).collect()
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
            let client = Client { address: address.into(), status: self.status };
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
}

impl Client {
    /// Sends what is next until nothing is left. Out: how long each took.
    async fn send(self, requests: Arc<[Vec<u8>]>, next: Arc<AtomicUsize>) -> Result<Vec<Duration>, Failure> {
        let mut latencies = Vec::with_capacity(requests.len());
        let mut peer = self.connect().await?;
        while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
            let start = Instant::now();
            peer.send(request).await.map_err(|error| format!("cannot send: {error}"))?;
            let reply = peer.message().await.map_err(|error| format!("no answer: {error}"))?;
            latencies.push(start.elapsed());
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
