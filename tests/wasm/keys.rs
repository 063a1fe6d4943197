//! Keys that are fetched: when, by whom, and what waits for them.

use crate::support::*;
use harness::{Alg, Answer, Outcome, Proxy, Request, Response, Stream};
use serde_json::{Value, json};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn fetching() -> Proxy {
    started(builder(&remote()))
}

/// The keys of that many kinds: Ed25519, then P-256, then RSA.
fn published(count: usize) -> Answer {
    let keys: Vec<Value> =
        [Alg::EdDsa, Alg::Es256, Alg::Rs256].iter().map(|alg| issuer().jwk(*alg)).take(count).collect();
    Answer::json(200, json!({ "keys": keys }))
}

fn lookup() -> Request {
    signed(Alg::EdDsa)
}

fn signed(alg: Alg) -> Request {
    legacy(&issuer().token().alg(alg).claim("exp", harness::START + 3600).sign(), &call("crm_lookup"))
}

fn fetches(proxy: &Proxy) -> usize {
    proxy.cluster("idp").calls().len()
}

fn pending(streams: &[Stream]) -> bool {
    streams.iter().all(|stream| matches!(stream.outcome(), Outcome::Pending))
}

#[test]
fn one_fetch_serves_all_who_wait_and_all_who_come_later() {
    let proxy = fetching();
    let mut streams: Vec<Stream> = (0..20).map(|_| proxy.send(lookup())).collect();
    proxy.settle();
    // Those that come while the fetch is under way wait for it, too.
    streams.extend((0..20).map(|_| proxy.run(lookup())));
    proxy.advance(2 * SECOND);
    assert!(pending(&streams) && fetches(&proxy) == 1);
    let fetch = &proxy.cluster("idp").calls()[0];
    assert_eq!((fetch.method(), fetch.path()), ("GET", "/jwks.json"));
    assert_eq!(fetch.headers.text(":authority"), Some("idp.example.com"));
    assert_eq!((fetch.timeout, fetch.stream), (5 * SECOND, None));
    assert!(!fetch.headers.has("authorization") && fetch.body.is_empty());
    proxy.cluster("idp").always(published(3));
    proxy.settle();
    streams.iter().for_each(|stream| drop(stream.forwarded()));
    for alg in [Alg::EdDsa, Alg::Es256, Alg::Rs256] {
        proxy.run(signed(alg)).forwarded();
    }
    assert_eq!(fetches(&proxy), 1);
}

#[test]
fn a_token_that_proves_nothing_anyway_causes_no_fetch() {
    let proxy = fetching();
    let issuer = issuer();
    for token in [
        issuer.token().unsigned(),
        issuer.token().claim("iss", "https://evil.example").sign(),
        issuer.token().alg(Alg::Ps256).sign(),
        issuer.token().header("typ", "JWT").sign(),
        issuer.token().header("crit", json!(["x"])).sign(),
        "x.y.z".into(),
    ] {
        assert_eq!(proxy.run(legacy(&token, &call("crm_lookup"))).replied().status, 401);
    }
    assert_eq!(fetches(&proxy), 0);
}

#[test]
fn the_fetch_outlives_the_stream_it_was_made_for() {
    let proxy = fetching();
    let mut first = proxy.send(lookup());
    let second = proxy.send(lookup());
    proxy.settle();
    first.abort();
    proxy.cluster("idp").always(published(3));
    proxy.settle();
    assert!(first.upstream().is_none());
    second.forwarded();
    assert_eq!(fetches(&proxy), 1);
}

