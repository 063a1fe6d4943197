//! The broker's revocations: who is hit by them, when, and what happens while nobody knows.

use crate::support::*;
use harness::{Alg, Answer, Builder, End, Outcome, Proxy, Request};
use serde_json::{Value, json};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn lookup() -> Request {
    legacy(&token(), &call("crm_lookup"))
}

fn target(kind: &str, members: &[(&str, &str)]) -> Value {
    let mut target = json!({ "kind": kind, "issuer": "https://idp.example.com" });
    members.iter().for_each(|(name, value)| target[name] = json!(value));
    target
}

fn agent() -> Value {
    target("agent", &[("id", "agent-1")])
}

fn call_on(server: &str, tool: Option<&str>) -> Value {
    match tool {
        Some(tool) => json!({ "kind": "tool", "server": server, "tool": tool }),
        None => json!({ "kind": "server", "server": server }),
    }
}

/// The head of a POST, for tests in which something comes between it and the body.
fn head<'a>(authorization: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let fixed = [
        (":method", "POST"),
        (":authority", "gateway.example.com"),
        (":path", PATH),
        (":scheme", "https"),
        ("authorization", authorization),
        ("content-type", "application/json"),
    ];
    fixed.iter().chain(more).copied().collect()
}

/// A proxy whose workers have not had a request yet.
fn cold(builder: Builder) -> Proxy {
    started(builder.cold())
}

#[test]
fn a_revoked_agent_is_refused_on_every_worker_until_it_is_lifted() {
    let proxy = started(builder(&policy()).workers(4));
    let ask = |worker| {
        let stream = proxy.send_on(worker, lookup());
        proxy.settle();
        stream
    };
    for worker in 0..4 {
        ask(worker).forwarded();
    }
    proxy.feed().revoke(agent());
    proxy.settle();
    for worker in 0..4 {
        denied(&ask(worker), 401, "revoked");
    }
    proxy.feed().lift(agent());
    proxy.settle();
    for worker in 0..4 {
        ask(worker).forwarded();
    }
}

#[test]
fn every_target_hits_and_a_like_one_does_not() {
    let id = "jti-1";
    let token = issuer().token().alg(Alg::EdDsa).claim("jti", id).claim("sub", "alice");
    let token = token.scope("crm:read crm:write reports:read").sign();
    for (hits, spares) in [
        (target("token", &[("id", id)]), target("token", &[("id", "jti-2")])),
        (target("subject", &[("subject", "alice")]), target("subject", &[("subject", "agent-1")])),
        (
            target("agent_for", &[("id", "agent-1"), ("subject", "alice")]),
            target("agent_for", &[("id", "agent-1"), ("subject", "bob")]),
        ),
        (target("issuer", &[]), json!({ "kind": "issuer", "issuer": "https://other.example.com" })),
        (target("key", &[("id", Alg::EdDsa.kid())]), target("key", &[("id", "other")])),
        (call_on("crm", None), call_on("billing", None)),
        (call_on("crm", Some("crm_lookup")), call_on("crm", Some("crm_update"))),
    ] {
        let proxy = start();
        proxy.feed().revoke(spares);
        proxy.run(legacy(&token, &call("crm_lookup"))).forwarded();
        proxy.feed().revoke(hits.clone());
        proxy.settle();
        let stream = proxy.run(legacy(&token, &call("crm_lookup")));
        assert!(stream.upstream().is_none(), "{hits}");
        denied(&stream, 401, "revoked");
        assert_eq!(records(&proxy).last().unwrap()["reason"], "revoked");
    }
}

#[test]
fn tokens_issued_before_a_moment_are_refused_and_later_ones_are_not() {
    let proxy = start();
    proxy.feed().revoke_before(agent(), proxy.now() + 1);
    proxy.settle();
    denied(&proxy.run(lookup()), 401, "revoked");
    let later = issuer().token().alg(Alg::EdDsa).claim("iat", proxy.now() + 1).scope("crm:read").sign();
    proxy.advance(SECOND);
    proxy.run(legacy(&later, &call("crm_lookup"))).forwarded();
}

