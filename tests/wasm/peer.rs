//! Tokens bound to the connection they come over: to a client's certificate, or to a workload's identity.

use crate::support::*;
use harness::{Alg, Answer, Holder, Request};
use serde_json::{Value, json};

const DIGEST: [u8; 32] = [0xa7; 32];
const PLANNER: &str = "spiffe://prod.example/agents/planner";

fn demanding(sender: &str) -> Value {
    changed(policy(), "/servers/crm/sender", json!(sender))
}

/// A call over a connection whose client showed a certificate with this digest, in hex as Envoy has it.
fn over(token: &str, digest: &str) -> Request {
    legacy(token, &call("crm_lookup")).property(&["connection", "sha256_peer_certificate_digest"], digest)
}

/// A call over a connection of this workload.
fn from(token: &str, id: &str) -> Request {
    legacy(token, &call("crm_lookup")).property(&["connection", "uri_san_peer_certificate"], id)
}

fn bound() -> String {
    issuer().token().alg(Alg::EdDsa).bound_to_certificate(&DIGEST).sign()
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_token_bound_to_a_certificate_comes_over_its_connection_only() {
    for sender in ["bearer", "mtls", "bound"] {
        let proxy = started(builder(&demanding(sender)));
        proxy.run(over(&bound(), &hex(&DIGEST))).forwarded();
        denied(&proxy.run(legacy(&bound(), &call("crm_lookup"))), 401, "sender_unbound");
        for digest in
            ["", "a7", "A7 ", "zz", &hex(&[0xa8; 32]), &hex(&[0xa7; 31]), &hex(&[0xa7; 33]), "é".repeat(32).as_str()]
        {
            let reply = denied(&proxy.run(over(&bound(), digest)), 401, "sender_unbound");
            assert_eq!(reply.challenge(), format!("Bearer error=\"invalid_token\", resource_metadata=\"{METADATA}\""));
        }
    }
}

#[test]
fn a_header_that_names_a_certificate_counts_for_nothing() {
    let proxy = start();
    let header = format!("Hash={};URI={PLANNER}", hex(&DIGEST));
    let claimed = legacy(&bound(), &call("crm_lookup")).header("x-forwarded-client-cert", header);
    denied(&proxy.run(claimed), 401, "sender_unbound");
}

#[test]
fn a_server_that_asks_for_certificates_takes_no_other_token() {
    let proxy = started(builder(&demanding("mtls")));
    denied(&proxy.run(over(&reader(), &hex(&DIGEST))), 401, "sender_unbound");
    let holder = Holder::new(Alg::EdDsa);
    let proved = issuer().token().bound_to(&holder).sign();
    let proof = holder.proof("POST", "https://gateway.example.com/crm/mcp", &proved).sign();
    let request = over("", &hex(&DIGEST)).without("authorization").header("authorization", format!("DPoP {proved}"));
    denied(&proxy.run(request.header("dpop", proof)), 401, "sender_unbound");
}

#[test]
fn a_token_bound_to_both_needs_both() {
    let proxy = start();
    let holder = Holder::new(Alg::EdDsa);
    let mut both = json!({ "jkt": holder.thumbprint() });
    let certified = issuer().token().bound_to_certificate(&DIGEST).sign();
    let payload = certified.split('.').nth(1).unwrap();
    both["x5t#S256"] = confirmation(payload)["x5t#S256"].clone();
    let token = issuer().token().claim("cnf", both).sign();
    let proof = || holder.proof("POST", "https://gateway.example.com/crm/mcp", &token).sign();
    let request =
        |digest: &str| over("", digest).without("authorization").header("authorization", format!("DPoP {token}"));
    proxy.run(request(&hex(&DIGEST)).header("dpop", proof())).forwarded();
    denied(&proxy.run(request(&hex(&[0; 32])).header("dpop", proof())), 401, "sender_unbound");
    denied(&proxy.run(request(&hex(&DIGEST))), 401, "sender_proof_invalid");
    denied(&proxy.run(over(&token, &hex(&DIGEST))), 401, "sender_unbound");
}

fn confirmation(payload: &str) -> Value {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice::<Value>(&bytes).unwrap()["cnf"].clone()
}

#[test]
fn a_binding_of_an_unknown_kind_is_not_ignored() {
    let proxy = start();
    for cnf in [json!({}), json!({ "kid": "k" }), json!({ "jwk": issuer().jwk(Alg::EdDsa) })] {
        let token = issuer().token().claim("cnf", cnf).sign();
        denied(&proxy.run(over(&token, &hex(&DIGEST))), 401, "sender_unbound");
    }
    for cnf in [json!(null), json!("k"), json!({ "jkt": "AA" }), json!({ "x5t#S256": hex(&DIGEST) })] {
        let token = issuer().token().claim("cnf", cnf).sign();
        denied(&proxy.run(over(&token, &hex(&DIGEST))), 401, "token_malformed");
    }
}

#[test]
fn a_token_tied_to_workloads_comes_from_them_only() {
    let list = json!([PLANNER, "spiffe://prod.example/batch/*"]);
    for place in ["/issuers/corp/workloads", "/servers/crm/workloads"] {
        let proxy = started(builder(&changed(policy(), place, list.clone())));
        for id in [PLANNER, "spiffe://prod.example/batch/nightly"] {
            proxy.run(from(&reader(), id)).forwarded();
        }
        for id in [
            "",
            "spiffe://prod.example/agents/planner2",
            "spiffe://prod.example/agents",
            "spiffe://prod.example/batch",
            "spiffe://other.example/batch/x",
            "https://prod.example/batch/x",
        ] {
            let reply = denied(&proxy.run(from(&reader(), id)), 401, "sender_unbound");
            assert_eq!(reply.challenge(), format!("Bearer error=\"invalid_token\", resource_metadata=\"{METADATA}\""));
        }
        denied(&proxy.run(legacy(&reader(), &call("crm_lookup"))), 401, "sender_unbound");
    }
}

#[test]
fn lists_of_issuer_and_server_hold_together() {
    let policy = changed(policy(), "/issuers/corp/workloads", json!(["spiffe://prod.example/agents/*"]));
    let policy = changed(policy, "/servers/crm/workloads", json!(["spiffe://prod.example/*"]));
    let proxy = started(builder(&policy));
    proxy.run(from(&reader(), PLANNER)).forwarded();
    denied(&proxy.run(from(&reader(), "spiffe://prod.example/batch/nightly")), 401, "sender_unbound");
}

#[test]
fn who_waited_for_keys_is_judged_by_its_own_connection() {
    let proxy = started(builder(&remote()));
    let digests = [DIGEST, [0xa8; 32], DIGEST];
    let streams: Vec<_> = digests.iter().map(|digest| proxy.send(over(&bound(), &hex(digest)))).collect();
    proxy.cluster("idp").always(Answer::json(200, issuer().jwks()));
    proxy.settle();
    streams[0].forwarded();
    denied(&streams[1], 401, "sender_unbound");
    streams[2].forwarded();
}
