use proptest::prelude::*;
use serde_json::json;

use super::super::subject::{Authority, Names};
use super::*;

const US: &str = "https://broker.example.test";
const CORP: &str = "https://idp.example.test";
const OTHER: &str = "https://other.example.test";
const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const VERIFIED: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";
const NOW: Time = Time::from_seconds(1_800_000_000);
const AGE: u64 = 600;
const SKEW: u64 = 30;
const LIFETIME: u64 = 3600;

fn voice() -> Voice {
    let lifetime = Some(Duration::from_secs(LIFETIME));
    let authority = Authority { issuer: CORP.into(), names: Names::Subjects, lifetime };
    Voice { authorities: vec![authority], email: None, opaque: None }
}

fn sound() -> Value {
    json!({
        "iss": CORP, "aud": US, "jti": "set-1", "iat": NOW.seconds(),
        "sub_id": { "format": "iss_sub", "iss": CORP, "sub": "alice" }, "events": { REVOKED: {} },
    })
}

fn judge(said: &Value) -> Result<Set, Refusal> {
    let (voice, seconds) = (voice(), Duration::from_secs);
    let expected = Expected { issuer: CORP, audience: US, voice: &voice, max_age: seconds(AGE), skew: seconds(SKEW) };
    read(said.as_object().unwrap(), &expected, NOW)
}

fn with(name: &str, value: Value) -> Value {
    let mut said = sound();
    said[name] = value;
    said
}

