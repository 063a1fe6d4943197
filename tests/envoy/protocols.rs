//! HTTP APIs and A2A agents through a real Envoy: what a rule names goes up as it came, everything else stays outside.

use harness::wire::{End, Reply, Two};
use serde_json::{Value, json};

use super::scene::{Scene, Setup};

/// The demo with an API and an agent beside its MCP server; the tool server behind them logs what reaches it.
async fn open(name: &str) -> Option<Scene> {
    let read = |matched: &str, scope: &str| json!({ "match": matched, "scopes": [scope], "credential": "crm-api" });
    let api = json!({
        "resource": "http://gateway.test/api",
        "match": { "host": "gateway.test", "path_prefix": "/api/" },
        "protocol": "http",
        "issuers": ["corp"],
        "tools": {
            "customers.read": read("GET /api/customers/{id}", "crm:read"),
            "customers.write": {
                "match": "POST /api/customers", "scopes": ["crm:read"], "when": "size(args.body.fields) <= 2",
            },
        },
    });
    let agent = json!({
        "resource": "http://gateway.test/agent",
        "match": { "host": "gateway.test", "path_prefix": "/agent/" },
        "protocol": "a2a",
        "issuers": ["corp"],
        "tools": { "SendMessage": { "scopes": ["crm:read"] }, "GetTask": { "scopes": ["crm:admin"] } },
    });
    let setup = Setup::new(name).beside("api", api).beside("agent", agent).envoy(|config| {
        let routes =
            "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/route_config/virtual_hosts/0/routes";
        let routes = config.pointer_mut(routes).and_then(Value::as_array_mut).expect("the routes are there");
        routes.push(json!({ "match": { "prefix": "/" }, "route": { "cluster": "crm", "timeout": "0s" } }));
    });
    setup.open().await
}

/// A request of the API's or the agent's, over HTTP/2.
async fn ask(scene: &Scene, method: &str, path: &str, body: &str) -> Reply {
    let audience = if path.starts_with("/api") { "http://gateway.test/api" } else { "http://gateway.test/agent" };
    let token = scene.issuer.token().audience(audience).scope("crm:read").sign();
    let request = http::Request::builder().method(method).uri(format!("http://gateway.test{path}"));
    let request = request.header("authorization", format!("Bearer {token}")).header("content-type", "application/json");
    let frames: Vec<_> = body.as_bytes().chunks(9).collect();
    let two = Two::connect(&scene.address()).await.expect("Envoy listens");
    two.send(request.body(()).unwrap(), &frames, End::Stream).await.expect("Envoy answers")
}

/// The reason a denial gives, in the form of either protocol.
fn reason(reply: &Reply) -> (u16, String) {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_else(|_| panic!("no JSON: {}", reply.text()));
    let text = body.get("reason").or_else(|| body.pointer("/error/data/reason")).and_then(Value::as_str);
    (reply.status, text.unwrap_or_default().to_owned())
}

#[tokio::test]
async fn an_api_is_open_by_method_and_path_alone() {
    let Some(scene) = open("http").await else { return };
    // Behind the filter nobody knows these paths; 404 is the tool server's own word.
    assert_eq!(ask(&scene, "GET", "/api/customers/7?verbose=1", "").await.status, 404);
    assert_eq!(ask(&scene, "POST", "/api/customers", r#"{"fields":["a"]}"#).await.status, 404);
    for (method, path, body, expected) in [
        ("GET", "/api/customers", "", (403, "tool_unknown")),
        ("DELETE", "/api/customers/7", "", (403, "tool_unknown")),
        ("GET", "/api/customers/7/", "", (403, "tool_unknown")),
        ("POST", "/api/customers", r#"{"fields":["a","b","c"]}"#, (403, "condition_false")),
        ("POST", "/api/customers", r#"{"fields":["a"],"fields":["a","b","c"]}"#, (400, "request_malformed")),
        ("POST", "/api/customers?_method=DELETE", r#"{"fields":["a"]}"#, (400, "request_malformed")),
    ] {
        let reply = ask(&scene, method, path, body).await;
        assert_eq!(reason(&reply), (expected.0, expected.1.to_owned()), "{method} {path}");
        assert_eq!(reply.header("content-type"), ["application/problem+json"]);
    }
    let got: Vec<_> = scene.received().iter().map(|request| format!("{} {}", request.method, request.path)).collect();
    assert_eq!(got, ["GET /api/customers/7?verbose=1", "POST /api/customers"]);
    let first = &scene.received()[0];
    assert_eq!(first.header("authorization")[0]["claims"]["aud"], "https://crm.internal");
}

#[tokio::test]
async fn an_agent_is_open_by_operation_in_both_bindings_and_versions() {
    let Some(scene) = open("a2a").await else { return };
    let call = |method: &str| {
        json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": { "message": { "role": "user" } } }).to_string()
    };
    assert_eq!(ask(&scene, "POST", "/agent/", &call("message/send")).await.status, 404);
    assert_eq!(ask(&scene, "POST", "/agent/?A2A-Version=1.0", &call("SendMessage")).await.status, 404);
    let rest = ask(&scene, "POST", "/agent/message:send?A2A-Version=1.0", r#"{"message":{"role":"user"}}"#).await;
    assert_eq!(rest.status, 404);
    for (method, path, body) in [
        ("POST", "/agent/", call("tasks/get")),
        ("POST", "/agent/?A2A-Version=1.0", call("GetTask")),
        ("GET", "/agent/tasks/1?A2A-Version=1.0", String::new()),
    ] {
        let reply = ask(&scene, method, path, &body).await;
        assert_eq!(reason(&reply), (403, "scope_missing".to_owned()), "{method} {path}");
    }
    for (path, body) in [("/agent/", call("SendMessage")), ("/agent/?A2A-Version=1.0", call("message/send"))] {
        assert_ne!(ask(&scene, "POST", path, &body).await.status, 404, "a name of the other version went up");
    }
    assert_eq!(scene.received().len(), 3);
}
