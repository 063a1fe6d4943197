//! Shadow mode: what would be denied is told and goes on, without a credential and without the agent's token.

use crate::support::*;
use harness::{Proxy, Request};
use serde_json::{Value, json};

fn proxy(server: Value) -> Proxy {
    let mut policy = policy();
    for (name, value) in server.as_object().unwrap() {
        policy["servers"]["crm"][name] = value.clone();
    }
    started(builder(&policy))
}

fn shadow() -> Proxy {
    proxy(json!({ "mode": "shadow" }))
}

/// Sends what would be denied for `reason`; it goes on as it came, apart from the token.
#[track_caller]
fn passes(proxy: &Proxy, request: Request, reason: &str) {
    let stream = proxy.run(request);
    let upstream = stream.forwarded();
    assert!(upstream.complete && !upstream.headers.has("authorization") && !upstream.headers.has("dpop"));
    assert_eq!(stream.state("accredit.reason").as_deref(), Some(reason.as_bytes()));
    let record = records(proxy).pop().unwrap();
    let told = (&record["kind"], &record["decision"], &record["reason"], &record["shadow"]);
    assert_eq!(told, (&json!("outcome"), &json!("deny"), &json!(reason), &json!(true)));
    assert_eq!(record["upstream"]["status"], 200);
}

fn minted(proxy: &Proxy) -> usize {
    proxy.cluster("broker").calls().iter().filter(|call| call.path() == "/token").count()
}

#[test]
fn a_call_that_would_be_denied_goes_on_and_is_told() {
    let proxy = shadow();
    passes(&proxy, legacy(&reader(), &call("crm_update")), "scope_missing");
    passes(&proxy, legacy(&reader(), &call("crm_delete")), "tool_unknown");
    passes(&proxy, legacy(&reader(), &message("skills/list", json!({}))), "method_unknown");
    passes(&proxy, raw(&reader(), "[]"), "request_malformed");
    passes(&proxy, raw(&reader(), "{"), "request_malformed");
    passes(
        &proxy,
        legacy(&reader(), &call("crm_lookup")).header("mcp-protocol-version", "2026-07-28"),
        "header_mismatch",
    );
    let looping = json!({ "sub": "a", "act": { "sub": "a" } });
    let token = issuer().token().claim("act", looping).sign();
    passes(&proxy, legacy(&token, &call("crm_lookup")), "chain_loop");
    assert_eq!((proxy.metric("accredit.decisions.crm.shadow"), minted(&proxy)), (7, 0));
}

#[test]
fn a_permitted_call_is_the_same_as_ever() {
    let proxy = shadow();
    let upstream = proxy.run(legacy(&token(), &call("crm_update"))).forwarded();
    assert_eq!(upstream.headers.text("authorization"), Some("Bearer minted"));
    let record = records(&proxy).pop().unwrap();
    assert_eq!((&record["decision"], record.get("shadow")), (&json!("permit"), None));
}

#[test]
fn the_token_has_to_be_good_all_the_same() {
    let proxy = shadow();
    let call = call("crm_lookup");
    denied(&proxy.run(legacy(&issuer().token().expired().sign(), &call)), 401, "token_expired");
    denied(&proxy.run(legacy("x.y.z", &call)), 401, "token_malformed");
    denied(&proxy.run(legacy(&reader(), &call).without("authorization")), 401, "token_missing");
    denied(&proxy.run(legacy(&reader(), &call).header("authorization", "Bearer x")), 400, "request_malformed");
    denied(&proxy.run(legacy(&reader(), &call).header("upgrade", "websocket")), 400, "request_malformed");
    denied(&proxy.run(legacy(&reader(), &call).header("origin", "https://evil.example")), 403, "origin_invalid");
    let broken = issuer().token().claim("act", 1).sign();
    denied(&proxy.run(legacy(&broken, &call)), 403, "chain_malformed");
    let elsewhere = legacy(&reader(), &call).header(":path", "/elsewhere");
    denied(&proxy.run(elsewhere), 403, "server_unmatched");
}

#[test]
fn only_where_it_is_spelled_out_everything_goes_on() {
    let proxy = proxy(json!({ "mode": "shadow", "shadow": "all" }));
    let call = call("crm_lookup");
    passes(&proxy, legacy(&issuer().token().expired().sign(), &call), "token_expired");
    passes(&proxy, legacy("x.y.z", &call), "token_malformed");
    passes(&proxy, legacy(&reader(), &call).without("authorization"), "token_missing");
    passes(&proxy, legacy(&reader(), &call).header("origin", "https://evil.example"), "origin_invalid");
    let large = raw(&reader(), " ".repeat(5000)).split_every(1000);
    passes(&proxy, large, "request_too_large");
    assert_eq!(minted(&proxy), 0);
}

#[test]
fn a_single_rule_can_be_in_shadow() {
    let tools = json!({
        "crm_lookup": { "scopes": ["crm:read"], "when": "args.id == 'x'", "mode": "shadow" },
        "crm_update": { "scopes": ["crm:write"], "mode": "enforce" },
    });
    let proxy = proxy(json!({ "tools": tools }));
    passes(&proxy, legacy(&reader(), &call("crm_lookup")), "condition_false");
    passes(&proxy, legacy(&issuer().token().scope("other").sign(), &call("crm_lookup")), "scope_missing");
    denied(&proxy.run(legacy(&reader(), &call("crm_update"))), 403, "scope_missing");
    denied(&proxy.run(legacy(&reader(), &call("crm_delete"))), 403, "tool_unknown");
    denied(&proxy.run(raw(&reader(), "[]")), 400, "request_malformed");
}
