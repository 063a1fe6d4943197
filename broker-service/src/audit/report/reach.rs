//! What an agent can get at: tools and credentials, by itself and through those it may hand a task on to.

mod uses;
mod walk;

use accredit_policy::wire::audit;
use serde_json::{Value, json};

use super::{About, ROWS};
use crate::agents::registry;
use crate::app::App;
use crate::error::{ApiError, Code};
use uses::Uses;
use walk::{Ground, walk};

/// The reach of one agent, with when each part of it was last used.
pub(super) async fn report(app: &App, about: &About) -> Result<Value, ApiError> {
    let Some(id) = &about.agent else {
        return Err(ApiError::new(Code::InvalidRequest, "`agent` is missing: whose reach?"));
    };
    let agents = registry::all(app.store.pool()).await?;
    let Some(agent) = agents.iter().find(|agent| agent.id == *id) else {
        return Err(ApiError::new(Code::NotFound, "no agent has this identifier"));
    };
    let ground = Ground { agents: &agents, policy: &app.policy, issuer: app.issuer.url(), max_depth: app.max_depth };
    let reach = walk(agent, &ground);
    let uses = Uses::of(app, id, about.since).await?;
    let tools = reach.tools.iter().take(ROWS).map(|tool| {
        let used = uses.of_tool(tool);
        json!({
            "holder": tool.holder,
            "server": tool.server,
            "kind": tool.kind,
            "tool": tool.name,
            "scopes": tool.scopes,
            "credential": tool.credential,
            "conditional": tool.conditional,
            "depth": tool.depth,
            "calls": used.map_or(0, |used| used.calls),
            "last_used": used.map(|used| used.last.rfc3339()),
        })
    });
    let others = reach.agents.iter().take(ROWS).map(|other| {
        json!({
            "agent": other.id,
            "depth": other.depth,
            "through": other.path,
            "scopes": other.scopes,
            "last_used": uses.of_agent(&other.id).map(|time| time.rfc3339()),
        })
    });
    Ok(json!({
        "agent": audit::Agent { issuer: app.issuer.url().to_owned(), id: agent.id.clone() },
        "owner": agent.profile.owner,
        "status": agent.status.name(),
        "tools": tools.collect::<Vec<_>>(),
        "agents": others.collect::<Vec<_>>(),
        "truncated": reach.cut || uses.cut || reach.tools.len() > ROWS || reach.agents.len() > ROWS,
    }))
}
