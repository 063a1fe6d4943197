//! What servers of each protocol may say.

use super::*;

/// The errors of a policy with one server of this protocol, at `/invoices/`, and with what is in `more`.
fn wrong(protocol: &str, more: Value) -> Vec<String> {
    let mut policy = policy_json();
    let server = &mut policy["servers"]["crm"];
    server["protocol"] = json!(protocol);
    server["match"] = json!({ "host": "gateway.example.test", "path_prefix": "/invoices/" });
    for (name, value) in more.as_object().unwrap() {
        server[name] = value.clone();
    }
    read(policy).err().map(|errors| errors.iter().map(ToString::to_string).collect()).unwrap_or_default()
}

/// The errors of tools.
fn tools(protocol: &str, tools: &[(&str, Value)]) -> Vec<String> {
    let tools: serde_json::Map<_, _> = tools.iter().map(|(name, tool)| ((*name).to_owned(), tool.clone())).collect();
    wrong(protocol, json!({ "tools": tools }))
}

fn matching(template: &str) -> Value {
    json!({ "scopes": ["x"], "match": template })
}

#[test]
fn a_tool_of_http_is_what_it_matches() {
    let good = [
        ("invoices.read", matching("GET /invoices/{id}")),
        ("invoices.create", matching("POST /invoices")),
        ("any name", matching("GET /invoices/**")),
        ("by tenant", matching("GET /{tenant}/x/y")),
    ];
    assert_eq!(tools("http", &good), Vec::<String>::new());
    for (name, tool, expected) in [
        ("a", json!({ "scopes": ["x"] }), "`servers.crm.tools.a.match`: found nothing, accepted is a string"),
        (
            "a",
            matching("get /invoices"),
            "`servers.crm.tools.a.match`: found the method \"get\", accepted is a method in upper",
        ),
        ("a", matching("HEAD /invoices"), "(hint: `HEAD` falls under the rule for `GET`)"),
        (
            "a",
            matching("GET /orders/{id}"),
            "found `GET /orders/{id}`, accepted is a path within the server's own `match` (hint:",
        ),
        ("a", matching("GET /{id}"), ""),
        ("a", matching("GET /"), "accepted is a path within the server's own `match`"),
        (
            "a.*",
            matching("GET /invoices/a"),
            "`servers.crm.tools.\"a.*\"`: found the name \"a.*\", accepted is an exact name",
        ),
    ] {
        let errors = tools("http", &[(name, tool)]);
        assert_eq!(errors.is_empty(), expected.is_empty(), "{errors:?}");
        assert!(errors.is_empty() || errors.concat().contains(expected), "{errors:?}");
    }
    let both = [("a", matching("GET /invoices/{x}")), ("b", matching("GET /invoices/{y}"))];
    let expected = "`servers.crm.tools.b.match`: found `GET /invoices/{y}`, which `a` matches too, accepted is one \
                    tool for each request";
    assert_eq!(tools("http", &both), [expected]);
}

#[test]
fn a_tool_of_a2a_is_an_operation() {
    let scopes = || json!({ "scopes": ["x"] });
    let good = [("SendMessage", scopes()), ("Get*", scopes()), ("*", scopes()), ("ListTasks", scopes())];
    assert_eq!(tools("a2a", &good), Vec::<String>::new());
    for (name, hint) in [
        ("SendMesage", "(hint: did you mean `SendMessage`?)"),
        ("getTask", "(hint: did you mean `GetTask`?)"),
        ("message/send", "(hint: write `SendMessage`, which is its name in 1.0 and stands for both)"),
        ("tasks/resubscribe", "(hint: write `SubscribeToTask`, which is its name in 1.0 and stands for both)"),
        ("tasks/*", "accepted is an operation of A2A 1.0: `SendMessage`, `SendStreamingMessage`, "),
        ("crm_lookup", "accepted is an operation of A2A 1.0: "),
    ] {
        let errors = tools("a2a", &[(name, scopes())]);
        assert!(errors.len() == 1 && errors[0].contains(hint), "{errors:?}");
    }
}

#[test]
fn what_belongs_to_another_protocol_is_refused() {
    let only = |protocol: &str, tools: Value, more: Value| {
        let mut more = more;
        more["tools"] = tools;
        wrong(protocol, more).concat()
    };
    let rule = || json!({ "x": { "scopes": ["x"] } });
    for (name, value) in [("prompts", rule()), ("resources", rule()), ("methods", json!({}))] {
        let expected =
            format!("`servers.crm.{name}`: found `{name}`, accepted is nothing: only servers that speak `mcp` have it");
        for protocol in ["http", "a2a"] {
            assert_eq!(only(protocol, json!({}), json!({ name: value.clone() })), expected);
        }
        assert_eq!(only("mcp", json!({}), json!({ name: value })), "");
    }
    let denials = || json!({ "denials": "jsonrpc" });
    assert!(
        only("http", json!({}), denials())
            .contains("`denials`, accepted is nothing: only servers that speak `mcp` or `a2a`")
    );
    assert_eq!(only("a2a", json!({}), denials()), "");
    for (protocol, name) in [("mcp", "x"), ("a2a", "GetTask")] {
        let errors = only(protocol, json!({ name: matching("GET /invoices") }), json!({}));
        assert!(
            errors.contains("found a `match`, accepted is nothing: only tools of `http` servers have one"),
            "{errors}"
        );
    }
    let errors = only("mcp", json!({}), json!({ "prompts": { "p": matching("GET /invoices") } }));
    assert!(errors.contains("`servers.crm.prompts.p.match`"), "{errors}");
}

#[test]
fn headers_alone_judge_no_agent_and_no_body() {
    let early = |protocol: &str, tool: Value| {
        let mut policy = policy_json();
        policy["body"] = json!("early_headers");
        policy["servers"]["crm"]["protocol"] = json!(protocol);
        policy["servers"]["crm"]["tools"] = tool;
        read(policy).err().map(|errors| errors.to_string()).unwrap_or_default()
    };
    assert!(early("a2a", json!({ "GetTask": { "scopes": ["x"] } })).contains("found `a2a` with `body: early_headers`"));
    let when = |when| json!({ "a": { "scopes": ["x"], "match": "POST /crm/mcp", "when": when } });
    assert!(early("http", when("args.body.amount < 5")).contains("a `when` that reads `args.body`"));
    assert_eq!(early("http", when("args.amount == '5'")), "");
}
