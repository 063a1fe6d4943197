//! Policies the filter does not start with, and what its log tells the operator.

use crate::support::*;
use harness::Proxy;
use serde_json::{Value, json};

/// The lines the filter logs before it refuses to start.
#[track_caller]
fn refused(policy: impl AsRef<[u8]>) -> Vec<String> {
    let start = Proxy::builder()
        .policy(policy)
        .env("ACCREDIT_SECRET", SECRET)
        .env("ACCREDIT_SESSION_KEY", SESSION_KEY)
        .try_start();
    let refused = start.err().expect("the policy was accepted");
    let lines = refused.log.iter().filter_map(|line| line.strip_prefix("policy refused: "));
    lines.map(str::to_owned).collect()
}

/// The same for the sample with one place changed; `null` removes it.
#[track_caller]
fn without_sense(pointer: &str, value: Value) -> Vec<String> {
    let mut policy = changed(policy(), pointer, value.clone());
    if value.is_null() {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        policy.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
    }
    refused(policy.to_string())
}

#[test]
fn a_sound_policy_starts_on_every_vm_and_logs_its_digest() {
    let proxy = builder(&policy()).workers(2).main_thread().start();
    let digests: Vec<String> = proxy.log().iter().map(|line| line.text.clone()).collect();
    assert_eq!(digests.len(), 3);
    let digest = digests[0].strip_prefix("policy ").unwrap();
    assert!(digest.len() == 64 && digests.iter().all(|other| *other == digests[0]));
    let pretty = serde_json::to_string_pretty(&policy()).unwrap();
    let same =
        Proxy::builder().policy(pretty).env("ACCREDIT_SECRET", SECRET).env("ACCREDIT_SESSION_KEY", SESSION_KEY).start();
    assert_eq!(same.log()[0].text, digests[0], "the digest is of what it says, not of how it is written");
}

#[test]
fn a_mistake_names_its_place_what_was_found_and_what_is_accepted() {
    for (pointer, value, line) in [
        (
            "/broker/clustr",
            json!("broker"),
            "`broker.clustr`: found unknown key `clustr`, accepted is one of `cluster`, `authority`, `timeout`, `client` \
             (hint: did you mean `cluster`?)",
        ),
        ("/broker", Value::Null, "`broker`: found nothing, accepted is an object"),
        ("/version", json!("1"), "`version`: found `\"1\"`, accepted is a whole number"),
        ("/servers", json!([]), "`servers`: found a list, accepted is an object"),
        (
            "/servers/crm/protocol",
            json!("soap"),
            "`servers.crm.protocol`: found `soap`, accepted is one of `mcp`, `http`, `a2a`",
        ),
        (
            "/servers/crm/issuers",
            json!(["corp", "x"]),
            "`servers.crm.issuers[1]`: found `x`, accepted is a name below `issuers`: `corp`",
        ),
        (
            "/servers/crm/limits/request",
            json!(4096),
            "`servers.crm.limits.request`: found `4096`, accepted is a size such as `512B`, `64KiB` or `4MiB`",
        ),
        (
            "/servers/crm/tools/crm_lookup/scopes",
            json!("crm:read"),
            "`servers.crm.tools.crm_lookup.scopes`: found `\"crm:read\"`, accepted is a list",
        ),
        (
            "/servers/crm/tools/crm_lookup/scopes",
            json!([]),
            "`servers.crm.tools.crm_lookup.scopes`: found no scope, accepted is at least one \
             (hint: every tool asks for a scope; any valid token would do otherwise)",
        ),
        (
            "/servers/crm/tools/a*b",
            json!({ "scopes": ["x"] }),
            "`servers.crm.tools.\"a*b\"`: found the name \"a*b\", accepted is an exact name, or a prefix that ends in one `*`",
        ),
        (
            "/issuers/corp/algorithms",
            json!(["HS256"]),
            "`issuers.corp.algorithms[0]`: found `HS256`, accepted is one of `ES256`, `ES384`, `EdDSA`, `Ed25519`, `PS256`, `PS384`, `PS512`, `RS256`, `RS384`, `RS512`",
        ),
        (
            "/issuers/corp/clock_skew",
            json!("61s"),
            "`issuers.corp.clock_skew`: found more than a minute, accepted is at most `60s`",
        ),
        (
            "/broker/timeout",
            json!("fast"),
            "`broker.timeout`: found `\"fast\"`, accepted is a duration such as `500ms`, `30s`, `5m` or `1h`",
        ),
        (
            "/audit",
            json!({ "when_unreachable": "allow" }),
            "`audit.when_unreachable`: found `allow`, accepted is `deny` or `queue`",
        ),
    ] {
        assert_eq!(without_sense(pointer, value), [line]);
    }
}

