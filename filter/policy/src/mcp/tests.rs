//! Both eras, and every way in which headers and body can disagree.

use super::*;

fn headers(pairs: &[(&str, &str)]) -> Headers {
    Headers::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())))
}

fn read(pairs: &[(&str, &str)], body: &str) -> Result<Call, Reason> {
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
        assert_eq!(call.id.as_deref(), Some("7"));
        assert_eq!(call.arguments.unwrap().len(), 64);
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

#[test]
fn methods_are_known_or_unknown_by_their_exact_name() {
    let target = |method: &str| {
        read(&[], &format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{}}}}"#)).map(|call| call.target)
    };
    for method in ["initialize", "ping", "server/discover", "tools/list", "prompts/list", "resources/templates/list"] {
        assert_eq!(target(method), Ok(Target::Session), "{method}");
    }
    for method in
        ["tools/Call", "tools/call ", "prompts/get", "resources/read", "tasks/get", "completion/complete", "x", ""]
    {
        assert_eq!(target(method), Ok(Target::Unknown), "{method}");
    }
    assert_eq!(target("tools/call"), Err(Reason::RequestMalformed));
    assert_eq!(target("notifications/initialized"), Err(Reason::RequestMalformed));
}

#[test]
fn a_call_without_id_is_not_a_notification() {
    let call = r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"crm_lookup"}}"#;
    assert_eq!(read(&[], call), Err(Reason::RequestMalformed));
    let notification = |method: &str| read(&[], &format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#));
    assert_eq!(notification("notifications/initialized").unwrap().target, Target::Session);
    assert_eq!(notification("notifications/custom").unwrap().target, Target::Unknown);
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
