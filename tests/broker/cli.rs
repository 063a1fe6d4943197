//! `accredit policy check` and `schema`.

use std::fs;
use std::path::PathBuf;

use harness::Issuer;
use harness::stack::broker::accredit;
use harness::stack::fresh;
use serde_json::{Value, json};

use super::support::{FOREIGN, policy};

fn file(name: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
    let path = fresh(&format!("cli-{name}")).join("policy.yaml");
    let mut policy = policy(&Issuer::new(FOREIGN));
    change(&mut policy);
    fs::write(&path, policy.to_string().replace("URL", "https://broker.example.test")).unwrap();
    path
}

#[test]
fn a_valid_policy_is_told_with_its_digest() {
    let path = file("valid", |_| ());
    let text = accredit(&["policy", "check", path.to_str().unwrap()], b"");
    assert!(text.status.success() && text.stderr.is_empty());
    let json = accredit(&["policy", "check", "--output", "json", path.to_str().unwrap()], b"");
    let verdict: Value = serde_json::from_slice(&json.stdout).unwrap();
    let digest = verdict["digest"].as_str().unwrap();
    assert!(verdict["valid"] == true && digest.len() == 64);
    assert!(String::from_utf8(text.stdout).unwrap().contains(digest));
}

#[test]
fn an_invalid_policy_is_told_with_every_mistake() {
    let path = file("invalid", |policy| {
        policy["servers"]["crm"]["toolz"] = json!({});
        policy["version"] = json!(3);
    });
    let text = accredit(&["policy", "check", path.to_str().unwrap()], b"");
    assert_eq!(text.status.code(), Some(1));
    let said = String::from_utf8(text.stderr).unwrap();
    assert!(said.contains("policy.yaml: `version`: found `3`, accepted is `1`"), "{said}");
    assert!(said.contains("`servers.crm.toolz`: found unknown key `toolz`") && said.contains("did you mean `tools`?"));
    let json = accredit(&["policy", "check", "--output", "json", path.to_str().unwrap()], b"");
    assert_eq!(json.status.code(), Some(1));
    let verdict: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(verdict["errors"][0]["path"], "version");
}

#[test]
fn wrong_usage_and_missing_files_say_so() {
    assert_eq!(accredit(&["policy", "chek"], b"").status.code(), Some(2));
    let missing = accredit(&["policy", "check", "nowhere.yaml"], b"");
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("nowhere.yaml: "));
}

#[test]
fn the_schema_knows_every_key_and_no_other() {
    let schema = accredit(&["policy", "schema"], b"");
    let schema: Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["required"], json!(["version", "issuers", "broker", "servers"]));
    let server = &schema["$defs"]["Server"];
    assert_eq!(server["additionalProperties"], false);
    assert!(server["properties"]["match"].is_object() && server["properties"].get("unknown").is_none());
}
