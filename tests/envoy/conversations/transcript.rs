//! What was said past the filter and through it, side by side.

use harness::agent::Era;
use harness::sdk::{Said, Sdk, Wrong};
use serde_json::json;

use super::Manner;
use super::turns::{Turn, Want};

/// Both transcripts, turn by turn.
pub fn compare(label: &str, to: (Sdk, Manner), era: &Era, turns: &[Turn], plain: &[Said], guarded: &[Said]) {
    let ends = |said: &[Said]| said.iter().map(|said| said.step.clone()).collect::<Vec<_>>();
    assert_eq!(ends(plain), ends(guarded), "{label}: {guarded:?}");
    let ([hello, plain @ .., bye], [hello_there, guarded @ .., bye_there]) = (plain, guarded) else {
        panic!("{label}: {guarded:?}")
    };
    same(label, hello, hello_there);
    assert_eq!(hello_there.outcome.as_ref().expect("it is the same")["revision"], revision(era), "{label}");
    same(label, bye, bye_there);
    assert_eq!(plain.len(), turns.len(), "{label}: {plain:?}");
    for ((turn, plain), guarded) in turns.iter().zip(plain).zip(guarded) {
        let label = format!("{label}: {} {}", turn.step.method, turn.step.params);
        match turn.want {
            Want::Same => same(&label, plain, guarded),
            Want::Only(list, name, shown) => narrowed(&label, plain, guarded, (list, name, shown)),
            Want::Denied(reason, scope) => {
                let Err(wrong) = &guarded.outcome else { panic!("{label}: {guarded:?}") };
                denied(&label, to, wrong, reason, scope);
            }
        }
    }
}

/// What a client of this era and a server that knows all settle on.
fn revision(era: &Era) -> &str {
    match era {
        Era::Legacy => "2025-11-25",
        Era::Revision(revision) => revision.as_str(),
        Era::Modern | Era::Auto => "2026-07-28",
    }
}

fn same(label: &str, plain: &Said, guarded: &Said) {
    let (Ok(plain), Ok(guarded)) = (&plain.outcome, &guarded.outcome) else {
        panic!("{label}: {plain:?}, and through the filter {guarded:?}")
    };
    assert_eq!(guarded, plain, "{label}");
}

fn narrowed(label: &str, plain: &Said, guarded: &Said, (list, name, shown): (&str, &str, &[&str])) {
    let (Ok(mut plain), Ok(mut guarded)) = (plain.outcome.clone(), guarded.outcome.clone()) else {
        panic!("{label}: {plain:?}, and through the filter {guarded:?}")
    };
    let items = plain[list].as_array_mut().unwrap_or_else(|| panic!("{label}: no list"));
    items.retain(|item| item[name].as_str().is_some_and(|name| shown.contains(&name)));
    assert_eq!(items.len(), shown.len(), "{label}");
    // Only the modern era says how long a list may be kept.
    if let Some(scope) = guarded.get("cacheScope") {
        assert_eq!(scope, "private", "{label}");
        assert!(guarded["ttlMs"].as_u64().is_some_and(|ttl| ttl <= 60_000), "{label}: {guarded}");
    }
    for answer in [&mut plain, &mut guarded] {
        answer
            .as_object_mut()
            .expect("an answer is an object")
            .retain(|name, _| name != "ttlMs" && name != "cacheScope");
    }
    assert_eq!(guarded, plain, "{label}");
}

/// A client is told why, as far as its SDK lets it be told.
fn denied(label: &str, to: (Sdk, Manner), wrong: &Wrong, reason: &str, scope: Option<&str>) {
    let rpc = to.1 == Manner::JsonRpc;
    if !rpc {
        assert_eq!(wrong.status, Some(403), "{label}: {wrong:?}");
    }
    match (to.0, scope) {
        (Sdk::Rust | Sdk::TypeScript, Some(scope)) if !rpc => {
            assert_eq!(wrong.scope.as_deref(), Some(scope), "{label}: {wrong:?}")
        }
        _ => {
            assert_eq!((wrong.code, &wrong.data["reason"]), (Some(-31001), &json!(reason)), "{label}: {wrong:?}");
            let scopes = scope.map(|scope| json!([scope])).unwrap_or_default();
            assert_eq!(wrong.data["required_scopes"], scopes, "{label}: {wrong:?}");
        }
    }
}
