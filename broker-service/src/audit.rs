//! Audit records: the proxies deliver them, the operators read them.

pub mod actors;
pub mod columns;
pub mod export;
pub mod exporter;
pub mod filter;
pub mod line;
pub mod ocsf;
pub mod otlp;
pub mod query;
pub mod report;
pub mod source;

use accredit_policy::wire::audit::{BATCH, Batch, Kind, Record};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;

use crate::app::App;
use crate::clock;
use crate::error::{ApiError, Code};
use crate::lease::used;
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
    if records.iter().any(|record| clock::parse(&record.time).is_none()) {
        return Err(ApiError::new(Code::InvalidRequest, "a record of no time"));
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
