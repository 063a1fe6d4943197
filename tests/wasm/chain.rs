//! Tasks that were handed on: how far, by whom, and what the record says of it.

use crate::support::*;
use harness::{Alg, Proxy, Request, Token};
use serde_json::{Value, json};

fn proxy(delegation: Value) -> Proxy {
    started(builder(&changed(policy(), "/servers/crm/delegation", delegation)))
}

fn chained(names: &[&str]) -> Token {
    issuer().token().alg(Alg::EdDsa).scope("crm:read crm:write").actors(names)
}

fn lookup(token: Token) -> Request {
    legacy(&token.sign(), &call("crm_lookup"))
}

#[test]
fn a_chain_of_accepted_actors_passes_and_stands_in_the_record() {
    let proxy = proxy(json!({ "max_depth": 3, "actors": ["planner-*", "worker"] }));
    for names in [&[][..], &["worker"], &["worker", "planner-1"], &["worker", "planner-1", "planner-2"]] {
        proxy.run(lookup(chained(names))).forwarded();
        let record = records(&proxy).pop().unwrap();
        let chain = if names.is_empty() { Value::Null } else { json!(names) };
        assert_eq!((&record["kind"], &record["chain"]), (&json!("outcome"), &chain));
        assert_eq!((&record["agent"]["id"], &record["subject"]), (&json!("agent-1"), &json!("agent-1")));
    }
}

#[test]
fn a_chain_the_server_does_not_accept_is_forbidden_without_a_challenge() {
    let proxy = proxy(json!({ "max_depth": 3, "actors": ["planner-*", "worker"] }));
    for (reason, names) in [
        ("chain_too_deep", &["worker", "planner-1", "planner-2", "planner-3"][..]),
        ("chain_actor", &["stranger"]),
        ("chain_actor", &["worker", "stranger"]),
        ("chain_actor", &["stranger", "worker"]),
        ("chain_actor", &["planner"]),
        ("chain_actor", &["Worker"]),
        ("chain_loop", &["worker", "worker"]),
        ("chain_loop", &["worker", "planner-1", "worker"]),
    ] {
        denied(&proxy.run(lookup(chained(names))), 403, reason);
        let record = records(&proxy).pop().unwrap();
        assert_eq!((&record["reason"], &record["chain"]), (&json!(reason), &json!(names)));
    }
}

#[test]
fn without_bounds_sixteen_different_actors_may_stand_in_a_chain() {
    let proxy = start();
    let names: Vec<String> = (0..17).map(|hop| format!("hop-{hop}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    proxy.run(lookup(chained(&names[..16]))).forwarded();
    denied(&proxy.run(lookup(chained(&names))), 403, "chain_too_deep");
    denied(&proxy.run(lookup(chained(&["a", "b", "a"]))), 403, "chain_loop");
}

#[test]
fn a_server_without_delegation_takes_no_chain_at_all() {
    let proxy = proxy(json!({ "max_depth": 0 }));
    proxy.run(lookup(chained(&[]))).forwarded();
    denied(&proxy.run(lookup(chained(&["worker"]))), 403, "chain_too_deep");
}

#[test]
fn a_chain_that_cannot_be_read_is_forbidden() {
    let proxy = start();
    for act in [
        json!(null),
        json!([]),
        json!({}),
        json!("worker"),
        json!({ "sub": "" }),
        json!({ "sub": 7 }),
        json!({ "iss": "https://idp.example.com" }),
        json!({ "sub": "worker", "act": null }),
        json!({ "sub": "worker", "act": {} }),
        json!({ "sub": "worker", "act": { "act": { "sub": "planner" } } }),
    ] {
        denied(&proxy.run(lookup(chained(&[]).claim("act", act))), 403, "chain_malformed");
    }
    for may_act in [json!(null), json!("worker"), json!({})] {
        denied(&proxy.run(lookup(chained(&[]).claim("may_act", may_act))), 403, "chain_malformed");
    }
}

#[test]
fn what_else_an_actor_carries_means_nothing() {
    let proxy = proxy(json!({ "max_depth": 1, "actors": ["worker"] }));
    let act = json!({ "sub": "worker", "exp": 1, "nbf": 9_999_999_999_u64, "aud": "https://other.example", "scope": "crm:admin" });
    proxy.run(lookup(chained(&[]).claim("act", act))).forwarded();
    // The party that may act next has not acted yet.
    proxy.run(lookup(chained(&["worker"]).claim("may_act", json!({ "sub": "stranger" })))).forwarded();
}

#[test]
fn a_chain_is_judged_before_anything_is_minted_and_in_sessions_too() {
    let proxy = proxy(json!({ "actors": ["worker"] }));
    let stranger = chained(&["stranger"]).sign();
    denied(&proxy.run(legacy(&stranger, &call("crm_update"))), 403, "chain_actor");
    denied(&proxy.run(legacy(&stranger, &call("no_such_tool"))), 403, "chain_actor");
    let session = Request::fetch(PATH).bearer(&stranger);
    denied(&proxy.run(session.header("mcp-protocol-version", "2025-11-25")), 403, "chain_actor");
    assert!(proxy.cluster("broker").calls().iter().all(|call| call.path() != "/token"));
}
