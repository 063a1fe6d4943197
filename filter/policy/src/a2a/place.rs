//! What is asked for by method and path alone.

use super::{Operation, Version};
use crate::call::Flaw;
use crate::http::Path;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The agent itself, which takes JSON-RPC.
    Rpc,
    /// The agent's card, which is for everybody with a token.
    Card,
    /// An operation of HTTP+JSON, with what its path names.
    Rest(Operation, Vec<(String, String)>),
    /// Nothing there is.
    Unknown,
}

impl Place {
    /// Where a request with this method and path, `below` the agent's own, goes in this version.
    ///
    /// [A2A 1.0 §5.3](https://a2a-protocol.org/v1.0.0/specification/#53-method-mapping-reference), each also below
    /// a tenant; [A2A 0.3 §3.5](https://a2a-protocol.org/v0.3.0/specification/#35-method-mapping-and-naming-conventions).
    pub fn read(method: &str, below: &str, version: Version) -> Result<Self, Flaw> {
        if matches!(below, "" | "/") {
            return Ok(if method == "POST" { Self::Rpc } else { Self::Unknown });
        }
        let path = Path::parse(below)?;
        let texts: Vec<_> = path.segments().iter().map(|segment| (segment.normal(), segment.text())).collect();
        let names: Vec<_> = texts.iter().map(|(normal, _)| *normal).collect();
        if matches!(names.as_slice(), [".well-known", "agent-card.json" | "agent.json"]) {
            return Ok(if matches!(method, "GET" | "HEAD") { Self::Card } else { Self::Unknown });
        }
        let found = |version| match version {
            Version::One => one(method, &texts),
            Version::Old => old(method, &texts),
        };
        match found(version)? {
            Some((operation, path)) => Ok(Self::Rest(operation, path)),
            None if version == Version::Old && found(Version::One)?.is_some() => {
                Err(Flaw::mismatch("the path is of another version than `A2A-Version` says"))
            }
            None => Ok(Self::Unknown),
        }
    }
}

/// A segment in its normal form, and decoded.
type Text<'a> = (&'a str, &'a str);

type Found = Option<(Operation, Vec<(String, String)>)>;

fn one(method: &str, texts: &[Text<'_>]) -> Result<Found, Flaw> {
    if let Some(found) = rest(method, texts, "extendedAgentCard")? {
        return Ok(Some(found));
    }
    let Some(((_, tenant), below)) = texts.split_first() else { return Ok(None) };
    let Some((operation, mut path)) = rest(method, below, "extendedAgentCard")? else { return Ok(None) };
    // `/tasks/tasks` could be a task or a tenant's list, whichever a server looks at first.
    if tenant.is_empty() || tenant.eq_ignore_ascii_case("tasks") {
        return Err(Flaw::malformed("the path names a tenant that may be something else"));
    }
    path.push(("tenant".to_owned(), (*tenant).to_owned()));
    Ok(Some((operation, path)))
}

fn old(method: &str, texts: &[Text<'_>]) -> Result<Found, Flaw> {
    match texts.split_first() {
        // There was no such list, and there is none.
        Some((("v1", _), below)) if !matches!(below, [("tasks", _)]) => rest(method, below, "card"),
        _ => Ok(None),
    }
}

/// The operations of both versions, which differ in the path of the card.
fn rest(method: &str, texts: &[Text<'_>], card: &str) -> Result<Found, Flaw> {
    use Operation as Is;
    let plain = |operation| Ok(Some((operation, Vec::new())));
    let task = |operation, (_, id): Text<'_>| named(operation, &[("id", id)]);
    // A `HEAD` is a `GET` whose answer has no content.
    let method = if method == "HEAD" { "GET" } else { method };
    match (method, texts) {
        ("POST", [("message:send", _)]) => plain(Is::SendMessage),
        ("POST", [("message:stream", _)]) => plain(Is::SendStreamingMessage),
        ("GET", [("tasks", _)]) => plain(Is::ListTasks),
        ("GET", [(text, _)]) if *text == card => plain(Is::GetExtendedAgentCard),
        (_, [("tasks", _), (text, _)]) if text.contains(':') => match (method, text.split_once(':')) {
            ("POST", Some((id, "cancel"))) => task(Is::CancelTask, (id, &decoded(id, texts))),
            ("GET" | "POST", Some((id, "subscribe"))) => task(Is::SubscribeToTask, (id, &decoded(id, texts))),
            _ => Ok(None),
        },
        ("GET", [("tasks", _), id]) => task(Is::GetTask, *id),
        ("POST", [("tasks", _), (_, id), ("pushNotificationConfigs", _)]) => {
            named(Is::CreateTaskPushNotificationConfig, &[("taskId", id)])
        }
        ("GET", [("tasks", _), (_, id), ("pushNotificationConfigs", _)]) => {
            named(Is::ListTaskPushNotificationConfigs, &[("taskId", id)])
        }
        ("GET", [("tasks", _), (_, id), ("pushNotificationConfigs", _), (_, config)]) => {
            named(Is::GetTaskPushNotificationConfig, &[("taskId", id), ("id", config)])
        }
        ("DELETE", [("tasks", _), (_, id), ("pushNotificationConfigs", _), (_, config)]) => {
            named(Is::DeleteTaskPushNotificationConfig, &[("taskId", id), ("id", config)])
        }
        _ => Ok(None),
    }
}

/// The decoded identifier before a verb.
fn decoded(id: &str, texts: &[Text<'_>]) -> String {
    let text = texts.last().and_then(|(_, text)| text.rsplit_once(':')).map_or(id, |(id, _)| id);
    text.to_owned()
}

/// An operation on what its path names. A `:` in an identifier could be the beginning of a verb.
fn named(operation: Operation, names: &[(&str, &str)]) -> Result<Found, Flaw> {
    if names.iter().any(|(_, text)| text.is_empty() || text.contains(':')) {
        return Err(Flaw::malformed("the path has an identifier that is empty or has a `:`"));
    }
    Ok(Some((operation, names.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())))
}
