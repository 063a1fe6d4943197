use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::json;

use super::*;

fn reply(status: u16, media: &str, body: &str) -> Reply {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, media.parse().unwrap())]);
    Reply { status: StatusCode::from_u16(status).unwrap(), headers, body: body.as_bytes().to_vec().into() }
}

const NOW: Time = Time::from_seconds(1_000);

fn judged(change: Value, asked: Asked) -> Result<Received, Failure> {
    let mut body = json!({
        "access_token": "t-1", "token_type": "Bearer", "expires_in": 60, "scope": "a b", "issued_token_type": ACCESS_TOKEN,
    });
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    read(&reply(200, "application/json", &body.to_string()), NOW)?.proved(asked, "a b")
}

#[test]
fn a_sound_answer_is_taken() {
    for change in [json!({}), json!({ "token_type": "bEARER" }), json!({ "scope": "b" }), json!({ "scope": null })] {
        let received = judged(change, Asked::Exchange).unwrap();
        assert_eq!(received.token.reveal(), "t-1");
        assert_eq!(received.expires, Some(Time::from_seconds(1_060)));
    }
    let received = judged(json!({ "expires_in": null, "issued_token_type": null }), Asked::Client).unwrap();
    assert_eq!((received.expires, received.lifetime), (None, None));
}

#[test]
fn a_token_that_is_not_what_was_asked_for_is_refused() {
    for change in [
        json!({ "token_type": "mac" }),
        json!({ "token_type": "N_A" }),
        json!({ "token_type": "DPoP" }),
        json!({ "token_type": null }),
        json!({ "issued_token_type": null }),
        json!({ "issued_token_type": "urn:ietf:params:oauth:token-type:refresh_token" }),
        json!({ "scope": "a b c" }),
        json!({ "scope": ["a"] }),
        json!({ "expires_in": "60" }),
        json!({ "expires_in": 0 }),
        json!({ "expires_in": -1 }),
        json!({ "expires_in": 1.5 }),
        json!({ "access_token": null }),
        json!({ "access_token": "" }),
        json!({ "access_token": "a\r\nb: c" }),
        json!({ "access_token": "a b" }),
        json!({ "access_token": "x".repeat(LONGEST + 1) }),
    ] {
        let failure = judged(change.clone(), Asked::Exchange).unwrap_err();
        assert!(matches!(failure, Failure::Unavailable(_)), "{change}");
        assert!(!failure.to_string().contains("t-1"));
    }
}

#[test]
fn a_huge_lifetime_overflows_nothing() {
    judged(json!({ "expires_in": u64::MAX }), Asked::Exchange).unwrap();
}

#[test]
fn only_json_is_read_and_no_name_twice() {
    let sound = r#"{"access_token":"t-1","token_type":"Bearer"}"#;
    read(&reply(200, "Application/JSON; charset=utf-8", sound), NOW).unwrap();
    for (media, body) in [
        ("text/html", sound),
        ("application/x-www-form-urlencoded", "access_token=t-1&token_type=bearer"),
        ("application/json", r#"["t-1"]"#),
        ("application/json", r#"{"access_token":"t-1","access_token":"t-2","token_type":"Bearer"}"#),
        ("application/json", ""),
    ] {
        assert!(matches!(read(&reply(200, media, body), NOW), Err(Failure::Unavailable(_))), "{media} {body}");
    }
}

#[test]
fn a_refusal_tells_the_code_and_nothing_else() {
    let told = |status, body: Value| refusal(&reply(status, "application/json", &body.to_string()));
    let refused = |text: &str| Failure::Refused(text.to_owned());
    for status in [400, 401, 403] {
        let body = json!({ "error": "invalid_grant", "error_description": "the token t-1 is bad" });
        assert_eq!(told(status, body), refused("invalid_grant"));
    }
    for error in [json!("a b"), json!("a\"b"), json!(""), json!("x".repeat(65)), json!(1), json!(null), json!("ä")] {
        assert_eq!(told(400, json!({ "error": error })), refused("status 400 without a code"), "{error}");
    }
    for status in [201, 302, 404, 408, 429, 500, 503] {
        let failure = told(status, json!({ "error": "invalid_grant" }));
        assert_eq!(failure, Failure::Unavailable(format!("the answer has status {status}")));
    }
}
