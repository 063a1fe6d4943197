//! Mints per second: the broker's, each with its intent on the disk, beside the tokens a plain authorization server issues
//! by client credentials, on the same cores, in turns.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use accredit_policy::Secret;
use accredit_policy::wire::exchange::{self, ToolCall};
use harness::parts::{Format, Oidc, Settings};
use harness::stack::broker::{Broker, SECRET};
use harness::wire::Post;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::Failure;
use crate::row::Tokens;
use crate::token::Mint;
use crate::variant::policy;
use crate::wire::{Peer, body, status};

/// Connections, each with one request under way.
const CONNECTIONS: usize = 32;
/// Turns that count; one more before them warms up.
const TURNS: usize = 5;
/// How long one turn takes.
const TURN: Duration = Duration::from_secs(3);
/// What the broker has to reach, as a multiple of the other's rate.
const BUDGET: f64 = 5.0;

/// The rates of all turns.
pub struct Mints {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

/// Measures, or says why that cannot be.
pub async fn measure(dir: &Path, mint: &Mint) -> Result<Mints, Failure> {
    let broker = broker(dir, mint).await?;
    let settings = Settings::default().client("bench", SECRET).resource(RESOURCE, "crm:read", Format::Jwt, 300);
    let other =
        Oidc::start(dir, &settings.quiet()).await.ok_or("oidc-provider is not installed (hint: scripts/setup)")?;
    let host = |url: &str| url.trim_start_matches("http://").to_owned();
    let (ours, theirs) = (host(&broker.url), host(&other.issuer));
    let exchanges = mint.tokens(Tokens::Unseen(harness::Alg::Es256), CONNECTIONS);
    let exchanges: Vec<_> = exchanges.iter().map(|token| post(&ours, "gateway", form(token).reveal())).collect();
    let issue = vec![post(&theirs, "bench", ISSUE); CONNECTIONS];
    let mut mints = Mints { ours: Vec::new(), theirs: Vec::new() };
    for turn in 0..=TURNS {
        eprintln!("bench: mints, {}", if turn == 0 { "warm-up".into() } else { format!("turn {turn} of {TURNS}") });
        let rates = (run(&ours, &exchanges).await?, run(&theirs, &issue).await?);
        if turn > 0 {
            mints.ours.push(rates.0);
            mints.theirs.push(rates.1);
        }
    }
    Ok(mints)
}

const RESOURCE: &str = "https://gateway.example.com/crm/mcp";

async fn broker(dir: &Path, mint: &Mint) -> Result<Broker, Failure> {
    let dir = dir.join("mints");
    std::fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let mut policy = policy(mint);
    policy["servers"]["crm"]["tools"]["crm_lookup"]["credential"] = json!("crm-api");
    let config = json!({
        "version": 1, "issuer": "URL", "listen": "LISTEN", "data": "data", "policy": "policy.yaml",
        "operators": { "token_file": "secret" },
        "proxies": { "gateway": { "secret_file": "secret" } },
        "credentials": { "crm-api": { "kind": "jwt", "audience": "https://crm.internal" } },
    });
    let url = Broker::files(&dir, &policy, &config);
    Broker::start(&dir, &url).await.map_err(|failure| failure.to_string())
}

/// The proxy's exchange of an agent's token, in the filter's own words.
fn form(token: &str) -> Secret {
    let call = json!({ "type": "tool_call", "server": "crm", "tool": "crm_lookup", "credential": "crm-api" });
    let call: ToolCall = serde_json::from_value(call).expect("it is a call");
    exchange::form(&Secret::new(token), RESOURCE, "crm:read", &call)
}

const ISSUE: &str =
    "grant_type=client_credentials&scope=crm%3Aread&resource=https%3A%2F%2Fgateway.example.com%2Fcrm%2Fmcp";

fn post(host: &str, client: &str, form: &str) -> Vec<u8> {
    let basic = exchange::basic(client, &Secret::new(SECRET));
    let post = Post::new("/token", host).header("authorization", basic.reveal());
    post.header("content-type", "application/x-www-form-urlencoded").body(form.as_bytes())
}

/// Sends one request after the other on each connection for one turn. Out: answers per second.
async fn run(address: &str, requests: &[Vec<u8>]) -> Result<f64, Failure> {
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for request in requests {
        clients.spawn(client(address.to_owned(), request.clone(), start));
    }
    let mut answers = 0;
    while let Some(client) = clients.join_next().await {
        answers += client.map_err(|error| error.to_string())??;
    }
    Ok(f64::from(answers) / start.elapsed().as_secs_f64())
}

async fn client(address: String, request: Vec<u8>, start: Instant) -> Result<u32, Failure> {
    let failed = |error: std::io::Error| format!("{address}: {error}");
    let mut peer = Peer::connect(&address).await.map_err(failed)?;
    let mut answers = 0;
    while start.elapsed() < TURN {
        peer.send(&request).await.map_err(failed)?;
        let reply = peer.message().await.map_err(failed)?;
        if status(reply) != Some(200) {
            return Err(format!("{address} answered {}", String::from_utf8_lossy(body(reply))));
        }
        answers += 1;
    }
    Ok(answers)
}

impl Mints {
    fn share(&self) -> f64 {
        median(&self.ours) / median(&self.theirs)
    }

    pub fn json(&self) -> Value {
        json!({
            "connections": CONNECTIONS,
            "accredit_per_second": self.ours,
            "oidc_provider_per_second": self.theirs,
            "measure": self.share(),
            "budget": BUDGET,
            "met": self.share() >= BUDGET,
        })
    }
}

impl fmt::Display for Mints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.share() >= BUDGET { "met" } else { "MISSED" };
        writeln!(f, "\nmints per second, {CONNECTIONS} connections, medians of {TURNS} turns")?;
        writeln!(f, "  {:<44}{:>9.0}", "accredit, its intent on the disk", median(&self.ours))?;
        writeln!(f, "  {:<44}{:>9.0}", "oidc-provider, client credentials", median(&self.theirs))?;
        writeln!(f, "  accredit reaches {:.2} of oidc-provider, budget {BUDGET}: {verdict}", self.share())
    }
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
