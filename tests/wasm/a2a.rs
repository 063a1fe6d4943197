//! Agents behind the proxy: both bindings and both versions of A2A, under one set of rules.

use crate::support::*;
use harness::{Alg, Proxy, Request, Response};
use serde_json::{Value, json};

const RESOURCE: &str = "https://gateway.example.com/a2a/partner";

fn proxy() -> Proxy {
    let server = json!({
        "resource": RESOURCE,
        "match": { "host": "gateway.example.com", "path_prefix": "/a2a/partner" },
        "protocol": "a2a",
        "issuers": ["corp"],
        "tools": {
            "SendMessage": { "scopes": ["partner:talk"], "credential": "partner" },
            "SendStreamingMessage": { "scopes": ["partner:talk"], "when": "!has(args.tenant) || args.tenant == 'acme'" },
            "GetTask": { "scopes": ["partner:read"] },
            "CancelTask": { "scopes": ["partner:admin"] },
            "SubscribeToTask": { "scopes": ["partner:read"] },
            "List*": { "scopes": ["partner:read"] },
        },
        "limits": { "request": "4KiB" },
    });
    started(builder(&changed(policy(), "/servers/partner", server)))
}

fn ask(version: Option<&str>, method: &str, path: &str) -> Request {
    let token = issuer().token().alg(Alg::EdDsa).audience(RESOURCE).scope("partner:talk partner:read").sign();
    let request = Request::new(method, &format!("/a2a/partner{path}")).bearer(&token);
    version.into_iter().fold(request, |request, version| request.header("a2a-version", version))
}

fn rpc(version: Option<&str>, method: &str, params: Value) -> Request {
    ask(version, "POST", "").json(&message(method, params))
}

#[test]
fn an_operation_is_one_in_both_bindings_and_versions() {
    let proxy = proxy();
    let said = || json!({ "message": { "messageId": "1", "role": "ROLE_USER", "parts": [{ "text": "hello" }] } });
    let json = |request: Request, kind: &str| request.header("content-type", kind).body(said().to_string());
    for request in [
        rpc(Some("1.0"), "SendMessage", said()),
        rpc(Some("0.3"), "message/send", said()),
        rpc(None, "message/send", said()),
        json(ask(Some("1.0"), "POST", "/message:send"), "application/a2a+json"),
        json(ask(Some("1.0"), "POST", "/acme/message:send"), "application/json"),
        json(ask(None, "POST", "/message:send?A2A-Version=1.0"), "application/a2a+json"),
        json(ask(None, "POST", "/v1/message:send"), "application/json"),
    ] {
        let upstream = proxy.run(request).forwarded();
        assert_eq!(upstream.headers.text("authorization"), Some("Bearer minted"));
        assert_eq!(records(&proxy).pop().unwrap()["tool"], "SendMessage");
    }
    for request in [
        rpc(Some("1.0"), "GetTask", json!({ "id": "t" })),
        rpc(None, "tasks/get", json!({ "id": "t" })),
        ask(Some("1.0"), "GET", "/tasks/t?historyLength=1"),
        ask(None, "GET", "/v1/tasks/t"),
    ] {
        proxy.run(request).forwarded();
        let record = records(&proxy).pop().unwrap();
        assert_eq!((&record["tool"], &record["protocol"]), (&json!("GetTask"), &json!("a2a")));
    }
    let calls = proxy.cluster("broker").calls();
    let details: Value = serde_json::from_str(&calls[0].field("authorization_details").unwrap()).unwrap();
    assert_eq!((&details[0]["tool"], &details[0]["method"]), (&json!("SendMessage"), &json!("SendMessage")));
}

#[test]
fn what_no_rule_names_is_denied_by_any_of_its_names() {
    let proxy = proxy();
    for request in [
        rpc(Some("1.0"), "CancelTask", json!({ "id": "t" })),
        rpc(None, "tasks/cancel", json!({ "id": "t" })),
        ask(Some("1.0"), "POST", "/tasks/t:cancel"),
        ask(Some("1.0"), "POST", "/acme/tasks/t:cancel").header("content-type", "application/a2a+json").body("{}"),
        ask(None, "POST", "/v1/tasks/t:cancel"),
    ] {
        let body = denied(&proxy.run(request), 403, "scope_missing").json();
        assert_eq!(body["error"]["data"]["tool"], "CancelTask");
    }
    for request in [
        rpc(Some("1.0"), "GetExtendedAgentCard", json!({})),
        ask(Some("1.0"), "GET", "/extendedAgentCard"),
        ask(None, "GET", "/v1/card"),
        ask(Some("1.0"), "DELETE", "/tasks/t/pushNotificationConfigs/c"),
    ] {
        denied(&proxy.run(request), 403, "tool_unknown");
    }
    for request in [
        rpc(Some("1.0"), "ListEverything", json!({})),
        rpc(Some("1.0"), "getTask", json!({})),
        rpc(None, "tools/call", json!({ "name": "crm_lookup" })),
        ask(Some("1.0"), "GET", "/"),
        ask(Some("1.0"), "DELETE", "/tasks/t"),
        ask(Some("1.0"), "GET", "/acme/other"),
    ] {
        denied(&proxy.run(request), 403, "method_unknown");
    }
}

