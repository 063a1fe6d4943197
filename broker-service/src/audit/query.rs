//! `GET /v1/audit/events`: what matches, page by page, or as soon as it is there.

use std::time::Duration;

use accredit_policy::Time;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use futures_util::TryStreamExt as _;
use serde_json::{Value, json};
use sqlx::Row as _;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};

use super::filter::{Filter, Order};
use crate::app::App;
use crate::clock;
use crate::error::{ApiError, Code};
use crate::operator::Operator;

/// The longest wait.
const WAIT: Duration = Duration::from_secs(25);

/// How often is looked for new records while somebody waits.
const PAUSE: Duration = Duration::from_millis(200);

/// How many may wait at one time.
static WAITING: Semaphore = Semaphore::const_new(64);

/// How many bytes of records one page has, beside its last one.
const SIZE: usize = 4 * 1024 * 1024;

/// The records that match, and the sequence number to go on after, or before.
pub async fn answer(
    State(app): State<App>,
    _: Operator,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let Query(mut filter) = filter.map_err(wrong)?;
    // What was told before the question is in the answer.
    app.store.ready().await?;
    // The answer has to come before its own time is over.
    let wait = filter.wait.min(WAIT).min(app.limits.answer.saturating_sub(Duration::from_secs(2)));
    let end = Instant::now().checked_add(wait).unwrap_or_else(Instant::now);
    let _turn = match wait.is_zero() {
        true => None,
        false => Some(
            WAITING
                .try_acquire()
                .map_err(|_| ApiError::new(Code::TooManyRequests(1), "too many wait for records already"))?,
        ),
    };
    loop {
        let (reader, asked) = (app.clone(), filter.clone());
        let page = app.store.read(async move { Page::read(&reader, &asked).await }).await?;
        if !page.records.is_empty() || !news(&app, page.after, end).await? {
            return Ok(Json(page.show()));
        }
        filter.after = page.after;
    }
}

/// What is wrong with a query, for an operator.
pub fn wrong(error: QueryRejection) -> ApiError {
    ApiError::new(Code::InvalidRequest, "unknown or wrong filter").detailed(vec![error.body_text()])
}

/// Waits until there are records after `after`; `false` when there are none until `end`.
async fn news(app: &App, after: i64, end: Instant) -> Result<bool, sqlx::Error> {
    while Instant::now() < end {
        if head(app).await? > after {
            return Ok(true);
        }
        tokio::select! {
            () = sleep(PAUSE) => {}
            () = sleep_until(end) => {}
            () = app.stop.begun() => return Ok(false),
        }
    }
    Ok(false)
}

/// The sequence number of the last record.
pub async fn head(app: &App) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT COALESCE(MAX(seq), 0) FROM audit").fetch_one(app.store.pool()).await
}

/// The sequence number before all that was told since then, by the index of times: what lies before is not looked through.
async fn before(app: &App, since: Time, head: i64) -> Result<i64, sqlx::Error> {
    // Of a bare `MIN(seq)` PostgreSQL thinks that it is soon found from the lowest number on.
    let query = "SELECT COALESCE(MIN(seq + 0) - 1, $1) FROM audit WHERE millis >= $2";
    sqlx::query_scalar(query).bind(head).bind(clock::signed(since)).fetch_one(app.store.pool()).await
}

/// Records that match.
struct Page {
    records: Vec<Value>,
    /// All that matches up to here is told.
    after: i64,
    /// The last one, where the newest comes first.
    before: Option<i64>,
}

impl Page {
    async fn read(app: &App, filter: &Filter) -> Result<Self, ApiError> {
        // Before the page is read: what comes in between is in it, or after this number.
        let head = head(app).await?;
        let after = match filter.since {
            Some(since) => filter.after.max(before(app, since, head).await?),
            None => filter.after,
        };
        let (mut records, mut size, mut last) = (Vec::new(), 0_usize, None);
        let query = filter.statement(after).build()?;
        let mut rows = query.fetch(app.store.pool());
        let mut whole = true;
        while let Some(row) = rows.try_next().await? {
            let (seq, text): (i64, String) = (row.try_get("seq")?, row.try_get("record").unwrap_or_default());
            last = Some(seq);
            size = size.saturating_add(text.len());
            // One that somebody has spoilt hides no other; `verify` says what is wrong with it.
            records.push(serde_json::from_str(&text).unwrap_or_else(|_| json!({ "seq": seq, "unreadable": true })));
            if records.len() >= filter.limit() || size > SIZE {
                whole = false;
                break;
            }
        }
        let newest = filter.order == Order::Newest;
        let seen = if whole || newest { head } else { 0 };
        let told = last.filter(|_| !newest).unwrap_or(filter.after);
        Ok(Self { records, after: seen.max(told), before: last.or(filter.before).filter(|_| newest) })
    }

    fn show(self) -> Value {
        match self.before {
            Some(before) => json!({ "records": self.records, "after": self.after, "before": before }),
            None => json!({ "records": self.records, "after": self.after }),
        }
    }
}
