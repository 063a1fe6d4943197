//! Strict JSON: what is accepted here reads the same in every other parser.
//!
//! [RFC 8259 §4](https://www.rfc-editor.org/rfc/rfc8259#section-4) leaves duplicate names open and parsers
//! differ on them, on lone surrogates, byte order marks and huge numbers. Each difference would let a server
//! read another message than the one that was judged, so all of them are refused.

mod walk;

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Deserializer, Map, Number, Value};

pub(crate) use walk::{Name, Skim, below, walk};

/// How deep arrays and objects may nest.
pub const DEPTH: usize = 64;

/// Why a text is not strict JSON; for the operator's log, free of the text's own content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw(String);

impl Flaw {
    /// Whether the text is JSON, only with another kind of value than was asked for.
    pub(crate) fn is_of_kind(&self) -> bool {
        self.0.starts_with(KIND)
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Reads the whole of `bytes` as UTF-8 text without a byte order mark.
pub fn text(bytes: &[u8]) -> Result<&str, Flaw> {
    let text = std::str::from_utf8(bytes).map_err(|_| Flaw("not UTF-8".into()))?;
    match text.starts_with('\u{feff}') {
        true => Err(Flaw("begins with a byte order mark".into())),
        false => Ok(text),
    }
}

/// Reads a whole text as one value.
pub fn value(text: &str) -> Result<Value, Flaw> {
    read(text, Node { depth: 0 })
}

/// How many values a text may hold that is built in memory for a condition: each takes many times its bytes.
const VALUES: usize = 20_000;

/// Reads a whole text as one value of not too many parts. What they are parted by stands in strings too; a text is only
/// ever counted too high.
pub fn bounded(text: &str) -> Result<Value, Flaw> {
    match text.bytes().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count() <= VALUES {
        true => value(text),
        false => Err(Flaw("of too many values for a condition".into())),
    }
}

/// Reads a whole text as one string, which borrows where nothing in it is escaped.
pub fn string(text: &str) -> Result<Cow<'_, str>, Flaw> {
    read(text, Name)
}

/// Checks that `text` is one strict value nested at `depth`, and keeps nothing of it.
pub fn check(text: &str, depth: usize) -> Result<(), Flaw> {
    read(text, Skim { depth })
}

/// Splits an object into its members, values unread.
///
/// Each value still has to go through [`members`], [`value`] or [`check`]: until then it is only skipped.
pub fn members(text: &str) -> Result<Vec<(Cow<'_, str>, &RawValue)>, Flaw> {
    read(text, Shallow)
}

/// Splits a list into its items, unread as those of [`members`].
pub fn items(text: &str) -> Result<Vec<&RawValue>, Flaw> {
    read(text, PhantomData)
}

/// Reads a whole text as `seed` does.
pub(crate) fn read<'a, S: DeserializeSeed<'a>>(text: &'a str, seed: S) -> Result<S::Value, Flaw> {
    let mut source = Deserializer::from_str(text);
    let value = seed.deserialize(&mut source).map_err(flaw)?;
    source.end().map_err(flaw)?;
    Ok(value)
}

/// Keeps the category and the place of serde's error; its text may quote the input.
fn flaw(error: serde_json::Error) -> Flaw {
    let (line, column) = (error.line(), error.column());
    let what = match error.classify() {
        serde_json::error::Category::Eof => "cut short".into(),
        serde_json::error::Category::Data => known(&error.to_string()),
        _ => "not JSON".to_owned(),
    };
    Flaw(format!("{what} at line {line} column {column}"))
}

const DUPLICATE: &str = "a name stands twice in one object";
const DEEP: &str = "nested deeper than 64 levels";
const KIND: &str = "not the expected kind of value";

fn known(text: &str) -> String {
    let ours = [DUPLICATE, DEEP].into_iter().find(|ours| text.starts_with(ours));
    ours.unwrap_or(KIND).to_owned()
}

/// Builds a value.
#[derive(Clone, Copy)]
struct Node {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Node {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let depth = below(self.depth)?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Self { depth })? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        let depth = below(self.depth)?;
        let mut object = Map::new();
        walk(map, |map, name| {
            let value = map.next_value_seed(Self { depth })?;
            object.insert(name.into_owned(), value);
            Ok(())
        })?;
        Ok(Value::Object(object))
    }
}

/// Splits an object.
struct Shallow;

impl<'de> DeserializeSeed<'de> for Shallow {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn deserialize<D: serde::Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Shallow {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        walk(map, |map, name| {
            members.push((name, map.next_value()?));
            Ok(())
        })?;
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_plain_json() {
        let text = r#"{"a":[1,-2,3.5,true,null,"ü\u00e9\ud83d\ude00"],"b":{"a":1}}"#;
        assert_eq!(value(text).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        assert!(check(text, 0).is_ok());
    }

    #[test]
    fn refuses_what_parsers_disagree_on() {
        for bad in [
            r#"{"a":1,"a":2}"#,
            r#"{"x":{"name":1,"n\u0061me":2}}"#,
            r#"{"0":0,"1":0,"2":0,"3":0,"4":0,"5":0,"6":0,"7":0,"8":0,"9":0,"a":0,"b":0,"c":0,"d":0,"e":0,"f":0,"g":0,"g":0}"#,
            r#"{"0":0,"1":0,"2":0,"3":0,"4":0,"5":0,"6":0,"7":0,"8":0,"9":0,"a":0,"b":0,"c":0,"d":0,"e":0,"f":0,"g":0,"0":0}"#,
            r#"["\ud800"]"#,
            r#"{"\udc00":1}"#,
            "[1e400]",
            "[NaN]",
            "[1] [2]",
            "[1,]",
            "[01]",
            "{'a':1}",
            "[\"\u{1}\"]",
            "// c\n1",
            "",
        ] {
            assert!(check(bad, 0).is_err(), "{bad}");
            assert!(value(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn refuses_a_byte_order_mark_and_foreign_encodings() {
        assert!(text(b"\xef\xbb\xbf{}").is_err());
        assert!(text(b"{\"a\":\"\xff\"}").is_err());
        assert!(text(b"\xff\xfe{\0}\0").is_err());
    }

    #[test]
    fn nests_64_levels_and_no_deeper() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(check(&nested(64), 0).is_ok());
        assert!(check(&nested(65), 0).is_err());
        assert!(check(&nested(63), 2).is_err());
        assert!(value(&nested(100_000)).is_err());
    }

    #[test]
    fn what_is_built_for_a_condition_is_bounded() {
        let list = |items: usize| format!("[{}0]", "0,".repeat(items));
        assert!(bounded(&list(VALUES - 1)).is_ok());
        assert!(bounded(&list(VALUES)).is_err() && value(&list(VALUES)).is_ok());
        assert!(bounded(&format!("[{}]", ["[]"; VALUES].join(","))).is_err());
    }

    #[test]
    fn a_flaw_quotes_nothing_of_the_text() {
        let error = value(r#"{"hunter2":1,"hunter2":2}"#).unwrap_err();
        assert_eq!(error.to_string(), "a name stands twice in one object at line 1 column 22");
        let error = members(r#""hunter2""#).unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }

    #[test]
    fn members_keep_their_bytes() {
        let split = members(r#" {"a" : [1, 2],"b":{ } } "#).unwrap();
        let texts: Vec<_> = split.iter().map(|(name, raw)| (&**name, raw.get())).collect();
        assert_eq!(texts, [("a", "[1, 2]"), ("b", "{ }")]);
    }
}
