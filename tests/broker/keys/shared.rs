//! Several brokers on one PostgreSQL have the same keys.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use harness::Issuer;
use harness::parts::{Fsync, Postgres};
use harness::stack::broker::Broker;
use harness::stack::fresh;
use reqwest::Client;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{LEAD, NOTICE, good, kid, lasting, published, rotate, signs};
use crate::support::{Desk, FOREIGN, policy};

/// The folder of one of them, and where it listens; all are known under `url`, the first one's own unless given.
fn files(name: &str, database: &str, url: Option<&str>) -> (PathBuf, String) {
    let dir = fresh(&format!("{}-keys-{name}", env!("CARGO_CRATE_NAME")));
    let (mut policy, mut config) = (policy(&Issuer::new(FOREIGN)), lasting());
    config["store"] = json!({ "postgres": { "url_file": "store.url" } });
    config["secrets"] = json!({ "key_file": "master.key" });
    if let Some(url) = url {
        config["issuer"] = json!(url);
        policy = serde_json::from_str(&policy.to_string().replace("URL", url)).unwrap();
    }
    fs::write(dir.join("store.url"), database).unwrap();
    fs::write(dir.join("master.key"), "c3".repeat(32)).unwrap();
    fs::set_permissions(dir.join("master.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let own = Broker::files(&dir, &policy, &config);
    (dir, own)
}

async fn start((dir, url): &(PathBuf, String)) -> Desk {
    let broker = Broker::start(dir, url).await.unwrap_or_else(|failure| panic!("{failure}"));
    Desk { broker, http: Client::builder().no_proxy().build().unwrap() }
}

/// Waits until `desk` publishes so many keys.
async fn publishes(desk: &Desk, count: usize) -> Vec<String> {
    let start = Instant::now();
    loop {
        let keys = published(desk).await;
        if keys.len() == count {
            return keys;
        }
        assert!(start.elapsed() < NOTICE, "{keys:?}");
        sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn brokers_on_one_database_publish_sign_and_refuse_alike() {
    let Some(postgres) = Postgres::start(Fsync::On).await else { return };
    let database = postgres.database("keys").await;
    let first = files("one", &database, None);
    let second = files("two", &database, Some(&first.1));
    let (one, two) = tokio::join!(start(&first), start(&second));
    let keys = published(&one).await;
    assert_eq!((keys.len(), &published(&two).await), (1, &keys), "of two that start at once, one makes the key");

    let next = rotate(&one, &json!({})).await.text("kid");
    assert_eq!(publishes(&two, 2).await, [keys[0].clone(), next.clone()]);
    assert_eq!(kid(&two.token("crm:read").await), keys[0]);
    one.broker.age_signing_keys(LEAD).await;
    signs(&one, &next).await;
    signs(&two, &next).await;
    let old = one.token("crm:read").await;
    assert_eq!(two.exchange(&old, "crm_lookup", "crm:read", |_| ()).await.status, 200);

    let last = rotate(&two, &json!({ "now": true })).await.text("kid");
    let new = two.token("crm:read").await;
    assert_eq!(kid(&new), last);
    assert!(good(&one, &new).await, "a key that is not known yet is looked for");
    let answer = one.exchange(&new, "crm_lookup", "crm:read", |_| ()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_ne!(one.exchange(&old, "crm_lookup", "crm:read", |_| ()).await.status, 200);
    assert_eq!(publishes(&one, 1).await, [last]);
}
