//! Values while a condition is judged.
//!
//! [CEL, values](https://github.com/google/cel-spec/blob/master/doc/langdef.md#values). JSON numbers without fraction and
//! exponent are `int` where they fit, else `uint`; all others are `double`.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value as Json;

/// One value. Lists and maps of the request stay where they are.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Cow<'a, str>),
    List(Vec<Self>),
    Map(Vec<(Self, Self)>),
    /// A list or an object of JSON.
    Json(&'a Json),
}

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
    /// The items of a list.
    pub(super) fn items(&self) -> Option<Vec<Value<'a>>> {
        match self {
            Self::List(items) => Some(items.clone()),
            Self::Json(Json::Array(items)) => Some(items.iter().map(Self::from).collect()),
            _ => None,
        }
    }

    /// The keys of a map.
    pub(super) fn keys(&self) -> Option<Vec<Value<'a>>> {
        match self {
            Self::Map(entries) => Some(entries.iter().map(|(key, _)| key.clone()).collect()),
            Self::Json(Json::Object(map)) => Some(map.keys().map(|key| Self::Text(Cow::Borrowed(key))).collect()),
            _ => None,
        }
    }

    /// What a map holds under `key`; `Err` for what is no map.
    pub(super) fn under(&self, key: &Value<'_>) -> Result<Option<Value<'a>>, ()> {
        match (self, key) {
            (Self::Map(entries), _) => {
                Ok(entries.iter().find(|(other, _)| other.equals(key)).map(|(_, value)| value.clone()))
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
            Self::List(items) => Some(items.len()),
            Self::Map(entries) => Some(entries.len()),
            Self::Json(Json::Array(items)) => Some(items.len()),
            Self::Json(Json::Object(map)) => Some(map.len()),
            _ => None,
        }
    }

    /// About how much work it is to look at all of it.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Text(text) => text.len().checked_div(32).unwrap_or_default(),
            Self::List(items) => items.iter().fold(items.len(), |sum, item| sum.saturating_add(item.weight())),
            Self::Map(entries) => entries.iter().fold(entries.len(), |sum, (key, value)| {
                sum.saturating_add(key.weight()).saturating_add(value.weight())
            }),
            Self::Json(json) => weight(json),
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Uint(_) | Self::Double(_) => 1,
        }
    }

    /// Whether both are the same; values of different kinds are not, numbers compare by their value.
    ///
    /// [CEL, equality](https://github.com/google/cel-spec/blob/master/doc/langdef.md#equality)
    pub(super) fn equals(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Self::Null, Value::Null) => true,
            (Self::Bool(left), Value::Bool(right)) => left == right,
            (Self::Text(left), Value::Text(right)) => left == right,
            _ => match (self.items(), other.items(), self.keys(), other.keys()) {
                (Some(left), Some(right), ..) => {
                    left.len() == right.len() && left.iter().zip(&right).all(|(left, right)| left.equals(right))
                }
                (_, _, Some(left), Some(right)) => {
                    left.len() == right.len() && left.iter().all(|key| self.same(other, key))
                }
                _ => numbers(self, other) == Some(Ordering::Equal),
            },
        }
    }

    fn same(&self, other: &Value<'_>, key: &Value<'_>) -> bool {
        matches!((self.under(key), other.under(key)), (Ok(Some(left)), Ok(Some(right))) if left.equals(&right))
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

fn weight(json: &Json) -> usize {
    match json {
        Json::Array(items) => items.iter().fold(items.len(), |sum, item| sum.saturating_add(weight(item))),
        Json::Object(map) => map.values().fold(map.len(), |sum, value| sum.saturating_add(weight(value))),
        Json::String(text) => text.len().checked_div(32).unwrap_or_default(),
        Json::Null | Json::Bool(_) | Json::Number(_) => 1,
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
