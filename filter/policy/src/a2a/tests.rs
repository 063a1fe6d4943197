//! Every operation by all its names, and what looks like one and is none.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn headers(version: &str) -> Headers {
    Headers::new([("a2a-version".to_owned(), version.as_bytes().to_vec())])
}

/// What a request is for, as the policy would name it, or why that cannot be told.
fn asked(version: &str, method: &str, path: &str, body: &str) -> Result<String, Reason> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let head = Head { method, path, query, headers: &headers(version) };
    let call = Call::agent(&head, body.as_bytes()).map_err(|flaw| flaw.reason)?;
    Ok(match call.target {
        Target::Tool(name) => name.into_owned(),
        other => format!("{other:?}"),
    })
}

fn rpc(version: &str, method: &str) -> Result<String, Reason> {
    asked(version, "POST", "", &json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": {} }).to_string())
}

#[test]
fn every_operation_has_its_names_in_json_rpc() {
    let old = [
        ("SendMessage", "message/send"),
        ("SendStreamingMessage", "message/stream"),
        ("GetTask", "tasks/get"),
        ("CancelTask", "tasks/cancel"),
        ("SubscribeToTask", "tasks/resubscribe"),
        ("CreateTaskPushNotificationConfig", "tasks/pushNotificationConfig/set"),
        ("GetTaskPushNotificationConfig", "tasks/pushNotificationConfig/get"),
        ("ListTaskPushNotificationConfigs", "tasks/pushNotificationConfig/list"),
        ("DeleteTaskPushNotificationConfig", "tasks/pushNotificationConfig/delete"),
        ("GetExtendedAgentCard", "agent/getAuthenticatedExtendedCard"),
    ];
    for (name, old) in old {
        assert_eq!(rpc("1.0", name), Ok(name.to_owned()));
        assert_eq!(rpc("0.3", old), Ok(name.to_owned()));
        assert_eq!(rpc("0.3", name), Err(Reason::HeaderMismatch), "{name}");
        assert_eq!(rpc("1.0", old), Err(Reason::HeaderMismatch), "{old}");
    }
    assert_eq!(rpc("1.0", "ListTasks"), Ok("ListTasks".into()));
    assert_eq!(Operation::ALL.len(), old.len() + 1);
    for method in
        ["sendMessage", "SendMessage ", "sendmessage", "tools/call", "SendMessages", "tasks/list", "", "Send*"]
    {
        assert_eq!(rpc("1.0", method), Ok("Method".into()), "{method}");
        assert_eq!(rpc("0.3", method), Ok("Method".into()), "{method}");
    }
}

#[test]
fn every_operation_has_its_place_in_http() {
    for (method, path, name) in [
        ("POST", "/message:send", "SendMessage"),
        ("POST", "/message:stream", "SendStreamingMessage"),
        ("GET", "/tasks/t-1", "GetTask"),
        ("POST", "/tasks/t-1:cancel", "CancelTask"),
        ("POST", "/tasks/t-1:subscribe", "SubscribeToTask"),
        ("GET", "/tasks/t-1:subscribe", "SubscribeToTask"),
        ("HEAD", "/tasks/t-1", "GetTask"),
        ("POST", "/tasks/t/pushNotificationConfigs", "CreateTaskPushNotificationConfig"),
        ("GET", "/tasks/t/pushNotificationConfigs", "ListTaskPushNotificationConfigs"),
        ("GET", "/tasks/t/pushNotificationConfigs/c", "GetTaskPushNotificationConfig"),
        ("DELETE", "/tasks/t/pushNotificationConfigs/c", "DeleteTaskPushNotificationConfig"),
    ] {
        assert_eq!(asked("1.0", method, path, ""), Ok(name.to_owned()), "{path}");
        assert_eq!(asked("1.0", method, &format!("/acme{path}"), ""), Ok(name.to_owned()), "{path}");
        assert_eq!(asked("0.3", method, &format!("/v1{path}"), ""), Ok(name.to_owned()), "{path}");
        assert_eq!(asked("0.3", method, path, ""), Err(Reason::HeaderMismatch), "{path}");
    }
    for (version, path, name) in [
        ("1.0", "/tasks", "ListTasks"),
        ("1.0", "/acme/tasks", "ListTasks"),
        ("1.0", "/extendedAgentCard", "GetExtendedAgentCard"),
        ("0.3", "/v1/card", "GetExtendedAgentCard"),
        ("1.0", "/.well-known/agent-card.json", "Card"),
        ("0.3", "/.well-known/agent.json", "Card"),
        ("", "/.well-known/agent-card.json", "Card"),
    ] {
        assert_eq!(asked(version, "GET", path, ""), Ok(name.to_owned()), "{path}");
    }
}

#[test]
fn what_only_looks_like_an_operation_is_none() {
    for (method, path) in [
        ("GET", ""),
        ("GET", "/"),
        ("PUT", "/"),
        ("GET", "/message:send"),
        ("POST", "/message:Send"),
        ("POST", "/message%3Asend"),
        ("POST", "/message:send/"),
        ("POST", "/tasks"),
        ("POST", "/tasks/t"),
        ("DELETE", "/tasks/t"),
        ("PUT", "/tasks/t:cancel"),
        ("GET", "/tasks/t:cancel"),
        ("POST", "/tasks/t:delete"),
        ("POST", "/tasks/t:x:cancel"),
        ("GET", "/Tasks/t"),
        ("GET", "/a/b/tasks/t"),
        ("GET", "/card"),
        ("POST", "/.well-known/agent-card.json"),
        ("GET", "/.well-known/Agent-Card.json"),
        ("GET", "/acme/.well-known/agent-card.json"),
        ("POST", "/lf.a2a.v1.A2AService/SendMessage"),
    ] {
        assert_eq!(asked("1.0", method, path, ""), Ok("Method".into()), "{path}");
    }
    for path in ["/v1/tasks", "/v1/extendedAgentCard", "/v2/tasks/t", "/V1/tasks/t"] {
        assert_ne!(asked("0.3", "GET", path, ""), Ok("ListTasks".into()), "{path}");
        assert!(!matches!(asked("0.3", "GET", path, ""), Ok(name) if name != "Method"), "{path}");
    }
    // A server that looks at another route first would run another operation.
    for (method, path) in [
        ("GET", "/tasks/tasks/t"),
        ("GET", "/TASKS/tasks"),
        ("GET", "/tasks/t%3Acancel"),
        ("POST", "/tasks/a%3Ab:cancel"),
        ("POST", "/tasks/:cancel"),
        ("GET", "/tasks/"),
        ("GET", "/tasks/t/pushNotificationConfigs/"),
        ("GET", "/tasks/t%2Fx"),
        ("GET", "/x/../tasks/t"),
        ("GET", "/tasks//t"),
        ("POST", "/message:send?_method=DELETE"),
    ] {
        assert_eq!(asked("1.0", method, path, ""), Err(Reason::RequestMalformed), "{path}");
    }
}

#[test]
fn a_version_is_stated_once_or_alike() {
    let stated = |headers: &Headers, query| Version::stated(headers, query).map_err(|flaw| flaw.reason);
    for (text, version) in [("", Version::Old), ("0.3", Version::Old), ("0.2.5", Version::Old), ("1.0", Version::One)] {
        assert_eq!(stated(&headers(text), ""), Ok(version), "{text}");
    }
    assert_eq!(stated(&Headers::default(), ""), Ok(Version::Old));
    assert_eq!(stated(&Headers::default(), "x=1&A2A-Version=1.0"), Ok(Version::One));
    assert_eq!(stated(&Headers::default(), "a2a-version=1.0"), Ok(Version::One));
    assert_eq!(stated(&headers("1.0"), "A2A-Version=1.1.2"), Ok(Version::One));
    assert_eq!(stated(&headers("1"), ""), Ok(Version::One));
    for (text, query) in [
        ("1.0", "A2A-Version=0.3"),
        ("", "A2A-Version=1.0"),
        ("1.0", "A2A-Version="),
        ("1.0", "A2A-Version=1.0&A2A-Version=1.0"),
    ] {
        assert_eq!(stated(&headers(text), query), Err(Reason::HeaderMismatch), "{text} {query}");
    }
    for text in ["2.0", "v1.0", "1.x", "01.0", "10.0", "1.", ".3", "1.0, 0.3", "-1", "1.00000", "latest"] {
        assert_eq!(stated(&headers(text), ""), Err(Reason::AgentVersion), "{text}");
    }
    let mut twice = headers("1.0");
    twice.push(b"a2a-version", b"1.0");
    assert_eq!(stated(&twice, ""), Err(Reason::HeaderMismatch));
}

#[test]
fn a_body_is_strict_in_both_bindings() {
    for bad in [
        "[]",
        "1",
        r#"{"message":{},"message":{}}"#,
        r#"{"a":{"b":1,"b":2}}"#,
        "{}x",
        "\u{feff}{}",
        "{\"a\":\"\\ud800\"}",
    ] {
        assert!(asked("1.0", "POST", "/message:send", bad).is_err(), "{bad}");
    }
    for bad in [
        "",
        r#"[{"jsonrpc":"2.0","id":1,"method":"GetTask"}]"#,
        r#"{"jsonrpc":"2.0","method":"GetTask"}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"GetTask","method":"SendMessage"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"GetTask","Method":"SendMessage"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"taskId":"a","TaskId":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"a":{"b":1,"b":2}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"GetTask","params":[]}"#,
    ] {
        assert!(asked("1.0", "POST", "", bad).is_err(), "{bad}");
    }
    let head = Head { method: "POST", path: "/", query: "", headers: &headers("1.0") };
    let flaw = Call::agent(&head, br#"{"jsonrpc":"2.0","id":7,"method":"tasks/get"}"#).unwrap_err();
    assert_eq!(flaw.id.as_deref(), Some("7"));
}

fn arguments(method: &str, path: &str, body: &str) -> Option<Value> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let headers = if query.contains("A2A") { Headers::default() } else { headers("1.0") };
    Call::agent(&Head { method, path, query, headers: &headers }, body.as_bytes()).unwrap().arguments.value().ok()
}

#[test]
fn the_arguments_come_from_body_path_and_query() {
    let rpc = r#"{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id":"t","historyLength":2}}"#;
    assert_eq!(arguments("POST", "", rpc), Some(json!({ "id": "t", "historyLength": 2 })));
    assert_eq!(
        arguments("GET", "/acme/tasks/t%20x?historyLength=2&A2A-Version=1.0", ""),
        Some(json!({ "id": "t x", "tenant": "acme", "historyLength": "2" }))
    );
    assert_eq!(
        arguments("POST", "/tasks/t%20x:cancel", r#"{"id":"t x","metadata":{"my_key":1}}"#),
        Some(json!({ "id": "t x", "metadata": { "my_key": 1 } }))
    );
    let config = arguments("POST", "/tasks/t/pushNotificationConfigs", r#"{"url":"https://a.test/"}"#);
    assert_eq!(config, Some(json!({ "taskId": "t", "url": "https://a.test/" })));
}

#[test]
fn arguments_servers_read_differently_are_none() {
    for (method, path, body) in [
        ("POST", "/tasks/t:cancel", r#"{"id":"u"}"#),
        ("POST", "/acme/message:send", r#"{"tenant":"other"}"#),
        ("GET", "/tasks/t?id=u", ""),
        ("GET", "/tasks?pageSize=1&pageSize=2", ""),
        ("GET", "/tasks?page_size=1", ""),
        ("POST", "/message:send", r#"{"configuration":{"history_length":1}}"#),
        ("POST", "/message:send", r#"{"message":{"task_id":"t"}}"#),
        ("POST", "/message:send", r#"{"tenant":"a","Tenant":"b"}"#),
    ] {
        assert_eq!(arguments(method, path, body), None, "{path} {body}");
    }
    let parts = r#"{"message":{"parts":[{"data":{"task_id":1}}],"metadata":{"a_b":1}}}"#;
    assert!(arguments("POST", "/message:send", parts).is_some());
}

proptest! {
    #[test]
    fn no_request_is_too_odd(method in "(GET|POST|DELETE|\\PC{0,8})", path in "(/(tasks|v1|\\PC{0,8}|[a-z:%]{0,8})){0,5}", query in "\\PC{0,20}", body in "\\PC{0,40}") {
        for version in ["0.3", "1.0"] {
            let head = Head { method: &method, path: &path, query: &query, headers: &headers(version) };
            if let Ok(call) = Call::agent(&head, body.as_bytes()) {
                let _ = call.arguments.value();
                if let Target::Tool(name) = call.target {
                    prop_assert!(Operation::of_name(&name).is_some());
                }
            }
        }
    }
}
