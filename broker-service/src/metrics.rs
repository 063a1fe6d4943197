//! `GET /metrics`: what the broker has done and how it is. It names nobody, and so needs no token.
//!
//! The form is that of [OpenMetrics 1.0](https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md).

use std::fmt;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};
use sqlx::Row as _;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::app::App;
use crate::error::ApiError;
use crate::lease::end::Why;

/// The content type of what is answered.
const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How long the database may take to count.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long a count of leases is good.
const FRESH: Duration = Duration::from_secs(1);

/// Bounds of the time a commit takes, in seconds.
const COMMIT: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    records: Counter,
    duplicates: Counter,
    batches: Counter,
    commit: Histogram,
    refused: Counter,
    up: Gauge,
    queue: Gauge,
    mints: Family<Mint, Counter>,
    tokens: Family<Token, Counter>,
    leases: Family<Lease, Gauge>,
    /// When leases were counted last.
    counted: Mutex<Option<Instant>>,
    ended: Family<End, Counter>,
    revocations: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Metrics")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Mint {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Token {
    grant: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Lease {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct End {
    reason: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("accredit");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Which broker this is", build);
        Self {
            records: add(&mut registry, "audit_records", "Records that were appended", Counter::default()),
            duplicates: add(&mut registry, "audit_duplicates", "Records that were there already", Counter::default()),
            batches: add(&mut registry, "audit_batches", "Commits that appended records", Counter::default()),
            commit: add(&mut registry, "audit_commit_seconds", "How long commits took", Histogram::new(COMMIT)),
            refused: add(&mut registry, "store_refused", "Writes the store did not take", Counter::default()),
            up: add(&mut registry, "store_up", "Whether the last write reached the disk", Gauge::default()),
            queue: add(&mut registry, "store_queue", "Writes that wait for the writer", Gauge::default()),
            mints: add(&mut registry, "mints", "Credentials asked for, by kind and outcome", Family::default()),
            tokens: add(&mut registry, "tokens", "Tokens asked for, by grant and outcome", Family::default()),
            leases: add(&mut registry, "leases", "Leases that have not ended, by state", Family::default()),
            counted: Mutex::default(),
            ended: add(&mut registry, "leases_ended", "Leases this replica has ended, by reason", Family::default()),
            revocations: add(&mut registry, "revocations", "Revocations that stand", Gauge::default()),
            registry,
        }
    }
}

/// Registers a metric and keeps a hand on it.
fn add<M: EncodeMetric + Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

impl Metrics {
    /// A commit has reached the disk after so long, with so many of `given` records that were new.
    pub fn committed(&self, given: u64, new: u64, took: Duration) {
        self.up.set(1);
        if given > 0 {
            self.records.inc_by(new);
            self.duplicates.inc_by(given.saturating_sub(new));
            self.batches.inc();
            self.commit.observe(took.as_secs_f64());
        }
    }

    /// So many writes were not taken.
    pub fn failed(&self, writes: usize) {
        self.up.set(0);
        self.refused.inc_by(u64::try_from(writes).unwrap_or(u64::MAX));
    }

    /// A credential was asked for.
    pub fn mint<T>(&self, kind: &'static str, outcome: &Result<T, ApiError>) {
        let outcome = self::outcome(outcome);
        self.mints.get_or_create(&Mint { kind, outcome }).inc();
    }

    /// A token was asked for.
    pub fn token<T>(&self, grant: &'static str, outcome: &Result<T, ApiError>) {
        let outcome = self::outcome(outcome);
        self.tokens.get_or_create(&Token { grant, outcome }).inc();
    }

    /// A lease has ended.
    pub fn ended(&self, why: Why) {
        self.ended.get_or_create(&End { reason: why.name() }).inc();
    }
}

/// `granted`, or the error's code.
fn outcome<T>(outcome: &Result<T, ApiError>) -> &'static str {
    outcome.as_ref().map_or_else(|error| error.code.name(), |_| "granted")
}

/// Answers a scrape. What has to be asked of the store is left as it was when that does not answer.
pub async fn answer(State(app): State<App>) -> Response {
    let metrics = app.store.metrics();
    metrics.queue.set(signed(app.store.waiting()));
    metrics.revocations.set(signed(app.store.revoked(|revoked| revoked.len())));
    // A scraper gives up before the pool does, and what is wrong is in the rest of it.
    match timeout(PATIENCE, count(&app, metrics)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!("leases were not counted: {error}"),
        Err(_) => tracing::warn!("leases were not counted: the database does not answer"),
    }
    let mut text = String::new();
    match encode(&mut text, &metrics.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, TYPE)], text).into_response(),
        Err(error) => ApiError::unavailable(error).into_response(),
    }
}

/// Counts leases, which anybody can ask for: a count is kept for a while, and one at a time is made.
async fn count(app: &App, metrics: &Metrics) -> Result<(), sqlx::Error> {
    let mut last = metrics.counted.lock().await;
    if last.is_some_and(|last| last.elapsed() < FRESH) {
        return Ok(());
    }
    let query = "SELECT state, COUNT(*) AS many FROM leases WHERE state IN ('open', 'live') GROUP BY state";
    let rows = sqlx::query(query).fetch_all(app.store.pool()).await?;
    let counted: Vec<(String, i64)> =
        rows.iter().map(|row| Ok((row.try_get("state")?, row.try_get("many")?))).collect::<Result<_, sqlx::Error>>()?;
    for state in ["open", "live"] {
        let many = counted.iter().find(|(name, _)| name == state).map_or(0, |(_, many)| *many);
        metrics.leases.get_or_create(&Lease { state }).set(many);
    }
    *last = Some(Instant::now());
    Ok(())
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
