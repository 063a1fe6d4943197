//! What agents were granted and have not used.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sqlx::Row as _;

use super::{About, ROWS};
use crate::agents::{Agent, Status, registry};
use crate::app::App;
use crate::clock;
use crate::error::ApiError;

/// The most distinct uses that are looked at: an agent, a server and a rule's scopes make one.
const USES: usize = 50_000;

/// What an agent has used.
#[derive(Debug, Default)]
struct Used {
    scopes: BTreeSet<String>,
    servers: BTreeSet<String>,
}

/// Scopes and resources of registered agents that no permitted call needed since then: neither a call of their own, nor one
/// of those they have handed a task on to, which can have no more than they.
pub(super) async fn report(app: &App, about: &About) -> Result<Value, ApiError> {
    let (used, cut) = used(app, about).await?;
    let agents = registry::all(app.store.pool()).await?;
    let asked = |agent: &&Agent| about.agent.as_ref().is_none_or(|id| agent.id == *id);
    let mut rows = Vec::new();
    for agent in agents.iter().filter(|agent| agent.status != Status::Retired).filter(asked) {
        rows.extend(unused(app, agent, used.get(&agent.id)));
    }
    let truncated = cut || rows.len() > ROWS;
    rows.truncate(ROWS);
    Ok(json!({ "since": about.since().rfc3339(), "agents": rows, "truncated": truncated }))
}

/// What is left over; `None` where all is used.
fn unused(app: &App, agent: &Agent, used: Option<&Used>) -> Option<Value> {
    let scope = |scope: &&str| used.is_none_or(|used| !used.scopes.contains(*scope));
    let server = |resource: &&String| {
        let names = app.policy.servers().filter(|server| server.resource.as_str() == *resource);
        !names.into_iter().any(|server| used.is_some_and(|used| used.servers.contains(&server.name)))
    };
    let scopes: Vec<_> = agent.profile.scopes.iter().filter(scope).collect();
    let resources: Vec<_> = agent.profile.resources.iter().filter(server).collect();
    (!scopes.is_empty() || !resources.is_empty()).then(|| {
        json!({
            "agent": agent.id,
            "owner": agent.profile.owner,
            "status": agent.status.name(),
            "scopes": scopes,
            "resources": resources,
            "granted": agent.profile.scopes,
        })
    })
}

/// What each agent of ours has used; and whether there was more than is looked at.
async fn used(app: &App, about: &About) -> Result<(BTreeMap<String, Used>, bool), sqlx::Error> {
    let query = "SELECT agent, server, needed FROM audit \
                 WHERE decision = 'permit' AND kind IN ('issue', 'mint', 'outcome') AND millis >= $1 AND issuer = $2 \
                 GROUP BY agent, server, needed \
                 UNION SELECT link.giver AS agent, audit.server, audit.needed \
                 FROM audit_actors link JOIN audit ON audit.seq = link.seq \
                 WHERE link.giver IS NOT NULL AND audit.decision = 'permit' \
                 AND audit.kind IN ('issue', 'mint', 'outcome') AND audit.millis >= $1 \
                 GROUP BY link.giver, audit.server, audit.needed LIMIT $3";
    let limit = i64::try_from(USES.saturating_add(1)).unwrap_or(i64::MAX);
    let query = sqlx::query(query).bind(clock::signed(about.since())).bind(app.issuer.url()).bind(limit);
    let rows = query.fetch_all(app.store.pool()).await?;
    let mut all: BTreeMap<String, Used> = BTreeMap::new();
    for row in &rows {
        let (agent, server): (Option<String>, Option<String>) = (row.try_get("agent")?, row.try_get("server")?);
        let needed: Option<String> = row.try_get("needed")?;
        let used = all.entry(agent.unwrap_or_default()).or_default();
        used.servers.extend(server);
        used.scopes.extend(needed.unwrap_or_default().split(' ').map(str::to_owned));
    }
    Ok((all, rows.len() > USES))
}
