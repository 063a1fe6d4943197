//! Issuers: whose tokens are accepted, and how they are proved.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::{choice, resource, scopes, span, text, workload, workloads};
use crate::config::error::{Path, Report};
use crate::config::field::{Field, each, entries, list, refuse_unknown};
use crate::config::raw;
use crate::policy::{Issuer, KeySource, Profile, Resource, Status};
use crate::scope::Scopes;
use crate::token::jwk::Reading;
use crate::token::{Algorithm, KeySet, svid, typ::Typ};

/// The longest time a document of an issuer's may be trusted.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The longest time between two fetches of keys, which are trusted for a day.
const HALF_DAY: Duration = Duration::from_secs(12 * 3600);

/// Checks one issuer.
pub(super) fn check(raw: raw::Issuer, name: &str, path: &Path, report: &mut Report) -> Option<Issuer> {
    let raw::Issuer {
        kind,
        issuer,
        jwks,
        algorithms,
        typ,
        agent_claim,
        scope_claim,
        clock_skew,
        max_token_lifetime,
        grants,
        workloads: tied,
        status,
        unknown,
    } = raw;
    refuse_unknown(&unknown, raw::Issuer::FIELDS, path, report);
    let kinds = [("oauth", false), ("spiffe", true)];
    let spiffe = choice(kind, kinds, &path.at("kind"), report).unwrap_or_default();
    if spiffe {
        unused(&typ, "typ", path, report);
        unused(&agent_claim, "agent_claim", path, report);
    }
    let identifier = identifier(issuer, spiffe, &path.at("issuer"), report);
    let profile = profile(spiffe, grants, identifier.as_deref(), &path.at("grants"), report);
    let algorithms = self::algorithms(algorithms, spiffe, &path.at("algorithms"), report);
    let reading = Reading { accepted: &algorithms, usage: profile.usage() };
    let keys = jwks.required(&path.at("jwks"), report).and_then(|raw| keys(raw, reading, &path.at("jwks"), report));
    let typ = typ.optional(&path.at("typ"), report).unwrap_or_else(|| "at+jwt".into());
    let agent_claim = agent_claim.optional(&path.at("agent_claim"), report).unwrap_or_else(|| "client_id".into());
    let scope_claim = scope_claim.optional(&path.at("scope_claim"), report).unwrap_or_else(|| "scope".into());
    let clock_skew = span(clock_skew, Duration::from_secs(30), &path.at("clock_skew"), report);
    if clock_skew > Duration::from_secs(60) {
        report.add(&path.at("clock_skew"), "more than a minute", "at most `60s`");
    }
    let hour = Duration::from_secs(3600);
    let max_token_lifetime = span(max_token_lifetime, hour, &path.at("max_token_lifetime"), report);
    let workloads = workloads(tied, &path.at("workloads"), report);
    let status = match status.optional(&path.at("status"), report) {
        None => None,
        Some(raw) => Some(self::status(raw, homes(identifier.as_deref(), keys.as_ref()), &path.at("status"), report)?),
    };
    Some(Issuer {
        name: name.to_owned(),
        identifier: identifier?,
        profile,
        keys: keys?,
        algorithms,
        typ: Typ::new(&typ),
        agent_claim,
        scope_claim,
        clock_skew,
        max_token_lifetime,
        workloads,
        status,
    })
}

fn unused(field: &Field<String>, name: &str, path: &Path, report: &mut Report) {
    if !matches!(field, Field::Missing) {
        let hint = "a JWT-SVID has a fixed type, and its agent is its `sub`";
        report.advise(&path.at(name), "a key that `kind: spiffe` does not use", "nothing", hint);
    }
}

fn identifier(field: Field<String>, spiffe: bool, path: &Path, report: &mut Report) -> Option<String> {
    let text = field.required(path, report)?;
    if text.is_empty() {
        report.add(path, "an empty string", "the `iss` of its tokens");
    }
    if spiffe && !svid::domain(&text) {
        report.add(path, format!("`{text}`"), "a trust domain such as `spiffe://prod.example.com`");
    }
    Some(text)
}

