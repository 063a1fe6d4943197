//! `/v1/leases`: what is out there, and how operators take it back.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::end::{Why, take_back};
use crate::admin;
use crate::app::App;
use crate::clock;
use crate::credential::Ended;
use crate::error::{ApiError, Code};
use crate::operator::Operator;
use crate::store::Statement;

/// What an operator looks for; everything given has to match.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    agent: Option<String>,
    subject: Option<String>,
    server: Option<String>,
    credential: Option<String>,
    state: Option<String>,
    /// Only leases whose identifier is greater.
    after: Option<String>,
    /// At most so many, the oldest first; 100 unless given, at most 1000.
    limit: Option<i64>,
}

/// `GET /v1/leases`: the leases that match, and the identifier to go on after.
pub async fn list(
    State(app): State<App>,
    _: Operator,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let Query(filter) =
        filter.map_err(|error| ApiError::new(Code::InvalidRequest, "unknown or wrong filter").because(error))?;
    let mut statement = Statement::new("SELECT * FROM leases WHERE id > ");
    statement.bind(filter.after.clone().unwrap_or_default());
    let equals = [
        ("agent", &filter.agent),
        ("subject", &filter.subject),
        ("server", &filter.server),
        ("credential", &filter.credential),
        ("state", &filter.state),
    ];
    for (column, value) in equals.into_iter().filter_map(|(column, value)| Some((column, value.as_ref()?))) {
        statement.push(" AND ").push(column).push(" = ").bind(value.clone());
    }
    statement.push(" ORDER BY id LIMIT ").bind(filter.limit.unwrap_or(100).clamp(1, 1000));
    let rows = statement.build()?.fetch_all(app.store.pool()).await?;
    let leases = rows.iter().map(show).collect::<Result<Vec<_>, _>>()?;
    let after = leases.last().and_then(|lease| lease["id"].as_str()).map(str::to_owned).or(filter.after);
    Ok(Json(json!({ "leases": leases, "after": after })))
}

/// `DELETE /v1/leases/{id}`: ends it at its target.
pub async fn revoke(
    State(app): State<App>,
    operator: Operator,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let query = sqlx::query("SELECT * FROM leases WHERE id = $1").bind(&id);
    if query.fetch_optional(app.store.pool()).await?.is_none() {
        return Err(ApiError::new(Code::NotFound, "no such lease"));
    }
    app.store.append(vec![admin::record(&app, &operator, "lease.revoke", &id)?]).await?;
    let ended = take_back(&app, &id, Why::Operator).await.map_err(ApiError::unavailable)?;
    let word = match ended {
        Some(Ended::Revoked) => "revoked",
        Some(Ended::Expires) => "expires",
        None if over(&app, &id).await? => "ended",
        // Another attempt is under way, or rests after a failure.
        None => "pending",
    };
    Ok(Json(json!({ "id": id, "outcome": word })))
}

async fn over(app: &App, id: &str) -> Result<bool, sqlx::Error> {
    let query = sqlx::query_scalar("SELECT state FROM leases WHERE id = $1").bind(id);
    let state: Option<String> = query.fetch_optional(app.store.pool()).await?;
    Ok(state.is_none_or(|state| state == "ended"))
}

fn show(row: &AnyRow) -> Result<Value, sqlx::Error> {
    let text = |name| row.try_get::<String, _>(name);
    let moment = |name| row.try_get::<i64, _>(name).map(|time| clock::unsigned(time).rfc3339());
    let ended: Option<i64> = row.try_get("ended")?;
    Ok(json!({
        "id": text("id")?,
        "credential": text("credential")?,
        "kind": text("kind")?,
        "agent": { "issuer": text("issuer")?, "id": text("agent")? },
        "subject": text("subject")?,
        "server": text("server")?,
        "tool": text("tool")?,
        "scope": text("scope")?,
        "issued": moment("issued")?,
        "expires": moment("expires")?,
        "state": text("state")?,
        "ended": ended.map(|time| clock::unsigned(time).rfc3339()),
        "reason": row.try_get::<Option<String>, _>("reason")?,
        "failures": row.try_get::<i64, _>("failures")?,
    }))
}
