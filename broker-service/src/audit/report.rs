//! `GET /v1/audit/reports/{name}`: what the audit says all in all. The database counts; no table is read whole.

mod chains;
mod denied;
mod dormant;
mod fix;
mod reach;
mod unused;

use std::time::Duration;

use accredit_policy::Time;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::Value;

use super::filter::moment;
use super::query::wrong;
use crate::app::App;
use crate::clock;
use crate::error::{ApiError, Code};
use crate::operator::Operator;

/// The most rows a report has; more are cut, which it says.
const ROWS: usize = 1000;

/// How far it looks back unless it is told.
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

/// What a report is about.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Only what was told since then.
    #[serde(default, deserialize_with = "moment")]
    since: Option<Time>,
    /// Only this agent.
    agent: Option<String>,
    /// How long is long, for agents that are not seen.
    days: Option<u16>,
}

impl About {
    /// Where it begins: as it says, or a month ago.
    fn since(&self) -> Time {
        self.since.unwrap_or_else(|| ago(MONTH))
    }
}

/// The report of that name.
pub async fn answer(
    State(app): State<App>,
    _: Operator,
    Path(name): Path<String>,
    about: Result<Query<About>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let Query(about) = about.map_err(wrong)?;
    // What was told before the question is in the answer.
    app.store.ready().await?;
    let store = app.store.clone();
    store.read(async move { report(&app, &name, &about).await }).await.map(Json)
}

async fn report(app: &App, name: &str, about: &About) -> Result<Value, ApiError> {
    Ok(match name {
        "chains" => chains::report(app, about).await?,
        "denied" => denied::report(app, about).await?,
        "dormant" => dormant::report(app, about).await?,
        "reach" => reach::report(app, about).await?,
        "unused-scopes" => unused::report(app, about).await?,
        _ => return Err(ApiError::new(Code::NotFound, "no such report")),
    })
}

/// The moment that long ago.
fn ago(span: Duration) -> Time {
    let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    Time::from_millis(clock::now().millis().saturating_sub(span))
}

/// A moment of the database, for people.
fn told(millis: Option<i64>) -> Option<String> {
    millis.map(|millis| clock::unsigned(millis).rfc3339())
}
