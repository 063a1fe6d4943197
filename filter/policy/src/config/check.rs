//! The rules of the policy file: raw in, [`Policy`] out, mistakes into the report.

mod issuer;
mod protocol;
mod server;

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::{Path, Report};
use super::field::{Field, Kind, each, entries, refuse_unknown};
use super::raw;
use super::unit::{Size, Span};
use crate::pattern::Pattern;
use crate::policy::{
    Audit, Body, Broker, Client, Issuer, Policy, Protocol, Resource, Revocation, Rule, Server, WhenUnreachable,
};
use crate::scope::{Scope, Scopes};
use crate::token::svid;

/// Checks a whole file.
pub fn file(raw: raw::File, digest: String, report: &mut Report) -> Option<Policy> {
    let raw::File { version, issuers, broker, servers, session_key, audit, revocation, access_log, body, unknown } =
        raw;
    let root = Path::root();
    refuse_unknown(&unknown, raw::File::FIELDS, &root, report);
    if let Some(other) = version.required(&root.at("version"), report).filter(|version| *version != 1) {
        report.add(&root.at("version"), format!("`{other}`"), "`1`");
    }
    let issuers = named(issuers, &root.at("issuers"), report, issuer::check);
    let names: Vec<String> = issuers.keys().cloned().collect();
    let issuers = distinct(issuers, &root.at("issuers"), report);
    let broker =
        broker.required(&root.at("broker"), report).and_then(|raw| self::broker(raw, &root.at("broker"), report));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let servers = named(servers, &root.at("servers"), report, |raw, name, path, report| {
        server::check(raw, name, &names, path, report)
    });
    let servers = servers.into_iter().filter_map(|(name, server)| Some((name, server?))).collect();
    overlaps(&servers, &root.at("servers"), report);
    let session_key = self::session_key(session_key, &root.at("session_key"), report);
    let audit = self::audit(audit.optional(&root.at("audit"), report).unwrap_or_default(), &root.at("audit"), report);
    let revocation = revocation.optional(&root.at("revocation"), report).unwrap_or_default();
    let revocation = self::revocation(revocation, &root.at("revocation"), report);
    let access_log = access_log.optional(&root.at("access_log"), report).unwrap_or(true);
    let bodies = [("hold", Body::Hold), ("early_headers", Body::EarlyHeaders)];
    let body = choice(body, bodies, &root.at("body"), report).unwrap_or(Body::Hold);
    if body == Body::EarlyHeaders {
        servers.values().for_each(|server| headed(server, &root.at("servers").at(&server.name), report));
    }
    Some(Policy { digest, issuers, servers, broker: broker?, session_key, audit, revocation, access_log, body })
}

/// Checks issuers that stand elsewhere than in a policy.
pub fn issuers(
    raw: BTreeMap<String, Field<raw::Issuer>>,
    path: &Path,
    report: &mut Report,
) -> BTreeMap<String, Issuer> {
    let checked = named(Field::Read(raw), path, report, issuer::check);
    distinct(checked, path, report)
}

/// Checks each entry of a required map; a wrong one stays as `None`, so that references to it are no second error.
fn named<R: Kind, V>(
    field: Field<BTreeMap<String, Field<R>>>,
    path: &Path,
    report: &mut Report,
    mut check: impl FnMut(R, &str, &Path, &mut Report) -> Option<V>,
) -> BTreeMap<String, Option<V>> {
    let map = field.required(path, report).unwrap_or_default();
    let raw = entries(map, path, report);
    let checked = raw.into_iter().map(|(name, raw)| {
        let at = path.at(&name);
        if !plain(&name) {
            report.add(&at, format!("the name {name:?}"), "a name of letters, digits, `_`, `-` and `.`");
        }
        let value = check(raw, &name, &at, report);
        (name, value)
    });
    checked.collect()
}

/// Names go into metrics and records.
fn plain(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(legal)
}

