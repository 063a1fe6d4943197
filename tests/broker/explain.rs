//! `accredit policy explain`: the filter's verdicts, offline.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::stack::broker::accredit;
use harness::stack::fresh;
use harness::{Alg, Holder, Issuer, START, Token};
use serde_json::{Value, json};

use super::support::{FOREIGN, RESOURCE, policy};

fn files(name: &str, issuer: &Issuer) -> (PathBuf, PathBuf) {
    changed(name, issuer, |_| ())
}

fn changed(name: &str, issuer: &Issuer, change: impl FnOnce(&mut Value)) -> (PathBuf, PathBuf) {
    let dir = fresh(&format!("explain-{name}"));
    let (file, keys) = (dir.join("policy.yaml"), dir.join("jwks.json"));
    let mut policy = policy(issuer);
    policy["issuers"]["corp"]["jwks"] = json!({ "url": "https://idp.example.test/jwks.json", "cluster": "idp" });
    change(&mut policy);
    fs::write(&file, policy.to_string().replace("URL", "https://broker.example.test")).unwrap();
    fs::write(&keys, issuer.jwks().to_string()).unwrap();
    (file, keys)
}

fn request(token: &str, tool: &str) -> Value {
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": tool } });
    json!({
        "now": START, "method": "POST", "host": "gateway.example.test", "path": "/crm/mcp",
        "headers": [["Authorization", format!("Bearer {token}")], ["content-type", "application/json"]],
        "body_base64": STANDARD.encode(call.to_string()), "peer": {},
    })
}

fn explain(policy: &Path, keys: &Path, more: &[&str], input: &str) -> (Option<i32>, String) {
    let pin = format!("corp={}", keys.display());
    let mut args = vec!["policy", "explain", "--policy", policy.to_str().unwrap(), "--request", "-", "--jwks", &pin];
    args.extend(more);
    let output = accredit(&args, input.as_bytes());
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_permit_and_a_denial_say_who_what_and_why() {
    let issuer = Issuer::new(FOREIGN);
    let (policy, keys) = files("one", &issuer);
    let token = issuer.token().alg(Alg::Rs256).audience(RESOURCE).scope("crm:read").claim("sub", "alice").sign();
    let (code, text) = explain(&policy, &keys, &["--output", "json"], &request(&token, "crm_lookup").to_string());
    let verdict: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code, Some(0));
    assert_eq!(
        (&verdict["decision"], &verdict["status"], &verdict["reason"]),
        (&json!("permit"), &json!(200), &Value::Null)
    );
    assert_eq!(
        (&verdict["server"], &verdict["subject"], &verdict["tool"]),
        (&json!("crm"), &json!("alice"), &json!("crm_lookup"))
    );
    assert_eq!(verdict["credential"], "crm-api");
    assert_eq!(verdict["scopes"], json!({ "required": ["crm:read"], "held": ["crm:read"] }));
    let (code, text) = explain(&policy, &keys, &["--output", "json"], &request(&token, "crm_update").to_string());
    let verdict: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code, Some(1));
    assert_eq!(
        (&verdict["decision"], &verdict["status"], &verdict["reason"]),
        (&json!("deny"), &json!(403), &json!("scope_missing"))
    );
    let (_, text) = explain(&policy, &keys, &[], &request(&token, "crm_update").to_string());
    assert!(text.contains("decision   deny\nreason     scope_missing\n"), "{text}");
}

#[test]
fn a_batch_answers_every_line_in_order() {
    let issuer = Issuer::new(FOREIGN);
    let (policy, keys) = files("batch", &issuer);
    let token = issuer.token().audience(RESOURCE).scope("crm:read");
    let lines = [
        request(&token.clone().sign(), "crm_lookup").to_string(),
        "not a request".to_owned(),
        request(&token.clone().expired().sign(), "crm_lookup").to_string(),
        String::new(),
        request("", "crm_lookup").to_string(),
        request(&token.sign(), "nothing").to_string(),
    ];
    let (code, text) = explain(&policy, &keys, &["--batch", "--output", "json"], &lines.join("\n"));
    assert_eq!(code, Some(0));
    let reasons: Vec<Value> =
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["reason"].clone()).collect();
    let expected =
        json!([null, "request_malformed", "token_expired", "request_malformed", "token_missing", "tool_unknown"]);
    assert_eq!(json!(reasons), expected);
}

#[test]
fn keys_that_would_be_fetched_count_as_away() {
    let issuer = Issuer::new(FOREIGN);
    let (policy, _) = files("away", &issuer);
    let token = issuer.token().audience(RESOURCE).scope("crm:read").sign();
    let args = ["policy", "explain", "--policy", policy.to_str().unwrap(), "--request", "-", "--output", "json"];
    let output = accredit(&args, request(&token, "crm_lookup").to_string().as_bytes());
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&verdict["reason"], &verdict["status"]), (&json!("keys_unavailable"), &json!(503)));
}