/// Before which second the tokens were issued that are hit.
fn before(said: &Value) -> u64 {
    match judge(said).unwrap().events.as_slice() {
        [Event { effect: Effect::Revoked(revocation), .. }] => revocation.before.unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_token_in_order_revokes_and_says_how_long_it_is_remembered() {
    let target = Target::Subject { issuer: CORP.into(), subject: "alice".into() };
    let (before, until) = (Some(NOW.seconds() + 1), Some(NOW.seconds() + LIFETIME + 3600));
    let effect = Effect::Revoked(Revocation { target, before, until });
    let set = judge(&sound()).unwrap();
    assert_eq!((set.id.as_str(), set.until), ("set-1", NOW.plus(Duration::from_secs(AGE + SKEW))));
    assert_eq!(set.events, [Event { kind: REVOKED.into(), effect }]);
    for said in [with("aud", json!([OTHER, US])), with("txn", json!(8)), with("jti", json!("x".repeat(256)))] {
        assert!(judge(&said).is_ok(), "{said}");
    }
}

#[test]
fn each_claim_has_to_fit() {
    const MALFORMED: Refusal = Refusal::Malformed("");
    let many: Value = (0..=EVENTS).map(|number| (format!("urn:{number}"), json!({}))).collect();
    for (name, value, refusal) in [
        ("iss", json!(OTHER), Refusal::Issuer),
        ("iss", json!([CORP]), Refusal::Issuer),
        ("aud", json!(OTHER), Refusal::Audience),
        ("aud", json!([OTHER]), Refusal::Audience),
        ("aud", json!([]), Refusal::Audience),
        ("aud", json!([[US]]), Refusal::Audience),
        ("aud", json!(format!("{US}/")), Refusal::Audience),
        ("iat", json!(NOW.seconds() + SKEW + 1), Refusal::Ahead),
        ("iat", json!(NOW.seconds() - AGE - SKEW - 1), Refusal::Stale),
        ("sub_id", json!({ "format": "iss_sub", "iss": OTHER, "sub": "alice" }), Refusal::Foreign),
        ("iat", json!("now"), MALFORMED),
        ("toe", json!("now"), MALFORMED),
        ("jti", json!(1), MALFORMED),
        ("jti", json!(""), MALFORMED),
        ("jti", json!("x".repeat(257)), MALFORMED),
        ("sub", json!("alice"), MALFORMED),
        ("exp", json!(NOW.seconds() + 60), MALFORMED),
        ("events", json!({}), MALFORMED),
        ("events", json!([REVOKED]), MALFORMED),
        ("events", many, MALFORMED),
        ("events", json!({ REVOKED: null }), MALFORMED),
        ("events", json!({ REVOKED: { "event_timestamp": -1 } }), MALFORMED),
        ("events", json!({ "x".repeat(513): {} }), MALFORMED),
        ("sub_id", json!("alice"), MALFORMED),
    ] {
        let refused = judge(&with(name, value.clone())).unwrap_err();
        let same = refused == refusal || matches!((refused, refusal), (Refusal::Malformed(_), Refusal::Malformed(_)));
        assert!(same, "{name} {value}: {refused:?}");
    }
    for name in ["iss", "aud", "jti", "iat", "sub_id", "events"] {
        let mut said = sound();
        said.as_object_mut().unwrap().remove(name);
        assert!(judge(&said).is_err(), "{name}");
    }
}

#[test]
fn an_event_hits_what_was_issued_until_it_happened_and_nothing_ahead() {
    let now = NOW.seconds();
    let at = |time: Value| with("events", json!({ REVOKED: { "event_timestamp": time } }));
    for (said, expected) in [
        (at(json!(now - 500)), now - 499),
        (at(json!(now - 90_000)), now - 89_999),
        (at(json!(now + 90_000)), now + 1),
        (at(json!(1000 * now)), now + 1),
        (with("toe", json!(now - 7)), now - 6),
        (with("iat", json!(now - 60)), now - 59),
        (with("iat", json!(now + SKEW)), now + 1),
    ] {
        assert_eq!(before(&said), expected, "{said}");
    }
}

#[test]
fn a_token_is_revoked_whenever_it_was_issued() {
    let set = judge(&with("sub_id", json!({ "format": "jwt_id", "iss": CORP, "jti": "t-1" }))).unwrap();
    let target = Target::Token { issuer: CORP.into(), id: "t-1".into() };
    let until = Some(NOW.seconds() + LIFETIME + 3600);
    assert_eq!(set.events[0].effect, Effect::Revoked(Revocation { target, before: None, until }));
}

#[test]
fn what_is_not_known_is_ignored_and_keeps_nothing_else_from_counting() {
    let set = judge(&with("events", json!({ "urn:other": {}, REVOKED: {} }))).unwrap();
    let effects: Vec<_> = set.events.iter().map(|event| &event.effect).collect();
    assert!(matches!(effects[..], [Effect::Revoked(_), Effect::Ignored("its type is not known")]), "{effects:?}");
    let set = judge(&with("sub_id", json!({ "format": "uri", "uri": "x" }))).unwrap();
    assert!(matches!(set.events[0].effect, Effect::Ignored(_)));
    let mut said = with("events", json!({ VERIFIED: { "state": "s" } }));
    said.as_object_mut().unwrap().remove("sub_id");
    assert_eq!(judge(&said).unwrap().events[0].effect, Effect::Verified(Some("s".into())));
}

#[test]
fn of_several_events_all_count_or_none() {
    let said = with(
        "events",
        json!({ REVOKED: {}, "https://schemas.openid.net/secevent/caep/event-type/credential-change": {} }),
    );
    assert!(matches!(judge(&said), Err(Refusal::Malformed(_))));
}

/// A value of any shape, made of the words that mean something.
fn shape() -> impl Strategy<Value = Value> {
    const WORDS: &[&str] =
        &["iss_sub", "jwt_id", "complex", "opaque", "email", CORP, OTHER, US, "alice", "", "create", "revoke"];
    const NAMES: &[&str] =
        &["format", "iss", "sub", "jti", "user", "session", "application", "id", "event_timestamp", REVOKED];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        proptest::sample::select(WORDS).prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(proptest::sample::select(NAMES), inner, 0..6)
                .prop_map(|map| map.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_is_said_only_names_of_its_own_issuers_are_revoked_and_nothing_ahead(
        changes in proptest::collection::btree_map(
            proptest::sample::select(&["iss", "aud", "jti", "iat", "toe", "sub_id", "events", "sub"][..]),
            shape(),
            0..3,
        ),
        subject in shape(),
    ) {
        let mut said = with("sub_id", subject);
        changes.into_iter().for_each(|(name, value)| said[name] = value);
        let Ok(set) = judge(&said) else { return Ok(()) };
        prop_assert!(set.until >= NOW && (1..=JTI).contains(&set.id.len()));
        for event in set.events {
            if let Effect::Revoked(Revocation { target, before, until }) = event.effect {
                prop_assert_eq!(&json!(target)["issuer"], CORP);
                prop_assert!(before.is_none_or(|before| before.saturating_sub(1) <= NOW.seconds()) && until.is_some());
            }
        }
    }
}
