//! Conditions: what a rule asks of a call besides its scopes.

use crate::support::*;
use harness::{Proxy, Request, Response};
use serde_json::{Value, json};

/// A proxy whose `crm_lookup` is permitted `when` that holds.
fn proxy(when: &str) -> Proxy {
    let rule = json!({ "scopes": ["crm:read"], "when": when });
    started(builder(&changed(policy(), "/servers/crm/tools/crm_lookup", rule)))
}

fn lookup(arguments: Value) -> Request {
    legacy(&reader(), &message("tools/call", json!({ "name": "crm_lookup", "arguments": arguments })))
}

#[test]
fn a_call_passes_when_the_condition_holds_and_only_then() {
    let proxy = proxy("args.fields.size() <= 2 && args.id != ''");
    proxy.run(lookup(json!({ "id": "1", "fields": ["a", "b"] }))).forwarded();
    for (arguments, reason) in [
        (json!({ "id": "1", "fields": ["a", "b", "c"] }), "condition_false"),
        (json!({ "id": "", "fields": [] }), "condition_false"),
        (json!({ "id": "1" }), "condition_error"),
        (json!({ "id": "1", "fields": 7 }), "condition_error"),
        (json!([]), "condition_error"),
    ] {
        let reply = denied(&proxy.run(lookup(arguments)), 403, reason);
        assert_eq!(reply.json()["error"]["data"]["tool"], "crm_lookup");
        assert!(reply.challenge().is_empty(), "a client must not try to step up");
    }
    let bare = message("tools/call", json!({ "name": "crm_lookup" }));
    denied(&proxy.run(legacy(&reader(), &bare)), 403, "condition_error");
}

#[test]
fn a_name_that_is_nearly_one_the_condition_asks_for_hides_nothing() {
    for when in ["size(args.fields) <= 2 && !has(args.admin)", "size(args['fields']) <= 2 && !('admin' in args)"] {
        let proxy = proxy(when);
        let sound = json!({ "fields": ["a"], "other": { "Names": 1 } });
        proxy.run(lookup(sound)).forwarded();
        for (name, value) in [
            ("Fields", json!([1, 2, 3])),
            ("ADMIN", json!(true)),
            ("field\u{17f}", json!([1, 2, 3])),
            ("admin\0", json!(true)),
            ("nested", json!([{ "Admin": true }])),
        ] {
            let arguments = json!({ "fields": ["a"], name: value });
            denied(&proxy.run(lookup(arguments)), 403, "condition_error");
        }
    }
}

#[test]
fn a_condition_sees_the_token_and_the_request() {
    let asks = [
        "agent == 'agent-1' && subject == 'agent-1' && size(chain) == 0",
        "token.scope == 'crm:read' && token.iss.startsWith('https://')",
        "request.method == 'POST' && request.host == 'gateway.example.com' && request.path == '/crm/mcp'",
        "request.source.startsWith('127.0.0.1:')",
    ];
    let lookup = || lookup(json!({})).property(&["source", "address"], "127.0.0.1:4711");
    for when in asks {
        proxy(when).run(lookup()).forwarded();
        denied(&proxy(&format!("!({when})")).run(lookup()), 403, "condition_false");
    }
    let delegated = issuer().token().claim("act", json!({ "sub": "planner" })).sign();
    let call = legacy(&delegated, &call("crm_lookup"));
    proxy("chain[0] == 'planner'").run(call.clone()).forwarded();
    denied(&proxy("size(chain) == 0").run(call), 403, "condition_false");
}

#[test]
fn a_scope_that_is_missing_comes_before_the_condition() {
    let other = issuer().token().scope("other").sign();
    let call = legacy(&other, &call("crm_lookup"));
    denied(&proxy("args.id == 'x'").run(call), 403, "scope_missing");
}

#[test]
fn a_list_leaves_out_what_no_arguments_could_make_permitted() {
    for (when, shown) in [
        ("args.id == 'x'", true),
        ("args.id == 'x' && subject == 'agent-1'", true),
        ("args.id == 'x' && subject == 'alice'", false),
        ("args.id == 'x' && chain[0] == 'planner'", false),
        ("agent == 'agent-1'", true),
        ("request.source == 'elsewhere'", false),
    ] {
        let proxy = proxy(when);
        let list = json!({ "jsonrpc": "2.0", "id": 1, "result": { "tools": [{ "name": "crm_lookup" }] } });
        proxy.upstream(move |_| Response::json(200, &list));
        let stream = proxy.run(legacy(&reader(), &message("tools/list", json!({}))));
        let tools = stream.reply().unwrap().json()["result"]["tools"].as_array().unwrap().len();
        assert_eq!(tools, usize::from(shown), "{when}");
    }
}

#[test]
fn a_condition_that_takes_too_long_denies() {
    let proxy = proxy("args.list.all(a, args.list.all(b, args.list.all(c, a + b + c >= 0)))");
    let list: Vec<_> = (0..60).collect();
    denied(&proxy.run(lookup(json!({ "list": list }))), 403, "condition_error");
    proxy.run(lookup(json!({ "list": [1, 2] }))).forwarded();
}
