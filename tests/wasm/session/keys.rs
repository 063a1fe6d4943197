//! The keys that seal sessions: the operator's or the broker's, and what happens while there are none.

use super::*;
use accredit_policy::wire::session::{Key, Keys};
use harness::{Answer, Outcome};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A policy whose keys are the broker's.
fn brokered() -> Value {
    let mut policy = policy();
    policy.as_object_mut().unwrap().remove("session_key");
    policy
}

/// Keys of these bytes, each from so many seconds after the start on, for a hundred seconds.
fn document(keys: &[(u8, u64)]) -> Answer {
    let key = |&(byte, after): &(u8, u64)| {
        let not_before = harness::START + after;
        Key { secret: vec![byte; 32].into(), not_before, not_after: not_before + 100 }
    };
    let keys = Keys { keys: keys.iter().map(key).collect(), next: 20 };
    Response::new(200).header("content-type", "application/json").body(keys.write().reveal()).into()
}

/// Has the broker answer for keys in this way.
fn keyed(proxy: &Proxy, answer: impl Into<Answer>) {
    let answer = answer.into();
    proxy.cluster("broker").answer(move |call| match call.path() {
        "/v1/session-keys" => answer.clone(),
        _ => granted(call),
    });
}

fn fetching(answer: impl Into<Answer>) -> Proxy {
    let proxy = proxy(&brokered());
    keyed(&proxy, answer);
    proxy
}

fn fetches(proxy: &Proxy) -> usize {
    proxy.cluster("broker").calls().iter().filter(|call| call.path() == "/v1/session-keys").count()
}

fn lasting() -> String {
    caller().claim("exp", harness::START + 3600).sign()
}

#[test]
fn proxies_with_the_same_keys_agree() {
    let (one, other) = (fetching(document(&[(1, 0)])), fetching(document(&[(1, 0)])));
    let token = lasting();
    let sealed = opened(&one, &token);
    assert_eq!(opened(&other, &token), sealed);
    for method in METHODS {
        assert_eq!(other.run(visit(method, PATH, &token, &sealed)).forwarded().headers.text(HEADER), Some(OWN));
    }
    foreign(&fetching(document(&[(2, 0)])), visit("POST", PATH, &token, &sealed));
    let written = started(builder(&policy()).workers(2));
    written.upstream(|_| answered().header(HEADER, OWN));
    let sealed = opened(&written, &token);
    let stream = written.send_on(1, visit("GET", PATH, &token, &sealed));
    written.settle();
    stream.forwarded();
}

#[test]
fn one_fetch_by_the_root_serves_all_who_wait() {
    let proxy = fetching(Answer::Hold);
    assert_eq!(fetches(&proxy), 0, "nobody has a session yet");
    proxy.run(modern(&lasting(), "crm_lookup")).forwarded();
    assert_eq!(fetches(&proxy), 0, "nor will anyone in the modern era");
    let token = lasting();
    let sealed = opened(&fetching(document(&[(1, 0)])), &token);
    let streams: Vec<Stream> = [
        legacy(&token, &initialize()),
        visit("POST", PATH, &token, &sealed).split_every(10).trailers(),
        visit("GET", PATH, &token, &sealed),
        visit("DELETE", PATH, &token, &sealed),
    ]
    .into_iter()
    .map(|request| proxy.run(request))
    .collect();
    proxy.advance(2 * SECOND);
    assert!(streams.iter().all(|stream| matches!(stream.outcome(), Outcome::Pending)));
    assert_eq!(fetches(&proxy), 1);
    let calls = proxy.cluster("broker").calls();
    let fetch = calls.iter().find(|call| call.path() == "/v1/session-keys").unwrap();
    assert_eq!((fetch.method(), fetch.stream, fetch.body.len()), ("GET", None, 0));
    assert_eq!(fetch.headers.text(":authority"), Some("broker.internal"));
    assert!(fetch.headers.text("authorization").unwrap().starts_with("Basic "));
    keyed(&proxy, document(&[(1, 0)]));
    proxy.settle();
    assert!(!streams[0].forwarded().headers.has(HEADER));
    for stream in &streams[1..] {
        assert_eq!(stream.forwarded().headers.text(HEADER), Some(OWN));
    }
    assert_eq!(fetches(&proxy), 1);
}

#[test]
fn a_client_that_goes_away_while_it_waits_leaves_the_fetch_to_others() {
    let proxy = fetching(Answer::Hold);
    let mut first = proxy.run(legacy(&lasting(), &initialize()));
    let second = proxy.run(legacy(&lasting(), &initialize()));
    first.abort();
    keyed(&proxy, document(&[(1, 0)]));
    proxy.settle();
    assert!(first.upstream().is_none());
    second.forwarded();
    assert_eq!(records(&proxy)[0]["reason"], "client_gone");
}

