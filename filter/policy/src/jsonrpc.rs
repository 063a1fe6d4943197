//! One JSON-RPC message, read so that no server can read another one in the same bytes.
//!
//! [JSON-RPC 2.0](https://www.jsonrpc.org/specification). The body is walked once; what the protocol above does not
//! ask for is checked and forgotten.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::call::Flaw;
use crate::denial::Reason;
use crate::json::{self, Skim};

/// Names that decide what a message means, wherever they stand in it.
///
/// Some servers match names without case or cut them at a NUL; a name that is only nearly one of these would be
/// read by them and not by us.
const MEANING: &[&str] =
    &["jsonrpc", "id", "method", "params", "result", "error", "name", "uri", "arguments", "_meta", "ref", "taskId"];

/// The longest `id` that is read, as it stands in the body.
const ID: usize = 1024;

/// A message taken apart; `P` are the parameters as the protocol above reads them.
#[derive(Debug)]
pub struct Message<'a, P> {
    /// The `id` as it stands: a string or an integer.
    pub id: Option<&'a str>,
    /// What it is.
    pub form: Form<'a, P>,
}

/// The three kinds of message.
#[derive(Debug)]
pub enum Form<'a, P> {
    /// `method` and `id`.
    Request(Cow<'a, str>, P),
    /// `method` without `id`.
    Notification(Cow<'a, str>, P),
    /// `result` or `error` for a request of the server's.
    Response,
}

/// The parameters of one protocol, told member by member; all of them at their default where there is no `params`.
pub trait Parameters<'a>: Default {
    /// Names that decide the meaning of these parameters, and that no other name may nearly be.
    const NAMES: &'static [&'static str];

    /// Takes up the member `name`, whose value is the next of `map` and has to be read or skimmed at [`LEVEL`].
    ///
    /// [`Stop::Flaw`] for a value that is JSON and makes no sense.
    fn take<A: MapAccess<'a>>(&mut self, name: &str, map: &mut A) -> Result<(), Stop<A::Error>>;
}

/// How deep the members of `params` stand.
pub const LEVEL: usize = 2;

/// Why reading stops.
#[derive(Debug)]
pub enum Stop<E> {
    /// The text is no strict JSON.
    Json(E),
    /// It is, and no message.
    Flaw(Flaw),
}

impl<E: serde::de::Error> From<E> for Stop<E> {
    fn from(error: E) -> Self {
        Self::Json(error)
    }
}

impl<'a, P: Parameters<'a>> Message<'a, P> {
    /// Reads a whole body: one object, every byte of it strict.
    pub fn parse(body: &'a [u8]) -> Result<Self, Flaw> {
        let text = json::text(body).map_err(|flaw| unparsable(&flaw))?;
        let object = match text.trim_start().as_bytes() {
            [b'[', ..] => return Err(Flaw::malformed("the body is a batch")),
            [b'{', ..] => true,
            _ => false,
        };
        let mut draft = Draft { members: Members::default(), flaw: None };
        let read = json::read(text, &mut draft).map_err(|flaw| match draft.flaw.take() {
            Some(ours) => ours,
            None if object && flaw.is_of_kind() => Flaw::malformed("`params` is no object"),
            None => unparsable(&flaw),
        });
        let message = read.and_then(|()| draft.members.assemble());
        // The caller has to be told of which request this is the answer, wherever its `id` stands.
        message.map_err(|flaw| flaw.of(json::members(text).ok().and_then(|members| sole(&members))))
    }
}

fn unparsable(flaw: &json::Flaw) -> Flaw {
    Flaw::new(Reason::RequestUnparsable, format!("the body is {flaw}"))
}

/// A message while it is read, and what is wrong with it.
struct Draft<'a, P> {
    members: Members<'a, P>,
    flaw: Option<Flaw>,
}

struct Members<'a, P> {
    version: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    method: Option<&'a RawValue>,
    params: Option<P>,
    outcomes: usize,
}

impl<P> Default for Members<'_, P> {
    fn default() -> Self {
        Self { version: None, id: None, method: None, params: None, outcomes: 0 }
    }
}

impl<'a, P: Parameters<'a>> DeserializeSeed<'a> for &mut Draft<'a, P> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'a>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_map(self)
    }
}

impl<'a, P: Parameters<'a>> Visitor<'a> for &mut Draft<'a, P> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a message")
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<(), A::Error> {
        let Draft { members, flaw } = self;
        json::walk(map, |map, name| {
            let taken = clean(&name, &[]).map_err(Stop::Flaw).and_then(|()| members.take(&name, map, flaw));
            taken.map_err(|stop| stop.at(flaw))
        })
    }
}

