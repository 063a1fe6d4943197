//! Members of configuration objects, read one by one so that one mistake does not hide the next.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::error::{Path, Report};

/// One member as it was found. Reading it never fails; checking it does.
#[derive(Clone, Debug, Default)]
pub enum Field<T> {
    /// The name does not stand in the object.
    #[default]
    Missing,
    /// A value of the right kind.
    Read(T),
    /// A value of another kind, shown as it stands.
    Wrong(String),
}

/// A kind of value a member can hold.
pub trait Kind: DeserializeOwned {
    /// What is accepted, for the error: `a duration such as "30s"`.
    const ACCEPTED: &'static str;
}

impl Kind for String {
    const ACCEPTED: &'static str = "a string";
}

impl Kind for bool {
    const ACCEPTED: &'static str = "`true` or `false`";
}

impl Kind for u64 {
    const ACCEPTED: &'static str = "a whole number";
}

impl Kind for Value {
    const ACCEPTED: &'static str = "a value";
}

impl<T: Kind> Kind for Vec<Field<T>> {
    const ACCEPTED: &'static str = "a list";
}

impl<T: Kind> Kind for BTreeMap<String, Field<T>> {
    const ACCEPTED: &'static str = "an object";
}

impl<'de, T: Kind> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        Value::deserialize(source).map(read)
    }
}

/// The members of an object.
pub type Members = BTreeMap<String, Value>;

/// Takes one member out.
pub fn take<T: Kind>(members: &mut Members, name: &str) -> Field<T> {
    members.remove(name).map_or(Field::Missing, read)
}

fn read<T: Kind>(value: Value) -> Field<T> {
    let shown = show(&value);
    serde_json::from_value(value).map_or(Field::Wrong(shown), Field::Read)
}

impl<T> Field<T> {
    /// Whether the name stands in the object.
    pub fn stands(&self) -> bool {
        !matches!(self, Self::Missing)
    }
}

impl<T: Kind> Field<T> {
    /// The value, or `None` after reporting what stands in its place; a missing one is an error.
    pub fn required(self, path: &Path, report: &mut Report) -> Option<T> {
        if matches!(self, Self::Missing) {
            report.add(path, "nothing", T::ACCEPTED);
        }
        self.optional(path, report)
    }

    /// The value if there is one; another kind of value is an error.
    pub fn optional(self, path: &Path, report: &mut Report) -> Option<T> {
        match self {
            Self::Missing => None,
            Self::Read(value) => Some(value),
            Self::Wrong(found) => {
                report.add(path, found, T::ACCEPTED);
                None
            }
        }
    }
}

/// Checks each element of a list; those that are wrong are reported and left out.
pub fn each<T: Kind>(items: Vec<Field<T>>, path: &Path, report: &mut Report) -> Vec<T> {
    let read = |(index, item): (usize, Field<T>)| item.required(&path.item(index), report);
    items.into_iter().enumerate().filter_map(read).collect()
}

/// Checks each entry of a map; those that are wrong are reported and left out.
pub fn entries<T: Kind>(map: BTreeMap<String, Field<T>>, path: &Path, report: &mut Report) -> Vec<(String, T)> {
    let mut read = |(name, field): (String, Field<T>)| {
        let value = field.required(&path.at(&name), report)?;
        Some((name, value))
    };
    map.into_iter().filter_map(&mut read).collect()
}

/// Reports every member no one reads.
pub fn refuse_unknown(unknown: &BTreeMap<String, Value>, fields: &[&str], path: &Path, report: &mut Report) {
    for name in unknown.keys() {
        let accepted = format!("one of {}", list(fields));
        let found = format!("unknown key `{name}`");
        match nearest(name, fields) {
            Some(near) => report.advise(&path.at(name), found, accepted, &format!("did you mean `{near}`?")),
            None => report.add(&path.at(name), found, accepted),
        }
    }
}

/// The words in backticks, comma-separated.
pub fn list(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

/// A value as an error shows it: short, one line.
fn show(value: &Value) -> String {
    let text = match value {
        Value::Object(_) => return "an object".into(),
        Value::Array(_) => return "a list".into(),
        other => other.to_string(),
    };
    let short: String = text.chars().take(60).collect();
    let rest = if short.len() < text.len() { "…" } else { "" };
    format!("`{short}{rest}`")
}

/// The accepted word that differs from `name` least, if the difference looks like a slip.
pub fn nearest<'a>(name: &str, fields: &[&'a str]) -> Option<&'a str> {
    let apart = |field: &&&str| distance(name, field);
    let near = fields.iter().min_by_key(apart)?;
    (distance(name, near) <= 2 && name.len() <= 40).then_some(*near)
}

/// How many single-letter edits lie between two words (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (line, from) in left.chars().enumerate() {
        let mut corner = line;
        let mut before = line.saturating_add(1);
        let letters = row.iter_mut();
        for (cell, to) in letters.zip(std::iter::once(None).chain(right.chars().map(Some))) {
            let Some(to) = to else {
                *cell = before;
                continue;
            };
            let swap = corner.saturating_add(usize::from(from != to));
            corner = *cell;
            before = swap.min(cell.saturating_add(1)).min(before.saturating_add(1));
            *cell = before;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Declares a configuration object: every member a [`Field`], every other name kept as unknown.
///
/// `requires` is what the JSON Schema says; the check says it by [`Field::required`].
#[macro_export]
macro_rules! object {
    ($(#[$meta:meta])* pub struct $name:ident $(requires [$($needed:literal),*])? { $($(#[$doc:meta])* pub $field:ident: $kind:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
        $(#[cfg_attr(feature = "schema", schemars(extend("required" = [$($needed),*])))])?
        pub struct $name {
            $(
                $(#[$doc])*
                #[cfg_attr(feature = "schema", schemars(default))]
                pub $field: $crate::config::field::Field<$kind>,
            )*
            /// Names that mean nothing here.
            #[cfg_attr(feature = "schema", schemars(skip))]
            pub unknown: std::collections::BTreeMap<String, serde_json::Value>,
        }

        // Member by member from a map: what serde derives for it takes several times the room.
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
                let mut members = $crate::config::field::Members::deserialize(source)?;
                $(
                    let $field = $crate::config::field::take(&mut members, $crate::config::field::plain(stringify!($field)));
                )*
                Ok(Self { $($field,)* unknown: members })
            }
        }

        impl $name {
            /// The names that mean something.
            pub const FIELDS: &'static [&'static str] = &[$($crate::config::field::plain(stringify!($field))),*];
        }

        impl $crate::config::field::Kind for $name {
            const ACCEPTED: &'static str = "an object";
        }
    };
}

/// A field's name without the mark Rust needs where it is a keyword.
pub const fn plain(name: &str) -> &str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

#[cfg(feature = "schema")]
impl<T: schemars::JsonSchema> schemars::JsonSchema for Field<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }

    fn inline_schema() -> bool {
        T::inline_schema()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word() {
        assert_eq!(nearest("isuer", &["issuer", "jwks"]), Some("issuer"));
        assert_eq!(nearest("tols", &["tools"]), Some("tools"));
        assert_eq!(nearest("banana", &["issuer", "jwks"]), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
