//! The credentials of the file, each by the rules of its kind.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use accredit_policy::Policy;
use accredit_policy::config::error::Path;
use accredit_policy::config::field::{Field, Members, entries, list, nearest};
use accredit_policy::config::unit::Span;
use accredit_policy::policy::Server;
use serde::Deserialize;
use serde_json::Value;

use super::{Files, raw};
use crate::credential::aws::Aws;
use crate::credential::fixed::Fixed;
use crate::credential::github::GitHub;
use crate::credential::headers::Headers;
use crate::credential::jwt::Jwt;
use crate::credential::oauth::OAuth;
use crate::credential::openbao::OpenBao;
use crate::credential::postgres::Postgres;
use crate::credential::{Definition, Kind, Until};

/// How long a credential lives unless its definition says.
const TTL: Duration = Duration::from_secs(60);

/// The longest a credential lives that its target takes back.
const HOUR: Duration = Duration::from_secs(3600);

impl Files {
    pub(super) fn credentials(
        &mut self,
        credentials: Field<BTreeMap<String, Field<raw::Credential>>>,
        policy: Option<&Policy>,
        path: &Path,
    ) -> BTreeMap<String, Definition> {
        let map = credentials.optional(path, &mut self.report).unwrap_or_default();
        let raw = entries(map, path, &mut self.report);
        let named: BTreeSet<_> = raw.iter().map(|(name, _)| name.clone()).collect();
        let rules = policy.into_iter().flat_map(Policy::servers).flat_map(Server::rules);
        let missing = rules.filter_map(|rule| rule.credential.as_ref()).filter(|name| !named.contains(*name));
        for name in missing.collect::<BTreeSet<_>>() {
            self.report.add(&path.at(name), "nothing", "a definition, since a tool of the policy asks for it");
        }
        let read = raw.into_iter().filter_map(|(name, raw)| {
            let definition = self.credential(raw, &path.at(&name))?;
            Some((name, definition))
        });
        let read: BTreeMap<_, _> = read.collect();
        for (name, definition) in &read {
            self.apart(definition, policy, &path.at(name).at("audience"));
        }
        read
    }

    /// A token the broker signs for a target must be none that an agent could come back with.
    fn apart(&mut self, definition: &Definition, policy: Option<&Policy>, path: &Path) {
        let Kind::Jwt(Jwt { audience }) = &definition.kind else { return };
        let servers = policy.into_iter().flat_map(Policy::servers);
        if let Some(server) = servers.into_iter().find(|server| server.audiences.contains(audience)) {
            let found = format!("`{audience}`, which tokens of agents for `{}` carry", server.name);
            self.report.add(path, found, "an audience of the target's own");
        }
    }

