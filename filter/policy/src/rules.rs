//! Which rule a tool's name falls under. Lookup only.

use std::collections::BTreeMap;

use crate::policy::Rule;
use crate::resource;

/// Rules by exact name or prefix. Names compare byte for byte: no folding, no trimming, no normalising.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    exact: BTreeMap<String, Rule>,
    prefixes: BTreeMap<String, Rule>,
}

impl Rules {
    /// Compiles rules keyed by a name, or by a prefix followed by `*`.
    pub fn new(rules: impl IntoIterator<Item = (String, Rule)>) -> Self {
        let mut compiled = Self::default();
        for (key, rule) in rules {
            match key.strip_suffix('*') {
                Some(prefix) => compiled.prefixes.insert(prefix.to_owned(), rule),
                None => compiled.exact.insert(key, rule),
            };
        }
        compiled
    }

    /// The rule for `name`: the exact one, else that of the longest prefix.
    pub fn find(&self, name: &str) -> Option<&Rule> {
        let longest = || {
            let fits = self.prefixes.iter().filter(|(prefix, _)| name.starts_with(prefix.as_str()));
            fits.max_by_key(|(prefix, _)| prefix.len()).map(|(_, rule)| rule)
        };
        self.exact.get(name).or_else(longest)
    }

    /// The rule for a resource: the exact one, else that of the longest prefix, unless a server may read another
    /// place in the URI than the prefix says.
    pub fn find_uri(&self, uri: &str) -> Option<&Rule> {
        let path = uri.split_once("://").map_or(uri, |(_, rest)| rest);
        match self.exact.get(uri) {
            Some(rule) => Some(rule),
            None if resource::ambiguous(path) => None,
            None => self.find(uri),
        }
    }

    /// The rules that may be for a resource of this template, by what it begins with.
    ///
    /// [RFC 6570 §2.2](https://www.rfc-editor.org/rfc/rfc6570#section-2.2): an expression stands in braces.
    pub fn possible(&self, template: &str) -> impl Iterator<Item = &Rule> {
        let (fixed, open) = template.split_once('{').map_or((template, false), |(fixed, _)| (fixed, true));
        let exact = self.exact.iter().filter(move |(uri, _)| if open { uri.starts_with(fixed) } else { *uri == fixed });
        let below = self
            .prefixes
            .iter()
            .filter(move |(prefix, _)| fixed.starts_with(prefix.as_str()) || (open && prefix.starts_with(fixed)));
        exact.chain(below).map(|(_, rule)| rule)
    }

    /// All rules with the keys they stand under.
    pub fn named(&self) -> impl Iterator<Item = (String, &Rule)> {
        let exact = self.exact.iter().map(|(name, rule)| (name.clone(), rule));
        exact.chain(self.prefixes.iter().map(|(prefix, rule)| (format!("{prefix}*"), rule)))
    }

    /// All rules.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.exact.values().chain(self.prefixes.values())
    }
}

/// When a call is written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Recording {
    /// Once it is over; the record waits for the next batch.
    #[default]
    After,
    /// Before it goes upstream, on the broker's disk, and once more when it is over.
    Before,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Mode, Recording};
    use crate::scope::Scopes;

    fn rules(keys: &[&str]) -> Rules {
        let rule = |key: &&str| {
            let scopes = Scopes::parse(&format!("rule:{key}")).unwrap();
            (
                (*key).to_owned(),
                Rule {
                    name: format!("tools.{key}"),
                    scopes,
                    credential: None,
                    passes: Vec::new(),
                    condition: None,
                    mode: Mode::Enforce,
                    recording: Recording::After,
                },
            )
        };
        Rules::new(keys.iter().map(rule))
    }

    fn found(rules: &Rules, name: &str) -> Option<String> {
        rules.find(name).map(|rule| rule.scopes.to_string())
    }

    #[test]
    fn nothing_is_listed_unless_it_is() {
        assert_eq!(found(&Rules::default(), "anything"), None);
        assert_eq!(found(&rules(&["read"]), "read_all"), None);
    }

    #[test]
    fn the_longest_match_wins() {
        let rules = rules(&["report_*", "report_daily_*", "report_daily_x", "*"]);
        assert_eq!(found(&rules, "report_daily_x").unwrap(), "rule:report_daily_x");
        assert_eq!(found(&rules, "report_daily_y").unwrap(), "rule:report_daily_*");
        assert_eq!(found(&rules, "report_z").unwrap(), "rule:report_*");
        assert_eq!(found(&rules, "other").unwrap(), "rule:*");
    }

    #[test]
    fn below_a_prefix_of_resources_there_is_no_way_out() {
        let rules = rules(&["crm://public/*", "crm://a/../b"]);
        assert!(rules.find_uri("crm://public/a").is_some() && rules.find_uri("crm://a/../b").is_some());
        for out in
            ["crm://public/../secret", "crm://public/%2e%2e/secret", "crm://public/a%2Fb", "crm://public/x\\..\\y"]
        {
            assert!(rules.find(out).is_some(), "{out}");
            assert_eq!(rules.find_uri(out), None, "{out}");
        }
    }

    #[test]
    fn a_template_is_possible_where_its_resources_could_be() {
        let rules = rules(&["crm://public/*", "crm://one", "db://x/y/*"]);
        let possible = |template| rules.possible(template).map(|rule| rule.scopes.to_string()).collect::<Vec<_>>();
        assert_eq!(possible("crm://public/{id}"), ["rule:crm://public/*"]);
        assert_eq!(possible("crm://{kind}/{id}"), ["rule:crm://one", "rule:crm://public/*"]);
        assert_eq!(possible("db://x/{+rest}"), ["rule:db://x/y/*"]);
        assert_eq!(possible("crm://one"), ["rule:crm://one"]);
        for other in ["crm://secret/{id}", "crm://on", "db://x/y", "db://z/{id}"] {
            assert!(possible(other).is_empty(), "{other}");
        }
    }

    #[test]
    fn names_compare_byte_for_byte() {
        let rules = rules(&["read"]);
        for near in ["Read", "read ", " read", "read\0", "ｒead", "rea"] {
            assert_eq!(found(&rules, near), None, "{near:?}");
        }
    }
}
