//! `audit: before`: what the broker has on its disk before the call goes upstream.

use crate::support::*;
use harness::{Answer, Call, End, Proxy};
use serde_json::{Value, json};

/// A proxy whose rule for `crm_lookup` asks for it.
fn strict() -> Proxy {
    started(builder(&changed(policy(), "/servers/crm/tools/crm_lookup/audit", json!("before"))))
}

fn waiting(proxy: &Proxy) -> Call {
    let waiting = proxy.waiting();
    let [call] = &waiting[..] else { panic!("{waiting:?}") };
    call.clone()
}

#[test]
fn the_call_waits_until_its_intent_is_kept_and_its_outcome_follows() {
    let proxy = strict();
    proxy.cluster("broker").hold();
    let mut stream = proxy.send(legacy(&token(), &call("crm_lookup")).header("x-request-id", "r-1"));
    assert!(stream.upstream().is_none(), "it went upstream before its intent was kept");
    let post = waiting(&proxy);
    assert_eq!((post.path(), post.stream.is_some()), ("/v1/audit/events", true));
    proxy.answer(post.id, Answer::status(204));
    stream.forwarded();
    stream.respond(answered()).finish();
    proxy.cluster("broker").answer(granted);
    let records = records(&proxy);
    let [intent, outcome] = &records[..] else { panic!("{records:?}") };
    assert_eq!((&intent["kind"], &intent["decision"]), (&json!("intent"), &json!("permit")));
    assert_eq!(intent["id"], format!("{}.intent", outcome["id"].as_str().unwrap()));
    for member in ["request_id", "agent", "subject", "token", "server", "tool", "arguments_sha256", "scopes", "policy"]
    {
        assert!(!intent[member].is_null() && intent[member] == outcome[member], "{member}: {intent}");
    }
    assert_eq!((&outcome["kind"], &outcome["request_id"]), (&json!("outcome"), &json!("r-1")));
}

#[test]
fn without_the_brokers_word_nothing_goes_upstream() {
    let odd = [200, 202, 302, 400, 401, 403, 404, 413, 500, 503].map(Answer::status);
    for answer in odd.into_iter().chain([Answer::Timeout, Answer::Reset, Answer::Refused]) {
        let proxy = strict();
        proxy.cluster("broker").always(answer);
        let reply = denied(&proxy.run(legacy(&token(), &call("crm_lookup"))), 503, "audit_unavailable");
        assert_eq!(reply.json()["id"], 1);
        proxy.cluster("broker").answer(granted);
        let records = records(&proxy);
        assert_eq!(records.last().unwrap()["reason"], "audit_unavailable");
    }
    let proxy = strict();
    proxy.cluster("broker").remove();
    denied(&proxy.run(legacy(&token(), &call("crm_lookup"))), 503, "host_failed");
}

#[test]
fn nothing_that_comes_meanwhile_lets_the_call_go() {
    let proxy = strict();
    proxy.cluster("broker").hold();
    let bearer = format!("Bearer {}", token());
    let head = [
        (":method", "POST"),
        (":authority", "gateway.example.com"),
        (":path", PATH),
        ("content-type", "application/json"),
        ("authorization", &bearer),
    ];
    let mut stream = proxy.open();
    stream.headers(&head, End::No).body(call("crm_lookup").to_string(), End::No).trailers(&[("x-more", "1")]);
    assert!(stream.upstream().is_none());
    let post = waiting(&proxy);
    stream.abort();
    proxy.answer(post.id, Answer::status(204));
    assert!(stream.upstream().is_none(), "nobody waits for it any more");
    proxy.cluster("broker").answer(granted);
    let last = records(&proxy).pop().unwrap();
    assert_eq!((&last["kind"], &last["reason"]), (&json!("decision"), &json!("client_gone")));
}

#[test]
fn only_what_asks_for_it_is_announced_and_a_credential_has_the_brokers_own_intent() {
    let mut policy = changed(policy(), "/servers/crm/tools/report_*/audit", json!("before"));
    policy["servers"]["crm"]["tools"]["crm_update"]["audit"] = json!("before");
    let proxy = started(builder(&policy));
    let posted = || proxy.cluster("broker").calls().iter().map(|call| call.path().to_owned()).collect::<Vec<_>>();
    proxy.run(legacy(&token(), &call("crm_lookup"))).forwarded();
    denied(&proxy.run(legacy(&reader(), &call("report_x"))), 403, "scope_missing");
    assert!(posted().is_empty());
    proxy.run(legacy(&token(), &call("crm_update"))).forwarded();
    assert_eq!(posted(), ["/token"], "the exchange writes the intent");
    proxy.run(legacy(&token(), &call("report_x"))).forwarded();
    assert_eq!(posted(), ["/token", "/v1/audit/events"]);
}

#[test]
fn a_credential_that_is_used_again_is_announced_without_its_lease() {
    let proxy = started(builder(&changed(policy(), "/servers/crm/tools/crm_update/audit", json!("before"))));
    proxy.cluster("broker").answer(|call| match call.path() {
        "/token" => {
            let mut answer = credential(json!({ "authorization": "Bearer minted" }));
            answer["reuse"] = json!(30);
            Answer::json(200, answer)
        }
        _ => granted(call),
    });
    for _ in 0..2 {
        let upstream = proxy.run(legacy(&token(), &call("crm_update"))).forwarded();
        assert_eq!(upstream.headers.text("authorization"), Some("Bearer minted"));
    }
    let records = records(&proxy);
    let intents: Vec<&Value> = records.iter().filter(|record| record["kind"] == "intent").collect();
    let [intent] = &intents[..] else { panic!("{records:?}") };
    assert_eq!(intent["credential"], json!({ "name": "crm-api" }));
}
