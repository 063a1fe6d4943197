//! The audit: what it tells of the story, and that nobody can change it unseen.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use harness::stack::Stack;
use harness::stack::broker::accredit;
use serde_json::Value;
use sqlx::Connection as _;
use tokio::time::sleep;

use crate::{Told, operate};

/// Prints the records once those of the last request have arrived.
pub async fn table(stack: &Stack) -> Told {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{}/v1/audit/events", stack.ports.broker());
    let token = stack.secret("admin.token");
    let mut records = Vec::new();
    for _ in 0..50 {
        let answer: Value = http.get(&url).bearer_auth(&token).send().await?.error_for_status()?.json().await?;
        records = answer["records"].as_array().cloned().unwrap_or_default();
        let told = |reason| records.iter().any(|record| record["reason"] == reason);
        if told("token_expired") && told("revoked") {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let columns = ["kind", "decision", "reason", "agent", "for", "through", "method", "tool", "credential"];
    line(&columns.map(str::to_owned));
    for record in &records {
        let text = |pointer| record.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
        let shadow = if record["shadow"] == true { "shadow" } else { text("/decision") };
        let chain = record["chain"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let chain = Some(chain.collect::<Vec<_>>().join(" < ")).filter(|chain| !chain.is_empty());
        let (kind, reason, agent, subject) = (text("/kind"), text("/reason"), text("/agent/id"), text("/subject"));
        let (method, tool, lease) = (text("/method"), text("/tool"), text("/credential/lease"));
        let (agent, method, tool) = match record.get("admin") {
            Some(_) => (text("/admin/by"), text("/admin/action"), text("/admin/target")),
            None => (agent, method, tool),
        };
        let chain = chain.as_deref().unwrap_or("-");
        line(&[kind, shadow, reason, agent, subject, chain, method, tool, lease].map(str::to_owned));
    }
    let told = |reason| records.iter().any(|record| record["reason"] == reason);
    let all = ["token_expired", "scope_missing", "condition_false", "revoked"].into_iter().all(told);
    let shadow = records.iter().any(|record| record["shadow"] == true);
    match all && shadow {
        true => Ok(()),
        false => Err("the audit does not hold every denial of the story".into()),
    }
}

/// One row of the audit.
fn line([kind, decision, reason, agent, subject, chain, method, tool, lease]: &[String; 9]) {
    println!("{kind:<11}{decision:<9}{reason:<19}{agent:<13}{subject:<12}{chain:<17}{method:<17}{tool:<12}{lease}");
}

/// Verifies the database of the broker that runs, with the key it prints. Out: that key.
pub fn whole(stack: &Stack) -> Result<String, Box<dyn Error>> {
    let key = operate(stack, &["audit", "key"])?.trim().to_owned();
    match verify(&stack.dir().join("data/accredit.db"), &key) {
        Some(0) => Ok(key),
        code => Err(format!("`audit verify` ended with {code:?}").into()),
    }
}

/// Changes one byte in a copy, and verifies that.
pub async fn forged(stack: &Stack, key: &str) -> Told {
    let (from, to) = (stack.dir().join("data/accredit.db"), stack.dir().join("copy.db"));
    sqlx::any::install_default_drivers();
    let mut database = sqlx::AnyConnection::connect(&format!("sqlite://{}", from.display())).await?;
    sqlx::query("VACUUM INTO $1").bind(to.display().to_string()).execute(&mut database).await?;
    let mut bytes = std::fs::read(&to)?;
    let mark = br#""tool":"crm_delete""#;
    let at = bytes.windows(mark.len()).position(|window| window == mark).ok_or("no record tells of `crm_delete`")?;
    let byte = bytes.get_mut(at + mark.len() - 2).ok_or("the record is cut short")?;
    println!("byte {} of copy.db: `e` is `o` now", at + mark.len() - 2);
    *byte = b'o';
    std::fs::write(&to, bytes)?;
    match verify(&to, key) {
        Some(1) => Ok(()),
        code => Err(format!("`audit verify` ended with {code:?}").into()),
    }
}

/// Out: the exit code.
fn verify(database: &Path, key: &str) -> Option<i32> {
    let file = database.display().to_string();
    let told = accredit(&["audit", "verify", "--database", &file, "--key", key], b"");
    let name = database.file_name().unwrap_or_default().to_string_lossy();
    println!("$ accredit audit verify --database {name} --key \"$KEY\"");
    let said = String::from_utf8_lossy(&told.stdout) + String::from_utf8_lossy(&told.stderr);
    println!("{}\nexit code {}", said.trim_end(), told.status.code().unwrap_or(-1));
    told.status.code()
}
