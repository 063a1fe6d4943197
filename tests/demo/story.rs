//! The demo: one agent, one tool call, all the way through a real Envoy, told with real output.
//!
//! `--keep` leaves everything running and writes `target/demo/env`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use harness::agent::{Agent, Credentials};
use harness::stack::{Ports, Stack};
use harness::tools::log::Event;
use harness::wire::{One, Post, Reply};
use serde_json::{Value, json};
use tokio::time::sleep;

type Told = Result<(), Box<dyn Error>>;

#[tokio::main]
async fn main() -> Told {
    let keep = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--keep") => true,
        Some(other) => return Err(format!("found `{other}`, accepted is `--keep`").into()),
    };
    let dir = PathBuf::from("target/demo");
    Stack::stop_detached(&dir);
    std::fs::remove_dir_all(&dir).ok();
    step("start broker, tool server and Envoy");
    let stack = Stack::start(&dir, Ports::default()).await;
    for (name, url) in stack.env().iter().filter(|(name, _)| name.ends_with("_URL") && name != "CONSOLE_URL") {
        println!("{name:<16}{url}");
    }
    tell(&stack).await?;
    if keep {
        write_env(&dir, &stack)?;
        stack.detach();
        println!("\nleft running; {} says where, `scripts/demo` ends it", dir.join("env").display());
    }
    Ok(())
}

async fn tell(stack: &Stack) -> Told {
    let url = stack.mcp();

    step("the agent asks the broker for a token with the scope `crm:read`");
    let token = token(&stack.agent(), &url).await?;
    println!("{}", claims(&token));

    step("the agent calls `crm_lookup` through Envoy, with a stock MCP client");
    let agent = Agent::connect(&url, &token).await?;
    println!("protocol {}", agent.revision());
    println!("{}", agent.call("crm_lookup", json!({ "id": "1001" })).await?);

    step("what the tool server received: a credential of the broker's for this call, not the agent's token");
    let credential = received(stack)?;
    println!("{credential}");
    if credential["sha256"] == json!(sha256(&token)) {
        return Err("the tool server received the agent's own token".into());
    }

    step("the agent calls `crm_delete`, which needs a scope it does not hold");
    print(&call(stack, &token, "crm_delete").await?);

    step("an agent calls `crm_lookup` with a token that has expired");
    let hasty = Credentials { id: "hasty-agent".into(), ..stack.agent() };
    let expired = self::token(&hasty, &url).await?;
    sleep(Duration::from_millis(3100)).await;
    print(&call(stack, &expired, "crm_lookup").await?);

    step("nothing that was refused has run: what the tool server executed");
    for event in stack.events() {
        if let Event::Execution(ran) = event {
            println!(
                "{} for {} (credential {})",
                ran.tool,
                ran.client_id.unwrap_or_default(),
                ran.jti.unwrap_or_default()
            );
        }
    }

    step("the audit of all of it");
    audit(stack).await
}

fn step(text: &str) {
    println!("\n\x1b[1m── {text}\x1b[0m");
}

async fn token(agent: &Credentials, resource: &str) -> Result<String, Box<dyn Error>> {
    let token = agent.token("crm:read", resource).await;
    token.map_err(|refused| format!("no token: {} {}", refused.status, refused.body).into())
}

/// The header and claims of a token, for a reader; nothing is verified.
fn claims(token: &str) -> String {
    let part = |index| {
        let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(index)?).ok()?;
        String::from_utf8(bytes).ok()
    };
    let shown = [part(0), part(1)].map(Option::unwrap_or_default);
    format!("{}\n{}", shown[0], shown[1])
}

/// The `authorization` of the last tool call that reached the tool server.
fn received(stack: &Stack) -> Result<Value, Box<dyn Error>> {
    let mut calls = stack.events().into_iter().filter_map(|event| match event {
        Event::Request(request) if request.tool.is_some() => Some(request),
        _ => None,
    });
    let call = calls.next_back().ok_or("no call reached the tool server")?;
    Ok(call.header("authorization").first().copied().cloned().ok_or("the call carried no credential")?)
}

/// A call as raw HTTP, to show the whole answer.
async fn call(stack: &Stack, token: &str, tool: &str) -> Result<Reply, Box<dyn Error>> {
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": tool, "arguments": { "id": "1001" } },
    });
    let address = stack.ports.gateway().replace("http://", "");
    let post = Post::new("/crm/mcp", &address)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .body(body.to_string().as_bytes());
    let closed = |closed| format!("{closed:?}");
    let mut connection = One::connect(&address).await.map_err(closed)?;
    Ok(connection.exchange(&[post]).await.map_err(closed)?)
}

fn print(reply: &Reply) {
    println!("HTTP {}", reply.status);
    for challenge in reply.header("www-authenticate") {
        println!("www-authenticate: {challenge}");
    }
    println!("{}", reply.text());
}

/// Prints the records once those of the last request have arrived.
async fn audit(stack: &Stack) -> Told {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{}/v1/audit/events", stack.ports.broker());
    let token = stack.secret("admin.token");
    let mut records = Vec::new();
    for _ in 0..50 {
        let answer: Value = http.get(&url).bearer_auth(&token).send().await?.error_for_status()?.json().await?;
        records = answer["records"].as_array().cloned().unwrap_or_default();
        if records.iter().any(|record| record["reason"] == "token_expired") {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    println!("{:<9}{:<9}{:<15}{:<13}{:<12}{:<12}credential", "kind", "decision", "reason", "agent", "method", "tool");
    for record in &records {
        let text = |pointer| record.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
        let (kind, decision, reason) = (text("/kind"), text("/decision"), text("/reason"));
        let (agent, method, tool) = (text("/agent/id"), text("/method"), text("/tool"));
        let lease = text("/credential/lease");
        println!("{kind:<9}{decision:<9}{reason:<15}{agent:<13}{method:<12.11}{tool:<12}{lease}");
    }
    let told = |reason| records.iter().any(|record| record["reason"] == reason);
    match told("token_expired") && told("scope_missing") {
        true => Ok(()),
        false => Err("the audit does not hold both denials".into()),
    }
}

fn write_env(dir: &Path, stack: &Stack) -> std::io::Result<()> {
    let lines: String = stack.env().iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    std::fs::write(dir.join("env"), lines)
}

fn sha256(text: &str) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
