//! Tokens bound to their sender, over real connections to several workers.

use std::collections::BTreeSet;

use harness::site::Site;
use harness::wire::{One, Reply};
use harness::{Alg, Holder};
use reqwest::Client;
use serde_json::{Value, json};

use super::scene::{Scene, Setup, call, denial, headers, publish};
use super::tls::Authority;

const PLANNER: &str = "spiffe://prod.example/agents/planner";

/// Sends the same bytes over that many connections at the same time.
async fn over(scene: &Scene, count: usize, request: &[u8]) -> Vec<Reply> {
    let mut connections = Vec::new();
    for _ in 0..count {
        connections.push(One::connect(&scene.address()).await.unwrap());
    }
    let sent = connections.into_iter().map(|mut connection| {
        let request = request.to_vec();
        tokio::spawn(async move { connection.exchange(&[request]).await.unwrap() })
    });
    let mut replies = Vec::new();
    for reply in sent.collect::<Vec<_>>() {
        replies.push(reply.await.unwrap());
    }
    replies
}

/// A call with a token bound to `holder`, and a proof with this nonce.
fn proved(scene: &Scene, holder: &Holder, nonce: Option<&str>) -> (Vec<u8>, [String; 2]) {
    let token = scene.token().bound_to(holder).sign();
    let proof = holder.proof("POST", &scene.stack.mcp(), &token);
    let proof = nonce.into_iter().fold(proof, |proof, nonce| proof.claim("nonce", nonce)).sign();
    let head = scene.post_as(&format!("DPoP {token}"), "crm_lookup").header("dpop", &proof);
    (head.body(call("crm_lookup").as_bytes()), [token, proof])
}

/// The workers that decided the first `count` requests.
async fn workers(scene: &Scene, count: usize) -> BTreeSet<String> {
    let name = |record: &Value| record["proxy"]["worker"].as_str().map(str::to_owned);
    let records = scene.records(|records| records.iter().filter_map(name).count() >= count).await;
    records.iter().filter_map(name).collect()
}