fn broker(raw: raw::Broker, path: &Path, report: &mut Report) -> Option<Broker> {
    let raw::Broker { cluster, authority, timeout, client, unknown } = raw;
    refuse_unknown(&unknown, raw::Broker::FIELDS, path, report);
    let cluster = text(cluster, &path.at("cluster"), report);
    let authority = text(authority, &path.at("authority"), report);
    let timeout = span(timeout, Duration::from_millis(500), &path.at("timeout"), report);
    if timeout.is_zero() || timeout > Duration::from_secs(30) {
        report.add(&path.at("timeout"), "no time or more than half a minute", "`1ms` to `30s`");
    }
    let client = client.optional(&path.at("client"), report).map(|raw| {
        let raw::Client { id, secret_env, unknown } = raw;
        let path = path.at("client");
        refuse_unknown(&unknown, raw::Client::FIELDS, &path, report);
        let id = text(id, &path.at("id"), report);
        let secret_env = text(secret_env, &path.at("secret_env"), report);
        Some(Client { id: id?, secret_env: secret_env? })
    });
    let client = match client {
        None => None,
        Some(client) => Some(client?),
    };
    Some(Broker { cluster: cluster?, authority: authority?, timeout, client })
}

/// The variable's name. What stands in its place could be the key itself, and is not shown.
fn session_key(field: Field<raw::SessionKey>, path: &Path, report: &mut Report) -> Option<String> {
    if matches!(field, Field::Wrong(_)) {
        let hint = "a policy can be read in Envoy's config dump: name the environment variable that holds the key";
        report.advise(path, "no object", "an object such as `{ env: NAME }`", hint);
        return None;
    }
    let raw::SessionKey { env, unknown } = field.optional(path, report)?;
    refuse_unknown(&unknown, raw::SessionKey::FIELDS, path, report);
    text(env, &path.at("env"), report)
}

fn audit(raw: raw::Audit, path: &Path, report: &mut Report) -> Audit {
    let raw::Audit { when_unreachable, queue, flush, unknown } = raw;
    refuse_unknown(&unknown, raw::Audit::FIELDS, path, report);
    let words = [("deny", WhenUnreachable::Deny), ("queue", WhenUnreachable::Queue)];
    let when_unreachable = choice(when_unreachable, words, &path.at("when_unreachable"), report);
    let when_unreachable = when_unreachable.unwrap_or(WhenUnreachable::Deny);
    let Size(queue) = queue.optional(&path.at("queue"), report).unwrap_or(Size(4 * 1_048_576));
    if queue < 65_536 {
        report.add(&path.at("queue"), "less than 64 KiB", "at least `64KiB`");
    }
    let flush = span(flush, Duration::from_secs(1), &path.at("flush"), report);
    if flush < Duration::from_millis(10) || flush > Duration::from_secs(60) {
        report.add(&path.at("flush"), "less than 10 ms or more than a minute", "`10ms` to `60s`");
    }
    Audit { when_unreachable, queue, flush }
}

fn revocation(raw: raw::Revocation, path: &Path, report: &mut Report) -> Revocation {
    let raw::Revocation { max_age, unknown } = raw;
    refuse_unknown(&unknown, raw::Revocation::FIELDS, path, report);
    let max_age = span(max_age, Duration::from_secs(30), &path.at("max_age"), report);
    if max_age < Duration::from_secs(3) || max_age > Duration::from_secs(600) {
        report.add(&path.at("max_age"), "less than 3 s or more than ten minutes", "`3s` to `10m`");
    }
    Revocation { max_age }
}

/// Reports what `body: early_headers` cannot judge.
fn headed(server: &Server, path: &Path, report: &mut Report) {
    let hint = "set `body: hold`, on a host that can hold headers";
    match server.protocol {
        Protocol::Mcp if server.rules().any(|rule| !rule.passes.is_empty()) => {
            let found = "`credential_arguments` with `body: early_headers`";
            report.advise(path, found, "credentials that no argument narrows", hint);
        }
        Protocol::Mcp => {}
        Protocol::Agent => {
            let found = "`a2a` with `body: early_headers`";
            report.advise(&path.at("protocol"), found, "a protocol whose headers say what is asked for", hint);
        }
        Protocol::Http(_) if server.tools.iter().any(Rule::wants_body) => {
            let found = "a `when` that reads `args.body` with `body: early_headers`";
            report.advise(&path.at("tools"), found, "conditions on path and query", hint);
        }
        Protocol::Http(_) => {}
    }
}

