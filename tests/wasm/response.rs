//! The way back: what the upstream's answer is allowed to say.

use crate::support::*;
use harness::{Answer, End, Proxy, Request, Response};
use serde_json::json;

fn answering(response: Response) -> Proxy {
    let proxy = start();
    proxy.upstream(move |_| response.clone());
    proxy
}

fn challenged(status: u16) -> Response {
    let response = Response::json(status, &json!({ "upstream": "secret" }));
    response.header("www-authenticate", "Bearer resource_metadata=\"https://upstream.internal\"").header("x-kept", "1")
}

#[test]
fn an_upstream_that_refuses_our_credential_is_a_bad_gateway() {
    for status in [401, 403] {
        let proxy = answering(challenged(status));
        let stream = proxy.run(legacy(&token(), &call("crm_update")));
        let reply = stream.replied();
        assert_eq!((reply.status, reply.challenge()), (502, ""));
        assert_eq!(reply.json()["error"]["data"]["reason"], "upstream_refused");
        assert_eq!(reply.json()["error"]["code"], -31004);
        assert!(!reply.headers.has("x-kept") && !reply.text().contains("secret"));
        assert!(stream.over());
        let records = records(&proxy);
        assert_eq!(records.len(), 1);
        assert_eq!(records[0]["decision"], "deny");
        assert_eq!(records[0]["reason"], "upstream_refused");
        assert_eq!(records[0]["upstream"]["status"], status);
        assert_eq!(records[0]["credential"]["lease"], "lease-1");
    }
}

#[test]
fn an_upstream_that_asks_for_a_token_gets_none_and_its_challenge_goes_no_further() {
    let proxy = answering(challenged(401));
    for request in [legacy(&token(), &call("crm_lookup")), Request::fetch(PATH).bearer(&token())] {
        let reply = proxy.run(request).replied();
        assert_eq!((reply.status, reply.challenge()), (502, ""));
    }
    let proxy = answering(challenged(403));
    let reply = proxy.run(legacy(&token(), &call("crm_lookup"))).reply().unwrap();
    assert_eq!((reply.status, reply.challenge()), (403, ""), "without a credential of ours it is the upstream's word");
    assert_eq!(reply.headers.text("x-kept"), Some("1"));
}

#[test]
fn every_other_answer_passes_and_loses_its_challenge() {
    for status in [200, 202, 204, 302, 400, 404, 405, 407, 409, 429, 500, 502, 503] {
        for tool in ["crm_lookup", "crm_update"] {
            let twice = challenged(status).header("WWW-Authenticate", "Basic realm=\"x\"");
            let proxy = answering(twice);
            let stream = proxy.run(legacy(&token(), &call(tool)));
            stream.forwarded();
            let reply = stream.reply().unwrap();
            assert_eq!((reply.status, reply.headers.text("x-kept")), (status, Some("1")));
            assert!(!reply.headers.has("www-authenticate"));
            assert_eq!(reply.json(), json!({ "upstream": "secret" }));
            let records = records(&proxy);
            assert_eq!(records.len(), 1);
            assert_eq!(
                (&records[0]["decision"], &records[0]["upstream"]["status"]),
                (&json!("permit"), &json!(status))
            );
        }
    }
}

#[test]
fn events_stream_through_as_they_come() {
    let frames = ["id: 1\ndata: {\"a\"", ":1}\n\n", ": comment\n\n", "\u{e9}", "data: [DONE]\r\n\r\n"];
    let proxy = answering(Response::events(frames));
    for request in [legacy(&token(), &call("crm_update")), Request::fetch(PATH).bearer(&token())] {
        let reply = proxy.run(request).reply().unwrap();
        assert_eq!(reply.chunks, frames.map(|frame| frame.as_bytes().to_vec()));
        assert_eq!(reply.headers.text("content-type"), Some("text/event-stream"));
    }

    let proxy = builder(&policy()).start();
    proxy.cluster("broker").answer(granted);
    let mut stream = proxy.run(legacy(&token(), &call("crm_lookup")));
    stream.respond_headers(&[(":status", "200"), ("content-type", "text/event-stream")], End::No);
    for (place, frame) in frames.iter().enumerate() {
        stream.respond_body(frame, End::No);
        assert_eq!(stream.reply().unwrap().chunks.len(), place + 1, "a frame is never held");
        proxy.advance(std::time::Duration::from_secs(2));
    }
    assert!(records(&proxy).is_empty(), "the outcome is not known yet");
    stream.respond_body("", End::Yes);
    assert!(stream.over());
    let records = records(&proxy);
    assert_eq!((records.len(), &records[0]["upstream"]["duration_ms"]), (1, &json!(11_000)));
}

#[test]
fn trailers_and_interim_lengths_of_an_answer_are_kept() {
    let mut response = Response::new(200).header("content-type", "application/json").body("{\"a\":1}").split_every(3);
    response.trailers = Some(harness::Headers::of([("x-checksum", "1")]));
    let proxy = answering(response);
    let reply = proxy.run(legacy(&token(), &call("crm_lookup"))).reply().unwrap();
    assert_eq!((reply.text(), reply.headers.text("content-length")), ("{\"a\":1}", Some("7")));
    assert_eq!(reply.trailers.unwrap().text("x-checksum"), Some("1"));
}

#[test]
fn the_filters_own_reply_is_neither_judged_nor_recorded_twice() {
    let proxy = start();
    // These pass the response callbacks with a status and a challenge that would be the upstream's sin.
    let requests = [
        (401, Request::post(PATH)),
        (403, legacy(&reader(), &call("crm_update"))),
        (400, raw(&token(), "{")),
        (413, raw(&token(), " ".repeat(5000))),
        (403, Request::post("/nowhere")),
    ];
    for (status, request) in &requests {
        assert_eq!(proxy.run(request.clone()).replied().status, *status);
    }
    proxy.cluster("broker").answer(|call| match call.path() {
        "/token" => Answer::Refused,
        _ => granted(call),
    });
    denied(&proxy.run(legacy(&token(), &call("crm_update"))), 503, "broker_unavailable");
    let records = records(&proxy);
    assert_eq!(records.len(), requests.len() + 1);
    let metrics = proxy.metrics();
    let decisions = metrics.iter().filter(|(name, _)| name.starts_with("accredit.decisions."));
    let counted: u64 = decisions.map(|(_, count)| count).sum();
    assert_eq!(counted, records.len() as u64, "{:?}", proxy.metrics());
}
