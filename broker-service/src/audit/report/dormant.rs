//! Agents nobody has seen for long, whose time is over, or whose owner has no other.

use std::collections::BTreeMap;
use std::time::Duration;

use accredit_policy::Time;
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::Row as _;

use super::{About, ROWS, ago};
use crate::agents::{Agent, Status, registry};
use crate::app::App;
use crate::clock;
use crate::error::ApiError;

/// How long is long unless it is said.
const DAYS: u16 = 30;

/// Why an agent counts as dormant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Why {
    /// Its `expires_at` is past.
    Expired,
    /// Nobody has ever seen it.
    NeverUsed,
    /// Not for that long.
    Unseen,
}

/// The agents, and the owners all of whose agents are among them.
pub(super) async fn report(app: &App, about: &About) -> Result<Value, ApiError> {
    let days = about.days.unwrap_or(DAYS);
    let edge = ago(Duration::from_secs(u64::from(days).saturating_mul(24 * 3600)));
    let seen = seen(app).await?;
    let (mut rows, mut owners) = (Vec::new(), BTreeMap::<String, (usize, usize)>::new());
    for agent in registry::all(app.store.pool()).await?.iter().filter(|agent| agent.status != Status::Retired) {
        let last = seen.get(&agent.id).copied().max(agent.used);
        let why = why(agent, last, edge);
        let (all, dormant) = owners.entry(agent.profile.owner.clone()).or_default();
        *all = all.saturating_add(1);
        *dormant = dormant.saturating_add(usize::from(why.is_some()));
        rows.extend(why.map(|why| {
            json!({
                "agent": agent.id,
                "owner": agent.profile.owner,
                "status": agent.status.name(),
                "why": why,
                "last_seen": last.map(Time::rfc3339),
                "created": agent.created.rfc3339(),
                "expires_at": agent.profile.expires_at.map(Time::rfc3339),
            })
        }));
    }
    // Only the registry knows who answers: an owner with no agent left that does anything may be gone.
    let gone = owners.iter().filter(|(_, (all, dormant))| all == dormant);
    let gone: Vec<_> = gone.take(ROWS).map(|(owner, (all, _))| json!({ "owner": owner, "agents": all })).collect();
    let truncated = rows.len() > ROWS;
    rows.truncate(ROWS);
    Ok(json!({ "days": days, "agents": rows, "owners": gone, "truncated": truncated }))
}

fn why(agent: &Agent, last: Option<Time>, edge: Time) -> Option<Why> {
    if agent.profile.expires_at.is_some_and(|end| end <= clock::now()) {
        return Some(Why::Expired);
    }
    match last {
        // One that was registered just now had no time to be used.
        None => (agent.created <= edge).then_some(Why::NeverUsed),
        Some(last) => (last <= edge).then_some(Why::Unseen),
    }
}

/// When agents of ours were last on the record as those who act.
async fn seen(app: &App) -> Result<BTreeMap<String, Time>, sqlx::Error> {
    // By the index of each agent's records, its last one alone.
    let query = sqlx::query(
        "SELECT id, (SELECT millis FROM audit WHERE audit.agent = agents.id AND audit.issuer = $1 \
         ORDER BY audit.seq DESC LIMIT 1) AS seen FROM agents",
    );
    let rows = query.bind(app.issuer.url()).fetch_all(app.store.pool()).await?;
    let mut all = BTreeMap::new();
    for row in &rows {
        let (id, millis): (String, Option<i64>) = (row.try_get("id")?, row.try_get("seen")?);
        all.extend(millis.map(|millis| (id, clock::unsigned(millis))));
    }
    Ok(all)
}
