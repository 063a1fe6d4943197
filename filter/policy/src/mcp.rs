//! What an MCP request asks for, in both eras of the protocol.
//!
//! Legacy is everything up to 2025-11-25: a handshake, sessions, headers without meaning. Modern is 2026-07-28:
//! each request stands alone and its headers repeat the body. The body is the truth; which era it belongs to is
//! decided here, and the headers have to agree.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::denial::Reason;
use crate::headers::{Headers, Sole};
use crate::jsonrpc::{Form, Message, Params};
use crate::token::hex;

/// The revisions that are judged.
pub const VERSIONS: &[&str] = &["2025-03-26", "2025-06-18", "2025-11-25", MODERN];

const MODERN: &str = "2026-07-28";

/// The two shapes of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// Up to 2025-11-25.
    Legacy,
    /// 2026-07-28.
    Modern,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The `id` as it stands in the body.
    pub id: Option<String>,
    /// The JSON-RPC method, or `GET` and `DELETE` of a session.
    pub method: String,
    /// What it is about.
    pub target: Target,
    /// In which shape it came.
    pub era: Era,
    /// SHA-256 of the arguments' bytes in lower-case hex.
    pub arguments: Option<String>,
}

/// What a method is about, and with that what it takes to be permitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// What every client needs to connect and to list.
    Session,
    /// One tool, by its name.
    Tool(String),
    /// A method without a rule.
    Unknown,
}

/// Why a request cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The row of the denial table.
    pub reason: Reason,
    /// The request's `id`, if that much could be read.
    pub id: Option<String>,
    /// For the operator; holds nothing of the request.
    pub note: String,
}

impl Flaw {
    /// A flaw of the given kind.
    pub fn new(reason: Reason, note: impl Into<String>) -> Self {
        Self { reason, id: None, note: note.into() }
    }

    pub(crate) fn malformed(note: &str) -> Self {
        Self::new(Reason::RequestMalformed, note)
    }

    fn mismatch(note: &str) -> Self {
        Self::new(Reason::HeaderMismatch, note)
    }

    pub(crate) fn of(self, id: Option<&str>) -> Self {
        Self { id: self.id.or(id.map(str::to_owned)), ..self }
    }
}

impl Call {
    /// A call of `tool`, as the broker judges it when the proxy asks for a credential.
    pub fn tool(tool: &str) -> Self {
        let target = Target::Tool(tool.to_owned());
        Self { id: None, method: "tools/call".into(), target, era: Era::Modern, arguments: None }
    }

    /// Reads a POST: the whole body, and the headers that have to agree with it.
    pub fn read(headers: &Headers, body: &[u8]) -> Result<Self, Flaw> {
        let message = Message::parse(body)?;
        let id = message.id;
        Self::judge(headers, message).map_err(|flaw| flaw.of(id))
    }

    /// Reads a GET or DELETE: both belong to sessions, which only the legacy era has.
    pub fn session(method: &str, headers: &Headers) -> Result<Self, Flaw> {
        match era(headers, None)? {
            Era::Legacy => Ok(Self {
                id: None,
                method: method.to_owned(),
                target: Target::Session,
                era: Era::Legacy,
                arguments: None,
            }),
            Era::Modern => Err(Flaw::mismatch("the modern era has no sessions")),
        }
    }

    fn judge(headers: &Headers, message: Message<'_>) -> Result<Self, Flaw> {
        let id = message.id.map(str::to_owned);
        let (method, params) = match message.form {
            Form::Request(method, _) if method.starts_with("notifications/") => {
                return Err(Flaw::malformed("a notification has an `id`"));
            }
            Form::Notification(method, _) if !method.starts_with("notifications/") => {
                return Err(Flaw::malformed("a request has no `id`"));
            }
            Form::Request(method, params) | Form::Notification(method, params) => (method.into_owned(), params),
            Form::Response => return Self::response(headers, id),
        };
        let era = era(headers, params.version.as_deref())?;
        if era == Era::Modern {
            agree(headers, &method, &params)?;
        }
        let arguments = params.arguments.map(|raw| hex(&Sha256::digest(raw.as_bytes())));
        let target = target(&method, params)?;
        Ok(Self { id, method, target, era, arguments })
    }

    /// A client's answer to a request of the server's, which only the legacy era has.
    fn response(headers: &Headers, id: Option<String>) -> Result<Self, Flaw> {
        match era(headers, None)? {
            Era::Legacy => {
                let method = "response".to_owned();
                Ok(Self { id, method, target: Target::Session, era: Era::Legacy, arguments: None })
            }
            Era::Modern => Err(Flaw::mismatch("the modern era has no responses of clients")),
        }
    }
}

fn target(method: &str, params: Params<'_>) -> Result<Target, Flaw> {
    Ok(match method {
        "initialize"
        | "ping"
        | "server/discover"
        | "tools/list"
        | "prompts/list"
        | "resources/list"
        | "resources/templates/list"
        | "notifications/initialized"
        | "notifications/cancelled"
        | "notifications/progress"
        | "notifications/roots/list_changed" => Target::Session,
        "tools/call" => match params.name {
            Some(name) if !name.is_empty() && !name.chars().any(char::is_control) => Target::Tool(name.into_owned()),
            _ => return Err(Flaw::malformed("`tools/call` names no tool")),
        },
        _ => Target::Unknown,
    })
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
