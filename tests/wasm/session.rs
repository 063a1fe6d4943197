//! Sessions of the legacy era: the upstream has its own identifiers, each caller has them sealed to itself.

mod keys;

use crate::support::*;
use harness::{Alg, Proxy, Request, Response, Stream, Token};
use serde_json::{Value, json};

const HEADER: &str = "mcp-session-id";
const METHODS: [&str; 3] = ["POST", "GET", "DELETE"];

/// What the upstream calls the session; never seen by a client.
const OWN: &str = "upstream-session-1";

/// A proxy whose upstream opens a session and repeats its identifier in every answer.
fn proxy(policy: &Value) -> Proxy {
    let proxy = started(builder(policy));
    proxy.upstream(|_| answered().header(HEADER, OWN));
    proxy
}

/// Two servers that accept tokens of two issuers for one audience.
fn twins() -> Value {
    let mut policy = policy();
    let api = json!(["https://gateway.example.com/crm/mcp"]);
    policy["issuers"]["twin"] = policy["issuers"]["corp"].clone();
    policy["issuers"]["twin"]["issuer"] = json!("https://twin.example.com");
    policy["servers"]["crm"]["issuers"] = json!(["corp", "twin"]);
    policy["servers"]["crm"]["audiences"] = api;
    policy["servers"]["erp"] = policy["servers"]["crm"].clone();
    policy["servers"]["erp"]["resource"] = json!("https://gateway.example.com/erp/mcp");
    policy["servers"]["erp"]["match"]["path"] = json!("/erp/mcp");
    policy
}

fn caller() -> Token {
    issuer().token().alg(Alg::EdDsa).claim("client_id", "agent-7").claim("sub", "alice")
}

fn initialize() -> Value {
    message("initialize", json!({ "protocolVersion": "2025-11-25", "capabilities": {} }))
}

/// The identifier that `token`'s holder gets for its session.
#[track_caller]
fn opened(proxy: &Proxy, token: &str) -> String {
    handed(&proxy.run(legacy(token, &initialize())))
}

/// The identifier in the answer to a request that went through.
#[track_caller]
fn handed(stream: &Stream) -> String {
    stream.forwarded();
    stream.reply().unwrap().headers.text(HEADER).unwrap().to_owned()
}

/// A request of a session.
fn visit(method: &str, path: &str, token: &str, session: impl AsRef<[u8]>) -> Request {
    let request = Request::new(method, path).bearer(token).header("mcp-protocol-version", "2025-11-25");
    let request = request.header(HEADER, session);
    if method == "POST" { request.json(&call("crm_lookup")) } else { request }
}

/// A session that is none for who sends the request: a client opens another on 404 and a JSON-RPC body, and on nothing else.
#[track_caller]
fn foreign(proxy: &Proxy, request: Request) {
    let body = denied(&proxy.run(request), 404, "session_foreign").json();
    assert_eq!(body["error"]["code"], -31002);
}

#[test]
fn the_upstream_sees_its_own_identifier_and_the_client_another() {
    let proxy = proxy(&policy());
    let token = caller().sign();
    let sealed = opened(&proxy, &token);
    assert!(!sealed.contains(OWN) && sealed.bytes().all(|byte| byte.is_ascii_graphic()), "{sealed}");
    for method in METHODS {
        let stream = proxy.run(visit(method, PATH, &token, &sealed));
        assert_eq!(stream.forwarded().headers.all(HEADER).collect::<Vec<_>>(), [OWN.as_bytes()], "{method}");
        assert_eq!(handed(&stream), sealed, "{method}: a server that repeats the identifier changes nothing");
    }
    // The same agent for the same subject, with its next token.
    let next = caller().claim("jti", "another").claim("scope", "crm:write crm:read").sign();
    proxy.run(visit("POST", PATH, &next, &sealed)).forwarded();
    assert!(!proxy.log().iter().any(|line| line.text.contains(OWN) || line.text.contains(&sealed)));
}

