//! Which calls are permitted, and how the others are told.

use crate::support::*;
use harness::{Request, Response};
use serde_json::{Value, json};

fn read() -> Request {
    legacy(&reader(), &call("crm_lookup"))
}

#[test]
fn a_permitted_call_goes_upstream_as_it_came() {
    let proxy = start();
    let legacy = proxy.run(read().header("traceparent", "00-1-2-01"));
    let upstream = legacy.forwarded();
    assert!(upstream.complete);
    assert_eq!(upstream.json(), call("crm_lookup"));
    for kept in [":path", "content-type", "content-length", "accept", "traceparent", "x-request-id"] {
        assert!(upstream.headers.has(kept), "{kept}");
    }
    assert_eq!(legacy.reply().unwrap().body, answered().chunks[0]);

    let modern = proxy.run(modern(&reader(), "crm_lookup")).forwarded();
    assert_eq!(modern.headers.text("mcp-name"), Some("crm_lookup"));
    assert_eq!(modern.headers.text("mcp-method"), Some("tools/call"));
    assert!(proxy.cluster("broker").calls().is_empty(), "a call without a credential asks nobody");
    assert_eq!(proxy.metric("accredit.decisions.crm.permit"), 2);
}

#[test]
fn names_of_the_modern_era_may_be_coded() {
    let proxy = start();
    let coded = |name| modern_as(&reader(), "crm_lookup", &["2026-07-28"], &["tools/call"], &[name]);
    proxy.run(coded("=?base64?Y3JtX2xvb2t1cA==?=")).forwarded();
    for other in ["=?base64?Y3JtX2xvb2t1cA?=", "=?BASE64?Y3JtX2xvb2t1cA==?=", "=?base64?AA==?=", "=?base64??="] {
        denied(&proxy.run(coded(other)), 400, "header_mismatch");
    }
}

#[test]
fn a_missing_scope_is_named_in_the_challenge_and_the_error_carries_the_id() {
    let proxy = start();
    let challenge =
        format!("Bearer error=\"insufficient_scope\", scope=\"crm:read crm:write\", resource_metadata=\"{METADATA}\"");
    for id in [json!("seven"), json!("\u{e9}\"\\<"), json!(7), json!(0), json!(-1), json!(u64::MAX), json!("")] {
        let mut body = call("crm_update");
        body["id"] = id.clone();
        let reply = denied(&proxy.run(legacy(&reader(), &body)), 403, "scope_missing");
        assert_eq!(reply.challenge(), challenge);
        let error = reply.json();
        assert_eq!(error["id"], id);
        assert_eq!(error["error"]["code"], -31001);
        assert_eq!(error["error"]["data"]["tool"], "crm_update");
        assert_eq!(error["error"]["data"]["required_scopes"], json!(["crm:read", "crm:write"]));
    }
    denied(&proxy.run(modern(&reader(), "crm_update")), 403, "scope_missing");
    denied(&proxy.run(legacy(&reader(), &call("report_daily"))), 403, "scope_missing");
    assert_eq!(proxy.metric("accredit.decisions.crm.scope_missing"), 9);
}

#[test]
fn what_no_rule_names_is_forbidden_to_everyone() {
    let proxy = start();
    let near = ["crm_delete", "CRM_LOOKUP", "crm_lookup ", "crm_lookup2", "report", "*", "report_*x\u{301}"];
    for tool in &near[..6] {
        let reply = denied(&proxy.run(legacy(&token(), &call(tool))), 403, "tool_unknown");
        assert_eq!(reply.json()["error"]["data"]["tool"], **tool);
    }
    proxy.run(legacy(&token(), &call(near[6]))).forwarded();
    for method in ["tools/Call", "tasks/list", "logging/setLevel", "skills/list", "response", "GET"] {
        denied(&proxy.run(legacy(&token(), &message(method, json!({ "name": "crm_lookup" })))), 403, "method_unknown");
    }
    for (method, params) in [
        ("prompts/get", json!({ "name": "crm_lookup" })),
        ("resources/read", json!({ "uri": "crm_lookup" })),
        ("resources/subscribe", json!({ "uri": "crm_lookup" })),
        ("completion/complete", json!({ "ref": { "type": "ref/prompt", "name": "crm_lookup" } })),
        ("subscriptions/listen", json!({ "notifications": { "resourceSubscriptions": ["crm_lookup"] } })),
    ] {
        let reply = denied(&proxy.run(legacy(&token(), &message(method, params))), 403, "tool_unknown");
        assert_eq!(reply.json()["error"]["data"]["tool"], "crm_lookup", "a tool's name is no other thing's");
    }
    let notification = json!({ "jsonrpc": "2.0", "method": "notifications/unknown" });
    denied(&proxy.run(legacy(&token(), &notification)), 403, "method_unknown");
    for method in ["PUT", "PATCH", "OPTIONS", "HEAD", "post", "TRACE"] {
        denied(&proxy.run(read().header(":method", method)), 403, "method_unknown");
    }
}

