//! What is no tool: prompts, resources, completions, subscriptions, and methods with a rule of their own.

use crate::support::*;
use harness::{Proxy, Request};
use serde_json::{Value, json};

fn proxy() -> Proxy {
    let read = || json!({ "scopes": ["crm:read"] });
    let mut policy = policy();
    let server = &mut policy["servers"]["crm"];
    server["prompts"] = json!({ "summarize": read() });
    server["resources"] = json!({ "crm://public/*": read(), "crm://secret": { "scopes": ["crm:admin"] } });
    server["methods"] =
        json!({ "logging/setLevel": read(), "tools/list": { "scopes": ["crm:read"], "credential": "crm-api" } });
    started(builder(&policy))
}

fn ask(method: &str, params: Value) -> Request {
    legacy(&reader(), &message(method, params))
}

/// A request of the modern era, with the headers its body asks for.
fn modern(method: &str, name: Option<&str>, mut params: Value) -> Request {
    params["_meta"] = json!({ VERSION: "2026-07-28" });
    let request = Request::post(PATH).bearer(&reader()).json(&message(method, params));
    let request = request.header("mcp-protocol-version", "2026-07-28").header("mcp-method", method);
    name.into_iter().fold(request, |request, name| request.header("mcp-name", name))
}

#[test]
fn each_thing_is_permitted_by_the_rules_of_its_own_section() {
    let proxy = proxy();
    let summarize =
        json!({ "ref": { "type": "ref/prompt", "name": "summarize" }, "argument": { "name": "n", "value": "" } });
    let template = json!({ "ref": { "type": "ref/resource", "uri": "crm://public/{id}" }, "argument": {} });
    for (method, name, params) in [
        ("prompts/get", Some("summarize"), json!({ "name": "summarize" })),
        ("resources/read", Some("crm://public/a"), json!({ "uri": "crm://public/a" })),
        ("completion/complete", None, summarize),
        ("completion/complete", None, template),
        ("subscriptions/listen", None, json!({ "notifications": { "toolsListChanged": true } })),
        ("subscriptions/listen", None, json!({ "notifications": { "resourceSubscriptions": ["crm://public/a"] } })),
        ("logging/setLevel", None, json!({ "level": "info" })),
    ] {
        proxy.run(ask(method, params.clone())).forwarded();
        proxy.run(modern(method, name, params)).forwarded();
    }
    for method in ["resources/subscribe", "resources/unsubscribe"] {
        proxy.run(ask(method, json!({ "uri": "crm://public/a" }))).forwarded();
    }
}

#[test]
fn what_its_section_does_not_name_is_denied() {
    let proxy = proxy();
    let denied = |request: Request, reason| {
        denied(&proxy.run(request), 403, reason);
    };
    denied(ask("prompts/get", json!({ "name": "crm_lookup" })), "tool_unknown");
    denied(ask("tools/call", json!({ "name": "summarize" })), "tool_unknown");
    denied(ask("resources/read", json!({ "uri": "crm://private" })), "tool_unknown");
    denied(ask("resources/read", json!({ "uri": "crm://public/../secret" })), "tool_unknown");
    denied(ask("resources/read", json!({ "uri": "crm://secret" })), "scope_missing");
    denied(ask("resources/subscribe", json!({ "uri": "crm://secret" })), "scope_missing");
    let both = json!({ "notifications": { "resourceSubscriptions": ["crm://public/a", "crm://secret"] } });
    denied(ask("subscriptions/listen", both), "scope_missing");
    denied(ask("subscriptions/listen", json!({ "notifications": { "taskIds": ["t"] } })), "task_unknown");
    let secret = json!({ "ref": { "type": "ref/resource", "uri": "crm://secret" } });
    denied(ask("completion/complete", secret), "scope_missing");
    denied(ask("logging/SetLevel", json!({})), "method_unknown");
}

#[test]
fn a_modern_request_names_what_it_is_about_in_its_headers() {
    let proxy = proxy();
    let read = |name| modern("resources/read", name, json!({ "uri": "crm://public/a" }));
    for name in [None, Some("crm://public/b"), Some("CRM://public/a")] {
        denied(&proxy.run(read(name)), 400, "header_mismatch");
    }
    let prompt = modern("prompts/get", Some("other"), json!({ "name": "summarize" }));
    denied(&proxy.run(prompt), 400, "header_mismatch");
    let level = modern("logging/setLevel", Some("x"), json!({}));
    denied(&proxy.run(level), 400, "header_mismatch");
}

#[test]
fn a_method_to_connect_with_can_have_a_rule_and_a_credential() {
    let proxy = proxy();
    let upstream = proxy.run(ask("tools/list", json!({}))).forwarded();
    assert_eq!(upstream.headers.text("authorization"), Some("Bearer minted"));
    let calls = proxy.cluster("broker").calls();
    let details: Value = serde_json::from_str(&calls[0].field("authorization_details").unwrap()).unwrap();
    assert_eq!((&details[0]["kind"], &details[0]["method"]), (&json!("method"), &json!("tools/list")));
    let other = issuer().token().scope("other").sign();
    denied(&proxy.run(legacy(&other, &message("tools/list", json!({})))), 403, "scope_missing");
    proxy.run(legacy(&other, &message("ping", json!({})))).forwarded();
}

#[test]
fn all_their_scopes_are_announced() {
    let reply = proxy().run(Request::new("GET", "/.well-known/oauth-protected-resource/crm/mcp")).replied();
    let scopes = json!(["crm:admin", "crm:read", "crm:write", "reports:read"]);
    assert_eq!(reply.json()["scopes_supported"], scopes);
}
