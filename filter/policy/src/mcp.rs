//! MCP: what a request asks for, in both eras of the protocol.
//!
//! Legacy is everything up to 2025-11-25: a handshake, sessions, headers without meaning. Modern is 2026-07-28:
//! each request stands alone and its headers repeat the body. The body is the truth; which era it belongs to is
//! decided here, and the headers have to agree.

mod params;

pub use params::{Notifications, Params, Reference};

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::call::{Arguments, Call, Flaw, Target};
use crate::catalogue::Listing;
use crate::denial::Reason;
use crate::headers::{Headers, Sole};
use crate::jsonrpc::{Form, Message};

/// The revisions that are judged.
pub const VERSIONS: &[&str] = &["2025-03-26", "2025-06-18", "2025-11-25", MODERN];

const MODERN: &str = "2026-07-28";

/// Whether the headers say that a request is of the modern era.
pub(crate) fn is_modern(headers: &Headers) -> bool {
    headers.sole("mcp-protocol-version") == Sole::One(MODERN)
}

/// The two shapes of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// Up to 2025-11-25.
    Legacy,
    /// 2026-07-28.
    Modern,
}

impl<'a> Call<'a> {
    /// Reads a POST: the whole body, and the headers that have to agree with it.
    pub fn read(headers: &Headers, body: &'a [u8]) -> Result<Self, Flaw> {
        let message = Message::parse(body)?;
        let id = message.id;
        Self::judge(headers, message).map_err(|flaw| flaw.of(id))
    }

    /// Reads what the headers of a POST say is in its body, which [`read`](Self::read) will find to be so or refuse.
    ///
    /// Only the modern era repeats the body, and only the name of what is asked for.
    pub fn early(headers: &'a Headers) -> Result<Self, Flaw> {
        if !is_modern(headers) {
            let note = "only requests of 2026-07-28 can be judged by their headers";
            return Err(Flaw::new(Reason::VersionUnsupported, note));
        }
        let Sole::One(method) = headers.sole("mcp-method") else {
            return Err(Flaw::mismatch("`Mcp-Method` cannot be read"));
        };
        if method == "completion/complete" {
            return Err(Flaw::new(Reason::MethodUnknown, "the headers do not say what a completion is for"));
        }
        let name = match headers.sole("mcp-name") {
            Sole::Absent => None,
            Sole::One(text) => Some(plain(text).ok_or_else(|| Flaw::mismatch("`Mcp-Name` cannot be read"))?),
            Sole::Broken => return Err(Flaw::mismatch("`Mcp-Name` cannot be read")),
        };
        let name = name.map(Cow::Owned);
        let params = match method {
            "resources/read" => Params { uri: name, ..Params::default() },
            "tasks/get" | "tasks/update" | "tasks/cancel" => Params { task: name, ..Params::default() },
            _ => Params { name, ..Params::default() },
        };
        let target = target(method, params)?;
        Ok(Self { id: None, method: method.into(), target, era: Era::Modern, arguments: Arguments::None, tasks: false })
    }

    /// Reads a GET or DELETE: both belong to sessions, which only the legacy era has.
    pub fn session(method: &'a str, headers: &Headers) -> Result<Self, Flaw> {
        match era(headers, None)? {
            Era::Legacy => Ok(Self::legacy(None, method)),
            Era::Modern => Err(Flaw::mismatch("the modern era has no sessions")),
        }
    }

    fn judge(headers: &Headers, message: Message<'a, Params<'a>>) -> Result<Self, Flaw> {
        let id = message.id;
        let (method, params) = match message.form {
            Form::Request(method, _) if method.starts_with("notifications/") => {
                return Err(Flaw::malformed("a notification has an `id`"));
            }
            Form::Notification(method, _) if !method.starts_with("notifications/") => {
                return Err(Flaw::malformed("a request has no `id`"));
            }
            Form::Request(method, params) | Form::Notification(method, params) => (method, params),
            // A client's answer to a request of the server's, which only the legacy era has.
            Form::Response => {
                return match era(headers, None)? {
                    Era::Legacy => Ok(Self::legacy(id, "response")),
                    Era::Modern => Err(Flaw::mismatch("the modern era has no responses of clients")),
                };
            }
        };
        let era = era(headers, params.version.as_deref())?;
        if era == Era::Modern {
            agree(headers, &method, &params)?;
        }
        let arguments = params.arguments.map_or(Arguments::None, Arguments::Object);
        let tasks = params.tasks;
        let target = target(&method, params)?;
        Ok(Self { id, method, target, era, arguments, tasks })
    }

    fn legacy(id: Option<&'a str>, method: &'a str) -> Self {
        Self {
            id,
            method: method.into(),
            target: Target::Session,
            era: Era::Legacy,
            arguments: Arguments::None,
            tasks: false,
        }
    }
}

