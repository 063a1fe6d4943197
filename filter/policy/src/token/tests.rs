//! Every rule a token can break, one case each.

use serde_json::{Value, json};

use super::*;
use crate::testing::{ISSUER, NOW, RESOURCE, claims, policy, policy_json, sign, token};

const HEADER: &str = r#"{"alg":"EdDSA","kid":"k1","typ":"at+jwt"}"#;

fn verdict(token: &str) -> Result<Verified, Reason> {
    let policy = policy();
    let server = policy.server("crm").unwrap();
    match Prover::default().prove(&Secret::new(token), server, &policy, NOW, NOW) {
        Outcome::Proved(verified) => Ok(verified),
        Outcome::Refused(refusal) => Err(refusal.reason),
        Outcome::Waits(issuer) => panic!("waits for {issuer}"),
    }
}

/// The verdict on a token with one claim changed, or removed by `null`.
fn with(name: &str, value: Value) -> Result<Verified, Reason> {
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    verdict(&token(&claims))
}

#[test]
fn a_sound_token_says_who_acts_for_whom() {
    let token = token(&claims());
    let verified = verdict(&token).unwrap();
    let said = verified.claims();
    assert_eq!((said.agent.as_str(), said.subject.as_str()), ("agent-7", "alice"));
    assert_eq!((said.scopes.to_string().as_str(), said.id.as_deref()), ("crm:read", Some("t1")));
    assert_eq!(verified.issuer(), ISSUER);
    assert_eq!(verified.digest(), &digest(&Secret::new(token)));
}

#[test]
fn an_access_token_has_all_that_its_profile_asks_for_whatever_names_the_agent() {
    let mut json = policy_json();
    json["issuers"]["corp"]["agent_claim"] = json!("sub");
    let policy = crate::config::read(json).unwrap();
    let server = policy.server("crm").unwrap();
    let proves = |claims: &Value| {
        let token = Secret::new(token(claims));
        matches!(Prover::default().prove(&token, server, &policy, NOW, NOW), Outcome::Proved(_))
    };
    assert!(proves(&claims()));
    for name in ["sub", "jti", "iat", "client_id"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        assert!(!proves(&claims), "{name}");
    }
}

#[test]
fn a_token_is_recognised_whoever_it_is_for() {
    let policy = policy();
    let recognise = |claims: &Value| {
        let token = Secret::new(token(claims));
        match Prover::default().recognise(&token, &policy, NOW, NOW) {
            Outcome::Proved(verified) => Ok((verified, token)),
            Outcome::Refused(refusal) => Err(refusal.reason),
            Outcome::Waits(issuer) => panic!("waits for {issuer}"),
        }
    };
    let mut claims = claims();
    claims["aud"] = json!("https://elsewhere.example.test");
    let (verified, text) = recognise(&claims).unwrap();
    assert_eq!(verified.told(&text), Some(claims.clone()));
    assert_eq!(verified.told(&Secret::new(token(&crate::testing::claims()))), None, "another token");
    for (name, value, reason) in [
        ("iss", json!("https://other.example.test"), Reason::TokenIssuer),
        ("exp", json!(NOW.seconds() - 300), Reason::TokenExpired),
        ("nbf", json!(NOW.seconds() + 600), Reason::TokenNotYetValid),
    ] {
        let mut claims = claims.clone();
        claims[name] = value;
        assert_eq!(recognise(&claims).map(drop), Err(reason), "{name}");
    }
}

#[test]
fn the_signature_has_to_be_the_issuers_over_this_text() {
    let text = claims().to_string();
    assert_eq!(verdict(&sign(HEADER, &text, 2)).unwrap_err(), Reason::TokenSignature);
    let sound = token(&claims());
    let (rest, signature) = sound.rsplit_once('.').unwrap();
    let (header, _) = rest.split_once('.').unwrap();
    let mut other = claims();
    other["scope"] = json!("crm:read crm:write");
    let forged = format!("{header}.{}.{signature}", encode(other.to_string().as_bytes()));
    assert_eq!(verdict(&forged).unwrap_err(), Reason::TokenSignature);
    for cut in ["", "AA", signature.get(..80).unwrap(), &format!("{signature}AAAA")] {
        assert_eq!(verdict(&format!("{rest}.{cut}")).unwrap_err(), Reason::TokenSignature, "{cut}");
    }
}

