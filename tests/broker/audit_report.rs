//! Reports: what they say is what the registry, the policy and the records say, and what the broker then does.

use std::time::{Duration, SystemTime};

use harness::Issuer;
use harness::stack::broker::SECRET;
use serde_json::{Value, json};

use super::audit_export::text;
use super::audit_query::keep;
use super::support::{Answer, Desk, FOREIGN, POSTGRES, RESOURCE, config, policy};
use super::team::{SCOUT, Team, WORKER, agents, servers};

const DAY: u64 = 24 * 3600;

/// The report as JSON.
fn report(desk: &Desk, args: &[&str]) -> Value {
    serde_json::from_str(&text(desk, &[&["report"], args, &["--output", "json"]].concat())).unwrap()
}

fn ago(days: u64) -> String {
    let moment = SystemTime::now() - Duration::from_secs(days * DAY);
    humantime::format_rfc3339_millis(moment).to_string()
}

/// A call of `agent` that was permitted for `scope`, some days ago.
fn call(desk: &Desk, id: &str, chain: &[&str], scope: &str, days: u64) -> Value {
    json!({
        "id": id, "time": ago(days), "kind": "outcome", "decision": "permit",
        "agent": { "issuer": desk.broker.url, "id": chain[0] }, "subject": "alice",
        "chain": if chain.len() > 1 { chain } else { &[] }, "server": "crm", "tool": "crm_lookup",
        "scopes": { "required": [scope], "held": [scope] },
    })
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().unwrap_or_else(|| panic!("no `{name}`: {value:#}"))
}

#[tokio::test]
async fn a_scope_is_unused_when_neither_its_agent_nor_a_delegate_needed_it() {
    let Team(desk) = Team::open("report-unused").await;
    let mut denied = call(&desk, "denied", &["scout"], "crm:admin", 1);
    denied["decision"] = json!("deny");
    let mut foreign = call(&desk, "foreign", &["worker"], "crm:read", 1);
    foreign["agent"]["issuer"] = json!("https://idp.example.test");
    keep(
        &desk,
        &[
            call(&desk, "now", &["scout", "planner"], "crm:read", 1),
            call(&desk, "old", &["planner"], "crm:write", 40),
            denied,
            foreign,
        ],
    )
    .await;
    let unused = |args: &[&str]| {
        let report = report(&desk, &[&["unused-scopes"], args].concat());
        list(&report, "agents")
            .iter()
            .map(|row| (row["agent"].as_str().unwrap().to_owned(), row["scopes"].clone(), row["resources"].clone()))
            .collect::<Vec<_>>()
    };
    let row = |agent: &str, scopes: Value, resources: Value| (agent.to_owned(), scopes, resources);
    let all = json!([RESOURCE, SCOUT, WORKER]);
    assert_eq!(
        unused(&[]),
        [
            row("idle", json!(["crm:read"]), all.clone()),
            row("planner", json!(["crm:write"]), json!([SCOUT, WORKER])),
            row("scout", json!(["crm:admin"]), json!([SCOUT, WORKER])),
            row("worker", json!(["crm:read"]), all),
        ]
    );
    let long = unused(&["--since", "60d", "--agent", "planner"]);
    assert_eq!(long, [row("planner", json!([]), json!([SCOUT, WORKER]))]);
}

