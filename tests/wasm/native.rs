//! Signatures, checked by the host where it can and in the module where it cannot: the verdict is the same.

use crate::support::*;
use harness::issuer::{broken, corrupt};
use harness::{Alg, Proxy, Request, Token};
use serde_json::{Value, json};

const VERIFY: &str = "verify_signature";

/// The algorithms Envoy's function knows.
const NATIVE: [Alg; 5] = [Alg::Es256, Alg::Es384, Alg::Rs256, Alg::Rs384, Alg::Rs512];

/// A policy that takes every algorithm there is.
fn every() -> Value {
    let names: Vec<&str> = Alg::ALL.iter().map(|alg| alg.name()).collect();
    let policy = changed(policy(), "/issuers/corp/algorithms", json!(names));
    changed(policy, "/issuers/corp/jwks", issuer().jwks_for(&Alg::ALL))
}

fn proxy() -> Proxy {
    started(builder(&every()))
}

fn lookup(token: &str) -> Request {
    legacy(token, &call("crm_lookup"))
}

fn sound(alg: Alg) -> Token {
    issuer().token().alg(alg)
}

#[test]
fn host_and_module_come_to_the_same_verdict_on_every_algorithm() {
    let (native, own) = (proxy(), proxy());
    own.without_foreign();
    for alg in Alg::ALL {
        for proxy in [&native, &own] {
            proxy.run(lookup(&sound(alg).sign())).forwarded();
            for token in broken(sound(alg)) {
                denied(&proxy.run(lookup(&token)), 401, "token_signature");
            }
        }
    }
}

#[test]
fn the_host_is_asked_where_it_knows_the_algorithm() {
    for alg in Alg::ALL {
        let proxy = proxy();
        proxy.run(lookup(&sound(alg).sign())).forwarded();
        assert_eq!(proxy.called(VERIFY), usize::from(NATIVE.contains(&alg)), "{alg:?}");
    }
}

#[test]
fn the_word_of_the_host_is_final() {
    for alg in NATIVE {
        let proxy = proxy();
        for no in [vec![], vec![0x08, 0], vec![0x12, 2, b'n', b'o'], vec![0x08, 0, 0x12, 0]] {
            proxy.foreign(VERIFY, move |_| Ok(no.clone()));
            denied(&proxy.run(lookup(&sound(alg).sign())), 401, "token_signature");
        }
        proxy.foreign(VERIFY, |_| Ok(vec![0x08, 1]));
        proxy.run(lookup(&sound(alg).sign_foreign())).forwarded();
    }
}

#[test]
fn what_is_no_answer_of_the_hosts_leaves_the_verdict_to_the_module() {
    for alg in [Alg::Es256, Alg::Rs256] {
        let answers: [Result<Vec<u8>, i32>; 9] = [
            Err(1),
            Err(2),
            Err(10),
            Ok(b"true".to_vec()),
            Ok(vec![0x08]),
            Ok(vec![0x08, 2]),
            Ok(vec![0x08, 1, 0x12, 0]),
            Ok(vec![1]),
            Ok(vec![0xff; 4096]),
        ];
        for answer in answers {
            let proxy = proxy();
            let shown = format!("{answer:?}").chars().take(40).collect::<String>();
            proxy.foreign(VERIFY, move |_| answer.clone());
            proxy.run(lookup(&sound(alg).sign())).forwarded();
            denied(&proxy.run(lookup(&sound(alg).sign_foreign())), 401, "token_signature");
            assert_eq!(proxy.called(VERIFY), 2, "{shown}");
        }
    }
}

#[test]
fn proofs_are_checked_by_the_host_too() {
    let proxy = start();
    let holder = harness::Holder::new(Alg::Es256);
    let token = issuer().token().alg(Alg::EdDsa).bound_to(&holder).sign();
    let proof = || holder.proof("POST", "https://gateway.example.com/crm/mcp", &token);
    let request = |proof: String| {
        let request = lookup("").without("authorization").header("authorization", format!("DPoP {token}"));
        request.header("dpop", proof)
    };
    proxy.run(request(proof().sign())).forwarded();
    assert_eq!(proxy.called(VERIFY), 1);
    denied(&proxy.run(request(proof().sign_foreign())), 401, "sender_proof_invalid");
    proxy.foreign(VERIFY, |_| Ok(vec![]));
    denied(&proxy.run(request(proof().sign())), 401, "sender_proof_invalid");
    proxy.without_foreign();
    proxy.run(request(proof().sign())).forwarded();
    denied(&proxy.run(request(corrupt(&proof().sign()))), 401, "sender_proof_invalid");
}
