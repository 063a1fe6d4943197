//! What an operator wants taken back, or given again.

use accredit_policy::policy::Server;
use accredit_policy::revocation::Target;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::agents::registry;
use crate::app::App;
use crate::clock;
use crate::error::{ApiError, Code};

/// The longest name.
const NAME: usize = 2048;

/// The longest reason.
const WHY: usize = 1024;

/// A request, read.
pub struct Ask {
    /// What it is about.
    pub target: Target,
    /// Only tokens issued before then, in seconds.
    pub before: Option<u64>,
    /// Why, in their words.
    pub why: Option<String>,
    /// What the operator should know of it: that nothing of that name is known here, for instance.
    pub notes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    target: Value,
    #[serde(default)]
    before: Option<String>,
    #[serde(default)]
    why: Option<String>,
}

impl Ask {
    /// Reads the body. An issuer that is left out is ours; a server and a tool have to be in the policy, for a wrong name
    /// would revoke nothing.
    pub async fn read(app: &App, body: &[u8]) -> Result<Self, ApiError> {
        let wrong = |error: serde_json::Error| {
            ApiError::new(Code::InvalidRequest, "not an object with `target`, and `before` and `why` if wanted")
                .because(&error)
                .detailed(vec![error.to_string()])
        };
        let Raw { target, before, why } = serde_json::from_slice(body).map_err(wrong)?;
        let target: Target = serde_json::from_value(issued(app, target)).map_err(wrong)?;
        let why = why.filter(|why| !why.is_empty());
        if !bounded(&target) || why.as_ref().is_some_and(|why| why.len() > WHY) {
            return Err(ApiError::new(Code::InvalidRequest, "a name is empty, or something is too long"));
        }
        let before = before.map(|before| moment(&before)).transpose()?;
        if before.is_some() && matches!(target, Target::Server { .. } | Target::Tool { .. }) {
            return Err(ApiError::new(Code::InvalidRequest, "servers and tools are revoked as a whole"));
        }
        let notes = notes(app, &target).await?;
        Ok(Self { target, before, why, notes })
    }
}

/// The target with our own issuer, where it needs one and names none.
fn issued(app: &App, mut target: Value) -> Value {
    let own = !matches!(target.get("kind").and_then(Value::as_str), Some("server" | "tool"));
    if let Some(members) = target.as_object_mut().filter(|members| own && !members.contains_key("issuer")) {
        members.insert("issuer".to_owned(), json!(app.issuer.url()));
    }
    target
}

fn bounded(target: &Target) -> bool {
    let names = match target {
        Target::Actor { issuer, id }
        | Target::Agent { issuer, id }
        | Target::Key { issuer, id }
        | Target::Token { issuer, id } => vec![issuer, id],
        Target::AgentFor { issuer, id, subject } => vec![issuer, id, subject],
        Target::Issuer { issuer } => vec![issuer],
        Target::Server { server } => vec![server],
        Target::Subject { issuer, subject } => vec![issuer, subject],
        Target::Tool { server, tool } => vec![server, tool],
    };
    names.iter().all(|name| (1..=NAME).contains(&name.len()))
}

/// `now`, or a moment. Tokens say in whole seconds when they were issued: what was issued within this one is hit, too.
fn moment(text: &str) -> Result<u64, ApiError> {
    let now = clock::now();
    let before = match text {
        "now" => Some(now),
        text => clock::parse(text),
    };
    let wrong =
        || ApiError::new(Code::InvalidRequest, "`before` is neither `now` nor a moment such as `2026-11-25T10:00:00Z`");
    let before = before.ok_or_else(wrong)?;
    if before > now {
        return Err(ApiError::new(Code::InvalidRequest, "`before` lies ahead: revoke it until it is lifted"));
    }
    Ok(before.seconds().saturating_add(u64::from(text == "now" || before.millis() % 1000 > 0)))
}

async fn notes(app: &App, target: &Target) -> Result<Vec<String>, ApiError> {
    let unknown = |what: &str, name: &str| {
        ApiError::new(Code::InvalidRequest, "nothing of that name is in the policy")
            .detailed(vec![format!("`{name}`: found no such {what}")])
    };
    let server = |name: &String| app.policy.server(name).ok_or_else(|| unknown("server", name));
    let issuer = match target {
        Target::Server { server: name } => return server(name).map(|_| Vec::new()),
        Target::Tool { server: name, tool } => {
            return if rules(server(name)?, tool) { Ok(Vec::new()) } else { Err(unknown("tool", tool)) };
        }
        Target::Actor { issuer, .. }
        | Target::Agent { issuer, .. }
        | Target::AgentFor { issuer, .. }
        | Target::Issuer { issuer }
        | Target::Key { issuer, .. }
        | Target::Subject { issuer, .. }
        | Target::Token { issuer, .. } => issuer,
    };
    let own = issuer == app.issuer.url();
    let known = own || app.policy.issuers().chain(app.enterprises.issuers()).any(|one| one.identifier == *issuer);
    let mut notes = Vec::new();
    if !known {
        notes.push(format!("no issuer of the policy is `{issuer}`"));
    }
    if let Target::Actor { id, .. } | Target::Agent { id, .. } | Target::AgentFor { id, .. } = target
        && own
        && registry::find(app.store.pool(), id).await?.is_none()
    {
        notes.push(format!("no agent is registered as `{id}`"));
    }
    Ok(notes)
}

/// Whether a rule is about this tool. A rule's own name that ends in `*` is no tool: it would hit nothing.
fn rules(server: &Server, tool: &str) -> bool {
    if tool.ends_with('*') {
        return false;
    }
    let named = [&server.tools, &server.prompts, &server.methods].iter().any(|rules| rules.find(tool).is_some());
    named || server.resources.find_uri(tool).is_some()
}
