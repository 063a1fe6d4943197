//! Assertions of an enterprise's identity provider: which ones give an agent a token for a user.

use harness::site::Site;
use harness::{Alg, Holder, Issuer, Token};
use serde_json::{Value, json};

use super::support::{Answer, FOREIGN, RESOURCE};
use super::team::{JWT_BEARER, SCOUT, Team, claims};

const ENTERPRISE: &str = "https://login.acme.example.test";
const NOTHING: (u16, &str) = (400, "invalid_grant");

/// A team that takes assertions of the enterprise, and its identity provider.
async fn open(name: &str) -> (Team, Issuer) {
    let idp = Issuer::new(ENTERPRISE).at_now();
    let keys = json!({ "keys": idp.jwks()["keys"] });
    let team = with(name, keys).await;
    (team, idp)
}

async fn with(name: &str, jwks: Value) -> Team {
    let acme = json!({ "issuer": ENTERPRISE, "jwks": jwks, "algorithms": ["ES256", "RS256"] });
    let foreign = Issuer::new(FOREIGN).at_now();
    Team::with(name, &foreign, |config| config["enterprise"] = json!({ "acme": acme })).await
}

/// An assertion nothing is wrong with: alice lets the planner read.
fn assertion(team: &Team, idp: &Issuer) -> Token {
    let token = idp.token().header("typ", "oauth-id-jag+jwt").audience(&team.0.broker.url);
    token.claim("sub", "alice").claim("client_id", "planner").scope("crm:read").claim("resource", RESOURCE)
}

async fn bring(team: &Team, id: &str, assertion: &str, more: &[(&str, &str)]) -> Answer {
    let form = [&[("grant_type", JWT_BEARER), ("assertion", assertion)], more].concat();
    team.0.ask(id, &form).await
}

#[tokio::test]
async fn an_agent_acts_for_the_user_who_lets_it_and_through_another_agent() {
    let (team, idp) = open("id-jag").await;
    let answer = bring(&team, "planner", &assertion(&team, &idp).sign(), &[]).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{answer:?}");
    assert_eq!((&answer.body["scope"], &answer.body["token_type"]), (&json!("crm:read"), &json!("Bearer")));
    let token = answer.text("access_token");
    let told = claims(&token);
    assert_eq!(
        (&told["sub"], &told["client_id"], &told["aud"]),
        (&json!("alice"), &json!("planner"), &json!(RESOURCE))
    );
    assert!(told.get("act").is_none());
    assert_eq!(told["exp"].as_u64().unwrap() - told["iat"].as_u64().unwrap(), 60);
    let minted = team.0.exchange(&token, "crm_lookup", "crm:read", |_| ()).await;
    assert_eq!(claims(&minted.text("access_token"))["sub"], "alice");
    // On to the scout, and both stand in the chain.
    let to_scout = assertion(&team, &idp).claim("resource", json!([RESOURCE, SCOUT])).sign();
    let token = bring(&team, "planner", &to_scout, &[("resource", SCOUT)]).await.text("access_token");
    let told = claims(&team.take("scout", &token, RESOURCE, |_| ()).await.text("access_token"));
    assert_eq!((&told["sub"], &told["client_id"]), (&json!("alice"), &json!("scout")));
    assert_eq!(told["act"], json!({ "sub": "scout", "act": { "sub": "planner" } }));
    let records = team.0.records("kind=issue&agent=planner").await;
    assert_eq!((&records[0]["decision"], &records[0]["subject"]), (&json!("permit"), &json!("alice")));
    assert!(records[0]["from"][0]["jti"].is_string() && records[0]["token"]["sha256"].is_string());
}

