//! Ways around a proxy that reads a request otherwise than the server does, with what the official SDKs' servers make of
//! them: past the filter the forbidden tool runs, through it never.

use harness::sdk::{Ran, Sdk};
use harness::wire::{One, Post, Reply};
use serde_json::{Value, json};

use super::hall::Hall;
use super::scene::denial;

#[tokio::test]
async fn no_way_around_leads_to_a_forbidden_tool_of_a_python_server() {
    probe("bypasses-python", Sdk::Python).await;
}

#[tokio::test]
async fn no_way_around_leads_to_a_forbidden_tool_of_a_rust_server() {
    probe("bypasses-rust", Sdk::Rust).await;
}

#[tokio::test]
async fn no_way_around_leads_to_a_forbidden_tool_of_a_typescript_server() {
    probe("bypasses-typescript", Sdk::TypeScript).await;
}

async fn probe(name: &str, sdk: Sdk) {
    let Some(hall) = Hall::open(name, sdk, |setup| setup).await else { return };
    let token = hall.token();
    let beside = hall.plain.strip_prefix("http://").and_then(|url| url.split('/').next()).expect("the URL has a host");
    for way in ways() {
        let before = forbidden(&hall.beside.ran());
        send(beside, &token, &way).await;
        let runs = forbidden(&hall.beside.ran()) > before;
        assert_eq!(runs, way.fools.contains(&sdk), "{sdk:?}, past the filter: {}", way.name);
        let reply = send(&hall.scene.address(), &token, &way).await;
        assert_eq!(denial(&reply), (way.status, way.reason.to_owned()), "{sdk:?}: {}: {}", way.name, reply.text());
    }
    assert_eq!(hall.guarded.ran(), [], "{sdk:?}");
}

fn forbidden(ran: &[Ran]) -> usize {
    ran.iter().filter(|ran| ran.name == "crm_delete").count()
}

async fn send(address: &str, token: &str, way: &Way) -> Reply {
    let mut head = Post::new("/crm/mcp", address).header("authorization", format!("Bearer {token}"));
    head = head.header("content-type", "application/json").header("accept", "application/json, text/event-stream");
    for (name, value) in &way.headers {
        head = head.header(name, value);
    }
    let mut connection = One::connect(address).await.expect("Envoy listens");
    connection.exchange(&[head.body(&way.body)]).await.expect("there is an answer")
}

/// A request that calls `crm_delete` without the scope for it, in disguise.
struct Way {
    name: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
    /// The servers that run it.
    fools: &'static [Sdk],
    status: u16,
    reason: &'static str,
}

const LEGACY: (&str, &str) = ("mcp-protocol-version", "2025-11-25");
const MODERN: (&str, &str) = ("mcp-protocol-version", "2026-07-28");
const CALL: (&str, &str) = ("mcp-method", "tools/call");
const LOOKUP: (&str, &str) = ("mcp-name", "crm_lookup");
const DELETE: (&str, &str) = ("mcp-name", "crm_delete");

fn ways() -> Vec<Way> {
    use Sdk::{Python, TypeScript};
    let way = |name, headers: &[_], body: &[u8], fools, (status, reason)| Way {
        name,
        headers: headers.to_vec(),
        body: body.to_vec(),
        fools,
        status,
        reason,
    };
    let (legacy, modern) = (call("crm_delete", false).to_string(), call("crm_delete", true).to_string());
    let twice = |text: &str| text.replace(r#""name":"crm_delete""#, r#""name":"crm_lookup","name":"crm_delete""#);
    let batch = json!([call("crm_lookup", false), call("crm_delete", false)]).to_string();
    let marked = |text: &str| [b"\xef\xbb\xbf", text.as_bytes()].concat();
    let wide: Vec<u8> = modern.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let (missing, malformed) = ((403, "scope_missing"), (400, "request_malformed"));
    vec![
        way("a header names another tool, legacy", &[LEGACY, CALL, LOOKUP], legacy.as_bytes(), &[TypeScript], missing),
        way("no version, no session", &[CALL, LOOKUP], legacy.as_bytes(), &[TypeScript], missing),
        way("a header of the other era", &[MODERN, CALL, LOOKUP], legacy.as_bytes(), &[], (400, "header_mismatch")),
        way("a body of the other era", &[LEGACY, CALL, DELETE], modern.as_bytes(), &[], (400, "header_mismatch")),
        way("a header names another tool", &[MODERN, CALL, LOOKUP], modern.as_bytes(), &[], (400, "header_mismatch")),
        way("a batch", &[LEGACY], batch.as_bytes(), &[TypeScript], malformed),
        way("a name twice, legacy", &[LEGACY], twice(&legacy).as_bytes(), &[TypeScript], malformed),
        way("a name twice", &[MODERN, CALL, DELETE], twice(&modern).as_bytes(), &[Python, TypeScript], malformed),
        way("a byte order mark", &[MODERN, CALL, DELETE], &marked(&modern), &[Python, TypeScript], malformed),
        way("UTF-16", &[MODERN, CALL, DELETE], &wide, &[Python], malformed),
    ]
}

fn call(tool: &str, modern: bool) -> Value {
    let mut params = json!({ "name": tool, "arguments": { "id": "1001" } });
    if modern {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        });
    }
    json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params })
}