#[test]
fn a_fetch_that_brings_no_keys_answers_everyone_and_is_tried_again() {
    let private = json!({ "keys": [with(issuer().jwk(Alg::EdDsa), "d", json!("AAAA"))] });
    let shared = json!({ "keys": [issuer().jwk(Alg::EdDsa), { "kty": "oct", "k": "AAAA" }] });
    let twice = json!({ "keys": [issuer().jwk(Alg::EdDsa), issuer().jwk(Alg::EdDsa)] });
    let large = json!({ "keys": [issuer().jwk(Alg::EdDsa)], "padding": "x".repeat(256 * 1024) });
    let many: Vec<Value> = (0..101).map(|kid| with(issuer().jwk(Alg::EdDsa), "kid", json!(kid.to_string()))).collect();
    for answer in [
        Answer::Refused,
        Answer::Timeout,
        Answer::Reset,
        Answer::status(200),
        Answer::status(404),
        Answer::json(500, issuer().jwks()),
        Answer::json(302, issuer().jwks()),
        Response::new(200).body("{").into(),
        Response::new(200).body([0xff; 64]).into(),
        Answer::json(200, json!([])),
        Answer::json(200, json!({ "keys": [] })),
        Answer::json(200, json!({ "keys": "none" })),
        Answer::json(200, json!({ "keys": many })),
        Answer::json(200, private),
        Answer::json(200, shared),
        Answer::json(200, twice),
        Answer::json(200, large),
    ] {
        let shown = format!("{answer:?}").chars().take(120).collect::<String>();
        let proxy = fetching();
        let streams: Vec<Stream> = (0..3).map(|_| proxy.send(lookup())).collect();
        proxy.cluster("idp").always(answer);
        proxy.settle();
        for stream in &streams {
            let reply = denied(stream, 503, "keys_unavailable");
            assert_eq!(reply.headers.text("retry-after"), Some("1"), "{shown}");
        }
        denied(&proxy.run(lookup()), 503, "keys_unavailable");
        assert_eq!(fetches(&proxy), 1, "{shown}");
        assert!(proxy.log().iter().any(|line| line.text.contains("the keys of `corp` were not renewed")), "{shown}");

        proxy.cluster("idp").always(published(3));
        proxy.advance(SECOND);
        proxy.run(lookup()).forwarded();
    }
}

fn with(mut value: Value, name: &str, member: Value) -> Value {
    value[name] = member;
    value
}

#[test]
fn an_issuer_behind_no_known_cluster_is_unavailable_and_says_so() {
    let proxy = started(builder(&remote()).without_cluster("idp"));
    denied(&proxy.run(lookup()), 503, "keys_unavailable");
    assert!(proxy.log().iter().any(|line| line.level >= 4 && line.text.contains("`jwks.cluster`")));
}

#[test]
fn a_fetch_without_an_answer_ends_with_its_timeout() {
    let proxy = fetching();
    let stream = proxy.run(lookup());
    proxy.advance(5 * SECOND - Duration::from_millis(1));
    assert!(pending(std::slice::from_ref(&stream)));
    proxy.advance(Duration::from_millis(1));
    denied(&stream, 503, "keys_unavailable");
}

#[test]
fn made_up_keys_cause_one_fetch_in_ten_seconds() {
    let proxy = fetching();
    proxy.cluster("idp").always(published(2));
    proxy.run(lookup()).forwarded();
    let made_up = |kid: u32| legacy(&issuer().token().kid(&format!("made-up-{kid}")).sign(), &call("crm_lookup"));
    for kid in 0..50 {
        denied(&proxy.run(made_up(kid)), 401, "token_key_unknown");
        proxy.advance(Duration::from_millis(190));
    }
    assert_eq!(fetches(&proxy), 1, "none in the first ten seconds after a fetch");
    proxy.advance(SECOND);
    for kid in 0..50 {
        denied(&proxy.run(made_up(kid)), 401, "token_key_unknown");
    }
    assert_eq!(fetches(&proxy), 2);
}

#[test]
fn a_new_key_is_fetched_when_the_first_token_names_it_and_no_request_fails() {
    let proxy = fetching();
    proxy.cluster("idp").always(published(1));
    proxy.run(lookup()).forwarded();
    proxy.advance(10 * SECOND);
    proxy.cluster("idp").hold();
    let rotated = proxy.run(signed(Alg::Es256));
    assert!(pending(std::slice::from_ref(&rotated)));
    proxy.run(lookup()).forwarded();
    proxy.cluster("idp").always(published(2));
    proxy.settle();
    rotated.forwarded();
    assert_eq!(fetches(&proxy), 2);
}