#[test]
fn the_header_has_to_name_the_issuers_algorithm_key_and_type() {
    let text = claims().to_string();
    for (reason, header) in [
        (Reason::TokenAlgorithm, r#"{"alg":"none","kid":"k1","typ":"at+jwt"}"#),
        (Reason::TokenAlgorithm, r#"{"alg":"HS256","kid":"k1","typ":"at+jwt"}"#),
        (Reason::TokenAlgorithm, r#"{"alg":"ES256","kid":"k1","typ":"at+jwt"}"#),
        (Reason::TokenKeyUnknown, r#"{"alg":"EdDSA","kid":"k2","typ":"at+jwt"}"#),
        (Reason::TokenType, r#"{"alg":"EdDSA","kid":"k1"}"#),
        (Reason::TokenType, r#"{"alg":"EdDSA","kid":"k1","typ":"JWT"}"#),
        (Reason::TokenType, r#"{"alg":"EdDSA","kid":"k1","typ":"dpop+jwt"}"#),
        (Reason::TokenMalformed, r#"{"alg":"EdDSA","kid":"k1","typ":"at+jwt","crit":["x"]}"#),
    ] {
        assert_eq!(verdict(&sign(header, &text, 1)).unwrap_err(), reason, "{header}");
    }
    assert!(verdict(&sign(r#"{"alg":"Ed25519","typ":"application/at+jwt"}"#, &text, 1)).is_ok());
}

#[test]
fn the_token_has_to_be_for_this_server() {
    for (reason, name, value) in [
        (Reason::TokenIssuer, "iss", json!("https://idp.example.test/")),
        (Reason::TokenIssuer, "iss", json!(["https://idp.example.test"])),
        (Reason::TokenIssuer, "iss", Value::Null),
        (Reason::TokenAudience, "aud", json!("https://gateway.example.test/crm/mcp/")),
        (Reason::TokenAudience, "aud", json!("https://gateway.example.test/crm")),
        (Reason::TokenAudience, "aud", json!([])),
        (Reason::TokenAudience, "aud", json!([RESOURCE, 1])),
        (Reason::TokenAudience, "aud", json!({ RESOURCE: true })),
        (Reason::TokenAudience, "aud", Value::Null),
    ] {
        assert_eq!(with(name, value.clone()).unwrap_err(), reason, "{name} {value}");
    }
    assert!(with("aud", json!(["https://other.example.test", RESOURCE])).is_ok());
}

#[test]
fn the_token_has_to_be_for_this_moment() {
    let now = NOW.seconds();
    for (verdict, name, value) in [
        (None, "exp", json!(now - 29)),
        (Some(Reason::TokenExpired), "exp", json!(now - 30)),
        (Some(Reason::TokenExpired), "exp", json!(0)),
        (Some(Reason::TokenMalformed), "exp", Value::Null),
        (Some(Reason::TokenMalformed), "exp", json!("1900000000")),
        (Some(Reason::TokenMalformed), "exp", json!(-1)),
        (Some(Reason::TokenMalformed), "exp", json!(1e300)),
        (Some(Reason::TokenLifetime), "exp", json!(now + 3601)),
        (Some(Reason::TokenLifetime), "exp", json!(u64::MAX)),
        (None, "nbf", json!(now + 30)),
        (None, "nbf", Value::Null),
        (Some(Reason::TokenNotYetValid), "nbf", json!(now + 31)),
        (Some(Reason::TokenMalformed), "nbf", json!(-9_223_372_036_854_775_808_i64)),
        (Some(Reason::TokenMalformed), "nbf", json!(true)),
        (Some(Reason::TokenNotYetValid), "iat", json!(now + 31)),
        (Some(Reason::TokenLifetime), "iat", json!(now - 3600)),
    ] {
        assert_eq!(with(name, value.clone()).err(), verdict, "{name} {value}");
    }
}

#[test]
fn claims_are_read_strictly() {
    for (name, value) in [
        ("client_id", Value::Null),
        ("client_id", json!(7)),
        ("client_id", json!("")),
        ("client_id", json!("a\nb")),
        ("sub", json!(["alice"])),
        ("scope", json!(7)),
        ("scope", json!(["crm:read", 7])),
        ("scope", json!("crm:\"read")),
        ("jti", json!(1)),
    ] {
        assert_eq!(with(name, value.clone()).unwrap_err(), Reason::TokenMalformed, "{name} {value}");
    }
    let twice = claims().to_string().replacen('{', r#"{"scope":"crm:admin","#, 1);
    assert_eq!(verdict(&sign(HEADER, &twice, 1)).unwrap_err(), Reason::TokenMalformed);
    assert_eq!(verdict(&sign(HEADER, "[]", 1)).unwrap_err(), Reason::TokenMalformed);
    assert_eq!(with("scope", json!(["crm:read"])).unwrap().claims().scopes.to_string(), "crm:read");
    assert!(with("scope", Value::Null).unwrap().claims().scopes.is_empty());
}

#[test]
fn an_at_jwt_is_complete() {
    for name in ["sub", "jti", "iat"] {
        assert_eq!(with(name, Value::Null).unwrap_err(), Reason::TokenMalformed, "{name}");
    }
    let mut json = policy_json();
    json["issuers"]["corp"]["typ"] = json!("any");
    let policy = crate::config::read(json).unwrap();
    let mut claims = claims();
    for name in ["sub", "jti", "iat"] {
        claims.as_object_mut().unwrap().remove(name);
    }
    let token = Secret::new(token(&claims));
    match Prover::default().prove(&token, policy.server("crm").unwrap(), &policy, NOW, NOW) {
        Outcome::Proved(verified) => assert_eq!(verified.claims().subject, "agent-7"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_chain_is_read_current_actor_first() {
    let chain = json!({ "sub": "planner", "exp": 1, "act": { "sub": "researcher" } });
    let verified = with("act", chain).unwrap();
    assert_eq!(verified.claims().chain.names().collect::<Vec<_>>(), ["planner", "researcher"]);
    assert_eq!(with("act", json!([])).unwrap_err(), Reason::ChainMalformed);
    assert_eq!(with("may_act", json!([])).unwrap_err(), Reason::ChainMalformed);
}

#[test]
fn an_issuer_the_server_does_not_name_is_refused() {
    let mut json = policy_json();
    json["issuers"]["other"] = json["issuers"]["corp"].clone();
    json["issuers"]["other"]["issuer"] = json!("https://other.example.test");
    let policy = crate::config::read(json).unwrap();
    let mut claims = claims();
    claims["iss"] = json!("https://other.example.test");
    let token = Secret::new(token(&claims));
    let outcome = Prover::default().prove(&token, policy.server("crm").unwrap(), &policy, NOW, NOW);
    assert!(matches!(outcome, Outcome::Refused(Refusal { reason: Reason::TokenIssuer, .. })));
}

#[test]
fn a_status_list_is_fetched_only_from_the_issuers_origins() {
    let mut json = policy_json();
    json["issuers"]["corp"]["status"] = json!({ "cluster": "status", "origins": ["https://status.example.test"] });
    let policy = crate::config::read(json).unwrap();
    let server = policy.server("crm").unwrap();
    let prove = |uri: &str| {
        let mut claims = claims();
        claims["status"] = json!({ "status_list": { "uri": uri, "idx": 0 } });
        let mut prover = Prover::default();
        let outcome = prover.prove(&Secret::new(token(&claims)), server, &policy, NOW, NOW);
        let asked = prover.wanted(&policy).len();
        (matches!(outcome, Outcome::Waits(_)), asked)
    };
    for own in ["https://idp.example.test/1", "https://status.example.test/1"] {
        assert_eq!(prove(own), (true, 1), "{own}");
    }
    for other in [
        "http://idp.example.test/1",
        "https://idp.example.test:8443/1",
        "https://idp.example.test.evil.example/1",
        "https://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:10002/v1/agents",
    ] {
        assert_eq!(prove(other), (false, 0), "{other}");
    }
}
