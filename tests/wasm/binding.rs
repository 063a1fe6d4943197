//! Tokens bound to a key: only who proves to hold it may send them.

mod replay;

use crate::support::*;
use harness::{Alg, Holder, Proxy, Request, START, Token};
use serde_json::{Value, json};
use std::time::Duration;

const URL: &str = "https://gateway.example.com/crm/mcp";
const ALGS: &str = "ES256 ES384 EdDSA PS256 PS384 PS512 RS256 RS384 RS512";

/// A client, its token, and how it sends.
struct Client {
    holder: Holder,
    token: String,
}

impl Client {
    fn new(alg: Alg) -> Self {
        let holder = Holder::new(alg);
        let token = issuer().token().alg(Alg::EdDsa).claim("exp", START + 3600).bound_to(&holder).sign();
        Self { holder, token }
    }

    fn proof(&self) -> Token {
        self.holder.proof("POST", URL, &self.token)
    }

    fn request(&self, proof: Token) -> Request {
        self.sends(&self.token).header("dpop", proof.sign())
    }

    /// A call without a proof.
    fn sends(&self, token: &str) -> Request {
        raw("", call("crm_lookup").to_string())
            .without("authorization")
            .header("authorization", format!("DPoP {token}"))
    }
}

fn demanding(sender: &str) -> Value {
    changed(policy(), "/servers/crm/sender", json!(sender))
}

fn nonces() -> Value {
    changed(policy(), "/servers/crm/dpop", json!({ "nonce": true }))
}

fn workers(count: usize, policy: &Value) -> Proxy {
    started(builder(policy).workers(count))
}

fn challenge(error: &str) -> String {
    format!("DPoP error=\"{error}\", algs=\"{ALGS}\", resource_metadata=\"{METADATA}\"")
}

#[test]
fn a_proof_of_any_algorithm_lets_its_token_through_and_goes_no_further() {
    let proxy = start();
    for alg in Alg::ALL {
        let client = Client::new(alg);
        let upstream = proxy.run(client.request(client.proof())).forwarded();
        assert!(!upstream.headers.has("dpop") && !upstream.headers.has("authorization"), "{alg:?}");
    }
    let client = Client::new(Alg::Es256);
    let update = issuer().token().scope("crm:read crm:write").bound_to(&client.holder).sign();
    let body = call("crm_update").to_string();
    let proof = client.holder.proof("POST", URL, &update).sign();
    let upstream = proxy.run(client.sends(&update).header("dpop", proof).body(body)).forwarded();
    assert_eq!(upstream.headers.text("authorization"), Some("Bearer minted"));
}

#[test]
fn a_bound_token_without_its_proof_is_refused() {
    let proxy = start();
    let client = Client::new(Alg::EdDsa);
    let bearer = legacy(&client.token, &call("crm_lookup"));
    for request in [bearer.clone(), bearer.header("dpop", client.proof().sign())] {
        let reply = denied(&proxy.run(request), 401, "sender_unbound");
        assert_eq!(reply.challenge(), format!("Bearer error=\"invalid_token\", resource_metadata=\"{METADATA}\""));
    }
    let bare = denied(&proxy.run(client.sends(&client.token)), 401, "sender_proof_invalid");
    assert_eq!(bare.challenge(), challenge("invalid_dpop_proof"));
    // And the other way round: the scheme promises a binding that the token has not.
    denied(&proxy.run(client.sends(&reader())), 401, "sender_unbound");
    let proof = client.holder.proof("POST", URL, &reader()).sign();
    denied(&proxy.run(client.sends(&reader()).header("dpop", proof)), 401, "sender_unbound");
}

#[test]
fn a_proof_for_anything_else_is_refused() {
    let proxy = start();
    let client = Client::new(Alg::Es256);
    let other = issuer().token().bound_to(&client.holder).sign();
    let proof = || client.proof();
    for (what, proof) in [
        ("method", client.holder.proof("GET", URL, &client.token)),
        ("path", client.holder.proof("POST", "https://gateway.example.com/hr/mcp", &client.token)),
        ("host", client.holder.proof("POST", "https://other.example.com/crm/mcp", &client.token)),
        ("scheme", client.holder.proof("POST", "http://gateway.example.com/crm/mcp", &client.token)),
        ("token", client.holder.proof("POST", URL, &other)),
        ("no token", proof().without("ath")),
        ("too old", proof().claim("iat", START - 60)),
        ("too early", proof().claim("iat", START + 6)),
        ("no name", proof().without("jti")),
        ("type", proof().header("typ", "JWT")),
        ("no key", proof().without_header("jwk")),
        ("private key", proof().header("jwk", private(&client.holder))),
        ("key", proof().header("jwk", Holder::new(Alg::EdDsa).jwk())),
        ("issuer's key", proof().header("jwk", issuer().jwk(Alg::Es256))),
    ] {
        let reply = denied(&proxy.run(client.request(proof)), 401, "sender_proof_invalid");
        assert_eq!(reply.challenge(), challenge("invalid_dpop_proof"), "{what}");
    }
    for proof in ["", "x", "a.b.c", &proof().sign_foreign(), &proof().unsigned(), &client.token] {
        let request = client.sends(&client.token).header("dpop", proof);
        denied(&proxy.run(request), 401, "sender_proof_invalid");
    }
    proxy.run(client.request(proof())).forwarded();
}

fn private(holder: &Holder) -> Value {
    let mut jwk = holder.jwk();
    jwk["d"] = json!("AAAA");
    jwk
}

#[test]
fn a_stolen_token_is_of_no_use_with_another_key() {
    let proxy = start();
    let (owner, thief) = (Client::new(Alg::EdDsa), Holder::new(Alg::Es256));
    let proof = thief.proof("POST", URL, &owner.token).sign();
    denied(&proxy.run(owner.sends(&owner.token).header("dpop", proof)), 401, "sender_proof_invalid");
}

