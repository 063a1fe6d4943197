//! Scopes: the words a token holds and a tool asks for.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Serialize, Serializer};

/// One scope-token.
///
/// [RFC 6749 §3.3](https://www.rfc-editor.org/rfc/rfc6749#section-3.3): printable ASCII without space, `"` and `\`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope(String);

impl Scope {
    /// Reads one scope-token; `None` when a character is outside the grammar.
    pub fn parse(text: &str) -> Option<Self> {
        let legal = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        let sound = !text.is_empty() && text.bytes().all(legal);
        sound.then(|| Self(text.to_owned()))
    }

    /// The scope as it stands in tokens and challenges.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A set of scopes, in byte order, so that the same set always reads the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Reads a space-separated list; `None` when one word is no scope-token.
    ///
    /// [RFC 6749 §3.3](https://www.rfc-editor.org/rfc/rfc6749#section-3.3) separates by single
    /// spaces; more than one is tolerated, since no word can hide in it.
    pub fn parse(text: &str) -> Option<Self> {
        let words = text.split(' ').filter(|word| !word.is_empty());
        words.map(Scope::parse).collect()
    }

    /// Whether every scope of `required` is held.
    pub fn cover(&self, required: &Self) -> bool {
        required.0.is_subset(&self.0)
    }

    /// The scopes in both sets.
    pub fn intersect(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }

    /// The scopes that are not in `other`.
    pub fn without(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).cloned().collect())
    }

    /// Adds all of `other`.
    pub fn extend(&mut self, other: &Self) {
        self.0.extend(other.0.iter().cloned());
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The scopes in byte order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(Scope::as_str)
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().collect())
    }
}

/// Space-separated, as in tokens and challenges.
impl fmt::Display for Scopes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.iter().enumerate() {
            let gap = if index == 0 { "" } else { " " };
            write!(formatter, "{gap}{scope}")?;
        }
        Ok(())
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(text: &str) -> Scopes {
        Scopes::parse(text).unwrap()
    }

    #[test]
    fn covers_only_with_every_scope() {
        assert!(scopes("crm:read crm:write").cover(&scopes("crm:read")));
        assert!(!scopes("crm:read").cover(&scopes("crm:read crm:write")));
        assert!(!scopes("crm:read_extra").cover(&scopes("crm:read")));
        assert!(!scopes("CRM:READ").cover(&scopes("crm:read")));
    }

    #[test]
    fn refuses_what_could_break_a_challenge() {
        for bad in ["a\"b", "a\\b", "a\tb", "é", "a\nb", "\u{7f}"] {
            assert!(Scopes::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn reads_the_same_in_any_order() {
        assert_eq!(scopes("b a  b").to_string(), "a b");
    }
}
