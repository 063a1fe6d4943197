//! Servers: which requests are for them, whom they believe, and what may be called.

use std::collections::BTreeMap;
use std::time::Duration;

use accredit_condition::{Condition, Flaw, Place, Schema, Variable};

use super::protocol::Speaks;
use super::{choice, span, text, workloads};
use crate::config::error::{Path, Report};
use crate::config::field::{Field, each, entries, list, refuse_unknown};
use crate::config::raw;
use crate::config::unit::Size;
use crate::mcp;
use crate::pattern::Pattern;
use crate::policy::{Denials, Limits, Match, Mode, Recording, Resource, Rule, Sender, Server};
use crate::resource::Paths;
use crate::rules::Rules;
use crate::token::chain::{DEPTH, Delegation};
use crate::token::dpop::Demand;

/// Checks one server; `issuers` are the names it may refer to.
pub(super) fn check(
    raw: raw::Server,
    name: &str,
    issuers: &[&str],
    path: &Path,
    report: &mut Report,
) -> Option<Server> {
    let raw::Server {
        resource,
        r#match,
        protocol,
        issuers: accepted,
        audiences,
        sender,
        dpop,
        workloads: tied,
        delegation,
        tools,
        prompts,
        resources,
        methods,
        origins,
        denials,
        mode,
        shadow,
        limits,
        unknown,
    } = raw;
    refuse_unknown(&unknown, raw::Server::FIELDS, path, report);
    let resource = super::resource(resource, &path.at("resource"), report);
    let matches = r#match.required(&path.at("match"), report).and_then(|raw| matching(raw, &path.at("match"), report));
    let speaks = Speaks::read(protocol, &path.at("protocol"), report);
    let accepted = references(accepted, issuers, &path.at("issuers"), report);
    let audiences = match audiences {
        Field::Missing => resource.iter().map(|resource| resource.as_str().to_owned()).collect(),
        given => each(given.optional(&path.at("audiences"), report).unwrap_or_default(), &path.at("audiences"), report),
    };
    if audiences.is_empty() && resource.is_some() {
        report.add(&path.at("audiences"), "no audience", "at least one, or leave it out to require `resource`");
    }
    let sender = self::sender(sender, &path.at("sender"), report);
    let dpop = demand(dpop.optional(&path.at("dpop"), report).unwrap_or_default(), &path.at("dpop"), report);
    let workloads = workloads(tied, &path.at("workloads"), report);
    let delegation = delegation.optional(&path.at("delegation"), report);
    let delegation = delegation.map(|raw| self::delegation(raw, &path.at("delegation"), report)).unwrap_or_default();
    let mut tools = tools.optional(&path.at("tools"), report).unwrap_or_default();
    let sections = [("prompts", prompts.stands()), ("resources", resources.stands()), ("methods", methods.stands())];
    speaks.refuse(&sections, denials.stands().then_some("denials"), path, report);
    let protocol = speaks.protocol(&mut tools, matches.as_ref(), &path.at("tools"), report);
    let tools = rules(Field::Read(tools), "tools", path, report);
    let prompts = rules(prompts, "prompts", path, report);
    let resources = rules(resources, "resources", path, report);
    let methods = self::methods(methods, path, report);
    let limits =
        self::limits(limits.optional(&path.at("limits"), report).unwrap_or_default(), &path.at("limits"), report);
    let origins = self::origins(origins, &path.at("origins"), report);
    let words = [("http", Denials::Http), ("jsonrpc", Denials::JsonRpc)];
    let denials = choice(denials, words, &path.at("denials"), report).unwrap_or(Denials::Http);
    let mode = extent(self::mode(mode, &path.at("mode"), report), shadow, &path.at("shadow"), report);
    let asks = asks([&tools, &prompts, &resources, &methods]);
    Some(Server {
        name: name.to_owned(),
        resource: resource?,
        matches: matches?,
        protocol: protocol?,
        issuers: accepted,
        audiences,
        sender,
        dpop,
        workloads,
        delegation,
        tools,
        prompts,
        resources,
        methods,
        origins,
        denials,
        mode,
        asks,
        limits,
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
        (None, Some(below)) if below.starts_with('/') && !below.contains('?') => Paths::Below(below),
        (None, Some(below)) => {
            report.add(&path.at("path_prefix"), format!("`{below}`"), "a path that begins with `/` and has no query");
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

fn sender(field: Field<String>, path: &Path, report: &mut Report) -> Sender {
    let Some(word) = field.optional(path, report) else {
        return Sender::Bearer;
    };
    Sender::parse(&word).unwrap_or_else(|| {
        report.add(path, format!("`{word}`"), format!("one of {}", list(Sender::NAMES)));
        Sender::Bearer
    })
}

fn demand(raw: raw::Dpop, path: &Path, report: &mut Report) -> Demand {
    let raw::Dpop { max_age, nonce, unknown } = raw;
    refuse_unknown(&unknown, raw::Dpop::FIELDS, path, report);
    let usual = Demand::default();
    let max_age = span(max_age, usual.max_age, &path.at("max_age"), report);
    if max_age < Duration::from_secs(1) || max_age > Duration::from_secs(300) {
        report.add(&path.at("max_age"), "less than a second or more than five minutes", "`1s` to `5m`");
    }
    let nonce = nonce.optional(&path.at("nonce"), report).unwrap_or(usual.nonce);
    Demand { max_age, nonce }
}

fn delegation(raw: raw::Delegation, path: &Path, report: &mut Report) -> Delegation {
    let raw::Delegation { max_depth, actors, unknown } = raw;
    refuse_unknown(&unknown, raw::Delegation::FIELDS, path, report);
    let max_depth = max_depth.optional(&path.at("max_depth"), report);
    let depth = max_depth.map_or(Some(DEPTH), |depth| usize::try_from(depth).ok()).filter(|depth| *depth <= DEPTH);
    if depth.is_none() {
        report.add(&path.at("max_depth"), "more than 16 actors", "`0` to `16`");
    }
    let at = path.at("actors");
    let actors = actors.optional(&at, report).map(|words| patterns(&each(words, &at, report), &at, report));
    Delegation { max_depth: depth.unwrap_or_default(), actors }
}

fn patterns(words: &[String], path: &Path, report: &mut Report) -> Vec<Pattern> {
    let mut read = |(index, word): (usize, &String)| {
        let pattern = Pattern::parse(word);
        if pattern.is_none() {
            report.add(&path.item(index), format!("{word:?}"), "an exact name, or a prefix that ends in one `*`");
        }
        pattern
    };
    words.iter().enumerate().filter_map(&mut read).collect()
}

/// The rules of one section of the server at `path`.
fn rules(map: Field<BTreeMap<String, Field<raw::Rule>>>, section: &str, path: &Path, report: &mut Report) -> Rules {
    let path = &path.at(section);
    let map = map.optional(path, report).unwrap_or_default();
    let rules = entries(map, path, report).into_iter().filter_map(|(name, raw)| {
        let at = path.at(&name);
        if Pattern::parse(&name).is_none() {
            report.add(&at, format!("the name {name:?}"), "an exact name, or a prefix that ends in one `*`");
        }
        let rule = rule(raw, format!("{section}.{name}"), &at, report)?;
        Some((name, rule))
    });
    Rules::new(rules.collect::<Vec<_>>())
}

/// Methods, of which those that are about something have their rules elsewhere.
fn methods(map: Field<BTreeMap<String, Field<raw::Rule>>>, path: &Path, report: &mut Report) -> Rules {
    if let Field::Read(map) = &map {
        let at = path.at("methods");
        for (method, section) in map.keys().filter_map(|name| Some((name, mcp::section(name)?))) {
            let found = format!("`{method}`, whose rules stand under `{section}`");
            report.add(&at.at(method), found, "a method that is about no tool, prompt, resource or task");
        }
    }
    rules(map, "methods", path, report)
}

fn rule(raw: raw::Rule, name: String, path: &Path, report: &mut Report) -> Option<Rule> {
    let raw::Rule { r#match, scopes, credential, credential_arguments, when, mode, audit, arguments, unknown } = raw;
    refuse_unknown(&unknown, raw::Rule::FIELDS, path, report);
    let at = path.at("scopes");
    let scopes = super::scopes(scopes.required(&at, report)?, &at, report);
    let credential = match credential {
        Field::Missing => None,
        given => Some(text(given, &path.at("credential"), report)?),
    };
    let passes = passes(credential_arguments, credential.as_deref(), &path.at("credential_arguments"), report);
    // What a tool of `http` matches was taken out before.
    if r#match.stands() {
        report.add(&path.at("match"), "a `match`", "nothing: only tools of `http` servers have one");
    }
    let schema = arguments.optional(&path.at("arguments"), report).map(|schema| Schema::read(&schema));
    let condition = match when.optional(&path.at("when"), report) {
        None => None,
        Some(text) => Some(condition(&text, schema.as_ref(), &path.at("when"), report)?),
    };
    let mode = self::mode(mode, &path.at("mode"), report);
    let words = [("after", Recording::After), ("before", Recording::Before)];
    let recording = choice(audit, words, &path.at("audit"), report).unwrap_or_default();
    Some(Rule { name, scopes, credential, passes, condition, mode, recording })
}

/// Names of arguments the broker gets to see, which is none of them unless a rule says so.
fn passes(field: Field<Vec<Field<String>>>, credential: Option<&str>, path: &Path, report: &mut Report) -> Vec<String> {
    if field.stands() && credential.is_none() {
        report.add(path, "a list beside no `credential`", "it only where a credential is minted");
    }
    let names = each(field.optional(path, report).unwrap_or_default(), path, report);
    let sound = |name: &String| (1..=64).contains(&name.len()) && !name.chars().any(char::is_control);
    if names.len() > 8 || !names.iter().all(sound) {
        report.add(path, "more than 8 names, or one that is none", "up to 8 names of arguments");
    }
    names
}

/// Whether some condition asks how a call came in.
fn asks(sections: [&Rules; 4]) -> bool {
    let mut conditions = sections.into_iter().flat_map(Rules::iter).filter_map(|rule| rule.condition.as_ref());
    conditions.any(|condition| condition.asks(Variable::Request))
}

fn condition(text: &str, schema: Option<&Schema>, path: &Path, report: &mut Report) -> Option<Condition> {
    let wrong = |Flaw { place, found, accepted }: Flaw| {
        let Place { line, column } = place;
        report.add(path, format!("{found} at line {line} column {column}"), accepted);
    };
    Condition::parse(text, schema).map_err(wrong).ok()
}

fn origins(field: Field<Vec<Field<String>>>, path: &Path, report: &mut Report) -> Vec<String> {
    let origins = each(field.optional(path, report).unwrap_or_default(), path, report);
    for (index, text) in origins.iter().enumerate() {
        // [RFC 6454 §6.2](https://www.rfc-editor.org/rfc/rfc6454#section-6.2): `null` is what a page without one sends.
        let sound = Resource::parse(text).is_some_and(|origin| origin.path().is_empty()) || text == "null";
        if !sound || *text != text.to_ascii_lowercase() {
            report.add(
                &path.item(index),
                format!("`{text}`"),
                "an origin in lower case, such as `https://app.example.com`",
            );
        }
    }
    origins
}

fn mode(field: Field<String>, path: &Path, report: &mut Report) -> Mode {
    choice(field, [("enforce", Mode::Enforce), ("shadow", Mode::Shadow)], path, report).unwrap_or_default()
}

/// How far `mode: shadow` goes.
fn extent(mode: Mode, field: Field<String>, path: &Path, report: &mut Report) -> Mode {
    let extent = choice(field, [("calls", Mode::Shadow), ("all", Mode::ShadowAll)], path, report);
    if extent.is_some() && mode == Mode::Enforce {
        report.advise(path, "`shadow` without `mode: shadow`", "nothing", "set `mode: shadow`, or leave it out");
    }
    extent.unwrap_or(mode)
}

fn limits(raw: raw::Limits, path: &Path, report: &mut Report) -> Limits {
    let raw::Limits { request, list_response, unknown } = raw;
    refuse_unknown(&unknown, raw::Limits::FIELDS, path, report);
    let mut size = |field: Field<Size>, name: &str, usual: usize| {
        let Size(size) = field.optional(&path.at(name), report).unwrap_or(Size(usual));
        if !(1..=16 * MEBIBYTE).contains(&size) {
            report.add(&path.at(name), "no room or more than 16 MiB", "`1B` to `16MiB`");
        }
        size
    };
    let request = size(request, "request", MEBIBYTE);
    Limits { request, list: size(list_response, "list_response", 4 * MEBIBYTE) }
}

const MEBIBYTE: usize = 1_048_576;
