//! Tokens, in the V8 of a real Envoy.

use harness::{Alg, Issuer, issuer};
use serde_json::json;

use super::scene::{CORP, Scene, denial};

#[tokio::test]
async fn the_algorithms_of_the_issuer_are_checked() {
    let Some(scene) = Scene::open("algorithms").await else { return };
    for alg in [Alg::Rs256, Alg::Es256, Alg::EdDsa] {
        let token = scene.token().alg(alg).sign();
        assert_eq!(scene.call(&token, "crm_lookup").await.status, 200, "{alg:?}");
        let forged = issuer::forge(&token, "scope", "crm:admin");
        assert_eq!(denial(&scene.call(&forged, "crm_delete").await), (401, "token_signature".into()), "{alg:?}");
    }
    assert_eq!(scene.ran(), ["crm_lookup"; 3]);
}

#[tokio::test]
async fn tokens_that_prove_nothing_are_refused_with_the_right_challenge() {
    let Some(scene) = Scene::open("refused").await else { return };
    let sound = || scene.token();
    let stranger = Issuer::new("https://stranger.example.test").at_now().token().audience(&scene.stack.mcp());
    let pem = scene.issuer.public_pem();
    let mut challenges = Vec::new();
    for (reason, token) in [
        ("token_malformed", "not-a-token".to_owned()),
        ("token_expired", sound().expired().sign()),
        ("token_not_yet_valid", sound().claim("nbf", 9_999_999_999_u64).sign()),
        ("token_issuer", stranger.sign()),
        ("token_audience", sound().audience("https://other.example.test").sign()),
        ("token_signature", sound().sign_foreign()),
        ("token_signature", issuer::corrupt(&sound().sign())),
        ("token_key_unknown", sound().kid("k-9").sign()),
        ("token_algorithm", sound().unsigned()),
        ("token_algorithm", sound().sign_hmac(pem.as_bytes())),
        ("token_algorithm", sound().sign_hmac(&scene.issuer.public_der())),
        ("token_type", sound().header("typ", "JWT").sign()),
        ("token_malformed", sound().header("crit", json!(["exp"])).sign()),
        ("token_malformed", sound().header("jwk", scene.issuer.jwk(Alg::Es256)).sign()),
        ("token_lifetime", sound().claim("exp", 9_999_999_999_u64).sign()),
    ] {
        let reply = scene.call(&token, "crm_lookup").await;
        assert_eq!(denial(&reply), (401, reason.into()), "{CORP}");
        challenges.push(reply.header("www-authenticate"));
    }
    let base = scene.stack.ports.gateway();
    let metadata = format!("resource_metadata=\"{base}/.well-known/oauth-protected-resource/crm/mcp\"");
    assert!(challenges.iter().all(|lines| *lines == [format!("Bearer error=\"invalid_token\", {metadata}")]));
    let bare = scene.send(&[harness::wire::Post::new("/crm/mcp", &scene.address()).body(b"{}")]).await;
    assert_eq!(denial(&bare), (401, "token_missing".into()));
    assert_eq!(bare.header("www-authenticate"), [format!("Bearer {metadata}")]);
    assert!(scene.received().is_empty(), "a request without a sound token went upstream");
}

#[tokio::test]
async fn two_tokens_are_none() {
    let Some(scene) = Scene::open("two-tokens").await else { return };
    let head = scene.post("x", "crm_lookup").header("authorization", format!("Bearer {}", scene.token().sign()));
    let reply = scene.send(&[head.body(super::scene::call("crm_lookup").as_bytes())]).await;
    assert_eq!(denial(&reply).0, 401);
    assert!(scene.received().is_empty());
}