impl<'a, P: Parameters<'a>> Members<'a, P> {
    fn take<A: MapAccess<'a>>(
        &mut self,
        name: &str,
        map: &mut A,
        flaw: &mut Option<Flaw>,
    ) -> Result<(), Stop<A::Error>> {
        match name {
            "jsonrpc" => self.version = Some(map.next_value()?),
            "id" => self.id = Some(map.next_value()?),
            "method" => self.method = Some(map.next_value()?),
            "params" => self.params = Some(map.next_value_seed(Params { params: P::default(), flaw })?),
            "result" | "error" => {
                self.outcomes = self.outcomes.saturating_add(1);
                map.next_value_seed(Skim { depth: 1 })?;
            }
            _ => return Err(Stop::Flaw(Flaw::malformed("the message has a member JSON-RPC does not know"))),
        }
        Ok(())
    }

    fn assemble(self) -> Result<Message<'a, P>, Flaw> {
        if self.version.map(string).transpose()?.as_deref() != Some("2.0") {
            return Err(Flaw::malformed("`jsonrpc` is not \"2.0\""));
        }
        let wrong = || Flaw::malformed("`id` is no string or integer");
        let id = self.id.map(|raw| id(raw).ok_or_else(wrong)).transpose()?;
        let method = self.method.map(string).transpose()?;
        let form = match (method, self.outcomes, id) {
            (Some(method), 0, Some(_)) => Form::Request(method, self.params.unwrap_or_default()),
            (Some(method), 0, None) => Form::Notification(method, self.params.unwrap_or_default()),
            (None, 1, Some(_)) if self.params.is_none() => Form::Response,
            _ => return Err(Flaw::malformed("not exactly one of `method`, `result` and `error`")),
        };
        Ok(Message { id, form })
    }
}

/// Reads `params`, which has to be an object.
struct Params<'f, P> {
    params: P,
    flaw: &'f mut Option<Flaw>,
}

impl<'a, P: Parameters<'a>> DeserializeSeed<'a> for Params<'_, P> {
    type Value = P;

    fn deserialize<D: serde::Deserializer<'a>>(self, source: D) -> Result<P, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'a, P: Parameters<'a>> Visitor<'a> for Params<'_, P> {
    type Value = P;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, map: A) -> Result<P, A::Error> {
        json::walk(map, |map, name| {
            let taken = clean(&name, P::NAMES).map_err(Stop::Flaw).and_then(|()| self.params.take(&name, map));
            taken.map_err(|stop| stop.at(self.flaw))
        })?;
        Ok(self.params)
    }
}

impl<E: serde::de::Error> Stop<E> {
    /// The error that ends reading; a flaw is kept in `slot`, where it outlives the error.
    fn at(self, slot: &mut Option<Flaw>) -> E {
        match self {
            Self::Json(error) => error,
            Self::Flaw(flaw) => {
                *slot = Some(flaw);
                E::custom("not a message")
            }
        }
    }
}

/// A member that has to be a string.
pub fn string(raw: &RawValue) -> Result<Cow<'_, str>, Flaw> {
    json::string(raw.get()).map_err(|_| Flaw::malformed("a member that has to be a string is none"))
}

/// Refuses a name that is nearly, but not exactly, one that decides the meaning: here or in the object it stands in.
pub fn clean(name: &str, here: &[&str]) -> Result<(), Flaw> {
    match nearly(name, MEANING) || nearly(name, here) {
        true => Err(Flaw::malformed("a name is nearly one of the protocol's")),
        false => Ok(()),
    }
}

/// Whether some reader may take `name` for one of `names` that it is not.
pub(crate) fn nearly(name: &str, names: &[&str]) -> bool {
    let near = |seen: &str| names.iter().any(|meaning| seen.eq_ignore_ascii_case(meaning) && *meaning != name);
    // Most names are plain, and for those folding is a matter of case.
    match name.bytes().all(|byte| byte.is_ascii() && byte != 0) {
        true => near(name),
        false => near(&fold(name)) || name.split('\0').next().is_some_and(|start| near(&fold(start))),
    }
}

/// A name as a lenient server may see it: without NULs, without case, `ſ` as `s` and `K` as `k`.
fn fold(name: &str) -> String {
    let visible = name.chars().filter(|c| *c != '\0');
    visible.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// The `id`, if it is one: a string, or an integer that fits 64 bits.
///
/// [MCP 2026-07-28, basic](https://modelcontextprotocol.io/specification/2026-07-28/basic): a string or integer,
/// never null.
fn id(raw: &RawValue) -> Option<&str> {
    let raw = raw.get();
    let number = raw.parse::<i64>().is_ok() || raw.parse::<u64>().is_ok();
    let sound = raw.len() <= ID && (number || (raw.starts_with('"') && json::check(raw, 1).is_ok()));
    sound.then_some(raw)
}

/// The `id` among the members of a message that was refused.
fn sole<'a>(members: &[(Cow<'a, str>, &'a RawValue)]) -> Option<&'a str> {
    members.iter().find(|(name, _)| name == "id").and_then(|(_, raw)| id(raw))
}

#[cfg(test)]
mod tests {
    use super::{Form, Message, Reason};
    use crate::mcp::Params;
    use std::borrow::Cow;

    fn call(text: &str) -> Result<(String, Option<String>), Reason> {
        match Message::<Params<'_>>::parse(text.as_bytes()) {
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
        let flaw = Message::<Params<'_>>::parse(br#"{"jsonrpc":"1.0","id":"a\u0022","method":"ping"}"#).unwrap_err();
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
                r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"name":"x","Name\u0000z":"y"}}"#,
            ),
            (
                Reason::RequestMalformed,
                r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"name":"x","na\u0000me":"y"}}"#,
            ),
            (
                Reason::RequestUnparsable,
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
