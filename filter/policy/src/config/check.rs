//! The rules of the policy file: raw in, [`Policy`] out, mistakes into the report.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::error::{Path, Report};
use super::field::{Field, each, entries, list, refuse_unknown};
use super::raw;
use super::unit::{Size, Span};
use crate::policy::{Audit, Broker, Client, Issuer, KeySource, Match, Policy, Resource, Rule, Server, WhenUnreachable};
use crate::resource::Paths;
use crate::rules::Rules;
use crate::scope::{Scope, Scopes};
use crate::token::{Algorithm, KeySet, typ::Typ};

/// Checks a whole file.
pub fn file(raw: raw::File, digest: String, report: &mut Report) -> Option<Policy> {
    let raw::File { version, issuers, broker, servers, audit, access_log, unknown } = raw;
    let root = Path::root();
    refuse_unknown(&unknown, raw::File::FIELDS, &root, report);
    if let Some(other) = version.required(&root.at("version"), report).filter(|version| *version != 1) {
        report.add(&root.at("version"), format!("`{other}`"), "`1`");
    }
    let issuers = named(issuers, &root.at("issuers"), report, issuer);
    let broker =
        broker.required(&root.at("broker"), report).and_then(|raw| self::broker(raw, &root.at("broker"), report));
    let names: Vec<&str> = issuers.keys().map(String::as_str).collect();
    let servers =
        named(servers, &root.at("servers"), report, |raw, name, path, report| server(raw, name, &names, path, report));
    let servers = servers.into_iter().filter_map(|(name, server)| Some((name, server?))).collect();
    overlaps(&servers, &root.at("servers"), report);
    let issuers: BTreeMap<_, _> = issuers.into_iter().filter_map(|(name, issuer)| Some((name, issuer?))).collect();
    same_issuer(&issuers, &root.at("issuers"), report);
    let audit = self::audit(audit.optional(&root.at("audit"), report).unwrap_or_default(), &root.at("audit"), report);
    let access_log = access_log.optional(&root.at("access_log"), report).unwrap_or(true);
    Some(Policy { digest, issuers, servers, broker: broker?, audit, access_log })
}

