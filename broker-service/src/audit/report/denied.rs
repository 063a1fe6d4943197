//! What was denied, how often, and the smallest change that would permit it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::fix::{Denied, fix};
use super::{About, ROWS, told};
use crate::agents::registry;
use crate::app::App;
use crate::audit::columns::plain;
use crate::clock;
use crate::error::ApiError;
use crate::store::Statement;

/// Denials by agent, tool, reason and the scopes that were missing; the most frequent first.
pub(super) async fn report(app: &App, about: &About) -> Result<Value, ApiError> {
    let mut statement = Statement::new(
        "SELECT issuer, agent, server, tool, reason, lacked, COUNT(*) AS count, MAX(millis) AS last \
         FROM audit WHERE decision = 'deny' AND reason IS NOT NULL AND millis >= ",
    );
    statement.bind(clock::signed(about.since()));
    if let Some(agent) = &about.agent {
        statement.push(" AND agent = ").bind(plain(agent));
    }
    statement.push(
        " GROUP BY issuer, agent, server, tool, reason, lacked ORDER BY count DESC, last DESC, agent, tool LIMIT ",
    );
    statement.bind(i64::try_from(ROWS.saturating_add(1)).unwrap_or(i64::MAX));
    let rows = statement.build()?.fetch_all(app.store.pool()).await?;
    let agents = registry::all(app.store.pool()).await?;
    let agents: BTreeMap<_, _> = agents.iter().map(|agent| (agent.id.as_str(), agent)).collect();
    let mut denials = Vec::new();
    for row in rows.iter().take(ROWS) {
        let denied = read(row)?;
        let own = denied.issuer.as_deref() == Some(app.issuer.url());
        let agent = denied.agent.as_deref().filter(|_| own).and_then(|id| agents.get(id)).copied();
        denials.push(json!({
            "agent": denied.agent,
            "issuer": denied.issuer,
            "server": denied.server,
            "tool": denied.tool,
            "reason": denied.reason,
            "lacked": denied.lacked(),
            "count": row.try_get::<i64, _>("count")?,
            "last": told(row.try_get("last")?),
            "fix": fix(&denied, agent, &app.policy),
        }));
    }
    Ok(json!({ "since": about.since().rfc3339(), "denials": denials, "truncated": rows.len() > ROWS }))
}

fn read(row: &AnyRow) -> Result<Denied, sqlx::Error> {
    Ok(Denied {
        issuer: row.try_get("issuer")?,
        agent: row.try_get("agent")?,
        server: row.try_get("server")?,
        tool: row.try_get("tool")?,
        reason: row.try_get("reason")?,
        lacked: row.try_get("lacked")?,
    })
}
