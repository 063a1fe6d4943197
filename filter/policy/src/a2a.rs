//! A2A: which operation a request is for, in both bindings and both versions of the protocol.
//!
//! [A2A 1.0](https://a2a-protocol.org/v1.0.0/specification/). One server may speak JSON-RPC and HTTP+JSON, 1.0 and 0.3, all
//! at one place; whatever a request is called there, it is one operation here, and the policy names operations as 1.0 does.
//! What an agent is good at, its skills, no request names.

mod arguments;
mod operation;
mod place;

pub use arguments::object;
pub use operation::Operation;
pub use place::Place;

use crate::call::{Arguments, Call, Flaw, Target};
use crate::denial::Reason;
use crate::headers::{Headers, Sole};
use crate::http::{self, Head, Places};
use crate::json;
use crate::jsonrpc::{Form, Message};
use crate::mcp::{Era, Params};

/// The versions that are judged.
pub const VERSIONS: &[&str] = &["0.3", "1.0"];

/// The header, and the parameter of the query, that state the version.
const VERSION: &str = "a2a-version";

/// The media types of a body in HTTP+JSON.
pub const MEDIA: &[&str] = &["application/a2a+json", "application/json"];

/// The two shapes of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 0.3 and what came before it.
    Old,
    /// 1.0 and what is compatible with it.
    One,
}

impl Version {
    /// The version a request states.
    ///
    /// [A2A 1.0 §3.6](https://a2a-protocol.org/v1.0.0/specification/#36-versioning): the header, or a parameter of the query;
    /// nothing means 0.3. Where both stand they have to agree, since servers read one or the other.
    pub fn stated(headers: &Headers, query: &str) -> Result<Self, Flaw> {
        let header = match headers.sole(VERSION) {
            Sole::Absent => None,
            Sole::One(text) => Some(Self::parse(text)?),
            Sole::Broken => return Err(Flaw::mismatch("`A2A-Version` cannot be read")),
        };
        let pairs = form_urlencoded::parse(query.as_bytes());
        let mut query =
            pairs.filter(|(name, _)| name.eq_ignore_ascii_case(VERSION)).map(|(_, value)| Self::parse(&value));
        let first = query.next().transpose()?;
        if query.next().is_some() {
            return Err(Flaw::mismatch("`A2A-Version` stands twice in the query"));
        }
        match (header, first) {
            (Some(header), Some(query)) if header != query => {
                Err(Flaw::mismatch("`A2A-Version` is another in the query than in the header"))
            }
            (header, query) => Ok(header.or(query).unwrap_or(Self::Old)),
        }
    }

    /// Versions of one major number are alike.
    fn parse(text: &str) -> Result<Self, Flaw> {
        let number = |part: &str| (1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        let (major, rest) = text.split_once('.').unwrap_or((text, "0"));
        match (major, rest.split('.').all(number)) {
            ("", _) if text.is_empty() => Ok(Self::Old),
            ("0", true) => Ok(Self::Old),
            ("1", true) => Ok(Self::One),
            _ => Err(Flaw::new(Reason::AgentVersion, "the protocol version is not supported")),
        }
    }
}

/// What a request asks for as far as its head says, and in which version. The path is what is below the agent's own.
pub fn place(head: &Head<'_>) -> Result<(Place, Version), Flaw> {
    http::plain(head.headers, head.query)?;
    let version = Version::stated(head.headers, head.query)?;
    Ok((Place::read(head.method, head.path, version)?, version))
}

impl<'a> Call<'a> {
    /// Reads a request to an agent: its head, and the whole body, which is empty where there is none.
    pub fn agent(head: &Head<'_>, body: &'a [u8]) -> Result<Self, Flaw> {
        let (place, version) = place(head)?;
        let rest = |target, arguments| Self {
            id: None,
            method: head.method.to_owned().into(),
            target,
            era: Era::Modern,
            arguments,
            tasks: false,
        };
        match place {
            Place::Rpc => Self::rpc(version, body),
            Place::Card => Ok(rest(Target::Card, Arguments::None)),
            Place::Unknown => Ok(rest(Target::Method, Arguments::None)),
            Place::Rest(operation, path) => {
                let text = (!body.is_empty()).then(|| strict(body)).transpose()?;
                let places = Places { path, query: head.query.to_owned() };
                Ok(rest(Target::Tool(operation.name().into()), Arguments::Agent(text, places)))
            }
        }
    }

    fn rpc(version: Version, body: &'a [u8]) -> Result<Self, Flaw> {
        // What MCP looks for in `params` A2A does not have, or has of the same kind.
        let message = Message::<Params<'_>>::parse(body)?;
        let Form::Request(method, _) = message.form else {
            return Err(Flaw::malformed("the message is no request").of(message.id));
        };
        let target = match Operation::of_method(&method, version) {
            Some(operation) => Target::Tool(operation.name().into()),
            None if Operation::is_method(&method) => {
                return Err(Flaw::mismatch("the method is of another version than `A2A-Version` says").of(message.id));
            }
            None => Target::Method,
        };
        let members = json::text(body).and_then(json::members).unwrap_or_default();
        let params = members.into_iter().find(|(name, _)| name == "params").map(|(_, params)| params.get());
        let arguments = Arguments::Agent(params, Places::default());
        Ok(Self { id: message.id, method, target, era: Era::Modern, arguments, tasks: false })
    }
}

/// A body of HTTP+JSON: one object, every byte of it strict.
fn strict(body: &[u8]) -> Result<&str, Flaw> {
    let unparsable = |flaw: &json::Flaw| Flaw::new(Reason::RequestUnparsable, format!("the body is {flaw}"));
    let text = json::text(body).map_err(|flaw| unparsable(&flaw))?;
    json::check(text, 0).map_err(|flaw| unparsable(&flaw))?;
    match text.trim_start().starts_with('{') {
        true => Ok(text),
        false => Err(Flaw::malformed("the body is no object")),
    }
}

#[cfg(test)]
mod tests;
