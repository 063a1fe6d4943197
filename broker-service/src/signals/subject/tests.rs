use serde_json::json;

use super::*;

const CORP: &str = "https://idp.example.test";
const MACHINES: &str = "https://machines.example.test";

fn authority(issuer: &str, names: Names) -> Authority {
    Authority { issuer: issuer.into(), names, lifetime: None }
}

fn voice() -> Voice {
    let authorities = vec![authority(CORP, Names::Subjects), authority(MACHINES, Names::Agents)];
    Voice { authorities, email: None, opaque: None }
}

fn single(email: Option<Meaning>, opaque: Option<Meaning>) -> Voice {
    Voice { authorities: vec![authority(CORP, Names::Subjects)], email, opaque }
}

fn hit(subject: &Value, voice: &Voice) -> Result<Option<Value>, Refusal> {
    Ok(target(subject, voice)?.map(|(target, authority)| {
        let target = json!(target);
        assert_eq!(target["issuer"], authority.issuer);
        target
    }))
}

fn iss_sub(issuer: &str, subject: &str) -> Value {
    json!({ "format": "iss_sub", "iss": issuer, "sub": subject })
}

fn subject(name: &str) -> Value {
    json!({ "kind": "subject", "issuer": CORP, "subject": name })
}

fn agent(issuer: &str, id: &str) -> Value {
    json!({ "kind": "agent", "issuer": issuer, "id": id })
}

#[test]
fn a_name_of_an_issuer_is_its_subject_or_its_agent() {
    let token = json!({ "format": "jwt_id", "iss": CORP, "jti": "t-1" });
    for (said, expected) in [
        (iss_sub(CORP, "alice"), subject("alice")),
        (iss_sub(MACHINES, "robot"), agent(MACHINES, "robot")),
        (token, json!({ "kind": "token", "issuer": CORP, "id": "t-1" })),
    ] {
        assert_eq!(hit(&said, &voice()), Ok(Some(expected)), "{said}");
    }
}

#[test]
fn nobody_speaks_for_another_issuer_in_any_member() {
    for foreign in ["https://other.example.test", "https://idp.example.test/", "HTTPS://idp.example.test"] {
        let iss_sub = iss_sub(foreign, "alice");
        let jwt_id = json!({ "format": "jwt_id", "iss": foreign, "jti": "t-1" });
        for said in [
            iss_sub.clone(),
            jwt_id.clone(),
            json!({ "format": "complex", "user": iss_sub }),
            json!({ "format": "complex", "user": self::iss_sub(CORP, "bob"), "application": iss_sub }),
            json!({ "format": "complex", "user": self::iss_sub(CORP, "bob"), "session": jwt_id }),
        ] {
            assert_eq!(hit(&said, &voice()), Err(Refusal::Foreign), "{said}");
        }
    }
}

#[test]
fn names_without_an_issuer_count_where_the_file_says_what_they_are() {
    let email = json!({ "format": "email", "email": "alice@example.test" });
    let opaque = json!({ "format": "opaque", "id": "x-1" });
    for said in [&email, &opaque] {
        assert_eq!(hit(said, &single(None, None)), Ok(None));
    }
    let all = |opaque| single(Some(Meaning::Subject), Some(opaque));
    assert_eq!(hit(&email, &all(Meaning::Token)), Ok(Some(subject("alice@example.test"))));
    assert_eq!(hit(&opaque, &all(Meaning::Subject)), Ok(Some(subject("x-1"))));
    assert_eq!(hit(&opaque, &all(Meaning::Agent)), Ok(Some(agent(CORP, "x-1"))));
    let token = json!({ "kind": "token", "issuer": CORP, "id": "x-1" });
    assert_eq!(hit(&opaque, &all(Meaning::Token)), Ok(Some(token)));
    let user = json!({ "format": "complex", "user": opaque });
    assert_eq!(hit(&user, &all(Meaning::Token)), Ok(None), "a user is no token");
    let two = Voice { email: Some(Meaning::Subject), ..voice() };
    assert_eq!(hit(&email, &two), Ok(None), "whose would it be?");
}

#[test]
fn members_of_a_complex_subject_narrow_each_other_as_far_as_tokens_tell() {
    let (alice, app) = (iss_sub(CORP, "alice"), iss_sub(CORP, "planner"));
    let session = json!({ "format": "jwt_id", "iss": CORP, "jti": "t-1" });
    let (phone, tenant) = (json!({ "format": "phone_number", "phone_number": "+1" }), iss_sub("t", "t"));
    let both = json!({ "kind": "agent_for", "issuer": CORP, "id": "planner", "subject": "alice" });
    let token = json!({ "kind": "token", "issuer": CORP, "id": "t-1" });
    for (said, expected) in [
        (json!({ "user": alice, "tenant": tenant }), Some(subject("alice"))),
        (json!({ "user": alice, "session": session }), Some(subject("alice"))),
        (json!({ "user": alice, "device": phone }), Some(subject("alice"))),
        (json!({ "user": alice, "application": app }), Some(both)),
        (json!({ "user": alice, "application": iss_sub(MACHINES, "robot") }), Some(subject("alice"))),
        (json!({ "application": app }), Some(agent(CORP, "planner"))),
        (json!({ "application": app, "user": phone }), None),
        (json!({ "application": app, "device": phone }), None),
        (json!({ "application": app, "tenant": tenant }), None),
        (json!({ "application": app, "org_unit": tenant }), None),
        (json!({ "application": app, "group": tenant }), None),
        (json!({ "application": app, "something": tenant }), None),
        (json!({ "session": session }), Some(token.clone())),
        (json!({ "session": session, "user": phone }), Some(token)),
        (json!({ "session": alice }), None),
        (json!({ "tenant": tenant }), None),
        (json!({ "device": phone }), None),
        (json!({}), None),
    ] {
        let mut said = said;
        said["format"] = json!("complex");
        assert_eq!(hit(&said, &voice()), Ok(expected), "{said}");
    }
}

#[test]
fn what_is_no_subject_is_refused_and_what_is_another_format_is_left_aside() {
    let long = "x".repeat(513);
    for said in [
        json!(null),
        json!("alice"),
        json!({}),
        json!({ "format": 1 }),
        json!({ "format": "iss_sub", "iss": CORP }),
        json!({ "format": "iss_sub", "sub": "alice" }),
        iss_sub(CORP, ""),
        iss_sub(CORP, &long),
        iss_sub(CORP, "a\nb"),
        json!({ "format": "iss_sub", "iss": CORP, "sub": ["alice"] }),
        json!({ "format": "complex", "user": "alice" }),
        json!({ "format": "complex", "user": { "format": "iss_sub", "iss": CORP } }),
    ] {
        assert!(matches!(hit(&said, &voice()), Err(Refusal::Malformed(_))), "{said}");
    }
    for format in ["account", "aliases", "did", "phone_number", "uri", "ISS_SUB"] {
        assert_eq!(hit(&json!({ "format": format, "iss": "x", "sub": "y" }), &voice()), Ok(None), "{format}");
    }
}
