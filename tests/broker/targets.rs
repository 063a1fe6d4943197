//! Credentials made at real targets: what the proxy gets works there, and nothing of it is left afterwards.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use harness::Issuer;
use harness::parts::{Fsync, OpenBao, Postgres};
use harness::stack::broker::{Broker, SECRET};
use harness::stack::fresh;
use reqwest::Client;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::support::{Answer, Desk, FOREIGN, config, policy};

/// A broker whose one credential has these keys, and its folder.
async fn open(name: &str, keys: Value, secret: &str) -> (Desk, PathBuf) {
    let dir = fresh(&format!("broker-target-{name}"));
    let mut config = config();
    config["credentials"]["crm-api"] = keys;
    config["agents"][0]["token_lifetime"] = json!("60s");
    let url = Broker::files(&dir, &policy(&Issuer::new(FOREIGN)), &config);
    std::fs::write(dir.join("target"), secret).unwrap();
    let broker = Broker::start(&dir, &url).await.unwrap_or_else(|failure| panic!("{failure}"));
    (Desk { broker, http: Client::builder().no_proxy().build().unwrap() }, dir)
}

async fn mint(desk: &Desk) -> Answer {
    let token = desk.token("crm:read").await;
    desk.exchange(&token, "crm_lookup", "crm:read", |_| ()).await
}

/// What the proxy would set.
fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.body["headers"][name].as_str().unwrap_or_else(|| panic!("no `{name}`: {answer:?}"))
}

async fn revoke(desk: &Desk, minted: &Answer) -> Answer {
    let url = desk.url(&format!("/v1/leases/{}", minted.text("lease_id")));
    Answer::of(desk.http.delete(url).bearer_auth(SECRET).send().await.unwrap()).await
}

async fn states(desk: &Desk) -> Vec<Value> {
    let request = desk.http.get(desk.url("/v1/leases")).bearer_auth(SECRET);
    let answer = Answer::of(request.send().await.unwrap()).await;
    answer.body["leases"].as_array().unwrap().iter().map(|lease| lease["state"].clone()).collect()
}

/// Waits for what comes soon.
async fn soon(what: &str, mut holds: impl AsyncFnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < Duration::from_secs(15), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    start.elapsed()
}

async fn exists(session: &mut PgConnection, role: &str) -> bool {
    let query = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)").bind(role);
    query.fetch_one(session).await.unwrap()
}

/// Neither the broker's log nor its audit has any of them.
async fn nowhere(desk: &Desk, dir: &std::path::Path, secrets: &[&str]) {
    let log = std::fs::read_to_string(dir.join("broker.log")).unwrap();
    let records = Value::from(desk.records("").await).to_string();
    for secret in secrets {
        assert!(!log.contains(secret) && !records.contains(secret), "{secret} in {log}{records}");
    }
}

/// A superuser's session in a database of the test's own, and keys for roles that may read its one table.
async fn database(postgres: &Postgres, name: &str, ttl: &str) -> (PgConnection, String, Value) {
    let url = postgres.database(name).await;
    let mut admin = PgConnection::connect(&url).await.unwrap();
    admin.execute("CREATE TABLE customers (id int); INSERT INTO customers VALUES (7)").await.unwrap();
    let statements = ["GRANT SELECT ON customers TO {name}"];
    (admin, url, json!({ "kind": "postgres", "ttl": ttl, "url_file": "target", "statements": statements }))
}

async fn login(postgres: &Postgres, minted: &Answer, database: &str) -> Result<PgConnection, sqlx::Error> {
    let [role, password] = ["x-postgres-username", "x-postgres-password"].map(|name| header(minted, name));
    PgConnection::connect(&postgres.url(role, password, database)).await
}

#[tokio::test]
async fn a_database_role_is_gone_with_its_session_when_its_lease_is_revoked() {
    let Some(postgres) = Postgres::shared().await else { return };
    let (mut admin, url, keys) = database(postgres, "target_revoked", "60s").await;
    let (desk, dir) = open("revoked", keys, &url).await;
    let minted = mint(&desk).await;
    assert_eq!((minted.status, minted.body["token_type"].as_str()), (200, Some("N_A")), "{minted:?}");
    let mut session = login(postgres, &minted, "target_revoked").await.unwrap();
    let read: i32 = sqlx::query_scalar("SELECT id FROM customers").fetch_one(&mut session).await.unwrap();
    assert_eq!(read, 7);
    let revoked = revoke(&desk, &minted).await;
    assert_eq!((revoked.status, &revoked.body["outcome"]), (200, &json!("revoked")), "{revoked:?}");
    assert!(session.execute("SELECT").await.is_err(), "the open session is dead");
    assert!(login(postgres, &minted, "target_revoked").await.is_err());
    assert!(!exists(&mut admin, header(&minted, "x-postgres-username")).await);
    nowhere(&desk, &dir, &[header(&minted, "x-postgres-password"), &url]).await;
}

