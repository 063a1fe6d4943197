//! Clients of the official SDKs that know a URL and their own registration, and find out the rest: where to get a token,
//! for which scopes, and when no token would do.

use harness::agent::Era;
use harness::sdk::{Access, Said, Script, Sdk, Step};
use serde_json::{Value, json};

use super::hall::Hall;

const ERAS: [Era; 3] = [Era::Legacy, Era::Modern, Era::Auto];

#[tokio::test]
async fn a_client_that_knows_a_url_and_its_registration_finds_out_the_rest() {
    let Some(hall) = Hall::open("discovery", Sdk::Python, |setup| setup).await else { return };
    for client in [Sdk::Python, Sdk::TypeScript] {
        let (url, access) = (hall.scene.stack.mcp(), Access::Client(hall.scene.stack.agent()));
        let script = |era: &Era| Script { url: url.clone(), access: access.clone(), era: era.clone(), steps: steps() };
        for (era, said) in ERAS.iter().zip(client.converse(&ERAS.each_ref().map(script)).await) {
            let label = format!("{client:?}, {era:?}");
            let [_, lookup, update, delete, export, list, _] = &said[..] else { panic!("{label}: {said:?}") };
            assert!(lookup.outcome.is_ok() && update.outcome.is_ok(), "{label}: {said:?}");
            refused(&label, delete, (client == Sdk::Python).then_some("scope_missing"));
            refused(&label, export, Some("tool_unknown"));
            assert_eq!(tools(list), ["crm_lookup", "crm_update", "crm_merge"], "{label}");
        }
    }
    let ran = hall.guarded.ran();
    let ran: Vec<_> = ran.iter().map(|ran| (ran.name.as_str(), ran.scope.as_deref())).collect();
    let each = [("crm_lookup", Some("crm:read")), ("crm_update", Some("crm:write"))];
    assert_eq!(ran, each.repeat(2 * ERAS.len()));
    // The first refusal, and one after the broker was asked for more: no client goes on asking.
    let refusals = |records: &[Value]| records.iter().filter(|record| record["tool"] == "crm_delete").count();
    let records = hall.scene.records(|records| refusals(records) >= 4 * ERAS.len()).await;
    assert_eq!(refusals(&records), 4 * ERAS.len());
}

fn steps() -> Vec<Step> {
    let call = |tool, arguments| Step { method: "tools/call", params: json!({ "name": tool, "arguments": arguments }) };
    vec![
        call("crm_lookup", json!({ "id": "1001" })),
        call("crm_update", json!({ "id": "1001", "fields": { "tier": "gold" } })),
        call("crm_delete", json!({ "id": "1001" })),
        call("crm_export", json!({})),
        Step { method: "tools/list", params: json!({}) },
    ]
}

fn refused(label: &str, said: &Said, reason: Option<&str>) {
    let Err(wrong) = &said.outcome else { panic!("{label}: {said:?}") };
    assert_eq!(wrong.status, Some(403), "{label}: {wrong:?}");
    if let Some(reason) = reason {
        assert_eq!(wrong.data["reason"], reason, "{label}: {wrong:?}");
    }
}

fn tools(said: &Said) -> Vec<&str> {
    let tools = said.outcome.as_ref().ok().and_then(|list| list["tools"].as_array());
    tools.into_iter().flatten().filter_map(|tool| tool["name"].as_str()).collect()
}