#[test]
fn what_every_client_needs_takes_a_token_but_no_scope() {
    let proxy = start();
    let bare = issuer().token().without("scope").sign();
    let requests = [
        message("initialize", json!({ "protocolVersion": "2025-11-25", "capabilities": {} })),
        message("ping", json!({})),
        message("tools/list", json!({ "cursor": "c" })),
        message("prompts/list", json!({})),
        message("resources/list", json!({})),
        message("resources/templates/list", json!({})),
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } }),
        json!({ "jsonrpc": "2.0", "id": "s-1", "result": {} }),
        json!({ "jsonrpc": "2.0", "id": 2, "error": { "code": -1, "message": "no" } }),
    ];
    for body in &requests {
        assert_eq!(proxy.run(legacy(&bare, body)).forwarded().json(), *body);
        denied(&proxy.run(legacy("x.y.z", body)), 401, "token_malformed");
    }
    for method in ["GET", "DELETE"] {
        let session = || Request::new(method, PATH);
        let upstream = proxy.run(session().bearer(&bare)).forwarded();
        assert!(!upstream.headers.has("authorization") && upstream.complete);
        denied(&proxy.run(session()), 401, "token_missing");
        denied(&proxy.run(session().bearer(&bare).body("{}")), 400, "request_malformed");
        let modern = session().bearer(&bare).header("mcp-protocol-version", "2026-07-28");
        denied(&proxy.run(modern), 400, "header_mismatch");
    }
    assert!(proxy.cluster("broker").calls().is_empty(), "no credential is minted for a session");
}

#[test]
fn the_upstream_sees_nothing_that_is_between_the_agent_and_the_proxy() {
    let proxy = start();
    let marks = ["x-accredit-agent", "x-accredit-", "dpop", "X-Accredit-Scopes"];
    let marked = |request: Request| marks.iter().fold(request, |request, name| request.header(name, "forged"));
    let legacy = marked(read()).header("mcp-method", "tools/list").header("mcp-name", "other");
    let legacy = legacy.header("mcp-param-id", "1").header("Mcp-Name", "crm_delete");
    let modern = marked(modern(&reader(), "crm_lookup"));
    let session = marked(Request::fetch(PATH).bearer(&reader())).header("mcp-name", "crm_delete");
    for (request, foreign) in [(legacy, true), (modern, false), (session, true)] {
        let headers = proxy.run(request).forwarded().headers;
        let private = |name: &str| name == "authorization" || name == "dpop" || name.starts_with("x-accredit-");
        assert!(!headers.iter().any(|(name, _)| private(name)), "{headers:?}");
        let named = |name: &str| name == "mcp-name" || name == "mcp-method" || name.starts_with("mcp-param-");
        assert!(!foreign || !headers.iter().any(|(name, _)| named(name)), "{headers:?}");
    }
}

#[test]
fn headers_of_the_modern_era_have_to_repeat_the_body() {
    let proxy = start();
    let (version, method, name) = ("2026-07-28", "tools/call", "crm_lookup");
    for (versions, methods, names) in [
        (&[][..], &[method][..], &[name][..]),
        (&["2025-11-25"], &[method], &[name]),
        (&[version, version], &[method], &[name]),
        (&[version], &[], &[name]),
        (&[version], &["tools/list"], &[name]),
        (&[version], &["TOOLS/CALL"], &[name]),
        (&[version], &[method, method], &[name]),
        (&[version], &[method], &[]),
        (&[version], &[method], &["crm_update"]),
        (&[version], &[method], &["CRM_lookup"]),
        (&[version], &[method], &[name, name]),
    ] {
        let request = modern_as(&token(), name, versions, methods, names);
        let reply = denied(&proxy.run(request), 400, "header_mismatch");
        assert_eq!(reply.json()["error"]["code"], -32020);
        assert_eq!(reply.json()["id"], 1);
    }
    let bare = legacy(&token(), &call(name)).without("mcp-protocol-version");
    let claims = bare.header("mcp-protocol-version", version).header("mcp-method", method).header("mcp-name", name);
    denied(&proxy.run(claims), 400, "header_mismatch");
}

