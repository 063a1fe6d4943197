use super::*;

fn policy(document: Option<Value>, open: bool) -> Result<Policy, String> {
    let mut files = Files::at(std::path::Path::new("."));
    let field = document.map_or(Field::Missing, Field::Read);
    let policy = Policy::check(field, open, &mut files, &Path::root().at("policy"));
    files.report.finish(policy).map_err(|errors| errors.to_string())
}

const END: Time = Time::from_millis(1_764_065_075_999);

fn rendered(policy: &Policy, agent: &str) -> Result<Value, Failure> {
    let text = policy.render(END, |name| if name == "agent" { Some(agent) } else { Some("x") })?;
    Ok(serde_json::from_str(&text).unwrap())
}

fn last() -> Value {
    json!({
        "Effect": "Deny", "Action": "*", "Resource": "*",
        "Condition": { "DateGreaterThanEquals": { "aws:CurrentTime": "2025-11-25T10:04:35Z" } },
    })
}

#[test]
fn a_session_without_a_policy_may_what_its_role_may_while_the_lease_lasts() {
    let allow = json!({
        "Effect": "Allow", "Action": "*", "Resource": "*",
        "Condition": { "DateLessThan": { "aws:CurrentTime": "2025-11-25T10:04:35Z" } },
    });
    let document = rendered(&policy(None, true).unwrap(), "a").unwrap();
    assert_eq!(document, json!({ "Version": "2012-10-17", "Statement": [allow, last()] }));
}

#[test]
fn beside_policies_at_aws_nothing_more_is_allowed() {
    let document = rendered(&policy(None, false).unwrap(), "a").unwrap();
    assert_eq!(document["Statement"], json!([last()]));
}

#[test]
fn every_allowance_ends_with_the_lease() {
    let document = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::crm/{agent}/*" },
        { "Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*",
          "Condition": { "DateLessThan": { "aws:TokenIssueTime": "2030-01-01T00:00:00Z" }, "Bool": { "aws:SecureTransport": true } } },
        { "Effect": "Deny", "Action": "s3:Delete*", "Resource": "*" },
    ] });
    let document = rendered(&policy(Some(document), true).unwrap(), "agent-7").unwrap();
    let end = json!("2025-11-25T10:04:35Z");
    let statements = document["Statement"].as_array().unwrap();
    assert_eq!(statements[0]["Resource"], "arn:aws:s3:::crm/agent-7/*");
    assert_eq!(statements[0]["Condition"], json!({ "DateLessThan": { "aws:CurrentTime": end } }));
    let both = json!({ "aws:TokenIssueTime": "2030-01-01T00:00:00Z", "aws:CurrentTime": end });
    assert_eq!(statements[1]["Condition"], json!({ "DateLessThan": both, "Bool": { "aws:SecureTransport": true } }));
    assert_eq!(statements[2], json!({ "Effect": "Deny", "Action": "s3:Delete*", "Resource": "*" }));
    assert_eq!(statements[3], last());
}

#[test]
fn no_fact_becomes_syntax_or_a_wildcard() {
    let document = json!({ "Statement": { "Effect": "Allow", "Action": "*", "Resource": "arn:aws:s3:::crm/{agent}" } });
    let policy = policy(Some(document), true).unwrap();
    let quoted = r#"a","Effect":"Allow"#;
    assert_eq!(rendered(&policy, quoted).unwrap()["Statement"][0]["Resource"], format!("arn:aws:s3:::crm/{quoted}"));
    for agent in ["*", "a*", "a?", "${aws:username}", "", "a\nb"] {
        assert!(matches!(rendered(&policy, agent), Err(Failure::Refused(_))), "{agent:?}");
    }
}

#[test]
fn variables_of_aws_are_written_with_doubled_braces() {
    let document =
        json!({ "Statement": [{ "Effect": "Allow", "Action": "*", "Resource": "arn:aws:s3:::${{aws:userid}}" }] });
    let document = rendered(&policy(Some(document), true).unwrap(), "a").unwrap();
    assert_eq!(document["Statement"][0]["Resource"], "arn:aws:s3:::${aws:userid}");
}

#[test]
fn a_policy_too_long_for_aws_is_refused() {
    let document = json!({ "Statement": [{ "Effect": "Allow", "Action": "*", "Resource": "{agent}" }] });
    let policy = policy(Some(document), true).unwrap();
    rendered(&policy, &"x".repeat(1500)).unwrap();
    assert!(matches!(rendered(&policy, &"x".repeat(2048)), Err(Failure::Refused(_))));
}

#[test]
fn mistakes_of_the_file_are_told() {
    let allow = json!({ "Effect": "Allow", "Action": "*", "Resource": "*" });
    let with = |name: &str, value: Value| {
        let mut statement = allow.clone();
        statement[name] = value;
        json!({ "Statement": [statement] })
    };
    for (document, told) in [
        (json!("x"), "`policy`: found another value"),
        (json!({}), "`policy`: found another value"),
        (json!({ "Statement": [] }), "`policy`: found another value"),
        (json!({ "Version": "2008-10-17", "Statement": [allow] }), "`policy`: found another value"),
        (json!({ "Statement": [allow], "More": 1 }), "`policy`: found another value"),
        (json!({ "Statement": ["x"] }), "`policy.Statement[0]`: found no statement"),
        (with("Effect", json!("allow")), "`policy.Statement[0]`: found no statement"),
        (with("Condition", json!([])), "the end of the lease stands there"),
        (with("Condition", json!({ "DateLessThan": "x" })), "the end of the lease stands there"),
        (with("Condition", json!({ "DateLessThan": { "AWS:currenttime": "x" } })), "the end of the lease stands there"),
        (with("Resource", json!(["*", "{secret}"])), "`policy.Statement[0].Resource[1]`: found `{secret}`"),
        (with("Resource", json!("${aws:userid}")), "found `{aws:userid}`"),
    ] {
        let errors = policy(Some(document.clone()), true).unwrap_err();
        assert!(errors.contains(told), "{document}: {errors}");
    }
}