#[test]
fn the_first_request_waits_for_the_first_word_and_is_refused_by_it() {
    let proxy = cold(builder(&policy()).main_thread());
    proxy.advance(10 * SECOND);
    assert!(proxy.feed().questions().is_empty(), "nobody has asked for anything yet");
    proxy.feed().revoke(agent());
    let stream = proxy.send(lookup());
    assert!(matches!(stream.outcome(), Outcome::Pending), "{:?}", stream.outcome());
    proxy.settle();
    denied(&stream, 401, "revoked");
    proxy.advance(10 * SECOND);
    let questions = proxy.feed().questions();
    assert_eq!(questions[0], "/v1/revocations?after=0&mark=&wait=0ms");
    assert_eq!(questions[1..3], ["/v1/revocations?after=1&mark=1-1&wait=10000ms"; 2]);
    assert_eq!(questions.len(), 3, "one question at a time, and none by the main thread");
}

#[test]
fn without_a_first_word_nobody_passes() {
    let proxy = cold(builder(&policy()));
    proxy.feed().refuse();
    denied(&proxy.run(lookup()), 503, "revocation_stale");
    proxy.feed().recover();
    proxy.advance(SECOND);
    proxy.run(lookup()).forwarded();

    let silent = cold(builder(&policy()));
    silent.feed().hush();
    let stream = silent.send(lookup());
    silent.advance(4 * SECOND);
    assert!(matches!(stream.outcome(), Outcome::Pending));
    silent.advance(2 * SECOND);
    denied(&stream, 503, "revocation_stale");

    let unknown = builder(&policy()).cold().without_cluster("broker").start();
    denied(&unknown.run(lookup()), 503, "revocation_stale");
    assert!(unknown.log().iter().any(|line| line.level >= 4 && line.text.contains("`broker.cluster`")));
}

#[test]
fn without_news_calls_go_on_for_max_age_and_no_longer() {
    let policy = changed(policy(), "/revocation", json!({ "max_age": "9s" }));
    for hush in [false, true] {
        let proxy = started(builder(&policy));
        proxy.advance(30 * SECOND);
        proxy.run(lookup()).forwarded();
        if hush {
            proxy.feed().hush()
        } else {
            proxy.feed().refuse()
        }
        // The last question that was answered was asked at most three seconds ago.
        proxy.advance(5 * SECOND);
        proxy.run(lookup()).forwarded();
        proxy.advance(5 * SECOND);
        denied(&proxy.run(lookup()), 503, "revocation_stale");
        assert!(proxy.metric("accredit.revocation.age_seconds") >= 9);
        assert!(proxy.metric("accredit.revocation.failures") > 0);
        proxy.feed().recover();
        proxy.advance(9 * SECOND);
        proxy.run(lookup()).forwarded();
    }
}

#[test]
fn what_is_no_answer_tells_nothing() {
    let policy = changed(policy(), "/revocation", json!({ "max_age": "9s" }));
    for body in ["", "{}", "[]", r#"{"after":0,"seq":0,"mark":"x","changes":[]}"#, &"x".repeat(2_000_000)] {
        let proxy = started(builder(&policy));
        proxy.feed().revoke(agent());
        proxy.settle();
        proxy.feed().say(body);
        proxy.advance(5 * SECOND);
        denied(&proxy.run(lookup()), 401, "revoked");
        proxy.advance(5 * SECOND);
        let other = issuer().token().alg(Alg::EdDsa).agent("agent-2").scope("crm:read").sign();
        denied(&proxy.run(legacy(&other, &call("crm_lookup"))), 503, "revocation_stale");
    }
}

#[test]
fn a_restored_database_is_told_from_the_one_before() {
    let proxy = start();
    let other = target("agent", &[("id", "agent-2")]);
    proxy.feed().revoke(agent());
    proxy.settle();
    denied(&proxy.run(lookup()), 401, "revoked");
    proxy.feed().restore(&[other]);
    proxy.settle();
    proxy.run(lookup()).forwarded();
}