#[test]
fn in_other_hands_there_is_no_such_session() {
    let proxy = proxy(&twins());
    let mine = caller().sign();
    let sealed = opened(&proxy, &mine);
    let twin = harness::Issuer::new("https://twin.example.com").token().alg(Alg::EdDsa);
    let others = [
        caller().claim("client_id", "agent-8").sign(),
        caller().claim("sub", "bob").sign(),
        caller().claim("client_id", "alice").claim("sub", "agent-7").sign(),
        twin.claim("client_id", "agent-7").claim("sub", "alice").sign(),
    ];
    for method in METHODS {
        for other in &others {
            foreign(&proxy, visit(method, PATH, other, &sealed));
        }
        foreign(&proxy, visit(method, "/erp/mcp", &mine, &sealed));
        proxy.run(visit(method, PATH, &mine, &sealed)).forwarded();
    }
    foreign(&proxy, visit("GET", PATH, &others[0], &sealed).header("last-event-id", "7"));
    let theirs = opened(&proxy, &others[0]);
    assert_ne!(theirs, sealed);
    proxy.run(visit("DELETE", PATH, &others[0], &theirs)).forwarded();
    foreign(&proxy, visit("DELETE", PATH, &mine, &theirs));
}

#[test]
fn what_was_never_sealed_is_no_session() {
    let proxy = proxy(&policy());
    let token = caller().sign();
    let sealed = opened(&proxy, &token);
    let half = sealed.split_at(sealed.len() / 2).0.to_owned();
    for bad in [OWN, "", &half, &format!("{sealed}A"), &format!("{sealed}="), &"A".repeat(5000), &"A".repeat(100)] {
        for method in METHODS {
            foreign(&proxy, visit(method, PATH, &token, bad));
        }
    }
    let other = builder(&policy()).env("ACCREDIT_SESSION_KEY", "fedcba9876543210fedcba9876543210");
    foreign(&started(other), visit("POST", PATH, &token, &sealed));
    for method in METHODS {
        let twice = visit(method, PATH, &token, &sealed).header(HEADER, &sealed);
        denied(&proxy.run(twice), 400, "request_malformed");
        denied(&proxy.run(visit(method, PATH, &token, b"\xff")), 400, "request_malformed");
    }
}

#[test]
fn a_session_is_judged_before_the_body_and_after_the_token() {
    let proxy = proxy(&policy());
    let sealed = opened(&proxy, &caller().sign());
    let other = caller().claim("sub", "bob").sign();
    foreign(&proxy, visit("POST", PATH, &other, &sealed).json(&call("no_such_tool")));
    denied(&proxy.run(visit("POST", PATH, "x.y.z", &sealed)), 401, "token_malformed");
    let minted = proxy.cluster("broker").calls().iter().filter(|call| call.path() == "/token").count();
    let update = caller().scope("crm:read crm:write").claim("sub", "bob").sign();
    foreign(&proxy, visit("POST", PATH, &update, &sealed).json(&call("crm_update")));
    assert_eq!((minted, proxy.cluster("broker").calls().len()), (0, 0), "nothing is minted for it");
    let record = records(&proxy).pop().unwrap();
    assert_eq!((&record["decision"], &record["reason"]), (&json!("deny"), &json!("session_foreign")));
}

#[test]
fn a_credential_does_not_come_between_a_session_and_its_upstream() {
    let proxy = proxy(&policy());
    let token = caller().scope("crm:read crm:write").sign();
    let sealed = opened(&proxy, &token);
    let stream = proxy.run(visit("POST", PATH, &token, &sealed).json(&call("crm_update")));
    let headers = stream.forwarded().headers;
    assert_eq!((headers.text(HEADER), headers.text("authorization")), (Some(OWN), Some("Bearer minted")));
    assert_eq!(handed(&stream), sealed);
}

#[test]
fn clients_that_hide_http_errors_get_the_404_all_the_same() {
    let proxy = proxy(&changed(policy(), "/servers/crm/denials", json!("jsonrpc")));
    foreign(&proxy, visit("POST", PATH, &caller().sign(), OWN));
}

#[test]
fn the_modern_era_has_no_sessions() {
    let proxy = proxy(&policy());
    let sealed = opened(&proxy, &caller().sign());
    for session in [&*sealed, OWN, "", "\u{ff}"] {
        let request = modern(&caller().sign(), "crm_lookup").header(HEADER, session).header(HEADER, "again");
        let stream = proxy.run(request);
        assert!(!stream.forwarded().headers.has(HEADER));
        assert!(!stream.reply().unwrap().headers.has(HEADER));
    }
}

