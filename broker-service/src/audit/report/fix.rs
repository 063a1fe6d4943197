//! Which line of which file would have to say what, for a denied call to be permitted. Whether it should is not said.

use accredit_policy::Policy;
use accredit_policy::policy::Server;
use accredit_policy::scope::{Scope, Scopes};
use serde::Serialize;

use crate::agents::Agent;

/// Calls that were denied for one reason.
#[derive(Debug, Default)]
pub(super) struct Denied {
    pub(super) issuer: Option<String>,
    pub(super) agent: Option<String>,
    pub(super) server: Option<String>,
    pub(super) tool: Option<String>,
    pub(super) reason: String,
    /// The scopes that were missing, with spaces between them.
    pub(super) lacked: Option<String>,
}

impl Denied {
    /// The scopes that were missing.
    pub(super) fn lacked(&self) -> Vec<&str> {
        self.lacked.as_deref().unwrap_or_default().split(' ').filter(|word| !word.is_empty()).collect()
    }
}

/// Where something would have to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Place {
    /// Who issues the agent's tokens, and is not us.
    Issuer,
    /// The policy file.
    Policy,
    /// The agent's registration.
    Registry,
    /// The agent's own request: it may have what it did not ask for.
    Request,
}

/// The smallest change.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Fix {
    at: Place,
    path: String,
    /// What to add there; nothing where it has to be changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    add: Vec<String>,
}

/// What would permit it, as far as there is such a thing. `agent` is its entry, where it is one of ours.
pub(super) fn fix(denied: &Denied, agent: Option<&Agent>, policy: &Policy) -> Option<Fix> {
    let one =
        |at, path: String, add: Vec<&str>| Some(Fix { at, path, add: add.into_iter().map(str::to_owned).collect() });
    let server = denied.server.as_deref().and_then(|name| policy.server(name));
    let tool = denied.tool.as_deref();
    let below = |part: &str| server.map(|server| format!("servers.{}.{part}", server.name));
    match denied.reason.as_str() {
        "scope_missing" => scopes(denied, agent),
        "tool_unknown" => {
            one(Place::Policy, below(if tool?.contains("://") { "resources" } else { "tools" })?, vec![tool?])
        }
        "method_unknown" => one(Place::Policy, below("methods")?, Vec::new()),
        "condition_false" | "condition_error" => one(Place::Policy, below(&rule(server?, tool?)?)?, Vec::new()),
        "chain_actor" => one(Place::Policy, below("delegation.actors")?, Vec::new()),
        "chain_too_deep" => one(Place::Policy, below("delegation.max_depth")?, Vec::new()),
        "token_issuer" => one(Place::Policy, below("issuers")?, Vec::new()),
        "origin_invalid" => one(Place::Policy, below("origins")?, Vec::new()),
        "request_too_large" => one(Place::Policy, below("limits.request")?, Vec::new()),
        "token_audience" => one(Place::Registry, entry(agent?, "resources"), vec![server?.resource.as_str()]),
        "sender_unbound" => one(Place::Registry, entry(agent?, "bound"), Vec::new()),
        "invalid_scope" => one(Place::Registry, entry(agent?, "scopes"), Vec::new()),
        "invalid_target" => one(Place::Registry, entry(agent?, "resources"), Vec::new()),
        "unauthorized_client" => one(Place::Registry, entry(agent?, "grants"), Vec::new()),
        _ => None,
    }
}

/// Scopes come from the registration, or from somebody else's.
fn scopes(denied: &Denied, agent: Option<&Agent>) -> Option<Fix> {
    let lacked = denied.lacked();
    let owned = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect();
    let Some(agent) = agent else {
        let path = denied.issuer.clone()?;
        return Some(Fix { at: Place::Issuer, path, add: owned(lacked) }).filter(|fix| !fix.add.is_empty());
    };
    let held =
        |word: &str| Scope::parse(word).is_some_and(|scope| agent.profile.rights().cover(&Scopes::from_iter([scope])));
    let missing: Vec<_> = lacked.iter().filter(|word| !held(word)).copied().collect();
    match missing.is_empty() {
        false => Some(Fix { at: Place::Registry, path: entry(agent, "scopes"), add: owned(missing) }),
        true => Some(Fix { at: Place::Request, path: "scope".to_owned(), add: owned(lacked) })
            .filter(|fix| !fix.add.is_empty()),
    }
}

fn entry(agent: &Agent, part: &str) -> String {
    format!("agents.{}.{part}", agent.id)
}

/// The condition of the rule a name falls under.
fn rule(server: &Server, tool: &str) -> Option<String> {
    let kinds = [
        ("tools", &server.tools),
        ("prompts", &server.prompts),
        ("resources", &server.resources),
        ("methods", &server.methods),
    ];
    kinds.iter().find_map(|(kind, rules)| {
        let rule = rules.find(tool)?;
        let key = rules.named().find(|(_, one)| std::ptr::eq(*one, rule)).map(|(key, _)| key)?;
        Some(format!("{kind}.{key}.when"))
    })
}
