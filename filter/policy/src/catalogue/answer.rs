//! One message of the server's: where in its text the lists stand, and the text without some of their items.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Flaw, Keep, Listing, Shown};
use crate::json;
use crate::jsonrpc::nearly;

/// Names that decide what a message is.
const MESSAGE: &[&str] = &["result", "error", "method"];

/// Names that decide what a result lists, and for how long it may be kept.
const RESULT: &[&str] = &["tools", "prompts", "resources", "resourceTemplates", "ttlMs", "cacheScope"];

/// Names that decide what an item is.
const ITEM: &[&str] = &["name", "uri", "uriTemplate"];

/// `text` without the items that are not `shown`, and with what is said about caches; borrowed where that is all of it.
pub(super) fn narrow<'a>(text: &'a str, keep: Keep, shown: Shown<'_>) -> Result<Cow<'a, str>, Flaw> {
    let mut answer = Answer { text, keep, shown, changes: Vec::new(), first: None, ttl: false, scope: false };
    json::read(text, Message(&mut answer)).map_err(|_| Flaw("the answer is not one strict message"))?;
    answer.complete()?;
    answer.changed()
}

/// A message that is read, and what has to change in its text.
struct Answer<'x, 'a> {
    text: &'a str,
    keep: Keep,
    shown: Shown<'x>,
    /// In the order of the text.
    changes: Vec<Change>,
    /// The first name in the result: other members can be put before it.
    first: Option<Cow<'a, str>>,
    ttl: bool,
    scope: bool,
}

/// What stands somewhere instead of what stood there.
type Change = (Range<usize>, Cow<'static, str>);

impl<'a> Answer<'_, 'a> {
    /// Sees to what is said about caches in `value`, that of the result's member `name`.
    fn cached(&mut self, name: &str, value: &'a RawValue) -> Option<()> {
        let Keep::Privately(longest) = self.keep else { return Some(()) };
        let instead = match name {
            "ttlMs" => {
                self.ttl = true;
                limited(value.get(), longest)
            }
            _ => {
                self.scope = true;
                (value.get() != PRIVATE).then_some(PRIVATE.into())
            }
        };
        if let Some(instead) = instead {
            self.changes.push((self.place(value.get())?, instead));
        }
        Some(())
    }

    /// Adds what the result has to say about caches and does not.
    fn complete(&mut self) -> Result<(), Flaw> {
        if self.keep == Keep::AsSaid || (self.ttl && self.scope) {
            return Ok(());
        }
        // The quotation mark before a name that is escaped cannot be found, and no server escapes these.
        let first = match &self.first {
            None => return Ok(()),
            Some(Cow::Owned(_)) => return Err(Flaw("the first name of the result is escaped")),
            Some(Cow::Borrowed(first)) => *first,
        };
        let quote = self.place(first).and_then(|place| place.start.checked_sub(1)).ok_or(LOST)?;
        // Without `ttlMs` nothing is kept at all.
        for (said, member) in [(self.ttl, "\"ttlMs\":0,"), (self.scope, "\"cacheScope\":\"private\",")] {
            if !said {
                self.changes.insert(0, (quote..quote, member.into()));
            }
        }
        Ok(())
    }

    /// Where `part`, which is a part of the text, stands in it.
    fn place(&self, part: &str) -> Option<Range<usize>> {
        let start = part.as_ptr().addr().checked_sub(self.text.as_ptr().addr())?;
        let range = start..start.checked_add(part.len())?;
        self.text.get(range.clone()).filter(|found| std::ptr::eq(*found, part)).map(|_| range)
    }

    fn changed(&self) -> Result<Cow<'a, str>, Flaw> {
        if self.changes.is_empty() {
            return Ok(Cow::Borrowed(self.text));
        }
        let mut changed = String::with_capacity(self.text.len().saturating_add(64));
        let mut from = 0;
        for (range, instead) in &self.changes {
            changed.push_str(self.text.get(from..range.start).ok_or(LOST)?);
            changed.push_str(instead);
            from = range.end;
        }
        changed.push_str(self.text.get(from..).ok_or(LOST)?);
        Ok(Cow::Owned(changed))
    }
}

