//! `accredit policy explain`: the filter's verdicts, offline.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::stack::broker::accredit;
use harness::stack::fresh;
use harness::{Alg, Issuer, START};
use serde_json::{Value, json};

use super::support::{FOREIGN, RESOURCE, policy};

fn files(name: &str, issuer: &Issuer) -> (PathBuf, PathBuf) {
    let dir = fresh(&format!("explain-{name}"));
    let (file, keys) = (dir.join("policy.yaml"), dir.join("jwks.json"));
    let mut policy = policy(issuer);
    policy["issuers"]["corp"]["jwks"] = json!({ "url": "https://idp.example.test/jwks.json", "cluster": "idp" });
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
