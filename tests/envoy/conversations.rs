//! Conversations of the official SDKs, each as client with each as server, in both eras: once through the filter and
//! once past it. What is permitted says the same both ways; what is denied is an error the client understands, and the
//! server never runs it.

mod transcript;
mod turns;

use harness::agent::Era;
use harness::sdk::{Access, Ran, Script, Sdk, Step};
use rmcp::model::ProtocolVersion;
use serde_json::json;

use super::early;
use super::hall::{DENIED, Hall, SCOPE};
use super::scene::Setup;
use transcript::compare;
use turns::{Turn, turns};

#[tokio::test]
async fn a_python_server_says_the_same_through_the_filter_and_runs_nothing_denied() {
    hold("conversations-python", Sdk::Python, Manner::Http).await;
}

#[tokio::test]
async fn a_rust_server_says_the_same_through_the_filter_and_runs_nothing_denied() {
    hold("conversations-rust", Sdk::Rust, Manner::Http).await;
}

#[tokio::test]
async fn a_typescript_server_says_the_same_through_the_filter_and_runs_nothing_denied() {
    hold("conversations-typescript", Sdk::TypeScript, Manner::Http).await;
}

#[tokio::test]
async fn denials_as_json_rpc_tell_every_client_the_whole_reason() {
    hold("conversations-jsonrpc", Sdk::TypeScript, Manner::JsonRpc).await;
}

#[tokio::test]
async fn what_headers_decide_is_no_different() {
    hold("conversations-early", Sdk::Rust, Manner::Early).await;
}

/// How the filter is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Denials are errors of HTTP.
    Http,
    /// Denials are errors of JSON-RPC alone.
    JsonRpc,
    /// On a host that cannot hold headers, so that only the modern era is served.
    Early,
}

impl Manner {
    fn setup(self, setup: Setup) -> Setup {
        match self {
            Self::Http => setup,
            Self::JsonRpc => setup.server("denials", json!("jsonrpc")),
            Self::Early => early::headers(setup),
        }
    }

    /// All that a client of `sdk` can be told to speak here.
    fn eras(self, sdk: Sdk) -> Vec<Era> {
        let older = [ProtocolVersion::V_2025_03_26, ProtocolVersion::V_2025_06_18].map(Era::Revision);
        match (self, sdk) {
            (Self::Early, _) => vec![Era::Modern, Era::Auto],
            (_, Sdk::Rust) => [Era::Legacy, Era::Modern, Era::Auto].into_iter().chain(older).collect(),
            _ => vec![Era::Legacy, Era::Modern, Era::Auto],
        }
    }
}

/// Holds every conversation with a server of `sdk`.
async fn hold(name: &str, sdk: Sdk, manner: Manner) {
    let Some(hall) = Hall::open(name, sdk, |setup| manner.setup(setup)).await else { return };
    strangers_are_turned_away(&hall, manner).await;
    let token = hall.token();
    for client in Sdk::ALL {
        let eras = manner.eras(client);
        let turns = |era: &Era| turns(sdk, era, manner);
        let scripts: Vec<_> = eras.iter().flat_map(|era| both_ways(&hall, &token, era, &turns(era))).collect();
        let said = client.converse(&scripts).await;
        assert_eq!(said.len(), scripts.len(), "{client:?}");
        for (era, said) in eras.iter().zip(said.chunks(2)) {
            let label = format!("{client:?} to {sdk:?}, {era:?}, {manner:?}");
            compare(&label, (client, manner), era, &turns(era), &said[0], &said[1]);
        }
    }
    only_what_is_permitted_ran(&hall, manner);
    hall.scene.keeps_quiet(&[&token]);
}

/// The same past the filter and through it.
fn both_ways(hall: &Hall, token: &str, era: &Era, turns: &[Turn]) -> [Script; 2] {
    let steps: Vec<_> = turns.iter().map(|turn| turn.step.clone()).collect();
    let script = |url| Script { url, access: Access::Token(token.to_owned()), era: era.clone(), steps: steps.clone() };
    [hall.plain.clone(), hall.scene.stack.mcp()].map(script)
}

/// Without a good token nothing is said, whatever the client tries.
async fn strangers_are_turned_away(hall: &Hall, manner: Manner) {
    let token = hall.scene.token().audience("http://127.0.0.1/other").sign();
    let list = Step { method: "tools/list", params: json!({}) };
    let script = |era: &Era| Script {
        url: hall.scene.stack.mcp(),
        access: Access::Token(token.clone()),
        era: era.clone(),
        steps: vec![list.clone()],
    };
    for client in Sdk::ALL {
        for said in client.converse(&manner.eras(client).iter().map(script).collect::<Vec<_>>()).await {
            // Where the revision is given, Python's client says nothing before the first step.
            let first = said.iter().find(|said| said.step == "tools/list").unwrap_or(&said[0]);
            let Err(wrong) = &first.outcome else { panic!("{client:?}: {said:?}") };
            assert_eq!(wrong.status, Some(401), "{client:?}: {wrong:?}");
            if client == Sdk::Python {
                assert_eq!((wrong.code, &wrong.data["reason"]), (Some(-31001), &json!("token_audience")));
            }
        }
    }
    assert_eq!(hall.guarded.ran(), []);
}

/// Each server's own word: past the filter everything ran, through it the same without what is denied.
fn only_what_is_permitted_ran(hall: &Hall, manner: Manner) {
    let name = |ran: &Ran| (ran.kind.clone(), ran.name.clone());
    let denied = |ran: &Ran| DENIED.contains(&(ran.kind.as_str(), ran.name.as_str()));
    let (guarded, beside) = (hall.guarded.ran(), hall.beside.ran());
    let permitted = beside.iter().filter(|ran| !denied(ran)).map(name);
    for (at, (ran, permitted)) in guarded.iter().map(name).zip(permitted.clone()).enumerate() {
        assert_eq!(ran, permitted, "handler {at}");
    }
    assert_eq!(guarded.len(), permitted.count());
    // What headers cannot decide is not asked for where they decide.
    let asked = |kind| manner != Manner::Early || matches!(kind, "tool" | "prompt" | "resource");
    for (kind, name) in DENIED.iter().filter(|(kind, name)| asked(kind) && !name.contains("..")) {
        let there = beside.iter().any(|ran| (ran.kind.as_str(), ran.name.as_str()) == (*kind, *name));
        assert!(there, "{kind} {name} does not even run without the filter");
    }
    for ran in guarded.iter().filter(|ran| ran.kind == "tool") {
        let credential = match ran.name.as_str() {
            "crm_lookup" => Some("crm:read"),
            "crm_update" => Some("crm:write"),
            _ => None,
        };
        assert_eq!(ran.scope.as_deref(), credential, "{}", ran.name);
    }
    assert!(beside.iter().all(|ran| ran.kind != "tool" || ran.scope.as_deref() == Some(SCOPE)));
}
