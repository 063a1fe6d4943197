//! The exchange with the broker: what is asked, and what comes of every answer it can give.

use crate::support::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use harness::{Answer, Outcome, Proxy, Request, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::time::Duration;

fn update() -> Request {
    legacy(&token(), &call("crm_update"))
}

/// A broker that answers every exchange so, and takes every record.
fn exchanging(answer: impl Into<Answer>) -> Proxy {
    let (proxy, answer) = (start(), answer.into());
    proxy.cluster("broker").answer(move |call| match call.path() {
        "/token" => answer.clone(),
        _ => granted(call),
    });
    proxy
}

#[test]
fn the_exchange_says_which_call_the_credential_is_for() {
    let proxy = start();
    let token = token();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = legacy(&token, &call("crm_update")).header("x-request-id", "r-1").header("traceparent", parent);
    proxy.run(request).forwarded();
    let calls = proxy.cluster("broker").calls();
    let [exchange] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!((exchange.method(), exchange.path()), ("POST", "/token"));
    assert_eq!(exchange.timeout, Duration::from_millis(500));
    let header = |name| exchange.headers.text(name).unwrap();
    assert_eq!(header(":authority"), "broker.internal");
    assert_eq!(header("content-type"), "application/x-www-form-urlencoded");
    // RFC 6749 §2.3.1: both parts form-encoded before they are joined.
    let basic = STANDARD.encode("proxy%3A1:p%2Bq%2Fr+s");
    assert_eq!(header("authorization"), format!("Basic {basic}"));
    let field = |name| exchange.field(name).unwrap();
    assert_eq!(field("grant_type"), "urn:ietf:params:oauth:grant-type:token-exchange");
    assert_eq!(field("subject_token"), token);
    assert_eq!(field("subject_token_type"), "urn:ietf:params:oauth:token-type:access_token");
    assert_eq!(field("resource"), "https://gateway.example.com/crm/mcp");
    assert_eq!(field("scope"), "crm:read crm:write");
    let arguments: String = Sha256::digest(br#"{"id":"42"}"#).iter().map(|byte| format!("{byte:02x}")).collect();
    let details: Value = serde_json::from_str(&field("authorization_details")).unwrap();
    let expected = json!([{
        "type": "tool_call",
        "server": "crm",
        "tool": "crm_update",
        "credential": "crm-api",
        "arguments_digest": format!("sha-256:{arguments}"),
        "request_id": "r-1",
        "traceparent": parent,
    }]);
    assert_eq!(details, expected);
}

#[test]
fn nothing_is_asked_for_a_call_that_is_denied() {
    let proxy = start();
    denied(&proxy.run(legacy(&reader(), &call("crm_update"))), 403, "scope_missing");
    denied(&proxy.run(legacy("x.y.z", &call("crm_update"))), 401, "token_malformed");
    assert!(proxy.cluster("broker").calls().is_empty());
}

#[test]
fn a_credential_is_the_only_line_of_its_header() {
    let proxy = exchanging(minted(json!({ "x-api-key": "minted", "x-tenant": "t 1" })));
    let forged = update().header("x-api-key", "mine").header("X-Api-Key", "mine too").header("x-tenant", "mine");
    let upstream = proxy.run(forged).forwarded();
    assert_eq!(upstream.headers.all("x-api-key").collect::<Vec<_>>(), [b"minted"]);
    assert_eq!(upstream.headers.all("x-tenant").collect::<Vec<_>>(), [b"t 1"]);
    assert!(!upstream.headers.has("authorization"));
    assert_eq!(upstream.json(), call("crm_update"));
}

#[test]
fn a_broker_that_decides_against_the_call_forbids_it() {
    for (status, code) in [(400, "invalid_target"), (403, "access_denied"), (400, "\"><script>")] {
        let proxy = exchanging(Answer::json(status, json!({ "error": code, "error_description": "for the log" })));
        let mut body = call("crm_update");
        body["id"] = json!("an id");
        let reply = denied(&proxy.run(legacy(&token(), &body)), 403, "credential_refused");
        assert_eq!(reply.json()["id"], "an id");
        assert!(!reply.text().contains(code) && !reply.text().contains("for the log"));
    }
}

#[test]
fn every_answer_that_is_no_credential_is_a_broker_that_is_away() {
    let json = |body: Vec<u8>| Response::new(200).header("content-type", "application/json").body(body);
    let sound = credential(json!({ "authorization": "Bearer minted" }));
    let mut large = sound.clone();
    large["padding"] = json!("x".repeat(64 * 1024));
    let mut huge = sound.clone();
    huge["padding"] = json!("x".repeat(256 * 1024));
    let without = |name: &str| {
        let mut answer = sound.clone();
        answer.as_object_mut().unwrap().remove(name);
        json(answer.to_string().into_bytes())
    };
    let mut answers = vec![
        Answer::Refused,
        Answer::Timeout,
        Answer::Reset,
        Answer::status(500),
        Answer::status(204),
        Answer::json(500, sound.clone()),
        Answer::json(201, sound.clone()),
        Answer::json(302, sound.clone()),
        Answer::json(401, json!({ "error": "invalid_client" })),
        Answer::json(503, json!({ "error": "temporarily_unavailable" })),
        Answer::json(200, large),
        Answer::json(200, huge),
        Answer::json(200, json!([])),
        Answer::json(200, json!({})),
        Response::new(200).header("content-type", "text/html").body(sound.to_string()).into(),
        Response::new(200).body(sound.to_string()).into(),
        Response::new(400).header("content-type", "text/plain").body("no").into(),
        json(Vec::new()).into(),
        json(b"{".to_vec()).into(),
        json(b"\xff\xfe".to_vec()).into(),
        json(format!("{sound}{sound}").into_bytes()).into(),
        json(sound.to_string().replacen('{', "{\"headers\":{\"authorization\":\"x\"},", 1).into_bytes()).into(),
    ];
    answers.extend(["lease_id", "headers", "expires_in", "access_token"].map(|name| without(name).into()));
    for answer in answers {
        let shown = format!("{answer:?}").chars().take(200).collect::<String>();
        let proxy = exchanging(answer);
        let stream = proxy.run(update());
        let reply = denied(&stream, 503, "broker_unavailable");
        assert_eq!(reply.headers.text("retry-after"), Some("1"), "{shown}");
        assert_eq!(reply.json()["error"]["code"], -31003, "{shown}");
    }
}

#[test]
fn a_broker_sets_no_header_that_frames_routes_or_ends_the_request() {
    for (name, value) in [
        ("authorization", "Bearer x\r\nx-evil: 1"),
        ("authorization", "Bearer x\nGET / HTTP/1.1"),
        ("authorization", "Bearer \u{0}"),
        ("authorization", "Bearer \u{e9}"),
        ("authorization", ""),
        ("Authorization", "x"),
        ("a\r\nx-evil", "1"),
        ("a b", "1"),
        ("a:", "1"),
        ("", "1"),
        (":path", "/admin"),
        (":authority", "evil"),
        ("host", "evil"),
        ("content-length", "0"),
        ("content-type", "text/plain"),
        ("transfer-encoding", "chunked"),
        ("connection", "upgrade"),
        ("upgrade", "h2c"),
        ("te", "trailers"),
        ("expect", "100-continue"),
        ("x-envoy-original-dst-host", "10.0.0.1"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-accredit-agent", "root"),
        ("mcp-name", "crm_delete"),
        ("mcp-session-id", "other"),
    ] {
        let proxy = exchanging(minted(json!({ "x-sound": "1", name: value })));
        denied(&proxy.run(update()), 503, "broker_unavailable");
    }
    for headers in [json!({}), json!([]), json!({ "a": 1 }), json!({ "a": ["b"] })] {
        let proxy = exchanging(minted(headers));
        denied(&proxy.run(update()), 503, "broker_unavailable");
    }
}

#[test]
fn a_broker_that_does_not_answer_in_time_is_away() {
    let proxy = start();
    proxy.cluster("broker").hold();
    let stream = proxy.run(update());
    proxy.advance(Duration::from_millis(499));
    assert!(matches!(stream.outcome(), Outcome::Pending));
    proxy.advance(Duration::from_millis(1));
    denied(&stream, 503, "broker_unavailable");
}

#[test]
fn a_cluster_envoy_does_not_know_denies_the_call() {
    let proxy = builder(&policy()).start();
    proxy.cluster("broker").remove();
    proxy.upstream(|_| answered());
    let stream = proxy.run(update());
    denied(&stream, 503, "host_failed");
    assert!(proxy.log().iter().any(|line| line.level >= 3 && line.text.contains("broker.cluster")));
    proxy.run(legacy(&token(), &call("crm_lookup"))).forwarded();
}

#[test]
fn an_answer_for_a_client_that_left_is_for_nobody() {
    let proxy = start();
    proxy.cluster("broker").hold();
    let (mut gone, stays) = (proxy.send(update()), proxy.send(update()));
    let [first, second] = &proxy.waiting()[..] else { panic!("each call asks for itself") };
    gone.abort();
    proxy.answer(first.id, minted(json!({ "authorization": "Bearer one" })));
    assert!(gone.upstream().is_none() && stays.upstream().is_none());
    proxy.answer(second.id, minted(json!({ "authorization": "Bearer two" })));
    assert!(gone.upstream().is_none());
    assert_eq!(stays.forwarded().headers.text("authorization"), Some("Bearer two"));
    proxy.cluster("broker").answer(granted);
}

#[test]
fn answers_in_another_order_find_their_own_calls() {
    let proxy = start();
    proxy.cluster("broker").hold();
    let streams: Vec<_> = (0..4).map(|_| proxy.send(update())).collect();
    let calls = proxy.waiting();
    for place in [2, 0, 3, 1] {
        assert_eq!(calls[place].stream, Some(streams[place].id()));
        proxy.answer(calls[place].id, minted(json!({ "authorization": format!("Bearer {place}") })));
    }
    for (place, stream) in streams.iter().enumerate() {
        assert_eq!(stream.forwarded().headers.text("authorization"), Some(&*format!("Bearer {place}")));
    }
    proxy.cluster("broker").answer(granted);
}

#[test]
fn the_same_call_twice_is_minted_for_twice() {
    let proxy = start();
    for _ in 0..2 {
        proxy.run(update()).forwarded();
    }
    assert_eq!(proxy.cluster("broker").calls().len(), 2);
}
