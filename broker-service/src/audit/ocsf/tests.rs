use accredit_policy::wire::audit::{Agent, Credential, Scopes, Token, Upstream};

use super::*;

/// What the schema requires of every event, and of each class; of a list in brackets one is enough.
///
/// `events/` and `objects/` of <https://github.com/ocsf/ocsf-schema>
const REQUIRED: &[(u32, &[&str])] = &[
    (6003, &["/actor", "/api", "/api/operation", "/src_endpoint", "[/src_endpoint/svc_name /src_endpoint/name]"]),
    (3003, &["/user", "[/user/uid /user/name]", "[/privileges /groups /iam_roles]"]),
    (3004, &["/entity", "[/entity/uid /entity/name]"]),
];
const ALWAYS: &[&str] = &[
    "/activity_id",
    "/category_uid",
    "/class_uid",
    "/type_uid",
    "/severity_id",
    "/time",
    "/metadata/version",
    "/metadata/product/name",
    "[/actor/user /actor/app_name /actor/app_uid]",
];

const KINDS: [Kind; 11] = [
    Kind::Decision,
    Kind::Intent,
    Kind::Mint,
    Kind::Outcome,
    Kind::Issue,
    Kind::End,
    Kind::Revocation,
    Kind::Admin,
    Kind::Gap,
    Kind::Chain,
    Kind::Cut,
];

fn whole(kind: Kind) -> Record {
    let text = |text: &str| Some(text.to_owned());
    Record {
        id: "r".into(),
        time: "2026-11-23T00:00:00.250Z".into(),
        kind,
        decision: Some(Decision::Deny),
        reason: text("scope_missing"),
        agent: Some(Agent { issuer: "https://idp".into(), id: "scout".into() }),
        subject: text("alice"),
        chain: vec!["scout".into(), "planner".into()],
        token: Some(Token { jti: text("j-1"), sha256: "ab".into() }),
        server: text("orders"),
        protocol: text("http"),
        method: text("DELETE"),
        tool: text("orders.remove"),
        scopes: Some(Scopes { required: vec!["orders:write".into()], held: Vec::new() }),
        credential: Some(Credential { name: "erp".into(), kind: None, lease: text("l-1"), expires: None }),
        upstream: Some(Upstream { status: Some(404), duration_ms: 7, bytes: None, tool_error: None }),
        request_id: text("r-1"),
        admin: Some(Admin {
            by: "operator".into(),
            action: "agent.suspend".into(),
            target: "scout".into(),
            why: text("calls at night"),
        }),
        ..Record::default()
    }
}

/// What is there and not null.
fn stands(event: &Value, pointer: &str) -> bool {
    event.pointer(pointer).is_some_and(|value| !value.is_null() && value != "" && *value != json!([]))
}

fn missing(event: &Value) -> Vec<&'static str> {
    let class = event["class_uid"].as_u64().unwrap();
    let (_, more) = REQUIRED.iter().find(|(one, _)| u64::from(*one) == class).expect("a class that is known");
    let one = |rule: &&&str| match rule.strip_prefix('[') {
        Some(any) => any.trim_end_matches(']').split(' ').any(|pointer| stands(event, pointer)),
        None => stands(event, rule),
    };
    ALWAYS.iter().chain(*more).filter(|rule| !one(rule)).copied().collect()
}

#[test]
fn every_record_has_what_the_schema_requires() {
    for kind in KINDS {
        for record in [whole(kind), Record { kind, ..Record::default() }] {
            let event = event(&record);
            assert_eq!(missing(&event), [""; 0], "{event:#}");
            let number = |name: &str| event[name].as_u64().unwrap();
            assert_eq!(number("type_uid"), number("class_uid") * 100 + number("activity_id"));
            assert_eq!(number("category_uid"), number("class_uid") / 1000);
            assert!(!event.to_string().contains("null"), "{event:#}");
            assert_eq!(event["unmapped"]["accredit"], serde_json::to_value(&record).unwrap(), "nothing is lost");
        }
    }
}

#[test]
fn a_call_says_who_what_and_what_came_of_it() {
    let event = event(&whole(Kind::Outcome));
    for (pointer, expected) in [
        ("/class_uid", json!(6003)),
        ("/activity_id", json!(4)),
        ("/time", json!(1_795_392_000_250_u64)),
        ("/status_id", json!(2)),
        ("/status_code", json!("scope_missing")),
        ("/severity_id", json!(2)),
        ("/actor/app_uid", json!("scout")),
        ("/actor/user/uid", json!("alice")),
        ("/actor/invoked_by", json!("planner")),
        ("/actor/authorizations/0/decision", json!("deny")),
        ("/api/operation", json!("orders.remove")),
        ("/api/service/name", json!("orders")),
        ("/http_request/http_method", json!("DELETE")),
        ("/http_response/code", json!(404)),
        ("/duration", json!(7)),
        ("/metadata/uid", json!("r")),
    ] {
        assert_eq!(event.pointer(pointer), Some(&expected), "{pointer}");
    }
}

#[test]
fn tokens_and_acts_of_operators_have_classes_of_their_own() {
    let mint = event(&whole(Kind::Mint));
    assert_eq!((&mint["class_uid"], &mint["type_uid"]), (&json!(3003), &json!(300_301)));
    assert_eq!((&mint["privileges"], &mint["session"]["uid"]), (&json!(["orders:write"]), &json!("l-1")));
    let act = event(&whole(Kind::Admin));
    assert_eq!((&act["class_uid"], &act["type_uid"]), (&json!(3004), &json!(300_412)));
    assert_eq!((&act["entity"]["uid"], &act["comment"]), (&json!("scout"), &json!("calls at night")));
}
