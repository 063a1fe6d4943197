//! A policy that is wrong stops Envoy before it serves, and says what to mend.

use harness::stack::broker::accredit;
use harness::stack::{Ports, Stack, envoy, fresh};
use serde_json::Value;

/// A mistake, made in a sound policy.
type Change = fn(&mut Value);

/// What Envoy says when its filter gets the demo's policy after `change`; the broker keeps the sound one.
async fn refused(name: &str, change: impl Fn(&mut Value) + 'static) -> Option<(String, String)> {
    if !envoy::available(name) {
        return None;
    }
    let dir = fresh(&format!("envoy-start-{name}"));
    let file = dir.join("wrong.json");
    let written = file.clone();
    let stack = Stack::builder(&dir).ports(Ports::free()).envoy(move |config| {
        let text = envoy::filter(config)["configuration"]["value"].take();
        let mut policy: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
        change(&mut policy);
        std::fs::write(written, policy.to_string()).unwrap();
        envoy::filter(config)["configuration"]["value"] = policy.to_string().into();
    });
    let failure = stack.try_start().await.err().unwrap_or_else(|| panic!("{name}: Envoy started"));
    assert_eq!(failure.part, "envoy", "{failure}");
    let check = accredit(&["policy", "check", file.to_str().unwrap()], b"");
    assert_eq!(check.status.code(), Some(1));
    Some((failure.log, String::from_utf8(check.stderr).unwrap()))
}

#[tokio::test]
async fn a_mistake_in_the_policy_keeps_envoy_from_starting() {
    let cases: [(_, Change, _); 4] = [
        (
            "key",
            |policy| policy["servers"]["crm"]["tolls"] = Value::Null,
            "`servers.crm.tolls`: found unknown key `tolls`",
        ),
        (
            "type",
            |policy| policy["issuers"]["accredit"]["algorithms"] = "ES256".into(),
            "`issuers.accredit.algorithms`: found `\"ES256\"`, accepted is a list",
        ),
        (
            "broker",
            |policy| drop(policy.as_object_mut().unwrap().remove("broker")),
            "`broker`: found nothing, accepted is an object",
        ),
        (
            "overlap",
            |policy| policy["servers"]["twin"] = policy["servers"]["crm"].clone(),
            "`servers.twin.match`: found requests that `crm` matches too",
        ),
    ];
    for (name, change, expected) in cases {
        let Some((log, check)) = refused(name, change).await else { return };
        assert!(log.contains(expected), "{name}: {log}");
        for line in check.lines() {
            let (_, text) = line.split_once(": ").unwrap();
            assert!(log.contains(text), "`policy check` says more than the filter: {text}\n{log}");
        }
    }
}

#[tokio::test]
async fn a_proxy_without_its_secret_does_not_start() {
    let change = |policy: &mut Value| policy["broker"]["client"]["secret_env"] = "ACCREDIT_NO_SUCH".into();
    if !envoy::available("secret") {
        return;
    }
    let stack = Stack::builder(&fresh("envoy-start-secret")).ports(Ports::free()).envoy(move |config| {
        let text = envoy::filter(config)["configuration"]["value"].take();
        let mut policy: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
        change(&mut policy);
        envoy::filter(config)["configuration"]["value"] = policy.to_string().into();
    });
    let log = stack.try_start().await.err().expect("Envoy started").log;
    assert!(log.contains("`broker.client.secret_env`: found no environment variable `ACCREDIT_NO_SUCH`"), "{log}");
}
