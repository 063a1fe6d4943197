//! A stream from its headers to its end, without a proxy.

use serde_json::{Value, json};

use super::*;
use crate::outbox::Word;
use crate::testing::{NOW, claims, gate, token};
use crate::wire::exchange::Response;

const LOOKUP: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"crm_lookup","arguments":{}}}"#;
const UPDATE: &str =
    r#"{"jsonrpc":"2.0","id":"u","method":"tools/call","params":{"name":"crm_update","arguments":{}}}"#;

fn headers(method: &str, extra: &[(&str, &str)]) -> Headers {
    let authorization = format!("Bearer {}", token(&claims()));
    headers_with(method, &authorization, extra)
}

fn headers_with(method: &str, authorization: &str, extra: &[(&str, &str)]) -> Headers {
    let fixed = [
        (":method", method),
        (":authority", "gateway.example.test"),
        (":path", "/crm/mcp?x=1"),
        ("content-type", "application/json"),
        ("authorization", authorization),
    ];
    let all = fixed.iter().chain(extra).filter(|(_, value)| !value.is_empty());
    Headers::new(all.map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())))
}

/// A stream and the gate it goes through.
struct Ride {
    stream: Stream,
    gate: Gate,
}

impl Ride {
    fn new() -> Self {
        Self { stream: Stream::default(), gate: gate() }
    }

    fn of(policy: &Value) -> Self {
        let mut gate = gate();
        gate.policy = crate::config::parse(policy.to_string().as_bytes()).unwrap();
        Self { stream: Stream::default(), gate }
    }

    fn feed(&mut self, input: Input<'_>) -> Vec<Effect> {
        self.stream.handle(input, &mut self.gate, NOW)
    }

    fn open(&mut self, headers: Headers, last: bool) -> Vec<Effect> {
        self.feed(Input::Headers { headers, last, random: [7; 16] })
    }

    /// Sends a whole POST with `body`.
    fn post(&mut self, body: &str) -> Vec<Effect> {
        assert_eq!(self.open(headers("POST", &[]), false), []);
        assert_eq!(self.feed(Input::Grown { size: body.len(), last: true }), [Effect::ReadBody(body.len())]);
        self.feed(Input::Body(Some(body.as_bytes())))
    }

    fn records(&mut self) -> Vec<Value> {
        let batch = self.gate.outbox.batch(NOW).map_or(r#"{"records":[]}"#.into(), |batch| batch.body);
        serde_json::from_str::<Value>(&batch).unwrap()["records"].as_array().unwrap().clone()
    }
}

fn reply(effects: &[Effect]) -> (u16, Value) {
    let replies: Vec<_> = effects
        .iter()
        .filter_map(|effect| if let Effect::Reply(reply) = effect { Some(reply) } else { None })
        .collect();
    let [reply] = &replies[..] else { panic!("{effects:?}") };
    (reply.status, serde_json::from_str(&reply.body).unwrap())
}

fn forwarded(effects: &[Effect]) -> Option<&Edits> {
    effects.iter().find_map(|effect| if let Effect::Forward(edits) = effect { Some(edits) } else { None })
}

/// The upstream's answer with this status and no body.
fn answered(status: u16) -> Input<'static> {
    let headers = Headers::new([(":status".to_owned(), status.to_string().into_bytes())]);
    Input::Answered { headers, last: true }
}

#[test]
fn nothing_moves_before_the_decision() {
    let mut ride = Ride::new();
    ride.open(headers("POST", &[("x-accredit-agent", "root"), ("mcp-name", "other"), ("dpop", "p")]), false);
    assert!(ride.stream.holds());
    for size in [1, 10, LOOKUP.len()] {
        assert_eq!(ride.feed(Input::Grown { size, last: false }), []);
        assert!(ride.stream.holds());
    }
    assert_eq!(ride.feed(Input::Trailers), [Effect::ReadBody(LOOKUP.len())]);
    assert!(ride.stream.holds());
    let effects = ride.feed(Input::Body(Some(LOOKUP.as_bytes())));
    let edits = forwarded(&effects).unwrap();
    assert_eq!(edits.remove, ["authorization", "x-accredit-agent", "mcp-name", "dpop"]);
    assert!(edits.set.is_empty() && !ride.stream.holds());
}

