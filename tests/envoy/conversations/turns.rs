//! What is said, and what is to come of it under the policy of [`hall`](crate::hall).

use harness::agent::Era;
use harness::sdk::{Sdk, Step};
use serde_json::json;

use super::Manner;

const ACCOUNT: &str = "crm://public/accounts/1001";

/// A step, and what is to come of it through the filter.
pub struct Turn {
    pub step: Step,
    pub want: Want,
}

pub enum Want {
    /// The same as past it.
    Same,
    /// The same, but of the list in this member only the items whose second member is one of these.
    Only(&'static str, &'static str, &'static [&'static str]),
    /// A denial for this reason, with the scope that would help.
    Denied(&'static str, Option<&'static str>),
}

/// The whole conversation with a server of `sdk`.
pub fn turns(sdk: Sdk, era: &Era, manner: Manner) -> Vec<Turn> {
    let legacy = matches!(era, Era::Legacy | Era::Revision(_));
    use Want::{Denied, Only, Same};
    let turn = |method, params, want| Turn { step: Step { method, params }, want };
    let call = |tool: &str, want| {
        let arguments = match tool {
            "crm_export" | "report_sales" | "report_costs" => json!({}),
            "crm_update" => json!({ "id": "1001", "fields": { "tier": "gold" } }),
            _ => json!({ "id": "1001" }),
        };
        turn("tools/call", json!({ "name": tool, "arguments": arguments }), want)
    };
    let prompt = |name: &str, want| turn("prompts/get", json!({ "name": name, "arguments": { "style": "b" } }), want);
    let read = |uri: &str, want| turn("resources/read", json!({ "uri": uri }), want);
    let complete = |kind: &str, (member, name): (&str, &str), want| {
        let argument = json!({ "name": if member == "uri" { "id" } else { "style" }, "value": "b" });
        turn("completion/complete", json!({ "ref": { "type": kind, member: name }, "argument": argument }), want)
    };
    let subscribe = |uris: &[&str], want| match legacy {
        true => turn("resources/subscribe", json!({ "uri": uris[0] }), want),
        false => turn("subscriptions/listen", json!({ "notifications": { "resourceSubscriptions": uris } }), want),
    };
    let admin = Some("crm:admin");

    let mut turns = vec![
        turn(
            "tools/list",
            json!({}),
            Only("tools", "name", &["crm_lookup", "crm_update", "crm_merge", "report_sales", "report_costs"]),
        ),
        turn("prompts/list", json!({}), Only("prompts", "name", &["summarize"])),
        turn("resources/list", json!({}), Only("resources", "uri", &["crm://public/terms"])),
        turn(
            "resources/templates/list",
            json!({}),
            Only("resourceTemplates", "uriTemplate", &["crm://public/accounts/{id}"]),
        ),
        call("crm_lookup", Same),
        call("crm_delete", Denied("scope_missing", admin)),
        call("report_sales", Same),
        turn("progressed", json!({ "count": 3 }), Same),
        call("report_costs", Denied("condition_false", None)),
        call("crm_merge", Same),
        call("crm_export", Denied("tool_unknown", None)),
        prompt("summarize", Same),
        prompt("escalate", Denied("scope_missing", admin)),
        read("crm://public/terms", Same),
        read(ACCOUNT, Same),
        read("crm://secret/keys", Denied("tool_unknown", None)),
        read("crm://public/../secret/keys", Denied("tool_unknown", None)),
        complete("ref/prompt", ("name", "summarize"), Same),
        complete("ref/resource", ("uri", "crm://public/accounts/{id}"), Same),
        complete("ref/prompt", ("name", "escalate"), Denied("scope_missing", admin)),
        complete("ref/resource", ("uri", "crm://secret/accounts/{id}"), Denied("tool_unknown", None)),
        subscribe(&["crm://secret/keys", ACCOUNT], Denied("tool_unknown", None)),
        subscribe(&[ACCOUNT], Same),
    ];
    if legacy {
        turns.push(turn("ping", json!({}), Same));
        turns.push(turn("logging/setLevel", json!({ "level": "info" }), Denied("method_unknown", None)));
    }
    turns.extend([call("crm_update", Same), turn("updated", json!({}), Same), call("crm_lookup", Same)]);
    if legacy && sdk == Sdk::TypeScript {
        turns.retain(|turn| turn.step.method != "updated" && turn.step.params["name"] != "crm_merge");
    }
    if manner == Manner::Early {
        // No header says what these are about.
        turns.retain(|turn| !matches!(turn.step.method, "completion/complete" | "subscriptions/listen" | "updated"));
    }
    turns
}
