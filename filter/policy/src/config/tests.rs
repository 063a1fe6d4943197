//! What the policy file may say, and what its mistakes read like.

use serde_json::{Value, json};

mod protocols;

use super::*;
use crate::testing::{policy, policy_json};

/// The errors of the sample with one place changed; `null` removes it.
fn errors(pointer: &str, value: Value) -> Vec<String> {
    let mut policy = policy_json();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = policy.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Value::Null => drop(parent.remove(name)),
        value => drop(parent.insert(name.to_owned(), value)),
    }
    match read(policy) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn the_sample_is_valid_and_its_digest_depends_on_content_only() {
    let policy = policy();
    let text = serde_json::to_string_pretty(&policy_json()).unwrap();
    assert_eq!(parse(text.as_bytes()).unwrap().digest(), policy.digest());
    let mut other = policy_json();
    other["servers"]["crm"]["limits"]["request"] = json!("8KiB");
    assert_ne!(read(other).unwrap().digest(), policy.digest());
}

#[test]
fn every_mistake_is_reported_at_once() {
    let mut policy = policy_json();
    policy["isuers"] = json!({});
    policy["version"] = json!("1");
    policy["servers"]["crm"]["match"]["pth"] = json!("/x");
    policy["servers"]["crm"]["tools"]["crm_lookup"]["scopes"] = json!("crm:read");
    let errors = read(policy).unwrap_err().to_string();
    let expected = [
        "`isuers`: found unknown key `isuers`, accepted is one of `version`, `issuers`, `broker`, `servers`, \
         `session_key`, `audit`, `revocation`, `access_log`, `body` \
         (hint: did you mean `issuers`?)",
        "`version`: found `\"1\"`, accepted is a whole number",
        "`servers.crm.match.pth`: found unknown key `pth`, accepted is one of `host`, `path`, `path_prefix` \
         (hint: did you mean `path`?)",
        "`servers.crm.tools.crm_lookup.scopes`: found `\"crm:read\"`, accepted is a list",
    ];
    assert_eq!(errors, expected.join("\n"));
}