#[test]
fn a_version_nobody_judges_is_refused_with_those_that_are() {
    let proxy = start();
    for version in ["2024-11-05", "2099-01-01", "2025-11-25, 2026-07-28"] {
        let request = read().without("mcp-protocol-version").header("mcp-protocol-version", version);
        let reply = denied(&proxy.run(request), 400, "request_malformed");
        assert_eq!(reply.json()["error"]["code"], -32022);
        let supported = &reply.json()["error"]["data"]["supported"];
        assert_eq!(*supported, json!(["2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"]));
    }
    proxy.run(read().without("mcp-protocol-version")).forwarded();
}

#[test]
fn nobody_leaves_http() {
    let proxy = start();
    for protocol in ["websocket", "h2c"] {
        let upgrade = Request::fetch(PATH).bearer(&token()).header("connection", "upgrade").header("upgrade", protocol);
        denied(&proxy.run(upgrade), 400, "request_malformed");
        let post = read().header("upgrade", protocol);
        denied(&proxy.run(post), 400, "request_malformed");
    }
    denied(&proxy.run(Request::new("CONNECT", PATH).bearer(&token())), 400, "request_malformed");
    let bare = Request::new("CONNECT", "").without(":path").bearer(&token());
    denied(&proxy.run(bare), 403, "server_unmatched");
    // An upgrade's headers are not the end of the request, and nothing else ever comes.
    let mut open = proxy.open();
    let bearer = format!("Bearer {}", token());
    let headers = [
        (":method", "GET"),
        (":authority", "gateway.example.com"),
        (":path", PATH),
        ("upgrade", "websocket"),
        ("authorization", &bearer),
    ];
    open.headers(&headers, harness::End::No);
    denied(&open, 400, "request_malformed");
}

#[test]
fn a_request_for_no_server_is_forbidden() {
    let proxy = start();
    for path in ["/", "/crm", "/crm/mcp/", "/CRM/MCP", "//crm/mcp", "/crm/mc%70", "/crm/mcp;x", "/x/../crm/mcp", "*"] {
        denied(&proxy.run(read().header(":path", path)), 403, "server_unmatched");
    }
    for host in ["gateway.example.com.evil", "evil", "", "gateway.example.com:x", "gateway.example.com@evil"] {
        denied(&proxy.run(read().header(":authority", host)), 403, "server_unmatched");
    }
    for (name, value) in [(":path", "/crm/mcp?a=b"), (":authority", "GATEWAY.example.com:443")] {
        proxy.run(read().header(name, value)).forwarded();
    }
    assert_eq!(proxy.metric("accredit.decisions.none.server_unmatched"), 14);
}

fn described(proxy: &harness::Proxy, path: &str) -> Option<Value> {
    let stream = proxy.run(Request::fetch(path));
    let reply = stream.replied();
    assert!(stream.upstream().is_none());
    (reply.status == 200).then(|| {
        assert_eq!(reply.headers.text("access-control-allow-origin"), Some("*"));
        reply.json()
    })
}

#[test]
fn the_resource_describes_itself_to_clients_that_have_no_token() {
    let proxy = start();
    let document = json!({
        "resource": "https://gateway.example.com/crm/mcp",
        "authorization_servers": ["https://idp.example.com"],
        "scopes_supported": ["crm:read", "crm:write", "reports:read"],
        "bearer_methods_supported": ["header"],
    });
    let root = "/.well-known/oauth-protected-resource";
    assert_eq!(described(&proxy, root), Some(document.clone()));
    assert_eq!(described(&proxy, &format!("{root}{PATH}")), Some(document.clone()));
    for other in ["/crm", "/", "x", "/crm/mcp/"] {
        assert_eq!(described(&proxy, &format!("{root}{other}")), None, "{other}");
    }
    assert!(records(&proxy).iter().all(|record| record["reason"] == "server_unmatched"));

    let mut two = policy();
    two["servers"]["notes"] = two["servers"]["crm"].clone();
    two["servers"]["notes"]["resource"] = json!("https://gateway.example.com/notes");
    two["servers"]["notes"]["match"]["path"] = json!("/notes");
    let proxy = started(builder(&two));
    proxy.upstream(|_| Response::new(404));
    assert_eq!(described(&proxy, root), None, "the root speaks for one server only");
    assert_eq!(described(&proxy, &format!("{root}{PATH}")), Some(document));
    assert_eq!(described(&proxy, &format!("{root}/notes")).unwrap()["resource"], "https://gateway.example.com/notes");
}
