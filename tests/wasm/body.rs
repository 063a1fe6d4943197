//! Bodies in all the pieces they come in: judged whole, forwarded byte for byte, never before the decision.

use crate::support::*;
use harness::{End, Headers, Outcome, Proxy, Request, Stream};
use serde_json::json;
use std::time::Duration;

/// A call that needs a credential, with white space and escapes that any rewriting would lose.
const BODY: &str = concat!(
    " {\"id\" : \"\\u00e9\",\n\"params\":{\"arguments\":{\"b\":1e0,\"a\":\"\\/\"},",
    "\"name\":\"crm_\\u0075pdate\"}, \"method\":\"tools/call\" ,\"jsonrpc\":\"2.0\"}\r\n"
);

fn head(token: &str) -> Headers {
    Headers::of([
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "gateway.example.com"),
        (":path", PATH),
        ("content-type", "application/json"),
        ("authorization", &format!("Bearer {token}")),
    ])
}

/// A stream whose headers have come and whose body has not.
fn opened(proxy: &Proxy, token: &str) -> Stream {
    let head = head(token);
    let pairs: Vec<(&str, &str)> =
        head.iter().map(|(name, value)| (name, std::str::from_utf8(value).unwrap())).collect();
    let mut stream = proxy.open();
    stream.headers(&pairs, End::No);
    stream
}

#[track_caller]
fn whole(stream: &Stream) {
    let upstream = stream.forwarded();
    assert_eq!(String::from_utf8_lossy(&upstream.body), BODY);
    assert!(upstream.complete);
    assert_eq!(upstream.headers.all("authorization").collect::<Vec<_>>(), [b"Bearer minted"]);
}

#[test]
fn a_body_cut_anywhere_is_judged_whole_and_forwarded_byte_for_byte() {
    let proxy = start();
    let token = token();
    for cut in 0..=BODY.len() {
        let mut stream = opened(&proxy, &token);
        stream.body(&BODY[..cut], End::No);
        assert!(matches!(stream.outcome(), Outcome::Pending));
        stream.body(&BODY[cut..], End::Yes);
        assert!(matches!(stream.outcome(), Outcome::Pending), "nothing moves before the broker has answered");
        proxy.settle();
        whole(&stream);
    }
}

#[test]
fn a_body_may_come_byte_by_byte_and_end_in_any_way() {
    let proxy = start();
    let whole_body = raw(&token(), BODY);
    for size in [1, 2, 7, BODY.len()] {
        for request in [whole_body.clone(), whole_body.clone().http1(), whole_body.clone().trailers()] {
            let trailing = proxy.run(request.clone().trailers().split_every(size));
            whole(&trailing);
            assert!(trailing.forwarded().trailers.is_some());
            whole(&proxy.run(request.split_every(size)));
        }
    }
}

#[test]
fn trailers_end_a_body_no_frame_of_which_was_the_last() {
    let proxy = start();
    for tool in ["crm_delete", "report_daily"] {
        let request = legacy(&reader(), &call(tool)).trailers();
        let reason = if tool == "crm_delete" { "tool_unknown" } else { "scope_missing" };
        denied(&proxy.run(request.clone()), 403, reason);
        denied(&proxy.run(request.split_every(1)), 403, reason);
    }
    let mut bodiless = opened(&proxy, &token());
    bodiless.trailers(&[("x-trailer", "1")]);
    denied(&bodiless, 400, "request_malformed");
    let mut session = opened(&proxy, "x.y.z");
    session.trailers(&[("x-trailer", "1")]).finish();
    denied(&session, 401, "token_malformed");
}

#[test]
fn nothing_moves_while_the_broker_is_asked() {
    let proxy = start();
    proxy.cluster("broker").hold();
    // Frames and trailers that come late: a callback that lets them through would let the headers through, too.
    let mut stream = opened(&proxy, &token());
    stream.body(BODY, End::No);
    assert!(proxy.waiting().is_empty(), "nothing is minted for a body that may go on");
    stream.trailers(&[("x-trailer", "1")]);
    assert_eq!(proxy.waiting().len(), 1);
    assert!(matches!(stream.outcome(), Outcome::Pending));
    proxy.cluster("broker").answer(granted);
    proxy.settle();
    whole(&stream);
    assert_eq!(stream.forwarded().trailers.unwrap().text("x-trailer"), Some("1"));
}

fn sized(size: usize) -> String {
    let empty = message("tools/call", json!({ "name": "crm_lookup", "arguments": { "x": "" } })).to_string();
    empty.replace("\"x\":\"\"", &format!("\"x\":\"{}\"", "a".repeat(size - empty.len())))
}