#[test]
fn each_rule_names_the_place_and_the_mend() {
    for (pointer, value, expected) in [
        ("/version", json!(2), "`version`: found `2`, accepted is `1`"),
        ("/broker", Value::Null, "`broker`: found nothing, accepted is an object"),
        (
            "/servers/crm/resource",
            json!("gateway"),
            "`servers.crm.resource`: found `gateway`, accepted is an `https://`",
        ),
        (
            "/servers/crm/protocol",
            json!("grpc"),
            "`servers.crm.protocol`: found `grpc`, accepted is one of `mcp`, `http`, `a2a`",
        ),
        ("/servers/crm/issuers", json!(["crop"]), "`servers.crm.issuers[0]`: found `crop`, accepted is a name below"),
        ("/servers/crm/issuers", json!([]), "`servers.crm.issuers`: found no issuer"),
        ("/servers/crm/audiences", json!([]), "`servers.crm.audiences`: found no audience"),
        ("/servers/crm/match/path", json!("mcp"), "`servers.crm.match.path`: found `mcp`, accepted is a path"),
        ("/servers/crm/match/path", Value::Null, "`servers.crm.match`: found neither `path` nor `path_prefix`"),
        ("/servers/crm/match/path_prefix", json!("/a/"), "`servers.crm.match`: found both `path` and `path_prefix`"),
        (
            "/servers/crm/limits/request",
            json!("1GB"),
            "`servers.crm.limits.request`: found `\"1GB\"`, accepted is a size",
        ),
        ("/servers/crm/limits/request", json!("32MiB"), "`servers.crm.limits.request`: found no room or more than"),
        ("/servers/crm/tools/a*b", json!({"scopes": ["x"]}), "`servers.crm.tools.\"a*b\"`: found the name"),
        ("/servers/crm/prompts", json!({"*x": {"scopes": ["x"]}}), "`servers.crm.prompts.\"*x\"`: found the name"),
        (
            "/servers/crm/resources",
            json!({"crm://a/*/b": {"scopes": ["x"]}}),
            "`servers.crm.resources.\"crm://a/*/b\"`: found the name",
        ),
        (
            "/servers/crm/methods",
            json!({"tools/call": {"scopes": ["x"]}}),
            "`servers.crm.methods.\"tools/call\"`: found `tools/call`, whose rules stand under `tools`",
        ),
        ("/servers/crm/tools/x", json!({"scopes": []}), "`servers.crm.tools.x.scopes`: found no scope"),
        ("/servers/crm/tools/x", json!({"scopes": ["a b"]}), "`servers.crm.tools.x.scopes[0]`: found \"a b\""),
        (
            "/servers/crm/tools/x",
            json!({"scopes": ["x"], "when": "true"}),
            "`servers.crm.tools.x.when`: found an expression that is always the same at line 1 column 1, accepted is one",
        ),
        (
            "/servers/crm/tools/x",
            json!({"scopes": ["x"], "when": "args.n > 1 &&\n args.n == '1'", "arguments": {"type": "object", "properties": {"n": {"type": "integer"}}}}),
            "`servers.crm.tools.x.when`: found `==` of a number and a string at line 2 column 9, accepted is two values",
        ),
        (
            "/servers/crm/tools/x",
            json!({"scopes": ["x"], "where": "args.n > 1"}),
            "`servers.crm.tools.x.where`: found unknown key",
        ),
        (
            "/servers/crm/tools/x",
            json!({"scopes": ["x"], "credential": ""}),
            "`servers.crm.tools.x.credential`: found \"\"",
        ),
        (
            "/issuers/corp/algorithms",
            json!(["HS256"]),
            "`issuers.corp.algorithms[0]`: found `HS256`, accepted is one of",
        ),
        ("/issuers/corp/algorithms", json!([]), "`issuers.corp.algorithms`: found no algorithm"),
        ("/issuers/corp/clock_skew", json!("2m"), "`issuers.corp.clock_skew`: found more than a minute"),
        ("/issuers/corp/jwks", json!({}), "`issuers.corp.jwks`: found neither `keys` nor `url`"),
        ("/issuers/corp/jwks", json!({"keys": []}), "`issuers.corp.jwks.keys`: found a key set that holds no usable"),
        ("/issuers/corp/jwks", json!({"url": "https://a/b"}), "`issuers.corp.jwks.cluster`: found nothing"),
        ("/issuers/corp/jwks", json!({"keys": [], "cluster": "x"}), "`issuers.corp.jwks`: found both"),
        (
            "/issuers/corp/jwks",
            json!({"url": "https://a/b", "cluster": "x", "refresh": "48h"}),
            "`issuers.corp.jwks.refresh`: found less than ten seconds or more than twelve hours",
        ),
        (
            "/issuers/corp/status",
            json!({"cluster": "x", "origins": ["https://a/b", "a", "https://a"]}),
            "`issuers.corp.status.origins[0]`: found `https://a/b`, accepted is an origin such as",
        ),
        ("/body", json!("early"), "`body`: found `early`, accepted is `hold` or `early_headers`"),
        ("/servers/crm/mode", json!("dry"), "`servers.crm.mode`: found `dry`, accepted is `enforce` or `shadow`"),
        ("/servers/crm/shadow", json!("all"), "`servers.crm.shadow`: found `shadow` without `mode: shadow`"),
        ("/servers/crm/shadow", json!("some"), "`servers.crm.shadow`: found `some`, accepted is `calls` or `all`"),
        ("/servers/crm/denials", json!("rpc"), "`servers.crm.denials`: found `rpc`, accepted is `http` or `jsonrpc`"),
        ("/servers/crm/origins", json!(["https://A.example"]), "`servers.crm.origins[0]`: found `https://A.example`"),
        ("/issuers/corp/kind", json!("saml"), "`issuers.corp.kind`: found `saml`, accepted is `oauth` or `spiffe`"),
        ("/broker/timeout", json!("0s"), "`broker.timeout`: found no time"),
        (
            "/session_key",
            json!({"evn": "X"}),
            "`session_key.evn`: found unknown key `evn`, accepted is one of `env` (hint: did you mean `env`?)",
        ),
        ("/session_key", json!({}), "`session_key.env`: found nothing, accepted is a string"),
        ("/session_key", json!({"env": ""}), "`session_key.env`: found \"\", accepted is a text"),
        ("/broker/client", json!({"id": "x"}), "`broker.client.secret_env`: found nothing"),
        ("/audit", json!({"when_unreachable": "allow"}), "`audit.when_unreachable`: found `allow`, accepted is `deny`"),
        ("/audit", json!({"queue": "1KiB"}), "`audit.queue`: found less than 64 KiB"),
    ] {
        let errors = errors(pointer, value.clone());
        assert!(errors.iter().any(|error| error.starts_with(expected)), "{pointer} {value}: {errors:#?}");
    }
}

