//! What kinds of values the parts of a condition have, as far as that is known before a call.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value as Json;

/// A kind of value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Type {
    /// Known only when it is there.
    Any,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    /// A number of JSON: of which kind depends on how it is written.
    Number,
    Text,
    /// What `type` gives.
    Kind,
    List(Box<Self>),
    Map(Box<Self>),
    /// An object whose fields are known; `true` when it may have others.
    Object(BTreeMap<String, Self>, bool),
}

impl Type {
    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double | Self::Number)
    }

    pub(super) fn is_map(&self) -> bool {
        matches!(self, Self::Map(_) | Self::Object(..))
    }

    /// Whether a value of this kind can be equal to one of the other.
    pub(super) fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::List(left), Self::List(right)) => left.meets(right),
            _ => self == other || (self.is_number() && other.is_number()) || (self.is_map() && other.is_map()),
        }
    }

    /// Whether there is arithmetic of both: numbers are of one kind, and none is converted.
    pub(super) fn computes(&self, other: &Self) -> bool {
        let one = matches!(self, Self::Number) || matches!(other, Self::Number) || self == other;
        self.is_number() && other.is_number() && one
    }

    /// The kind of both, where it is one.
    pub(super) fn join(self, other: Self) -> Self {
        if self == other { self } else { Self::Any }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Any => "a value",
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Int => "an integer",
            Self::Uint => "an unsigned integer",
            Self::Double => "a double",
            Self::Number => "a number",
            Self::Text => "a string",
            Self::Kind => "a type",
            Self::List(_) => "a list",
            Self::Map(_) | Self::Object(..) => "a map",
        })
    }
}

/// The kinds of a tool's arguments, as its own schema says.
///
/// [JSON Schema 2020-12](https://json-schema.org/draft/2020-12/json-schema-validation), as far as it says what kind a value
/// is of; whatever else it says makes a value of any kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema(pub(super) Type);

impl Schema {
    /// Reads a schema.
    pub fn read(schema: &Json) -> Self {
        Self(kind(schema, 0))
    }
}

/// How deep schemas are read.
const DEPTH: usize = 16;

fn kind(schema: &Json, depth: usize) -> Type {
    let unclear = ["anyOf", "oneOf", "allOf", "not", "$ref", "if", "enum", "const"];
    let Some(name) = schema.get("type").and_then(Json::as_str) else { return Type::Any };
    if depth >= DEPTH || unclear.iter().any(|word| schema.get(word).is_some()) && !matches!(name, "string" | "integer")
    {
        return Type::Any;
    }
    let below = depth.saturating_add(1);
    match name {
        "null" => Type::Null,
        "boolean" => Type::Bool,
        // [§6.1.1](https://json-schema.org/draft/2020-12/json-schema-validation#section-6.1.1): `1.0` is an integer.
        "integer" | "number" => Type::Number,
        "string" => Type::Text,
        "array" => Type::List(Box::new(schema.get("items").map_or(Type::Any, |items| kind(items, below)))),
        "object" => {
            let fields = schema.get("properties").and_then(Json::as_object);
            let read = |(name, field): (&String, &Json)| (name.clone(), kind(field, below));
            let fields = fields.map(|fields| fields.iter().map(read).collect()).unwrap_or_default();
            let open = schema.get("additionalProperties") != Some(&Json::Bool(false))
                || schema.get("patternProperties").is_some();
            Type::Object(fields, open)
        }
        _ => Type::Any,
    }
}