#[test]
fn two_proofs_are_none() {
    let proxy = start();
    let client = Client::new(Alg::EdDsa);
    for second in [client.proof().sign(), String::new()] {
        let twice = client.request(client.proof()).header("dpop", second);
        denied(&proxy.run(twice), 401, "sender_proof_invalid");
    }
    let proof = client.proof().sign();
    let joined = client.sends(&client.token).header("dpop", format!("{proof}, {proof}"));
    denied(&proxy.run(joined), 401, "sender_proof_invalid");
}

#[test]
fn a_server_that_asks_for_proofs_takes_no_other_token_and_says_so() {
    let client = Client::new(Alg::EdDsa);
    let certified = issuer().token().bound_to_certificate(&[7; 32]).sign();
    for sender in ["dpop", "bound"] {
        let proxy = started(builder(&demanding(sender)));
        proxy.run(client.request(client.proof())).forwarded();
        let scheme = if sender == "dpop" {
            format!("DPoP error=\"invalid_token\", algs=\"{ALGS}\"")
        } else {
            "Bearer error=\"invalid_token\"".into()
        };
        let plain = denied(&proxy.run(legacy(&reader(), &call("crm_lookup"))), 401, "sender_unbound");
        assert_eq!(plain.challenge(), format!("{scheme}, resource_metadata=\"{METADATA}\""));
        denied(&proxy.run(legacy(&certified, &call("crm_lookup"))), 401, "sender_unbound");
    }
    let proxy = started(builder(&demanding("dpop")));
    let missing = denied(&proxy.run(raw("", "{}").without("authorization")), 401, "token_missing");
    assert_eq!(missing.challenge(), format!("DPoP algs=\"{ALGS}\", resource_metadata=\"{METADATA}\""));
}

#[test]
fn a_server_with_nonces_hands_one_out_and_takes_it_on_every_worker() {
    let proxy = workers(2, &nonces());
    let client = Client::new(Alg::EdDsa);
    let ask = |proof: Token| {
        let reply = denied(&proxy.run(client.request(proof)), 401, "sender_nonce");
        assert_eq!(reply.challenge(), challenge("use_dpop_nonce"));
        reply.headers.text("dpop-nonce").expect("a nonce is handed out").to_owned()
    };
    let nonce = ask(client.proof());
    assert_eq!(ask(client.proof().claim("nonce", "made-up")), nonce);
    for worker in [0, 1] {
        let answered = proxy.send_on(worker, client.request(client.proof().claim("nonce", nonce.clone())));
        proxy.settle();
        answered.forwarded();
    }
    // Another error of the proof hands out none, and a nonce ends.
    let replayed = client.request(client.proof().claim("nonce", nonce.clone()));
    proxy.run(replayed.clone()).forwarded();
    assert!(!denied(&proxy.run(replayed), 401, "sender_proof_invalid").headers.has("dpop-nonce"));
    proxy.advance(Duration::from_secs(240));
    let late = |nonce: &str| client.proof().claim("iat", START + 240).claim("nonce", nonce.to_owned());
    let next = ask(late(&nonce));
    assert_ne!(next, nonce);
    proxy.run(client.request(late(&next))).forwarded();
}

#[test]
fn a_session_needs_a_proof_of_its_own_for_each_method() {
    let proxy = started(builder(&demanding("dpop")));
    let client = Client::new(Alg::EdDsa);
    for method in ["GET", "DELETE"] {
        let with = |proof: Token| {
            let request = Request::new(method, PATH).header("authorization", format!("DPoP {}", client.token));
            request.header("mcp-protocol-version", "2025-11-25").header("dpop", proof.sign())
        };
        proxy.run(with(client.holder.proof(method, URL, &client.token))).forwarded();
        denied(&proxy.run(with(client.proof())), 401, "sender_proof_invalid");
    }
}

#[test]
fn a_server_below_a_prefix_is_proved_for_the_very_path() {
    let at = json!({ "host": "gateway.example.com", "path_prefix": "/crm/" });
    let proxy = started(builder(&changed(policy(), "/servers/crm/match", at)));
    let client = Client::new(Alg::EdDsa);
    let to = |path: &str, url: &str| {
        let proof = client.holder.proof("POST", url, &client.token).sign();
        client.sends(&client.token).header("dpop", proof).header(":path", path)
    };
    proxy.run(to("/crm/a?q=1", "https://gateway.example.com/crm/a")).forwarded();
    denied(&proxy.run(to("/crm/a", "https://gateway.example.com/crm/b")), 401, "sender_proof_invalid");
    denied(&proxy.run(to("/crm/a", "https://gateway.example.com/crm/")), 401, "sender_proof_invalid");
}

#[test]
fn the_metadata_tells_what_is_enforced() {
    let algs: Vec<&str> = ALGS.split(' ').collect();
    for (sender, required, offered, certificates) in [
        ("bearer", Value::Null, Value::Null, Value::Null),
        ("dpop", json!(true), json!(algs), Value::Null),
        ("mtls", Value::Null, Value::Null, json!(true)),
        ("bound", Value::Null, json!(algs), Value::Null),
    ] {
        let proxy = started(builder(&demanding(sender)));
        let document = proxy.run(Request::fetch("/.well-known/oauth-protected-resource/crm/mcp")).replied().json();
        assert_eq!(document["dpop_bound_access_tokens_required"], required, "{sender}");
        assert_eq!(document["dpop_signing_alg_values_supported"], offered, "{sender}");
        assert_eq!(document["tls_client_certificate_bound_access_tokens"], certificates, "{sender}");
    }
}
