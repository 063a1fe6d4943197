//! The benchmark: what the filter costs Envoy, beside what Envoy's own filters cost it for the same job.
//!
//! One Envoy with one worker runs per [`VARIANTS`], all from `envoy/envoy.yaml`, which differ in their HTTP filters
//! alone. The same requests go to each of them, variant after variant, round after round, and what counts is the CPU
//! time of the Envoy process. The tool server is a stub in this process, the broker is the real one. The answer to every
//! request is checked, and that the audit has its record.
//!
//! | file | what it is |
//! |---|---|
//! | `variant`, `row` | the tables: what is compared, and with which requests |
//! | `native.yaml`, `policy.yaml` | the same rules, for Envoy's filters and for ours |
//! | `round` | the measurement |
//! | `envoy`, `audit`, `stub` | what runs: Envoy, the broker and whether it holds every record, the tool server |
//! | `load`, `wire`, `token` | requests, as fast as they are answered |
//! | `mints` | credentials per second, beside an authorization server |
//! | `revoked` | how long a revoked agent can still call |
//! | `report`, `machine` | what comes out |
//!
//! `BENCH_REQUESTS` is the number of requests per cell: one row, one variant, one round. `BENCH_ROW` leaves out the rows
//! whose name does not hold that text.

mod audit;
mod envoy;
mod load;
mod machine;
mod mints;
mod report;
mod revoked;
mod round;
mod row;
mod stub;
mod token;
mod variant;
mod wire;

use std::path::{Path, PathBuf};

use audit::Audit;
use envoy::{Envoy, Site};
use round::Bench;
use row::{ROWS, Row};
use token::Mint;
use variant::VARIANTS;

/// What went wrong, for the person who started it.
type Failure = String;

/// Requests per cell, unless `BENCH_REQUESTS` says otherwise.
const REQUESTS: usize = 2000;
/// Rounds that count; one more before them warms up.
const ROUNDS: usize = 9;
/// Requests under way at any time.
const CONNECTIONS: usize = 8;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let requests = requests()?;
    let dir = directory()?;
    let mut bench = start(&dir, rows()?, requests).await?;
    let mut rounds = Vec::new();
    let turns = if bench.rows.is_empty() { 0 } else { ROUNDS + 1 };
    for round in 0..turns {
        eprintln!("bench: {}", if round == 0 { "warm-up".into() } else { format!("round {round} of {ROUNDS}") });
        rounds.push(bench.round(round).await?);
    }
    let mints = if asked(MINTS) { Some(mints::measure(&dir, &bench.mint).await?) } else { None };
    let revoked = if asked(REVOKED) { Some(revoked::measure(&dir, &bench.mint).await?) } else { None };
    let report = report::Report::new(&bench.rows, rounds.get(1..).unwrap_or_default(), requests, (mints, revoked));
    let file = dir.join("report.json");
    std::fs::write(&file, format!("{:#}\n", report.json())).map_err(|error| format!("{}: {error}", file.display()))?;
    print!("{report}");
    println!("\nwritten to {}", file.display());
    Ok(())
}

async fn start(dir: &Path, rows: Vec<&'static Row>, requests: usize) -> Result<Bench, Failure> {
    let mint = Mint::default();
    let audit = Audit::start(dir, &mint).await?;
    let site = Site { dir, backend: stub::start().await?, broker: audit.port(), mint: &mint };
    let mut envoys = Vec::new();
    for variant in &VARIANTS {
        envoys.push(Envoy::start(variant, &site, 1).await?);
    }
    Ok(Bench { envoys, audit, mint, rows, requests })
}

fn requests() -> Result<usize, Failure> {
    let Ok(text) = std::env::var("BENCH_REQUESTS") else { return Ok(REQUESTS) };
    let number = text.parse().ok().filter(|number| (100..=100_000).contains(number));
    number.ok_or_else(|| format!("BENCH_REQUESTS: found `{text}`, accepted is a number from 100 to 100000"))
}

fn rows() -> Result<Vec<&'static Row>, Failure> {
    let rows: Vec<_> = ROWS.iter().filter(|row| asked(row.name)).collect();
    if !rows.is_empty() || asked(MINTS) || asked(REVOKED) {
        return Ok(rows);
    }
    let names: Vec<_> =
        ROWS.iter().map(|row| row.name).chain([MINTS, REVOKED]).map(|name| format!("`{name}`")).collect();
    let text = std::env::var("BENCH_ROW").unwrap_or_default();
    Err(format!("BENCH_ROW: found `{text}`, accepted is a part of one of {}", names.join(", ")))
}

/// The rows that are not of requests.
const MINTS: &str = "mints";
const REVOKED: &str = "revoked";

/// Whether `BENCH_ROW` leaves this row in.
fn asked(name: &str) -> bool {
    name.contains(&std::env::var("BENCH_ROW").unwrap_or_default())
}

/// `target/bench`, empty.
fn directory() -> Result<PathBuf, Failure> {
    let dir = PathBuf::from("target/bench");
    std::fs::remove_dir_all(&dir).ok();
    let made = std::fs::create_dir_all(&dir).and_then(|()| dir.canonicalize());
    made.map_err(|error| format!("{}: {error}", dir.display()))
}

#[cfg(test)]
mod tests {
    use harness::stack::{envoy, fresh};

    /// What is measured stays worth measuring: every Envoy starts, and answers and records as it should.
    #[tokio::test]
    async fn every_variant_answers_every_row_as_expected() {
        if !envoy::available("bench") {
            return;
        }
        let mut bench = super::start(&fresh("bench"), super::ROWS.iter().collect(), 16)
            .await
            .unwrap_or_else(|failure| panic!("{failure}"));
        let rows = bench.round(0).await.unwrap_or_else(|failure| panic!("{failure}"));
        assert!(rows.iter().flatten().all(|cell| cell.cpu > 0.0 && cell.timing.latencies.len() == 16));
    }
}