#[tokio::test]
async fn a_denial_says_the_line_that_would_permit_it() {
    let mut rules = policy(&Issuer::new(FOREIGN));
    rules["servers"]["crm"]["tools"]["report_*"] = json!({ "scopes": ["crm:read"], "when": "size(chain) == 0" });
    let desk = Desk::configured("report-denied", &rules, config()).await;
    let denied = |id: String, reason: &str, tool: &str, required: &[&str], issuer: &str| {
        json!({
            "id": id, "time": ago(1), "kind": "decision", "decision": "deny", "reason": reason,
            "agent": { "issuer": issuer, "id": "agent-7" }, "server": "crm", "tool": tool,
            "scopes": { "required": required, "held": ["crm:read"] },
        })
    };
    let own = desk.broker.url.clone();
    let mut records = Vec::new();
    for (count, (reason, tool, required, issuer)) in [
        ("scope_missing", "crm_delete", &["crm:read", "crm:admin"][..], own.as_str()),
        ("scope_missing", "crm_update", &["crm:write"], &own),
        ("scope_missing", "crm_update", &["crm:write"], FOREIGN),
        ("tool_unknown", "crm_drop", &[], &own),
        ("condition_false", "report_daily", &["crm:read"], &own),
        ("token_audience", "", &[], &own),
        ("token_expired", "", &[], &own),
    ]
    .into_iter()
    .rev()
    .enumerate()
    {
        for number in 0..=count {
            records.push(denied(format!("{reason}-{count}-{number}"), reason, tool, required, issuer));
        }
    }
    keep(&desk, &records).await;
    let report = report(&desk, &["denied", "--agent", "agent-7"]);
    let rows: Vec<_> =
        list(&report, "denials").iter().map(|row| (row["count"].as_u64().unwrap(), row["fix"].clone())).collect();
    assert_eq!(
        rows,
        [
            (7, json!({ "at": "registry", "path": "agents.agent-7.scopes", "add": ["crm:admin"] })),
            (6, json!({ "at": "request", "path": "scope", "add": ["crm:write"] })),
            (5, json!({ "at": "issuer", "path": FOREIGN, "add": ["crm:write"] })),
            (4, json!({ "at": "policy", "path": "servers.crm.tools", "add": ["crm_drop"] })),
            (3, json!({ "at": "policy", "path": "servers.crm.tools.report_*.when" })),
            (2, json!({ "at": "registry", "path": "agents.agent-7.resources", "add": [RESOURCE] })),
            (1, Value::Null),
        ]
    );
    let table = text(&desk, &["report", "denied"]);
    assert!(table.contains("registry: agents.agent-7.scopes + crm:admin"), "{table}");
    assert!(list(&self::report(&desk, &["denied", "--agent", "agent-8"]), "denials").is_empty());
    assert!(list(&self::report(&desk, &["denied", "--since", "1h"]), "denials").is_empty());
}

#[tokio::test]
async fn an_agent_is_dormant_by_its_last_record_its_age_or_its_end() {
    let mut config = agents();
    config["agents"][2]["expires_at"] = json!("2026-01-01T00:00:00Z");
    config["agents"][3]["owner"] = json!("gone@example.test");
    let desk = Desk::configured("report-dormant", &servers(&Issuer::new(FOREIGN)), config).await;
    let dormant = |args: &[&str]| {
        let report = report(&desk, &[&["dormant"], args].concat());
        let row = |row: &Value| format!("{} {}", row["agent"].as_str().unwrap(), row["why"].as_str().unwrap());
        (list(&report, "agents").iter().map(row).collect::<Vec<_>>(), report["owners"].clone())
    };
    assert_eq!(dormant(&[]), (vec!["worker expired".to_owned()], json!([])), "the others are new");
    let query = "UPDATE agents SET created = created - 3456000000";
    sqlx::query(query).execute(&mut desk.broker.database().await).await.unwrap();
    keep(
        &desk,
        &[
            call(&desk, "a", &["scout"], "crm:read", 35),
            call(&desk, "b", &["planner"], "crm:read", 50),
            call(&desk, "c", &["planner"], "crm:read", 2),
        ],
    )
    .await;
    let (rows, owners) = dormant(&[]);
    assert_eq!(rows, ["idle never_used", "scout unseen", "worker expired"]);
    assert_eq!(owners, json!([{ "owner": "gone@example.test", "agents": 1 }]));
    assert_eq!(dormant(&["--days", "36"]).0, ["idle never_used", "worker expired"]);
    desk.ask("idle", &[("grant_type", "client_credentials"), ("resource", RESOURCE)]).await;
    assert_eq!(dormant(&[]).0, ["scout unseen", "worker expired"], "who has asked for a token is awake");
    assert_eq!(dormant(&[]).1, json!([]));
}

