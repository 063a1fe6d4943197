//! What is walked over: names once each, levels counted, nothing kept.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};

use super::{DEEP, DEPTH, DUPLICATE};

/// One level further down, or the error that ends it.
pub(crate) fn below<E: serde::de::Error>(depth: usize) -> Result<usize, E> {
    let next = depth.saturating_add(1);
    if next > DEPTH { Err(E::custom(DEEP)) } else { Ok(next) }
}

/// A member's name, unescaped.
pub(crate) struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: serde::Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// Walks an object, each name once, each value handed to `each`.
pub(crate) fn walk<'de, A: MapAccess<'de>>(
    mut map: A,
    mut each: impl FnMut(&mut A, Cow<'de, str>) -> Result<(), A::Error>,
) -> Result<(), A::Error> {
    let mut seen = Seen::default();
    while let Some(name) = map.next_key_seed(Name)? {
        if !seen.insert(name.clone()) {
            return Err(A::Error::custom(DUPLICATE));
        }
        each(&mut map, name)?;
    }
    Ok(())
}

/// The names of an object so far. Few are compared one by one, many are kept in order: an object with very many names
/// must not take their square.
#[derive(Default)]
struct Seen<'de> {
    few: Vec<Cow<'de, str>>,
    many: BTreeSet<Cow<'de, str>>,
}

/// How many names are few.
const FEW: usize = 16;

impl<'de> Seen<'de> {
    /// Notes a name; `false` when it was there.
    fn insert(&mut self, name: Cow<'de, str>) -> bool {
        if self.few.contains(&name) {
            return false;
        }
        if self.few.len() == FEW {
            return self.many.insert(name);
        }
        self.few.push(name);
        true
    }
}

/// Checks a value and keeps nothing.
#[derive(Clone, Copy)]
pub(crate) struct Skim {
    pub(crate) depth: usize,
}

impl<'de> DeserializeSeed<'de> for Skim {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skim {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let depth = below(self.depth)?;
        while seq.next_element_seed(Self { depth })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let depth = below(self.depth)?;
        walk(map, |map, _| map.next_value_seed(Self { depth }))
    }
}
