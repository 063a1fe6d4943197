//! What has to hold in every test, whatever it is about. Runs when a [`Proxy`] is dropped.

use crate::cluster::Call;
use crate::headers::Headers;
use crate::host::{Host, State};
use crate::proxy::{Exception, Proxy};
use serde_json::Value;

/// Fails with everything that is wrong in what `proxy` saw:
///
/// - a client's token, or its payload or signature, in a reply, upstream, in a log line, a metric's name, filter state,
///   shared data or an audit record;
/// - a challenge that is not one line of one known scheme;
/// - a JSON reply that is not JSON;
/// - a trap, or a stream that was misused.
#[track_caller]
pub fn all(proxy: &Proxy) {
    let host = proxy.core.host.borrow();
    let allowed = proxy.allowed.borrow();
    let mut found = Vec::new();
    if !allowed.contains(&Exception::Trap) {
        found.extend(host.traps.iter().map(|trap| format!("a VM trapped: {trap}")));
    }
    if !allowed.contains(&Exception::Fault) {
        found.extend(host.faults.iter().cloned());
    }
    let tokens = Tokens::of(&host);
    for (id, state) in &host.streams {
        found.extend(reply(state, &tokens).into_iter().map(|problem| format!("stream {id}: {problem}")));
        let upstream = &state.request.released;
        let headers =
            [&upstream.headers, &upstream.trailers].map(|headers| headers.iter().map(text).collect::<String>());
        let seen = headers.concat() + &String::from_utf8_lossy(&upstream.chunks.concat());
        if !allowed.contains(&Exception::TokenUpstream) && tokens.leak(state, &seen) {
            found.push(format!("stream {id}: the client's token went upstream"));
        }
    }
    found.extend(elsewhere(&host, &tokens));
    if !found.is_empty() {
        let log: Vec<&str> = host.log.iter().map(|line| line.text.as_str()).collect();
        panic!("{}\nlog:\n{}", found.join("\n"), log.join("\n"));
    }
}

/// Every audit record the broker accepted: the members of `records` in each body posted to `/v1/audit/events` that was
/// answered with a 2xx status, in the order of the answers' calls.
pub fn audit_records(proxy: &Proxy) -> Vec<Value> {
    let host = proxy.core.host.borrow();
    host.calls
        .values()
        .filter(|made| audit(&made.call) && made.status.is_some_and(|status| (200..300).contains(&status)))
        .flat_map(|made| made.call.json()["records"].as_array().cloned().unwrap_or_default())
        .collect()
}

fn audit(call: &Call) -> bool {
    call.headers.text(":path").is_some_and(|path| path.split('?').next() == Some("/v1/audit/events"))
}

fn reply(state: &State, tokens: &Tokens) -> Vec<String> {
    let mut found = Vec::new();
    let released = &state.response.released;
    let Some(headers) = &released.headers else { return found };
    let body = released.chunks.concat();
    if tokens.leak(state, &(text(headers) + &String::from_utf8_lossy(&body))) {
        found.push("the client's token is in the reply".into());
    }
    if !state.local {
        return found;
    }
    let challenges: Vec<&[u8]> = headers.all("www-authenticate").collect();
    if challenges.len() > 1 {
        found.push("more than one challenge".into());
    }
    for challenge in challenges {
        let known = challenge.starts_with(b"Bearer ") || challenge.starts_with(b"DPoP ");
        if !known || challenge.iter().any(|byte| *byte < b' ' || *byte > b'~') {
            found.push(format!("malformed challenge `{}`", String::from_utf8_lossy(challenge)));
        }
    }
    let json = headers.bytes("content-type").is_some_and(|kind| String::from_utf8_lossy(kind).contains("json"));
    if json && serde_json::from_slice::<Value>(&body).is_err() {
        found.push(format!("the JSON of the reply does not parse: `{}`", String::from_utf8_lossy(&body)));
    }
    found
}

fn elsewhere(host: &Host, tokens: &Tokens) -> Vec<String> {
    let mut places = vec![
        ("the log", host.log.iter().map(|line| format!("{}\n", line.text)).collect::<String>()),
        ("a metric", host.metrics.iter().map(|metric| format!("{}\n", metric.name)).collect()),
        (
            "shared data",
            host.data.iter().map(|(key, (value, _))| format!("{key} {}\n", String::from_utf8_lossy(value))).collect(),
        ),
    ];
    let state = host.streams.values().flat_map(|state| state.state.values());
    places.push(("filter state", state.map(|value| String::from_utf8_lossy(value) + "\n").collect()));
    let records = host.calls.values().filter(|made| audit(&made.call));
    places.push(("an audit record", records.map(|made| String::from_utf8_lossy(&made.call.body)).collect()));
    places
        .into_iter()
        .filter(|(_, seen)| tokens.all.iter().any(|token| seen.contains(token)))
        .map(|(place, _)| format!("a client's token is in {place}"))
        .collect()
}

/// What must not show up anywhere.
struct Tokens {
    all: Vec<String>,
}

impl Tokens {
    fn of(host: &Host) -> Self {
        Self { all: host.streams.values().flat_map(|state| state.tokens.iter().cloned()).collect() }
    }

    /// With very many tokens each stream is only searched for its own, or the check would take longer than the test.
    fn leak(&self, state: &State, seen: &str) -> bool {
        let tokens = if self.all.len() > 1_000 { &state.tokens } else { &self.all };
        tokens.iter().any(|token| seen.contains(token))
    }
}

/// The secret parts of a request: the token and every long part of it but the first, which says nothing about its owner.
pub(crate) fn secrets(headers: &Headers) -> Vec<String> {
    let values = headers.all("authorization").chain(headers.all("dpop"));
    let words: Vec<String> = values
        .flat_map(|value| {
            String::from_utf8_lossy(value).split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    let parts = words.iter().flat_map(|word| word.split('.').skip(1).map(str::to_owned));
    parts.chain(words.iter().cloned()).filter(|secret| secret.len() >= 16).collect()
}

fn text(headers: &Headers) -> String {
    headers.iter().map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value))).collect()
}
