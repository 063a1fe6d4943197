//! Deciding by the headers, on hosts that cannot hold them: the body follows only if it says the same.

use crate::support::*;
use harness::{End, Outcome, Proxy, Request, Response, Stream};
use serde_json::{Value, json};

fn early() -> Value {
    let mut policy = changed(policy(), "/body", json!("early_headers"));
    let lookup = json!({ "scopes": ["crm:read"], "when": "args.id == '42' && agent == 'agent-1'" });
    policy["servers"]["crm"]["tools"]["crm_lookup"] = lookup;
    policy
}

fn proxy() -> Proxy {
    started(builder(&early()).stop_all_on_headers())
}

fn asking(token: &str, name: &str, body: &Value) -> Request {
    let request = Request::post(PATH).bearer(token).json(body).header("mcp-protocol-version", "2026-07-28");
    request.header("mcp-method", "tools/call").header("mcp-name", name)
}

fn body(tool: &str, id: &str) -> Value {
    let meta = json!({ VERSION: "2026-07-28" });
    message("tools/call", json!({ "name": tool, "arguments": { "id": id }, "_meta": meta }))
}

/// What went upstream of the body of a request that was cut.
fn cut(stream: &Stream, reason: &str) {
    let Outcome::Replied(reply) = stream.outcome() else { panic!("{:?}", stream.outcome()) };
    assert_eq!(reply.json()["error"]["data"]["reason"], reason);
    assert!(reason != "condition_false" || reply.json()["id"] == 1, "the client is not told which call it was");
    let upstream = stream.upstream().expect("the headers have gone");
    assert!(upstream.body.is_empty() && !upstream.complete, "a byte of the body went upstream");
    assert!(!upstream.headers.has("authorization") || upstream.headers.text("authorization") == Some("Bearer minted"));
}

#[test]
fn the_headers_go_ahead_and_the_body_follows() {
    let proxy = proxy();
    let sound = body("crm_lookup", "42");
    for request in [asking(&reader(), "crm_lookup", &sound), asking(&reader(), "crm_lookup", &sound).split_every(7)] {
        for request in [request.clone(), request.clone().http1(), request.trailers()] {
            let upstream = proxy.run(request).forwarded();
            assert!(upstream.complete && !upstream.headers.has("authorization"));
            assert_eq!(upstream.json(), sound);
        }
    }
    let update = proxy.run(asking(&token(), "crm_update", &body("crm_update", "1"))).forwarded();
    assert_eq!(update.headers.text("authorization"), Some("Bearer minted"));
    let record = records(&proxy).pop().unwrap();
    assert_eq!((&record["tool"], &record["decision"]), (&json!("crm_update"), &json!("permit")));
    assert_eq!(record["arguments_sha256"].as_str().map(str::len), Some(64));
}

#[test]
fn a_body_that_says_something_else_is_cut_before_a_byte_of_it() {
    let proxy = proxy();
    let as_lookup = |body: &Value| asking(&token(), "crm_lookup", body);
    for size in [usize::MAX, 5] {
        let run = |request: Request| proxy.run(if size == 5 { request.split_every(5) } else { request });
        cut(&run(as_lookup(&body("crm_update", "42"))), "header_mismatch");
        cut(&run(as_lookup(&call("crm_lookup"))), "header_mismatch");
        cut(&run(as_lookup(&body("crm_lookup", "7"))), "condition_false");
        cut(&run(as_lookup(&json!([]))), "request_malformed");
        let twice = body("crm_lookup", "42").to_string().replace("\"id\":1", "\"id\":1,\"id\":2");
        cut(&run(as_lookup(&json!({})).body(twice)), "request_malformed");
        let listed = message("tools/list", json!({ "_meta": { VERSION: "2026-07-28" } }));
        cut(&run(as_lookup(&listed)), "header_mismatch");
        cut(&run(as_lookup(&json!({})).body(" ".repeat(5000))), "request_too_large");
    }
    let last = records(&proxy).pop().unwrap();
    assert_eq!((&last["decision"], &last["reason"]), (&json!("deny"), &json!("request_too_large")));
}

