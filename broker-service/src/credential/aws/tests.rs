use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

static FOLDERS: AtomicU32 = AtomicU32::new(0);

/// The definition with these changes, or what is wrong with it.
fn check(change: Value) -> Result<Aws, String> {
    let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("accredit-aws-{}-{number}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("id"), "AKIAEXAMPLE\n").unwrap();
    fs::write(folder.join("key"), "secret\n").unwrap();
    let mut definition = json!({
        "operation": "assume_role", "role_arn": "arn:aws:iam::123456789012:role/crm", "region": "eu-central-1",
        "credentials": { "access_key_id_file": "id", "secret_access_key_file": "key" },
    });
    let members = definition.as_object_mut().unwrap();
    members.extend(change.as_object().unwrap().clone());
    members.retain(|_, value| !value.is_null());
    let mut files = Files::at(&folder);
    let aws = Aws::check(members.clone().into_iter().collect(), &mut files, &Path::root());
    fs::remove_dir_all(&folder).unwrap();
    files.report.finish(aws).map_err(|errors| errors.to_string())
}

#[test]
fn what_is_not_given_has_a_narrow_value() {
    let aws = check(json!({})).unwrap();
    assert_eq!(aws.endpoint.as_str(), "https://sts.eu-central-1.amazonaws.com/");
    assert_eq!(aws.duration(), Duration::from_secs(900));
    let china = check(json!({ "region": "cn-north-1" })).unwrap();
    assert_eq!(china.endpoint.host_str(), Some("sts.cn-north-1.amazonaws.com.cn"));
}

#[test]
fn mistakes_of_the_file_are_told() {
    let web = json!({ "operation": "web_identity", "credentials": null });
    check(web).unwrap();
    for (change, told) in [
        (json!({ "operation": "get_session_token" }), "accepted is `assume_role`, `web_identity`"),
        (json!({ "operation": "web_identity" }), "`credentials`: found a key of the other operation"),
        (json!({ "audience": "x" }), "`audience`: found a key of the other operation"),
        (json!({ "credentials": null }), "`credentials`: found nothing"),
        (json!({ "role_arn": "crm" }), "accepted is the ARN of a role"),
        (json!({ "region": "eu/central" }), "accepted is a region"),
        (json!({ "endpoint": "http://sts.example.test" }), "`http://` only on loopback"),
        (json!({ "duration": "14m" }), "`duration`"),
        (json!({ "duration": "13h" }), "`duration`"),
        (json!({ "session_name": "{token}" }), "`session_name`: found `{token}`"),
        (json!({ "tags": { "aws:agent": "x" } }), "found `aws:agent`"),
        (json!({ "tags": { "agent": "{secret}" } }), "`tags.agent`: found `{secret}`"),
        (json!({ "policy_arns": ["x"] }), "accepted is the ARN of a policy"),
        (json!({ "polcy": {} }), "did you mean `policy`?"),
    ] {
        let errors = check(change).unwrap_err();
        assert!(errors.contains(told), "{told}: {errors}");
    }
}
