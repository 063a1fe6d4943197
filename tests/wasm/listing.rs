//! Lists: everyone sees what they may use, and nothing else that streams past is touched.

use crate::support::*;
use harness::{End, Headers, Proxy, Request, Response, Stream};
use serde_json::{Value, json};

const LISTED: &[&str] = &["crm_lookup", "crm_update", "crm_delete", "report_daily"];

fn proxy(answer: impl Fn() -> Response + 'static) -> Proxy {
    let mut policy = policy();
    let server = &mut policy["servers"]["crm"];
    server["prompts"] = json!({ "summarize": { "scopes": ["crm:read"] } });
    server["resources"] = json!({ "crm://public/*": { "scopes": ["crm:read"] }, "crm://x/*": { "scopes": ["crm:x"] } });
    server["limits"]["list_response"] = json!("4KiB");
    let proxy = started(builder(&policy));
    proxy.upstream(move |_| answer());
    proxy
}

/// One whose upstream says nothing by itself.
fn silent() -> Proxy {
    let proxy = builder(&policy()).start();
    proxy.cluster("broker").answer(granted);
    proxy
}

fn tools() -> Value {
    let tools: Vec<_> =
        LISTED.iter().map(|name| json!({ "name": name, "inputSchema": { "type": "object" } })).collect();
    json!({ "jsonrpc": "2.0", "id": 1, "result": { "nextCursor": "c", "tools": tools } })
}

fn list(method: &str) -> Request {
    legacy(&reader(), &message(method, json!({})))
}

fn modern_list(method: &str) -> Request {
    let body = message(method, json!({ "_meta": { VERSION: "2026-07-28" } }));
    let request = Request::post(PATH).bearer(&reader()).json(&body);
    request.header("mcp-protocol-version", "2026-07-28").header("mcp-method", method)
}

fn names(stream: &Stream) -> Vec<String> {
    let reply = stream.reply().unwrap();
    let tools = reply.json()["result"]["tools"].as_array().unwrap().clone();
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_list_shows_what_the_caller_may_call() {
    let proxy = proxy(|| Response::json(200, &tools()).header("etag", "\"1\""));
    let stream = proxy.run(list("tools/list").header("accept-encoding", "gzip"));
    assert!(!stream.forwarded().headers.has("accept-encoding"));
    assert_eq!(names(&stream), ["crm_lookup"]);
    let reply = stream.reply().unwrap();
    assert_eq!(
        (reply.status, &reply.json()["result"]["nextCursor"], &reply.json()["id"]),
        (200, &json!("c"), &json!(1))
    );
    assert!(reply.complete && !reply.headers.has("content-length") && !reply.headers.has("etag"));
    assert!(reply.json()["result"].get("cacheScope").is_none(), "the legacy era knows no such member");
    let all = proxy.run(legacy(&token(), &message("tools/list", json!({}))));
    assert_eq!(names(&all), ["crm_lookup", "crm_update", "report_daily"]);
}

#[test]
fn a_list_hides_what_is_revoked_until_it_is_lifted() {
    let proxy = proxy(|| Response::json(200, &tools()));
    let seen = || names(&proxy.run(legacy(&token(), &message("tools/list", json!({})))));
    let tool = |server: &str| json!({ "kind": "tool", "server": server, "tool": "crm_lookup" });
    proxy.feed().revoke(tool("billing"));
    proxy.settle();
    assert_eq!(seen(), ["crm_lookup", "crm_update", "report_daily"], "that of another server");
    proxy.feed().revoke(tool("crm"));
    proxy.settle();
    assert_eq!(seen(), ["crm_update", "report_daily"]);
    proxy.feed().lift(tool("crm"));
    proxy.settle();
    assert_eq!(seen(), ["crm_lookup", "crm_update", "report_daily"]);
}

#[test]
fn a_list_of_the_modern_era_is_kept_privately_and_not_for_long() {
    let proxy = proxy(|| {
        let mut list = tools();
        list["result"]["cacheScope"] = json!("public");
        list["result"]["ttlMs"] = json!(86_400_000);
        Response::new(200).header("content-type", "application/json; charset=UTF-8").body(list.to_string())
    });
    let reply = proxy.run(modern_list("tools/list")).reply().unwrap().json();
    assert_eq!((&reply["result"]["cacheScope"], &reply["result"]["ttlMs"]), (&json!("private"), &json!(60_000)));
    let found = proxy.run(modern_list("server/discover")).reply().unwrap().json();
    assert_eq!(found["result"]["cacheScope"], "private");
}

#[test]
fn prompts_resources_and_templates_go_by_their_own_rules() {
    let shown = |method: &str, member: &'static str, items: Value| {
        let proxy = proxy(move || Response::json(200, &json!({ "id": 1, "result": { member: items } })));
        proxy.run(list(method)).reply().unwrap().json()["result"][member].clone()
    };
    let prompts = json!([{ "name": "crm_lookup" }, { "name": "summarize" }]);
    assert_eq!(shown("prompts/list", "prompts", prompts), json!([{ "name": "summarize" }]));
    let resources = json!([{ "uri": "crm://public/a" }, { "uri": "crm://x/a" }, { "uri": "crm://public/../x" }]);
    assert_eq!(shown("resources/list", "resources", resources), json!([{ "uri": "crm://public/a" }]));
    let templates = json!([{ "uriTemplate": "crm://public/{id}" }, { "uriTemplate": "crm://x/{id}" }]);
    let left = shown("resources/templates/list", "resourceTemplates", templates);
    assert_eq!(left, json!([{ "uriTemplate": "crm://public/{id}" }]));
}

