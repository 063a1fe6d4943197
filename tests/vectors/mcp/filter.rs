//! Every request through the built filter, over what HTTP/1.1 and HTTP/2 make of it.

use super::case::{Case, Verdict, cases};
use super::{SESSION_KEY, policy, token};
use harness::{Answer, Headers, Outcome, Proxy, Request, Response, audit_records};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

#[test]
fn the_filter_judges_every_request_and_forwards_it_byte_for_byte() {
    let token = token();
    let cases: Vec<_> = cases().into_iter().filter(|case| case.verdict.is_some()).collect();
    for http1 in [true, false] {
        let proxy = Proxy::builder()
            .policy(policy().to_string())
            .buffer_limit(4 << 20)
            .env("ACCREDIT_SESSION_KEY", SESSION_KEY)
            .start();
        proxy.cluster("broker").answer(|_| Answer::status(204));
        proxy.upstream(|_| Response::json(200, &empty()));
        for (place, case) in cases.iter().enumerate() {
            judge(&proxy, case, &token, &place.to_string(), http1);
        }
        proxy.advance(Duration::from_secs(5));
        let told: BTreeMap<String, Value> = audit_records(&proxy).into_iter().map(named).collect();
        for (place, case) in cases.iter().enumerate() {
            let expected = match case.verdict.clone().unwrap() {
                Verdict::Deny(_, reason) => Verdict::Deny(0, reason),
                permit => permit,
            };
            assert_eq!(said(&told[&place.to_string()]), expected, "{}: the record", case.name);
        }
    }
}

/// What a server says that has nothing.
pub fn empty() -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "result": {
        "tools": [], "prompts": [], "resources": [], "resourceTemplates": [], "content": [],
    } })
}

fn judge(proxy: &Proxy, case: &Case, token: &str, id: &str, http1: bool) {
    let stream = proxy.run(request(case, token, id, http1));
    let what = format!("{}: {}", case.topic, case.name);
    let expected = case.verdict.as_ref().unwrap();
    match (expected, stream.outcome()) {
        (Verdict::Permit(..), Outcome::Forwarded(upstream)) => {
            assert!(upstream.complete && upstream.body == case.body(), "{what}: the body went upstream changed");
            assert!(!case.leaks(upstream.headers.iter().map(|(name, _)| name)), "{what}: {upstream:?}");
        }
        (_, Outcome::Replied(reply)) if stream.upstream().is_none() => {
            assert_eq!(Verdict::of(reply.status, &reply.body), *expected, "{what}");
        }
        (_, other) => panic!("{what}: expected {expected:?}, found {other:?}"),
    }
}

fn request(case: &Case, token: &str, id: &str, http1: bool) -> Request {
    let request = Request::new(&case.method, &case.path(token)).header(":authority", &case.host);
    let lines = case.lines(token);
    let request = lines.iter().fold(request, |request, (name, value)| request.header(name, value));
    let request = request.without("x-request-id").header("x-request-id", id).frames(case.pieces());
    let request = if case.trailers.is_empty() { request } else { request.trailing(Headers::of(case.trailers.clone())) };
    if http1 { request.http1() } else { request }
}

fn named(record: Value) -> (String, Value) {
    (record["request_id"].as_str().unwrap_or_default().to_owned(), record)
}

/// What a record says was decided.
fn said(record: &Value) -> Verdict {
    let text = |name: &str| record[name].as_str().map(str::to_owned);
    match text("reason") {
        None => Verdict::Permit(text("method").unwrap_or_default(), text("tool")),
        Some(reason) => Verdict::Deny(0, reason),
    }
}