#[test]
fn without_keys_sessions_wait_for_nobody_and_everything_else_goes_on() {
    let twice = json!({ "keys": [], "next": 1 });
    for bad in [
        Answer::Refused,
        Answer::Timeout,
        Answer::Reset,
        Answer::status(200),
        Answer::status(401),
        Answer::json(200, twice),
        Answer::json(500, json!({})),
        Response::new(200).body("x".repeat(9000)).into(),
        document(&[(1, 500)]),
    ] {
        let shown = format!("{bad:?}").chars().take(100).collect::<String>();
        let proxy = fetching(bad);
        let token = lasting();
        for method in METHODS {
            let reply = denied(&proxy.run(visit(method, PATH, &token, "AAAA")), 503, "broker_unavailable");
            assert_eq!(reply.headers.text("retry-after"), Some("1"), "{shown}");
        }
        let reply = proxy.run(legacy(&token, &initialize())).reply().unwrap();
        assert_eq!(
            (reply.status, reply.headers.has(HEADER)),
            (503, false),
            "an upstream's own identifier gets out: {shown}"
        );
        proxy.upstream(|_| answered());
        assert_eq!(proxy.run(legacy(&token, &initialize())).reply().unwrap().status, 200, "{shown}");
        proxy.run(legacy(&token, &call("crm_lookup"))).forwarded();
        // Tried again in the background, until it succeeds.
        keyed(&proxy, document(&[(1, 0)]));
        proxy.upstream(|_| answered().header(HEADER, OWN));
        proxy.advance(21 * SECOND);
        opened(&proxy, &token);
    }
}

#[test]
fn a_broker_behind_no_known_cluster_is_away_and_says_so() {
    let proxy = builder(&brokered()).start();
    proxy.cluster("broker").remove();
    denied(&proxy.run(visit("POST", PATH, &lasting(), "AAAA")), 503, "broker_unavailable");
    assert!(
        proxy.log().iter().any(|line| line.level >= 4 && line.text.contains("the keys of sessions cannot be fetched"))
    );
}

#[test]
fn keys_are_renewed_in_the_background_and_an_old_session_stays_open_meanwhile() {
    let proxy = fetching(document(&[(1, 0)]));
    let token = lasting();
    let first = opened(&proxy, &token);
    // The next key is handed out before its time: a proxy that has it already opens what this one seals, and the other way.
    keyed(&proxy, document(&[(1, 0), (2, 60)]));
    proxy.advance(21 * SECOND);
    assert_eq!(fetches(&proxy), 2);
    assert_eq!(opened(&proxy, &token), first);
    proxy.advance(40 * SECOND);
    let second = opened(&proxy, &token);
    assert_ne!(second, first);
    for sealed in [&first, &second] {
        proxy.run(visit("POST", PATH, &token, sealed)).forwarded();
    }
    // The broker is away: both keys last until their ends.
    keyed(&proxy, Answer::Refused);
    proxy.advance(38 * SECOND);
    proxy.run(visit("POST", PATH, &token, &first)).forwarded();
    proxy.advance(2 * SECOND);
    foreign(&proxy, visit("POST", PATH, &token, &first));
    proxy.run(visit("POST", PATH, &token, &second)).forwarded();
    proxy.advance(60 * SECOND);
    denied(&proxy.run(visit("POST", PATH, &token, &second)), 503, "broker_unavailable");
}

#[test]
fn every_worker_fetches_for_itself_and_the_main_thread_never() {
    let proxy = started(builder(&brokered()).workers(2).main_thread());
    proxy.upstream(|_| answered().header(HEADER, OWN));
    keyed(&proxy, document(&[(1, 0)]));
    let token = lasting();
    let sealed = opened(&proxy, &token);
    let other = proxy.send_on(1, visit("POST", PATH, &token, &sealed));
    proxy.settle();
    other.forwarded();
    proxy.advance(10 * SECOND);
    let calls = proxy.cluster("broker").calls();
    let workers: Vec<usize> =
        calls.iter().filter(|call| call.path() == "/v1/session-keys").map(|call| call.worker).collect();
    assert_eq!(workers, [0, 1]);
}

#[test]
fn a_written_key_is_renewed_without_ending_sessions() {
    let (old, new) = (SESSION_KEY, "fedcba9876543210fedcba9876543210");
    let token = lasting();
    let sealed = opened(&proxy(&policy()), &token);
    let both = started(builder(&policy()).env("ACCREDIT_SESSION_KEY", &format!("{new} {old}")));
    both.upstream(|_| answered().header(HEADER, OWN));
    assert_eq!(both.run(visit("GET", PATH, &token, &sealed)).forwarded().headers.text(HEADER), Some(OWN));
    assert_ne!(opened(&both, &token), sealed);
    let log: String = both.log().iter().map(|line| line.text.clone()).collect();
    assert!(!log.contains(old) && !log.contains(new));
}