#[test]
fn a_list_in_a_stream_of_events_is_narrowed_as_it_passes() {
    let before =
        ": hello\n\nid: 1\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n";
    let text = format!("{before}id: 2\ndata: {}\n\n", tools());
    for size in [1, 7, 100_000] {
        let proxy = silent();
        let mut stream = proxy.send(list("tools/list"));
        proxy.settle();
        stream.respond_headers(&[(":status", "200"), ("content-type", "text/event-stream")], End::No);
        for (place, part) in text.as_bytes().chunks(size).enumerate() {
            stream.respond_body(part, End::No);
            if (place + 1) * size >= before.len() {
                let got = stream.reply().unwrap();
                assert!(got.text().starts_with(before), "an event is held that is whole");
            }
        }
        stream.respond_body("", End::Yes);
        let reply = stream.reply().unwrap();
        assert!(reply.complete && reply.text().contains("crm_lookup"), "{}", reply.text());
        assert!(!reply.text().contains("crm_update") && !reply.text().contains("crm_delete"));
    }
}

#[test]
fn a_list_that_cannot_be_narrowed_is_not_shown() {
    let long = "x".repeat(5000);
    let sound = tools().to_string();
    let json = |body: &str| Response::new(200).header("content-type", "application/json").body(body);
    for answer in [
        json(&sound).header("content-encoding", "gzip"),
        Response::new(200).header("content-type", "text/html").body(&sound),
        Response::new(200).header("content-type", "application/json; charset=utf-7").body(&sound),
        Response::new(200)
            .header("content-type", "text/event-stream;charset=\"utf-16\"")
            .body(format!("data: {sound}\n\n")),
        Response::new(200).body(&sound),
        json(&sound.replace("\"nextCursor\"", "\"Tools\"")),
        json(&sound.replace("\"nextCursor\":\"c\"", "\"tools\":[]")),
        json(&sound[1..]),
        json(&format!("[{sound}]")),
        json(&format!("\u{feff}{sound}")),
        json(&sound.replace("\"c\"", &format!("\"{long}\""))),
        json(&sound).header("content-type", "application/json"),
    ] {
        let proxy = proxy(move || answer.clone());
        let stream = proxy.run(list("tools/list"));
        let reply = stream.replied();
        assert_eq!((reply.status, &reply.json()["error"]["data"]["reason"]), (502, &json!("upstream_malformed")));
        assert!(!reply.text().contains("crm_"), "{reply:?}");
        assert_eq!(records(&proxy)[0]["reason"], "upstream_malformed");
    }
}

#[test]
fn an_event_that_cannot_be_narrowed_ends_the_stream() {
    let proxy = silent();
    let mut stream = proxy.send(list("tools/list"));
    proxy.settle();
    stream.respond_headers(&[(":status", "200"), ("content-type", "text/event-stream")], End::No);
    let event = format!("data: {}\n\n", tools().to_string().replace("\"nextCursor\"", "\"Tools\""));
    stream.respond_body(event, End::No);
    assert!(!stream.reply().unwrap().text().contains("crm_"));
    proxy.settle();
    assert!(stream.over(), "the client waits for the rest");
}

#[test]
fn trailers_end_a_list_too() {
    let proxy = proxy(|| Response { trailers: Some(Headers::of([("x-end", "1")])), ..Response::json(200, &tools()) });
    let stream = proxy.run(list("tools/list"));
    assert_eq!(names(&stream), ["crm_lookup"]);
    assert!(stream.reply().unwrap().complete);
}

#[test]
fn errors_and_what_lists_nothing_pass_as_they_are() {
    let error = json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": -32601, "message": "no tools here" } });
    let passed = proxy({
        let error = error.clone();
        move || Response::json(200, &error)
    });
    assert_eq!(passed.run(list("tools/list")).reply().unwrap().json(), error);
    for status in [404, 500] {
        let plain = proxy(move || Response::new(status).header("content-type", "text/plain").body("no"));
        let reply = plain.run(list("tools/list")).reply().unwrap();
        assert_eq!((reply.status, reply.text()), (status, "no"));
    }
}

#[test]
fn nothing_else_is_held_or_changed() {
    let proxy = silent();
    let text = format!("data: {}\n\n", tools());
    let odd = [text.as_bytes(), b"data: \xff\n", b"data: {"].concat();
    let get = || Request::fetch(PATH).bearer(&reader());
    for request in [legacy(&reader(), &call("crm_lookup")), list("ping"), get()] {
        let mut stream = proxy.send(request.header("accept-encoding", "gzip"));
        proxy.settle();
        assert!(stream.forwarded().headers.has("accept-encoding"));
        let headers =
            [(":status", "200"), ("content-type", "text/event-stream"), ("content-length", "1"), ("etag", "x")];
        stream.respond_headers(&headers, End::No);
        assert!(stream.reply().unwrap().headers.has("content-length") && stream.reply().unwrap().headers.has("etag"));
        for (place, byte) in odd.iter().enumerate() {
            stream.respond_body([*byte], End::No);
            assert_eq!(stream.reply().unwrap().body.len(), place + 1, "a byte is held");
        }
        stream.respond_body("", End::Yes);
        assert_eq!(stream.reply().unwrap().body, odd);
    }
}

#[test]
fn a_stream_that_is_resumed_brings_no_list_past_the_rules() {
    let proxy = silent();
    let request = Request::fetch(PATH).bearer(&reader()).header("last-event-id", "7");
    let mut stream = proxy.send(request);
    proxy.settle();
    stream.respond_headers(&[(":status", "200"), ("content-type", "text/event-stream")], End::No);
    stream.respond_body(format!("id: 8\ndata: {}\n\n", tools()), End::No);
    let got = stream.reply().unwrap();
    assert!(got.text().contains("crm_lookup") && !got.text().contains("crm_update"), "{}", got.text());
}
