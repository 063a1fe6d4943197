//! Token status lists: fetched once for all, never trusted beyond their time, asked on every request.

use crate::support::*;
use harness::{Alg, Answer, Outcome, Proxy, Request, Response, START, Stream, Token};
use serde_json::{Value, json};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const LIST: &str = "https://status.example.com/lists/1";

fn asking() -> Value {
    changed(
        policy(),
        "/issuers/corp/status",
        json!({ "cluster": "statuses", "max_age": "60s", "origins": ["https://status.example.com"] }),
    )
}

fn proxy() -> Proxy {
    started(builder(&asking()))
}

/// A call with the token at `index` of the list.
fn listed(index: u64) -> Request {
    let token = issuer().token().claim("exp", START + 3600).listed(LIST, index);
    legacy(&token.sign(), &call("crm_lookup"))
}

/// The list with these statuses, a byte each.
fn statuses(bytes: &[u8]) -> Token {
    issuer().statuses(LIST, bytes)
}

fn served(list: Token) -> Response {
    Response::new(200).header("content-type", "application/statuslist+jwt").body(list.sign())
}

fn fetches(proxy: &Proxy) -> usize {
    proxy.cluster("statuses").calls().len()
}

#[test]
fn a_list_of_another_origin_is_not_even_fetched() {
    let proxy = proxy();
    let elsewhere = issuer().token().listed("https://status.example.com.evil.example/1", 0).sign();
    denied(&proxy.run(legacy(&elsewhere, &call("crm_lookup"))), 401, "token_malformed");
    assert!(proxy.cluster("statuses").calls().is_empty());
}

#[test]
fn one_fetch_serves_all_who_wait_and_all_who_come_later() {
    let proxy = proxy();
    let mut streams: Vec<Stream> = (0..20).map(|_| proxy.send(listed(0))).collect();
    proxy.settle();
    streams.extend((0..20).map(|_| proxy.run(listed(1))));
    proxy.advance(2 * SECOND);
    assert!(streams.iter().all(|stream| matches!(stream.outcome(), Outcome::Pending)));
    let [fetch] = &proxy.cluster("statuses").calls()[..] else { panic!("the list was not fetched once") };
    assert_eq!((fetch.method(), fetch.path()), ("GET", "/lists/1"));
    assert_eq!(fetch.headers.text(":authority"), Some("status.example.com"));
    assert_eq!(fetch.headers.text("accept"), Some("application/statuslist+jwt"));
    assert!(fetch.stream.is_none() && !fetch.headers.has("authorization") && fetch.body.is_empty());
    proxy.cluster("statuses").always(served(statuses(&[0, 0])));
    proxy.settle();
    streams.iter().for_each(|stream| drop(stream.forwarded()));
    proxy.run(listed(0)).forwarded();
    assert_eq!(fetches(&proxy), 1);
}

#[test]
fn a_token_its_list_refuses_or_does_not_know_is_revoked() {
    let proxy = proxy();
    proxy.cluster("statuses").always(served(statuses(&[0, 1, 2, 0xff, 0])));
    for index in [0, 4] {
        proxy.run(listed(index)).forwarded();
    }
    for index in [1, 2, 3, 5, 1 << 40, u64::MAX] {
        let reply = denied(&proxy.run(listed(index)), 401, "revoked");
        assert_eq!(reply.challenge(), format!("Bearer error=\"invalid_token\", resource_metadata=\"{METADATA}\""));
    }
}

#[test]
fn only_tokens_that_name_a_list_are_looked_up_and_only_where_the_policy_says_so() {
    let asks = proxy();
    asks.run(legacy(&reader(), &call("crm_lookup"))).forwarded();
    assert_eq!(fetches(&asks), 0);
    let ignores = start();
    ignores.run(listed(1)).forwarded();
    let broken = [
        json!(null),
        json!({}),
        json!({ "status_list": { "uri": LIST } }),
        json!({ "status_list": { "uri": "x", "idx": 0 } }),
    ];
    for status in broken {
        let token = issuer().token().claim("status", status).sign();
        denied(&asks.run(legacy(&token, &call("crm_lookup"))), 401, "token_malformed");
    }
    let negative = issuer().token().claim("status", json!({ "status_list": { "uri": LIST, "idx": -1 } })).sign();
    denied(&asks.run(legacy(&negative, &call("crm_lookup"))), 401, "token_malformed");
}

