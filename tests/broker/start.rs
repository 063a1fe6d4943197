//! Starting: what is made, what is kept, and what refuses to start.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use harness::Issuer;
use harness::stack::broker::Broker;
use harness::stack::fresh;
use serde_json::{Value, json};

use super::support::{Desk, FOREIGN, config, policy};

async fn jwks(desk: &Desk) -> Value {
    desk.http.get(desk.url("/jwks.json")).send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn the_key_is_made_once_and_is_the_owners_alone() {
    let mut desk = Desk::open("start").await;
    let first = jwks(&desk).await;
    assert!(desk.broker.mode("signing-key.pem").is_err(), "it is nowhere but in the database");
    assert_eq!(desk.broker.mode("").unwrap(), 0o700);
    desk.broker.crash().await;
    assert_eq!(jwks(&desk).await, first);
}

/// What a broker says that does not start.
async fn refused(name: &str, change: impl FnOnce(&mut Value, &mut Value)) -> String {
    let dir = fresh(&format!("broker-start-{name}"));
    let (mut policy, mut config) = (policy(&Issuer::new(FOREIGN)), config());
    change(&mut policy, &mut config);
    let url = Broker::files(&dir, &policy, &config);
    match Broker::start(&dir, &url).await {
        Ok(_) => panic!("{name}: the broker started"),
        Err(failure) => failure.log,
    }
}

#[tokio::test]
async fn every_mistake_in_the_configuration_is_named_at_once() {
    let log = refused("many", |_, config| {
        config["lisen"] = json!("x");
        config["listen"] = json!("0.0.0.0:0");
        config["agents"][0]["owner"] = json!("");
        config["agents"][0]["resources"] = json!(["https://nowhere.example.test"]);
        config["operators"]["token_file"] = json!("missing");
        config["store"] = json!({ "postgres": { "url_file": "missing", "partition": 100 } });
        config["credentials"] = json!({ "other": { "kind": "ftp", "audience": "x", "ttl": "1h" } });
    })
    .await;
    for expected in [
        "`lisen`: found unknown key `lisen`, accepted is one of",
        "(hint: did you mean `listen`?)",
        "`listen`: found `0.0.0.0:0`, accepted is a loopback address",
        "`agents[0].owner`: found \"\"",
        "`agents[0].resources[0]`: found `https://nowhere.example.test`, accepted is the `resource` of a server",
        "`operators.token_file`: found `",
        "`store.postgres.partition`: found `100`, accepted is `65536` to `4294967296`",
        "`credentials.other.kind`: found `ftp`, accepted is ",
        "`credentials.other.ttl`: found `3600s`, accepted is `1s` to `60s`",
        "`credentials.crm-api`: found nothing, accepted is a definition",
    ] {
        assert!(log.contains(expected), "{expected}\n{log}");
    }
}

#[tokio::test]
async fn mistakes_in_the_policy_name_the_policy() {
    let log = refused("policy", |policy, _| policy["servers"]["crm"]["protocol"] = json!("grpc")).await;
    assert!(
        log.contains("policy.yaml: `servers.crm.protocol`: found `grpc`, accepted is one of `mcp`, `http`, `a2a`"),
        "{log}"
    );
}

#[tokio::test]
async fn a_short_secret_is_refused_and_not_shown() {
    let dir = fresh("broker-start-secret");
    let url = Broker::files(&dir, &policy(&Issuer::new(FOREIGN)), &config());
    fs::write(dir.join("secret"), "hunter2").unwrap();
    let log = Broker::start(&dir, &url).await.err().unwrap().log;
    assert!(log.contains("found a secret of 7 characters, accepted is at least 32"), "{log}");
    assert!(!log.contains("hunter2"));
}

#[tokio::test]
async fn a_key_others_can_read_is_refused() {
    let dir = fresh("broker-start-mode");
    let url = Broker::files(&dir, &policy(&Issuer::new(FOREIGN)), &config());
    let key = dir.join("data/signing-key.pem");
    fs::create_dir(dir.join("data")).unwrap();
    fs::write(&key, "not a key").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let log = Broker::start(&dir, &url).await.err().unwrap().log;
    assert!(log.contains("found mode `644`, accepted is `600`"), "{log}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let log = Broker::start(&dir, &url).await.err().unwrap().log;
    assert!(log.contains("not a P-256 key"), "{log}");
}

#[tokio::test]
async fn names_that_stand_twice_are_refused() {
    let dir = fresh("broker-start-twice");
    let url = Broker::files(&dir, &policy(&Issuer::new(FOREIGN)), &config());
    let file = dir.join("broker.yaml");
    let text = fs::read_to_string(&file).unwrap().replacen('{', "{\"insecure\":true,\"insecure\":false,", 1);
    fs::write(&file, text).unwrap();
    let log = Broker::start(&dir, &url).await.err().unwrap().log;
    assert!(log.contains("not YAML"), "{log}");
}

#[tokio::test]
async fn a_transmitter_whose_events_would_hit_nothing_or_too_much_is_refused() {
    let log = refused("signals", |_, config| {
        let keys = json!({ "keys": Issuer::new(FOREIGN).jwks()["keys"] });
        let signal = json!({ "issuer": FOREIGN, "jwks": keys, "algorithms": ["ES256"] });
        config["signals"] = json!({ "a": signal, "b": signal, "c": signal, "d": signal });
        config["signals"]["a"]["issuers"] = json!([FOREIGN, "URL"]);
        config["signals"]["a"]["subjects"] = json!({ "email": "subject", "opaque": "session" });
        config["signals"]["b"]["max_age"] = json!("10s");
        config["signals"]["b"]["subjects"] = json!({ "email": "token" });
        config["signals"]["c"]["issuer"] = json!("https://unknown.example.test");
        config["signals"]["d"]["issuer"] = json!("URL");
    })
    .await;
    for expected in [
        "`signals.a.subjects`: found `issuers` with 2 entries, accepted is one",
        "`signals.a.subjects.opaque`: found `session`, accepted is one of `agent`, `subject`, `token`",
        "`signals.b.issuer`: found the `iss` of `a`, accepted is one entry for each `iss`",
        "`signals.b.max_age`: found less than a minute or more than a week, accepted is `1m` to `168h`",
        "`signals.b.subjects.email`: found `token`, accepted is one of `subject`",
        "`signals.c.issuers`: found `https://unknown.example.test`, whose tokens nobody takes here, accepted is",
        "which is this broker, accepted is the `iss` of another",
    ] {
        assert!(log.contains(expected), "{expected}\n{log}");
    }
}

#[tokio::test]
async fn a_minted_token_is_none_an_agent_could_come_back_with() {
    let log = refused("audience", |_, config| {
        config["credentials"]["crm-api"]["audience"] = json!(super::support::RESOURCE);
        let enterprise = |name: &str| {
            let jwks = json!({ "keys": Issuer::new(FOREIGN).jwks()["keys"] });
            json!({ "issuer": format!("https://{name}.example.test"), "jwks": jwks, "algorithms": ["ES256"] })
        };
        config["enterprise"] = json!({ "acme": enterprise("acme"), "globex": enterprise("globex") });
    })
    .await;
    assert!(
        log.contains("`credentials.crm-api.audience`: found `https://gateway.example.test/crm/mcp`, which"),
        "{log}"
    );
    assert!(log.contains("`enterprise`: found 2 enterprises, accepted is one"), "{log}");
}

#[tokio::test]
async fn a_credential_is_used_again_only_where_it_does_not_hang_on_one_call_or_token() {
    let log = refused("reuse", |_, config| {
        let exchange = json!({
            "kind": "oauth", "grant": "token_exchange", "token_endpoint": "http://127.0.0.1:9/token",
            "client": { "id": "broker", "secret_file": "secret" }, "reuse": "10s",
        });
        config["credentials"]["exchange"] = exchange;
        config["credentials"]["both"] = json!({ "kind": "jwt", "audience": "x", "reuse": "10s", "until": "call" });
        config["credentials"]["word"] = json!({ "kind": "jwt", "audience": "x", "until": "never" });
    })
    .await;
    for expected in [
        "`credentials.exchange.reuse`: found `reuse` beside `grant: token_exchange`",
        "`credentials.both.until`: found `call` beside `reuse`, accepted is `expiry`",
        "`credentials.word.until`: found `never`, accepted is `call` or `expiry`",
    ] {
        assert!(log.contains(expected), "{expected}\n{log}");
    }
}
