//! What conditions see of a request to an agent.

use serde_json::{Map, Value};

use crate::call::Flaw;
use crate::denial::Reason;
use crate::http::Places;
use crate::json;
use crate::jsonrpc::nearly;

/// What requests are made of at their top.
const NAMES: &[&str] =
    &["tenant", "id", "taskId", "contextId", "message", "configuration", "metadata", "historyLength", "url"];

/// The object in the body, with what path and query name added to it.
///
/// Refused is whatever two servers could read differently: a name that stands in two places with two values, and a name with
/// a `_`, since [ProtoJSON](https://protobuf.dev/programming-guides/json/#json-options) takes `history_length` for
/// `historyLength`.
pub fn object(text: Option<&str>, places: &Places) -> Result<Value, Flaw> {
    let body = text.map_or_else(|| Ok(Value::Object(Map::new())), json::bounded);
    let body = body.map_err(|flaw| Flaw::new(Reason::RequestUnparsable, format!("the arguments are {flaw}")))?;
    let Value::Object(mut object) = body else { return Err(Flaw::malformed("the arguments are no object")) };
    for (name, value) in places.read()?.once()? {
        // The version is no argument of the operation.
        if name.eq_ignore_ascii_case("A2A-Version") {
            continue;
        }
        if object.insert(name, value.clone()).is_some_and(|other| other != value) {
            return Err(Flaw::malformed("an argument stands in two places with two values"));
        }
    }
    // Some readers fold case.
    if object.keys().any(|name| nearly(name, NAMES)) {
        return Err(Flaw::malformed("an argument is nearly one of the protocol's"));
    }
    let object = Value::Object(object);
    match spelled(&object) {
        true => Ok(object),
        false => Err(Flaw::malformed("an argument has a name with a `_`")),
    }
}

/// Whether every name that means something to the protocol is spelled in the one way.
fn spelled(value: &Value) -> bool {
    match value {
        // What stands there is the agents' own.
        Value::Object(object) => object
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "metadata" | "parts"))
            .all(|(name, value)| !name.contains('_') && spelled(value)),
        Value::Array(items) => items.iter().all(spelled),
        _ => true,
    }
}
