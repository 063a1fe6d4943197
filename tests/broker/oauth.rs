//! Tokens of another authorization server, a real one: shared and kept, or exchanged and revoked; and odd ones.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeyPair as Rsa, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use harness::parts::{Format, Oidc, Settings};
use harness::stack::broker::SECRET;
use harness::stack::fresh;
use harness::{Alg, Issuer, Token};
use serde_json::{Value, json};

use super::odd::{Odd, Oddity};
use super::support::{Answer, Desk, FOREIGN, RESOURCE, policy};

const API: &str = "https://api.example.test";

/// A secret with letters that a form and a header write differently.
const GIVEN: &str = "given: s3cret+/&%";

fn agents() -> Issuer {
    Issuer::new(FOREIGN).at_now()
}

fn token(agents: &Issuer) -> Token {
    agents.token().alg(Alg::Es256).audience(RESOURCE).scope("crm:read")
}

async fn exchange(desk: &Desk, token: &str) -> Answer {
    desk.exchange(token, "crm_lookup", "crm:read", |_| ()).await
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der))
}

#[tokio::test]
async fn many_calls_share_one_token_of_client_credentials() {
    let settings = Settings::default().client("broker: 1", GIVEN).resource(API, "crm:read", Format::Jwt, 3600);
    let Some(oidc) = Oidc::start(&fresh("oauth-shared"), &settings).await else { return };
    let credential = json!({
        "kind": "oauth", "grant": "client_credentials", "token_endpoint": oidc.token_endpoint(), "resource": API,
        "client": { "id": "broker: 1", "secret_file": "given" }, "ttl": "5m",
    });
    let agents = agents();
    let desk = Desk::holding("oauth-shared", &policy(&agents), &credential, &[("given", GIVEN)]).await;
    let subjects: Vec<_> = (0..12).map(|_| token(&agents).sign()).collect();
    let mut minted = Vec::new();
    for pair in subjects.chunks(2) {
        let (one, two) = tokio::join!(exchange(&desk, &pair[0]), exchange(&desk, &pair[1]));
        for answer in [one, two] {
            assert_eq!(answer.status, 200, "{answer:?}");
            minted.push(answer.text("access_token"));
            assert!(answer.body["expires_in"].as_u64() <= Some(300));
        }
    }
    assert!(minted.iter().all(|token| *token == minted[0]));
    let requests = oidc.requests("/token");
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!(
        (requests[0].scope.as_deref(), requests[0].auth.as_deref()),
        (Some("crm:read"), Some("client_secret_basic"))
    );
    let traces = desk.traces().await;
    assert!([GIVEN, &minted[0], &subjects[0]].iter().all(|secret| !traces.contains(*secret)));
}

#[tokio::test]
async fn a_key_proves_the_broker_too() {
    let (curve, rsa) =
        (EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(), Rsa::generate(KeySize::Rsa2048).unwrap());
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let point = curve.public_key().as_ref();
    let (n, e) = (rsa.public_key().modulus(), rsa.public_key().exponent());
    let public = json!({ "keys": [
        { "kty": "EC", "crv": "P-256", "kid": "ec", "use": "sig", "x": text(&point[1..33]), "y": text(&point[33..]) },
        { "kty": "RSA", "kid": "rsa", "use": "sig", "n": text(n.big_endian_without_leading_zero()),
          "e": text(e.big_endian_without_leading_zero()) },
    ] });
    let keys = [
        ("ec", "ES256", pem(curve.to_pkcs8v1().unwrap().as_ref())),
        ("rsa", "PS256", pem(rsa.as_der().unwrap().as_ref())),
    ];
    for (kid, alg, key) in keys {
        let mut registered = Settings::default().client_with_key("broker", &public);
        registered = registered.resource(API, "crm:read", Format::Jwt, 60);
        let Some(oidc) = Oidc::start(&fresh(&format!("oauth-key-{kid}")), &registered).await else { return };
        let credential = json!({
            "kind": "oauth", "grant": "client_credentials", "token_endpoint": oidc.token_endpoint(), "resource": API,
            "client": { "id": "broker", "key_file": "key.pem", "kid": kid, "alg": alg },
        });
        let agents = agents();
        let desk =
            Desk::holding(&format!("oauth-key-{kid}"), &policy(&agents), &credential, &[("key.pem", &key)]).await;
        let answer = exchange(&desk, &token(&agents).sign()).await;
        assert_eq!(answer.status, 200, "{answer:?} {}", desk.broker.process.log());
        assert_eq!(oidc.requests("/token")[0].auth.as_deref(), Some("private_key_jwt"));
    }
}

