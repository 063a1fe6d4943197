//! Whom a token itself names as the one who may take over.

use super::*;

#[test]
fn may_act_narrows_whom_a_holder_names() {
    let with = |party: Value| refused(|case| case.may_act = Some(party));
    for fits in [
        json!({ "sub": "scout" }),
        json!({ "sub": "scout", "iss": US }),
        json!({ "sub": "scout", "client_id": "scout" }),
    ] {
        assert_eq!(with(fits.clone()), None, "{fits}");
    }
    for other in [
        json!({ "sub": "writer" }),
        json!({ "sub": "scout", "iss": CORP }),
        json!({ "sub": "scout", "client_id": "writer" }),
        json!({ "sub": "scout", "email": "scout@example.test" }),
        json!({ "sub": "scout", "act": { "sub": "planner" } }),
        json!({ "sub": ["scout"] }),
        json!({ "iss": US }),
        json!({}),
        json!("scout"),
        json!(null),
    ] {
        assert_eq!(with(other.clone()), Some(Refusal::MayAct), "{other}");
    }
}

#[test]
fn may_act_gives_nothing_a_registered_holder_does_not() {
    let refusal = refused(|case| {
        case.may_act = Some(json!({ "sub": "scout", "iss": US }));
        case.registry.get_mut("planner").unwrap().may_delegate_to.clear();
    });
    assert_eq!(refusal, Some(Refusal::HandsOn));
}

#[test]
fn may_act_goes_on_with_the_task() {
    let party = json!({ "sub": "scout" });
    let case = Case { may_act: Some(party.clone()), ..Case::default() };
    assert_eq!(case.judge().unwrap().may_act, Some(party));
}

#[test]
fn an_agent_of_another_issuer_hands_on_only_by_its_issuers_word() {
    let with = |party: Option<Value>| refused(|case| (case.issuer, case.may_act) = (CORP, party));
    assert_eq!(with(None), Some(Refusal::HandsOn), "our entry for `planner` is not this planner's");
    assert_eq!(with(Some(json!({ "sub": "scout" }))), Some(Refusal::HandsOn), "which scout?");
    assert_eq!(with(Some(json!({ "sub": "scout", "iss": US }))), None);
}
