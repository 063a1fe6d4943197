//! Revocation: from the answer to the operator's command to the first refusal by the last worker.
//!
//! Each run revokes another agent, which calls all the while over many connections, enough for each worker to have some.
//! What counts is the connection that is refused last.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use harness::stack::broker::SECRET;
use harness::wire::Post;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::Failure;
use crate::audit::Audit;
use crate::envoy::{Envoy, Site};
use crate::load::requests;
use crate::row::{Asks, Tokens};
use crate::stub;
use crate::token::Mint;
use crate::variant::{ACCREDIT, VARIANTS};
use crate::wire::{Peer, body, status};

/// How often each is measured.
const RUNS: usize = 200;
/// Connections to each worker, on average: the chance that one has none is one in three thousand.
const PER_WORKER: usize = 8;
/// Between two calls on one connection: how exact the result is.
const PAUSE: Duration = Duration::from_millis(4);
/// How long one revocation may take before something must be wrong.
const PATIENCE: Duration = Duration::from_secs(10);
/// Clients that call all the while under load, and how long each rests between calls: 2000 calls a second.
const CALLERS: (usize, Duration) = (8, Duration::from_millis(4));
/// What a revocation may take at p99, in milliseconds.
const BUDGET: f64 = 1000.0;

/// So many Envoys of so many workers.
struct Fleet {
    name: &'static str,
    envoys: usize,
    workers: usize,
    loaded: bool,
}

static FLEETS: [Fleet; 4] = [
    Fleet { name: "one Envoy of 4 workers, idle", envoys: 1, workers: 4, loaded: false },
    Fleet { name: "one Envoy of 4 workers, under load", envoys: 1, workers: 4, loaded: true },
    Fleet { name: "3 Envoys of 2 workers, idle", envoys: 3, workers: 2, loaded: false },
    Fleet { name: "3 Envoys of 2 workers, under load", envoys: 3, workers: 2, loaded: true },
];