#[tokio::test]
async fn an_assertion_counts_once_also_after_a_crash() {
    let (mut team, idp) = open("id-jag-once").await;
    let once = assertion(&team, &idp).sign();
    assert_eq!(bring(&team, "planner", &once, &[]).await.status, 200);
    assert_eq!(bring(&team, "planner", &once, &[]).await.error(), NOTHING);
    team.0.broker.crash().await;
    assert_eq!(bring(&team, "planner", &once, &[]).await.error(), NOTHING);
    assert_eq!(team.refusals().await, ["assertion_replayed", "assertion_replayed"]);
    assert_eq!(bring(&team, "planner", &assertion(&team, &idp).claim("jti", "another").sign(), &[]).await.status, 200);
    // What was refused for another reason is not used up.
    let again = assertion(&team, &idp).claim("jti", "third").sign();
    assert_eq!(bring(&team, "planner", &again, &[("scope", "crm:write")]).await.error(), (400, "invalid_scope"));
    assert_eq!(bring(&team, "planner", &again, &[]).await.status, 200);
}

#[tokio::test]
async fn what_does_not_hold_gives_nothing() {
    let (team, idp) = open("id-jag-refused").await;
    let url = team.0.broker.url.clone();
    let sound = || assertion(&team, &idp);
    let stranger = Issuer::new("https://stranger.example.test").at_now();
    // The policy trusts this issuer for access tokens, and for nothing else.
    let corp = Issuer::new(FOREIGN).at_now();
    for (reason, token) in [
        ("token_malformed", "x".to_owned()),
        ("token_signature", sound().sign_foreign()),
        ("token_algorithm", sound().unsigned()),
        ("token_algorithm", sound().alg(Alg::EdDsa).sign()),
        ("token_expired", sound().expired().sign()),
        ("token_issuer", assertion(&team, &stranger).sign()),
        ("token_issuer", assertion(&team, &corp).sign()),
        ("token_issuer", team.own("planner", RESOURCE).await),
        ("token_type", sound().header("typ", "at+jwt").sign()),
        ("token_type", sound().header("typ", "JWT").sign()),
        ("token_type", sound().without_header("typ").sign()),
        ("token_type", sound().header("typ", "txntoken+jwt").sign()),
        ("token_audience", sound().audience(RESOURCE).sign()),
        ("token_audience", sound().audience(&format!("{url}/token")).sign()),
        ("token_audience", sound().claim("aud", json!([url, RESOURCE])).sign()),
        ("assertion_client", sound().claim("client_id", "scout").sign()),
        ("token_malformed", sound().without("client_id").sign()),
        ("token_malformed", sound().without("sub").sign()),
        ("token_malformed", sound().without("jti").sign()),
        ("token_malformed", sound().without("iat").sign()),
        ("token_malformed", sound().without("exp").sign()),
        ("token_malformed", sound().claim("resource", 1).sign()),
        ("token_lifetime", sound().claim("exp", u32::MAX).sign()),
        ("assertion_unknown", sound().actors(&["x"]).sign()),
        ("assertion_unknown", sound().claim("tenant", "t1").sign()),
        ("assertion_unknown", sound().claim("authorization_details", json!([])).sign()),
        ("assertion_subject", sound().claim("sub", "worker").sign()),
        ("sender_unbound", sound().bound_to_certificate(&[7; 32]).sign()),
    ] {
        let answer = bring(&team, "planner", &token, &[]).await;
        assert_eq!(answer.error(), NOTHING, "{reason}: {:?}", team.refusals().await.last());
        assert_eq!(team.refusals().await.last().unwrap(), reason);
    }
    assert_eq!(bring(&team, "planner", &sound().sign(), &[]).await.status, 200);
}

#[tokio::test]
async fn a_bound_assertion_takes_a_proof_of_its_key() {
    let (team, idp) = open("id-jag-bound").await;
    let (key, other) = (Holder::new(Alg::EdDsa).at_now(), Holder::new(Alg::Es256).at_now());
    let bound = assertion(&team, &idp).bound_to(&key).sign();
    let form = [("grant_type", JWT_BEARER), ("assertion", bound.as_str())];
    assert_eq!(team.0.ask("planner", &form).await.error(), NOTHING);
    assert_eq!(team.prove("planner", &other, &form).await.error(), NOTHING);
    assert_eq!(team.refusals().await, ["sender_unbound"; 2]);
    let answer = team.prove("planner", &key, &form).await;
    assert_eq!((answer.status, &answer.body["token_type"]), (200, &json!("DPoP")));
    assert_eq!(claims(&answer.text("access_token"))["cnf"], json!({ "jkt": key.thumbprint() }));
}