#[tokio::test]
async fn an_agents_reach_is_what_the_broker_then_permits() {
    let team = Team::open("report-reach").await;
    let desk = &team.0;
    let task = team.own("planner", SCOUT).await;
    let taken = team.take("scout", &task, RESOURCE, |_| ()).await.text("access_token");
    assert_eq!(desk.exchange(&taken, "crm_lookup", "crm:read", |_| ()).await.status, 200);
    assert_ne!(desk.exchange(&taken, "crm_update", "crm:read crm:write", |_| ()).await.status, 200);
    let reach = report(desk, &["reach", "planner"]);
    let tools: Vec<_> = list(&reach, "tools").iter().filter(|row| row["server"] == "crm").collect();
    let names = |holder: &str| {
        let rows = tools.iter().filter(|row| row["holder"] == holder);
        rows.map(|row| row["tool"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(names("planner"), ["crm_lookup", "crm_ping", "crm_update"]);
    assert_eq!(names("scout"), ["crm_lookup", "crm_ping"], "with what is left of the scopes");
    assert_eq!(names("worker"), ["crm_lookup", "crm_ping"]);
    assert!(names("idle").is_empty(), "it takes over nothing");
    let others: Vec<_> = list(&reach, "agents").iter().map(|row| (&row["agent"], &row["through"])).collect();
    assert_eq!(others, [(&json!("scout"), &json!(["planner"])), (&json!("worker"), &json!(["planner", "scout"]))]);
    let used = |holder: &str| {
        let row = tools.iter().find(|row| row["holder"] == holder && row["tool"] == "crm_lookup").unwrap();
        row["last_used"].is_string()
    };
    assert!(used("scout") && !used("planner") && !used("worker"));
    assert_eq!(tools[0]["credential"], "crm-api");
    let far = report(desk, &["reach", "worker"]);
    let near: Vec<_> = list(&far, "agents").iter().map(|row| row["agent"].as_str().unwrap()).collect();
    assert_eq!(near, ["scout"], "the planner does not take over");
    let nobody = super::audit_export::audit(desk, &["report", "reach", "nobody"]);
    assert!(!nobody.status.success() && String::from_utf8_lossy(&nobody.stderr).contains("no agent has this"));
}

#[tokio::test]
async fn a_chain_that_would_be_too_long_is_not_within_reach() {
    let Team(desk) = Team::with("report-depth", &Issuer::new(FOREIGN), |config| {
        config["delegation"] = json!({ "max_depth": 2 });
    })
    .await;
    let reach = report(&desk, &["reach", "planner"]);
    let others: Vec<_> = list(&reach, "agents").iter().map(|row| row["agent"].as_str().unwrap()).collect();
    assert_eq!(others, ["scout"]);
}

#[tokio::test]
async fn a_task_goes_no_further_than_its_address_and_its_server_let_it() {
    let mut rules = servers(&Issuer::new(FOREIGN));
    rules["servers"]["crm"]["delegation"] = json!({ "max_depth": 2 });
    rules["servers"]["crm"]["tools"]["crm_update"]["mode"] = json!("shadow");
    let mut config = agents();
    // What it hands on is for the server, not for an address of the scout's.
    config["agents"][0]["resources"] = json!([RESOURCE]);
    let team = Team(Desk::configured("report-places", &rules, config).await);
    let task = team.own("planner", RESOURCE).await;
    assert_eq!(team.take("scout", &task, RESOURCE, |_| ()).await.status, 200);
    assert_ne!(team.take("scout", &task, WORKER, |_| ()).await.status, 200);
    let reach = report(&team.0, &["reach", "planner"]);
    let tools: Vec<_> = list(&reach, "tools")
        .iter()
        .map(|row| json!([row["holder"], row["server"], row["tool"], row["credential"]]))
        .collect();
    let expected = [
        json!(["planner", "crm", "crm_lookup", "crm-api"]),
        json!(["planner", "crm", "crm_ping", null]),
        json!(["planner", "crm", "crm_update", "crm-api"]),
        json!(["scout", "crm", "crm_lookup", "crm-api"]),
        json!(["scout", "crm", "crm_ping", null]),
        // It lacks a scope, and goes on in shadow mode, without a credential.
        json!(["scout", "crm", "crm_update", null]),
    ];
    assert_eq!(tools, expected, "the worker's chain is too long for the server");
}

#[tokio::test]
async fn the_graph_of_delegations_counts_each_edge() {
    let team = Team::open("report-chains").await;
    let desk = &team.0;
    let task = team.own("planner", SCOUT).await;
    assert_eq!(team.take("scout", &task, RESOURCE, |_| ()).await.status, 200);
    let mut hostile = call(desk, "c", &["a\"b\\\n", "x"], "crm:read", 0);
    hostile["decision"] = json!("deny");
    keep(
        desk,
        &[
            call(desk, "a", &["worker", "scout", "planner"], "crm:read", 0),
            call(desk, "b", &["scout", "planner"], "crm:read", 0),
            call(desk, "old", &["scout", "planner"], "crm:read", 50),
            hostile,
        ],
    )
    .await;
    let report = report(desk, &["chains"]);
    let edges: Vec<_> = list(&report, "edges")
        .iter()
        .map(|row| json!([row["from"], row["to"], row["taken"], row["calls"], row["denied"]]))
        .collect();
    let expected =
        [json!(["planner", "scout", 1, 2, 0]), json!(["scout", "worker", 0, 1, 0]), json!(["x", "a\"b\\\n", 0, 0, 1])];
    assert_eq!(edges, expected);
    let dot = text(desk, &["report", "chains", "--dot"]);
    assert!(dot.contains("  \"planner\" -> \"scout\" [label=\"2\"];\n"), "{dot}");
    assert!(dot.contains("  \"x\" -> \"a\\\"b\\\\\" [label=\"0\"];\n"), "{dot}");
}

#[tokio::test]
async fn only_operators_are_told() {
    let desk = Desk::open("report-read").await;
    for path in ["reports/chains", "reports/denied", "reports/dormant", "reports/reach?agent=x", "exporter", "events"] {
        let get = || desk.http.get(desk.url(&format!("/v1/audit/{path}")));
        for request in [get(), get().bearer_auth("x"), get().basic_auth("gateway", Some(SECRET))] {
            let answer = Answer::of(request.send().await.unwrap()).await;
            assert_eq!(answer.error(), (401, "invalid_token"), "{path}");
        }
    }
    let get = |path: &str| desk.http.get(desk.url(&format!("/v1/audit/reports/{path}"))).bearer_auth(SECRET).send();
    assert_eq!(Answer::of(get("secrets").await.unwrap()).await.error(), (404, "not_found"));
    assert_eq!(Answer::of(get("reach").await.unwrap()).await.error(), (400, "invalid_request"));
    assert_eq!(Answer::of(get("chains?days=x").await.unwrap()).await.error(), (400, "invalid_request"));
}

#[tokio::test]
async fn long_reports_keep_no_mint_waiting_though_nobody_waits_for_them() {
    // PostgreSQL ends them by itself.
    if POSTGRES {
        return;
    }
    let desk = Desk::open("report-long").await;
    let token = desk.token("crm:read").await;
    let mut database = desk.broker.database().await;
    let slow = "ALTER TABLE audit_actors RENAME TO actors; CREATE VIEW audit_actors AS SELECT * FROM actors WHERE \
                (WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 60000000) SELECT COUNT(*) FROM n) > 0";
    sqlx::Executor::execute(&mut database, slow).await.unwrap();
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let report = desk.http.get(desk.url("/v1/audit/reports/chains")).bearer_auth(SECRET);
        asked.spawn(report.timeout(Duration::from_millis(500)).send());
    }
    assert!(asked.join_all().await.iter().all(Result::is_err), "they take longer");
    for _ in 0..5 {
        assert_eq!(desk.exchange(&token, "crm_lookup", "crm:read", |_| ()).await.status, 200);
    }
}
