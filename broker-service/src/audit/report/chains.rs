//! Who hands tasks on to whom.

use serde_json::{Value, json};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{About, ROWS, told};
use crate::app::App;
use crate::audit::columns::plain;
use crate::clock;
use crate::store::Statement;

/// The edges of the graph: from whom, to whom, how often a task was taken over, how often called with it, when last.
pub(super) async fn report(app: &App, about: &About) -> Result<Value, sqlx::Error> {
    let mut statement = Statement::new(
        "SELECT link.giver AS giver, link.actor AS actor, MAX(audit.millis) AS last, \
         COUNT(CASE WHEN audit.kind = 'issue' AND audit.decision = 'permit' THEN 1 END) AS taken, \
         COUNT(CASE WHEN audit.kind = 'outcome' AND audit.decision = 'permit' THEN 1 END) AS calls, \
         COUNT(CASE WHEN audit.decision = 'deny' THEN 1 END) AS denied \
         FROM audit_actors link JOIN audit ON audit.seq = link.seq \
         WHERE link.giver IS NOT NULL AND audit.millis >= ",
    );
    statement.bind(clock::signed(about.since()));
    if let Some(agent) = &about.agent {
        statement.push(" AND (link.actor = ").bind(plain(agent)).push(" OR link.giver = ").bind(plain(agent)).push(")");
    }
    statement.push(" GROUP BY link.giver, link.actor ORDER BY calls DESC, taken DESC, link.giver, link.actor LIMIT ");
    statement.bind(i64::try_from(ROWS.saturating_add(1)).unwrap_or(i64::MAX));
    let rows = statement.build()?.fetch_all(app.store.pool()).await?;
    let edges = rows.iter().take(ROWS).map(edge).collect::<Result<Vec<_>, _>>()?;
    Ok(json!({ "since": about.since().rfc3339(), "edges": edges, "truncated": rows.len() > ROWS }))
}

fn edge(row: &AnyRow) -> Result<Value, sqlx::Error> {
    Ok(json!({
        "from": row.try_get::<String, _>("giver")?,
        "to": row.try_get::<String, _>("actor")?,
        "taken": row.try_get::<i64, _>("taken")?,
        "calls": row.try_get::<i64, _>("calls")?,
        "denied": row.try_get::<i64, _>("denied")?,
        "last": told(row.try_get("last")?),
    }))
}
