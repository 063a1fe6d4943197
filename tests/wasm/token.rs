//! Which tokens prove who calls, and what the others are told.

use crate::support::*;
use harness::issuer::{corrupt, forge};
use harness::{Alg, Request, START};
use serde_json::json;

fn lookup() -> Request {
    raw("", call("crm_lookup").to_string()).without("authorization")
}

fn invalid() -> String {
    format!("Bearer error=\"invalid_token\", resource_metadata=\"{METADATA}\"")
}

#[test]
fn a_call_without_a_token_is_asked_for_one_and_told_of_no_error() {
    let proxy = start();
    let without = proxy.run(lookup());
    let challenge = format!("Bearer resource_metadata=\"{METADATA}\"");
    assert_eq!(denied(&without, 401, "token_missing").challenge(), challenge);
    for value in ["Basic YWdlbnQ6c2VjcmV0", "bearer", "Bearer ", "", "DPoP", "Negotiate", &token()] {
        let other = proxy.run(lookup().header("authorization", value));
        assert_eq!(denied(&other, 401, "token_missing").challenge(), challenge, "{value}");
    }
}

#[test]
fn every_flaw_of_a_token_is_refused_with_the_same_challenge() {
    let proxy = start();
    let issuer = issuer();
    let sound = issuer.token().sign();
    let pem = issuer.public_pem();
    let header = r#"{"alg":"ES256","kid":"ec-1","typ":"at+jwt","crit":["x"],"x":1}"#;
    for (reason, token) in [
        ("token_malformed", "text".to_owned()),
        ("token_malformed", "a.b".into()),
        ("token_malformed", "a.b.c".into()),
        ("token_malformed", format!("{sound}.AA")),
        ("token_malformed", format!("{sound}=")),
        ("token_malformed", format!("{sound} ,")),
        ("token_malformed", format!("x{sound}")),
        ("token_malformed", format!("{sound}{}", "A".repeat(9000))),
        ("token_malformed", issuer.sign(Alg::Es256, header, "{\"iss\":\"https://idp.example.com\"}")),
        ("token_malformed", issuer.token().header("crit", json!(["exp"])).sign()),
        ("token_malformed", issuer.token().header("b64", false).sign()),
        ("token_malformed", issuer.token().header("jwk", issuer.jwk(Alg::Es256)).sign()),
        ("token_malformed", issuer.token().header("jku", "https://evil.example/jwks").sign()),
        ("token_malformed", issuer.token().without("exp").sign()),
        ("token_malformed", issuer.token().without("client_id").sign()),
        ("token_expired", issuer.token().expired().sign()),
        ("token_expired", issuer.token().claim("exp", START - 30).sign()),
        ("token_not_yet_valid", issuer.token().claim("nbf", START + 31).sign()),
        ("token_not_yet_valid", issuer.token().claim("iat", START + 31).sign()),
        ("token_lifetime", issuer.token().claim("exp", START + 3601).sign()),
        ("token_issuer", issuer.token().claim("iss", "https://idp.example.com/").sign()),
        ("token_issuer", issuer.token().claim("iss", json!(["https://idp.example.com"])).sign()),
        ("token_issuer", issuer.token().without("iss").sign()),
        ("token_audience", issuer.token().audience("https://gateway.example.com/crm/mcp/").sign()),
        ("token_audience", issuer.token().audience("https://gateway.example.com/crm").sign()),
        ("token_audience", issuer.token().without("aud").sign()),
        ("token_signature", issuer.token().sign_foreign()),
        ("token_signature", issuer.token().alg(Alg::Rs256).sign_foreign()),
        ("token_signature", issuer.token().alg(Alg::EdDsa).sign_foreign()),
        ("token_signature", forge(&sound, "scope", "crm:admin")),
        ("token_signature", corrupt(&sound)),
        ("token_signature", sound.rsplit_once('.').unwrap().0.to_owned() + "."),
        ("token_algorithm", issuer.token().unsigned()),
        ("token_algorithm", issuer.token().alg(Alg::Rs256).sign_hmac(pem.as_bytes())),
        ("token_algorithm", issuer.token().alg(Alg::Rs256).sign_hmac(&issuer.public_der())),
        ("token_algorithm", issuer.token().alg(Alg::Ps256).sign()),
        ("token_algorithm", issuer.token().header("alg", "es256").sign()),
        ("token_key_unknown", issuer.token().kid("ec-2").sign()),
        ("token_key_unknown", issuer.token().kid("rsa-1").sign()),
        ("token_type", issuer.token().header("typ", "JWT").sign()),
        ("token_type", issuer.token().without_header("typ").sign()),
        ("token_type", issuer.token().header("typ", "dpop+jwt").sign()),
        ("token_type", issuer.token().header("cty", "JWT").sign()),
    ] {
        let refused = proxy.run(lookup().bearer(&token));
        assert_eq!(denied(&refused, 401, reason).challenge(), invalid(), "{token}");
    }
}