#[test]
fn a_body_may_have_the_limits_size_and_not_a_byte_more() {
    let proxy = start();
    for frames in [1, 100, 4096] {
        let fits = raw(&token(), sized(4096)).split_every(frames);
        assert_eq!(proxy.run(fits.clone().http1()).forwarded().body.len(), 4096);
        assert_eq!(proxy.run(fits.trailers()).forwarded().body.len(), 4096);
        let over = raw(&token(), sized(4097)).split_every(frames);
        let reply = denied(&proxy.run(over.clone()), 413, "request_too_large");
        assert_eq!(reply.json()["error"]["code"], -32600);
        denied(&proxy.run(over.trailers()), 413, "request_too_large");
    }
    let mut endless = opened(&proxy, &token());
    endless.body(vec![b' '; 4097], End::No);
    denied(&endless, 413, "request_too_large");
}

#[test]
fn a_body_above_envoys_own_buffer_is_refused_by_envoy() {
    let wide = changed(policy(), "/servers/crm/limits", json!({ "request": "16MiB" }));
    let proxy = started(builder(&wide).buffer_limit(10_000));
    proxy.run(raw(&token(), sized(10_000)).split_every(3000)).forwarded();
    let over = proxy.run(raw(&token(), sized(10_001)).split_every(3000));
    assert_eq!((over.replied().status, over.replied().text()), (413, "Payload Too Large"));
    assert!(over.upstream().is_none() && over.over());
    assert_eq!(records(&proxy).len(), 2);
}

fn waiting_for_keys() -> Proxy {
    let proxy = started(builder(&remote()));
    proxy.cluster("idp").hold();
    proxy
}

#[test]
fn a_body_that_grows_while_keys_are_awaited_is_held_and_bounded() {
    let proxy = waiting_for_keys();
    let lookup = call("crm_lookup").to_string();
    let (first, rest) = lookup.split_at(20);
    let (mut early, mut late, mut over) =
        (opened(&proxy, &token()), opened(&proxy, &token()), opened(&proxy, &token()));
    early.body(first, End::No).body(rest, End::No).trailers(&[("x-trailer", "1")]);
    late.body(first, End::No);
    over.body(vec![b' '; 4096], End::No).body(" ", End::No);
    denied(&over, 413, "request_too_large");
    for stream in [&early, &late] {
        assert!(matches!(stream.outcome(), Outcome::Pending));
    }
    proxy.cluster("idp").always(harness::Answer::json(200, issuer().jwks()));
    proxy.settle();
    assert_eq!(early.forwarded().body, lookup.as_bytes());
    assert!(matches!(late.outcome(), Outcome::Pending), "its body has not ended");
    late.body(rest, End::Yes);
    assert_eq!(late.forwarded().body, lookup.as_bytes());
}

/// A client that leaves at every point of a request, and what would have gone upstream if it had stayed.
#[test]
fn a_client_that_leaves_takes_its_request_along() {
    let left = |proxy: &Proxy, mut stream: Stream| {
        stream.abort();
        proxy.cluster("idp").always(harness::Answer::json(200, issuer().jwks()));
        proxy.cluster("broker").answer(granted);
        proxy.settle();
        assert!(matches!(stream.outcome(), Outcome::Aborted));
        assert!(stream.upstream().is_none() && stream.over());
        let records = records(proxy);
        assert_eq!(records.len(), 1);
        assert_eq!((&records[0]["decision"], &records[0]["reason"]), (&json!("deny"), &json!("client_gone")));
    };
    let proxy = start();
    let mut half = opened(&proxy, &token());
    half.body(&BODY[..50], End::No);
    left(&proxy, half);

    let proxy = start();
    proxy.cluster("broker").hold();
    let minting = proxy.send(raw(&token(), BODY));
    assert_eq!(proxy.waiting().len(), 1);
    left(&proxy, minting);

    let proxy = waiting_for_keys();
    let keys = proxy.send(raw(&token(), call("crm_lookup").to_string()));
    proxy.settle();
    assert_eq!(proxy.waiting().len(), 1);
    left(&proxy, keys);

    let proxy = waiting_for_keys();
    let mut both = opened(&proxy, &token());
    both.body(&BODY[..50], End::No);
    proxy.settle();
    proxy.answer(proxy.waiting()[0].id, harness::Answer::json(200, issuer().jwks()));
    both.body(&BODY[50..], End::Yes);
    proxy.advance(Duration::from_millis(1));
    left(&proxy, both);
}

#[test]
fn without_the_listeners_flag_a_body_is_never_seen_and_never_let_through() {
    let proxy = started(builder(&policy()).stop_all_on_headers());
    let stream = proxy.run(raw(&token(), call("crm_lookup").to_string()));
    assert!(matches!(stream.outcome(), Outcome::Pending));
    proxy.run(Request::fetch(PATH).bearer(&token())).forwarded();
}
