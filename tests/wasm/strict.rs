//! Bodies another parser could read differently: none of them goes upstream.

use crate::support::*;
use harness::{Proxy, Request};
use serde_json::json;

fn refused(proxy: &Proxy, body: impl AsRef<[u8]>, code: i64) {
    let shown = String::from_utf8_lossy(body.as_ref()).into_owned();
    let reply = denied(&proxy.run(raw(&token(), body)), 400, "request_malformed");
    assert_eq!(reply.json()["error"]["code"], code, "{shown}");
    assert!(reply.challenge().is_empty());
}

#[test]
fn only_one_strict_object_is_read() {
    let proxy = start();
    let sound = call("crm_lookup").to_string();
    proxy.run(raw(&token(), format!(" \n{sound}\r\n\t"))).forwarded();
    let utf16: Vec<u8> = sound.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let marked: Vec<u8> = [0xff, 0xfe].into_iter().chain(utf16.iter().copied()).collect();
    for bad in [
        format!("\u{feff}{sound}").into_bytes(),
        utf16,
        marked,
        sound.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        sound.replace("42", "\u{1}").into_bytes(),
        [sound.as_bytes(), b"\xff"].concat(),
        sound.as_bytes().iter().map(|byte| if *byte == b'4' { 0xe9 } else { *byte }).collect(),
        format!("{sound} {sound}").into_bytes(),
        format!("{sound},").into_bytes(),
        format!("{sound}x").into_bytes(),
        format!("{sound}\0").into_bytes(),
        sound.as_bytes()[..sound.len() - 1].to_vec(),
        b"null".to_vec(),
        b"\"tools/call\"".to_vec(),
        b"{'jsonrpc':'2.0'}".to_vec(),
        b"{\"jsonrpc\":\"2.0\",}".to_vec(),
        b"// x\n{}".to_vec(),
        vec![b'{'; 4000],
    ] {
        refused(&proxy, bad, -32700);
    }
    for batch in [format!("[{sound}]"), "[]".into(), format!(" [{sound},{sound}]")] {
        refused(&proxy, batch, -32600);
    }
    // An empty body is one as well, whether or not a frame of it ever comes.
    let empty = raw(&token(), "");
    for request in [empty.clone(), empty.clone().http1(), empty.trailers()] {
        denied(&proxy.run(request), 400, "request_malformed");
    }
}

#[test]
fn no_name_stands_twice_at_any_depth() {
    let proxy = start();
    for bad in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call","params":{"name":"crm_lookup"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","m\u0065thod":"tools/call"}"#,
    ] {
        refused(&proxy, bad, -32700);
    }
    for params in [
        r#"{"name":"crm_lookup","name":"crm_delete"}"#,
        r#"{"name":"crm_lookup","n\u0061me":"crm_delete"}"#,
        r#"{"name":"crm_lookup","arguments":{},"arguments":{"id":1}}"#,
        r#"{"name":"crm_lookup","_meta":{"a":1,"a":2}}"#,
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
        refused(&proxy, body, -32700);
    }
    for arguments in [r#"{"id":1,"id":2}"#, r#"{"a":[{"b":{"c":1,"c":2}}]}"#, r#"{"a":"\ud800"}"#, "[1e999]"] {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"crm_lookup","arguments":{arguments}}}}}"#
        );
        refused(&proxy, body, -32700);
    }
}

#[test]
fn no_name_is_nearly_one_of_the_protocols() {
    let proxy = start();
    for bad in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","Method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"METHOD":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","ID":1,"method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"crm_lookup"},"Params":{"name":"x"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","param\u017f":{"name":"x"},"params":{"name":"crm_lookup"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"crm_lookup","Name":"crm_delete"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"crm_lookup","name\u0000":"crm_delete"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"crm_lookup","Arguments":{}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"crm_lookup","_META":{}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","extra":1}"#,
    ] {
        refused(&proxy, bad, -32600);
    }
}

#[test]
fn a_message_is_exactly_one_of_its_kinds() {
    let proxy = start();
    for bad in [
        json!({ "jsonrpc": "2.0", "id": null, "method": "tools/list" }),
        json!({ "jsonrpc": "2.0", "id": 1.5, "method": "tools/list" }),
        json!({ "jsonrpc": "2.0", "id": true, "method": "tools/list" }),
        json!({ "jsonrpc": "2.0", "id": [1], "method": "tools/list" }),
        json!({ "jsonrpc": "2.0", "id": "x".repeat(1025), "method": "tools/list" }),
        json!({ "jsonrpc": "2.0", "method": "tools/list" }),
        json!({ "jsonrpc": "2.0", "id": 1, "method": "notifications/initialized" }),
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call" }),
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "" } }),
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "crm_lookup\n" } }),
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": ["crm_lookup"] } }),
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": ["crm_lookup"] }),
        json!({ "jsonrpc": "2.0", "id": 1, "method": ["tools/list"] }),
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "result": {} }),
        json!({ "jsonrpc": "2.0", "id": 1, "result": {}, "error": {} }),
        json!({ "jsonrpc": "2.0", "id": 1 }),
        json!({ "jsonrpc": "1.0", "id": 1, "method": "tools/list" }),
        json!({ "jsonrpc": 2.0, "id": 1, "method": "tools/list" }),
        json!({ "id": 1, "method": "tools/list" }),
        json!({}),
    ] {
        refused(&proxy, bad.to_string(), -32600);
    }
}

#[test]
fn only_plain_json_is_read() {
    let proxy = start();
    let bare = || legacy(&token(), &call("crm_lookup")).without("content-type");
    let typed = |kind: &str| bare().header("content-type", kind);
    for kind in [
        "application/json",
        "Application/JSON",
        "application/json; charset=UTF-8",
        "application/json;charset=\"utf-8\"",
    ] {
        proxy.run(typed(kind)).forwarded();
    }
    for kind in [
        "",
        "text/plain",
        "text/json",
        "application/jsonx",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
        "application/json; charset=utf-8; charset=utf-16",
        "application/json, text/plain",
        "application/json;",
        "multipart/form-data; boundary=x",
    ] {
        denied(&proxy.run(typed(kind)), 400, "request_malformed");
    }
    let twice = |request: Request, name: &str| request.header(name, "application/json");
    denied(&proxy.run(bare()), 400, "request_malformed");
    denied(&proxy.run(twice(typed("application/json"), "content-type")), 400, "request_malformed");
    for coding in ["gzip", "br", "identity", ""] {
        let packed = typed("application/json").header("content-encoding", coding);
        denied(&proxy.run(packed), 400, "request_malformed");
    }
}
