//! Agents that hand tasks on: what the next one gets, and what it cannot get.

use std::time::Duration;

use harness::stack::broker::Broker;
use harness::stack::fresh;
use harness::{Alg, Holder, Issuer, Token};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::support::{FOREIGN, Form, RESOURCE, set};
use super::team::{ACCESS_TOKEN, EXCHANGE, SCOUT, Team, WORKER, agents, claims, servers};

const REFUSED: (u16, &str) = (400, "invalid_request");

fn drop(form: &mut Form, name: &str) {
    form.retain(|(other, _)| other != name);
}

fn add(form: &mut Form, name: &str, value: &str) {
    form.push((name.to_owned(), value.to_owned()));
}

#[tokio::test]
async fn a_task_keeps_its_subject_and_loses_rights_on_its_way() {
    let team = Team::open("delegate").await;
    let first = team.own("planner", SCOUT).await;
    let answer = team.take("scout", &first, WORKER, |_| ()).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{answer:?}");
    assert_eq!(
        (&answer.body["issued_token_type"], &answer.body["token_type"]),
        (&json!(ACCESS_TOKEN), &json!("Bearer"))
    );
    // The planner may write, the scout may administer: what both may is reading.
    assert_eq!(answer.body["scope"], "crm:read");
    let second = answer.text("access_token");
    let answer = team.take("worker", &second, RESOURCE, |_| ()).await;
    let third = answer.text("access_token");
    let (one, two, three) = (claims(&first), claims(&second), claims(&third));
    assert_eq!(
        (&three["sub"], &three["client_id"], &three["aud"]),
        (&json!("planner"), &json!("worker"), &json!(RESOURCE))
    );
    assert_eq!(two["act"], json!({ "sub": "scout", "act": { "sub": "planner" } }));
    assert_eq!(three["act"], json!({ "sub": "worker", "act": two["act"] }));
    assert!(three["exp"].as_u64() <= two["exp"].as_u64() && two["exp"].as_u64() <= one["exp"].as_u64());
    let lasts = answer.body["expires_in"].as_u64().unwrap();
    assert_eq!(three["exp"].as_u64().unwrap() - three["iat"].as_u64().unwrap(), lasts);
    // The proxy sees the whole chain, and so does the tool.
    let minted = team.0.exchange(&third, "crm_lookup", "crm:read", |_| ()).await;
    let minted = claims(&minted.text("access_token"));
    assert_eq!((&minted["sub"], &minted["act"]), (&json!("planner"), &three["act"]));
    let deeper = team.take("idle", &third, RESOURCE, |_| ()).await;
    assert_eq!(deeper.error(), (400, "unauthorized_client"));
}

#[tokio::test]
async fn every_exchange_is_on_the_record_with_the_tokens_it_was_made_of() {
    let team = Team::open("delegate-records").await;
    let subject = team.own("planner", SCOUT).await;
    let mut actor = String::new();
    let answer = team
        .take("scout", &subject, RESOURCE, |form| {
            actor = form.iter().find(|(name, _)| name == "actor_token").unwrap().1.clone();
        })
        .await;
    let issued = answer.text("access_token");
    let refused = team.take("scout", &subject, RESOURCE, |form| add(form, "scope", "crm:write")).await;
    assert_eq!(refused.error(), (400, "invalid_scope"));
    let records = team.0.records("kind=issue&agent=scout&server=crm").await;
    let [permit, deny] = records.as_slice() else { panic!("{records:?}") };
    let sha256 = |token: &str| Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!((&permit["decision"], &permit["subject"]), (&json!("permit"), &json!("planner")));
    assert_eq!(permit["chain"], json!(["scout", "planner"]));
    assert_eq!(permit["token"], json!({ "jti": claims(&issued)["jti"], "sha256": sha256(&issued) }));
    let from = |token: &str| json!({ "jti": claims(token)["jti"], "sha256": sha256(token) });
    assert_eq!(permit["from"], json!([from(&subject), from(&actor)]));
    assert_eq!((&deny["decision"], &deny["reason"]), (&json!("deny"), &json!("invalid_scope")));
    assert_eq!((&deny["subject"], &deny["from"][0]), (&json!("planner"), &from(&subject)));
    assert!(deny.get("token").is_none());
    for text in records.iter().map(Value::to_string) {
        assert!([&subject, &actor, &issued].iter().all(|token| !text.contains(*token)));
    }
}

