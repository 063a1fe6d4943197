//! Records: one for each request, on their way until the broker has them, and free of secrets.

use crate::support::*;
use harness::{Alg, Answer, Outcome, Proxy, Request, Response, Stream};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn sha256(bytes: impl AsRef<[u8]>) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn lookup() -> Request {
    legacy(&token(), &call("crm_lookup"))
}

/// The batches posted so far, whatever became of them.
fn batches(proxy: &Proxy) -> Vec<Vec<Value>> {
    let calls = proxy.cluster("broker").calls();
    let posted = calls.iter().filter(|call| call.path() == "/v1/audit/events");
    posted.map(|call| call.json()["records"].as_array().unwrap().clone()).collect()
}

fn ids(records: &[Value]) -> Vec<&str> {
    records.iter().map(|record| record["id"].as_str().unwrap()).collect()
}

/// A broker that mints, and answers batches so.
fn filing(proxy: &Proxy, answer: Answer) {
    proxy.cluster("broker").answer(move |call| match call.path() {
        "/token" => granted(call),
        _ => answer.clone(),
    });
}

#[test]
fn a_record_says_who_did_what_for_whom_with_which_credential() {
    let proxy = start();
    let chain = json!({ "sub": "planner", "act": { "sub": "intake" } });
    let acting = issuer().token().alg(Alg::EdDsa).scope("crm:write crm:read").claim("sub", "alice");
    let token = acting.claim("act", chain).claim("jti", "t-1").sign();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = legacy(&token, &call("crm_update")).header("x-request-id", "r-1").header("traceparent", parent);
    let stream = proxy.run(request.property(&["response", "size"], 42_u64.to_le_bytes()));
    stream.forwarded();
    let records = records(&proxy);
    let [record] = &records[..] else { panic!("{records:?}") };
    let mut rest = record.clone();
    let id = rest["id"].take();
    let worker = rest["proxy"]["worker"].take();
    assert!(id.as_str().is_some_and(|id| id.len() == 36 && &id[14..15] == "7"), "{id}");
    assert!(worker.as_str().is_some_and(|worker| worker.len() == 16), "{worker}");
    let digest = proxy.log()[0].text.strip_prefix("policy ").unwrap().to_owned();
    let expected = json!({
        "id": null,
        "time": "2027-01-15T08:00:00.000Z",
        "kind": "outcome",
        "decision": "permit",
        "agent": { "issuer": "https://idp.example.com", "id": "agent-1" },
        "subject": "alice",
        "chain": ["planner", "intake"],
        "token": { "jti": "t-1", "sha256": sha256(&token) },
        "server": "crm",
        "protocol": "mcp",
        "method": "tools/call",
        "tool": "crm_update",
        "arguments_sha256": sha256(r#"{"id":"42"}"#),
        "scopes": { "required": ["crm:read", "crm:write"], "held": ["crm:read", "crm:write"] },
        "credential": { "name": "crm-api", "lease": "lease-1", "expires": "2027-01-15T08:01:00.000Z" },
        "upstream": { "status": 200, "duration_ms": 0, "bytes": 42, "tool_error": false },
        "request_id": "r-1",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "proxy": { "node": "proxy-1", "worker": null },
        "policy": digest,
    });
    assert_eq!(rest, expected);
    for (name, value) in [("agent", "agent-1"), ("subject", "alice"), ("tool", "crm_update"), ("decision", "permit")] {
        assert_eq!(stream.state(&format!("accredit.{name}")).as_deref(), Some(value.as_bytes()), "{name}");
    }
}

/// A request for each row of the table that needs no fault to reach.
fn refusals() -> Vec<(&'static str, Request)> {
    let with = |token: &str| legacy(token, &call("crm_lookup"));
    let sound = issuer().token();
    vec![
        ("server_unmatched", lookup().header(":path", "/elsewhere")),
        ("token_missing", lookup().without("authorization")),
        ("token_malformed", with("x.y.z")),
        ("token_expired", with(&sound.clone().expired().sign())),
        ("token_issuer", with(&sound.clone().claim("iss", "x").sign())),
        ("token_audience", with(&sound.clone().audience("x").sign())),
        ("token_signature", with(&sound.clone().sign_foreign())),
        ("token_algorithm", with(&sound.clone().unsigned())),
        ("token_type", with(&sound.clone().header("typ", "JWT").sign())),
        ("token_key_unknown", with(&sound.clone().kid("x").sign())),
        ("chain_malformed", with(&sound.claim("act", 1).sign())),
        ("request_malformed", lookup().header("upgrade", "websocket")),
        ("request_malformed", raw(&token(), "{}")),
        ("request_malformed", lookup().header("content-encoding", "gzip")),
        ("request_too_large", raw(&token(), " ".repeat(4097))),
        ("header_mismatch", modern_as(&token(), "crm_lookup", &["2026-07-28"], &[], &[])),
        ("method_unknown", legacy(&token(), &message("skills/list", json!({})))),
        ("method_unknown", lookup().header(":method", "PUT")),
        ("tool_unknown", legacy(&token(), &call("crm_delete"))),
        ("scope_missing", legacy(&reader(), &call("crm_update"))),
    ]
}

#[test]
fn every_request_has_exactly_one_record_whatever_becomes_of_it() {
    let proxy = start();
    let mut expected = Vec::new();
    for (reason, request) in refusals() {
        let stream = proxy.run(request.header("x-request-id", format!("r-{}", expected.len())));
        let decision = stream.replied().json()["error"]["data"]["decision_id"].clone();
        expected.push((decision, json!("deny"), json!(reason)));
        assert_eq!(stream.state("accredit.reason").as_deref(), Some(reason.as_bytes()));
    }
    let records = records(&proxy);
    let told = |record: &Value| (record["id"].clone(), record["decision"].clone(), record["reason"].clone());
    assert_eq!(records.iter().map(told).collect::<Vec<_>>(), expected);
    for (place, record) in records.iter().enumerate() {
        assert_eq!(record["kind"], "decision");
        assert_eq!(record["request_id"], format!("r-{place}"));
        // Nothing a token claims is a fact before it was proved.
        let proved = record["reason"].as_str().is_some_and(|reason| !reason.starts_with("token_"));
        assert!(proved || record["agent"].is_null(), "{record}");
        assert_eq!(record["server"].is_null(), record["reason"] == "server_unmatched");
    }
    let denied = &records[records.len() - 1];
    assert_eq!((&denied["tool"], &denied["agent"]["id"]), (&json!("crm_update"), &json!("agent-1")));
    assert_eq!(denied["scopes"], json!({ "required": ["crm:read", "crm:write"], "held": ["crm:read"] }));
}

#[test]
fn a_tool_that_says_that_it_failed_is_recorded_so() {
    let done = json!({ "jsonrpc": "2.0", "id": 1, "result": { "content": [] } });
    let failed = json!({ "jsonrpc": "2.0", "id": 1, "result": { "content": [], "isError": true } });
    let refused = json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": -32602, "message": "no" } });
    let record = |response: Response| {
        let proxy = start();
        proxy.upstream(move |_| response.clone());
        let stream = proxy.run(legacy(&token(), &call("crm_lookup")));
        (records(&proxy).pop().unwrap()["upstream"]["tool_error"].clone(), stream.reply().unwrap())
    };
    for (message, error) in [(done, false), (failed.clone(), true), (refused, true)] {
        let whole = Response::json(200, &message);
        assert_eq!(record(whole.clone().split_every(7)).0, error, "{message}");
        assert_eq!(record(whole).0, error, "{message}");
        let note = "event: message\ndata: {\"method\":\"notifications/progress\"}\n\n".to_owned();
        let (told, reply) = record(Response::events([note.clone(), format!("data: {message}\n\n")]));
        assert_eq!(told, error);
        assert_eq!(reply.text(), format!("{note}data: {message}\n\n"), "what is looked into is not changed");
    }
    // What cannot be read is not guessed at.
    let packed = Response::json(200, &failed).header("content-encoding", "gzip");
    assert_eq!(record(packed).0, Value::Null);
    let long = json!({ "jsonrpc": "2.0", "id": 1, "result": { "text": "x".repeat(100_000), "isError": true } });
    assert_eq!(record(Response::json(200, &long)).0, Value::Null);
}

#[test]
fn a_denial_says_which_rule_denied_and_what_would_have_helped() {
    let mut policy = policy();
    policy["servers"]["crm"]["delegation"] = json!({ "max_depth": 2, "actors": ["planner-*"] });
    policy["servers"]["crm"]["tools"]["report_*"]["when"] = json!("args.id == '1'");
    let proxy = started(builder(&policy));
    let acting = |chain: Value| issuer().token().scope("crm:read").claim("act", chain).sign();
    let deep = json!({ "sub": "planner-1", "act": { "sub": "planner-2", "act": { "sub": "planner-3" } } });
    for (request, remedy) in [
        (legacy(&reader(), &call("crm_update")), json!({ "rule": "tools.crm_update", "scopes": ["crm:write"] })),
        (legacy(&reader(), &call("report_x")), json!({ "rule": "tools.report_*", "scopes": ["reports:read"] })),
        (legacy(&token(), &call("report_x")), json!({ "rule": "tools.report_*" })),
        (legacy(&token(), &call("crm_delete")), Value::Null),
        (
            legacy(&acting(json!({ "sub": "stranger" })), &call("crm_lookup")),
            json!({ "rule": "delegation.actors", "actor": "stranger" }),
        ),
        (legacy(&acting(deep), &call("crm_lookup")), json!({ "rule": "delegation.max_depth" })),
        (legacy("x.y.z", &call("crm_lookup")), Value::Null),
    ] {
        proxy.run(request).replied();
        let record = records(&proxy).pop().unwrap();
        assert_eq!(record["remedy"], remedy, "{record}");
    }
}

#[test]
fn a_client_that_leaves_and_an_upstream_that_never_answers_are_recorded_once() {
    let proxy = builder(&policy()).start();
    proxy.cluster("broker").answer(granted);
    let mut held = proxy.open();
    let bearer = format!("Bearer {}", token());
    let head = [
        (":method", "POST"),
        (":authority", "gateway.example.com"),
        (":path", PATH),
        ("content-type", "application/json"),
        ("authorization", &bearer),
    ];
    held.headers(&head, harness::End::No).abort();
    let mut sent = proxy.run(lookup());
    assert!(matches!(sent.outcome(), Outcome::Forwarded(_)));
    proxy.advance(3 * SECOND);
    sent.abort();
    let records = records(&proxy);
    let [gone, permitted] = &records[..] else { panic!("{records:?}") };
    assert_eq!((&gone["reason"], &gone["agent"]["id"]), (&json!("client_gone"), &json!("agent-1")));
    assert_eq!((&permitted["kind"], &permitted["decision"]), (&json!("outcome"), &json!("permit")));
    assert_eq!(permitted["upstream"], json!({ "duration_ms": 3000 }));
}

#[test]
fn records_travel_in_batches_with_the_tick() {
    let proxy = start();
    (0..30).for_each(|_| drop(proxy.run(lookup())));
    assert!(batches(&proxy).is_empty(), "no request waits for its record");
    proxy.advance(SECOND);
    assert_eq!(batches(&proxy).iter().map(Vec::len).collect::<Vec<_>>(), [30]);
    let post = &proxy.cluster("broker").calls()[0];
    assert_eq!((post.method(), post.stream), ("POST", None));
    assert_eq!(post.headers.text("content-type"), Some("application/json"));
    assert!(post.headers.text("authorization").is_some_and(|value| value.starts_with("Basic ")));
    proxy.advance(10 * SECOND);
    assert_eq!(batches(&proxy).len(), 1, "nothing is sent when there is nothing to tell");
    (0..600).for_each(|_| drop(proxy.run(lookup())));
    assert_eq!(records(&proxy).len(), 630);
    let sizes: Vec<usize> = batches(&proxy).iter().map(|batch| batch.len()).collect();
    assert!(sizes.len() > 2 && sizes.iter().all(|size| *size <= 512), "{sizes:?}");
    let all: Vec<Value> = batches(&proxy).concat();
    assert_eq!(ids(&all).iter().collect::<BTreeSet<_>>().len(), 630);
}

#[test]
fn a_batch_comes_again_under_the_same_names_until_the_broker_has_it() {
    for failure in
        [Answer::status(503), Answer::Timeout, Answer::Reset, Answer::Refused, Answer::status(202), Answer::status(401)]
    {
        let proxy = start();
        filing(&proxy, failure);
        (0..3).for_each(|_| drop(proxy.run(lookup())));
        proxy.advance(10 * SECOND);
        let tried = batches(&proxy);
        assert!((3..9).contains(&tried.len()), "tried {} times", tried.len());
        proxy.cluster("broker").answer(granted);
        proxy.advance(11 * SECOND);
        let all = batches(&proxy);
        assert_eq!(all.len(), tried.len() + 1);
        assert!(all.iter().all(|batch| ids(batch) == ids(&all[0])));
        proxy.advance(60 * SECOND);
        assert_eq!(batches(&proxy).len(), all.len(), "what arrived is not sent again");
    }
}

#[test]
fn calls_are_denied_while_records_do_not_arrive_and_go_on_when_they_do() {
    let proxy = start();
    filing(&proxy, Answer::status(503));
    proxy.run(lookup()).forwarded();
    proxy.advance(SECOND);
    for tool in ["crm_lookup", "crm_update"] {
        denied(&proxy.run(legacy(&token(), &call(tool))), 503, "audit_unavailable");
    }
    denied(&proxy.run(legacy(&token(), &message("tools/list", json!({})))), 503, "audit_unavailable");
    denied(&proxy.run(legacy(&reader(), &call("crm_delete"))), 403, "tool_unknown");
    let minted = proxy.cluster("broker").calls().iter().filter(|call| call.path() == "/token").count();
    assert_eq!(minted, 0, "nothing is minted for a call that cannot be recorded");
    proxy.cluster("broker").answer(granted);
    proxy.advance(2 * SECOND);
    proxy.run(lookup()).forwarded();
    assert_eq!(records(&proxy).len(), 6);
}

fn queueing() -> Proxy {
    let audit = json!({ "when_unreachable": "queue", "queue": "64KiB" });
    let proxy = started(builder(&changed(policy(), "/audit", audit)));
    filing(&proxy, Answer::Refused);
    proxy
}

#[test]
fn calls_go_on_while_the_queue_has_room_and_what_is_lost_is_owned_up_to() {
    let proxy = queueing();
    let permitted = |stream: &Stream| matches!(stream.outcome(), Outcome::Forwarded(_));
    proxy.run(lookup()).forwarded();
    proxy.advance(30 * SECOND);
    let mut served = 1;
    while permitted(&proxy.run(lookup())) {
        served += 1;
        assert!(served < 500, "the queue has no end");
    }
    assert!(served > 50, "only {served} records fit");
    denied(&proxy.run(lookup()), 503, "audit_unavailable");
    // Denials are recorded as well, until there is no room for anything.
    (0..200).for_each(|_| drop(denied(&proxy.run(lookup()), 503, "audit_unavailable")));
    let sent = served + 202;
    proxy.cluster("broker").answer(granted);
    proxy.advance(11 * SECOND);
    proxy.run(lookup()).forwarded();
    let records = records(&proxy);
    let gaps: Vec<&Value> = records.iter().filter(|record| record["kind"] == "gap").collect();
    let [gap] = gaps[..] else { panic!("{gaps:?}") };
    let lost = gap["lost"].as_u64().unwrap() as usize;
    assert!(lost > 50 && records.len() - 1 + lost == sent + 1, "{} kept, {lost} lost, {sent} sent", records.len());
    assert_eq!(gap["proxy"]["node"], "proxy-1");
    let bytes = |records: &[Value]| records.iter().map(|record| record.to_string().len()).sum::<usize>();
    assert!(bytes(&records) < 100 * 1024, "the queue grew beyond its bound");
}

#[test]
fn no_secret_and_no_argument_is_told_anywhere() {
    let proxy = start();
    filing(&proxy, Answer::status(503));
    let canaries = ["canary-argument", "canary-cookie", "canary-minted", "canary-answer", "canary-query", SECRET];
    let mut body = call("crm_update");
    body["params"]["arguments"] = json!({ "canary-argument-name": "canary-argument" });
    proxy.cluster("broker").answer(|call| match call.path() {
        "/token" => minted(json!({ "authorization": "Bearer canary-minted" })),
        _ => granted(call),
    });
    proxy.upstream(|_| Response::json(401, &json!({ "canary-answer": 1 })));
    let marked = |request: Request| request.header("cookie", "canary-cookie").header(":path", "/crm/mcp?canary-query");
    proxy.run(marked(legacy(&token(), &body)));
    proxy.run(marked(legacy(&reader(), &body)));
    proxy.run(marked(raw(&token(), body.to_string() + "canary-argument")));
    body["params"]["name"] = json!("crm_delete");
    proxy.run(marked(legacy(&token(), &body)));
    for (_, request) in refusals() {
        proxy.run(marked(request));
    }
    proxy.cluster("broker").always(Answer::json(400, json!({ "error": "x", "error_description": "canary-answer" })));
    body["params"]["name"] = json!("crm_update");
    proxy.run(marked(legacy(&token(), &body)));
    proxy.cluster("broker").answer(granted);
    assert_eq!(records(&proxy).len(), 25);
    let mut told: Vec<String> = batches(&proxy).concat().iter().map(Value::to_string).collect();
    told.extend(proxy.log().into_iter().map(|line| line.text));
    told.extend(proxy.metrics().into_keys());
    for canary in canaries {
        let found: Vec<&String> = told.iter().filter(|text| text.contains(canary)).collect();
        assert!(found.is_empty(), "{canary}: {found:?}");
    }
}