#[test]
fn every_mistake_is_told_at_once() {
    let mut policy = policy();
    policy["extra"] = json!(1);
    policy["broker"]["cluster"] = json!("");
    policy["servers"]["crm"]["match"] = json!({ "host": "x" });
    let lines = refused(policy.to_string());
    let places = ["`extra`: ", "`broker.cluster`: ", "`servers.crm.match`: "];
    assert_eq!(lines.len(), places.len());
    assert!(lines.iter().zip(places).all(|(line, place)| line.starts_with(place)), "{lines:?}");
}

#[test]
fn no_request_is_for_two_servers() {
    let mut policy = policy();
    policy["servers"]["zoo"] = policy["servers"]["crm"].clone();
    policy["servers"]["zoo"]["match"] = json!({ "host": "GATEWAY.example.com", "path_prefix": "/crm/" });
    let line = "`servers.zoo.match`: found requests that `crm` matches too, accepted is one server for each request \
                (hint: give them different hosts or paths)";
    assert_eq!(refused(policy.to_string()), [line]);
}

#[test]
fn what_is_no_json_is_no_policy() {
    let sound = policy().to_string();
    // A `google.protobuf.Struct` reaches the filter as the bytes of its message.
    let message = b"\x0a\x14\x0a\x07version\x12\x09\x11\x00\x00\x00\x00\x00\x00\xf0?";
    for bytes in [
        &b""[..],
        message,
        b"version: 1\nissuers: {}\n",
        &sound.as_bytes()[..sound.len() - 1],
        format!("{sound}{sound}").as_bytes(),
        format!("\u{feff}{sound}").as_bytes(),
        sound.replacen('{', "{\"version\":1,", 1).as_bytes(),
        b"\xff",
    ] {
        let lines = refused(bytes);
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert!(line.starts_with("`.`: found text that is "), "{line}");
        assert!(line.contains("accepted is a policy in strict JSON (hint: "), "{line}");
        assert!(line.contains("`google.protobuf.StringValue`"), "{line}");
    }
    for value in ["[]", "1", "null", "\"version\""] {
        assert!(refused(value)[0].starts_with("`.`: found no object, accepted is a policy"), "{value}");
    }
}

#[test]
fn a_proxy_without_its_secret_does_not_start() {
    for secret in [None, Some(""), Some(" \n")] {
        let builder = Proxy::builder().policy(policy().to_string()).env("ACCREDIT_SESSION_KEY", SESSION_KEY);
        let start =
            secret.into_iter().fold(builder, |builder, secret| builder.env("ACCREDIT_SECRET", secret)).try_start();
        let log = start.err().unwrap().log.join("\n");
        let line = "policy refused: `broker.client.secret_env`: found no environment variable `ACCREDIT_SECRET`, accepted \
                    is one that holds the proxy's secret (hint: set it for Envoy";
        assert!(log.contains(line), "{log}");
    }
    let mut bare = policy();
    bare["broker"].as_object_mut().unwrap().remove("client");
    let proxy = started(Proxy::builder().policy(bare.to_string()).env("ACCREDIT_SESSION_KEY", SESSION_KEY));
    proxy.run(legacy(&token(), &call("crm_update"))).forwarded();
    assert!(!proxy.cluster("broker").calls()[0].headers.has("authorization"));
}

#[test]
fn a_proxy_without_its_session_key_does_not_start() {
    for key in [None, Some(""), Some("short"), Some("0123456789abcdef0123456789abcdef short")] {
        let builder = Proxy::builder().policy(policy().to_string()).env("ACCREDIT_SECRET", SECRET);
        let start = key.into_iter().fold(builder, |builder, key| builder.env("ACCREDIT_SESSION_KEY", key)).try_start();
        let log = start.err().unwrap().log.join("\n");
        let line = "policy refused: `session_key.env`: found no environment variable `ACCREDIT_SESSION_KEY` with keys";
        assert!(log.contains(line) && !log.contains("0123456789abcdef"), "{log}");
    }
}

#[test]
fn keys_that_prove_nothing_are_refused_with_the_policy() {
    let key = issuer().jwk(harness::Alg::EdDsa);
    let private = {
        let mut key = key.clone();
        key["d"] = json!("AAAA");
        key
    };
    for keys in [json!([]), json!([{ "kty": "oct", "k": "AAAA" }]), json!([private]), json!([key, key]), json!([7])] {
        let lines = without_sense("/issuers/corp/jwks", json!({ "keys": keys }));
        assert!(lines[0].starts_with("`issuers.corp.jwks.keys`: found a key set that "), "{lines:?}");
        assert!(!lines[0].contains("AAAA"), "a key that should be secret does not go into a log");
    }
}