#[tokio::test]
async fn a_request_is_as_the_standard_has_it() {
    let team = Team::open("delegate-form").await;
    let subject = team.own("planner", SCOUT).await;
    let other = "urn:ietf:params:oauth:token-type:refresh_token";
    type Change = Box<dyn Fn(&mut Form)>;
    let put = |name: &'static str, value: &'static str| -> Change { Box::new(move |form| set(form, name, value)) };
    let plus = |name: &'static str, value: &'static str| -> Change { Box::new(move |form| add(form, name, value)) };
    let less =
        |names: &'static [&str]| -> Change { Box::new(move |form| names.iter().for_each(|one| drop(form, one))) };
    for (expected, change) in [
        (REFUSED, less(&["subject_token"])),
        (REFUSED, less(&["subject_token_type"])),
        (REFUSED, put("subject_token_type", other)),
        (REFUSED, put("subject_token_type", "urn:ietf:params:oauth:token-type:id_token")),
        (REFUSED, plus("subject_token", "x")),
        (REFUSED, plus("subject_token_type", ACCESS_TOKEN)),
        (REFUSED, less(&["actor_token", "actor_token_type"])),
        (REFUSED, less(&["actor_token"])),
        (REFUSED, less(&["actor_token_type"])),
        (REFUSED, put("actor_token_type", other)),
        (REFUSED, plus("actor_token", "x")),
        (REFUSED, plus("requested_token_type", other)),
        (REFUSED, plus("authorization_details", "[]")),
        (REFUSED, Box::new(|form: &mut Form| ["crm:read", "crm:read"].iter().for_each(|one| add(form, "scope", one)))),
        ((400, "invalid_target"), less(&["resource"])),
        ((400, "invalid_target"), put("resource", "https://else.example.test")),
        ((400, "invalid_target"), plus("resource", WORKER)),
        ((400, "invalid_target"), plus("resource", RESOURCE)),
        ((400, "invalid_target"), plus("audience", "worker")),
        ((400, "invalid_target"), plus("audience", "nowhere")),
        ((400, "invalid_scope"), plus("scope", "\"")),
    ] {
        let answer = team.take("scout", &subject, RESOURCE, |form| change(form)).await;
        assert_eq!(answer.error(), expected, "{answer:?}");
        assert!(answer.body.get("access_token").is_none());
    }
    let before = team.refusals().await.len();
    assert_eq!(before, 21, "each refusal is on the record");
    for change in [
        plus("requested_token_type", ACCESS_TOKEN),
        plus("audience", "crm"),
        Box::new(|form: &mut Form| set(form, "subject_token_type", "urn:ietf:params:oauth:token-type:jwt")),
        Box::new(|form: &mut Form| {
            drop(form, "resource");
            add(form, "audience", "crm");
        }),
    ] {
        let answer = team.take("scout", &subject, RESOURCE, |form| change(form)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

#[tokio::test]
async fn tokens_that_prove_nothing_are_not_exchanged() {
    let foreign = Issuer::new(FOREIGN).at_now();
    let team = Team::with("delegate-proof", &foreign, |_| ()).await;
    let subject = team.own("planner", SCOUT).await;
    let elsewhere = team.own("planner", WORKER).await;
    let sound = || foreign.token().audience(SCOUT).claim("sub", "alice");
    for (reason, token) in [
        ("token_malformed", "x".to_owned()),
        ("token_signature", sound().sign_foreign()),
        ("token_expired", sound().expired().sign()),
        ("token_type", sound().header("typ", "oauth-id-jag+jwt").sign()),
        ("token_audience", elsewhere),
        ("token_issuer", Issuer::new("https://stranger.example.test").at_now().token().audience(SCOUT).sign()),
        ("delegation_denied", sound().sign()),
    ] {
        let answer = team.take("scout", &token, RESOURCE, |_| ()).await;
        assert_eq!(answer.error(), REFUSED, "{reason}");
        assert_eq!(team.refusals().await.last().unwrap(), reason);
    }
    let of_worker = team.own("worker", RESOURCE).await;
    let elsewhere = team.own("scout", SCOUT).await;
    for (reason, token) in [
        ("actor_token", of_worker),
        ("actor_token", foreign.token().audience(RESOURCE).agent("scout").sign()),
        ("token_audience", elsewhere),
        ("token_malformed", "x".to_owned()),
    ] {
        let answer = team.take("scout", &subject, RESOURCE, |form| set(form, "actor_token", &token)).await;
        assert_eq!(answer.error(), REFUSED, "{reason}");
        assert_eq!(team.refusals().await.last().unwrap(), reason);
    }
    // A token it was given is none of its own to act with.
    let given = team.take("scout", &subject, RESOURCE, |_| ()).await.text("access_token");
    let answer = team.take("scout", &subject, RESOURCE, |form| set(form, "actor_token", &given)).await;
    assert_eq!(answer.error(), REFUSED);
    assert_eq!(team.refusals().await.last().unwrap(), "actor_token");
}

#[tokio::test]
async fn only_whom_the_holder_names_can_take_over() {
    let deep = |config: &mut Value| config["delegation"] = json!({ "max_depth": 5 });
    let team = Team::with("delegate-to", &Issuer::new(FOREIGN), deep).await;
    let to_worker = team.own("planner", WORKER).await;
    let answer = team.take("worker", &to_worker, RESOURCE, |_| ()).await;
    assert_eq!(answer.error(), REFUSED, "the planner hands on to the scout alone");
    let by_worker = team.own("worker", SCOUT).await;
    assert_eq!(team.take("scout", &by_worker, RESOURCE, |_| ()).await.status, 200);
    // The scout has handed it on to the worker, who may hand on to the scout; but that would be a circle.
    let to_scout = team.own("planner", SCOUT).await;
    let second = team.take("scout", &to_scout, WORKER, |_| ()).await.text("access_token");
    let third = team.take("worker", &second, SCOUT, |_| ()).await.text("access_token");
    assert_eq!(team.take("scout", &third, RESOURCE, |_| ()).await.error(), REFUSED);
    assert_eq!(team.refusals().await, ["delegation_denied", "chain_loop"]);
}

#[tokio::test]
async fn the_operator_bounds_how_far_a_task_goes() {
    let foreign = Issuer::new(FOREIGN);
    let team = Team::with("delegate-depth", &foreign, |config| config["delegation"] = json!({ "max_depth": 2 })).await;
    let first = team.own("planner", SCOUT).await;
    let second = team.take("scout", &first, WORKER, |_| ()).await.text("access_token");
    assert_eq!(team.take("worker", &second, RESOURCE, |_| ()).await.error(), REFUSED);
    assert_eq!(team.refusals().await, ["chain_too_deep"]);
}

#[tokio::test]
async fn a_suspended_agent_stops_all_it_has_handed_on() {
    let team = Team::open("delegate-suspended").await;
    let first = team.own("planner", SCOUT).await;
    let second = team.take("scout", &first, WORKER, |_| ()).await.text("access_token");
    assert_eq!(team.take("worker", &second, RESOURCE, |_| ()).await.status, 200);
    team.turn("planner", "suspend").await;
    assert_eq!(team.take("scout", &first, WORKER, |_| ()).await.error(), REFUSED);
    assert_eq!(team.take("worker", &second, RESOURCE, |_| ()).await.error(), REFUSED);
    team.turn("planner", "resume").await;
    assert_eq!(team.take("worker", &second, RESOURCE, |_| ()).await.status, 200);
    team.turn("scout", "retire").await;
    assert_eq!(team.take("worker", &second, RESOURCE, |_| ()).await.error(), REFUSED);
    assert_eq!(team.refusals().await, ["revoked"; 3]);
}

#[tokio::test]
async fn a_foreign_agent_hands_on_by_its_issuers_word() {
    let foreign = Issuer::new(FOREIGN).at_now();
    let team = Team::with("delegate-foreign", &foreign, |_| ()).await;
    let url = team.0.broker.url.clone();
    let token = || foreign.token().claim("client_id", "assistant").claim("sub", "alice").scope("crm:read");
    let named = || token().claim("may_act", json!({ "sub": "scout", "iss": url })).audience(SCOUT);
    let answer = team.take("scout", &named().sign(), RESOURCE, |_| ()).await;
    let issued = claims(&answer.text("access_token"));
    assert_eq!((&issued["sub"], &issued["client_id"]), (&json!("alice"), &json!("scout")));
    assert_eq!(issued["act"], json!({ "sub": "scout", "act": { "sub": "assistant", "iss": FOREIGN } }));
    assert_eq!(issued["may_act"], json!({ "sub": "scout", "iss": url }));
    let chained = named().actors(&["helper"]).audience(&url).sign();
    let issued = claims(&team.take("scout", &chained, RESOURCE, |_| ()).await.text("access_token"));
    let (helper, holder) = (json!({ "sub": "helper", "iss": FOREIGN }), "assistant");
    assert_eq!(issued["act"], json!({ "sub": "scout", "act": { "sub": holder, "iss": FOREIGN, "act": helper } }));
    // Whom it names stays the only choice.
    let second = team.take("scout", &named().sign(), WORKER, |_| ()).await.text("access_token");
    for other in [
        second,
        token().audience(WORKER).claim("may_act", json!({ "sub": "scout", "iss": url })).sign(),
        token().audience(WORKER).claim("may_act", json!({ "sub": "worker", "iss": FOREIGN })).sign(),
        token().audience(WORKER).claim("may_act", json!({ "sub": "worker" })).sign(),
        token().audience(WORKER).claim("may_act", json!({ "sub": "worker", "iss": url, "team": "x" })).sign(),
        token().audience(WORKER).sign(),
    ] {
        assert_eq!(team.take("worker", &other, RESOURCE, |_| ()).await.error(), REFUSED);
        assert_eq!(team.refusals().await.last().unwrap(), "delegation_denied");
    }
    // Names of our agents are ours to give.
    for impostor in
        [named().actors(&["x"]).claim("act", json!({ "sub": "worker", "iss": url })), named().claim("sub", "idle")]
    {
        assert_eq!(team.take("scout", &impostor.sign(), RESOURCE, |_| ()).await.error(), REFUSED);
        assert_eq!(team.refusals().await.last().unwrap(), "chain_actor");
    }
}

#[tokio::test]
async fn a_task_of_an_issuer_goes_only_where_that_issuer_is_accepted() {
    let foreign = Issuer::new(FOREIGN).at_now();
    let mut policy = servers(&foreign);
    policy["servers"]["crm"]["issuers"] = json!(["own"]);
    let desk = super::support::Desk::configured("delegate-issuers", &policy, agents()).await;
    let team = Team(desk);
    let url = team.0.broker.url.clone();
    let token = foreign.token().claim("client_id", "assistant").claim("sub", "alice");
    let token = token.audience(SCOUT).claim("may_act", json!({ "sub": "scout", "iss": url })).sign();
    assert_eq!(team.take("scout", &token, WORKER, |_| ()).await.status, 200);
    assert_eq!(team.take("scout", &token, RESOURCE, |_| ()).await.error(), REFUSED);
    assert_eq!(team.refusals().await, ["token_issuer"]);
}

#[tokio::test]
async fn a_bound_token_is_not_for_others_to_exchange() {
    let foreign = Issuer::new(FOREIGN).at_now();
    let team = Team::with("delegate-bound", &foreign, |_| ()).await;
    let url = team.0.broker.url.clone();
    let token = || -> Token {
        let token = foreign.token().claim("client_id", "assistant").claim("sub", "alice").audience(SCOUT);
        token.claim("may_act", json!({ "sub": "scout", "iss": url }))
    };
    for bound in [token().bound_to(&Holder::new(Alg::EdDsa)), token().bound_to_certificate(&[7; 32])] {
        assert_eq!(team.take("scout", &bound.sign(), RESOURCE, |_| ()).await.error(), REFUSED);
        assert_eq!(team.refusals().await.last().unwrap(), "sender_unbound");
    }
    assert_eq!(team.take("scout", &token().sign(), RESOURCE, |_| ()).await.status, 200);
}

#[tokio::test]
async fn the_key_of_a_bound_actor_token_has_to_be_proved_and_binds_what_is_issued() {
    let team = Team::open("delegate-key").await;
    let (key, other) = (Holder::new(Alg::EdDsa).at_now(), Holder::new(Alg::Es256).at_now());
    let own = team.prove("scout", &key, &[("grant_type", "client_credentials"), ("resource", RESOURCE)]).await;
    let (subject, actor) = (team.own("planner", SCOUT).await, own.text("access_token"));
    let form = [
        ("grant_type", EXCHANGE),
        ("subject_token", &subject),
        ("subject_token_type", ACCESS_TOKEN),
        ("actor_token", &actor),
        ("actor_token_type", ACCESS_TOKEN),
        ("resource", RESOURCE),
    ];
    assert_eq!(team.0.ask("scout", &form).await.error(), REFUSED);
    assert_eq!(team.prove("scout", &other, &form).await.error(), REFUSED);
    assert_eq!(team.refusals().await, ["sender_unbound"; 2]);
    let answer = team.prove("scout", &key, &form).await;
    assert_eq!((answer.status, &answer.body["token_type"]), (200, &json!("DPoP")));
    assert_eq!(claims(&answer.text("access_token"))["cnf"], json!({ "jkt": key.thumbprint() }));
}

#[tokio::test]
async fn a_token_that_was_taken_back_is_not_exchanged() {
    let team = Team::open("delegate-revoked").await;
    let subject = team.own("planner", SCOUT).await;
    let actor = team.own("scout", RESOURCE).await;
    let with = |form: &mut Form| set(form, "actor_token", &actor);
    assert_eq!(team.take("scout", &subject, RESOURCE, with).await.status, 200);
    team.revoke("scout", &actor).await;
    assert_eq!(team.take("scout", &subject, RESOURCE, with).await.error(), REFUSED);
    assert_eq!(team.take("scout", &subject, RESOURCE, |_| ()).await.status, 200);
    team.revoke("planner", &subject).await;
    assert_eq!(team.take("scout", &subject, RESOURCE, |_| ()).await.error(), REFUSED);
    assert_eq!(team.refusals().await, ["revoked"; 2]);
}

#[tokio::test]
async fn an_ended_task_is_not_handed_on() {
    let foreign = Issuer::new(FOREIGN);
    let short = |config: &mut Value| config["agents"][0]["token_lifetime"] = json!("2s");
    let team = Team::with("delegate-ended", &foreign, short).await;
    let first = team.own("planner", SCOUT).await;
    let answer = team.take("scout", &first, RESOURCE, |_| ()).await;
    assert!(answer.body["expires_in"].as_u64().unwrap() <= 2);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(team.take("scout", &first, RESOURCE, |_| ()).await.error(), REFUSED);
}

#[tokio::test]
async fn mistakes_in_the_configuration_are_named() {
    let dir = fresh("broker-delegate-mistakes");
    let mut config = agents();
    config["delegation"] = json!({ "max_depth": 17, "max_deepth": 1 });
    config["agents"][0]["scopes"] = json!(["crm:read", "trigger:nightly"]);
    let keys = json!({ "keys": Issuer::new(FOREIGN).jwks()["keys"] });
    config["enterprise"] = json!({
        "own": { "issuer": "URL", "jwks": keys, "algorithms": ["ES256"] },
        "both": { "issuer": "https://a.example.test", "jwks": { "keys": [], "url": "https://a" }, "algorithms": ["ES256"] },
        "none": { "issuer": "https://b.example.test", "jwks": {}, "algorithms": ["none"], "typ": "any" },
        "one": { "issuer": "https://c.example.test", "jwks": keys, "algorithms": ["none"] },
    });
    let url = Broker::files(&dir, &servers(&Issuer::new(FOREIGN)), &config);
    let Err(failure) = Broker::start(&dir, &url).await else { panic!("the broker started") };
    for expected in [
        "`delegation.max_depth`: found `17`, accepted is `0` to `16`",
        "`delegation.max_deepth`: found unknown key `max_deepth`",
        "`agents[0].scopes[1]`: found a scope that begins with `trigger:`, accepted is scopes of tools (hint: to start",
        "`enterprise.own.issuer`: found `http://127.0.0.1",
        "`enterprise.both.jwks`: found both `keys` and `url`, accepted is either `keys` or `url`",
        "`enterprise.none.jwks`: found neither `keys` nor `url`",
        "`enterprise.none.typ`: found unknown key `typ`",
        "`enterprise.one.algorithms[0]`: found `none`",
    ] {
        assert!(failure.log.contains(expected), "{expected}\n{}", failure.log);
    }
}
