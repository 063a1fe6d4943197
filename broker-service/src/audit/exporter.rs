//! The audit on its way to an OpenTelemetry collector, over OTLP/HTTP.
//!
//! It reads what is on the disk already, so a collector that is slow, away or hostile costs no record and no caller anything.
//! How far it has come stands in the database: a record goes out at least once, and after a crash at most one batch twice.
//! Of several brokers on one database one exports at a time.

mod collector;
mod cursor;

use std::time::Duration;

use accredit_policy::wire::audit::Record;
use axum::Json;
use axum::extract::State;
use futures_util::TryStreamExt as _;
use serde_json::Value;
use sqlx::{AnyConnection, Row as _};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::otlp;
use super::query::head;
use crate::app::App;
use crate::error::ApiError;
use crate::operator::Operator;

pub use collector::Collector;
use collector::Outcome;
use cursor::Cursor;

/// How often is looked for new records.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest pause after a failure that says nothing of how long.
const LONGEST: Duration = Duration::from_secs(30);

/// How often is told how far it is behind.
const TELL: Duration = Duration::from_secs(60);

/// How many bytes of records one request has, beside its last one.
const SIZE: usize = 1024 * 1024;

/// `GET /v1/audit/exporter`: how far it has come.
pub async fn status(State(app): State<App>, _: Operator) -> Result<Json<Value>, ApiError> {
    Ok(Json(Cursor::show(&app).await?))
}

/// Up to which number the collector has had the records.
pub async fn after(connection: &mut AnyConnection) -> Result<i64, sqlx::Error> {
    Cursor::after(connection).await
}

/// Exports for as long as the process runs.
pub fn follow(app: &App, collector: Option<Collector>) -> Option<JoinHandle<()>> {
    let collector = collector?;
    let size = collector.batch;
    let mut exporter = Exporter { app: app.clone(), collector, size, pause: PAUSE, told: None };
    Some(tokio::spawn(async move {
        exporter.release().await;
        loop {
            let rest = exporter.turn().await.unwrap_or_else(|error| {
                tracing::error!("the audit is not exported: {}", error.internal);
                PAUSE
            });
            tokio::select! {
                () = sleep(rest) => {}
                () = exporter.app.stop.begun() => return exporter.release().await,
            }
        }
    }))
}

struct Exporter {
    app: App,
    collector: Collector,
    /// How many records the next request has: fewer after one that was refused, to find those that are.
    size: usize,
    /// How long the next failure is waited for.
    pause: Duration,
    told: Option<Instant>,
}

/// What goes out at once.
struct Batch {
    records: Vec<Record>,
    /// The sequence number of the last one.
    last: i64,
    /// How many up to there are none.
    unreadable: i64,
}

impl Exporter {
    /// Sends one batch. Out: how long to rest.
    async fn turn(&mut self) -> Result<Duration, ApiError> {
        let head = head(&self.app).await?;
        let Some(cursor) = Cursor::claim(&self.app, head).await? else {
            return Ok(PAUSE);
        };
        self.tell(&cursor, head);
        let Batch { records, last, unreadable } = self.read(cursor.after).await?;
        let count = records.len();
        if records.is_empty() {
            cursor.advance(&self.app, last, unreadable).await?;
            return Ok(Duration::ZERO);
        }
        match self.collector.send(&otlp::request(&records)).await {
            Outcome::Taken(refused) => {
                self.size = self.size.saturating_mul(2).min(self.collector.batch);
                self.pause = PAUSE;
                cursor.advance(&self.app, last, refused.saturating_add(unreadable)).await?;
            }
            Outcome::Later(why, wait) => {
                let rest = wait.unwrap_or(self.pause);
                tracing::warn!(rest = rest.as_secs_f32(), "the audit is not exported for now: {why}");
                self.pause = self.pause.saturating_mul(2).min(LONGEST);
                cursor.hold(&self.app, rest).await?;
                return Ok(rest);
            }
            Outcome::Refused(why) if count > 1 => {
                tracing::warn!(count, "a batch was refused, its halves are tried: {why}");
                self.size = count.checked_div(2).unwrap_or(1).max(1);
            }
            Outcome::Refused(why) => {
                let id = records.first().map(|record| record.id.as_str()).unwrap_or_default();
                tracing::error!(id, "a record was refused for good, and is left out: {why}");
                cursor.advance(&self.app, last, unreadable.saturating_add(1)).await?;
            }
        }
        Ok(Duration::ZERO)
    }

    /// Lets another one go on.
    async fn release(&self) {
        if let Err(error) = Cursor::release(&self.app).await {
            tracing::warn!("the claim to export the audit ends by itself: {error}");
        }
    }

    /// The next records. One that somebody has spoilt stops no other.
    async fn read(&self, after: i64) -> Result<Batch, ApiError> {
        let query = sqlx::query("SELECT seq, record FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2");
        let query = query.bind(after).bind(i64::try_from(self.size).unwrap_or(1));
        let (mut batch, mut size) = (Batch { records: Vec::new(), last: after, unreadable: 0 }, 0_usize);
        let mut rows = query.fetch(self.app.store.pool());
        while let Some(row) = rows.try_next().await? {
            let text: String = row.try_get("record").unwrap_or_default();
            batch.last = row.try_get("seq")?;
            match serde_json::from_str(&text) {
                Ok(record) => batch.records.push(record),
                Err(error) => {
                    tracing::error!(seq = batch.last, "a record cannot be read, and is left out: {error}");
                    batch.unreadable = batch.unreadable.saturating_add(1);
                }
            }
            size = size.saturating_add(text.len());
            if size > SIZE {
                break;
            }
        }
        Ok(batch)
    }

    /// Says how far it is behind, now and then.
    fn tell(&mut self, cursor: &Cursor, head: i64) {
        let (lag, refused) = (head.saturating_sub(cursor.after), cursor.refused);
        if lag > i64::try_from(self.collector.batch).unwrap_or(i64::MAX)
            && self.told.is_none_or(|told| told.elapsed() >= TELL)
        {
            tracing::info!(lag, refused, "exporting the audit");
            self.told = Some(Instant::now());
        }
    }
}