#[test]
fn version_and_names_have_to_agree() {
    let proxy = proxy();
    for request in [
        rpc(Some("1.0"), "message/send", json!({})),
        rpc(None, "SendMessage", json!({})),
        rpc(Some(""), "SendMessage", json!({})),
        ask(None, "GET", "/tasks/t"),
        ask(Some("1.0"), "GET", "/tasks/t?A2A-Version=0.3"),
        ask(Some("1.0"), "GET", "/tasks/t").header("a2a-version", "1.0"),
    ] {
        denied(&proxy.run(request), 400, "header_mismatch");
    }
    let body = denied(&proxy.run(rpc(Some("2.0"), "SendMessage", json!({}))), 400, "request_malformed").json();
    assert_eq!((&body["error"]["code"], &body["error"]["data"]["supported"]), (&json!(-32009), &json!(["0.3", "1.0"])));
    let body = denied(&proxy.run(rpc(None, "SendMessage", json!({}))), 400, "header_mismatch").json();
    assert_eq!(body["id"], 1);
}

#[test]
fn a_body_is_strict_and_of_its_media_type() {
    let proxy = proxy();
    let post =
        |path: &str, kind: &str, body: &str| ask(Some("1.0"), "POST", path).header("content-type", kind).body(body);
    for request in [
        post("/message:send", "application/a2a+json", r#"{"message":{},"message":{}}"#),
        post("/message:send", "application/a2a+json", "[]"),
        post("/message:send", "text/plain", "{}"),
        post("/message:send", "application/a2a+json", "{}").header("content-encoding", "gzip"),
        post("", "application/a2a+json", &message("GetTask", json!({})).to_string()),
        post("", "application/json", &json!([message("GetTask", json!({}))]).to_string()),
        post("", "application/json", r#"{"jsonrpc":"2.0","method":"GetTask"}"#),
        post("", "application/json", r#"{"jsonrpc":"2.0","id":1,"method":"GetTask","method":"CancelTask"}"#),
        ask(Some("1.0"), "GET", "/tasks/t").body("{}"),
        ask(Some("1.0"), "GET", "/tasks/t%3Acancel"),
        ask(Some("1.0"), "GET", "/tasks/tasks/x"),
        ask(Some("1.0"), "GET", "/tasks/t").header("x-http-method-override", "DELETE"),
        ask(Some("1.0"), "GET", "/tasks/t").header("upgrade", "h2c"),
    ] {
        denied(&proxy.run(request), 400, "request_malformed");
    }
    let large = format!("{{\"x\":\"{}\"}}", "a".repeat(5000));
    denied(&proxy.run(post("/message:send", "application/a2a+json", &large)), 413, "request_too_large");
    let split = post("/acme/message:stream", "application/a2a+json", r#"{"message":{}}"#);
    for size in [1, 3] {
        assert_eq!(proxy.run(split.clone().split_every(size)).forwarded().body, br#"{"message":{}}"#);
        assert_eq!(proxy.run(split.clone().split_every(size).trailers()).forwarded().body, br#"{"message":{}}"#);
    }
}

#[test]
fn a_condition_sees_the_tenant_wherever_it_stands() {
    let proxy = proxy();
    let stream = |path: &str, body: &str| {
        ask(Some("1.0"), "POST", path).header("content-type", "application/a2a+json").body(body)
    };
    proxy.run(stream("/message:stream", "{}")).forwarded();
    proxy.run(stream("/acme/message:stream", r#"{"tenant":"acme"}"#)).forwarded();
    proxy.run(rpc(Some("1.0"), "SendStreamingMessage", json!({ "tenant": "acme" }))).forwarded();
    denied(&proxy.run(stream("/other/message:stream", "{}")), 403, "condition_false");
    denied(&proxy.run(stream("/message:stream", r#"{"tenant":"other"}"#)), 403, "condition_false");
    denied(&proxy.run(rpc(Some("1.0"), "SendStreamingMessage", json!({ "tenant": "other" }))), 403, "condition_false");
    denied(&proxy.run(stream("/acme/message:stream", r#"{"tenant":"other"}"#)), 400, "request_malformed");
    denied(
        &proxy.run(stream("/message:stream", r#"{"configuration":{"history_length":1}}"#)),
        400,
        "request_malformed",
    );
}

#[test]
fn the_card_is_for_everybody_with_a_token() {
    let proxy = proxy();
    let nobody = issuer().token().alg(Alg::EdDsa).audience(RESOURCE).scope("none").sign();
    for name in ["agent-card.json", "agent.json"] {
        let path = format!("/a2a/partner/.well-known/{name}");
        proxy.run(Request::fetch(&path).bearer(&nobody)).forwarded();
        denied(&proxy.run(Request::fetch(&path)), 401, "token_missing");
        denied(&proxy.run(Request::post(&path).bearer(&nobody).json(&json!({}))), 403, "method_unknown");
    }
}

#[test]
fn events_stream_through() {
    let proxy = proxy();
    proxy.upstream(|_| Response::events(["data: {\"id\":1}\n\n", ": ping\n\n", "data: {}\n\n"]));
    let stream = proxy.run(ask(Some("1.0"), "GET", "/tasks/t:subscribe").header("last-event-id", "7"));
    assert_eq!(stream.forwarded().headers.text("last-event-id"), Some("7"));
    assert_eq!(stream.reply().unwrap().body, b"data: {\"id\":1}\n\n: ping\n\ndata: {}\n\n");
}
