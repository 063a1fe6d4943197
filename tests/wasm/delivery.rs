//! Records on their way: whatever the broker says or leaves unsaid, they add up.

use crate::support::*;
use harness::{Answer, Proxy};
use std::collections::BTreeMap;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn calls(proxy: &Proxy, count: u64) {
    (0..count).for_each(|_| drop(proxy.run(legacy(&token(), &call("crm_lookup")))));
}

fn told(proxy: &Proxy) -> [u64; 4] {
    ["made", "sent", "lost", "queued"].map(|name| proxy.metric(&format!("accredit.audit.{name}")))
}

#[test]
fn metrics_tell_what_was_made_sent_lost_and_waits() {
    let proxy = start();
    proxy.cluster("broker").always(Answer::status(503));
    calls(&proxy, 3);
    proxy.advance(SECOND);
    assert_eq!(told(&proxy), [3, 0, 0, 3]);
    proxy.cluster("broker").answer(granted);
    proxy.advance(11 * SECOND);
    assert_eq!(told(&proxy), [3, 3, 0, 0]);
}

#[test]
fn a_record_the_broker_refuses_keeps_no_other_from_arriving() {
    for refusal in [400, 413, 422] {
        let proxy = start();
        proxy.cluster("broker").answer(move |call| {
            match call.path() == "/v1/audit/events" && call.text().contains("\"reason\":\"tool_unknown\"") {
                true => Answer::status(refusal),
                false => granted(call),
            }
        });
        calls(&proxy, 20);
        proxy.run(legacy(&token(), &call("crm_delete")));
        calls(&proxy, 20);
        proxy.advance(20 * SECOND);
        calls(&proxy, 1);
        let records = records(&proxy);
        let mut kinds = BTreeMap::<&str, u64>::new();
        records.iter().for_each(|record| *kinds.entry(record["kind"].as_str().unwrap()).or_default() += 1);
        assert_eq!(kinds, BTreeMap::from([("gap", 1), ("outcome", 41)]), "{refusal}");
        let lost = records.iter().find(|record| record["kind"] == "gap").unwrap();
        assert_eq!(lost["lost"], 1);
        proxy.advance(SECOND);
        assert_eq!(told(&proxy), [43, 42, 1, 0]);
        assert!(proxy.log().iter().any(|line| line.text.contains("given up")));
    }
}

#[test]
fn a_broker_that_knows_the_proxy_no_more_costs_no_record() {
    for status in [401, 403, 404, 405, 429, 500] {
        let proxy = start();
        calls(&proxy, 5);
        proxy.cluster("broker").always(Answer::status(status));
        proxy.advance(60 * SECOND);
        proxy.cluster("broker").answer(granted);
        proxy.advance(11 * SECOND);
        assert_eq!(told(&proxy), [5, 5, 0, 0], "{status}");
    }
}

#[test]
fn an_answer_that_never_comes_silences_no_worker() {
    let proxy = start();
    calls(&proxy, 2);
    proxy.cluster("broker").hold();
    proxy.advance(SECOND);
    assert_eq!(proxy.waiting().len(), 1);
    proxy.lose();
    proxy.cluster("broker").answer(granted);
    proxy.advance(30 * SECOND);
    assert_eq!(told(&proxy), [2, 0, 0, 2]);
    proxy.advance(35 * SECOND);
    assert_eq!(told(&proxy), [2, 2, 0, 0]);
}
