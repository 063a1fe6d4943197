//! Tasks: only who started one gets to it, and only with what its tool takes.

use crate::support::*;
use harness::{Proxy, Request, Response};
use serde_json::{Value, json};

/// A proxy whose upstream answers every call with a task, in the form of the era.
fn proxy() -> Proxy {
    let proxy = started(builder(&policy()).workers(2));
    proxy.upstream(|upstream| match upstream.json()["id"].as_str() {
        Some("legacy") => Response::json(200, &json!({ "id": "legacy", "result": { "task": { "taskId": "t-1" } } })),
        Some("events") => {
            let told = json!({ "id": "events", "result": { "resultType": "task", "taskId": "t-2" } });
            Response::events([
                format!(": hi\n\ndata: {}", &told.to_string()[..20]),
                format!("{}\n\n", &told.to_string()[20..]),
            ])
        }
        _ => answered(),
    });
    proxy
}

/// A call that may leave a task running.
fn start(token: &str, id: &str) -> Request {
    let mut body = call("crm_lookup");
    body["id"] = json!(id);
    body["params"]["task"] = json!({ "ttl": 60_000 });
    legacy(token, &body)
}

fn ask(token: &str, method: &str, task: &str) -> Request {
    legacy(token, &message(method, json!({ "taskId": task })))
}

fn of(agent: &str, scope: &str) -> String {
    issuer().token().agent(agent).scope(scope).sign()
}

#[test]
fn a_task_is_its_starters_on_every_worker() {
    for (id, task) in [("legacy", "t-1"), ("events", "t-2")] {
        let proxy = proxy();
        let stream = proxy.run(start(&reader(), id));
        assert!(stream.reply().unwrap().text().contains(task), "the answer streams past untouched");
        for worker in [0, 1] {
            for method in ["tasks/get", "tasks/result", "tasks/cancel", "tasks/update"] {
                let stream = proxy.send_on(worker, ask(&reader(), method, task));
                proxy.settle();
                stream.forwarded();
            }
        }
        let record = records(&proxy).pop().unwrap();
        assert_eq!((&record["method"], &record["tool"]), (&json!("tasks/update"), &json!("crm_lookup")));
    }
}

#[test]
fn it_is_nobody_elses() {
    let proxy = proxy();
    proxy.run(start(&of("agent-1", "crm:read"), "legacy"));
    let claim = |name: &str, value: &str| issuer().token().scope("crm:read").claim(name, value).sign();
    for other in [of("agent-2", "crm:read"), claim("sub", "alice"), claim("client_id", "agent-3")] {
        denied(&proxy.run(ask(&other, "tasks/get", "t-1")), 403, "task_unknown");
    }
    denied(&proxy.run(ask(&of("agent-1", "crm:read"), "tasks/get", "t-9")), 403, "task_unknown");
    proxy.run(ask(&of("agent-1", "crm:read"), "tasks/get", "t-1")).forwarded();
}

#[test]
fn it_takes_the_scopes_of_its_tool() {
    let proxy = proxy();
    proxy.run(start(&of("agent-1", "crm:read"), "legacy"));
    denied(&proxy.run(ask(&of("agent-1", "crm:write"), "tasks/get", "t-1")), 403, "scope_missing");
    let listen = |token: &str, tasks: Value| {
        legacy(token, &message("subscriptions/listen", json!({ "notifications": { "taskIds": tasks } })))
    };
    proxy.run(listen(&of("agent-1", "crm:read"), json!(["t-1"]))).forwarded();
    denied(&proxy.run(listen(&of("agent-1", "crm:write"), json!(["t-1"]))), 403, "scope_missing");
    denied(&proxy.run(listen(&of("agent-1", "crm:read"), json!(["t-1", "t-2"]))), 403, "task_unknown");
    denied(&proxy.run(listen(&of("agent-2", "crm:read"), json!(["t-1"]))), 403, "task_unknown");
}

#[test]
fn what_was_not_seen_belongs_to_nobody() {
    let proxy = proxy();
    let mut plain = call("crm_lookup");
    plain["id"] = json!("legacy");
    proxy.run(legacy(&reader(), &plain)).forwarded();
    denied(&proxy.run(ask(&reader(), "tasks/get", "t-1")), 403, "task_unknown");
    let buckets: Vec<String> = proxy.shared().into_keys().filter(|key| key.starts_with("accredit.tasks.")).collect();
    assert_eq!(buckets.len(), 256);
    buckets.iter().for_each(|key| proxy.share(key, Some(b"of another plugin")));
    denied(&proxy.run(ask(&reader(), "tasks/get", "t-1")), 403, "task_unknown");
}