fn profile(
    spiffe: bool,
    grants: Field<BTreeMap<String, Field<Vec<Field<String>>>>>,
    domain: Option<&str>,
    path: &Path,
    report: &mut Report,
) -> Profile {
    if !spiffe {
        if !matches!(grants, Field::Missing) {
            let hint = "the tokens of an OAuth issuer say themselves what was granted";
            report.advise(path, "grants without `kind: spiffe`", "nothing", hint);
        }
        return Profile::AccessToken;
    }
    let map = entries(grants.optional(path, report).unwrap_or_default(), path, report);
    let mut read = |(name, words): (String, Vec<Field<String>>)| {
        let at = path.at(&name);
        let scopes: Scopes = scopes(words, &at, report);
        let pattern = workload(&name, &at, report)?;
        if domain.is_some_and(|domain| !svid::within(&name, domain)) {
            report.add(&at, format!("`{name}`"), "a workload of the issuer's trust domain");
        }
        Some((pattern, scopes))
    };
    Profile::JwtSvid { grants: map.into_iter().filter_map(&mut read).collect() }
}

fn algorithms(field: Field<Vec<Field<String>>>, spiffe: bool, path: &Path, report: &mut Report) -> Vec<Algorithm> {
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
        if spiffe && known.is_some_and(|known| !svid::ALGORITHMS.contains(&known)) {
            report.add(&path.item(index), format!("`{name}`"), "an algorithm of JWT-SVIDs: `ES…`, `PS…` or `RS…`");
        }
        known
    };
    names.iter().enumerate().filter_map(&mut read).collect()
}

fn keys(raw: raw::Jwks, reading: Reading<'_>, path: &Path, report: &mut Report) -> Option<KeySource> {
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
        return KeySet::read(&keys, reading).map_err(bad).ok().map(KeySource::Inline);
    }
    let url = resource(url, &path.at("url"), report);
    let cluster = text(cluster, &path.at("cluster"), report);
    let refresh = span(refresh, Duration::from_secs(300), &path.at("refresh"), report);
    if refresh < Duration::from_secs(10) || refresh > HALF_DAY {
        report.add(&path.at("refresh"), "less than ten seconds or more than twelve hours", "`10s` to `12h`");
    }
    Some(KeySource::Fetched { url: url?, cluster: cluster?, refresh })
}

/// The origins that are the issuer's own: of its identifier, and of its keys.
fn homes(identifier: Option<&str>, keys: Option<&KeySource>) -> Vec<String> {
    let keys = keys.and_then(|keys| match keys {
        KeySource::Fetched { url, .. } => Some(url.clone()),
        KeySource::Inline(_) => None,
    });
    let own = [identifier.and_then(Resource::parse), keys];
    own.iter().flatten().map(|home| home.origin().to_owned()).collect()
}

fn status(raw: raw::Status, mut origins: Vec<String>, path: &Path, report: &mut Report) -> Option<Status> {
    let raw::Status { cluster, max_age, origins: more, unknown } = raw;
    refuse_unknown(&unknown, raw::Status::FIELDS, path, report);
    let cluster = text(cluster, &path.at("cluster"), report);
    let max_age = span(max_age, Duration::from_secs(300), &path.at("max_age"), report);
    if max_age < Duration::from_secs(1) || max_age > DAY {
        report.add(&path.at("max_age"), "less than a second or more than a day", "`1s` to `24h`");
    }
    let at = path.at("origins");
    for (index, text) in each(more.optional(&at, report).unwrap_or_default(), &at, report).into_iter().enumerate() {
        match Resource::parse(&text).is_some_and(|origin| origin.path().is_empty()) {
            true => origins.push(text),
            false => report.add(&at.item(index), format!("`{text}`"), "an origin such as `https://status.example.com`"),
        }
    }
    if origins.is_empty() {
        let hint = "neither `issuer` nor `jwks` is a URL whose origin could be taken";
        report.advise(&at, "no origin", "at least one", hint);
    }
    Some(Status { cluster: cluster?, max_age, origins })
}
