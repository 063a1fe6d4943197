//! `/v1/revocations`: operators take things back and give them again; proxies follow what was.

mod ask;
pub mod feed;

use accredit_policy::Time;
use accredit_policy::revocation::{Revocation, Target};
use accredit_policy::wire::audit::{Agent, Kind, Record};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use crate::agents::Status;
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::operator::Operator;
use crate::store::{Change, insert};
use crate::{admin, clock};
use ask::Ask;

/// How many revocations are listed.
const LISTED: i64 = 1000;

/// What operators see: the last revocations, newest first, and whether they still stand.
pub async fn list(app: &App) -> Result<Json<Value>, ApiError> {
    app.store.refresh().await?;
    let query = "SELECT seq, target, before, until, created, by_whom, why FROM revocations WHERE lifts = 0 \
                 ORDER BY seq DESC LIMIT $1";
    let rows = sqlx::query(query).bind(LISTED).fetch_all(app.store.pool()).await?;
    let revocations = rows.iter().map(|row| show(app, row)).collect::<Result<Vec<_>, _>>()?;
    Ok(Json(json!({ "revocations": revocations })))
}

/// `POST /v1/revocations`: from the answer on no broker honours it, and every proxy that can be reached is being told.
pub async fn add(
    State(app): State<App>,
    operator: Operator,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let Ask { target, before, why, notes } = Ask::read(&app, &body).await?;
    let revocation = Revocation { target, before, until: None };
    let seq = change(&app, &operator, revocation.clone(), Turn::Revoke, why).await?;
    let Revocation { target, before, .. } = revocation;
    let before = before.map(|before| Time::from_seconds(before).rfc3339());
    Ok((StatusCode::CREATED, Json(json!({ "seq": seq, "target": target, "before": before, "notes": notes }))))
}

/// `POST /v1/revocations/lift`: what held until it is lifted holds no more. What hits tokens issued before a moment stays.
pub async fn lift(State(app): State<App>, operator: Operator, body: Bytes) -> Result<Json<Value>, ApiError> {
    let Ask { target, before, why, .. } = Ask::read(&app, &body).await?;
    if before.is_some() {
        return Err(ApiError::new(Code::InvalidRequest, "tokens issued before a moment do not come back"));
    }
    let revocation = Revocation { target: target.clone(), before: None, until: None };
    let seq = change(&app, &operator, revocation, Turn::Lift, why).await?;
    Ok(Json(json!({ "seq": seq, "target": target })))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Revoke,
    Lift,
}

/// Writes a change and its record in one transaction. Once it returns the change counts here, and others are told.
async fn change(
    app: &App,
    operator: &Operator,
    revocation: Revocation,
    turn: Turn,
    why: Option<String>,
) -> Result<i64, ApiError> {
    let by = operator.name().to_owned();
    let action = if turn == Turn::Lift { "revocation.lift" } else { "revocation.add" };
    let record = record(app, &revocation, action, &by, why.as_deref())?;
    let change = Change { revocation, lifts: turn == Turn::Lift, by, why };
    let mut transaction = app.store.begin().await?;
    if turn == Turn::Lift {
        liftable(app, &mut transaction, &change.revocation.target).await?;
    }
    let seq = app.store.revoke(&mut transaction, &change).await?;
    insert(&mut transaction, &[&record]).await?;
    transaction.commit().await?;
    app.store.refresh().await?;
    tracing::info!(seq, by = change.by, target = %change.revocation.target, "{action}");
    Ok(seq)
}

/// The record of a revocation by whoever did it, and why.
pub fn record(
    app: &App,
    revocation: &Revocation,
    action: &str,
    by: &str,
    why: Option<&str>,
) -> Result<Record, ApiError> {
    let Revocation { target, before, .. } = revocation;
    let before = before.map(|before| format!(", tokens issued before {}", Time::from_seconds(before).rfc3339()));
    let words = format!("{target}{}", before.unwrap_or_default());
    let (agent, subject) = match target {
        Target::Actor { issuer, id } | Target::Agent { issuer, id } => (Some((issuer, id)), None),
        Target::AgentFor { issuer, id, subject } => (Some((issuer, id)), Some(subject)),
        Target::Subject { subject, .. } => (None, Some(subject)),
        Target::Issuer { .. }
        | Target::Key { .. }
        | Target::Server { .. }
        | Target::Token { .. }
        | Target::Tool { .. } => (None, None),
    };
    let (server, tool) = match target {
        Target::Server { server } => (Some(server), None),
        Target::Tool { server, tool } => (Some(server), Some(tool)),
        _ => (None, None),
    };
    Ok(Record {
        kind: Kind::Revocation,
        agent: agent.map(|(issuer, id)| Agent { issuer: issuer.clone(), id: id.clone() }),
        subject: subject.cloned(),
        server: server.cloned(),
        tool: tool.cloned(),
        ..admin::by(app, by, action, &words, why)?
    })
}

/// Whether what is to be lifted stands, asked where nobody can change it meanwhile. A registered agent that is not active is
/// given back by its registration only: it would be active for the proxies and not for us.
async fn liftable(app: &App, connection: &mut AnyConnection, target: &Target) -> Result<(), ApiError> {
    let own = match target {
        Target::Agent { issuer, id } if issuer == app.issuer.url() => Some(id),
        _ => None,
    };
    let status: Option<String> = match own {
        Some(id) => {
            let query = sqlx::query_scalar("SELECT status FROM agents WHERE id = $1").bind(id);
            query.fetch_optional(&mut *connection).await?
        }
        None => None,
    };
    match status.as_deref().and_then(Status::parse) {
        Some(Status::Suspended) => return Err(ApiError::new(Code::Conflict, "this agent is suspended: resume it")),
        Some(Status::Retired) => return Err(ApiError::new(Code::Conflict, "this agent is retired, for good")),
        Some(Status::Active) | None => {}
    }
    app.store.catch_up(connection).await?;
    match app.store.revoked(|revoked| revoked.stands(target)) {
        true => Ok(()),
        false => Err(ApiError::new(Code::NotFound, "no revocation of this stands")),
    }
}

fn show(app: &App, row: &AnyRow) -> Result<Value, ApiError> {
    let target: String = row.try_get("target")?;
    let target: Target = serde_json::from_str(&target).map_err(ApiError::unavailable)?;
    let (seq, created): (i64, i64) = (row.try_get("seq")?, row.try_get("created")?);
    let (before, until): (Option<i64>, Option<i64>) = (row.try_get("before")?, row.try_get("until")?);
    let stands = before.is_some() || app.store.revoked(|revoked| revoked.stands(&target));
    Ok(json!({
        "seq": seq,
        "target": target,
        "before": before.and_then(|before| before.try_into().ok()).map(|before| Time::from_seconds(before).rfc3339()),
        "until": until.map(|until| clock::unsigned(until).rfc3339()),
        "state": if stands { "stands" } else { "lifted" },
        "created": clock::unsigned(created).rfc3339(),
        "by": row.try_get::<String, _>("by_whom")?,
        "why": row.try_get::<Option<String>, _>("why")?,
    }))
}
