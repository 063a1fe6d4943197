use reqwest::header::{CONTENT_TYPE, HeaderMap};

use super::*;

fn reply(status: u16, media: &str, body: &str) -> Reply {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, media.parse().unwrap())]);
    Reply { status: StatusCode::from_u16(status).unwrap(), headers, body: body.as_bytes().to_vec().into() }
}

fn session(operation: &str, expiration: &str, token: &str) -> String {
    format!(
        r#"<{operation}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{operation}Result>
        <AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn></AssumedRoleUser>
        <Credentials><AccessKeyId>ASIAX</AccessKeyId><SecretAccessKey>s/e+c=</SecretAccessKey>
        <SessionToken>{token}</SessionToken><Expiration>{expiration}</Expiration></Credentials>
        <PackedPolicySize>6</PackedPolicySize></{operation}Result></{operation}Response>"#
    )
}

const END: &str = "2025-11-25T10:19:35Z";

#[test]
fn sessions_of_both_operations_are_read() {
    for operation in ["AssumeRole", "AssumeRoleWithWebIdentity"] {
        let minted = read(&reply(200, "text/xml", &session(operation, END, "t&#x2B;k"))).unwrap();
        assert_eq!(minted.expires, clock::parse(END));
        let part = |name| minted.fields.get(name).unwrap().reveal();
        assert_eq!(["access_key_id", "secret_access_key", "session_token"].map(part), ["ASIAX", "s/e+c=", "t+k"]);
    }
}

#[test]
fn what_is_no_session_is_none() {
    let sound = session("AssumeRole", END, "tok");
    for (status, media, body) in [
        (200, "text/html", sound.clone()),
        (200, "text/xml", session("GetSessionToken", END, "tok")),
        (200, "text/xml", session("AssumeRole", "soon", "tok")),
        (200, "text/xml", session("AssumeRole", END, "")),
        (200, "text/xml", session("AssumeRole", END, "a b")),
        (
            200,
            "text/xml",
            format!("<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>{}", session("AssumeRole", END, "&e;")),
        ),
        (200, "text/xml", sound.replace("</AssumeRoleResult></AssumeRoleResponse>", "")),
        (200, "text/xml", String::new()),
        (302, "text/xml", sound.clone()),
        (500, "text/xml", sound),
    ] {
        assert!(matches!(read(&reply(status, media, &body)), Err(Failure::Unavailable(_))), "{status} {media} {body}");
    }
}

#[test]
fn a_refusal_tells_the_code_and_nothing_else() {
    let told = |status, code: &str| {
        let body = format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>role r</Message></Error></ErrorResponse>"
        );
        read(&reply(status, "text/xml", &body)).unwrap_err()
    };
    assert_eq!(told(403, "AccessDenied"), Failure::Refused("AccessDenied".into()));
    assert_eq!(told(400, "PackedPolicyTooLarge"), Failure::Refused("PackedPolicyTooLarge".into()));
    assert_eq!(told(400, "a b"), Failure::Refused("status 400 without a code".into()));
    for (status, code) in [(400, "Throttling"), (400, "IDPCommunicationError"), (503, "ServiceUnavailable"), (500, "x")]
    {
        assert_eq!(told(status, code), Failure::Unavailable(code.into()));
    }
}
