//! Canaries: marked secrets in tokens, headers, arguments, credentials and errors, and a search of all that was written.

use std::fs;
use std::path::Path;
use std::time::Duration;

use harness::stack::Stack;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::scene::{Scene, Setup, call};

/// What stands for a long-lived secret of a target.
const CREDENTIAL: &str = "canary-credential-0123456789abcdef0123456789abcdef";

/// Marks of what callers send, by where they send it.
const MARKS: [&str; 7] = [
    "canary-cookie",
    "canary-header",
    "canary-query",
    "canary-argument",
    "canary-name",
    "canary-broken-body",
    CREDENTIAL,
];

#[tokio::test]
async fn no_secret_is_found_in_anything_that_was_written() {
    let credential = json!({ "kind": "static", "secret": "crm-key", "headers": { "x-api-key": "{secret}" } });
    let tools = json!({
        "crm_lookup": { "scopes": ["crm:read"], "credential": "crm-api" },
        "crm_update": { "scopes": ["crm:read"], "credential": "crm-static", "audit": "before" },
        "crm_delete": { "scopes": ["crm:admin"] },
        "crm_report": { "scopes": ["crm:read"], "audit": "before" },
    });
    let setup = Setup::new("canary").server("tools", tools).credential("crm-static", credential);
    let Some(mut scene) = setup.open().await else { return };
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let put = http
        .put(format!("{}/v1/secrets/crm-key", scene.stack.ports.broker()))
        .bearer_auth(scene.stack.secret("admin.token"));
    assert!(put.body(CREDENTIAL).send().await.unwrap().status().is_success());
    let mut tokens = Vec::new();
    for round in 0..3 {
        for tool in ["crm_lookup", "crm_update", "crm_delete", "crm_report", "crm_other"] {
            let token = scene.token().claim("note", "canary-claim").sign();
            calls(&scene, &token, tool).await;
            tokens.push(token);
        }
        tokens.push(scene.own("crm:read").await);
        // Once more while nothing can be minted or recorded.
        match round {
            0 => scene.stack.broker.kill(),
            1 => scene.stack.start_broker().await.unwrap(),
            _ => sleep(Duration::from_secs(12)).await,
        }
        if round == 0 {
            tokens.push(scene.token().sign());
            calls(&scene, tokens.last().unwrap(), "crm_lookup").await;
            scene.stack.start_broker().await.unwrap();
        }
    }
    tokens.push(minted(&scene, &http, &tokens[0]).await);
    let records = scene.audit("").await;
    assert!(records.len() > 40, "only {} records", records.len());
    let told = json!(records).to_string() + &pages(&scene, &http).await;
    assert!(told.contains("crm_other"), "the search would find nothing at all");
    let live = written(scene.stack.dir());
    let dir = scene.stack.dir().to_owned();
    drop(scene);
    let ended = written(&dir);
    let signatures: Vec<_> = tokens.iter().map(|token| token.rsplit_once('.').expect("a token").1).collect();
    for (place, bytes) in live.iter().chain(&ended).chain(&[("records and metrics".to_owned(), told.into_bytes())]) {
        for secret in MARKS.iter().chain(&signatures) {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "`{secret}` in {place}");
        }
    }
    println!(
        "{} tokens and {} marks, {} files and {} records",
        tokens.len(),
        MARKS.len(),
        live.len() + ended.len(),
        records.len()
    );
}

/// Calls with marks wherever a caller can put them.
async fn calls(scene: &Scene, token: &str, tool: &str) {
    let mut body: Value = serde_json::from_str(&call(tool)).unwrap();
    body["params"]["arguments"]["canary-name"] = json!("canary-argument");
    let marked = |body: &str| {
        let post = scene.post(token, tool).header("cookie", "canary-cookie").header("x-api-key", "canary-header");
        let text = String::from_utf8(post.body(body.as_bytes())).unwrap();
        text.replacen("/crm/mcp", "/crm/mcp?canary-query=1", 1).into_bytes()
    };
    for body in [body.to_string(), format!("{body}canary-broken-body"), "canary-broken-body".to_owned()] {
        let reply = scene.send(&[marked(&body)]).await;
        assert!(!reply.text().contains(CREDENTIAL), "{reply:?}");
    }
}

/// A credential of the broker's, as a proxy gets it.
async fn minted(scene: &Scene, http: &reqwest::Client, token: &str) -> String {
    let details = json!([{ "type": "tool_call", "server": "crm", "tool": "crm_lookup", "credential": "crm-api" }]);
    let request = http.post(format!("{}/token", scene.stack.ports.broker()));
    let request = request.basic_auth("gateway", Some(scene.stack.secret("proxy.secret"))).form(&[
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", token),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("resource", &scene.stack.mcp()),
        ("scope", "crm:read"),
        ("authorization_details", &details.to_string()),
    ]);
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// What broker and Envoy tell of themselves.
async fn pages(scene: &Scene, http: &reqwest::Client) -> String {
    let Stack { ports, .. } = &scene.stack;
    let mut told = String::new();
    for url in [format!("{}/metrics", ports.broker()), format!("{}/stats", ports.envoy_admin())] {
        told += &http.get(url).send().await.unwrap().text().await.unwrap();
    }
    told
}

/// Every file below `dir`, but for secrets and what the tool server writes of its own.
fn written(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match path.is_dir() {
            true if name != "secrets" => files.extend(written(&path)),
            false if name != "tools.jsonl" => files.push((path.display().to_string(), fs::read(&path).unwrap())),
            _ => {}
        }
    }
    files
}
