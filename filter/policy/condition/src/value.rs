//! Values while a condition is judged.
//!
//! [CEL, values](https://github.com/google/cel-spec/blob/master/doc/langdef.md#values). JSON numbers without fraction and
//! exponent are `int` where they fit, else `uint`; all others are `double`.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

use serde_json::Value as Json;

/// One value, cheap to copy. Lists and maps of the request stay where they are.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Cow<'a, str>),
    List(Rc<[Self]>),
    Map(Rc<[(Self, Self)]>),
    /// A list or an object of JSON.
    Json(&'a Json),
    /// What `type` gives: a name among [`KINDS`].
    Kind(&'static str),
}

/// The names of the kinds of values, which stand for these in a condition.
pub(super) const KINDS: &[&str] = &["null_type", "bool", "int", "uint", "double", "string", "list", "map", "type"];

impl<'a> From<&'a Json> for Value<'a> {
    fn from(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(bool) => Self::Bool(*bool),
            Json::String(text) => Self::Text(Cow::Borrowed(text)),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(int), _) => Self::Int(int),
                (None, Some(uint)) => Self::Uint(uint),
                (None, None) => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::Array(_) | Json::Object(_) => Self::Json(json),
        }
    }
}

impl<'a> Value<'a> {
    /// The name of its kind.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::Text(_) => "string",
            Self::List(_) | Self::Json(Json::Array(_)) => "list",
            Self::Map(_) | Self::Json(_) => "map",
            Self::Kind(_) => "type",
        }
    }

    /// Whether it can be the key of a map.
    pub(super) fn is_key(&self) -> bool {
        matches!(self, Self::Bool(_) | Self::Int(_) | Self::Uint(_) | Self::Text(_))
    }

    /// How many items a list has; `None` for what is none.
    pub(super) fn length(&self) -> Option<usize> {
        match self {
            Self::List(items) => Some(items.len()),
            Self::Json(Json::Array(items)) => Some(items.len()),
            _ => None,
        }
    }

    /// The item of a list at a place.
    pub(super) fn at(&self, place: usize) -> Option<Value<'a>> {
        match self {
            Self::List(items) => items.get(place).cloned(),
            Self::Json(Json::Array(items)) => items.get(place).map(Self::from),
            _ => None,
        }
    }

    /// The items of a list, one by one.
    pub(super) fn items(&self) -> impl Iterator<Item = Value<'a>> {
        (0..).map_while(|place| self.at(place))
    }

    /// How many entries a map has; `None` for what is none.
    pub(super) fn entries(&self) -> Option<usize> {
        match self {
            Self::Map(entries) => Some(entries.len()),
            Self::Json(Json::Object(map)) => Some(map.len()),
            _ => None,
        }
    }

    /// The keys of a map, as a list.
    pub(super) fn keys(&self) -> Value<'a> {
        Self::List(match self {
            Self::Map(entries) => entries.iter().map(|(key, _)| key.clone()).collect(),
            Self::Json(Json::Object(map)) => map.keys().map(|key| Self::Text(Cow::Borrowed(key))).collect(),
            _ => Rc::default(),
        })
    }

    /// How many entries a map may have to be searched for one.
    pub(super) fn search(&self) -> usize {
        match self {
            Self::Map(entries) => entries.len(),
            _ => 1,
        }
    }

    /// What a map holds under `key`; `Err` for what is no map.
    pub(super) fn under(&self, key: &Value<'_>) -> Result<Option<Value<'a>>, ()> {
        match (self, key) {
            (Self::Map(entries), _) => {
                Ok(entries.iter().find(|(other, _)| other.same(key)).map(|(_, value)| value.clone()))
            }
            (Self::Json(Json::Object(map)), Value::Text(key)) => Ok(map.get(&**key).map(Self::from)),
            (Self::Json(Json::Object(_)), _) => Ok(None),
            _ => Err(()),
        }
    }

    /// The size of a text in characters, or of a list or map in items.
    pub(super) fn size(&self) -> Option<usize> {
        match self {
            Self::Text(text) => Some(text.chars().count()),
            _ => self.length().or(self.entries()),
        }
    }

    /// About how much work it is to read it; a list or a map is not read by this alone.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Text(text) => text.len().checked_div(32).unwrap_or_default(),
            _ => 0,
        }
    }

    /// Whether both are the same; values of different kinds are not, numbers compare by their value. Lists and maps are
    /// for [`Machine::equal`](super::eval::Machine::equal).
    ///
    /// [CEL, equality](https://github.com/google/cel-spec/blob/master/doc/langdef.md#equality)
    pub(super) fn same(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Self::Null, Value::Null) => true,
            (Self::Bool(left), Value::Bool(right)) => left == right,
            (Self::Text(left), Value::Text(right)) => left == right,
            (Self::Kind(left), Value::Kind(right)) => left == right,
            _ => numbers(self, other) == Some(Ordering::Equal),
        }
    }

    /// How both are ordered, if they are.
    pub(super) fn order(&self, other: &Value<'_>) -> Option<Ordering> {
        match (self, other) {
            (Self::Text(left), Value::Text(right)) => Some(left.as_ref().cmp(right.as_ref())),
            (Self::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
            _ => numbers(self, other),
        }
    }
}

/// Numbers of all kinds on one line; `NaN` is nowhere on it.
fn numbers(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    let whole = |value: &Value<'_>| match value {
        Value::Int(int) => Some(i128::from(*int)),
        Value::Uint(uint) => Some(i128::from(*uint)),
        _ => None,
    };
    match (left, right) {
        (Value::Double(left), Value::Double(right)) => left.partial_cmp(right),
        (Value::Double(left), right) => whole(right).and_then(|right| between(*left, right)),
        (left, Value::Double(right)) => whole(left).and_then(|left| between(*right, left)).map(Ordering::reverse),
        (left, right) => Some(whole(left)?.cmp(&whole(right)?)),
    }
}

/// A double against an integer, without rounding the integer.
fn between(double: f64, whole: i128) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "what is beyond 128 bits saturates, which keeps the order")]
    let floor = double.floor() as i128;
    let fraction = if double.fract() == 0.0 { Ordering::Equal } else { Ordering::Greater };
    Some(floor.cmp(&whole).then(fraction))
}