#[test]
fn where_mcp_is_not_spoken_the_header_means_nothing() {
    let mut policy = policy();
    policy["servers"]["api"] = json!({
        "resource": "https://gateway.example.com/api",
        "match": { "host": "gateway.example.com", "path_prefix": "/api/" },
        "protocol": "http",
        "issuers": ["corp"],
        "audiences": ["https://gateway.example.com/crm/mcp"],
        "tools": { "read": { "match": "GET /api/things", "scopes": ["crm:read"] } },
    });
    let proxy = proxy(&policy);
    let request = Request::fetch("/api/things").bearer(&caller().sign()).header(HEADER, "its-own");
    let stream = proxy.run(request);
    assert_eq!(stream.forwarded().headers.text(HEADER), Some("its-own"));
    assert_eq!(handed(&stream), OWN);
}

#[test]
fn an_identifier_that_is_none_does_not_reach_the_client() {
    let long = "x".repeat(1025);
    for bad in ["", "a b", "é", "a\tb", &long] {
        let bad = bad.to_owned();
        let proxy = started(builder(&policy()));
        proxy.upstream(move |_| answered().header(HEADER, &bad));
        let reply = proxy.run(legacy(&token(), &initialize())).reply().unwrap();
        assert_eq!((reply.status, reply.json()["error"]["data"]["reason"].clone()), (502, json!("upstream_malformed")));
        assert!(!reply.headers.has(HEADER));
    }
    let proxy = started(builder(&policy()));
    proxy.upstream(|_| answered().header(HEADER, "a").header(HEADER, "b"));
    assert_eq!(proxy.run(legacy(&token(), &initialize())).reply().unwrap().status, 502);
    let longest = "x".repeat(1024);
    let expected = longest.clone();
    proxy.upstream(move |_| answered().header(HEADER, &longest));
    let sealed = opened(&proxy, &token());
    assert!(sealed.len() <= 4096);
    let headers = proxy.run(visit("GET", PATH, &token(), &sealed)).forwarded().headers;
    assert_eq!(headers.text(HEADER), Some(&*expected));
}

#[test]
fn an_upstream_that_ended_the_session_says_so_itself() {
    let proxy = proxy(&policy());
    let token = caller().sign();
    let sealed = opened(&proxy, &token);
    proxy.upstream(|_| Response::json(404, &json!({ "error": "Session not found" })));
    let stream = proxy.run(visit("POST", PATH, &token, &sealed));
    stream.forwarded();
    assert_eq!(stream.reply().unwrap().status, 404);
}

#[test]
fn shadow_mode_keeps_sessions_whole() {
    let proxy = proxy(&changed(policy(), "/servers/crm/mode", json!("shadow")));
    let token = caller().sign();
    let sealed = opened(&proxy, &token);
    for body in [call("crm_update"), call("no_such_tool"), json!([1])] {
        let stream = proxy.run(visit("POST", PATH, &token, &sealed).json(&body));
        assert_eq!(stream.forwarded().headers.all(HEADER).collect::<Vec<_>>(), [OWN.as_bytes()], "{body}");
        assert_eq!(handed(&stream), sealed, "{body}");
    }
    foreign(&proxy, visit("POST", PATH, &caller().claim("sub", "bob").sign(), &sealed));

    // Where not even a token is asked for, nobody is known to seal a session to.
    let all = changed(changed(policy(), "/servers/crm/mode", json!("shadow")), "/servers/crm/shadow", json!("all"));
    let proxy = self::proxy(&all);
    let bare = || Request::post(PATH).header("mcp-protocol-version", "2025-11-25");
    assert_eq!(handed(&proxy.run(bare().json(&initialize()))), OWN);
    let stream = proxy.run(bare().header(HEADER, OWN).json(&call("crm_lookup")));
    assert_eq!(stream.forwarded().headers.text(HEADER), Some(OWN));
    // One from the time before sealing goes on.
    let stream = proxy.run(visit("POST", PATH, &token, OWN));
    assert_eq!(stream.forwarded().headers.text(HEADER), Some(OWN));
    assert_eq!(handed(&stream), sealed);
}