fn overlaps(servers: &BTreeMap<String, Server>, path: &Path, report: &mut Report) {
    for (name, server) in servers {
        let before = servers.iter().take_while(|(other, _)| *other != name);
        for (other, _) in before.filter(|(_, other)| other.matches.overlaps(&server.matches)) {
            let found = format!("requests that `{other}` matches too");
            report.advise(
                &path.at(name).at("match"),
                found,
                "one server for each request",
                "give them different hosts or paths",
            );
        }
    }
}

/// The issuers nothing is wrong with. Two with one `iss` would make the order of names decide which keys are asked.
fn distinct(issuers: BTreeMap<String, Option<Issuer>>, path: &Path, report: &mut Report) -> BTreeMap<String, Issuer> {
    let issuers: BTreeMap<_, _> = issuers.into_iter().filter_map(|(name, issuer)| Some((name, issuer?))).collect();
    for (name, issuer) in &issuers {
        let before = issuers.iter().take_while(|(other, _)| *other != name);
        for (other, _) in before.filter(|(_, other)| other.identifier == issuer.identifier) {
            let found = format!("the `iss` of `{other}`");
            report.add(&path.at(name).at("issuer"), found, "one entry for each `iss`");
        }
    }
    issuers
}

/// One of two words, and what it means.
fn choice<T>(field: Field<String>, words: [(&str, T); 2], path: &Path, report: &mut Report) -> Option<T> {
    let found = field.optional(path, report)?;
    let accepted = words.each_ref().map(|(word, _)| format!("`{word}`")).join(" or ");
    let chosen = words.into_iter().find(|(word, _)| *word == found);
    if chosen.is_none() {
        report.add(path, format!("`{found}`"), accepted);
    }
    chosen.map(|(_, meaning)| meaning)
}

fn text(field: Field<String>, path: &Path, report: &mut Report) -> Option<String> {
    let text = field.required(path, report)?;
    if text.is_empty() || text.chars().any(char::is_control) {
        report.add(path, format!("{text:?}"), "a text without control characters");
        return None;
    }
    Some(text)
}

fn span(field: Field<Span>, default: Duration, path: &Path, report: &mut Report) -> Duration {
    field.optional(path, report).map_or(default, |Span(span)| span)
}

fn resource(field: Field<String>, path: &Path, report: &mut Report) -> Option<Resource> {
    let text = field.required(path, report)?;
    let read = Resource::parse(&text);
    if read.is_none() {
        report.add(path, format!("`{text}`"), "an `https://` or `http://` URL without query, fragment and user");
    }
    read
}

/// Scopes as a list of words, at least one.
fn scopes(words: Vec<Field<String>>, path: &Path, report: &mut Report) -> Scopes {
    let words = each(words, path, report);
    if words.is_empty() {
        let hint = "every tool asks for a scope; any valid token would do otherwise";
        report.advise(path, "no scope", "at least one", hint);
    }
    let mut read = |(index, word): (usize, &String)| {
        let scope = Scope::parse(word);
        if scope.is_none() {
            let accepted = "printable ASCII without space, `\"` and `\\`";
            report.add(&path.item(index), format!("{word:?}"), accepted);
        }
        scope
    };
    words.iter().enumerate().filter_map(&mut read).collect()
}

/// SPIFFE IDs that may be on the other end of the connection. An empty list would let no one in.
fn workloads(field: Field<Vec<Field<String>>>, path: &Path, report: &mut Report) -> Vec<Pattern> {
    let Some(words) = field.optional(path, report) else {
        return Vec::new();
    };
    let words = each(words, path, report);
    if words.is_empty() {
        report.add(path, "no workload", "at least one, or leave it out to accept every peer");
    }
    words.iter().enumerate().filter_map(|(index, word)| workload(word, &path.item(index), report)).collect()
}

/// A SPIFFE ID, or the beginning of some within one trust domain.
fn workload(word: &str, path: &Path, report: &mut Report) -> Option<Pattern> {
    let pattern = Pattern::parse(word).filter(|pattern| match pattern {
        Pattern::Exact(id) => svid::well_formed(id),
        // A prefix within the name of a trust domain would match the trust domains of others.
        Pattern::Prefix(prefix) => svid::well_formed(&format!("{prefix}x")),
    });
    if pattern.is_none() {
        report.add(
            path,
            format!("{word:?}"),
            "a SPIFFE ID such as `spiffe://prod/agents/planner`, or with `*` at its end",
        );
    }
    pattern
}
