//! What the demo has beside the shipped configuration: an enterprise whose users lend agents their rights, agents that hand
//! tasks on, and a database.

use std::path::Path;

use harness::Issuer;
use harness::stack::{Ports, envoy};
use serde_json::{Value, json};

/// The identity provider of the enterprise.
pub const ENTERPRISE: &str = "https://login.acme.example.test";

/// The scout's own address, for those who hand it something.
pub fn scout(ports: Ports) -> String {
    format!("{}/a2a/scout", ports.gateway())
}

/// The shipped policy with the scout as a server of its own, and the orders where there is a database.
pub fn policy(text: &str, ports: Ports, orders: bool) -> String {
    let mut policy: Value = serde_saphyr::from_str(text).expect("the shipped policy is YAML");
    let host = format!("127.0.0.1:{}", ports.gateway);
    policy["servers"]["crm"]["delegation"] = json!({ "max_depth": 2, "actors": ["scout", "planner"] });
    policy["servers"]["scout"] = json!({
        "resource": scout(ports), "match": { "host": host, "path_prefix": "/a2a/scout" }, "protocol": "a2a",
        "issuers": ["accredit"], "tools": { "SendMessage": { "scopes": ["crm:read"] } },
    });
    if orders {
        policy["servers"]["orders"] = json!({
            "resource": format!("{}/orders", ports.gateway()),
            "match": { "host": host, "path_prefix": "/orders/" }, "protocol": "http", "issuers": ["accredit"],
            "tools": {
                "orders.read": { "match": "GET /orders/{customer}", "scopes": ["crm:read"], "credential": "orders-db" },
            },
        });
    }
    policy.to_string()
}

/// The shipped configuration of the broker with the enterprise, its agents and the database.
pub fn broker(text: &str, ports: Ports, orders: Option<&Path>) -> String {
    let mut config: Value = serde_saphyr::from_str(text).expect("the shipped configuration is YAML");
    let keys = json!({ "keys": Issuer::new(ENTERPRISE).jwks()["keys"] });
    config["enterprise"] = json!({ "acme": { "issuer": ENTERPRISE, "jwks": keys, "algorithms": ["ES256"] } });
    let crm = format!("{}/crm/mcp", ports.gateway());
    let agents = config["agents"].as_array_mut().expect("the shipped configuration has agents");
    agents.push(json!({
        "id": "planner", "owner": "sales-operations@example.com", "purpose": "plans the day of the sales desk",
        "secret_file": "secrets/agent.secret", "grants": ["jwt_bearer"], "scopes": ["crm:read"],
        "resources": [crm, scout(ports)], "may_delegate_to": ["scout"],
    }));
    agents.push(json!({
        "id": "scout", "owner": "sales-operations@example.com", "purpose": "looks things up for other agents",
        "secret_file": "secrets/agent.secret", "grants": ["client_credentials", "token_exchange"],
        "scopes": ["crm:read"], "resources": [crm], "accepts": [scout(ports)],
    }));
    if let Some(url) = orders {
        agents.push(json!({
            "id": "clerk", "owner": "sales-operations@example.com", "purpose": "reads orders",
            "secret_file": "secrets/agent.secret", "scopes": ["crm:read"],
            "resources": [format!("{}/orders", ports.gateway())],
        }));
        config["credentials"]["orders-db"] = json!({
            "kind": "postgres", "url_file": url, "grants": ["reader"], "ttl": "60s",
            "headers": { "x-database-url": "{url}" },
        });
    }
    config.to_string()
}

/// Envoy's way to the orders.
pub fn routes(config: &mut Value, port: u16) {
    let path = "/route_config/virtual_hosts/0/routes";
    let routes = envoy::manager(config).pointer_mut(path).and_then(Value::as_array_mut);
    routes
        .expect("envoy.yaml has routes")
        .push(json!({ "match": { "prefix": "/orders/" }, "route": { "cluster": "orders" } }));
    let clusters = config.pointer_mut("/static_resources/clusters").and_then(Value::as_array_mut);
    let address = json!({ "address": { "socket_address": { "address": "127.0.0.1", "port_value": port } } });
    clusters.expect("envoy.yaml has clusters").push(json!({
        "name": "orders", "connect_timeout": "1s",
        "load_assignment": { "cluster_name": "orders", "endpoints": [{ "lb_endpoints": [{ "endpoint": address }] }] },
    }));
}
