//! What the configuration says of secrets, and what is wrong with it.

use harness::stack::broker::{Broker, SECRET};
use serde_json::{Value, json};

use super::files;

#[tokio::test]
async fn mistakes_in_the_configuration_are_named() {
    let wrong = |secrets: Value, credential: Value| {
        let name = format!("config-{}", secrets.to_string().len());
        let (dir, url) = files(&name, |config| {
            config["secrets"] = secrets;
            config["credentials"]["crm-api"] = credential;
        });
        async move { Broker::start(&dir, &url).await.err().unwrap().log }
    };
    let log = wrong(
        json!({ "key_file": "missing", "openbao": {}, "previous": {}, "keyfile": "x" }),
        json!({ "kind": "static", "secret": "a/b", "audience": "x" }),
    )
    .await;
    for expected in [
        "`secrets`: found both, accepted is `key_file` or `openbao`",
        "`secrets.previous`: found neither, accepted is `key_file` or `openbao`",
        "`secrets.keyfile`: found unknown key `keyfile`",
        "`credentials.crm-api.secret`: found \"a/b\", accepted is 1 to 64 letters",
        "`credentials.crm-api.audience`: found unknown key `audience`",
    ] {
        assert!(log.contains(expected), "{expected}\n{log}");
    }
    let openbao = json!({
        "address": "http://127.evil.example.test", "token_file": "missing", "key": "a b", "ca_file": "policy.yaml",
    });
    let log = wrong(json!({ "openbao": openbao }), json!({ "kind": "static" })).await;
    for expected in [
        "`secrets.openbao.address`: found `http://127.evil.example.test`, accepted is an `https://` URL",
        "`secrets.openbao.token_file`: found a file that cannot be read",
        "`secrets.openbao.key`: found \"a b\"",
        "`credentials.crm-api.secret`: found nothing",
    ] {
        assert!(log.contains(expected), "{expected}\n{log}");
    }
    let headers = json!({ "kind": "static", "secret": "x", "headers": { "x-api-key": "{token}" } });
    let log = wrong(json!({ "key_file": "secret" }), headers).await;
    assert!(log.contains("`secrets.key_file`: found `") && !log.contains(SECRET), "{log}");
    assert!(log.contains("`credentials.crm-api.headers.x-api-key`: found `{token}`"), "{log}");
}