#[test]
fn a_broken_chain_of_actors_is_forbidden_without_a_challenge() {
    let proxy = start();
    for (reason, act) in [
        ("chain_malformed", json!("planner")),
        ("chain_malformed", json!({ "sub": 7 })),
        ("chain_too_deep", (0..17).fold(json!({ "sub": "a" }), |inner, _| json!({ "sub": "a", "act": inner }))),
    ] {
        let token = issuer().token().claim("act", act).sign();
        denied(&proxy.run(lookup().bearer(&token)), 403, reason);
    }
}

#[test]
fn the_issuers_algorithms_are_all_accepted() {
    let proxy = start();
    for alg in [Alg::Rs256, Alg::Es256, Alg::EdDsa] {
        let sound = issuer().token().alg(alg);
        proxy.run(lookup().bearer(&sound.clone().sign())).forwarded();
        proxy.run(lookup().bearer(&sound.clone().without_header("kid").sign())).forwarded();
        proxy.run(lookup().bearer(&sound.header("typ", "application/AT+JWT").sign())).forwarded();
    }
}

#[test]
fn the_scheme_is_read_in_any_case_and_white_space_around_is_no_content() {
    let proxy = start();
    for value in [format!("bearer {}", reader()), format!("BEARER {}\t", reader()), format!(" Bearer {}", reader())] {
        proxy.run(lookup().header("authorization", &value)).forwarded();
    }
    let two = format!("Bearer  {}", reader());
    denied(&proxy.run(lookup().header("authorization", two)), 401, "token_malformed");
}

#[test]
fn two_tokens_are_a_malformed_request() {
    let proxy = start();
    let token = reader();
    for other in [format!("Bearer {token}"), "Bearer other".into(), "Basic x".into(), String::new()] {
        let twice = lookup().bearer(&token).header("authorization", &other);
        denied(&proxy.run(twice), 400, "request_malformed");
    }
}

#[test]
fn a_challenge_depends_on_nothing_but_the_call_and_the_principal() {
    let proxy = start();
    let ask = |request: &Request| {
        let reply = proxy.run(request.clone()).replied();
        (reply.status, reply.challenge().to_owned())
    };
    let expired = lookup().bearer(&issuer().token().expired().sign());
    let narrow = raw(&reader(), call("crm_update").to_string());
    for request in [lookup(), expired, narrow] {
        assert_eq!(ask(&request), ask(&request.clone().header("x-request-id", "other")));
    }
}

#[test]
fn a_token_is_judged_again_when_time_has_passed() {
    let proxy = start();
    let token = reader();
    proxy.run(lookup().bearer(&token)).forwarded();
    proxy.advance(std::time::Duration::from_secs(629));
    proxy.run(lookup().bearer(&token)).forwarded();
    proxy.advance(std::time::Duration::from_secs(1));
    denied(&proxy.run(lookup().bearer(&token)), 401, "token_expired");
}

#[test]
fn bytes_that_are_no_text_harm_nobody() {
    let proxy = start();
    let odd = [b'a', 0x80, 0xff];
    let passed = proxy.run(lookup().bearer(&reader()).header("x-odd", odd)).forwarded();
    assert_eq!(passed.headers.bytes("x-odd"), Some(&odd[..]));
    denied(&proxy.run(lookup().header("authorization", [&b"Bearer "[..], &odd].concat())), 400, "request_malformed");
    denied(&proxy.run(lookup().bearer(&reader()).header(":path", odd)), 403, "server_unmatched");
    denied(&proxy.run(lookup().bearer(&reader()).header(":authority", odd)), 403, "server_unmatched");
    denied(&proxy.run(lookup().bearer(&reader()).header(":method", odd)), 403, "method_unknown");
    let kind = lookup().without("content-type").header("content-type", odd);
    denied(&proxy.run(kind.bearer(&reader())), 400, "request_malformed");
    let version = lookup().without("mcp-protocol-version").header("mcp-protocol-version", odd);
    denied(&proxy.run(version.bearer(&reader())), 400, "header_mismatch");
    for name in ["x-request-id", "traceparent", "upgrade-insecure-requests", "mcp-name", "x-accredit-odd"] {
        proxy.run(lookup().bearer(&reader()).header(name, odd)).forwarded();
    }
}