#[tokio::test]
async fn an_assertion_is_no_access_token() {
    let (team, idp) = open("id-jag-kind").await;
    let own = assertion(&team, &idp).sign();
    assert_eq!(team.take("scout", &own, RESOURCE, |_| ()).await.error(), (400, "invalid_request"));
    let for_crm = assertion(&team, &idp).audience(RESOURCE).sign();
    let answer = team.0.exchange(&for_crm, "crm_lookup", "crm:read", |_| ()).await;
    assert_eq!(answer.error(), (400, "invalid_request"));
}

#[tokio::test]
async fn the_assertion_the_entry_and_the_request_all_limit_what_is_given() {
    let (team, idp) = open("id-jag-limits").await;
    let ask = async |scope: &str, resource: Option<Value>, more: &[(&str, &str)]| {
        let token = assertion(&team, &idp).scope(scope);
        let token =
            resource.map_or_else(|| token.clone().without("resource"), |one| token.clone().claim("resource", one));
        let answer = bring(&team, "planner", &token.sign(), more).await;
        let said = (answer.status == 200).then(|| claims(&answer.text("access_token")));
        said.map(|said| format!("{} {}", said["aud"].as_str().unwrap(), said["scope"].as_str().unwrap()))
            .ok_or_else(|| answer.error().1.to_owned())
    };
    let crm = |scope: &str| Ok(format!("{RESOURCE} {scope}"));
    let here = || Some(json!(RESOURCE));
    assert_eq!(ask("crm:read crm:write crm:admin", here(), &[]).await, crm("crm:read crm:write"));
    assert_eq!(ask("crm:read crm:write", here(), &[("scope", "crm:write crm:admin")]).await, crm("crm:write"));
    assert_eq!(ask("crm:admin", here(), &[]).await, Err("invalid_scope".into()));
    assert_eq!(ask("", here(), &[]).await, Err("invalid_scope".into()));
    assert_eq!(ask("crm:read", None, &[("resource", RESOURCE)]).await, crm("crm:read"));
    assert_eq!(ask("crm:read", None, &[]).await, Err("invalid_target".into()), "there are three");
    assert_eq!(ask("crm:read", here(), &[("resource", SCOUT)]).await, Err("invalid_target".into()));
    let elsewhere = Some(json!("https://else.example.test"));
    assert_eq!(ask("crm:read", elsewhere, &[]).await, Err("invalid_target".into()));
    let form = [("resource", RESOURCE), ("resource", RESOURCE)];
    assert_eq!(ask("crm:read", here(), &form).await, Err("invalid_request".into()));
}

#[tokio::test]
async fn the_enterprises_keys_are_fetched() {
    let (site, idp) = (Site::new(), Issuer::new(ENTERPRISE).at_now());
    let team = with("id-jag-keys", json!({ "url": site.url("/jwks.json") })).await;
    let answer = bring(&team, "planner", &assertion(&team, &idp).sign(), &[]).await;
    assert_eq!(answer.error(), (503, "temporarily_unavailable"));
    site.publish("/jwks.json", &idp.jwks_for(&[Alg::Es256]).to_string());
    site.open().await;
    let began = tokio::time::Instant::now();
    while bring(&team, "planner", &assertion(&team, &idp).sign(), &[]).await.status != 200 {
        assert!(began.elapsed() < std::time::Duration::from_secs(10), "the broker does not recover");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn metadata_says_so() {
    let (team, _) = open("id-jag-metadata").await;
    let url = team.0.url("/.well-known/oauth-authorization-server");
    let document: Value = team.0.http.get(url).send().await.unwrap().json().await.unwrap();
    assert!(document["grant_types_supported"].as_array().unwrap().contains(&json!(JWT_BEARER)));
    let profile = "urn:ietf:params:oauth:grant-profile:id-jag";
    assert_eq!(document["authorization_grant_profiles_supported"], json!([profile]));
}