const PRIVATE: &str = "\"private\"";

/// Parts are parts of the text, so this is never seen; if it were, nothing would be shown.
const LOST: Flaw = Flaw("a part is not of the answer");

/// What to say instead of `said`, at most `longest`. What cannot be read is not kept at all.
fn limited(said: &str, longest: u64) -> Option<Cow<'static, str>> {
    match said.parse::<u64>() {
        Ok(said) if said <= longest => None,
        Ok(_) => Some(longest.to_string().into()),
        Err(_) => Some("0".into()),
    }
}

/// The name of an item; `None` when it has none that all clients read alike.
fn named<'a>(item: &'a str, by: &'static str) -> Option<Cow<'a, str>> {
    json::read(item, Item { by, name: None }).ok().flatten()
}

struct Message<'y, 'x, 'a>(&'y mut Answer<'x, 'a>);

impl<'a> DeserializeSeed<'a> for Message<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'a>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Message<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a message")
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<(), A::Error> {
        json::walk(map, |map, name| match &*name {
            "result" => map.next_value_seed(Outcome(self.0)),
            other if nearly(other, MESSAGE) => Err(A::Error::custom("a name is nearly one that matters")),
            _ => map.next_value::<IgnoredAny>().map(drop),
        })
    }
}

/// A result. One that is no object lists nothing.
struct Outcome<'y, 'x, 'a>(&'y mut Answer<'x, 'a>);

impl<'a> DeserializeSeed<'a> for Outcome<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'a>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Outcome<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a result")
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<(), A::Error> {
        let answer = self.0;
        json::walk(map, |map, name| {
            answer.first.get_or_insert_with(|| name.clone());
            let listing = Listing::HELD.iter().find(|(member, _)| *member == name);
            match (&*name, listing) {
                (_, Some((_, listing))) => map.next_value_seed(Items(answer, *listing))?,
                ("ttlMs" | "cacheScope", _) => answer.cached(&name, map.next_value()?).ok_or_else(lost)?,
                (other, _) if nearly(other, RESULT) => {
                    return Err(A::Error::custom("a name is nearly one that matters"));
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
            Ok(())
        })
    }
}

/// The items of a list.
struct Items<'y, 'x, 'a>(&'y mut Answer<'x, 'a>, Listing);

impl<'a> DeserializeSeed<'a> for Items<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'a>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_seq(self)
    }
}

impl<'a> Visitor<'a> for Items<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    /// Takes out each run of hidden items with the comma before it, or behind it where no item is left before.
    fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<(), A::Error> {
        let Self(answer, listing) = self;
        let (mut hidden, mut left, mut end) = (None, false, 0);
        while let Some(item) = list.next_element::<&RawValue>()? {
            let place = answer.place(item.get()).ok_or_else(lost)?;
            let shown = named(item.get(), listing.name()).is_some_and(|name| (answer.shown)(listing, &name));
            if !shown {
                hidden.get_or_insert(if left { end } else { place.start });
            } else if let Some(from) = hidden.take() {
                let to = if left { end } else { place.start };
                answer.changes.push((from..to, Cow::default()));
            }
            left |= shown;
            end = place.end;
        }
        answer.changes.extend(hidden.map(|from| (from..end, Cow::default())));
        Ok(())
    }
}

fn lost<E: serde::de::Error>() -> E {
    E::custom(LOST)
}

/// One item, of which only the name is kept.
struct Item<'a> {
    by: &'static str,
    name: Option<Cow<'a, str>>,
}

impl<'a> DeserializeSeed<'a> for Item<'a> {
    type Value = Option<Cow<'a, str>>;

    fn deserialize<D: serde::Deserializer<'a>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Item<'a> {
    type Value = Option<Cow<'a, str>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an item")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, map: A) -> Result<Self::Value, A::Error> {
        json::walk(map, |map, name| {
            match name == self.by {
                true => self.name = Some(map.next_value_seed(json::Name)?),
                false if nearly(&name, ITEM) => return Err(A::Error::custom("a name is nearly one that matters")),
                false => drop(map.next_value::<IgnoredAny>()?),
            }
            Ok(())
        })?;
        Ok(self.name)
    }
}