#[test]
fn a_credential_is_minted_before_the_request_moves() {
    let mut ride = Ride::new();
    let mut grown = claims();
    grown["scope"] = json!("crm:read crm:write");
    let authorization = format!("Bearer {}", token(&grown));
    ride.open(headers_with("POST", &authorization, &[("x-api-key", "mine")]), false);
    ride.feed(Input::Grown { size: UPDATE.len(), last: true });
    let effects = ride.feed(Input::Body(Some(UPDATE.as_bytes())));
    let [Effect::Post(post)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(post.cluster, "broker");
    assert!(post.body.reveal().contains("scope=crm%3Aread+crm%3Awrite"));
    assert!(ride.stream.holds());
    let answer = json!({
        "access_token": "t", "issued_token_type": "x", "token_type": "Bearer", "expires_in": 60, "scope": "s",
        "lease_id": "lease-1", "headers": { "x-api-key": "minted" },
    });
    let answer = answer.to_string();
    let response = Response { status: Some(200), content_type: Some("application/json"), body: answer.as_bytes() };
    let effects = ride.feed(Input::Minted(response));
    let edits = forwarded(&effects).unwrap();
    assert_eq!(edits.remove, ["authorization", "x-api-key"]);
    assert_eq!(edits.set, [("x-api-key".to_owned(), Secret::new("minted"))]);
    ride.feed(answered(200));
    ride.feed(Input::Closed { bytes: Some(9) });
    let records = ride.records();
    let [record] = &records[..] else { panic!("{records:?}") };
    assert_eq!(record["kind"], "outcome");
    assert_eq!(record["credential"]["lease"], "lease-1");
    assert_eq!((&record["upstream"]["status"], &record["upstream"]["bytes"]), (&json!(200), &json!(9)));
    assert!(!record.to_string().contains("minted"));
}

/// A ride up to the broker's answer to `body`; what went to the broker.
fn asked(ride: &mut Ride, body: &str) -> Option<String> {
    ride.stream = Stream::default();
    let mut grown = claims();
    grown["scope"] = json!("crm:read crm:write");
    ride.open(headers_with("POST", &format!("Bearer {}", token(&grown)), &[]), false);
    ride.feed(Input::Grown { size: body.len(), last: true });
    match &ride.feed(Input::Body(Some(body.as_bytes())))[..] {
        [Effect::Post(post)] => Some(post.body.reveal().to_owned()),
        effects => forwarded(effects).map(|_| None).unwrap(),
    }
}

fn minted(ride: &mut Ride, reuse: u64) {
    let answer = json!({
        "access_token": "t", "issued_token_type": "x", "token_type": "Bearer", "expires_in": 60, "scope": "s",
        "lease_id": "lease-1", "headers": { "x-api-key": "minted" }, "reuse": reuse,
    });
    let answer = answer.to_string();
    let response = Response { status: Some(200), content_type: Some("application/json"), body: answer.as_bytes() };
    forwarded(&ride.feed(Input::Minted(response))).unwrap();
}

#[test]
fn a_credential_is_used_again_where_the_broker_says_so_until_the_upstream_refuses_it() {
    let mut ride = Ride::new();
    assert!(asked(&mut ride, UPDATE).is_some());
    minted(&mut ride, 0);
    assert!(asked(&mut ride, UPDATE).is_some(), "the broker has not said so");
    minted(&mut ride, 30);
    assert!(asked(&mut ride, UPDATE).is_none());
    ride.feed(answered(403));
    assert!(asked(&mut ride, UPDATE).is_some(), "the upstream has refused it");
}

#[test]
fn only_arguments_the_rule_names_go_to_the_broker() {
    let mut policy = crate::testing::policy_json();
    policy["servers"]["crm"]["tools"]["crm_update"]["credential_arguments"] = json!(["id"]);
    let mut ride = Ride::of(&policy);
    let body = |arguments: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":"u","method":"tools/call","params":{{"name":"crm_update","arguments":{arguments}}}}}"#
        )
    };
    let form = asked(&mut ride, &body(r#"{"id":"1001","secret":"s3cret"}"#)).unwrap();
    assert!(form.contains("1001") && !form.contains("s3cret"), "{form}");
    for bad in [r#"{"id":{"a":1}}"#, r#"{"Id":"1","id":"2"}"#, &format!(r#"{{"id":"{}"}}"#, "x".repeat(257))] {
        let mut ride = Ride::of(&policy);
        let mut grown = claims();
        grown["scope"] = json!("crm:read crm:write");
        ride.open(headers_with("POST", &format!("Bearer {}", token(&grown)), &[]), false);
        let bad = body(bad);
        ride.feed(Input::Grown { size: bad.len(), last: true });
        let effects = ride.feed(Input::Body(Some(bad.as_bytes())));
        assert_eq!(reply(&effects).1["error"]["data"]["reason"], "condition_error", "{bad}");
    }
}

#[test]
fn a_missing_scope_names_all_that_are_needed_and_echoes_the_id() {
    let mut ride = Ride::new();
    let effects = ride.post(UPDATE);
    let (status, body) = reply(&effects);
    assert_eq!((status, &body["id"]), (403, &json!("u")));
    assert_eq!(body["error"]["data"]["required_scopes"], json!(["crm:read", "crm:write"]));
    let Some(Effect::Reply(reply)) = effects.last() else { panic!() };
    let challenge = reply.headers.iter().find(|(name, _)| *name == "www-authenticate").unwrap();
    assert_eq!(
        challenge.1,
        "Bearer error=\"insufficient_scope\", scope=\"crm:read crm:write\", resource_metadata=\
         \"https://gateway.example.test/.well-known/oauth-protected-resource/crm/mcp\""
    );
    assert!(ride.stream.holds());
}

#[test]
fn denials_follow_the_table() {
    let sound = format!("Bearer {}", token(&claims()));
    for (status, reason, headers) in [
        (401, "token_missing", headers_with("POST", "", &[])),
        (401, "token_missing", headers_with("POST", "Basic YTpi", &[])),
        (401, "token_malformed", headers_with("POST", "Bearer x", &[])),
        (400, "request_malformed", headers_with("POST", &sound, &[("authorization", "Bearer x")])),
        (403, "method_unknown", headers_with("PUT", &sound, &[])),
        (400, "request_malformed", headers_with("POST", &sound, &[("upgrade", "websocket")])),
        (400, "request_malformed", headers_with("POST", &sound, &[("content-encoding", "gzip")])),
        (400, "request_malformed", headers_with("POST", &sound, &[("content-type", "application/json")])),
        (400, "request_malformed", headers_with("GET", &sound, &[])),
    ] {
        let mut ride = Ride::new();
        let effects = ride.open(headers, false);
        let (got, body) = reply(&effects);
        assert_eq!((got, body["error"]["data"]["reason"].as_str()), (status, Some(reason)));
        assert_eq!(ride.feed(answered(got)), []);
        assert_eq!(ride.feed(Input::Closed { bytes: None }), []);
        assert!(ride.stream.holds());
        assert_eq!(ride.records().len(), 1);
    }
}

#[test]
fn a_host_or_path_of_no_server_is_denied() {
    for path in ["/", "/crm/mcp/", "/crm", "/crm/mcp/../mcp", "/CRM/MCP"] {
        let pairs = [(":method", "POST"), (":authority", "gateway.example.test"), (":path", path)];
        let headers = Headers::new(pairs.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())));
        let (status, body) = reply(&Ride::new().open(headers, true));
        assert_eq!((status, &body["error"]["data"]["reason"]), (403, &json!("server_unmatched")), "{path}");
    }
}

