//! Pages of browsers, and how a denied call is told to those that do not see the status.

use crate::support::*;
use harness::{Proxy, Request, Response};
use serde_json::json;

const PAGE: &str = "https://app.example.com";

fn proxy() -> Proxy {
    started(builder(&changed(policy(), "/servers/crm/origins", json!([PAGE]))))
}

fn from(origin: &str) -> Request {
    legacy(&reader(), &call("crm_lookup")).header("origin", origin)
}

#[test]
fn a_page_of_another_origin_is_refused_before_its_token_is_looked_at() {
    let proxy = proxy();
    for other in ["https://evil.example", "null", "https://app.example.com.evil.example", ""] {
        let reply = denied(&proxy.run(from(other).bearer("x.y.z")), 403, "origin_invalid");
        assert!(!reply.headers.has("access-control-allow-origin"));
    }
    denied(&proxy.run(from(PAGE).header("origin", PAGE)), 403, "origin_invalid");
}

#[test]
fn a_page_that_may_call_can_read_what_it_gets() {
    let proxy = proxy();
    proxy.upstream(|_| {
        Response::json(200, &json!({})).header("access-control-allow-origin", "*").header("vary", "accept")
    });
    for origin in [PAGE, "https://gateway.example.com"] {
        let reply = proxy.run(from(origin)).reply().unwrap();
        assert_eq!(reply.headers.text("access-control-allow-origin"), Some(origin));
        assert!(reply.headers.text("access-control-expose-headers").unwrap().contains("mcp-session-id"));
        let missing = denied(&proxy.run(from(origin).without("authorization")), 401, "token_missing");
        assert_eq!(missing.headers.text("access-control-allow-origin"), Some(origin));
        assert!(missing.headers.text("access-control-expose-headers").unwrap().contains("www-authenticate"));
        assert_eq!(missing.headers.text("vary"), Some("origin"));
    }
    let other = proxy.run(legacy(&reader(), &call("crm_lookup"))).reply().unwrap();
    assert_eq!(other.headers.text("access-control-allow-origin"), Some("*"), "no page, nothing to add");
}

#[test]
fn a_browser_that_asks_before_is_answered_without_a_token() {
    let proxy = proxy();
    let ask = |path: &str, origin: &str| {
        let request = Request::new("OPTIONS", path).header("origin", origin);
        request
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization")
    };
    let reply = proxy.run(ask(PATH, PAGE)).replied();
    assert_eq!((reply.status, reply.headers.text("access-control-allow-origin")), (204, Some(PAGE)));
    assert_eq!(reply.headers.text("access-control-allow-headers"), Some("authorization"));
    assert!(reply.headers.text("access-control-allow-methods").unwrap().contains("POST"));
    denied(&proxy.run(ask(PATH, "https://evil.example")), 403, "origin_invalid");
    let known = proxy.run(ask("/.well-known/oauth-protected-resource/crm/mcp", "https://evil.example")).replied();
    assert_eq!((known.status, known.headers.text("access-control-allow-origin")), (204, Some("*")));
    let plain = Request::new("OPTIONS", PATH).header("origin", PAGE).bearer(&reader());
    denied(&proxy.run(plain), 403, "method_unknown");
    assert_eq!(records(&proxy).len(), 2, "what is no decision has no record");
}

fn told() -> Proxy {
    started(builder(&changed(policy(), "/servers/crm/denials", json!("jsonrpc"))))
}

#[test]
fn a_denied_call_can_be_told_in_the_protocols_own_words() {
    let proxy = told();
    for (body, reason) in [
        (call("crm_update"), "scope_missing"),
        (call("crm_delete"), "tool_unknown"),
        (message("skills/list", json!({})), "method_unknown"),
        (json!({ "jsonrpc": "1.0", "id": 1, "method": "ping" }), "request_malformed"),
    ] {
        let stream = proxy.run(legacy(&reader(), &body));
        let reply = stream.replied();
        assert_eq!((reply.status, &reply.json()["error"]["data"]["reason"]), (200, &json!(reason)));
        assert_eq!(reply.json()["id"], 1);
        assert!(reply.challenge().is_empty() && stream.upstream().is_none());
    }
    assert_eq!(records(&proxy)[0]["reason"], "scope_missing");
}

#[test]
fn what_has_no_identifier_keeps_its_status() {
    let proxy = told();
    denied(&proxy.run(legacy("x.y.z", &call("crm_lookup"))), 401, "token_malformed");
    denied(&proxy.run(raw(&reader(), "{")), 400, "request_malformed");
    let notification = json!({ "jsonrpc": "2.0", "method": "notifications/unknown" });
    denied(&proxy.run(legacy(&reader(), &notification)), 403, "method_unknown");
}