/// Checks each entry of a required map; a wrong one stays as `None`, so that references to it are no second error.
fn named<R: super::field::Kind, V>(
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

fn issuer(raw: raw::Issuer, name: &str, path: &Path, report: &mut Report) -> Option<Issuer> {
    let raw::Issuer {
        issuer,
        jwks,
        algorithms,
        typ,
        agent_claim,
        scope_claim,
        clock_skew,
        max_token_lifetime,
        unknown,
    } = raw;
    refuse_unknown(&unknown, raw::Issuer::FIELDS, path, report);
    let identifier = issuer.required(&path.at("issuer"), report);
    if identifier.as_ref().is_some_and(String::is_empty) {
        report.add(&path.at("issuer"), "an empty string", "the `iss` of its tokens");
    }
    let keys = jwks.required(&path.at("jwks"), report).and_then(|raw| keys(raw, &path.at("jwks"), report));
    let algorithms = self::algorithms(algorithms, &path.at("algorithms"), report);
    let typ = typ.optional(&path.at("typ"), report).unwrap_or_else(|| "at+jwt".into());
    let agent_claim = agent_claim.optional(&path.at("agent_claim"), report).unwrap_or_else(|| "client_id".into());
    let scope_claim = scope_claim.optional(&path.at("scope_claim"), report).unwrap_or_else(|| "scope".into());
    let clock_skew = span(clock_skew, Duration::from_secs(30), &path.at("clock_skew"), report);
    if clock_skew > Duration::from_secs(60) {
        report.add(&path.at("clock_skew"), "more than a minute", "at most `60s`");
    }
    let hour = Duration::from_secs(3600);
    let max_token_lifetime = span(max_token_lifetime, hour, &path.at("max_token_lifetime"), report);
    Some(Issuer {
        name: name.to_owned(),
        identifier: identifier?,
        keys: keys?,
        algorithms,
        typ: Typ::new(&typ),
        agent_claim,
        scope_claim,
        clock_skew,
        max_token_lifetime,
    })
}

fn algorithms(field: Field<Vec<Field<String>>>, path: &Path, report: &mut Report) -> Vec<Algorithm> {
    let names = each(field.required(path, report).unwrap_or_default(), path, report);
    if names.is_empty() {
        report.add(path, "no algorithm", format!("at least one of {}", list(Algorithm::NAMES)));
    }
    let mut read = |(index, name): (usize, &String)| {
        let known = Algorithm::parse(name);
        if known.is_none() {
            let accepted = format!("one of {}", list(Algorithm::NAMES));
            report.add(&path.item(index), format!("`{name}`"), accepted);
        }
        known
    };
    names.iter().enumerate().filter_map(&mut read).collect()
}

fn keys(raw: raw::Jwks, path: &Path, report: &mut Report) -> Option<KeySource> {
    let raw::Jwks { keys, url, cluster, refresh, unknown } = raw;
    refuse_unknown(&unknown, raw::Jwks::FIELDS, path, report);
    let inline = !matches!(keys, Field::Missing);
    let fetched = !matches!((&url, &cluster), (Field::Missing, Field::Missing));
    if inline == fetched {
        let found = if inline { "both `keys` and `url` or `cluster`" } else { "neither `keys` nor `url`" };
        report.add(path, found, "either `keys`, or `url` with `cluster`");
        return None;
    }
    if inline {
        let keys: Vec<Value> = each(keys.optional(&path.at("keys"), report)?, &path.at("keys"), report);
        let bad = |bad| report.add(&path.at("keys"), format!("a key set that {bad}"), "public JSON Web Keys");
        return KeySet::read(&keys).map_err(bad).ok().map(KeySource::Inline);
    }
    let url = resource(url, &path.at("url"), report);
    let cluster = text(cluster, &path.at("cluster"), report);
    let refresh = span(refresh, Duration::from_secs(300), &path.at("refresh"), report);
    if refresh < Duration::from_secs(10) {
        report.add(&path.at("refresh"), "less than ten seconds", "at least `10s`");
    }
    Some(KeySource::Fetched { url: url?, cluster: cluster?, refresh })
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

fn server(raw: raw::Server, name: &str, issuers: &[&str], path: &Path, report: &mut Report) -> Option<Server> {
    let raw::Server { resource, r#match, protocol, issuers: accepted, audiences, tools, limits, unknown } = raw;
    refuse_unknown(&unknown, raw::Server::FIELDS, path, report);
    let resource = self::resource(resource, &path.at("resource"), report);
    let matches = r#match.required(&path.at("match"), report).and_then(|raw| matching(raw, &path.at("match"), report));
    let protocol = protocol.required(&path.at("protocol"), report);
    if let Some(other) = protocol.filter(|protocol| protocol != "mcp") {
        report.add(&path.at("protocol"), format!("`{other}`"), "`mcp`");
    }
    let accepted = references(accepted, issuers, &path.at("issuers"), report);
    let audiences = match audiences {
        Field::Missing => resource.iter().map(|resource| resource.as_str().to_owned()).collect(),
        given => each(given.optional(&path.at("audiences"), report).unwrap_or_default(), &path.at("audiences"), report),
    };
    if audiences.is_empty() && resource.is_some() {
        report.add(&path.at("audiences"), "no audience", "at least one, or leave it out to require `resource`");
    }
    let tools = self::tools(tools.optional(&path.at("tools"), report).unwrap_or_default(), &path.at("tools"), report);
    let limit = limit(limits.optional(&path.at("limits"), report).unwrap_or_default(), &path.at("limits"), report);
    Some(Server {
        name: name.to_owned(),
        resource: resource?,
        matches: matches?,
        issuers: accepted,
        audiences,
        tools,
        limit,
    })
}

fn matching(raw: raw::Match, path: &Path, report: &mut Report) -> Option<Match> {
    let raw::Match { host, path: only, path_prefix: below, unknown } = raw;
    refuse_unknown(&unknown, raw::Match::FIELDS, path, report);
    let host = text(host, &path.at("host"), report);
    let only = only.optional(&path.at("path"), report);
    let below = below.optional(&path.at("path_prefix"), report);
    let paths = match (only, below) {
        (Some(only), None) if only.starts_with('/') && !only.contains('?') => Paths::Only(only),
        (Some(only), None) => {
            report.add(&path.at("path"), format!("`{only}`"), "a path that begins with `/` and has no query");
            return None;
        }
        (None, Some(below)) if below.starts_with('/') && below.ends_with('/') => Paths::Below(below),
        (None, Some(below)) => {
            report.add(&path.at("path_prefix"), format!("`{below}`"), "a path that begins and ends with `/`");
            return None;
        }
        (None, None) => {
            report.add(path, "neither `path` nor `path_prefix`", "one of the two");
            return None;
        }
        (Some(_), Some(_)) => {
            report.add(path, "both `path` and `path_prefix`", "one of the two");
            return None;
        }
    };
    Some(Match::new(&host?, paths))
}

fn references(field: Field<Vec<Field<String>>>, known: &[&str], path: &Path, report: &mut Report) -> Vec<String> {
    let missing = matches!(field, Field::Missing);
    let names = each(field.required(path, report).unwrap_or_default(), path, report);
    if names.is_empty() && !missing {
        report.add(path, "no issuer", format!("at least one of {}", list(known)));
    }
    for (index, name) in names.iter().enumerate().filter(|(_, name)| !known.contains(&name.as_str())) {
        let accepted = format!("a name below `issuers`: {}", list(known));
        report.add(&path.item(index), format!("`{name}`"), accepted);
    }
    names
}

fn tools(map: BTreeMap<String, Field<raw::Rule>>, path: &Path, report: &mut Report) -> Rules {
    let rules = entries(map, path, report).into_iter().filter_map(|(name, raw)| {
        let at = path.at(&name);
        let stars = name.trim_end_matches('*');
        if name.is_empty() || stars.contains('*') || name.ends_with("**") || name.chars().any(char::is_control) {
            report.add(&at, format!("the tool name {name:?}"), "an exact name, or a prefix that ends in one `*`");
        }
        Some((name, rule(raw, &at, report)?))
    });
    Rules::new(rules.collect::<Vec<_>>())
}

fn rule(raw: raw::Rule, path: &Path, report: &mut Report) -> Option<Rule> {
    let raw::Rule { scopes, credential, unknown } = raw;
    refuse_unknown(&unknown, raw::Rule::FIELDS, path, report);
    let at = path.at("scopes");
    let words = each(scopes.required(&at, report)?, &at, report);
    if words.is_empty() {
        report.advise(
            &at,
            "no scope",
            "at least one",
            "every tool asks for a scope; any valid token would do otherwise",
        );
    }
    let mut read = |(index, word): (usize, &String)| {
        let scope = Scope::parse(word);
        if scope.is_none() {
            let accepted = "printable ASCII without space, `\"` and `\\`";
            report.add(&at.item(index), format!("{word:?}"), accepted);
        }
        scope
    };
    let scopes: Scopes = words.iter().enumerate().filter_map(&mut read).collect();
    let credential = match credential {
        Field::Missing => None,
        given => Some(text(given, &path.at("credential"), report)?),
    };
    Some(Rule { scopes, credential })
}

fn limit(raw: raw::Limits, path: &Path, report: &mut Report) -> usize {
    let raw::Limits { request, unknown } = raw;
    refuse_unknown(&unknown, raw::Limits::FIELDS, path, report);
    let Size(size) = request.optional(&path.at("request"), report).unwrap_or(Size(1_048_576));
    if !(1..=16 * 1_048_576).contains(&size) {
        report.add(&path.at("request"), "no room or more than 16 MiB", "`1B` to `16MiB`");
    }
    size
}

fn audit(raw: raw::Audit, path: &Path, report: &mut Report) -> Audit {
    let raw::Audit { when_unreachable, queue, flush, unknown } = raw;
    refuse_unknown(&unknown, raw::Audit::FIELDS, path, report);
    let word = when_unreachable.optional(&path.at("when_unreachable"), report);
    let when_unreachable = match word.as_deref() {
        None | Some("deny") => WhenUnreachable::Deny,
        Some("queue") => WhenUnreachable::Queue,
        Some(other) => {
            report.add(&path.at("when_unreachable"), format!("`{other}`"), "`deny` or `queue`");
            WhenUnreachable::Deny
        }
    };
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

/// Two entries with one `iss` would make the order of names decide which keys are asked.
fn same_issuer(issuers: &BTreeMap<String, Issuer>, path: &Path, report: &mut Report) {
    for (name, issuer) in issuers {
        let before = issuers.iter().take_while(|(other, _)| *other != name);
        for (other, _) in before.filter(|(_, other)| other.identifier == issuer.identifier) {
            let found = format!("the `iss` of `{other}`");
            report.add(&path.at(name).at("issuer"), found, "one entry for each `iss`");
        }
    }
}

fn resource(field: Field<String>, path: &Path, report: &mut Report) -> Option<Resource> {
    let text = field.required(path, report)?;
    let read = Resource::parse(&text);
    if read.is_none() {
        report.add(path, format!("`{text}`"), "an `https://` or `http://` URL without query, fragment and user");
    }
    read
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