#[test]
fn servers_must_not_overlap_nor_issuers_share_an_iss() {
    let mut policy = policy_json();
    policy["servers"]["zoo"] = policy["servers"]["crm"].clone();
    policy["issuers"]["twin"] = policy["issuers"]["corp"].clone();
    let errors = read(policy).unwrap_err().to_string();
    assert!(errors.contains("`servers.zoo.match`: found requests that `crm` matches too"), "{errors}");
    assert!(errors.contains("`issuers.twin.issuer`: found the `iss` of `corp`"), "{errors}");
}

#[test]
fn text_that_is_no_strict_json_says_so() {
    for bad in [&b"version: 1"[..], b"", b"\x0a\x07version", br#"{"version":1,"version":1}"#] {
        let errors = parse(bad).unwrap_err().to_string();
        assert!(errors.starts_with("`.`: found text that is "), "{errors}");
    }
    assert!(parse(b"[]").unwrap_err().to_string().starts_with("`.`: found no object"));
}

#[test]
fn what_the_schema_requires_is_what_the_check_requires() {
    let errors = read(json!({
        "issuers": { "a": { "jwks": { "keys": [] } } },
        "broker": { "client": {} },
        "servers": { "b": { "match": { "path": "/" }, "tools": { "c": {} } } },
    }));
    let errors = errors.unwrap_err();
    let missing: Vec<_> = errors.iter().filter(|error| error.found == "nothing").map(|error| &error.path).collect();
    let expected = [
        "version",
        "issuers.a.issuer",
        "issuers.a.algorithms",
        "broker.cluster",
        "broker.authority",
        "broker.client.id",
        "broker.client.secret_env",
        "servers.b.resource",
        "servers.b.match.host",
        "servers.b.protocol",
        "servers.b.issuers",
        "servers.b.tools.c.scopes",
    ];
    assert_eq!(missing, expected);
}

#[test]
fn a_session_key_in_plain_sight_is_refused_and_not_shown() {
    let expected = "`session_key`: found no object, accepted is an object such as `{ env: NAME }` (hint: a policy can be \
                    read in Envoy's config dump: name the environment variable that holds the key)";
    for key in [json!("0123456789abcdef0123456789abcdef"), json!(["hunter2"]), json!(7), json!(true)] {
        assert_eq!(errors("/session_key", key), [expected]);
    }
    let mut policy = policy_json();
    assert_eq!(read(policy.clone()).unwrap().session_key, None);
    policy["session_key"] = json!({ "env": "ACCREDIT_SESSION_KEY" });
    assert_eq!(read(policy).unwrap().session_key.as_deref(), Some("ACCREDIT_SESSION_KEY"));
}
