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

/// A message taken apart, its parts still in the text.
#[derive(Debug, Default)]
pub(super) struct Answer<'a> {
    text: &'a str,
    lists: Vec<(Listing, Vec<&'a RawValue>)>,
    /// The first plain name in the result: other members can be put before it.
    first: Option<&'a str>,
    ttl: Option<&'a RawValue>,
    scope: Option<&'a RawValue>,
}

impl<'a> Answer<'a> {
    /// Reads a message strictly, as far as what it lists depends on it.
    pub(super) fn read(text: &'a str) -> Result<Self, Flaw> {
        let mut answer = Self { text, ..Self::default() };
        json::read(text, Message(&mut answer)).map_err(|_| Flaw("the answer is not one strict message"))?;
        Ok(answer)
    }

    /// The text, without the items that are not `shown`, and with what is said about caches.
    pub(super) fn render(&self, keep: Keep, shown: Shown<'_>) -> Result<String, Flaw> {
        let mut changes = Vec::new();
        for (listing, items) in &self.lists {
            changes.extend(self.narrow(*listing, items, shown)?);
        }
        if let (Keep::Privately(longest), Some(first)) = (keep, self.first) {
            changes.extend(self.scope(first)?);
            changes.extend(self.ttl(first, longest)?);
        }
        changes.sort_by_key(|(range, _)| range.start);
        self.changed(&changes)
    }

    /// The list with fewer items, where there are fewer.
    fn narrow(&self, listing: Listing, items: &[&'a RawValue], shown: Shown<'_>) -> Result<Option<Change>, Flaw> {
        let kept: Vec<_> = items
            .iter()
            .map(|item| item.get())
            .filter(|item| named(item, listing.name()).is_some_and(|name| shown(listing, &name)))
            .collect();
        let (Some(first), Some(last)) = (items.first(), items.last()) else { return Ok(None) };
        if kept.len() == items.len() {
            return Ok(None);
        }
        let range = self.place(first.get())?.start..self.place(last.get())?.end;
        Ok(Some((range, kept.join(","))))
    }

    fn scope(&self, first: &str) -> Result<Option<Change>, Flaw> {
        match self.scope.map(RawValue::get) {
            Some("\"private\"") => Ok(None),
            Some(other) => Ok(Some((self.place(other)?, "\"private\"".into()))),
            None => Ok(Some((self.before(first)?, "\"cacheScope\":\"private\",".into()))),
        }
    }

    fn ttl(&self, first: &str, longest: u64) -> Result<Option<Change>, Flaw> {
        match self.ttl.map(RawValue::get) {
            Some(said) if said.parse().is_ok_and(|said: u64| said <= longest) => Ok(None),
            Some(said) => Ok(Some((self.place(said)?, longest.to_string()))),
            // Without it nothing is kept at all.
            None => Ok(Some((self.before(first)?, "\"ttlMs\":0,".into()))),
        }
    }

    /// Where `part`, which is a part of the text, stands in it.
    fn place(&self, part: &str) -> Result<Range<usize>, Flaw> {
        let start = part.as_ptr().addr().checked_sub(self.text.as_ptr().addr());
        let range = start.and_then(|start| Some(start..start.checked_add(part.len())?));
        range.filter(|range| self.text.get(range.clone()) == Some(part)).ok_or(Flaw("a part is not of the answer"))
    }

    /// Before the quotation mark of the name `name`.
    fn before(&self, name: &str) -> Result<Range<usize>, Flaw> {
        let quote = self.place(name)?.start.checked_sub(1).ok_or(Flaw("a name has no beginning"))?;
        Ok(quote..quote)
    }

    fn changed(&self, changes: &[Change]) -> Result<String, Flaw> {
        let part = |range: Range<usize>| self.text.get(range).ok_or(Flaw("a part is not of the answer"));
        let mut changed = String::with_capacity(self.text.len().saturating_add(64));
        let mut from = 0;
        for (range, instead) in changes {
            changed.push_str(part(from..range.start)?);
            changed.push_str(instead);
            from = range.end;
        }
        changed.push_str(part(from..self.text.len())?);
        Ok(changed)
    }
}

/// What stands somewhere instead of what stood there.
type Change = (Range<usize>, String);

/// The name of an item; `None` when it has none that all clients read alike.
fn named<'a>(item: &'a str, by: &'static str) -> Option<Cow<'a, str>> {
    json::read(item, Item { by, name: None }).ok().flatten()
}

struct Message<'x, 'a>(&'x mut Answer<'a>);

impl<'a> DeserializeSeed<'a> for Message<'_, 'a> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'a>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Message<'_, 'a> {
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
struct Outcome<'x, 'a>(&'x mut Answer<'a>);

impl<'a> DeserializeSeed<'a> for Outcome<'_, 'a> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'a>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Outcome<'_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a result")
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<(), A::Error> {
        let answer = self.0;
        json::walk(map, |map, name| {
            let listing = Listing::HELD.iter().find(|(member, _)| *member == name);
            if let (Cow::Borrowed(plain), None) = (&name, answer.first) {
                answer.first = Some(plain);
            }
            match (&*name, listing) {
                (_, Some((_, listing))) => answer.lists.push((*listing, map.next_value_seed(Items)?)),
                ("ttlMs", _) => answer.ttl = Some(map.next_value()?),
                ("cacheScope", _) => answer.scope = Some(map.next_value()?),
                (other, _) if nearly(other, RESULT) => {
                    return Err(A::Error::custom("a name is nearly one that matters"));
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
            Ok(())
        })
    }
}

/// The items of a list, unread.
struct Items;

impl<'a> DeserializeSeed<'a> for Items {
    type Value = Vec<&'a RawValue>;

    fn deserialize<D: serde::Deserializer<'a>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_seq(self)
    }
}

impl<'a> Visitor<'a> for Items {
    type Value = Vec<&'a RawValue>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(items)
    }
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