/// What was measured of each fleet, in milliseconds, shortest first.
pub struct Revoked(Vec<(&'static str, Vec<f64>)>);

/// Measures all fleets.
pub async fn measure(dir: &Path, mint: &Mint) -> Result<Revoked, Failure> {
    let mut revoked = Vec::new();
    for (number, fleet) in FLEETS.iter().enumerate() {
        eprintln!("bench: revoked, {}", fleet.name);
        let dir = dir.join(format!("revoked-{number}"));
        revoked.push((fleet.name, fleet.measure(&dir, mint).await?));
    }
    Ok(Revoked(revoked))
}

impl Fleet {
    async fn measure(&self, dir: &Path, mint: &Mint) -> Result<Vec<f64>, Failure> {
        let audit = Audit::start(dir, mint).await?;
        let backend = stub::start().await?;
        let variant = VARIANTS.iter().find(|variant| variant.name == ACCREDIT).ok_or("there is no such variant")?;
        let mut envoys = Vec::new();
        for number in 0..self.envoys {
            let site = Site { dir: &dir.join(number.to_string()), backend, broker: audit.port(), mint };
            envoys.push(Envoy::start(variant, &site, self.workers).await?);
        }
        let gateways: Vec<_> = envoys.iter().map(|envoy| envoy.address.clone()).collect();
        // Aborted when it is dropped.
        let _load = if self.loaded { load(&gateways, mint) } else { JoinSet::new() };
        let mut times = Vec::new();
        for run in 0..RUNS {
            let time = timeout(PATIENCE, self.run(&gateways, &audit, mint, run)).await;
            times.push(time.map_err(|_| format!("not refused after {PATIENCE:?}"))??.as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        Ok(times)
    }

    /// One revocation. Out: when the last worker refused, counted from the answer to the command.
    async fn run(&self, gateways: &[String], audit: &Audit, mint: &Mint, run: usize) -> Result<Duration, Failure> {
        let agent = format!("agent-{run}");
        let call = requests(&[mint.agent(&agent)], Asks::Call(0)).first().cloned().unwrap_or_default();
        let mut callers = JoinSet::new();
        for gateway in gateways {
            for _ in 0..PER_WORKER * self.workers {
                let mut caller = Peer::connect(gateway).await.map_err(|error| error.to_string())?;
                if !passes(&mut caller, &call).await? {
                    return Err("a call was refused before anything was revoked".into());
                }
                callers.spawn(until_refused(caller, call.clone()));
            }
        }
        revoke(audit.address(), &agent).await?;
        let answered = Instant::now();
        let mut last = answered;
        while let Some(refused) = callers.join_next().await {
            last = last.max(refused.map_err(|error| error.to_string())??);
        }
        Ok(last - answered)
    }
}

async fn until_refused(mut caller: Peer, call: Vec<u8>) -> Result<Instant, Failure> {
    while passes(&mut caller, &call).await? {
        sleep(PAUSE).await;
    }
    Ok(Instant::now())
}

/// Whether the call was answered; `Ok(false)` when it was refused, or broken off under way.
async fn passes(caller: &mut Peer, call: &[u8]) -> Result<bool, Failure> {
    if caller.send(call).await.is_err() {
        return Ok(false);
    }
    match caller.message().await.ok().map(|reply| (status(reply), body(reply))) {
        Some((Some(200), _)) => Ok(true),
        Some((Some(401), _)) | None => Ok(false),
        Some((_, body)) => Err(format!("found {}", String::from_utf8_lossy(body))),
    }
}

async fn revoke(broker: &str, agent: &str) -> Result<(), Failure> {
    let target = json!({ "kind": "agent", "issuer": "https://idp.example.test", "id": agent });
    let post = Post::new("/v1/revocations", broker).header("authorization", format!("Bearer {SECRET}"));
    let post = post.header("content-type", "application/json");
    let failed = |error: std::io::Error| format!("nothing was revoked: {error}");
    let mut peer = Peer::connect(broker).await.map_err(failed)?;
    peer.send(&post.body(json!({ "target": target }).to_string().as_bytes())).await.map_err(failed)?;
    let reply = peer.message().await.map_err(failed)?;
    match status(reply) {
        Some(201) => Ok(()),
        _ => Err(format!("nothing was revoked: {}", String::from_utf8_lossy(body(reply)))),
    }
}

/// Clients that call all the while, spread over the gateways.
fn load(gateways: &[String], mint: &Mint) -> JoinSet<Result<(), Failure>> {
    let tokens = mint.tokens(Tokens::Seen(harness::Alg::Rs256), 1);
    let call = requests(&tokens, Asks::Call(0)).first().cloned().unwrap_or_default();
    let mut load = JoinSet::new();
    for gateway in gateways.iter().cycle().take(CALLERS.0) {
        let (gateway, call) = (gateway.clone(), call.clone());
        load.spawn(async move {
            let mut peer = Peer::connect(&gateway).await.map_err(|error| error.to_string())?;
            while passes(&mut peer, &call).await? {
                sleep(CALLERS.1).await;
            }
            Err("nobody has revoked this agent".into())
        });
    }
    load
}

impl Revoked {
    pub fn json(&self) -> Value {
        let fleet = |(name, times): &(&str, Vec<f64>)| {
            json!({
                "name": name,
                "p50_ms": percentile(times, 50),
                "p99_ms": percentile(times, 99),
                "most_ms": times.last(),
                "budget_ms": BUDGET,
                "met": percentile(times, 99) <= BUDGET,
            })
        };
        self.0.iter().map(fleet).collect()
    }
}

impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:<44}{:>9}{:>9}{:>9}", "revoked to refused by the last worker, ms", "p50", "p99", "most")?;
        for (name, times) in &self.0 {
            let (p50, p99) = (percentile(times, 50), percentile(times, 99));
            let most = times.last().copied().unwrap_or(f64::NAN);
            let verdict = if p99 <= BUDGET { "met" } else { "MISSED" };
            writeln!(f, "  {name:<42}{p50:>9.1}{p99:>9.1}{most:>9.1}  budget {BUDGET:.0}: {verdict}")?;
        }
        writeln!(f, "  {RUNS} runs each, exact to {} ms", PAUSE.as_millis())
    }
}

fn percentile(times: &[f64], percent: usize) -> f64 {
    times.get(times.len() * percent / 100).copied().unwrap_or(f64::NAN)
}
