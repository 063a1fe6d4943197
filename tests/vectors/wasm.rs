//! Every token through the built filter, with and without a host that checks signatures.

use crate::file::{Set, vectors};
use crate::host;
use harness::{Answer, Outcome, Proxy, Request, Response, Stream};
use serde_json::{Value, json};
use std::cell::Cell;
use std::rc::Rc;

#[test]
fn the_filter_judges_every_token_by_itself() {
    judge(&start(&vectors().policy));
}

#[test]
fn the_filter_judges_every_token_with_the_hosts_help() {
    let proxy = start(&vectors().policy);
    let asked = Rc::new(Cell::new(0));
    let count = Rc::clone(&asked);
    proxy.foreign("verify_signature", move |argument| {
        count.set(count.get() + 1);
        host::foreign(argument)
    });
    judge(&proxy);
    assert!(asked.get() > 50, "the host was asked {} times", asked.get());
}

#[test]
fn fetched_key_sets_are_judged_as_pinned_ones() {
    for set in &vectors().sets {
        let mut policy = vectors().policy.clone();
        let url = "https://corp.example.com/jwks.json";
        policy["issuers"]["corp"]["jwks"] = json!({ "url": url, "cluster": "idp" });
        let proxy = start(&policy);
        let document = set.jwks.clone();
        proxy.cluster("idp").answer(move |_| Response::new(200).body(&document).into());
        assert_eq!(refusal(&proxy.run(lookup(&set.token))), fetched(set), "{}: {}", set.row, set.name);
    }
}

fn judge(proxy: &Proxy) {
    for case in &vectors().cases {
        let status = if case.reason.as_deref() == Some("chain_malformed") { 403 } else { 401 };
        let expected = case.reason.clone().map(|reason| (status, reason));
        assert_eq!(refusal(&proxy.run(lookup(&case.token))), expected, "{}: {}", case.row, case.name);
        proxy.forget();
    }
}

/// A set that is refused whole leaves the issuer without keys, which is not the token's fault.
fn fetched(set: &Set) -> Option<(u16, String)> {
    set.reason.as_deref().map(|reason| match reason {
        "key_set_refused" => (503, "keys_unavailable".into()),
        reason => (401, reason.into()),
    })
}

/// Status and reason, or nothing for a request that went upstream.
fn refusal(stream: &Stream) -> Option<(u16, String)> {
    match stream.outcome() {
        Outcome::Forwarded(_) => None,
        Outcome::Replied(reply) if stream.upstream().is_none() => {
            let reason = reply.json()["error"]["data"]["reason"].as_str().map(str::to_owned);
            Some((reply.status, reason.expect("a denial has a reason")))
        }
        other => panic!("neither forwarded nor denied: {other:?}"),
    }
}

fn start(policy: &Value) -> Proxy {
    let proxy = Proxy::start(policy.to_string());
    proxy.cluster("broker").answer(|_| Answer::status(204));
    proxy.upstream(|_| Response::json(200, &json!({ "jsonrpc": "2.0", "id": 1, "result": {} })));
    proxy
}

fn lookup(token: &str) -> Request {
    let call = json!({ "name": "crm_lookup", "arguments": {} });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call });
    Request::post("/crm/mcp").bearer(token).header("mcp-protocol-version", "2025-11-25").json(&body)
}
