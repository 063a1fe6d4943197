//! GitHub's own description of its calls, and whether a body keeps to it.

use std::path::Path;

use serde_json::{Map, Value};

/// The calls of [`super::GitHub`], as GitHub describes them.
pub(super) struct Contract(Value);

/// Keywords that say nothing about what is valid, or nothing we check.
const NOTES: [&str; 8] =
    ["default", "deprecated", "description", "example", "format", "nullable", "title", "x-github-breaking-changes"];

impl Contract {
    pub(super) fn read(file: &Path) -> Self {
        let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        Self(serde_json::from_str(&text).expect("scripts/setup writes JSON"))
    }

    /// Whether GitHub would read this body of a call, such as `POST /app/installations/{installation_id}/access_tokens`.
    pub(super) fn request(&self, call: &str, body: &Value) -> Result<(), String> {
        check(&self.0[call]["request"], body, "")
    }

    /// Refuses an answer of ours that GitHub would not give.
    pub(super) fn answer(&self, call: &str, status: u16, body: &Value) {
        let described = &self.0[call]["responses"][status.to_string()];
        // Not every refusal is described: what must be is what we grant.
        if let Some(schema) = described.get("schema") {
            check(schema, body, "").unwrap_or_else(|wrong| panic!("{call} {status}: {wrong}"));
        }
        assert!(status >= 300 || described.is_object(), "{call} never answers {status}");
    }

    /// GitHub's example of an answer, to be filled in.
    pub(super) fn example(&self, call: &str, status: u16) -> Value {
        self.0[call]["responses"][status.to_string()]["example"].clone()
    }
}

/// [OpenAPI 3.0.3, Schema Object](https://spec.openapis.org/oas/v3.0.3#schema-object), as far as the calls use it.
fn check(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    if value.is_null() && schema["nullable"] == true {
        return Ok(());
    }
    for (keyword, rule) in schema.as_object().into_iter().flatten() {
        match keyword.as_str() {
            "type" => of_type(rule, value).then_some(()).ok_or_else(|| format!("`{at}` is not of type {rule}"))?,
            "enum" if list(rule).contains(value) => {}
            "enum" => return Err(format!("`{at}` is none of {rule}")),
            "properties" => {
                for (name, inner) in object(value) {
                    rule.get(name).map_or(Ok(()), |rule| check(rule, inner, &format!("{at}/{name}")))?;
                }
            }
            "additionalProperties" => {
                let known = |name: &str| schema["properties"].get(name).is_some();
                for (name, inner) in object(value).filter(|(name, _)| !known(name)) {
                    match rule {
                        Value::Bool(true) => {}
                        Value::Bool(false) => return Err(format!("`{at}/{name}` is not known")),
                        rule => check(rule, inner, &format!("{at}/{name}"))?,
                    }
                }
            }
            "required" => {
                let missing = list(rule).iter().find(|name| value.is_object() && !has(value, name));
                missing.map_or(Ok(()), |name| Err(format!("`{at}` has no {name}")))?;
            }
            "items" => {
                for (index, inner) in list(value).iter().enumerate() {
                    check(rule, inner, &format!("{at}/{index}"))?;
                }
            }
            "allOf" => list(rule).iter().try_for_each(|rule| check(rule, value, at))?,
            "oneOf" => {
                let fits = list(rule).iter().filter(|rule| check(rule, value, at).is_ok()).count();
                (fits == 1).then_some(()).ok_or_else(|| format!("`{at}` fits {fits} of {}", list(rule).len()))?;
            }
            note => assert!(NOTES.contains(&note), "GitHub's description has a new keyword, `{note}`"),
        }
    }
    Ok(())
}

fn of_type(name: &Value, value: &Value) -> bool {
    match name.as_str() {
        Some("array") => value.is_array(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("object") => value.is_object(),
        Some("string") => value.is_string(),
        _ => panic!("GitHub's description has a new type, {name}"),
    }
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn has(value: &Value, name: &Value) -> bool {
    name.as_str().is_some_and(|name| value.get(name).is_some())
}
