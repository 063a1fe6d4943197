//! Tokens that are bound to a key or a certificate.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use harness::issuer::Token;
use harness::stack::broker::SECRET;
use harness::{Alg, Holder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::clients::{GRANT, Secure, WORKLOAD, desk, now, said, send};
use super::support::{Answer, Desk};

/// A proof for a token request, before there is a token.
fn proof(desk: &Desk, alg: Alg) -> Token {
    Holder::new(alg).at_now().proof("POST", &desk.url("/token"), "").without("ath")
}

async fn ask(desk: &Desk, id: &str, proofs: &[&str]) -> Answer {
    let request = desk.http.post(desk.url("/token")).basic_auth(id, Some(SECRET)).form(&[GRANT]);
    send(proofs.iter().fold(request, |request, proof| request.header("dpop", *proof))).await
}

#[tokio::test]
async fn a_token_is_bound_to_the_key_of_a_proof() {
    let desk = desk("binding-key").await;
    for (id, alg) in [("holder", Alg::Es256), ("agent-7", Alg::EdDsa)] {
        let answer = ask(&desk, id, &[&proof(&desk, alg).sign()]).await;
        assert_eq!((answer.status, &answer.body["token_type"]), (200, &json!("DPoP")), "{answer:?}");
        let claims = said(&answer.text("access_token"));
        assert_eq!(claims["cnf"], json!({ "jkt": Holder::new(alg).thumbprint() }));
    }
    let answer = ask(&desk, "agent-7", &[]).await;
    assert_eq!((answer.status, &answer.body["token_type"]), (200, &json!("Bearer")));
    assert_eq!(said(&answer.text("access_token"))["cnf"], Value::Null);
}

#[tokio::test]
async fn a_proof_has_to_be_sound_and_for_this_request() {
    let mut desk = desk("binding-proof").await;
    let sound = || proof(&desk, Alg::Es256);
    let used = sound().sign();
    assert_eq!(ask(&desk, "holder", &[&used]).await.status, 200);
    let flawed = [
        used.clone(),
        sound().claim("htm", "GET").sign(),
        sound().claim("htu", desk.broker.url.clone()).sign(),
        sound().claim("htu", "https://other.example.test/token").sign(),
        sound().claim("iat", now() - 300).sign(),
        sound().claim("iat", now() + 300).sign(),
        sound().without("jti").sign(),
        sound().header("typ", "JWT").sign(),
        sound().without_header("jwk").sign(),
        sound().sign_foreign(),
        "no proof".into(),
        String::new(),
    ];
    for proof in &flawed {
        for id in ["holder", "agent-7"] {
            assert_eq!(ask(&desk, id, &[proof]).await.error(), (400, "invalid_dpop_proof"), "{proof}");
        }
    }
    let two = [sound().sign(), sound().sign()];
    let two = ask(&desk, "holder", &[&two[0], &two[1]]).await;
    assert_eq!(two.error(), (400, "invalid_dpop_proof"));
    desk.broker.crash().await;
    assert_eq!(ask(&desk, "holder", &[&used]).await.error(), (400, "invalid_dpop_proof"), "not after a crash either");
}

#[tokio::test]
async fn an_agent_whose_tokens_are_bound_gets_no_other() {
    let desk = desk("binding-required").await;
    assert_eq!(ask(&desk, "holder", &[]).await.error(), (400, "invalid_request"));
    let proof = proof(&desk, Alg::Es256).sign();
    assert_eq!(ask(&desk, "carrier", &[]).await.error(), (400, "invalid_request"));
    assert_eq!(ask(&desk, "carrier", &[&proof]).await.error(), (400, "invalid_request"), "a key is no certificate");
    let reasons: Vec<_> =
        desk.records("kind=issue&decision=deny").await.iter().map(|record| record["reason"].clone()).collect();
    assert_eq!(reasons, ["invalid_request"; 3]);
}

#[tokio::test]
async fn a_token_is_bound_to_the_certificate_of_its_connection() {
    let secure = Secure::open("binding-certificate").await;
    let (desk, signed) = (&secure.desk, secure.authority.workload("workload", WORKLOAD));
    let http = secure.client(&signed);
    let digest = URL_SAFE_NO_PAD.encode(Sha256::digest(&signed.der));
    let request = || http.post(desk.url("/token")).basic_auth("carrier", Some(SECRET)).form(&[GRANT]);
    let answer = send(request()).await;
    assert_eq!((answer.status, &answer.body["token_type"]), (200, &json!("Bearer")), "{answer:?}");
    assert_eq!(said(&answer.text("access_token"))["cnf"], json!({ "x5t#S256": digest }));
    let answer = send(request().header("dpop", proof(desk, Alg::Es256).sign())).await;
    let both = json!({ "jkt": Holder::new(Alg::Es256).thumbprint(), "x5t#S256": digest });
    assert_eq!(said(&answer.text("access_token"))["cnf"], both);
    let refused = send(desk.http.post(desk.url("/token")).basic_auth("carrier", Some(SECRET)).form(&[GRANT])).await;
    assert_eq!(refused.error(), (400, "invalid_request"));
}
