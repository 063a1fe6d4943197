//! Audit records: the proxies deliver them, the operators read them.

pub mod columns;
pub mod export;
pub mod line;
pub mod source;

use accredit_policy::wire::audit::{BATCH, Batch, Kind, Record};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::Row as _;

use crate::app::App;
use crate::error::{ApiError, Code};
use crate::lease::used;
use crate::operator::Operator;
use crate::store::Statement;
use crate::token::client::{Caller, Client, identify};

/// `POST /v1/audit/events`: keeps a proxy's batch; 204 means that it is on the disk.
pub async fn deliver(State(app): State<App>, caller: Caller, body: Bytes) -> Result<StatusCode, ApiError> {
    let Client::Proxy(proxy) = identify(&app, &caller, None).await? else {
        return Err(ApiError::new(Code::AccessDenied, "only proxies deliver records"));
    };
    let Batch { records } = serde_json::from_slice(&body)
        .map_err(|error| ApiError::new(Code::InvalidRequest, "not a batch of audit records").because(error))?;
    if records.len() > BATCH.saturating_add(1) || records.iter().any(|record| !(1..=64).contains(&record.id.len())) {
        return Err(ApiError::new(Code::InvalidRequest, "too many records, or one without an identifier"));
    }
    if records.iter().any(|record| !theirs(record)) {
        return Err(ApiError::new(Code::InvalidRequest, "a record of a kind no proxy writes"));
    }
    let over = used::leases(&app, &records);
    app.store.deliver(records).await?;
    used::follow(&app, proxy, over);
    Ok(StatusCode::NO_CONTENT)
}

/// Whether a proxy may say so: what it has decided and is about to do, what came of it and what was lost. What the broker did
/// only the broker tells, an intent to mint above all.
fn theirs(record: &Record) -> bool {
    let leased = record.credential.as_ref().is_some_and(|credential| credential.lease.is_some());
    let kind = match record.kind {
        Kind::Decision | Kind::Outcome | Kind::Gap => true,
        Kind::Intent => !leased,
        Kind::Admin | Kind::Chain | Kind::Cut | Kind::End | Kind::Issue | Kind::Mint | Kind::Revocation => false,
    };
    kind && record.admin.is_none() && record.heads.is_empty()
}

/// What an operator looks for; everything given has to match.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Only records after this sequence number.
    #[serde(default)]
    after: i64,
    /// At most so many, the oldest first; 100 unless given, at most 1000.
    limit: Option<i64>,
    agent: Option<String>,
    subject: Option<String>,
    server: Option<String>,
    tool: Option<String>,
    kind: Option<String>,
    decision: Option<String>,
    reason: Option<String>,
    request_id: Option<String>,
}

/// `GET /v1/audit/events`: the records that match, and the sequence number to go on after.
pub async fn query(
    State(app): State<App>,
    _: Operator,
    filter: Result<Query<Filter>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let Query(filter) =
        filter.map_err(|error| ApiError::new(Code::InvalidRequest, "unknown or wrong filter").because(error))?;
    // What was told before the question is in the answer.
    app.store.ready().await?;
    let mut statement = Statement::new("SELECT seq, record FROM audit WHERE seq > ");
    statement.bind(filter.after);
    let equals = [
        ("agent", &filter.agent),
        ("subject", &filter.subject),
        ("server", &filter.server),
        ("tool", &filter.tool),
        ("kind", &filter.kind),
        ("decision", &filter.decision),
        ("reason", &filter.reason),
        ("request_id", &filter.request_id),
    ];
    for (column, value) in equals.into_iter().filter_map(|(column, value)| Some((column, value.as_ref()?))) {
        statement.push(" AND ").push(column).push(" = ").bind(value.clone());
    }
    statement.push(" ORDER BY seq LIMIT ").bind(filter.limit.unwrap_or(100).clamp(1, 1000));
    let rows = statement.build()?.fetch_all(app.store.pool()).await?;
    let mut last = filter.after;
    let mut records = Vec::with_capacity(rows.len());
    for row in rows {
        last = row.try_get("seq")?;
        let text: String = row.try_get("record")?;
        records.push(serde_json::from_str::<Value>(&text).map_err(ApiError::unavailable)?);
    }
    Ok(Json(json!({ "records": records, "after": last })))
}
