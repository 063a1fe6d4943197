//! What the suites share: one policy, one broker, and requests that are in order.

use harness::{Alg, Answer, Builder, Call, Issuer, Proxy, Reply, Request, Response, Stream};
use serde_json::{Value, json};
use std::time::Duration;

pub const PATH: &str = "/crm/mcp";
pub const METADATA: &str = "https://gateway.example.com/.well-known/oauth-protected-resource/crm/mcp";
pub const SECRET: &str = "p+q/r s";
pub const SESSION_KEY: &str = "0123456789abcdef0123456789abcdef";
pub const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

pub fn issuer() -> Issuer {
    Issuer::new("https://idp.example.com")
}

/// A policy whose keys stand in it.
pub fn policy() -> Value {
    json!({
        "version": 1,
        "issuers": {
            "corp": {
                "issuer": "https://idp.example.com",
                "jwks": issuer().jwks(),
                "algorithms": ["RS256", "ES256", "EdDSA"],
            },
        },
        "broker": {
            "cluster": "broker",
            "authority": "broker.internal",
            "client": { "id": "proxy:1", "secret_env": "ACCREDIT_SECRET" },
        },
        "session_key": { "env": "ACCREDIT_SESSION_KEY" },
        "servers": {
            "crm": {
                "resource": "https://gateway.example.com/crm/mcp",
                "match": { "host": "gateway.example.com", "path": PATH },
                "protocol": "mcp",
                "issuers": ["corp"],
                "tools": {
                    "crm_lookup": { "scopes": ["crm:read"] },
                    "crm_update": { "scopes": ["crm:write", "crm:read"], "credential": "crm-api" },
                    "report_*": { "scopes": ["reports:read"] },
                },
                "limits": { "request": "4KiB" },
            },
        },
    })
}

/// The same with keys that have to be fetched.
pub fn remote() -> Value {
    let jwks = json!({ "url": "https://idp.example.com/jwks.json", "cluster": "idp", "refresh": "30s" });
    changed(policy(), "/issuers/corp/jwks", jwks)
}

/// `policy` with one member set.
pub fn changed(mut policy: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    policy.pointer_mut(parent).unwrap()[name] = value;
    policy
}

pub fn builder(policy: &Value) -> Builder {
    let builder = Proxy::builder().policy(policy.to_string());
    builder.env("ACCREDIT_SECRET", SECRET).env("ACCREDIT_SESSION_KEY", SESSION_KEY)
}

/// A proxy whose broker and upstream are in order.
pub fn start() -> Proxy {
    started(builder(&policy()))
}

pub fn started(builder: Builder) -> Proxy {
    let proxy = builder.start();
    proxy.cluster("broker").answer(granted);
    proxy.upstream(|_| answered());
    proxy
}

/// What a broker says that has nothing against anything.
pub fn granted(call: &Call) -> Answer {
    match call.path() {
        "/token" => minted(json!({ "authorization": "Bearer minted" })),
        "/v1/audit/events" => Answer::status(204),
        other => panic!("the filter called `{other}`"),
    }
}

/// A credential that is these headers.
pub fn minted(headers: Value) -> Answer {
    Answer::json(200, credential(headers))
}

pub fn credential(headers: Value) -> Value {
    json!({
        "access_token": "minted",
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "Bearer",
        "expires_in": 60,
        "scope": "crm:read crm:write",
        "lease_id": "lease-1",
        "headers": headers,
    })
}

pub fn answered() -> Response {
    Response::json(200, &json!({ "jsonrpc": "2.0", "id": 1, "result": { "content": [] } }))
}

/// A token for everything. Ed25519 is the cheapest to verify, and most suites do not care.
pub fn token() -> String {
    issuer().token().alg(Alg::EdDsa).scope("crm:read crm:write reports:read").sign()
}

/// A token that may only read.
pub fn reader() -> String {
    issuer().token().alg(Alg::EdDsa).sign()
}

pub fn message(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

pub fn call(tool: &str) -> Value {
    message("tools/call", json!({ "name": tool, "arguments": { "id": "42" } }))
}

/// A request as clients up to 2025-11-25 send it.
pub fn legacy(token: &str, body: &Value) -> Request {
    raw(token, body.to_string())
}

/// The same with a body of any text.
pub fn raw(token: &str, body: impl AsRef<[u8]>) -> Request {
    let request = Request::post(PATH).bearer(token).header("accept", "application/json, text/event-stream");
    let request = request.header("mcp-protocol-version", "2025-11-25");
    request.header("content-type", "application/json").body(body)
}

/// A call as clients since 2026-07-28 send it.
pub fn modern(token: &str, tool: &str) -> Request {
    modern_as(token, tool, &["2026-07-28"], &["tools/call"], &[tool])
}

/// The same with other lines of `MCP-Protocol-Version`, `Mcp-Method` and `Mcp-Name`.
pub fn modern_as(token: &str, tool: &str, versions: &[&str], methods: &[&str], names: &[&str]) -> Request {
    let mut body = call(tool);
    body["params"]["_meta"] = json!({ VERSION: "2026-07-28" });
    let mut request = Request::post(PATH).bearer(token).json(&body);
    for (header, lines) in [("mcp-protocol-version", versions), ("mcp-method", methods), ("mcp-name", names)] {
        request = lines.iter().fold(request, |request, line| request.header(header, line));
    }
    request
}

/// The filter's denial, once it was found to be the whole of it: nothing of the request went upstream.
#[track_caller]
pub fn denied(stream: &Stream, status: u16, reason: &str) -> Reply {
    let reply = stream.replied();
    let body = reply.json();
    assert_eq!((reply.status, body["error"]["data"]["reason"].as_str()), (status, Some(reason)), "{reply:?}");
    assert!(stream.upstream().is_none(), "a denied request went upstream");
    assert!(stream.over(), "the client waits for the end of the denial");
    assert_eq!(body["jsonrpc"], "2.0");
    assert_eq!(body["error"]["data"]["decision_id"].as_str().map(str::len), Some(36));
    assert_eq!(reply.headers.text("content-type"), Some("application/json"));
    assert_eq!(reply.headers.text("cache-control"), Some("no-store"));
    assert_eq!(reply.headers.has("retry-after"), status == 503);
    let challenged = status == 401 || reason == "scope_missing";
    assert_eq!(!reply.challenge().is_empty(), challenged, "{reply:?}");
    reply
}

/// Every record the broker has, once the next batch has arrived.
pub fn records(proxy: &Proxy) -> Vec<Value> {
    proxy.advance(Duration::from_secs(1));
    harness::audit_records(proxy)
}
