//! HTTP APIs: path templates in front of a server that is nobody's MCP.

use crate::support::*;
use harness::{Alg, End, Proxy, Reply, Request, Stream};
use serde_json::{Value, json};

const RESOURCE: &str = "https://gateway.example.com/invoices";

fn with_api(tools: Value) -> Value {
    let server = json!({
        "resource": RESOURCE,
        "match": { "host": "gateway.example.com", "path_prefix": "/invoices/" },
        "protocol": "http",
        "issuers": ["corp"],
        "tools": tools,
        "limits": { "request": "4KiB" },
    });
    changed(policy(), "/servers/invoices", server)
}

fn proxy(tools: Value) -> Proxy {
    started(builder(&with_api(tools)))
}

fn invoices() -> Proxy {
    proxy(json!({
        "invoices.read": { "match": "GET /invoices/{id}", "scopes": ["invoices:read"] },
        "invoices.mine": { "match": "GET /invoices/mine", "scopes": ["invoices:mine"] },
        "invoices.create": { "match": "POST /invoices", "scopes": ["invoices:write"], "credential": "erp" },
        "invoices.attach": { "match": "PUT /invoices/{id}/file", "scopes": ["invoices:write"] },
        "invoices.small": {
            "match": "POST /invoices/{id}/payments",
            "scopes": ["invoices:write"],
            "when": "args.body.amount <= 100 && args.id != '0' && (!has(args.currency) || args.currency == 'EUR')",
        },
        "invoices.search": { "match": "GET /invoices", "scopes": ["invoices:read"], "when": "args.state == 'open'" },
    }))
}

fn token(scope: &str) -> String {
    issuer().token().alg(Alg::EdDsa).audience(RESOURCE).scope(scope).sign()
}

fn ask(method: &str, path: &str) -> Request {
    Request::new(method, path).bearer(&token("invoices:read invoices:write"))
}

/// The filter's denial of a request to an HTTP API.
#[track_caller]
fn problem(stream: &Stream, status: u16, reason: &str) -> Reply {
    let reply = stream.replied();
    let body = reply.json();
    assert_eq!((reply.status, body["reason"].as_str()), (status, Some(reason)), "{reply:?}");
    assert!(stream.upstream().is_none(), "a denied request went upstream");
    assert_eq!(reply.headers.text("content-type"), Some("application/problem+json"));
    assert_eq!((&body["status"], body["decision_id"].as_str().map(str::len)), (&json!(status), Some(36)));
    assert!(body["detail"].is_string() && body.get("jsonrpc").is_none());
    assert_eq!(!reply.challenge().is_empty(), status == 401 || reason == "scope_missing", "{reply:?}");
    reply
}

#[test]
fn a_request_is_permitted_by_the_tool_it_is_for() {
    let proxy = invoices();
    let upstream = proxy.run(ask("GET", "/invoices/42?x=1")).forwarded();
    assert_eq!(upstream.headers.text(":path"), Some("/invoices/42?x=1"));
    assert!(!upstream.headers.has("authorization"));
    proxy.run(ask("HEAD", "/invoices/42")).forwarded();
    let created = proxy.run(ask("POST", "/invoices").json(&json!({ "amount": 5 }))).forwarded();
    assert_eq!(created.headers.text("authorization"), Some("Bearer minted"));
    let details: Value =
        serde_json::from_str(&proxy.cluster("broker").calls()[0].field("authorization_details").unwrap()).unwrap();
    assert_eq!(
        (&details[0]["server"], &details[0]["tool"], &details[0]["method"]),
        (&json!("invoices"), &json!("invoices.create"), &json!("POST"))
    );
    let told = records(&proxy);
    let told: Vec<_> = told
        .iter()
        .map(|record| (record["protocol"].as_str(), record["method"].as_str(), record["tool"].as_str()))
        .collect();
    let told_of = |method, tool| (Some("http"), Some(method), Some(tool));
    assert_eq!(
        told,
        [told_of("GET", "invoices.read"), told_of("HEAD", "invoices.read"), told_of("POST", "invoices.create")]
    );
    assert!(records(&proxy).iter().all(|record| record.get("arguments_sha256").is_none()));
}

#[test]
fn a_denial_is_told_as_a_problem() {
    let proxy = invoices();
    let reply = problem(&proxy.run(Request::fetch("/invoices/42").bearer(&token("other"))), 403, "scope_missing");
    let body = reply.json();
    assert_eq!((&body["tool"], &body["required_scopes"]), (&json!("invoices.read"), &json!(["invoices:read"])));
    assert!(reply.challenge().contains("scope=\"invoices:read\""));
    problem(&proxy.run(Request::fetch("/invoices/42")), 401, "token_missing");
    problem(&proxy.run(Request::fetch("/invoices/42").bearer(&reader())), 401, "token_audience");
    for (method, path) in [
        ("DELETE", "/invoices/42"),
        ("get", "/invoices/42"),
        ("GET", "/invoices/"),
        ("GET", "/invoices/42/"),
        ("GET", "/invoices/42/lines"),
        ("OPTIONS", "/invoices/42"),
    ] {
        problem(&proxy.run(ask(method, path)), 403, "tool_unknown");
    }
}

