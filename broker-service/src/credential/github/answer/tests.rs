use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName};
use serde_json::json;

use super::*;

fn reply(status: u16, headers: &[(&str, &str)], body: &Value) -> Reply {
    let media = std::iter::once((CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap()));
    let more = headers.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()));
    Reply {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::from_iter(media.chain(more)),
        body: body.to_string().into_bytes().into(),
    }
}

fn wanted() -> Wanted {
    Wanted {
        owner: Some("Acme".into()),
        repositories: Some(["crm-web", "docs"].map(|name| (name.to_owned(), name.to_owned())).into()),
        permissions: [("contents".to_owned(), Level::Write), ("issues".to_owned(), Level::Read)].into(),
    }
}

fn sound() -> Value {
    json!({
        "token": "ghs_abc",
        "expires_at": "2026-11-25T11:00:00Z",
        "permissions": { "contents": "write", "issues": "read", "metadata": "read" },
        "repository_selection": "selected",
        "repositories": [{ "name": "CRM-web", "full_name": "acme/CRM-web", "private": true }],
    })
}

fn judged(change: &Value, wanted: &Wanted) -> Result<Time, Failure> {
    let mut body = sound();
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let answer = read(&reply(201, &[], &body)).unwrap();
    assert_eq!(answer.token().reveal(), "ghs_abc");
    answer.proved(wanted)
}

#[test]
fn an_answer_that_gives_what_was_asked_for_or_less_is_taken() {
    let end = clock::parse("2026-11-25T11:00:00Z").unwrap();
    for change in [json!({}), json!({ "permissions": { "contents": "read" } }), json!({ "repositories": [] })] {
        assert_eq!(judged(&change, &wanted()), Ok(end), "{change}");
    }
    let all = Wanted { repositories: None, ..wanted() };
    assert_eq!(judged(&json!({ "repository_selection": "all", "repositories": null }), &all), Ok(end));
}

#[test]
fn an_answer_that_gives_more_is_refused() {
    for change in [
        json!({ "permissions": { "contents": "admin" } }),
        json!({ "permissions": { "issues": "write" } }),
        json!({ "permissions": { "contents": "write", "secrets": "read" } }),
        json!({ "permissions": { "metadata": "write" } }),
        json!({ "permissions": { "contents": "everything" } }),
        json!({ "permissions": null }),
        json!({ "permissions": ["contents"] }),
        json!({ "repository_selection": "all" }),
        json!({ "repository_selection": null }),
        json!({ "repositories": null }),
        json!({ "repositories": [{ "name": "billing", "full_name": "acme/billing" }] }),
        json!({ "repositories": [{ "name": "docs", "full_name": "other/docs" }] }),
        json!({ "repositories": [{ "name": "docs", "full_name": "acme/billing" }] }),
        json!({ "repositories": [{ "name": "docs", "full_name": "docs" }] }),
        json!({ "repositories": [{ "name": "docs" }] }),
        json!({ "expires_at": null }),
        json!({ "expires_at": "soon" }),
    ] {
        assert!(matches!(judged(&change, &wanted()), Err(Failure::Unavailable(_))), "{change}");
    }
}

#[test]
fn an_answer_without_a_usable_token_is_none() {
    for token in [json!(null), json!(""), json!("a b"), json!("a\r\n"), json!(7), json!("x".repeat(4097))] {
        let mut body = sound();
        body["token"] = token;
        assert!(matches!(read(&reply(201, &[], &body)), Err(Failure::Unavailable(_))), "{body}");
    }
}

#[test]
fn a_limit_on_requests_is_no_refusal() {
    let message = json!({ "message": "no repository billing" });
    let told = |status, headers: &[(&str, &str)]| read(&reply(status, headers, &message)).unwrap_err();
    for status in [401, 403, 404, 422] {
        assert_eq!(told(status, &[]), Failure::Refused(format!("the answer has status {status}")));
    }
    for (status, headers) in [
        (403, &[("retry-after", "60")][..]),
        (403, &[("x-ratelimit-remaining", "0")]),
        (429, &[]),
        (500, &[]),
        (302, &[]),
        (200, &[]),
    ] {
        assert!(matches!(told(status, headers), Failure::Unavailable(_)), "{status} {headers:?}");
    }
}
