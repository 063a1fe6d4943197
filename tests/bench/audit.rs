//! The broker, and whether it holds every record.

use std::path::Path;
use std::time::{Duration, Instant};

use harness::stack::broker::{Broker, SECRET};
use serde_json::{Value, json};

use crate::Failure;
use crate::token::Mint;
use crate::variant::policy;
use crate::wire::{Peer, body};

/// How long records may be under way: several times the second after which the filter sends what it has.
const PATIENCE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(50);

/// The broker and the number of records it has to hold.
pub struct Audit {
    broker: Broker,
    expected: usize,
}

impl Audit {
    /// Starts the broker.
    pub async fn start(dir: &Path, mint: &Mint) -> Result<Self, Failure> {
        let dir = dir.join("broker");
        std::fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let url = Broker::files(&dir, &policy(mint), &config());
        let broker = Broker::start(&dir, &url).await.map_err(|failure| failure.to_string())?;
        let mut audit = Self { broker, expected: 0 };
        // What tells of its start: the key it has made.
        let failed = |error: std::io::Error| format!("the audit cannot be read: {error}");
        while audit.from(audit.expected + 1).await.map_err(failed)? > 0 {
            audit.expected += 1;
        }
        Ok(audit)
    }

    pub fn port(&self) -> u16 {
        self.address().rsplit(':').next().and_then(|port| port.parse().ok()).expect("it listens on a port")
    }

    /// Waits until the broker holds the records of `more` decisions, and no others.
    pub async fn settle(&mut self, more: usize) -> Result<(), Failure> {
        self.expected += more;
        let start = Instant::now();
        loop {
            match self.from(self.expected).await.map_err(|error| format!("the audit cannot be read: {error}"))? {
                0 if start.elapsed() < PATIENCE => tokio::time::sleep(POLL).await,
                0 => return Err(format!("the broker does not hold {} records after {PATIENCE:?}", self.expected)),
                1 => return Ok(()),
                _ => return Err(format!("the broker holds more than {} records", self.expected)),
            }
        }
    }

    /// Whether there is a record of this number, and another one after it.
    async fn from(&self, number: usize) -> std::io::Result<usize> {
        let after = number - 1;
        let request = format!(
            "GET /v1/audit/events?after={after}&limit=2 HTTP/1.1\r\nhost: broker\r\nauthorization: Bearer {SECRET}\r\n\r\n"
        );
        let mut peer = Peer::connect(self.address()).await?;
        peer.send(request.as_bytes()).await?;
        let answer: Value = serde_json::from_slice(body(peer.message().await?))?;
        Ok(answer["records"].as_array().map_or(0, Vec::len))
    }

    /// Where the broker listens.
    pub fn address(&self) -> &str {
        self.broker.url.trim_start_matches("http://")
    }
}

fn config() -> Value {
    json!({
        "version": 1, "issuer": "URL", "listen": "LISTEN", "data": "data", "policy": "policy.yaml",
        "operators": { "token_file": "secret" },
        "proxies": { "gateway": { "secret_file": "secret" } },
    })
}
