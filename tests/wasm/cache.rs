//! Tokens that were proved before: not proved again, judged again all the same.

use crate::support::*;
use harness::issuer::{broken, corrupt};
use harness::{Alg, Answer, Proxy, Request, START, Token};
use serde_json::{Value, json};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A token that the host is asked about when it has to be proved.
fn sound() -> Token {
    issuer().token().claim("exp", START + 3600)
}

fn lookup(token: &str) -> Request {
    legacy(token, &call("crm_lookup"))
}

/// How often a signature was checked.
fn proofs(proxy: &Proxy) -> usize {
    proxy.called("verify_signature")
}

#[test]
fn a_token_is_proved_once_on_each_worker() {
    let proxy = started(builder(&policy()).workers(2));
    let token = sound().sign();
    for worker in [0, 0, 0, 1, 1] {
        let stream = proxy.send_on(worker, lookup(&token));
        proxy.settle();
        stream.forwarded();
    }
    assert_eq!(proofs(&proxy), 2);
    proxy.run(lookup(&sound().sign())).forwarded();
    assert_eq!(proofs(&proxy), 3, "another token is another token");
    proxy.advance(SECOND);
    let metric = |name: &str| proxy.metric(&format!("accredit.token_cache.{name}"));
    assert_eq!((metric("hits"), metric("misses")), (3, 3));
}

#[test]
fn a_token_that_is_nearly_a_known_one_is_not_known() {
    let proxy = start();
    let token = sound();
    let known = token.clone().sign();
    proxy.run(lookup(&known)).forwarded();
    for near in broken(token).into_iter().chain([corrupt(&known)]) {
        denied(&proxy.run(lookup(&near)), 401, "token_signature");
    }
    denied(&proxy.run(lookup(&format!("{known}="))), 401, "token_malformed");
    denied(&proxy.run(lookup(known.rsplit_once('.').unwrap().0)), 401, "token_malformed");
    proxy.run(lookup(&known)).forwarded();
}

#[test]
fn what_was_not_proved_is_never_kept() {
    let proxy = start();
    let forged = sound().sign_foreign();
    for count in 1..4 {
        denied(&proxy.run(lookup(&forged)), 401, "token_signature");
        assert_eq!(proofs(&proxy), count);
    }
}

#[test]
fn a_known_token_ends_when_it_says() {
    let proxy = start();
    let token = sound().claim("exp", START + 60).sign();
    proxy.run(lookup(&token)).forwarded();
    proxy.advance(90 * SECOND - Duration::from_millis(1));
    proxy.run(lookup(&token)).forwarded();
    proxy.advance(Duration::from_millis(1));
    denied(&proxy.run(lookup(&token)), 401, "token_expired");
}

#[test]
fn a_known_token_falls_with_the_key_that_proved_it() {
    let proxy = started(builder(&remote()));
    let publish = |algs: &[Alg]| {
        proxy.cluster("idp").always(Answer::json(200, issuer().jwks_for(algs)));
    };
    publish(&[Alg::Es256, Alg::EdDsa]);
    let (token, other) = (sound().sign(), sound().alg(Alg::EdDsa).sign());
    proxy.run(lookup(&token)).forwarded();
    proxy.run(lookup(&other)).forwarded();
    proxy.advance(31 * SECOND);
    // The same keys again: nothing has to be proved again.
    proxy.run(lookup(&token)).forwarded();
    assert_eq!(proofs(&proxy), 1);
    publish(&[Alg::EdDsa]);
    proxy.advance(31 * SECOND);
    denied(&proxy.run(lookup(&token)), 401, "token_key_unknown");
    proxy.run(lookup(&other)).forwarded();
    // Another key under the old name.
    let mut swapped = issuer().jwk(Alg::EdDsa);
    swapped["x"] = json!("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    proxy.cluster("idp").always(Answer::json(200, json!({ "keys": [swapped] })));
    proxy.advance(31 * SECOND);
    denied(&proxy.run(lookup(&other)), 401, "token_signature");
}

/// A policy with two more servers, one of which does not accept the issuer.
fn servers() -> Value {
    let mut policy = policy();
    policy["issuers"]["partner"] = policy["issuers"]["corp"].clone();
    policy["issuers"]["partner"]["issuer"] = json!("https://partner.example.com");
    for (name, issuer) in [("hr", "corp"), ("erp", "partner")] {
        let mut server = policy["servers"]["crm"].clone();
        server["resource"] = json!(format!("https://gateway.example.com/{name}/mcp"));
        server["match"]["path"] = json!(format!("/{name}/mcp"));
        server["issuers"] = json!([issuer]);
        policy["servers"][name] = server;
    }
    policy
}

#[test]
fn a_known_token_is_judged_again_on_another_server() {
    let proxy = started(builder(&servers()));
    let both = ["https://gateway.example.com/crm/mcp", "https://gateway.example.com/hr/mcp"];
    let (wide, narrow) = (sound().claim("aud", json!(both)).sign(), sound().sign());
    let everywhere = sound().claim("aud", json!([both[0], "https://gateway.example.com/erp/mcp"])).sign();
    let to = |server: &str, token: &str| proxy.run(lookup(token).header(":path", format!("/{server}/mcp")));
    to("crm", &wide).forwarded();
    to("hr", &wide).forwarded();
    assert_eq!(proofs(&proxy), 1);
    to("crm", &narrow).forwarded();
    denied(&to("hr", &narrow), 401, "token_audience");
    to("crm", &everywhere).forwarded();
    denied(&to("erp", &everywhere), 401, "token_issuer");
    // In the other order: what one server refuses is no news for the next.
    let late = sound().sign();
    denied(&to("hr", &late), 401, "token_audience");
    to("crm", &late).forwarded();
}

#[test]
fn a_known_token_does_not_come_from_anyone() {
    let proxy = start();
    let bound = sound().bound_to_certificate(&[7; 32]).sign();
    let over = |digest: &str| lookup(&bound).property(&["connection", "sha256_peer_certificate_digest"], digest);
    proxy.run(over(&"07".repeat(32))).forwarded();
    denied(&proxy.run(over(&"08".repeat(32))), 401, "sender_unbound");
    denied(&proxy.run(lookup(&bound)), 401, "sender_unbound");
    assert_eq!(proofs(&proxy), 1);
}
