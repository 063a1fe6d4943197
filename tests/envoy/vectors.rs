//! Every token of `tests/vectors/attacks.json` through a real Envoy, whose own code checks RSA and ECDSA signatures. The
//! verdicts have to be those the core comes to alone.

use harness::stack::{Ports, Stack, envoy, fresh};
use harness::wire::{One, Post};
use serde_json::{Value, json};

use super::scene::{call, denial, headers};

/// The policy of the vectors, put into the demo's: its issuers, and its audience for the demo's server.
fn judging(demo: &str, vectors: &Value) -> String {
    let mut policy: Value = serde_saphyr::from_str(demo).unwrap();
    let theirs = &vectors["policy"];
    for (name, issuer) in theirs["issuers"].as_object().unwrap() {
        policy["issuers"][name] = issuer.clone();
    }
    policy["servers"]["crm"]["issuers"] = theirs["servers"]["crm"]["issuers"].clone();
    policy["servers"]["crm"]["audiences"] = json!([theirs["servers"]["crm"]["resource"]]);
    policy.to_string()
}

/// Whether a header can carry the token at all.
fn sendable(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') && token.trim() == token
}

#[tokio::test]
async fn every_vector_is_judged_as_the_core_judges_it() {
    if !envoy::available("vectors") {
        return;
    }
    let vectors: Value = serde_json::from_str(include_str!("../vectors/attacks.json")).unwrap();
    let policy = vectors.clone();
    let stack = Stack::builder(&fresh("envoy-vectors")).ports(Ports::free());
    let stack = stack.policy(move |demo| judging(&demo, &policy)).start().await;
    let address = format!("127.0.0.1:{}", stack.ports.gateway);
    let (body, mut judged) = (call("crm_lookup"), 0);
    for case in vectors["cases"].as_array().unwrap() {
        let token = case["token"].as_str().unwrap();
        if !sendable(token) {
            continue;
        }
        let post = Post::new("/crm/mcp", &address).header("authorization", format!("Bearer {token}"));
        let post = headers("crm_lookup").iter().fold(post, |post, (name, value)| post.header(name, value));
        let mut connection = One::connect(&address).await.expect("Envoy listens");
        let reply = connection.exchange(&[post.body(body.as_bytes())]).await.expect("Envoy answers");
        let expected =
            case["reason"].as_str().map_or((200, String::new()), |reason| (status(reason), reason.to_owned()));
        let got = if reply.status == 200 { (200, String::new()) } else { denial(&reply) };
        assert_eq!(got, expected, "{}: {}", case["row"], case["name"]);
        judged += 1;
    }
    assert!(judged > 300, "only {judged} vectors could be sent");
}

/// Chains are judged after the token was: they are no reason to get another one.
fn status(reason: &str) -> u16 {
    if reason.starts_with("chain_") { 403 } else { 401 }
}