#[test]
fn keys_in_use_are_renewed_in_the_background_and_a_key_withdrawn_is_refused() {
    let proxy = fetching();
    proxy.cluster("idp").always(published(2));
    proxy.run(signed(Alg::Es256)).forwarded();
    proxy.cluster("idp").always(published(1));
    // A refresh comes in the last quarter of its time, so that workers do not ask all at once.
    proxy.advance(22 * SECOND);
    assert_eq!(fetches(&proxy), 1);
    proxy.run(signed(Alg::Es256)).forwarded();
    proxy.advance(9 * SECOND);
    assert_eq!(fetches(&proxy), 2);
    denied(&proxy.run(signed(Alg::Es256)), 401, "token_key_unknown");
    proxy.run(lookup()).forwarded();
}

#[test]
fn keys_stay_in_use_while_they_cannot_be_renewed() {
    let proxy = fetching();
    proxy.cluster("idp").always(published(1));
    proxy.run(lookup()).forwarded();
    for bad in [Answer::Refused, Answer::json(200, json!({ "keys": [] })), Answer::Reset, Answer::Hold] {
        proxy.cluster("idp").always(bad);
        proxy.advance(60 * SECOND);
        proxy.run(lookup()).forwarded();
    }
    assert!(fetches(&proxy) > 60, "a failed fetch is tried again soon");
}

#[test]
fn every_worker_fetches_once_and_the_main_thread_never() {
    let proxy = started(builder(&remote()).workers(3).main_thread());
    proxy.cluster("idp").always(published(3));
    proxy.advance(40 * SECOND);
    assert_eq!(fetches(&proxy), 0, "keys nobody asks for are not fetched");
    for worker in [0, 1, 2] {
        let streams: Vec<Stream> = (0..3).map(|_| proxy.send_on(worker, lookup())).collect();
        proxy.settle();
        streams.iter().for_each(|stream| drop(stream.forwarded()));
    }
    let workers: Vec<usize> = proxy.cluster("idp").calls().iter().map(|call| call.worker).collect();
    assert_eq!(workers, [0, 1, 2]);
    proxy.advance(40 * SECOND);
    let by_main = proxy.cluster("idp").calls().iter().filter(|call| call.worker == 3).count();
    assert_eq!((fetches(&proxy), by_main), (6, 0));
}

#[test]
fn a_call_that_waited_for_keys_gets_its_credential() {
    let proxy = fetching();
    proxy.cluster("idp").always(published(3));
    let stream = proxy.run(legacy(&token(), &call("crm_update")));
    assert_eq!(stream.forwarded().headers.text("authorization"), Some("Bearer minted"));
}

#[test]
fn keys_are_renewed_as_soon_as_their_server_says() {
    let proxy = fetching();
    let Answer::Reply(keys) = published(1) else { unreachable!() };
    proxy.cluster("idp").always(keys.header("cache-control", "public, max-age=12"));
    proxy.run(lookup()).forwarded();
    // In the last quarter of twelve seconds, not of the thirty that the policy has.
    proxy.advance(8 * SECOND);
    assert_eq!(fetches(&proxy), 1);
    proxy.advance(5 * SECOND);
    assert_eq!(fetches(&proxy), 2);
}

#[test]
fn the_age_of_keys_and_what_failed_is_measured() {
    let proxy = fetching();
    let metric = |name: &str| proxy.metric(&format!("accredit.keys.corp.{name}"));
    proxy.cluster("idp").always(Answer::Refused);
    denied(&proxy.run(lookup()), 503, "keys_unavailable");
    proxy.advance(3 * SECOND);
    assert!(metric("fetch_failures") >= 3 && !proxy.metrics().contains_key("accredit.keys.corp.age_seconds"));
    proxy.cluster("idp").always(published(1));
    proxy.advance(2 * SECOND);
    assert!(metric("age_seconds") <= 2);
    proxy.advance(15 * SECOND);
    assert!((15..=17).contains(&metric("age_seconds")));
}