/// Every method of a client's, and what it is about.
fn target<'a>(method: &str, params: Params<'a>) -> Result<Target<'a>, Flaw> {
    Ok(match method {
        "initialize"
        | "ping"
        | "notifications/initialized"
        | "notifications/cancelled"
        | "notifications/progress"
        | "notifications/roots/list_changed" => Target::Session,
        "server/discover" => Target::List(Listing::Server),
        "tools/list" => Target::List(Listing::Tools),
        "prompts/list" => Target::List(Listing::Prompts),
        "resources/list" => Target::List(Listing::Resources),
        "resources/templates/list" => Target::List(Listing::Templates),
        "tools/call" => Target::Tool(named(params.name)?),
        "prompts/get" => Target::Prompt(named(params.name)?),
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => Target::Resource(named(params.uri)?),
        "completion/complete" => completion(params.reference.unwrap_or_default())?,
        "subscriptions/listen" => {
            let Notifications { resources, tasks } = params.notifications;
            Target::Subscription(each(resources)?, each(tasks)?)
        }
        "tasks/get" | "tasks/update" | "tasks/cancel" | "tasks/result" => Target::Task(named(params.task)?),
        _ => Target::Method,
    })
}

/// The section of a server's policy that holds the rules for `method`, unless that is `methods`.
pub fn section(method: &str) -> Option<&'static str> {
    Some(match method {
        "tools/call" | "tasks/get" | "tasks/update" | "tasks/cancel" | "tasks/result" => "tools",
        "prompts/get" => "prompts",
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" | "subscriptions/listen" => "resources",
        "completion/complete" => "prompts` and `resources",
        _ => return None,
    })
}

/// A completion shows what a prompt or a resource holds, and is permitted as they are.
///
/// [MCP 2026-07-28, completion](https://modelcontextprotocol.io/specification/2026-07-28/server/utilities/completion)
fn completion(reference: Reference<'_>) -> Result<Target<'_>, Flaw> {
    match (reference.kind.as_deref(), reference.name, reference.uri) {
        (Some("ref/prompt"), name, None) => Ok(Target::Prompt(named(name)?)),
        (Some("ref/resource"), None, uri) => Ok(Target::Resource(named(uri)?)),
        _ => Err(Flaw::malformed("`ref` is neither a prompt nor a resource")),
    }
}

fn each(names: Vec<Cow<'_, str>>) -> Result<Vec<Cow<'_, str>>, Flaw> {
    names.into_iter().map(|name| named(Some(name))).collect()
}

fn named(name: Option<Cow<'_, str>>) -> Result<Cow<'_, str>, Flaw> {
    let sound = name.filter(|name| !name.is_empty() && !name.chars().any(char::is_control));
    sound.ok_or_else(|| Flaw::malformed("the request names nothing it could be about"))
}

/// The era of a request whose body states `stated`.
///
/// [MCP 2026-07-28, transports](https://modelcontextprotocol.io/specification/2026-07-28/basic/transports): the
/// header and the body's version have to be equal. Servers pick the era from one or the other; where both agree
/// there is nothing to pick.
fn era(headers: &Headers, stated: Option<&str>) -> Result<Era, Flaw> {
    let header = match headers.sole("mcp-protocol-version") {
        Sole::Absent => None,
        Sole::One(version) => Some(version),
        Sole::Broken => return Err(Flaw::mismatch("`MCP-Protocol-Version` cannot be read")),
    };
    for version in [header, stated].into_iter().flatten() {
        if !VERSIONS.contains(&version) {
            return Err(Flaw::new(Reason::VersionUnsupported, "the protocol version is not supported"));
        }
    }
    match (header, stated) {
        (Some(MODERN), Some(MODERN)) => Ok(Era::Modern),
        (header, None) if header != Some(MODERN) => Ok(Era::Legacy),
        _ => Err(Flaw::mismatch("`MCP-Protocol-Version` and the body disagree")),
    }
}

/// Whether the headers of the modern era repeat the body.
fn agree(headers: &Headers, method: &str, params: &Params<'_>) -> Result<(), Flaw> {
    if headers.sole("mcp-method") != Sole::One(method) {
        return Err(Flaw::mismatch("`Mcp-Method` and the body disagree"));
    }
    let named = match method {
        "tools/call" | "prompts/get" => params.name.as_deref(),
        "resources/read" => params.uri.as_deref(),
        "tasks/get" | "tasks/update" | "tasks/cancel" => params.task.as_deref(),
        _ => None,
    };
    let header = match headers.sole("mcp-name") {
        Sole::Absent => None,
        Sole::One(text) => Some(plain(text).ok_or_else(|| Flaw::mismatch("`Mcp-Name` cannot be read"))?),
        Sole::Broken => return Err(Flaw::mismatch("`Mcp-Name` cannot be read")),
    };
    match header.as_deref() == named {
        true => Ok(()),
        false => Err(Flaw::mismatch("`Mcp-Name` and the body disagree")),
    }
}

/// A header's text with the base64 sentinel undone: `=?base64?…?=`.
fn plain(text: &str) -> Option<String> {
    match text.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        Some(coded) => String::from_utf8(STANDARD.decode(coded).ok()?).ok(),
        None => text.bytes().all(|byte| matches!(byte, 0x20..=0x7e)).then(|| text.to_owned()),
    }
}

#[cfg(test)]
mod tests;
