//! One JSON-RPC message, read so that no server can read another one in the same bytes.
//!
//! [JSON-RPC 2.0](https://www.jsonrpc.org/specification)

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::denial::Reason;
use crate::json;
use crate::mcp::Flaw;

/// Names that decide what a message means.
///
/// Some servers match names without case or cut them at a NUL; a name that is only nearly one of these would be
/// read by them and not by us.
const MEANING: &[&str] =
    &["jsonrpc", "id", "method", "params", "result", "error", "name", "uri", "arguments", "_meta", "ref", "taskId"];

/// The longest `id` that is read, as it stands in the body.
const ID: usize = 1024;

type Members<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// A message taken apart.
#[derive(Debug)]
pub struct Message<'a> {
    /// The `id` as it stands: a string or an integer.
    pub id: Option<&'a str>,
    /// What it is.
    pub form: Form<'a>,
}

/// The three kinds of message.
#[derive(Debug)]
pub enum Form<'a> {
    /// `method` and `id`.
    Request(Cow<'a, str>, Params<'a>),
    /// `method` without `id`.
    Notification(Cow<'a, str>, Params<'a>),
    /// `result` or `error` for a request of the server's.
    Response,
}

/// The parameters that decide what is called.
#[derive(Debug, Default)]
pub struct Params<'a> {
    /// `name`: of a tool or a prompt.
    pub name: Option<Cow<'a, str>>,
    /// `uri`: of a resource.
    pub uri: Option<Cow<'a, str>>,
    /// `taskId`.
    pub task: Option<Cow<'a, str>>,
    /// `_meta["io.modelcontextprotocol/protocolVersion"]`.
    pub version: Option<Cow<'a, str>>,
    /// `arguments` as they stand.
    pub arguments: Option<&'a str>,
}

impl<'a> Message<'a> {
    /// Reads a whole body: one object, every byte of it strict.
    pub fn parse(body: &'a [u8]) -> Result<Self, Flaw> {
        let unparsable = |flaw: json::Flaw| Flaw::new(Reason::RequestUnparsable, format!("the body is {flaw}"));
        let text = json::text(body).map_err(unparsable)?;
        if text.trim_start().starts_with('[') {
            return Err(Flaw::malformed("the body is a batch"));
        }
        let members = split(text, 0).map_err(unparsable)?;
        let id = id(&members)?;
        Self::assemble(&members, id).map_err(|flaw| flaw.of(id))
    }

    fn assemble(members: &Members<'a>, id: Option<&'a str>) -> Result<Self, Flaw> {
        clean(members)?;
        let known = ["jsonrpc", "id", "method", "params", "result", "error"];
        for (_, value) in members.iter().filter(|(name, _)| name != "params") {
            strict(value, 1)?;
        }
        if members.iter().any(|(name, _)| !known.contains(&&**name)) {
            return Err(Flaw::malformed("the message has a member JSON-RPC does not know"));
        }
        if string(members, "jsonrpc")?.as_deref() != Some("2.0") {
            return Err(Flaw::malformed("`jsonrpc` is not \"2.0\""));
        }
        let method = string(members, "method")?;
        let outcomes = members.iter().filter(|(name, _)| matches!(&**name, "result" | "error")).count();
        let params = find(members, "params");
        let form = match (method, outcomes, id) {
            (Some(method), 0, Some(_)) => Form::Request(method, Params::parse(params)?),
            (Some(method), 0, None) => Form::Notification(method, Params::parse(params)?),
            (None, 1, Some(_)) if params.is_none() => Form::Response,
            _ => return Err(Flaw::malformed("not exactly one of `method`, `result` and `error`")),
        };
        Ok(Self { id, form })
    }
}

impl<'a> Params<'a> {
    fn parse(params: Option<&'a RawValue>) -> Result<Self, Flaw> {
        let Some(params) = params else {
            return Ok(Self::default());
        };
        let members = split(params.get(), 1).map_err(|_| Flaw::malformed("`params` is not one strict object"))?;
        clean(&members)?;
        let mut version = None;
        for (name, value) in &members {
            if matches!(&**name, "_meta" | "ref") {
                let below = split(value.get(), 2).map_err(|_| Flaw::malformed("not a strict object"))?;
                clean(&below)?;
                if name == "_meta" {
                    // The revision a request of the modern era states.
                    version = string(&below, "io.modelcontextprotocol/protocolVersion")?;
                }
            }
            strict(value, 2)?;
        }
        Ok(Self {
            name: string(&members, "name")?,
            uri: string(&members, "uri")?,
            task: string(&members, "taskId")?,
            version,
            arguments: find(&members, "arguments").map(RawValue::get),
        })
    }
}

/// The `id`, if it is one: a string, or an integer that fits 64 bits.
///
/// [MCP 2026-07-28, basic](https://modelcontextprotocol.io/specification/2026-07-28/basic): a string or integer,
/// never null.
fn id<'a>(members: &Members<'a>) -> Result<Option<&'a str>, Flaw> {
    let Some(raw) = find(members, "id").map(RawValue::get) else {
        return Ok(None);
    };
    let number = raw.parse::<i64>().is_ok() || raw.parse::<u64>().is_ok();
    let sound = raw.len() <= ID && (number || (raw.starts_with('"') && json::check(raw, 1).is_ok()));
    match sound {
        true => Ok(Some(raw)),
        false => Err(Flaw::malformed("`id` is no string or integer")),
    }
}

fn split(text: &str, depth: usize) -> Result<Members<'_>, json::Flaw> {
    json::members(text).inspect(|_| debug_assert!(depth < json::DEPTH))
}

