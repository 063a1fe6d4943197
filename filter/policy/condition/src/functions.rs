//! The functions and operators conditions have.
//!
//! [CEL, standard definitions](https://github.com/google/cel-spec/blob/master/doc/langdef.md#list-of-standard-definitions)

use std::borrow::Cow;

use super::eval::{Fault, Outcome};
use super::value::Value;

/// A function: its name, how many values it takes, and what it does.
type Function = (&'static str, usize, for<'a, 'b> fn(&'b [Value<'a>]) -> Outcome<'a>);

/// All of them. Those of texts are called on the first of their values: `args.name.startsWith("a")`.
const FUNCTIONS: &[Function] = &[
    ("size", 1, size),
    ("startsWith", 2, |values| text(values, |text, start| text.starts_with(start))),
    ("endsWith", 2, |values| text(values, |text, end| text.ends_with(end))),
    ("contains", 2, |values| text(values, |text, part| text.contains(part))),
    ("int", 1, int),
    ("uint", 1, uint),
    ("double", 1, double),
    ("string", 1, string),
    ("type", 1, |values| values.first().map(|value| Value::Kind(value.kind())).ok_or(Fault("is of no kind"))),
];

/// The names of all functions.
pub(super) fn names() -> Vec<&'static str> {
    FUNCTIONS.iter().map(|(name, ..)| *name).collect()
}

/// How many values the function takes; `None` for one nobody knows.
pub(super) fn takes(name: &str) -> Option<usize> {
    FUNCTIONS.iter().find(|(other, ..)| *other == name).map(|(_, takes, _)| *takes)
}

/// Calls a function.
pub(super) fn call<'a>(name: &str, values: &[Value<'a>]) -> Outcome<'a> {
    let function = FUNCTIONS.iter().find(|(other, takes, _)| *other == name && *takes == values.len());
    function.map_or(Err(Fault("calls a function nobody knows")), |(_, _, function)| function(values))
}

/// Whether both have an order: two numbers, two texts, or two that are true or false.
pub(super) fn comparable(left: &Value<'_>, right: &Value<'_>) -> bool {
    let number = |value: &Value<'_>| matches!(value, Value::Int(_) | Value::Uint(_) | Value::Double(_));
    let both = matches!((left, right), (Value::Text(_), Value::Text(_)) | (Value::Bool(_), Value::Bool(_)));
    both || (number(left) && number(right))
}

/// `-`, before a number.
pub(super) fn minus<'a>(of: &Value<'a>) -> Outcome<'a> {
    match of {
        Value::Int(int) => int.checked_neg().map(Value::Int).ok_or(OVERFLOW),
        Value::Double(double) => Ok(Value::Double(-double)),
        _ => Err(Fault("negates what is no number")),
    }
}

const OVERFLOW: Fault = Fault("leaves the range of its numbers, or divides by zero");

/// `+ - * / %` of two values of one kind, which are never converted.
#[expect(clippy::float_arithmetic, reason = "doubles follow IEEE 754, as CEL says")]
pub(super) fn arithmetic<'a>(mark: &str, left: &Value<'a>, right: &Value<'a>) -> Outcome<'a> {
    let value = match (left, right) {
        (Value::Int(left), Value::Int(right)) => match mark {
            "+" => left.checked_add(*right),
            "-" => left.checked_sub(*right),
            "*" => left.checked_mul(*right),
            "/" => left.checked_div(*right),
            _ => left.checked_rem(*right),
        }
        .map(Value::Int),
        (Value::Uint(left), Value::Uint(right)) => match mark {
            "+" => left.checked_add(*right),
            "-" => left.checked_sub(*right),
            "*" => left.checked_mul(*right),
            "/" => left.checked_div(*right),
            _ => left.checked_rem(*right),
        }
        .map(Value::Uint),
        (Value::Double(left), Value::Double(right)) => match mark {
            "+" => Some(left + right),
            "-" => Some(left - right),
            "*" => Some(left * right),
            "/" => Some(left / right),
            _ => None,
        }
        .map(Value::Double),
        (Value::Text(left), Value::Text(right)) if mark == "+" => {
            Some(Value::Text(Cow::Owned(format!("{left}{right}"))))
        }
        (left, right) if mark == "+" && left.length().and(right.length()).is_some() => {
            Some(Value::List(left.items().chain(right.items()).collect()))
        }
        _ => return Err(Fault("calculates with what are not two numbers of one kind")),
    };
    value.ok_or(OVERFLOW)
}

fn size<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let size = values.first().and_then(Value::size).and_then(|size| i64::try_from(size).ok());
    size.map(Value::Int).ok_or(Fault("takes the size of what has none"))
}

fn text<'a>(values: &[Value<'a>], test: impl Fn(&str, &str) -> bool) -> Outcome<'a> {
    match values {
        [Value::Text(text), Value::Text(part)] => Ok(Value::Bool(test(text, part))),
        _ => Err(Fault("looks for a text in what is none")),
    }
}

fn int<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let int = match values.first() {
        Some(Value::Int(int)) => Some(*int),
        Some(Value::Uint(uint)) => i64::try_from(*uint).ok(),
        Some(Value::Double(double)) => whole(*double).and_then(|whole| i64::try_from(whole).ok()),
        Some(Value::Text(text)) => text.parse().ok(),
        _ => None,
    };
    int.map(Value::Int).ok_or(Fault("converts what is no integer"))
}

fn uint<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let uint = match values.first() {
        Some(Value::Int(int)) => u64::try_from(*int).ok(),
        Some(Value::Uint(uint)) => Some(*uint),
        Some(Value::Double(double)) if *double >= 0.0 => whole(*double).and_then(|whole| u64::try_from(whole).ok()),
        Some(Value::Text(text)) => text.parse().ok(),
        _ => None,
    };
    uint.map(Value::Uint).ok_or(Fault("converts what is no unsigned integer"))
}

/// A double without its fraction.
fn whole(double: f64) -> Option<i128> {
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked by whoever narrows it further")]
    double.is_finite().then_some(double as i128)
}

fn double<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    #[expect(clippy::cast_precision_loss, reason = "CEL rounds to the nearest double")]
    let double = match values.first() {
        Some(Value::Int(int)) => Some(*int as f64),
        Some(Value::Uint(uint)) => Some(*uint as f64),
        Some(Value::Double(double)) => Some(*double),
        Some(Value::Text(text)) => text.parse().ok(),
        _ => None,
    };
    double.map(Value::Double).ok_or(Fault("converts what is no number"))
}

fn string<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let text = match values.first() {
        Some(Value::Text(text)) => Some(text.clone()),
        Some(Value::Int(int)) => Some(int.to_string().into()),
        Some(Value::Uint(uint)) => Some(uint.to_string().into()),
        Some(Value::Double(double)) => Some(double.to_string().into()),
        Some(Value::Bool(bool)) => Some(bool.to_string().into()),
        _ => None,
    };
    text.map(Value::Text).ok_or(Fault("converts what is no text"))
}
