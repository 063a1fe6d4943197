//! Both eras, and every way in which headers and body can disagree.

use super::*;

fn headers(pairs: &[(&str, &str)]) -> Headers {
    Headers::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())))
}

fn read<'a>(pairs: &[(&str, &str)], body: &'a str) -> Result<Call<'a>, Reason> {
    Call::read(&headers(pairs), body.as_bytes()).map_err(|flaw| flaw.reason)
}

const LEGACY: &str =
    r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"crm_lookup","arguments":{"id":"1"}}}"#;
const MODERN_CALL: &str = r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"crm_lookup","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
const VERSION: (&str, &str) = ("mcp-protocol-version", "2026-07-28");
const METHOD: (&str, &str) = ("mcp-method", "tools/call");
const NAME: (&str, &str) = ("mcp-name", "crm_lookup");

#[test]
fn a_legacy_call_needs_no_headers_and_heeds_none() {
    for pairs in [&[][..], &[("mcp-protocol-version", "2025-11-25")], &[("mcp-name", "other"), ("mcp-method", "x")]] {
        let call = read(pairs, LEGACY).unwrap();
        assert_eq!((call.era, call.target), (Era::Legacy, Target::Tool("crm_lookup".into())));
        assert_eq!(call.id, Some("7"));
        assert_eq!(call.arguments, Arguments::Object(r#"{"id":"1"}"#));
    }
}

#[test]
fn a_modern_call_needs_headers_that_agree() {
    let call = read(&[VERSION, METHOD, NAME], MODERN_CALL).unwrap();
    assert_eq!((call.era, call.target), (Era::Modern, Target::Tool("crm_lookup".into())));
    assert!(read(&[VERSION, METHOD, ("mcp-name", "=?base64?Y3JtX2xvb2t1cA==?=")], MODERN_CALL).is_ok());
    for pairs in [
        &[METHOD, NAME][..],
        &[("mcp-protocol-version", "2025-11-25"), METHOD, NAME],
        &[VERSION, NAME],
        &[VERSION, METHOD],
        &[VERSION, ("mcp-method", "Tools/Call"), NAME],
        &[VERSION, METHOD, ("mcp-name", "CRM_LOOKUP")],
        &[VERSION, METHOD, ("mcp-name", "crm_delete")],
        &[VERSION, METHOD, ("mcp-name", "=?base64?Y3JtX2xvb2t1cA?=")],
        &[VERSION, METHOD, ("mcp-name", "=?BASE64?Y3JtX2xvb2t1cA==?=")],
        &[VERSION, METHOD, NAME, NAME],
        &[VERSION, VERSION, METHOD, NAME],
        &[VERSION, METHOD, METHOD, NAME],
    ] {
        assert_eq!(read(pairs, MODERN_CALL), Err(Reason::HeaderMismatch), "{pairs:?}");
    }
}

#[test]
fn a_legacy_body_under_a_modern_header_is_a_mismatch() {
    assert_eq!(read(&[VERSION, METHOD, NAME], LEGACY), Err(Reason::HeaderMismatch));
}

#[test]
fn versions_nobody_judges_are_refused() {
    for version in ["2024-11-05", "2099-01-01", "2026-07-28, 2025-11-25", ""] {
        assert_eq!(read(&[("mcp-protocol-version", version)], LEGACY), Err(Reason::VersionUnsupported), "{version}");
    }
}

fn body(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
}

#[test]
fn methods_are_known_by_their_exact_name() {
    let is = |method: &str, target: &Target<'_>| read(&[], &body(method, "{}")).unwrap().target == *target;
    for method in ["initialize", "ping"] {
        assert!(is(method, &Target::Session), "{method}");
    }
    for (method, listing) in [
        ("server/discover", Listing::Server),
        ("tools/list", Listing::Tools),
        ("prompts/list", Listing::Prompts),
        ("resources/list", Listing::Resources),
        ("resources/templates/list", Listing::Templates),
    ] {
        assert!(is(method, &Target::List(listing)), "{method}");
    }
    for method in ["tools/Call", "tools/call ", "tasks/list", "logging/setLevel", "skills/list", "GET", "x", ""] {
        assert!(is(method, &Target::Method), "{method}");
    }
    assert_eq!(read(&[], &body("notifications/initialized", "{}")), Err(Reason::RequestMalformed));
}

#[test]
fn a_method_is_about_what_its_parameters_name() {
    let name = || Cow::Borrowed("crm://a");
    for (method, params, target) in [
        ("tools/call", r#"{"name":"crm://a","uri":"other"}"#, Target::Tool(name())),
        ("prompts/get", r#"{"name":"crm:\/\/a","uri":"other"}"#, Target::Prompt(name())),
        ("resources/read", r#"{"uri":"crm://a","name":"other"}"#, Target::Resource(name())),
        ("resources/subscribe", r#"{"uri":"crm://a"}"#, Target::Resource(name())),
        ("resources/unsubscribe", r#"{"uri":"crm://a"}"#, Target::Resource(name())),
        ("completion/complete", r#"{"ref":{"type":"ref/prompt","name":"crm://a"}}"#, Target::Prompt(name())),
        ("completion/complete", r#"{"ref":{"type":"ref/resource","uri":"crm://a"}}"#, Target::Resource(name())),
        ("tasks/get", r#"{"taskId":"crm://a"}"#, Target::Task(name())),
        ("tasks/update", r#"{"taskId":"crm://a"}"#, Target::Task(name())),
        ("tasks/cancel", r#"{"taskId":"crm://a"}"#, Target::Task(name())),
        ("tasks/result", r#"{"taskId":"crm://a"}"#, Target::Task(name())),
        (
            "subscriptions/listen",
            r#"{"notifications":{"toolsListChanged":true}}"#,
            Target::Subscription(vec![], vec![]),
        ),
        (
            "subscriptions/listen",
            r#"{"notifications":{"resourceSubscriptions":["crm://a"],"taskIds":["crm://a"]}}"#,
            Target::Subscription(vec![name()], vec![name()]),
        ),
    ] {
        assert_eq!(read(&[], &body(method, params)).unwrap().target, target, "{method} {params}");
    }
}

#[test]
fn a_method_that_names_nothing_is_refused() {
    for (method, params) in [
        ("tools/call", "{}"),
        ("tools/call", r#"{"uri":"a"}"#),
        ("prompts/get", r#"{"arguments":{"name":"a"}}"#),
        ("resources/read", r#"{"name":"a"}"#),
        ("resources/subscribe", r#"{"uri":""}"#),
        ("completion/complete", "{}"),
        ("completion/complete", r#"{"ref":{"type":"ref/prompt","uri":"a"}}"#),
        ("completion/complete", r#"{"ref":{"type":"ref/prompt","name":"a","uri":"b"}}"#),
        ("completion/complete", r#"{"ref":{"type":"ref/Prompt","name":"a"}}"#),
        ("completion/complete", r#"{"ref":{"type":"ref/prompt","Type":"ref/resource","name":"a"}}"#),
        ("completion/complete", r#"{"ref":["ref/prompt"]}"#),
        ("tasks/get", r#"{"taskid":"a"}"#),
        ("subscriptions/listen", r#"{"notifications":{"resourceSubscriptions":"a"}}"#),
        ("subscriptions/listen", r#"{"notifications":{"resourceSubscriptions":[1]}}"#),
        ("subscriptions/listen", r#"{"notifications":{"ResourceSubscriptions":["a"]}}"#),
        ("subscriptions/listen", r#"{"Notifications":{}}"#),
    ] {
        assert_eq!(read(&[], &body(method, params)), Err(Reason::RequestMalformed), "{method} {params}");
    }
}

#[test]
fn the_revision_stands_under_its_exact_name() {
    let nearly = r#"{"name":"crm_lookup","_meta":{"io.modelcontextprotocol/ProtocolVersion":"2026-07-28"}}"#;
    assert_eq!(read(&[], &body("tools/call", nearly)), Err(Reason::RequestMalformed));
}

#[test]
fn a_call_without_id_is_not_a_notification() {
    let call = r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"crm_lookup"}}"#;
    assert_eq!(read(&[], call), Err(Reason::RequestMalformed));
    let text = |method: &str| format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#);
    for (method, target) in [("notifications/initialized", Target::Session), ("notifications/custom", Target::Method)] {
        assert_eq!(read(&[], &text(method)).unwrap().target, target, "{method}");
    }
}

#[test]
fn tool_names_are_plain_strings() {
    for name in [r#""""#, r#""a\u0000""#, r#""a\nb""#, "1", "null"] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":{name}}}}}"#);
        assert_eq!(read(&[], &body), Err(Reason::RequestMalformed), "{name}");
    }
}

#[test]
fn answers_and_sessions_belong_to_the_legacy_era() {
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    assert_eq!(read(&[], answer).unwrap().target, Target::Session);
    assert_eq!(read(&[VERSION], answer), Err(Reason::HeaderMismatch));
    assert!(Call::session("GET", &headers(&[])).is_ok());
    assert_eq!(Call::session("GET", &headers(&[VERSION])).unwrap_err().reason, Reason::HeaderMismatch);
}