#[tokio::test]
async fn a_database_role_ends_with_its_lease_though_the_broker_crashes() {
    let Some(postgres) = Postgres::shared().await else { return };
    let (mut admin, url, keys) = database(postgres, "target_expired", "2s").await;
    let (mut desk, _) = open("expired", keys, &url).await;
    let minted = mint(&desk).await;
    let mut session = login(postgres, &minted, "target_expired").await.unwrap();
    desk.broker.crash().await;
    let role = header(&minted, "x-postgres-username");
    assert!(exists(&mut admin, role).await);
    soon("the role is still there", async || !exists(&mut admin, role).await).await;
    assert!(session.execute("SELECT").await.is_err(), "the open session is dead");
    soon("the lease has not ended", async || states(&desk).await == ["ended"]).await;
}

#[tokio::test]
async fn a_database_that_is_down_gives_no_credential_and_keeps_none() {
    let Some(mut postgres) = Postgres::start(Fsync::Off).await else { return };
    let (mut admin, url, keys) = database(&postgres, "target_down", "60s").await;
    postgres.stop();
    let (desk, _) = open("down", keys, &url).await;
    let refused = mint(&desk).await;
    assert_eq!(refused.error(), (503, "temporarily_unavailable"));
    assert!(refused.body.get("headers").is_none());
    assert!(admin.execute("SELECT").await.is_err());
    postgres.restart().await;
    soon("the lease has not ended", async || states(&desk).await == ["ended"]).await;
    let mut admin = PgConnection::connect(&url).await.unwrap();
    let left = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'accredit_%'";
    assert_eq!(sqlx::query_scalar::<_, i64>(left).fetch_one(&mut admin).await.unwrap(), 0);
    assert_eq!(mint(&desk).await.status, 200);
}

#[tokio::test]
async fn what_openbao_makes_is_gone_when_its_lease_is_revoked() {
    let Some(postgres) = Postgres::shared().await else { return };
    let Some(bao) = OpenBao::start(&fresh("broker-target-bao-server")).await else { return };
    bao.database(postgres, "reader", "1h", "GRANT pg_monitor TO \"{{name}}\"").await;
    let own = r#"
        path "auth/token/create" { capabilities = ["update"] }
        path "auth/token/revoke-accessor" { capabilities = ["update"] }
        path "database/creds/*" { capabilities = ["read"] }
    "#;
    let own = bao.token("accredit", own).await;
    let keys = json!({
        "kind": "openbao", "address": bao.url, "token_file": "target", "path": "database/creds/reader",
        "fields": { "username": "username", "password": "password" },
        "headers": { "x-postgres-username": "{username}", "x-postgres-password": "{password}" },
    });
    let (desk, dir) = open("bao", keys, &own).await;
    let minted = mint(&desk).await;
    assert_eq!(minted.status, 200, "{minted:?}");
    let mut session = login(postgres, &minted, "postgres").await.unwrap();
    session.execute("SELECT").await.unwrap();
    let revoked = revoke(&desk, &minted).await;
    assert_eq!(revoked.body["outcome"], "revoked", "{revoked:?}");
    let mut admin = PgConnection::connect(&postgres.superuser()).await.unwrap();
    let role = header(&minted, "x-postgres-username");
    soon("the role is still there", async || !exists(&mut admin, role).await).await;
    assert!(session.execute("SELECT").await.is_err(), "the open session is dead");
    nowhere(&desk, &dir, &[header(&minted, "x-postgres-password"), &own]).await;
}

#[tokio::test]
async fn what_openbao_refuses_is_refused_and_what_it_lacks_is_told() {
    let Some(bao) = OpenBao::start(&fresh("broker-target-refused-server")).await else { return };
    bao.put("crm", &json!({ "password": "p" })).await;
    let own = r#"
        path "auth/token/create" { capabilities = ["update"] }
        path "auth/token/revoke-accessor" { capabilities = ["update"] }
        path "secret/data/crm" { capabilities = ["read"] }
    "#;
    let own = bao.token("accredit", own).await;
    for (path, member, expected) in [
        ("secret/data/crm", "data/password", (200, "")),
        ("secret/data/crm", "data/user", (503, "temporarily_unavailable")),
        ("secret/data/other", "data/password", (403, "access_denied")),
    ] {
        let keys = json!({
            "kind": "openbao", "address": bao.url, "token_file": "target", "path": path, "revocable": false,
            "fields": { "token": member },
        });
        let (desk, dir) = open("refused", keys, &own).await;
        assert_eq!(mint(&desk).await.error(), expected, "{path} {member}");
        if expected.0 != 200 {
            soon("the lease has not ended", async || states(&desk).await == ["ended"]).await;
        }
        nowhere(&desk, &dir, &[&own]).await;
    }
}
