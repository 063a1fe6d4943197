//! Two servers of one SDK, one behind the filter and one beside it, so that what is said and what runs can be compared.

use std::net::TcpListener;

use harness::sdk::{Running, Sdk};
use harness::stack::fresh;
use serde_json::{Value, json};

use super::scene::{Scene, Setup};

/// What the agent's token holds.
pub const SCOPE: &str = "crm:read crm:write reports:read";

/// Two servers of one kind: one behind the filter, one beside it.
pub struct Hall {
    pub scene: Scene,
    /// Behind the filter.
    pub guarded: Running,
    pub beside: Running,
    /// The URL that leads past the filter.
    pub plain: String,
}

impl Hall {
    /// Starts it with what `more` sets; `None` where there is no Envoy.
    pub async fn open(name: &str, sdk: Sdk, more: impl FnOnce(Setup) -> Setup) -> Option<Self> {
        let logs = fresh(&format!("{name}-servers"));
        let (guarded, beside) = tokio::join!(sdk.serve("guarded", &logs), sdk.serve("beside", &logs));
        let (to, held) =
            ([guarded.port, beside.port], TcpListener::bind("127.0.0.1:0").expect("loopback has a free port"));
        let port = held.local_addr().expect("it is bound").port();
        let setup = policy().into_iter().fold(Setup::new(name), |setup, (name, rules)| setup.server(name, rules));
        // The port is held until all others are chosen.
        let ways = move |config: &mut Value| {
            drop(held);
            two_ways(config, to, port);
        };
        let scene = more(setup).envoy(ways).open().await?;
        Some(Self { scene, guarded, beside, plain: format!("http://127.0.0.1:{port}/crm/mcp") })
    }

    /// A token that holds [`SCOPE`].
    pub fn token(&self) -> String {
        self.scene.token().scope(SCOPE).sign()
    }
}

/// The sections of the policy that the conversations are held under.
fn policy() -> [(&'static str, Value); 4] {
    let tools = json!({
        "crm_lookup": { "scopes": ["crm:read"], "credential": "crm-api" },
        "crm_update": { "scopes": ["crm:write"], "credential": "crm-api" },
        "crm_merge": { "scopes": ["crm:write"] },
        "crm_delete": { "scopes": ["crm:admin"], "credential": "crm-api" },
        "report_*": { "scopes": ["reports:read"] },
        "report_costs": { "scopes": ["reports:read"], "when": "size(args) > 0" },
    });
    let prompts = json!({ "summarize": { "scopes": ["crm:read"] }, "escalate": { "scopes": ["crm:admin"] } });
    let resources = json!({ "crm://public/*": { "scopes": ["crm:read"] } });
    [("tools", tools), ("prompts", prompts), ("resources", resources), ("methods", json!({}))]
}

/// What that policy keeps from [`SCOPE`], as a server would note it.
pub const DENIED: &[(&str, &str)] = &[
    ("tool", "crm_delete"),
    ("tool", "crm_export"),
    ("tool", "report_costs"),
    ("prompt", "escalate"),
    ("resource", "crm://secret/keys"),
    ("resource", "crm://public/../secret/keys"),
    ("completion", "escalate"),
    ("completion", "crm://secret/accounts/{id}"),
    ("subscription", "crm://secret/keys"),
    ("method", "logging/setLevel"),
];

/// Leads `/crm/mcp` of the gateway to the first server, and that of a listener without the filter on `port` to the second.
fn two_ways(config: &mut Value, to: [u16; 2], port: u16) {
    let resources = &mut config["static_resources"];
    let mut listener = resources["listeners"][0].clone();
    listener["name"] = json!("plain");
    listener["address"]["socket_address"]["port_value"] = json!(port);
    let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
    manager["http_filters"].as_array_mut().expect("filters are a list").remove(0);
    manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"]["cluster"] = json!("beside");
    resources["listeners"].as_array_mut().expect("listeners are a list").push(listener);

    let upstream = |cluster: &mut Value, port: u16| {
        let load = &mut cluster["load_assignment"];
        load["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["port_value"] = json!(port);
    };
    let clusters = resources["clusters"].as_array_mut().expect("clusters are a list");
    let crm = clusters.iter_mut().find(|cluster| cluster["name"] == "crm").expect("there is a cluster for the tools");
    let mut beside = crm.clone();
    beside["name"] = json!("beside");
    beside["load_assignment"]["cluster_name"] = json!("beside");
    upstream(crm, to[0]);
    upstream(&mut beside, to[1]);
    clusters.push(beside);
}