#[tokio::test]
async fn a_proof_counts_once_whichever_worker_it_comes_to() {
    let Some(scene) = Setup::new("proofs").server("sender", json!("dpop")).open().await else { return };
    let holder = Holder::new(Alg::Es256).at_now();
    let mut secrets = Vec::new();
    for round in 1..=6 {
        let (request, sent) = proved(&scene, &holder, None);
        let replies = over(&scene, 12, &request).await;
        let accepted = replies.iter().filter(|reply| reply.status == 200).count();
        assert_eq!(accepted, 1, "a proof was accepted {accepted} times");
        let refused = (401, "sender_proof_invalid".to_owned());
        assert!(replies.iter().filter(|reply| reply.status != 200).all(|reply| denial(reply) == refused));
        // Later it is no better.
        assert!(over(&scene, 4, &request).await.iter().all(|reply| denial(reply) == refused));
        assert_eq!(scene.ran().len(), round);
        secrets.extend(sent);
    }
    assert!(workers(&scene, 6 * 16).await.len() > 1, "all connections came to the same worker");
    for request in scene.received() {
        assert!(request.header("dpop").is_empty(), "a proof went upstream");
    }
    let bearer = scene.call(&secrets[0], "crm_lookup").await;
    assert_eq!(denial(&bearer), (401, "sender_unbound".into()));
    scene.keeps_quiet(&secrets.iter().map(String::as_str).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_nonce_of_one_worker_is_good_for_all() {
    let Some(scene) = Setup::new("nonces").server("dpop", json!({ "nonce": true })).open().await else { return };
    let holder = Holder::new(Alg::EdDsa).at_now();
    let mut nonces = BTreeSet::new();
    for reply in over(&scene, 8, &proved(&scene, &holder, None).0).await {
        assert_eq!(denial(&reply), (401, "sender_nonce".into()));
        let [challenge] = &reply.header("www-authenticate")[..] else { panic!("{reply:?}") };
        assert!(challenge.starts_with("DPoP error=\"use_dpop_nonce\", algs=\"ES256 "), "{challenge}");
        nonces.extend(reply.header("dpop-nonce"));
    }
    // Two where a new one became the current one meanwhile.
    assert!((1..=2).contains(&nonces.len()), "workers hand out nonces of their own: {nonces:?}");
    let nonce = nonces.into_iter().next().unwrap();
    for _ in 0..8 {
        let (request, _) = proved(&scene, &holder, Some(&nonce));
        assert_eq!(over(&scene, 1, &request).await[0].status, 200);
    }
    assert!(workers(&scene, 16).await.len() > 1, "all connections came to the same worker");
}

/// What Envoy answers to a call over TLS: the status, and the reason of a denial.
async fn answer(scene: &Scene, http: &Client, token: &str) -> (u16, String) {
    let url = scene.stack.mcp().replacen("http:", "https:", 1);
    let request = http.post(url).bearer_auth(token).body(call("crm_lookup"));
    let request = headers("crm_lookup").iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let reply = request.send().await.unwrap();
    let status = reply.status().as_u16();
    let body: Value = serde_json::from_slice(&reply.bytes().await.unwrap()).unwrap_or_default();
    (status, body["error"]["data"]["reason"].as_str().unwrap_or_default().to_owned())
}

fn passed() -> (u16, String) {
    (200, String::new())
}

fn unbound() -> (u16, String) {
    (401, "sender_unbound".to_owned())
}

#[tokio::test]
async fn a_token_bound_to_a_certificate_passes_over_its_own_connection_only() {
    let (authority, site) = (Authority::new(), Site::new());
    // The first request waits for the keys, and is judged by its own connection all the same.
    publish(&site, &[Alg::Es256]);
    site.open().await;
    let setup = Setup::new("certificates").server("sender", json!("mtls")).envoy(authority.guard());
    let Some(scene) = setup.fetched(&site).open().await else { return };
    let (owner, thief) = (authority.agent(PLANNER), authority.agent(PLANNER));
    let token = scene.token().bound_to_certificate(&owner.digest).sign();
    assert_eq!(answer(&scene, &owner.http, &token).await, passed());
    assert_eq!(answer(&scene, &thief.http, &token).await, unbound());
    assert_eq!(answer(&scene, &authority.stranger(), &token).await, unbound());
    // A token that is bound to nothing is good for nobody here.
    assert_eq!(answer(&scene, &owner.http, &scene.token().sign()).await, unbound());
    assert_eq!(scene.ran(), ["crm_lookup"]);
}

#[tokio::test]
async fn a_workload_calls_with_its_svid_over_its_own_connection() {
    let authority = Authority::new();
    let issuer = harness::Issuer::new("spiffe://prod.example").at_now();
    let setup = Setup::new("svid").issuer("kind", json!("spiffe")).issuer("issuer", json!("spiffe://prod.example"));
    let setup = setup.issuer("jwks", issuer.svid_jwks()).issuer("algorithms", json!(["ES256", "RS256"]));
    let setup = setup.issuer("grants", json!({ "spiffe://prod.example/agents/*": ["crm:read"] }));
    let setup = setup.issuer("workloads", json!([PLANNER])).envoy(authority.guard());
    let Some(scene) = setup.open().await else { return };
    let svid = issuer.svid(PLANNER).audience(&scene.stack.mcp()).sign();
    let planner = authority.agent(PLANNER).http;
    assert_eq!(answer(&scene, &planner, &svid).await, passed());
    let thief = authority.agent("spiffe://prod.example/agents/thief").http;
    assert_eq!(answer(&scene, &thief, &svid).await, unbound());
    let access = scene.token().sign();
    assert_eq!(answer(&scene, &planner, &access).await, (401, "token_issuer".to_owned()));
    let minted = |records: &[Value]| records.iter().any(|record| record["kind"] == "mint");
    let records = scene.records(minted).await;
    let mint = records.iter().find(|record| record["kind"] == "mint").unwrap();
    assert_eq!(mint["agent"], json!({ "issuer": "spiffe://prod.example", "id": PLANNER }));
}

#[tokio::test]
async fn a_server_tied_to_workloads_is_there_for_them_only() {
    let authority = Authority::new();
    let list = json!(["spiffe://prod.example/agents/*"]);
    let setup = Setup::new("workloads").server("workloads", list).envoy(authority.guard());
    let Some(scene) = setup.open().await else { return };
    let token = scene.token().sign();
    assert_eq!(answer(&scene, &authority.agent(PLANNER).http, &token).await, passed());
    for other in ["spiffe://prod.example/batch/nightly", "spiffe://other.example/agents/planner"] {
        assert_eq!(answer(&scene, &authority.agent(other).http, &token).await, unbound(), "{other}");
    }
    assert_eq!(answer(&scene, &authority.stranger(), &token).await, unbound());
    assert_eq!(scene.ran(), ["crm_lookup"]);
}
