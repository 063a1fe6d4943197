//! Lists in every form they come in.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Shows what begins with `ok`.
fn good(_: Listing, name: &str) -> bool {
    name.starts_with("ok")
}

fn narrowed(text: &str, keep: Keep) -> Result<String, Flaw> {
    filter(text.as_bytes(), keep, &mut good).map(|bytes| String::from_utf8(bytes).unwrap())
}

fn said(text: &str) -> String {
    narrowed(text, Keep::AsSaid).unwrap()
}

#[test]
fn what_is_not_shown_is_left_out_and_the_rest_stays_as_it_was() {
    let text = r#"{ "id":1, "result": {"nextCursor":"c","tools":[ {"name":"no"} , {"x":{"name":"no"},"name":"ok-1", "y":1.0},{"name":"ok\u002d2"}, {"name":"no"}], "_meta":{}},"jsonrpc":"2.0"}"#;
    let rest = r#"{ "id":1, "result": {"nextCursor":"c","tools":[ {"x":{"name":"no"},"name":"ok-1", "y":1.0},{"name":"ok\u002d2"}], "_meta":{}},"jsonrpc":"2.0"}"#;
    assert_eq!(said(text), rest);
    assert_eq!(said(rest), rest);
    assert_eq!(said(r#"{"result":{"tools":[{"name":"no"}]}}"#), r#"{"result":{"tools":[]}}"#);
}

#[test]
fn each_kind_of_thing_goes_by_its_own_name() {
    for (member, name, listing) in [
        ("tools", "name", Listing::Tools),
        ("prompts", "name", Listing::Prompts),
        ("resources", "uri", Listing::Resources),
        ("resourceTemplates", "uriTemplate", Listing::Templates),
    ] {
        let other = if name == "uri" { "name" } else { "uri" };
        let items = json!([{ name: "ok", other: "no" }, { name: "no", other: "ok" }]);
        let text = json!({ "result": { member: items } }).to_string();
        let mut asked = Vec::new();
        let shown = filter(text.as_bytes(), Keep::AsSaid, &mut |listing, name| {
            asked.push((listing, name.to_owned()));
            good(listing, name)
        });
        let shown: Value = serde_json::from_slice(&shown.unwrap()).unwrap();
        assert_eq!(shown["result"][member], json!([{ name: "ok", other: "no" }]));
        assert_eq!(asked, [(listing, "ok".to_owned()), (listing, "no".to_owned())]);
    }
}

#[test]
fn an_item_that_could_be_read_as_another_is_left_out() {
    for odd in [
        r#"{"name":"ok","name":"no"}"#,
        r#"{"name":"ok","Name":"no"}"#,
        r#"{"name":"ok","n\u0061me":"no"}"#,
        r#"{"name":"ok","name\u0000":"no"}"#,
        r#"{"Name":"ok"}"#,
        r#"{"name":["ok"]}"#,
        r#"{"title":"ok"}"#,
        r#""ok""#,
        "null",
    ] {
        assert_eq!(said(&format!(r#"{{"result":{{"tools":[{odd}]}}}}"#)), r#"{"result":{"tools":[]}}"#, "{odd}");
    }
}

#[test]
fn an_answer_that_could_be_read_as_another_is_not_shown() {
    let list = r#"[{"name":"no"}]"#;
    for odd in [
        format!(r#"{{"result":{{"tools":[],"tools":{list}}}}}"#),
        format!(r#"{{"result":{{"tools":[],"Tools":{list}}}}}"#),
        format!(r#"{{"result":{{"TOOLS":{list}}}}}"#),
        format!(r#"{{"result":{{}},"result":{{"tools":{list}}}}}"#),
        format!(r#"{{"result":{{}},"Result":{{"tools":{list}}}}}"#),
        format!(r#"{{"RESULT":{{"tools":{list}}}}}"#),
        format!(r#"{{"result":{{"tools":{{"0":{list}}}}}}}"#),
        format!(r#"{{"result":{list}}}"#),
        format!(r#"[{{"result":{{"tools":{list}}}}}]"#),
        format!("\u{feff}{{\"result\":{{\"tools\":{list}}}}}"),
        format!(r#"{{"result":{{"tools":{list}}}}} {{}}"#),
        format!(r#"{{"result":{{"tools":{list}"#),
        list.to_owned(),
        "<html>".to_owned(),
        String::new(),
    ] {
        assert!(narrowed(&odd, Keep::AsSaid).is_err(), "{odd}");
    }
    assert!(filter(b"{\"result\":{\"tools\":[{\"name\":\"ok\xff\"}]}}", Keep::AsSaid, &mut good).is_err());
}

#[test]
fn what_lists_nothing_stays_as_it_was() {
    for text in [
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"tools":[{"name":"no"}]}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"name":"no"}]}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
    ] {
        assert_eq!(said(text), text);
    }
}

#[test]
fn a_client_of_the_modern_era_keeps_a_list_for_itself_and_not_for_long() {
    let after = |result: &str| {
        let text = narrowed(&format!(r#"{{"result":{result}}}"#), Keep::Privately(60_000)).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        (value["result"]["cacheScope"].clone(), value["result"]["ttlMs"].clone())
    };
    let private = |ttl: u64| (json!("private"), json!(ttl));
    for (result, ttl) in [
        (r#"{"tools":[],"cacheScope":"public","ttlMs":3600000}"#, 60_000),
        (r#"{"ttlMs":10,"tools":[],"cacheScope":"private"}"#, 10),
        (r#"{"tools":[{"name":"no"}],"cacheScope":7}"#, 0),
        (r#"{"tools":[{"name":"no"}],"ttlMs":7}"#, 7),
        (r#"{"tools":[{"name":"no"}]}"#, 0),
        (r#"{"":"","tools":[{"name":"no"}]}"#, 0),
        (r#"{"serverInfo":{}}"#, 0),
        (r#"{"t\u006fols":[],"cache\u0053cope":"public","ttlM\u0073":90000}"#, 60_000),
    ] {
        assert_eq!(after(result), private(ttl), "{result}");
    }
    assert_eq!(narrowed(r#"{"result":{}}"#, Keep::Privately(1)).unwrap(), r#"{"result":{}}"#);
    assert!(narrowed(r#"{"result":{"t\u006fols":[]}}"#, Keep::Privately(1)).is_err());
    assert_eq!(said(r#"{"result":{"tools":[],"ttlMs":9,"cacheScope":"public"}}"#).len(), 55);
}

#[test]
fn a_time_that_cannot_be_read_is_none() {
    for odd in ["-1", "1e3", "60000.0", "\"5\"", "null", "[5]", "18446744073709551616"] {
        let text = format!(r#"{{"result":{{"cacheScope":"private","ttlMs":{odd},"tools":[]}}}}"#);
        let shown = narrowed(&text, Keep::Privately(60_000)).unwrap();
        assert_eq!(shown, r#"{"result":{"cacheScope":"private","ttlMs":0,"tools":[]}}"#, "{odd}");
    }
}

fn stream(parts: &[&[u8]], limit: usize) -> Result<String, Flaw> {
    let mut events = Events::new(Keep::AsSaid, limit);
    let mut out = Vec::new();
    for part in parts {
        out.extend(events.push(part, &mut good)?);
    }
    Ok(String::from_utf8(out).unwrap())
}

const LIST: &str = "{\"id\":1,\"result\":{\"tools\":[{\"name\":\"no\"},{\"name\":\"ok\"}]}}";
const SHOWN: &str = "{\"id\":1,\"result\":{\"tools\":[{\"name\":\"ok\"}]}}";

#[test]
fn events_are_let_go_one_by_one_and_only_the_list_is_changed() {
    let before = ": hi\r\n\r\nid: 7\nretry: 5\ndata:\n\nevent: message\ndata: {\"method\":\"x\"}\n\n";
    let text = format!("{before}event: message\r\nid: 8\r\ndata: {LIST}\r\n\r\n:bye\n\n");
    let expected = format!("{before}event: message\r\nid: 8\r\ndata: {SHOWN}\r\n\r\n:bye\n\n");
    assert_eq!(stream(&[text.as_bytes()], 4096).unwrap(), expected);
    let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
    assert_eq!(stream(&bytes, 4096).unwrap(), expected);
}

#[test]
fn an_event_is_read_whatever_its_lines_look_like() {
    let (first, second) = LIST.split_at(8);
    for text in [
        format!("data:{LIST}\n\n"),
        format!("data: {LIST}\r\r"),
        format!("\u{feff}data: {LIST}\n\n"),
        format!("data: {first}\ndata: {second}\n\n"),
        format!("data: {first}\nid: 1\ndata:{second}\n\n"),
        format!("data\ndata: {LIST}\ndata\n\n"),
    ] {
        let shown = stream(&[text.as_bytes()], 4096).unwrap();
        assert!(shown.contains("ok") && !shown.contains("no\""), "{text:?} gives {shown:?}");
    }
    // Neither is a field anybody reads.
    for text in [format!(" data: {LIST}\n\n"), format!("Data: {LIST}\n\n"), format!("datax: {LIST}\n\n")] {
        assert_eq!(stream(&[text.as_bytes()], 4096).unwrap(), text);
    }
}

#[test]
fn the_lines_of_an_event_stay_in_their_order_and_keep_their_ends() {
    let (a, b) = LIST.split_at(8);
    let text = format!("\u{feff}:x\r\ndata:{a}\rid: 1\ndata:{b}\r\nretry: 5\r\r");
    let (first, second) = SHOWN.split_at(8);
    let expected = format!("\u{feff}:x\r\ndata: {first}\rdata: {second}\rid: 1\nretry: 5\r\r");
    assert_eq!(stream(&[text.as_bytes()], 4096).unwrap(), expected);
}

#[test]
fn a_byte_order_mark_stands_before_the_first_line_alone() {
    // Its line is no data to a client: read as data, it would hide the result in another member.
    let split = "data: {\"id\":1,\n\u{feff}data: \"x\":{\ndata: \"result\":{\"tools\":[{\"name\":\"no\"}]}\n\u{feff}data: }\ndata: }\n\n";
    for text in [split.to_owned(), format!(":\n\n{split}")] {
        assert!(!stream(&[text.as_bytes()], 4096).unwrap().contains("\"no\""), "{text:?}");
    }
}

#[test]
fn an_event_that_does_not_end_or_fit_is_not_let_go() {
    assert_eq!(stream(&[format!("data: {LIST}\n").as_bytes()], 4096).unwrap(), "");
    assert_eq!(stream(&[format!("data: {LIST}\r").as_bytes()], 4096).unwrap(), "");
    assert!(stream(&[&[b'x'; 100]], 99).is_err());
    assert!(stream(&[b"data: {\"result\":{\"tools\":[]},\"result\":{}}\n\n"], 4096).is_err());
    assert!(stream(&[b"data: \xff\n\n"], 4096).is_err());
    for size in 1..10 {
        let parts: Vec<&[u8]> = b":12345\r\n\r\n:\n\n".chunks(size).collect();
        assert!(stream(&parts, 8).is_err());
        assert!(stream(&parts, 9).is_ok());
    }
}

#[test]
fn after_a_flaw_nothing_comes_any_more() {
    let mut events = Events::new(Keep::AsSaid, 4096);
    assert!(events.push(b"data: {\"x\":\n\n", &mut good).is_err());
    // To a client this is an event of its own, not the rest of the one before.
    assert!(events.push(format!("data: {LIST}\n\ndata: }}\n\n").as_bytes(), &mut good).is_err());
    assert!(events.push(b":\n\n", &mut good).is_err());
}

#[test]
fn many_small_events_and_many_small_parts_take_no_longer_than_their_bytes() {
    let text = "\n".repeat(1 << 20);
    assert_eq!(stream(&[text.as_bytes()], 16).unwrap().len(), 1 << 20);
    let long = format!("data: {}", "x".repeat(1 << 20));
    let parts: Vec<&[u8]> = long.as_bytes().chunks(1).collect();
    assert_eq!(stream(&parts, 2 << 20).unwrap(), "");
}

/// Lists with `space` between all tokens, their names plain or escaped.
fn list(space: String) -> impl Strategy<Value = String> {
    let name = ("(ok|no)[a-z]{0,3}", any::<bool>()).prop_map(|(name, escaped)| match escaped {
        true => name.bytes().map(|byte| format!("\\u{byte:04x}")).collect(),
        false => name,
    });
    let item = (name, 0_u8..3).prop_map(|(name, shape)| match shape {
        0 => format!(r#"{{~"name"~:~"{name}"~}}"#),
        1 => format!(r#"{{~"x"~:~[~{{~"name"~:~"no"~}}~,~[~]~]~,~"name"~:~"{name}"~}}"#),
        _ => format!(r#"{{~"n\u0061me"~:~"{name}"~,~"y"~:~"]}}\"{{["~}}"#),
    });
    prop::collection::vec(item, 0..8).prop_map(move |items| {
        let items = items.join("~,~");
        let text = format!(r#"~{{~"id"~:~1~,~"result"~:~{{~"tools"~:~[~{items}~]~,~"nextCursor"~:~"c"~}}~}}~"#);
        text.replace('~', &space)
    })
}

proptest! {
    #[test]
    fn where_a_stream_is_cut_makes_no_difference(cuts in prop::collection::vec(0_usize..400, 0..12)) {
        let text = format!("id: 1\r\ndata: {LIST}\r\n\r\n: x\r\rdata: {LIST}\n\ndata: {{\"error\":1}}\r\n\r\n");
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let parts: Vec<_> = cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]]).collect();
        prop_assert_eq!(stream(&parts, 4096), stream(&[text.as_bytes()], 4096));
    }

    #[test]
    fn a_list_that_is_shown_in_full_is_the_same_bytes(text in "[ \n]{0,2}".prop_flat_map(list)) {
        let all = filter(text.as_bytes(), Keep::AsSaid, &mut |_, _| true).unwrap();
        prop_assert_eq!(String::from_utf8(all).unwrap(), text);
    }

    #[test]
    fn what_is_shown_reads_as_the_list_without_the_rest(text in "[ \n]{0,2}".prop_flat_map(list)) {
        let mut expected: Value = serde_json::from_str(&text).unwrap();
        expected["result"]["tools"].as_array_mut().unwrap().retain(|tool| tool["name"].as_str().unwrap().starts_with("ok"));
        prop_assert_eq!(serde_json::from_str::<Value>(&said(&text)).unwrap(), expected.clone());
        let lines = text.replace('\n', "\r\ndata:");
        let event = stream(&[format!("data:{lines}\r\n\r\n").as_bytes()], 1 << 20).unwrap();
        let data: Vec<_> = event.lines().filter_map(|line| line.strip_prefix("data:")).collect();
        prop_assert_eq!(serde_json::from_str::<Value>(&data.join("\n")).unwrap(), expected);
    }

    #[test]
    fn nothing_that_is_not_shown_comes_out(names in prop::collection::vec("(ok|no)[a-z\"\\\\\u{e9}]{0,6}", 0..20)) {
        let items: Vec<_> = names.iter().map(|name| json!({ "name": name, "inputSchema": { "type": "object" } })).collect();
        let text = json!({ "jsonrpc": "2.0", "id": 1, "result": { "tools": items } }).to_string();
        let shown: Value = serde_json::from_str(&said(&text)).unwrap();
        let left: Vec<_> = shown["result"]["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
        prop_assert_eq!(left, names.iter().filter(|name| name.starts_with("ok")).collect::<Vec<_>>());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = filter(&bytes, Keep::Privately(1), &mut good);
        let _ = stream(&[&bytes], 100);
    }
}
