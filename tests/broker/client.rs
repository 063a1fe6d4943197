//! How clients prove who they are, and how little an answer tells when they do not.

use harness::stack::broker::SECRET;
use harness::{Alg, Issuer};
use jsonwebtoken::{Algorithm, Header};
use serde_json::{Value, json};

use super::clients::{GRANT, Key, Secure, TYPE, WORKLOAD, alike, assertion, desk, desk_with, now, said, send};
use super::support::{Answer, Desk, FOREIGN};

const WRONG: &str = "another-secret-of-thirty-two-characters";

#[tokio::test]
async fn an_agent_proves_itself_with_its_key() {
    let desk = desk("client-key").await;
    let with = |name: &str, value: Value| {
        let mut claims = assertion(&desk, "signer");
        claims[name] = value;
        Key::signer().sign(&claims)
    };
    for audience in [json!(desk.broker.url), json!([desk.broker.url]), json!(desk.url("/token"))] {
        let answer = desk.assert(&with("aud", audience.clone())).await;
        assert_eq!(answer.status, 200, "{audience}: {answer:?}");
        assert_eq!(said(&answer.text("access_token"))["client_id"], "signer");
    }
    let named = with("nbf", json!(now()));
    let form = [GRANT, TYPE, ("client_assertion", &named), ("client_id", "signer")];
    assert_eq!(desk.post("/token", &form).await.status, 200);
    for path in ["/introspect", "/revoke"] {
        let assertion = with("nbf", json!(now()));
        let answer = desk.post(path, &[TYPE, ("client_assertion", &assertion), ("token", "x")]).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
}

async fn metadata(desk: &Desk) -> Value {
    let url = desk.url("/.well-known/oauth-authorization-server");
    desk.http.get(url).send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn the_metadata_says_what_is_taken_here() {
    let methods = ["client_secret_basic", "private_key_jwt", "tls_client_auth"];
    let secure = Secure::open("client-metadata-tls").await;
    let plain = desk("client-metadata").await;
    for (desk, methods, certificates) in [(&secure.desk, &methods[..], true), (&plain, &methods[..2], false)] {
        let document = metadata(desk).await;
        for endpoint in ["token", "introspection", "revocation"] {
            assert_eq!(document[format!("{endpoint}_endpoint_auth_methods_supported")], json!(methods));
        }
        assert_eq!(document["tls_client_certificate_bound_access_tokens"], certificates);
        assert_eq!(document["introspection_endpoint"], desk.url("/introspect"));
        assert_eq!(document["revocation_endpoint"], desk.url("/revoke"));
        assert_eq!(document["scopes_supported"], json!(["crm:read", "crm:write"]));
        assert!(document["dpop_signing_alg_values_supported"].as_array().unwrap().contains(&json!("ES256")));
    }
}

#[tokio::test]
async fn every_algorithm_that_is_announced_is_taken() {
    let corp = Issuer::new(FOREIGN);
    let algs = [Alg::Es256, Alg::Es384, Alg::EdDsa, Alg::Ps256, Alg::Rs256];
    let keys = corp.jwks_for(&algs);
    let desk = desk_with("client-algorithms", |config| config["agents"][1]["jwks"] = keys).await;
    let document = metadata(&desk).await;
    let names: Vec<_> = algs.iter().map(|alg| alg.name()).collect();
    assert_eq!(document["token_endpoint_auth_signing_alg_values_supported"], json!(names));
    for alg in Alg::ALL {
        let header = json!({ "alg": alg.name(), "kid": alg.kid() }).to_string();
        let answer = desk.assert(&corp.sign(alg, &header, &assertion(&desk, "signer").to_string())).await;
        assert_eq!(answer.status, if algs.contains(&alg) { 200 } else { 401 }, "{alg:?}: {answer:?}");
    }
}

#[tokio::test]
async fn each_flaw_of_an_assertion_is_refused_alike() {
    let desk = desk("client-flaws").await;
    let sound = || assertion(&desk, "signer");
    let with = |name: &str, value: Value| {
        let mut claims = sound();
        claims[name] = value;
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        Key::signer().sign(&claims)
    };
    let plain = || Header::new(Algorithm::ES256);
    let other = json!("https://other.example.test");
    let mut assertions = vec![
        with("iss", json!("agent-7")),
        with("sub", json!("agent-7")),
        with("iss", Value::Null),
        with("sub", Value::Null),
        with("aud", other.clone()),
        with("aud", json!([desk.broker.url, other])),
        with("aud", json!(desk.url("/introspect"))),
        with("aud", Value::Null),
        with("exp", json!(now() - 1)),
        with("exp", json!(now() + 400)),
        with("exp", Value::Null),
        with("iat", json!(now() + 60)),
        with("iat", json!(now() - 600)),
        with("nbf", json!(now() + 60)),
        with("jti", Value::Null),
        with("jti", json!("")),
        with("jti", json!("x".repeat(300))),
        Key::new("signer-1").sign(&sound()),
        Key::signer().sign(&assertion(&desk, "nobody")),
        Key::signer().sign_as(Header { kid: Some("other".into()), ..plain() }, &sound()),
        Key::signer().sign_as(Header { typ: Some("at+jwt".into()), ..plain() }, &sound()),
        Key::signer().sign_as(Header { typ: Some("dpop+jwt".into()), ..plain() }, &sound()),
        Key::signer().sign_as(Header { jku: Some("https://evil.example.test".into()), ..plain() }, &sound()),
        Key::signer().sign_as(Header { cty: Some("JWT".into()), ..plain() }, &sound()),
        "no.assertion.at-all".into(),
        "x".repeat(20_000),
    ];
    let corp = Issuer::new(FOREIGN);
    for header in [
        json!({ "alg": "none" }),
        json!({ "alg": "HS256" }),
        json!({ "alg": "ES256", "crit": ["exp"] }),
        json!({ "alg": "ES256", "jwk": corp.jwk(Alg::Es256) }),
    ] {
        assertions.push(corp.sign(Alg::Es256, &header.to_string(), &sound().to_string()));
    }
    let mut answers = Vec::new();
    for assertion in &assertions {
        let answer = desk.assert(assertion).await;
        assert_eq!(answer.error(), (401, "invalid_client"), "{assertion}");
        answers.push(answer);
    }
    alike(&answers);
    assert_eq!(desk.assert(&Key::signer().sign(&sound())).await.status, 200);
}

#[tokio::test]
async fn an_assertion_counts_once_whatever_happens() {
    let mut desk = desk("client-replay").await;
    let first = Key::signer().sign(&assertion(&desk, "signer"));
    assert_eq!(desk.assert(&first).await.status, 200);
    assert_eq!(desk.assert(&first).await.error(), (401, "invalid_client"));
    let form = [TYPE, ("client_assertion", first.as_str()), ("token", "x")];
    assert_eq!(desk.post("/introspect", &form).await.status, 401, "nor elsewhere");
    desk.broker.crash().await;
    assert_eq!(desk.assert(&first).await.error(), (401, "invalid_client"), "nor after a crash");
    let second = Key::signer().sign(&assertion(&desk, "signer"));
    let both = tokio::join!(desk.assert(&second), desk.assert(&second));
    let mut statuses = [both.0.status, both.1.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401], "nor at the same time");
}

#[tokio::test]
async fn a_client_has_the_one_method_it_is_registered_for() {
    let desk = desk("client-method").await;
    let signed = |client: &str| Key::signer().sign(&assertion(&desk, client));
    assert_eq!(desk.ask("signer", &[GRANT]).await.error(), (401, "invalid_client"));
    assert_eq!(desk.ask("workload", &[GRANT]).await.error(), (401, "invalid_client"));
    for client in ["agent-7", "workload", "gateway"] {
        assert_eq!(desk.assert(&signed(client)).await.error(), (401, "invalid_client"), "{client}");
    }
}

#[tokio::test]
async fn a_request_uses_one_method() {
    let desk = desk("client-two").await;
    let signed = Key::signer().sign(&assertion(&desk, "signer"));
    let (assertion, secret) = (("client_assertion", signed.as_str()), ("client_secret", SECRET));
    let refused = (400, "invalid_request");
    assert_eq!(desk.ask("agent-7", &[GRANT, TYPE, assertion]).await.error(), refused);
    assert_eq!(desk.ask("agent-7", &[GRANT, ("client_id", "agent-7"), secret]).await.error(), refused);
    assert_eq!(desk.post("/token", &[GRANT, TYPE, assertion, secret]).await.error(), refused);
    assert_eq!(desk.post("/token", &[GRANT, TYPE, assertion, assertion]).await.error(), refused);
    assert_eq!(desk.ask("agent-7", &[GRANT, ("client_id", "other")]).await.error(), refused, "nor two clients");
    assert_eq!(desk.post("/token", &[GRANT, TYPE, assertion, ("client_id", "other")]).await.error(), refused);
    assert_eq!(desk.ask("agent-7", &[GRANT, ("client_id", "agent-7")]).await.status, 200);
    assert_eq!(desk.assert(&signed).await.status, 200, "none of them has used it up");
}

#[tokio::test]
async fn an_answer_does_not_tell_which_clients_there_are() {
    let desk = desk("client-oracle").await;
    desk.turn("other", "suspend").await;
    desk.turn("server", "retire").await;
    let basic = async |id: &str, secret: &str| {
        send(desk.http.post(desk.url("/token")).basic_auth(id, Some(secret)).form(&[GRANT])).await
    };
    let signed = |client: &str| Key::signer().sign(&assertion(&desk, client));
    let stranger = Key::new("signer-1").sign(&assertion(&desk, "signer"));
    let twice = desk.http.post(desk.url("/token")).basic_auth("agent-7", Some(SECRET));
    let answers: Vec<Answer> = vec![
        basic("agent-7", WRONG).await,
        basic("nobody", SECRET).await,
        basic("other", SECRET).await,
        basic("other", WRONG).await,
        basic("server", SECRET).await,
        basic("signer", SECRET).await,
        basic("gateway", WRONG).await,
        basic("a\0b", SECRET).await,
        basic("", "").await,
        desk.post("/token", &[GRANT]).await,
        desk.post("/token", &[GRANT, ("client_id", "agent-7")]).await,
        desk.post("/token", &[GRANT, ("client_id", "agent-7"), ("client_secret", SECRET)]).await,
        desk.assert(&signed("nobody")).await,
        desk.assert(&stranger).await,
        desk.post("/token", &[GRANT, ("client_assertion", &signed("signer"))]).await,
        desk.post("/token", &[GRANT, ("client_assertion_type", TYPE.1)]).await,
        send(twice.header("authorization", "Basic Og==").form(&[GRANT])).await,
        send(desk.http.post(desk.url("/token")).bearer_auth(SECRET).form(&[GRANT])).await,
    ];
    assert_eq!(answers[0].error(), (401, "invalid_client"));
    alike(&answers);
}

#[tokio::test]
async fn an_agent_proves_itself_with_its_certificate() {
    let secure = Secure::open("client-certificate").await;
    let (desk, authority) = (&secure.desk, &secure.authority);
    let ask =
        async |http: &reqwest::Client, form: &[(&str, &str)]| send(http.post(desk.url("/token")).form(form)).await;
    let own = secure.client(&authority.workload("workload", WORKLOAD));
    let answer = ask(&own, &[GRANT, ("client_id", "workload")]).await;
    assert_eq!(said(&answer.text("access_token"))["client_id"], "workload");
    let near = secure.client(&authority.workload("workload", "spiffe://prod/agents/workload2"));
    let answers = [
        ask(&own, &[GRANT]).await,
        ask(&own, &[GRANT, ("client_id", "agent-7")]).await,
        ask(&own, &[GRANT, ("client_id", "signer")]).await,
        ask(&own, &[GRANT, ("client_id", "nobody")]).await,
        ask(&own, &[GRANT, ("client_id", "edge")]).await,
        ask(&near, &[GRANT, ("client_id", "workload")]).await,
        ask(&desk.http, &[GRANT, ("client_id", "workload")]).await,
    ];
    assert_eq!(answers[0].error(), (401, "invalid_client"));
    alike(&answers);
    let edge = secure.client(&authority.workload("edge", "spiffe://prod/edge"));
    let form = [("token", "x")];
    assert_eq!(send(edge.post(desk.url("/introspect")).form(&form)).await.body, json!({ "active": false }));
    let both = own.post(desk.url("/token")).basic_auth("agent-7", Some(SECRET)).form(&[GRANT]);
    assert_eq!(send(both).await.status, 200, "a certificate beside a secret is no second method");
}