#[test]
fn a_body_over_the_limit_is_denied_while_it_grows() {
    let mut ride = Ride::new();
    ride.open(headers("POST", &[]), false);
    assert_eq!(ride.feed(Input::Grown { size: 4096, last: false }), []);
    assert_eq!(reply(&ride.feed(Input::Grown { size: 4097, last: false })).0, 413);
}

#[test]
fn a_body_that_is_not_the_whole_one_is_not_judged() {
    for body in [None, Some(&LOOKUP.as_bytes()[..10])] {
        let mut ride = Ride::new();
        ride.open(headers("POST", &[]), false);
        ride.feed(Input::Grown { size: LOOKUP.len(), last: true });
        assert_eq!(reply(&ride.feed(Input::Body(body))).0, 503);
    }
}

#[test]
fn a_post_without_a_body_is_malformed() {
    let mut ride = Ride::new();
    assert_eq!(ride.open(headers("POST", &[]), true), [Effect::ReadBody(0)]);
    assert_eq!(reply(&ride.feed(Input::Body(Some(b"")))).0, 400);
}

#[test]
fn broker_trouble_never_forwards() {
    let json = Some("application/json");
    for (expected, status, content_type, body) in [
        (503, None, None, ""),
        (503, Some(503), Some("text/plain"), "upstream connect error"),
        (503, Some(200), Some("text/plain"), "{}"),
        (503, Some(401), json, r#"{"error":"invalid_client"}"#),
        (403, Some(400), json, r#"{"error":"invalid_target"}"#),
    ] {
        let mut ride = Ride::new();
        let mut grown = claims();
        grown["scope"] = json!("crm:read crm:write");
        ride.open(headers_with("POST", &format!("bearer {}", token(&grown)), &[]), false);
        ride.feed(Input::Grown { size: UPDATE.len(), last: true });
        ride.feed(Input::Body(Some(UPDATE.as_bytes())));
        let effects = ride.feed(Input::Minted(Response { status, content_type, body: body.as_bytes() }));
        let (got, reply) = reply(&effects);
        assert_eq!((got, &reply["id"]), (expected, &json!("u")));
        assert!(forwarded(&effects).is_none() && ride.stream.holds());
    }
}

#[test]
fn a_session_is_opened_and_closed_with_any_sound_token() {
    for method in ["GET", "DELETE"] {
        let mut ride = Ride::new();
        assert!(forwarded(&ride.open(headers(method, &[]), true)).is_some());
    }
}

#[test]
fn an_upstream_that_refuses_is_not_relayed() {
    let mut ride = Ride::new();
    ride.post(LOOKUP);
    assert_eq!(reply(&ride.feed(answered(401))).0, 502);
    ride.feed(Input::Closed { bytes: None });
    let records = ride.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["reason"], "upstream_refused");
}

#[test]
fn calls_stop_while_records_do_not_arrive() {
    let mut ride = Ride::new();
    ride.gate.outbox.push(&Record::default());
    let batch = ride.gate.outbox.batch(NOW).unwrap();
    ride.gate.outbox.settled(batch.number, Word::Failed, NOW);
    let (status, body) = reply(&ride.post(LOOKUP));
    assert_eq!((status, &body["error"]["data"]["reason"]), (503, &json!("audit_unavailable")));
}

#[test]
fn a_client_that_goes_away_is_on_the_record_once() {
    let mut ride = Ride::new();
    ride.open(headers("POST", &[]), false);
    ride.feed(Input::Closed { bytes: None });
    assert_eq!(ride.feed(Input::Body(Some(LOOKUP.as_bytes()))), []);
    let records = ride.records();
    assert_eq!((records.len(), &records[0]["reason"]), (1, &json!("client_gone")));
}

#[test]
fn an_effect_that_fails_denies() {
    let mut ride = Ride::new();
    ride.post(LOOKUP);
    assert_eq!(reply(&ride.feed(Input::Failed("the headers could not be changed"))).0, 503);
    assert!(ride.stream.holds());
}

#[test]
fn the_resource_describes_itself() {
    for path in ["/.well-known/oauth-protected-resource/crm/mcp", "/.well-known/oauth-protected-resource"] {
        let pairs = [(":method", "GET"), (":authority", "gateway.example.test"), (":path", path)];
        let headers = Headers::new(pairs.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())));
        let mut ride = Ride::new();
        let (status, body) = reply(&ride.open(headers, true));
        assert_eq!((status, &body["resource"]), (200, &json!(crate::testing::RESOURCE)));
        assert_eq!(body["authorization_servers"], json!([crate::testing::ISSUER]));
        ride.feed(Input::Closed { bytes: None });
        assert_eq!(ride.records().len(), 0);
    }
}

#[test]
fn a_broker_that_cannot_be_asked_denies_with_the_id() {
    let mut ride = Ride::new();
    let mut grown = claims();
    grown["scope"] = json!("crm:read crm:write");
    ride.open(headers_with("POST", &format!("Bearer {}", token(&grown)), &[]), false);
    ride.feed(Input::Grown { size: UPDATE.len(), last: true });
    ride.feed(Input::Body(Some(UPDATE.as_bytes())));
    let (status, body) = reply(&ride.feed(Input::Failed("the broker's cluster is not known")));
    assert_eq!((status, &body["id"]), (503, &json!("u")));
}