/// The reasons of a batch, `null` for a permit.
fn reasons(policy: &Path, keys: &Path, more: &[&str], requests: &[Value]) -> Value {
    let input: Vec<String> = requests.iter().map(Value::to_string).collect();
    let args = [&["--batch", "--output", "json"], more].concat();
    let (code, text) = explain(policy, keys, &args, &input.join("\n"));
    assert_eq!(code, Some(0));
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["reason"].take()).collect()
}

fn reader(issuer: &Issuer) -> Token {
    issuer.token().audience(RESOURCE).scope("crm:read")
}

#[test]
fn the_peer_counts_as_the_connection_would() {
    let issuer = Issuer::new(FOREIGN);
    let list = json!(["spiffe://prod.example/agents/*"]);
    let (policy, keys) = changed("peer", &issuer, |policy| policy["servers"]["crm"]["workloads"] = list);
    let token = reader(&issuer).bound_to_certificate(&[0xa7; 32]).sign();
    let from = |peer: Value| {
        let mut request = request(&token, "crm_lookup");
        request["peer"] = peer;
        request
    };
    let (digest, id) = ("a7".repeat(32), "spiffe://prod.example/agents/planner");
    let requests = [
        from(json!({ "certificate_sha256": digest, "uri_san": id })),
        from(json!({ "certificate_sha256": digest })),
        from(json!({ "certificate_sha256": digest, "uri_san": "spiffe://prod.example/batch/x" })),
        from(json!({ "certificate_sha256": "a8".repeat(32), "uri_san": id })),
        from(json!({ "uri_san": id })),
        from(json!({})),
        from(json!({ "certificate": digest })),
    ];
    let unbound = "sender_unbound";
    let expected = json!([null, unbound, unbound, unbound, unbound, unbound, "request_malformed"]);
    assert_eq!(reasons(&policy, &keys, &[], &requests), expected);
}

#[test]
fn a_proof_counts_once_in_a_batch() {
    let issuer = Issuer::new(FOREIGN);
    let (policy, keys) = files("proofs", &issuer);
    let holder = Holder::new(Alg::Es384);
    let token = reader(&issuer).bound_to(&holder).sign();
    let with = |proof: Token| {
        let mut request = request("", "crm_lookup");
        let scheme = json!(["authorization", format!("DPoP {token}")]);
        request["headers"][0] = scheme;
        request["headers"].as_array_mut().unwrap().push(json!(["DPoP", proof.sign()]));
        request
    };
    let proof = |url: &str| holder.proof("POST", url, &token);
    let first = with(proof(RESOURCE));
    let requests = [
        first.clone(),
        first.clone(),
        with(proof(RESOURCE)),
        first,
        with(proof("https://gateway.example.test/hr/mcp")),
        with(proof(RESOURCE).claim("iat", START - 60)),
        request(&token, "crm_lookup"),
    ];
    let invalid = "sender_proof_invalid";
    let expected = json!([null, invalid, null, invalid, invalid, invalid, "sender_unbound"]);
    assert_eq!(reasons(&policy, &keys, &[], &requests), expected);
}

#[test]
fn status_lists_come_from_files_or_count_as_away() {
    let (issuer, url) = (Issuer::new(FOREIGN), "https://idp.example.test/lists/1");
    let status = json!({ "cluster": "idp" });
    let (policy, keys) = changed("statuses", &issuer, |policy| policy["issuers"]["corp"]["status"] = status);
    let file = policy.with_file_name("list.jwt");
    let pin = format!("{url}={}", file.display());
    let listed = |index| request(&reader(&issuer).listed(url, index).sign(), "crm_lookup");
    let requests = [listed(0), listed(1), listed(2), request(&reader(&issuer).sign(), "crm_lookup")];
    fs::write(&file, issuer.statuses(url, &[0, 1]).sign()).unwrap();
    let verdicts = reasons(&policy, &keys, &["--status-list", &pin], &requests);
    assert_eq!(verdicts, json!([null, "revoked", "revoked", null]));
    let away = json!(["revocation_stale", "revocation_stale", "revocation_stale", null]);
    assert_eq!(reasons(&policy, &keys, &[], &requests), away);
    fs::write(&file, issuer.statuses(url, &[0, 1]).sign_foreign()).unwrap();
    assert_eq!(reasons(&policy, &keys, &["--status-list", &pin], &requests), away);
}

#[test]
fn a_list_that_is_not_there_is_told() {
    let (policy, _) = files("list-missing", &Issuer::new(FOREIGN));
    let args = ["policy", "explain", "--policy", policy.to_str().unwrap(), "--request", "-", "--status-list"];
    for (list, expected) in [
        ("nowhere.jwt", "--status-list: found `nowhere.jwt`, accepted is `URL=FILE`"),
        ("https://idp.example.test/lists/1=nowhere.jwt", "nowhere.jwt: "),
    ] {
        let output = accredit(&[&args[..], &[list]].concat(), b"{}");
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(expected), "{said}");
    }
}