#[test]
fn while_there_is_no_list_nobody_gets_through_and_it_heals_by_itself() {
    for answer in
        [Answer::Refused, Answer::Timeout, Answer::Reset, Answer::status(200), Answer::status(404), Answer::status(302)]
    {
        let proxy = proxy();
        let waiting: Vec<Stream> = (0..3).map(|_| proxy.send(listed(0))).collect();
        proxy.cluster("statuses").always(answer);
        proxy.settle();
        for stream in &waiting {
            let reply = denied(stream, 503, "revocation_stale");
            assert_eq!(reply.headers.text("retry-after"), Some("1"));
        }
        denied(&proxy.run(listed(0)), 503, "revocation_stale");
        assert_eq!(fetches(&proxy), 1, "a list that is away is not asked for on every request");
        proxy.cluster("statuses").always(served(statuses(&[0])));
        proxy.advance(SECOND);
        proxy.run(listed(0)).forwarded();
    }
    let nowhere = started(builder(&asking()).without_cluster("statuses"));
    denied(&nowhere.run(listed(0)), 503, "revocation_stale");
    assert!(nowhere.log().iter().any(|line| line.level >= 4 && line.text.contains("`status.cluster`")));
}

#[test]
fn a_list_that_proves_nothing_is_no_list() {
    let bomb = vec![0; 1024 * 1024 + 1];
    let sound = || statuses(&[0]);
    let three = json!({ "bits": 3, "lst": "eJxjAAAAAQAB" });
    for (what, list) in [
        ("another list", issuer().statuses("https://status.example.com/lists/2", &[0]).sign()),
        ("no place", sound().without("sub").sign()),
        ("an attacker's signature", sound().sign_foreign()),
        ("no signature", sound().unsigned()),
        ("an unknown key", sound().kid("ec-9").sign()),
        ("another algorithm", sound().alg(Alg::Ps256).sign()),
        ("an access token's type", sound().header("typ", "at+jwt").sign()),
        ("no type", sound().without_header("typ").sign()),
        ("an end", sound().claim("exp", START).sign()),
        ("the future", sound().claim("iat", START + 61).sign()),
        ("no beginning", sound().without("iat").sign()),
        ("odd bits", sound().claim("status_list", three).sign()),
        ("no list", sound().without("status_list").sign()),
        ("no zlib", sound().claim("status_list", json!({ "bits": 8, "lst": "AAAA" })).sign()),
        ("a bomb", statuses(&bomb).sign()),
        ("an odd lifetime", sound().claim("ttl", "60").sign()),
        ("something else", "not a token".into()),
    ] {
        let proxy = proxy();
        proxy.cluster("statuses").always(Response::new(200).body(list));
        denied(&proxy.run(listed(0)), 503, "revocation_stale");
        let told = |line: &harness::Line| line.text.contains("the statuses of `corp` were not renewed");
        assert!(proxy.log().iter().any(told), "{what}");
    }
    let large = proxy();
    large.cluster("statuses").always(Response::new(200).body(sound().claim("x", "x".repeat(1 << 20)).sign()));
    denied(&large.run(listed(0)), 503, "revocation_stale");
}

#[test]
fn a_list_is_signed_with_an_algorithm_the_issuer_may_use() {
    let proxy = started(builder(&changed(asking(), "/issuers/corp/algorithms", json!(["ES256"]))));
    // The key is known, and yet it is not for this.
    proxy.cluster("statuses").always(served(statuses(&[0]).alg(Alg::Rs256)));
    denied(&proxy.run(listed(0)), 503, "revocation_stale");
    proxy.cluster("statuses").always(served(statuses(&[0])));
    proxy.advance(SECOND);
    proxy.run(listed(0)).forwarded();
}

