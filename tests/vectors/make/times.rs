//! Claims of another type or of another time, issuer, or audience.

use crate::case;
use crate::policy::{BRIEF, CORP, RESOURCE, STRANGER, owner};
use crate::token::{PAST, of, plain};
use harness::{Alg, Token};
use serde_json::{Value, json};

/// 2001-09-09 and 2099-01-01: past and future under every clock a test may have.
const LONG_AGO: u64 = 1_000_000_000;
const TO_COME: u64 = 4_070_908_800;

const MALFORMED: Option<&str> = Some("token_malformed");

pub fn cases() -> Vec<Value> {
    [types(), overflow(), meant(), lifetime()].concat()
}

fn types() -> Vec<Value> {
    let mut cases = Vec::new();
    for (name, value) in [
        ("text", json!("4102444800")),
        ("true", json!(true)),
        ("null", Value::Null),
        ("list", json!([4_102_444_800_u64])),
        ("object", json!({})),
    ] {
        for claim in ["exp", "nbf", "iat"] {
            let token = plain().claim(claim, value.clone()).sign();
            cases.push(case("type-confusion", &format!("`{claim}` is a {name}"), token, MALFORMED));
        }
    }
    for (claim, value) in [
        ("sub", json!(["agent-1"])),
        ("client_id", json!(7)),
        ("client_id", json!("agent\n1")),
        ("client_id", json!("")),
        ("jti", json!(1)),
        ("scope", json!({ "crm:read": true })),
        ("scope", json!(["crm:read", 7])),
        ("cnf", json!("key")),
    ] {
        let name = format!("`{claim}` is {value}");
        cases.push(case("type-confusion", &name, plain().claim(claim, value).sign(), MALFORMED));
    }
    for (name, value) in [
        ("no object", json!("planner")),
        ("without a name", json!({ "x": 1 })),
        ("a list", json!([{ "sub": "planner" }])),
    ] {
        let token = plain().claim("act", value).sign();
        cases.push(case("type-confusion", &format!("`act` is {name}"), token, Some("chain_malformed")));
    }
    cases
}

/// Times at the ends of what numbers can hold. `-2^63` once made a library panic.
fn overflow() -> Vec<Value> {
    let with = |claim: &str, number: &str| {
        let header = r#"{"alg":"ES256","kid":"es256","typ":"at+jwt"}"#;
        let whose = r#""sub":"a","client_id":"a","jti":"t","scope":"crm:read""#;
        let claims = format!(r#"{{"iss":"{CORP}","aud":"{RESOURCE}",{whose},"iat":{PAST},"{claim}":{number}"#);
        let claims = match claim {
            "exp" => claims,
            _ => claims + r#","exp":4102444800"#,
        };
        owner().sign(Alg::Es256, header, &format!("{claims}}}"))
    };
    [
        ("exp", "-1", MALFORMED),
        ("exp", "-9223372036854775808", MALFORMED),
        ("exp", "1e300", MALFORMED),
        ("exp", "18446744073709551615", Some("token_lifetime")),
        ("exp", "18446744073709551616", MALFORMED),
        ("exp", "99999999999999999999999999", MALFORMED),
        ("exp", "0", Some("token_expired")),
        ("nbf", "-9223372036854775808", MALFORMED),
        ("nbf", "-1e300", MALFORMED),
        ("nbf", "18446744073709551615", Some("token_not_yet_valid")),
        ("nbf", "9007199254740993.5", MALFORMED),
        ("exp", "4102444799.5", None),
    ]
    .map(|(claim, number, reason)| case("time-overflow", &format!("{claim}: {number}"), with(claim, number), reason))
    .to_vec()
}

/// For whom and by whom.
fn meant() -> Vec<Value> {
    let (issuer, audience) = (Some("token_issuer"), Some("token_audience"));
    let cases: Vec<(&str, Token, Option<&str>)> = vec![
        ("an issuer nobody knows", plain().claim("iss", "https://evil.example"), issuer),
        ("an issuer with a slash more", plain().claim("iss", "https://corp.example.com/"), issuer),
        ("an issuer in capitals", plain().claim("iss", "https://CORP.example.com"), issuer),
        ("a list of issuers", plain().claim("iss", json!(["https://corp.example.com"])), issuer),
        ("no issuer", plain().without("iss"), issuer),
        ("an issuer of another server", of(STRANGER, "stranger-es256", Alg::Es256), issuer),
        ("the key of one issuer, the name of another", of(BRIEF, "es256", Alg::Es256), Some("token_key_unknown")),
        ("the audience of another server", plain().audience("https://gateway.example.com/hr/mcp"), audience),
        ("an audience with a slash more", plain().audience("https://gateway.example.com/crm/mcp/"), audience),
        ("the beginning of the audience", plain().audience("https://gateway.example.com/crm"), audience),
        ("the audience in capitals", plain().audience("https://GATEWAY.example.com/crm/mcp"), audience),
        ("no audience", plain().without("aud"), audience),
        ("an empty list of audiences", plain().claim("aud", json!([])), audience),
        ("a number among the audiences", plain().claim("aud", json!([RESOURCE, 1])), audience),
        ("an object for an audience", plain().claim("aud", json!({ RESOURCE: true })), audience),
        ("one audience of two", plain().claim("aud", json!(["https://other.example.com", RESOURCE])), None),
    ];
    cases.into_iter().map(|(name, token, reason)| case("claims", name, token.sign(), reason)).collect()
}

fn lifetime() -> Vec<Value> {
    let cases: Vec<(&str, Token, Option<&str>)> = vec![
        (
            "of 2001",
            plain().claim("iat", LONG_AGO).claim("nbf", LONG_AGO).claim("exp", LONG_AGO + 600),
            Some("token_expired"),
        ),
        ("begins in 2099", plain().claim("nbf", TO_COME), Some("token_not_yet_valid")),
        ("issued in 2099", plain().claim("iat", TO_COME), Some("token_not_yet_valid")),
        ("without an end", plain().without("exp"), MALFORMED),
        ("without a beginning", plain().without("nbf"), None),
        ("without `iat`", plain().without("iat"), MALFORMED),
        ("without `jti`", plain().without("jti"), MALFORMED),
        ("without `sub`", plain().without("sub"), MALFORMED),
        ("without an agent", plain().without("client_id"), MALFORMED),
        ("of a century from an issuer of hours", of(BRIEF, "brief-es256", Alg::Es256), Some("token_lifetime")),
    ];
    cases.into_iter().map(|(name, token, reason)| case("claims", name, token.sign(), reason)).collect()
}