    fn credential(&mut self, raw: raw::Credential, path: &Path) -> Option<Definition> {
        let raw::Credential { kind, ttl, reuse, until, headers, unknown } = raw;
        let at = path.at("kind");
        let word = kind.required(&at, &mut self.report).unwrap_or_default();
        let words = |fields: &[&str]| fields.iter().map(|field| (*field).to_owned()).collect();
        let (fields, usual, longest): (Vec<_>, &[(&str, &str)], _) = match word.as_str() {
            "jwt" => (words(Jwt::FIELDS), Jwt::HEADERS, TTL),
            "static" => (words(Fixed::FIELDS), Fixed::HEADERS, TTL),
            "openbao" => (OpenBao::fields(&unknown), OpenBao::HEADERS, HOUR),
            "aws" => (words(Aws::FIELDS), Aws::HEADERS, Aws::LONGEST),
            "github" => (words(GitHub::FIELDS), GitHub::HEADERS, HOUR),
            "oauth" => (words(OAuth::FIELDS), OAuth::HEADERS, HOUR),
            "postgres" => (words(Postgres::FIELDS), Postgres::HEADERS, HOUR),
            _ => (Vec::new(), &[], TTL),
        };
        let kind = match word.as_str() {
            "" => None,
            "jwt" => Jwt::check(unknown, self, path).map(Kind::Jwt),
            "static" => Fixed::check(unknown, self, path).map(Kind::Fixed),
            "openbao" => OpenBao::check(unknown, self, path).map(Kind::OpenBao),
            "aws" => Aws::check(unknown, self, path).map(Box::new).map(Kind::Aws),
            "github" => GitHub::check(unknown, self, path).map(Box::new).map(Kind::GitHub),
            "oauth" => OAuth::check(unknown, self, path).map(Box::new).map(Kind::OAuth),
            "postgres" => Postgres::check(unknown, self, path).map(Box::new).map(Kind::Postgres),
            _ => {
                self.report.add(&at, format!("`{word}`"), list(KINDS));
                None
            }
        };
        let longest = match &kind {
            Some(Kind::Aws(aws)) => aws.duration(),
            _ => longest,
        };
        let ttl = self.span(ttl, Duration::from_secs(1)..=longest, &path.at("ttl")).unwrap_or(TTL);
        let reuse = self.span(reuse, Duration::from_secs(1)..=ttl, &path.at("reuse"));
        let until = self.until(until, reuse, &path.at("until"));
        if let (Some(Kind::OAuth(oauth)), Some(_)) = (&kind, reuse)
            && oauth.exchanges()
        {
            let found = "`reuse` beside `grant: token_exchange`";
            self.report.add(&path.at("reuse"), found, "none: what is exchanged depends on the one token");
        }
        let kind = kind?;
        let fields: Vec<_> = fields.iter().map(String::as_str).collect();
        let headers = Headers::check(headers, &fields, usual, &path.at("headers"), &mut self.report);
        Some(Definition { ttl, reuse, until, headers, kind })
    }

    fn until(&mut self, field: Field<String>, reuse: Option<Duration>, path: &Path) -> Until {
        let word = field.optional(path, &mut self.report);
        match (word.as_deref(), reuse) {
            (None, None) | (Some("call"), None) => Until::Call,
            (None | Some("expiry"), _) => Until::Expiry,
            (Some("call"), Some(_)) => {
                self.report.add(path, "`call` beside `reuse`", "`expiry`, since other calls use it too");
                Until::Call
            }
            (Some(other), _) => {
                self.report.add(path, format!("`{other}`"), "`call` or `expiry`");
                Until::Call
            }
        }
    }

    /// A duration within bounds, where one is given.
    pub fn span(&mut self, field: Field<Span>, bounds: RangeInclusive<Duration>, path: &Path) -> Option<Duration> {
        let Span(span) = field.optional(path, &mut self.report)?;
        if !bounds.contains(&span) {
            let accepted = format!("`{}s` to `{}s`", bounds.start().as_secs(), bounds.end().as_secs());
            self.report.add(path, format!("`{span:?}`"), accepted);
        }
        Some(span)
    }

    /// The members of a definition that only its kind knows, as that kind's object; others are reported.
    pub fn own<T: for<'de> Deserialize<'de> + Default>(&mut self, members: Members, fields: &[&str], path: &Path) -> T {
        let accepted: Vec<_> = raw::Credential::FIELDS.iter().chain(fields).copied().collect();
        for name in members.keys().filter(|name| !fields.contains(&name.as_str())) {
            let found = format!("unknown key `{name}`");
            let accepted_list = format!("one of {}", list(&accepted));
            match nearest(name, &accepted) {
                Some(near) => {
                    self.report.advise(&path.at(name), found, accepted_list, &format!("did you mean `{near}`?"));
                }
                None => self.report.add(&path.at(name), found, accepted_list),
            }
        }
        T::deserialize(Value::Object(members.into_iter().collect())).unwrap_or_default()
    }
}

/// The kinds there are.
const KINDS: &[&str] = &["aws", "github", "jwt", "oauth", "openbao", "postgres", "static"];