/// Refuses names that are nearly, but not exactly, one that decides the meaning.
fn clean(members: &Members<'_>) -> Result<(), Flaw> {
    match members.iter().any(|(name, _)| near(name)) {
        true => Err(Flaw::malformed("a name is nearly one of the protocol's")),
        false => Ok(()),
    }
}

fn near(name: &str) -> bool {
    // Most names are plain, and for those folding is a matter of case.
    let folded = match name.bytes().all(|byte| byte.is_ascii() && byte != 0) {
        true => Cow::Borrowed(name),
        false => Cow::Owned(fold(name)),
    };
    MEANING.iter().any(|meaning| folded.eq_ignore_ascii_case(meaning) && *meaning != name)
}

/// A name as a lenient server may see it: without NULs, without case, `ſ` as `s` and `K` as `k`.
fn fold(name: &str) -> String {
    let visible = name.chars().filter(|c| *c != '\0');
    visible.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

fn strict(value: &RawValue, depth: usize) -> Result<(), Flaw> {
    json::check(value.get(), depth).map_err(|flaw| Flaw::new(Reason::RequestUnparsable, format!("a value is {flaw}")))
}

fn find<'a>(members: &Members<'a>, name: &str) -> Option<&'a RawValue> {
    members.iter().find(|(other, _)| other == name).map(|(_, value)| *value)
}

fn string<'a>(members: &Members<'a>, name: &'static str) -> Result<Option<Cow<'a, str>>, Flaw> {
    let wrong = |_| Flaw::malformed("a member that has to be a string is none");
    find(members, name).map(|raw| json::string(raw.get()).map_err(wrong)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(text: &str) -> Result<(String, Option<String>), Reason> {
        match Message::parse(text.as_bytes()) {
            Ok(Message { form: Form::Request(method, params), .. }) => {
                Ok((method.into_owned(), params.name.map(Cow::into_owned)))
            }
            Ok(other) => panic!("{other:?}"),
            Err(flaw) => Err(flaw.reason),
        }
    }

    #[test]
    fn reads_a_call() {
        let text =
            r#" {"id":0,"params":{"arguments":{"Name":1},"name":"r\u00e9ad"},"method":"tools/call","jsonrpc":"2.0"} "#;
        assert_eq!(call(text), Ok(("tools/call".into(), Some("réad".into()))));
    }

    #[test]
    fn a_flaw_echoes_the_id_when_it_was_read() {
        let flaw = Message::parse(br#"{"jsonrpc":"1.0","id":"a\u0022","method":"ping"}"#).unwrap_err();
        assert_eq!(flaw.id.as_deref(), Some(r#""a\u0022""#));
    }

    #[test]
    fn refuses_what_servers_read_differently() {
        for (reason, bad) in [
            (Reason::RequestUnparsable, r#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#),
            (Reason::RequestMalformed, r#"{"jsonrpc":"2.0","id":1,"method":"a","Method":"b"}"#),
            (Reason::RequestMalformed, r#"{"jsonrpc":"2.0","id":1,"method":"a","param\u017f":{}}"#),
            (
                Reason::RequestMalformed,
                r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"name":"x","name\u0000":"y"}}"#,
            ),
            (
                Reason::RequestMalformed,
                r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"name":"x","n\u0061me":"y"}}"#,
            ),
            (Reason::RequestMalformed, r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":{"Name":1}}}"#),
            (Reason::RequestMalformed, r#"{"jsonrpc":"2.0","id":1,"method":"a","params":[]}"#),
            (Reason::RequestMalformed, r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"name":1}}"#),
            (Reason::RequestMalformed, r#"{"jsonrpc":"2.0","id":1,"method":"a","result":{}}"#),
            (Reason::RequestMalformed, r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{}}"#),
            (Reason::RequestMalformed, r#"{"jsonrpc":"2.0","id":1,"method":"a","extra":1}"#),
            (Reason::RequestMalformed, r#"{"jsonrpc":"2.0","id":null,"method":"a"}"#),
            (Reason::RequestMalformed, r#"{"jsonrpc":"2.0","id":1.5,"method":"a"}"#),
            (Reason::RequestMalformed, r#"{"jsonrpc":"2.0","id":1e2,"method":"a"}"#),
            (Reason::RequestMalformed, r#"{"jsonrpc":"2.0","id":true,"method":"a"}"#),
            (Reason::RequestMalformed, r#"{"jsonrpc":2.0,"id":1,"method":"a"}"#),
            (Reason::RequestMalformed, r#"{"jsonrpc":"2.0","id":1}"#),
            (Reason::RequestMalformed, r#"[{"jsonrpc":"2.0","id":1,"method":"a"}]"#),
            (Reason::RequestUnparsable, r#"{"jsonrpc":"2.0","id":1,"method":"a"} {}"#),
            (Reason::RequestUnparsable, r#""text""#),
            (Reason::RequestUnparsable, ""),
        ] {
            assert_eq!(call(bad), Err(reason), "{bad}");
        }
    }

    #[test]
    fn arguments_are_strict_to_the_last_level() {
        let with = |arguments: &str| {
            call(&format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"x","arguments":{arguments}}}}}"#
            ))
        };
        assert!(with(r#"{"a":{"b":[1,{"c":"d"}]}}"#).is_ok());
        for bad in [r#"{"a":1,"a":2}"#, r#"{"a":[{"b":1,"b":2}]}"#, r#"["\ud800"]"#, "[1e400]"] {
            assert_eq!(with(bad), Err(Reason::RequestUnparsable), "{bad}");
        }
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(with(&nested(62)).is_ok());
        assert!(with(&nested(63)).is_err());
    }
}