#[test]
fn a_list_is_renewed_in_the_background_and_a_known_token_is_judged_by_the_new_one() {
    let proxy = proxy();
    proxy.cluster("statuses").always(served(statuses(&[0, 0])));
    let (kept, revoked) = (listed(0), listed(1));
    proxy.run(kept.clone()).forwarded();
    proxy.run(revoked.clone()).forwarded();
    let proved = proxy.called("verify_signature");
    proxy.advance(29 * SECOND);
    proxy.run(revoked.clone()).forwarded();
    assert_eq!(fetches(&proxy), 1);
    proxy.cluster("statuses").hold();
    proxy.advance(SECOND);
    // Half of its time is over: it is asked for again with the next tick, and nobody waits for that.
    proxy.run(revoked.clone()).forwarded();
    proxy.advance(SECOND);
    proxy.run(revoked.clone()).forwarded();
    assert_eq!(fetches(&proxy), 2);
    proxy.cluster("statuses").always(served(statuses(&[0, 1])));
    proxy.settle();
    denied(&proxy.run(revoked), 401, "revoked");
    proxy.run(kept).forwarded();
    assert_eq!(proxy.called("verify_signature"), proved + 1, "only the list was proved again");
}

#[test]
fn a_list_is_not_trusted_beyond_its_time() {
    let proxy = proxy();
    proxy.cluster("statuses").always(served(statuses(&[0])));
    proxy.run(listed(0)).forwarded();
    proxy.cluster("statuses").always(Answer::Refused);
    proxy.advance(60 * SECOND - Duration::from_millis(1));
    proxy.run(listed(0)).forwarded();
    proxy.advance(Duration::from_millis(1));
    denied(&proxy.run(listed(0)), 503, "revocation_stale");
    proxy.cluster("statuses").hold();
    proxy.advance(SECOND);
    let waits = proxy.run(listed(0));
    assert!(matches!(waits.outcome(), Outcome::Pending));
    proxy.advance(5 * SECOND);
    denied(&waits, 503, "revocation_stale");
    proxy.cluster("statuses").always(served(statuses(&[0])));
    proxy.advance(SECOND);
    proxy.run(listed(0)).forwarded();
}

#[test]
fn a_list_that_ends_earlier_is_not_trusted_beyond_that() {
    let proxy = proxy();
    proxy.cluster("statuses").always(served(statuses(&[0]).claim("exp", START + 10)));
    proxy.run(listed(0)).forwarded();
    proxy.cluster("statuses").always(Answer::Refused);
    proxy.advance(10 * SECOND - Duration::from_millis(1));
    proxy.run(listed(0)).forwarded();
    proxy.advance(Duration::from_millis(1));
    proxy.cluster("statuses").hold();
    let late = proxy.run(listed(0));
    assert!(late.upstream().is_none());
    proxy.cluster("statuses").always(served(statuses(&[0]).claim("exp", START + 60)));
    proxy.advance(40 * SECOND);
    proxy.run(listed(0)).forwarded();
}

#[test]
fn the_issuer_says_how_long_a_list_is_fresh() {
    let short = statuses(&[0]).claim("ttl", 5);
    let plain = served(statuses(&[0])).header("cache-control", "max-age=10");
    for (answer, seconds) in [(served(short), 5), (plain, 10)] {
        let proxy = proxy();
        proxy.cluster("statuses").always(answer);
        proxy.run(listed(0)).forwarded();
        proxy.advance(Duration::from_secs(seconds) - Duration::from_millis(1));
        proxy.run(listed(0)).forwarded();
        proxy.advance(Duration::from_millis(1));
        proxy.run(listed(0)).forwarded();
        proxy.advance(SECOND);
        assert_eq!(fetches(&proxy), 2);
    }
}