#[test]
fn what_is_revoked_while_the_body_comes_is_refused_all_the_same() {
    let proxy = start();
    let authorization = format!("Bearer {}", token());
    let headers = head(&authorization, &[("mcp-protocol-version", "2025-11-25")]);
    for what in [agent(), call_on("crm", Some("crm_lookup"))] {
        let mut stream = proxy.open();
        stream.headers(&headers, End::No);
        proxy.settle();
        proxy.feed().revoke(what.clone());
        proxy.settle();
        stream.body(call("crm_lookup").to_string(), End::Yes);
        proxy.settle();
        denied(&stream, 401, "revoked");
        proxy.feed().lift(what);
        proxy.settle();
        proxy.run(lookup()).forwarded();
    }
}

#[test]
fn what_is_revoked_while_the_broker_is_asked_is_refused() {
    let mut policy = policy();
    policy["servers"]["crm"]["tools"]["crm_lookup"]["audit"] = json!("before");
    for tool in ["crm_lookup", "crm_update"] {
        let proxy = started(builder(&policy));
        proxy.cluster("broker").hold();
        let stream = proxy.run(legacy(&token(), &call(tool)));
        let waiting = proxy.waiting();
        let [asked] = &waiting[..] else { panic!("{waiting:?}") };
        proxy.feed().revoke(agent());
        proxy.settle();
        let answer =
            if tool == "crm_update" { minted(json!({ "authorization": "Bearer x" })) } else { Answer::status(204) };
        proxy.answer(asked.id, answer);
        let reply = denied(&stream, 401, "revoked");
        assert_eq!(reply.json()["id"], 1, "the client is told which call it was");
    }
}

#[test]
fn what_is_revoked_between_head_and_body_sends_no_body() {
    let proxy = started(builder(&changed(policy(), "/body", json!("early_headers"))).stop_all_on_headers());
    let authorization = format!("Bearer {}", token());
    let mut stream = proxy.open();
    let modern = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "crm_lookup")];
    let headers = head(&authorization, &modern);
    stream.headers(&headers, End::No);
    proxy.settle();
    assert!(stream.upstream().is_some(), "the head goes ahead");
    proxy.feed().revoke(agent());
    proxy.settle();
    let mut body = call("crm_lookup");
    body["params"]["_meta"] = json!({ VERSION: "2026-07-28" });
    stream.body(body.to_string(), End::Yes);
    proxy.settle();
    assert!(stream.over() && stream.upstream().unwrap().body.is_empty(), "{:?}", stream.outcome());
}

#[test]
fn a_revoked_key_revokes_tokens_that_do_not_name_it() {
    let proxy = start();
    let nameless = issuer().token().alg(Alg::EdDsa).without_header("kid").scope("crm:read").sign();
    proxy.run(legacy(&nameless, &call("crm_lookup"))).forwarded();
    proxy.feed().revoke(target("key", &[("id", Alg::EdDsa.kid())]));
    proxy.settle();
    denied(&proxy.run(legacy(&nameless, &call("crm_lookup"))), 401, "revoked");
}

#[test]
fn a_revoked_method_or_resource_is_refused_whatever_it_is_asked_by() {
    let mut policy = policy();
    policy["servers"]["crm"]["methods"] = json!({ "logging/setLevel": { "scopes": ["crm:read"] } });
    policy["servers"]["crm"]["resources"] = json!({ "crm://public/*": { "scopes": ["crm:read"] } });
    let uri = "crm://public/a";
    for (name, method, params) in [
        ("logging/setLevel", "logging/setLevel", json!({ "level": "debug" })),
        (uri, "resources/read", json!({ "uri": uri })),
        (uri, "resources/subscribe", json!({ "uri": uri })),
    ] {
        let proxy = started(builder(&policy));
        let ask = || proxy.run(legacy(&token(), &message(method, params.clone())));
        ask().forwarded();
        proxy.feed().revoke(call_on("crm", Some(name)));
        proxy.settle();
        denied(&ask(), 401, "revoked");
        proxy.run(lookup()).forwarded();
    }
}