#[tokio::test]
async fn an_exchanged_token_is_for_one_call_and_revoked_with_its_lease() {
    let agents = agents();
    let settings = Settings::default().client("broker", GIVEN).exchange(FOREIGN, RESOURCE, &agents.jwks());
    let settings = settings.resource(API, "crm:read", Format::Opaque, 3600);
    let Some(oidc) = Oidc::start(&fresh("oauth-exchange"), &settings).await else { return };
    let credential = json!({
        "kind": "oauth", "grant": "token_exchange", "actor": true, "token_endpoint": oidc.token_endpoint(),
        "revocation_endpoint": oidc.revocation_endpoint(), "client": { "id": "broker", "secret_file": "given" },
        "resource": API, "ttl": "2s",
    });
    let desk = Desk::holding("oauth-exchange", &policy(&agents), &credential, &[("given", GIVEN)]).await;
    let subject = token(&agents).claim("sub", "alice").sign();
    let first = exchange(&desk, &subject).await;
    let second = exchange(&desk, &subject).await;
    assert_eq!((first.status, second.status), (200, 200), "{first:?} {}", desk.broker.process.log());
    let [first, second] = [first, second].map(|answer| (answer.text("access_token"), answer.text("lease_id")));
    assert_ne!(first.0, second.0);
    let active = async |token: &str| {
        let request =
            desk.http.post(oidc.introspection_endpoint()).basic_auth("broker", Some("given%3A+s3cret%2B%2F%26%25"));
        let answer = request.form(&[("token", token)]).send().await.unwrap().json::<Value>().await.unwrap();
        answer["active"].as_bool().unwrap_or_else(|| panic!("{answer}"))
    };
    assert!(active(&first.0).await);
    assert_eq!(desk.revoke_lease(&first.1).await, "revoked");
    assert!(!active(&first.0).await);
    let began = tokio::time::Instant::now();
    while active(&second.0).await {
        assert!(began.elapsed().as_secs() < 20, "the token lives on after its lease");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let traces = desk.traces().await;
    assert!([GIVEN, &first.0, &second.0, &subject].iter().all(|secret| !traces.contains(*secret)));
}

#[tokio::test]
async fn a_server_that_refuses_is_told_by_its_code_to_operators_only() {
    let agents = agents();
    let settings =
        Settings::default().client("broker", GIVEN).exchange(FOREIGN, "https://other.example.test", &agents.jwks());
    let settings = settings.resource(API, "crm:read", Format::Opaque, 3600);
    let Some(oidc) = Oidc::start(&fresh("oauth-refused"), &settings).await else { return };
    let credential = json!({
        "kind": "oauth", "grant": "token_exchange", "token_endpoint": oidc.token_endpoint(), "resource": API,
        "client": { "id": "broker", "secret_file": "given" },
    });
    let desk = Desk::holding("oauth-refused", &policy(&agents), &credential, &[("given", GIVEN)]).await;
    let answer = exchange(&desk, &token(&agents).sign()).await;
    assert_eq!(answer.error(), (403, "access_denied"));
    assert!(!answer.body.to_string().contains("invalid_grant"));
    let wrong = json!({ "client": { "id": "broker", "secret_file": "secret" } });
    let mut credential = credential;
    credential["client"] = wrong["client"].clone();
    let desk = Desk::holding("oauth-wrong", &policy(&agents), &credential, &[]).await;
    assert_eq!(exchange(&desk, &token(&agents).sign()).await.error(), (403, "access_denied"));
    assert!(!desk.traces().await.contains(SECRET));
}

#[tokio::test]
async fn an_odd_server_mints_nothing() {
    let (odd, agents) = (Odd::start().await, agents());
    let credential = |grant: &str| {
        json!({
            "kind": "oauth", "grant": grant, "token_endpoint": format!("{}/token", odd.url),
            "client": { "id": "broker", "secret_file": "given" },
        })
    };
    let mut revoked = credential("token_exchange");
    revoked["revocation_endpoint"] = json!(format!("{}/revoke", odd.url));
    let sound = |change: Value| {
        let mut body = json!({
            "access_token": "odd-token", "token_type": "Bearer", "expires_in": 60,
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        body.to_string()
    };
    let json = "application/json";
    let oddities = [
        Oddity::Says(500, json, sound(json!({}))),
        Oddity::Says(200, "text/html", sound(json!({}))),
        Oddity::Says(200, json, sound(json!({ "token_type": "mac" }))),
        Oddity::Says(200, json, sound(json!({ "scope": "crm:read crm:admin" }))),
        Oddity::Says(200, json, sound(json!({ "access_token": "odd-token\r\nx-admin: 1" }))),
        Oddity::Says(200, json, "[]".into()),
        Oddity::Redirects,
        Oddity::Floods,
    ];
    for (name, credential) in [("client", credential("client_credentials")), ("exchange", revoked)] {
        let desk =
            Desk::holding(&format!("oauth-odd-{name}"), &policy(&agents), &credential, &[("given", GIVEN)]).await;
        odd.be(Oddity::Says(200, json, sound(json!({}))));
        assert_eq!(exchange(&desk, &token(&agents).sign()).await.status, 200, "{}", desk.broker.process.log());
    }
    let desk =
        Desk::holding("oauth-odd", &policy(&agents), &credential("client_credentials"), &[("given", GIVEN)]).await;
    for oddity in oddities {
        odd.be(oddity.clone());
        odd.asked();
        let answer = exchange(&desk, &token(&agents).sign()).await;
        assert_eq!(answer.error(), (503, "temporarily_unavailable"), "{oddity:?}");
        assert_eq!(odd.asked(), ["POST /token"], "{oddity:?}");
    }
    odd.be(Oddity::Sleeps);
    let began = tokio::time::Instant::now();
    assert_eq!(exchange(&desk, &token(&agents).sign()).await.error(), (503, "temporarily_unavailable"));
    assert!(began.elapsed().as_secs() < 8);
    odd.be(Oddity::Says(400, json, json!({ "error": "invalid_scope", "error_description": "odd-token" }).to_string()));
    assert_eq!(exchange(&desk, &token(&agents).sign()).await.error(), (403, "access_denied"));
    let traces = desk.traces().await;
    assert!([GIVEN, "odd-token"].iter().all(|secret| !traces.contains(secret)));
}

#[tokio::test]
async fn a_token_that_is_not_what_was_asked_for_is_revoked_at_once() {
    let (odd, agents) = (Odd::start().await, agents());
    let credential = json!({
        "kind": "oauth", "grant": "token_exchange", "token_endpoint": format!("{}/token", odd.url),
        "revocation_endpoint": format!("{}/revoke", odd.url), "client": { "id": "broker", "secret_file": "given" },
    });
    let desk = Desk::holding("oauth-revoked", &policy(&agents), &credential, &[("given", GIVEN)]).await;
    let body = json!({ "access_token": "odd-token", "token_type": "mac" }).to_string();
    odd.be(Oddity::Says(200, "application/json", body));
    assert_eq!(exchange(&desk, &token(&agents).sign()).await.error(), (503, "temporarily_unavailable"));
    assert_eq!(odd.asked()[..2], ["POST /token", "POST /revoke"]);
}