#[test]
fn a_path_with_two_readings_is_none() {
    let proxy = invoices();
    for path in [
        "/invoices/MINE",
        "/invoices/min%45",
        "/invoices/a%ff",
        "/invoices/a%",
        "/invoices/a%0d",
        "/invoices/a%252e",
        "/invoices/a|b",
    ] {
        problem(&proxy.run(ask("GET", path)), 400, "request_malformed");
    }
    // What is ambiguous is of no server at all.
    for path in [
        "/invoices/../crm/mcp",
        "/invoices/42%2f..",
        "/invoices//42",
        "/invoices/42;x",
        "/invoices/%2e%2e/42",
        "/invoices\\42",
        "/Invoices/42",
        "/invoices2",
    ] {
        denied(&proxy.run(ask("GET", path)), 403, "server_unmatched");
    }
    problem(&proxy.run(ask("GET", "/invoices/min%65")), 403, "scope_missing");
    proxy.run(ask("GET", "/invoices/a%3ab")).forwarded();
}

#[test]
fn no_request_asks_for_another_method_than_its_own() {
    let proxy = invoices();
    for name in
        ["x-http-method-override", "x-http-method", "x-method-override", "X_HTTP_Method_Override", "x-original-url"]
    {
        let request = ask("GET", "/invoices/42").header(&name.to_ascii_lowercase(), "DELETE");
        problem(&proxy.run(request), 400, "request_malformed");
    }
    for query in ["_method=DELETE", "a=1&%5fmethod=PUT", "a;_method=PUT"] {
        problem(&proxy.run(ask("GET", &format!("/invoices/42?{query}"))), 400, "request_malformed");
    }
    for name in ["upgrade", "connection"] {
        let request = ask("GET", "/invoices/42").header(name, "websocket");
        match name {
            "upgrade" => drop(problem(&proxy.run(request), 400, "request_malformed")),
            _ => drop(proxy.run(request).forwarded()),
        }
    }
    problem(&proxy.run(ask("CONNECT", "/invoices/42")), 400, "request_malformed");
}

#[test]
fn a_body_no_condition_asks_for_streams_through() {
    let proxy = invoices();
    let upload = [0xffu8; 6 * 1024];
    let mut stream = proxy.open();
    let token = format!("Bearer {}", token("invoices:write"));
    let head = [
        (":method", "PUT"),
        (":scheme", "https"),
        (":authority", "gateway.example.com"),
        (":path", "/invoices/42/file"),
        ("content-type", "application/octet-stream"),
        ("content-encoding", "br"),
        ("authorization", &token),
    ];
    stream.headers(&head, End::No);
    assert!(stream.upstream().is_some(), "the request waits for its body");
    for frame in upload.chunks(1024) {
        stream.body(frame, End::No);
        assert!(stream.upstream().unwrap().body.ends_with(frame));
    }
    stream.body("", End::Yes);
    let upstream = stream.forwarded();
    assert_eq!(upstream.body, upload);
    assert_eq!(upstream.chunks.len(), 6, "frames were joined");
    // Until a credential is there nothing moves.
    proxy.cluster("broker").hold();
    let stream = proxy.run(ask("POST", "/invoices").body(upload));
    assert!(stream.upstream().is_none());
    proxy.cluster("broker").answer(granted);
    proxy.settle();
    assert_eq!(stream.forwarded().body, upload);
}

#[test]
fn a_condition_sees_path_query_and_body() {
    let proxy = invoices();
    let pay = |id: &str, body: &str| {
        let (id, query) = id.split_once('?').unwrap_or((id, ""));
        ask("POST", &format!("/invoices/{id}/payments?{query}")).header("content-type", "application/json").body(body)
    };
    for size in [1, 5, 100] {
        let request = pay("42", r#"{"amount": 100}"#).split_every(size);
        assert_eq!(proxy.run(request.clone()).forwarded().body, br#"{"amount": 100}"#);
        assert_eq!(proxy.run(request.trailers()).forwarded().body, br#"{"amount": 100}"#);
    }
    problem(&proxy.run(pay("42", r#"{"amount": 101}"#)), 403, "condition_false");
    problem(&proxy.run(pay("0", r#"{"amount": 1}"#)), 403, "condition_false");
    problem(&proxy.run(pay("42?currency=USD", r#"{"amount": 1}"#)), 403, "condition_false");
    problem(&proxy.run(pay("42", r#"{"amount": "1"}"#)), 403, "condition_error");
    for bad in [r#"{"amount": 1, "amount": 101}"#, "amount=1", "", r#"{"amount": 1}{}"#] {
        problem(&proxy.run(pay("42", bad)), 400, "request_malformed");
    }
    for query in ["currency=EUR&currency=USD", "currency=EUR;currency=USD", "id=1", "body=1", "x=%ff"] {
        problem(&proxy.run(pay(&format!("42?{query}"), r#"{"amount": 1}"#)), 400, "request_malformed");
    }
    let form = ask("POST", "/invoices/42/payments").header("content-type", "application/x-www-form-urlencoded");
    problem(&proxy.run(form.body("amount=1")), 400, "request_malformed");
    problem(
        &proxy.run(pay("42", &format!("{{\"amount\":1,\"x\":\"{}\"}}", "a".repeat(5000)))),
        413,
        "request_too_large",
    );
    proxy.run(ask("GET", "/invoices?state=open")).forwarded();
    problem(&proxy.run(ask("GET", "/invoices?state=paid")), 403, "condition_false");
    problem(&proxy.run(ask("GET", "/invoices")), 403, "condition_error");
}

#[test]
fn a_server_describes_itself_whatever_it_speaks() {
    let reply = invoices().run(Request::fetch("/.well-known/oauth-protected-resource/invoices")).replied();
    assert_eq!(reply.json()["resource"], RESOURCE);
    assert_eq!(reply.json()["scopes_supported"], json!(["invoices:mine", "invoices:read", "invoices:write"]));
}