#[test]
fn shadow_mode_overlooks_rules_and_no_revocation() {
    let reading = || legacy(&reader(), &call("crm_update"));
    let proxy = started(builder(&changed(policy(), "/servers/crm/mode", json!("shadow"))));
    proxy.run(reading()).forwarded();
    proxy.feed().revoke(call_on("crm", Some("crm_update")));
    proxy.settle();
    denied(&proxy.run(reading()), 401, "revoked");
    let mut all = changed(policy(), "/servers/crm/mode", json!("shadow"));
    all["servers"]["crm"]["shadow"] = json!("all");
    let proxy = started(builder(&all));
    proxy.feed().revoke(agent());
    proxy.settle();
    proxy.run(lookup()).forwarded();
    let record = records(&proxy).pop().unwrap();
    assert_eq!((&record["shadow"], &record["reason"]), (&json!(true), &json!("revoked")));
}

#[test]
fn a_credential_is_not_used_again_after_a_revocation() {
    let proxy = builder(&policy()).start();
    proxy.upstream(|_| answered());
    proxy.cluster("broker").answer(|call| match call.path() {
        "/token" => {
            let mut credential = credential(json!({ "authorization": "Bearer minted" }));
            credential["reuse"] = json!(30);
            Answer::json(200, credential)
        }
        _ => Answer::status(204),
    });
    let mints = || proxy.cluster("broker").calls().iter().filter(|call| call.path() == "/token").count();
    let ask = || proxy.run(legacy(&token(), &call("crm_update"))).forwarded();
    ask();
    ask();
    assert_eq!(mints(), 1);
    proxy.feed().revoke(agent());
    proxy.settle();
    proxy.feed().lift(agent());
    proxy.settle();
    ask();
    assert_eq!(mints(), 2, "its lease has ended with the revocation");
}

#[test]
fn a_long_answer_to_a_revoked_agent_is_broken_off_and_others_go_on() {
    let proxy = builder(&policy()).start();
    proxy.cluster("broker").answer(granted);
    let other = issuer().token().alg(Alg::EdDsa).agent("agent-2").scope("crm:read").sign();
    let mut long = proxy.run(legacy(&token(), &call("crm_lookup")));
    let mut spared = proxy.run(legacy(&other, &call("crm_lookup")));
    for stream in [&mut long, &mut spared] {
        stream.respond_headers(&[(":status", "200"), ("content-type", "text/event-stream")], End::No);
        stream.respond_body("data: 1\n\n", End::No);
    }
    proxy.feed().revoke(target("agent", &[("id", "agent-3")]));
    proxy.settle();
    assert!(!long.over() && !spared.over());
    proxy.feed().revoke(agent());
    proxy.settle();
    assert!(long.over() && matches!(long.outcome(), Outcome::Reset), "{:?}", long.outcome());
    long.respond_body("data: 2\n\n", End::Yes);
    assert_eq!(long.reply().unwrap().body, b"data: 1\n\n");
    spared.respond_body("data: 2\n\n", End::Yes);
    assert_eq!(spared.reply().unwrap().body, b"data: 1\n\ndata: 2\n\n");
    let records = records(&proxy);
    let of = |agent: &str| records.iter().filter(|record| record["agent"]["id"] == agent).collect::<Vec<_>>();
    let [record] = of("agent-1")[..] else { panic!("{records:?}") };
    assert_eq!(
        (&record["kind"], &record["decision"], &record["reason"]),
        (&json!("outcome"), &json!("permit"), &json!("revoked"))
    );
    assert_eq!(of("agent-2").len(), 1);
    assert_eq!(proxy.metric("accredit.decisions.crm.revoked"), 1);
}

#[test]
fn a_request_that_waits_for_its_answer_is_broken_off_too() {
    let proxy = builder(&policy()).start();
    proxy.cluster("broker").answer(granted);
    let waits = proxy.run(lookup());
    waits.forwarded();
    proxy.feed().revoke(call_on("crm", Some("crm_lookup")));
    proxy.settle();
    assert!(waits.over() && waits.reply().is_none(), "{:?}", waits.outcome());
}

#[test]
fn a_bound_that_makes_no_sense_is_refused() {
    for bad in ["1s", "11m", "x"] {
        let refused = builder(&changed(policy(), "/revocation", json!({ "max_age": bad }))).try_start().err().unwrap();
        assert!(refused.log.iter().any(|line| line.contains("`revocation.max_age`")), "{refused:?}");
    }
}