#[test]
fn what_the_headers_say_is_decided_before_they_go() {
    let proxy = proxy();
    let sound = body("crm_lookup", "42");
    denied(&proxy.run(asking(&reader(), "crm_update", &body("crm_update", "1"))), 403, "scope_missing");
    denied(&proxy.run(asking(&reader(), "crm_delete", &body("crm_delete", "1"))), 403, "tool_unknown");
    let other = issuer().token().agent("agent-2").sign();
    denied(&proxy.run(asking(&other, "crm_lookup", &sound)), 403, "condition_false");
    denied(&proxy.run(asking("x.y.z", "crm_lookup", &sound)), 401, "token_malformed");
    denied(&proxy.run(asking(&reader(), "crm_lookup", &sound).header("mcp-name", "x")), 400, "header_mismatch");
    denied(&proxy.run(asking(&reader(), "crm_lookup", &sound).without("mcp-name")), 400, "request_malformed");
    denied(&proxy.run(asking(&reader(), "crm_lookup", &sound).without("mcp-method")), 400, "header_mismatch");
    let completion = asking(&reader(), "crm_lookup", &sound).without("mcp-method").without("mcp-name");
    let completion = completion.header("mcp-method", "completion/complete");
    denied(&proxy.run(completion), 403, "method_unknown");
}

#[test]
fn the_legacy_era_cannot_be_judged_by_headers() {
    let proxy = proxy();
    let legacy = legacy(&reader(), &call("crm_lookup"));
    denied(&proxy.run(legacy.clone()), 400, "request_malformed");
    denied(&proxy.run(legacy.without("mcp-protocol-version")), 400, "request_malformed");
    for method in ["GET", "DELETE"] {
        denied(&proxy.run(Request::new(method, PATH).bearer(&reader())), 400, "request_malformed");
    }
}

#[test]
fn in_shadow_mode_no_other_call_follows_a_credential() {
    let shadow = changed(early(), "/servers/crm/mode", json!("shadow"));
    let proxy = started(builder(&shadow).stop_all_on_headers());
    let run = |name: &str, asked: &str| proxy.run(asking(&token(), name, &body(asked, "42")));
    cut(&run("crm_update", "crm_delete"), "header_mismatch");
    let upstream = run("crm_lookup", "crm_delete").forwarded();
    assert!(upstream.complete && !upstream.headers.has("authorization"), "shadow lets through what has no credential");
}

#[test]
fn a_host_that_hands_over_the_body_too_early_is_not_trusted_with_it() {
    let proxy = started(builder(&early()));
    let stream = proxy.run(asking(&token(), "crm_update", &body("crm_delete", "1")));
    denied(&stream, 503, "host_failed");
}

#[test]
fn a_list_is_narrowed_without_holding_its_headers() {
    let proxy = proxy();
    let list = json!({ "id": 1, "result": { "tools": [{ "name": "crm_lookup" }, { "name": "crm_update" }] } });
    proxy.upstream(move |_| Response::json(200, &list));
    let body = message("tools/list", json!({ "_meta": { VERSION: "2026-07-28" } }));
    let request = Request::post(PATH).bearer(&reader()).json(&body);
    let request = request.header("mcp-protocol-version", "2026-07-28").header("mcp-method", "tools/list");
    let reply = proxy.run(request).reply().unwrap();
    assert_eq!(reply.json()["result"]["tools"], json!([{ "name": "crm_lookup" }]));
    assert!(reply.complete && !reply.headers.has("content-length"));
}

#[test]
fn a_request_without_a_body_is_none() {
    let request = asking(&reader(), "crm_lookup", &json!({})).body("");
    denied(&proxy().run(request), 400, "request_malformed");
    let mut stream = proxy().open();
    let headers = [(":method", "POST"), (":path", PATH), (":authority", "gateway.example.com")];
    stream.headers(&headers, End::Yes);
    assert_eq!(stream.replied().status, 401);
}
