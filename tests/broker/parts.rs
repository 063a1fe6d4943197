//! The parts of other makers do what the tests of the broker lean on.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::parts::{Fsync, Keys, Moto, OpenBao, Postgres};
use harness::stack::fresh;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, Row as _};

#[tokio::test]
async fn postgres_gives_each_test_an_empty_database() {
    let Some(postgres) = Postgres::shared().await else { return };
    for _ in 0..2 {
        let url = postgres.database("part-of \"a\" test").await;
        let mut database = PgConnection::connect(&url).await.unwrap();
        sqlx::query("CREATE TABLE t (n int)").execute(&mut database).await.unwrap();
    }
}

#[tokio::test]
async fn postgres_asks_for_a_password() {
    let Some(postgres) = Postgres::shared().await else { return };
    let url = postgres.url("postgres", "wrong", "postgres");
    let refused = PgConnection::connect(&url).await.unwrap_err();
    assert_eq!(refused.as_database_error().and_then(|error| error.code()).as_deref(), Some("28P01"));
}

#[tokio::test]
async fn postgres_keeps_what_was_committed_before_a_crash() {
    let Some(mut postgres) = Postgres::start(Fsync::On).await else { return };
    let url = postgres.database("kept").await;
    let mut database = PgConnection::connect(&url).await.unwrap();
    sqlx::query("CREATE TABLE t AS SELECT 7 AS n").execute(&mut database).await.unwrap();
    postgres.kill();
    assert!(sqlx::query("SELECT n FROM t").fetch_one(&mut database).await.is_err(), "the session has ended");
    postgres.restart().await;
    let mut database = PgConnection::connect(&url).await.unwrap();
    let row = sqlx::query("SELECT n, current_setting('fsync') FROM t").fetch_one(&mut database).await.unwrap();
    assert_eq!((row.get(0), row.get(1)), (7, "on"));
}

#[tokio::test]
async fn postgres_ends_with_a_test_process_that_is_killed() {
    const HELD: &str = "ACCREDIT_TEST_HOLDS_POSTGRES";
    let name = "parts::postgres_ends_with_a_test_process_that_is_killed";
    if std::env::var_os(HELD).is_some() {
        println!("\nheld: {}", Postgres::shared().await.map(Postgres::superuser).unwrap_or_default());
        return std::future::pending().await;
    }
    let mut itself = Command::new(std::env::current_exe().unwrap());
    let mut other = itself.args(["--exact", name, "--nocapture"]).env(HELD, "").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(other.stdout.take().unwrap()).lines().map_while(Result::ok);
    let url = lines.find_map(|line| line.strip_prefix("held: ").map(str::to_owned)).unwrap();
    assert!(url.is_empty() || PgConnection::connect(&url).await.is_ok());
    other.kill().unwrap();
    other.wait().unwrap();
    let killed = Instant::now();
    while !url.is_empty() && PgConnection::connect(&url).await.is_ok() {
        assert!(killed.elapsed() < Duration::from_secs(10), "it still runs");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn openbao_makes_logins_that_end_with_their_lease() {
    let Some(postgres) = Postgres::shared().await else { return };
    let Some(bao) = OpenBao::start(&fresh("parts-openbao-database")).await else { return };
    bao.database(postgres, "reader", "60s", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO \"{{name}}\"").await;
    let token = bao.token("reader", r#"path "database/creds/reader" { capabilities = ["read"] }"#).await;
    let (status, lease) = bao.ask(&token, Method::GET, "database/creds/reader", &Value::Null).await;
    assert_eq!((status, &lease["lease_duration"]), (200, &json!(60)), "{lease}");
    let [name, password] = ["username", "password"].map(|name| lease["data"][name].as_str().unwrap());
    let url = postgres.url(name, password, "postgres");
    let mut session = PgConnection::connect(&url).await.unwrap();

    bao.write("sys/leases/revoke", &json!({ "lease_id": lease["lease_id"], "sync": true })).await;
    assert!(PgConnection::connect(&url).await.is_err());
    assert!(session.ping().await.is_err());
}

#[tokio::test]
async fn openbao_signs_and_encrypts_for_whom_a_policy_allows() {
    let Some(bao) = OpenBao::start(&fresh("parts-openbao")).await else { return };
    assert!(bao.ssh("deploy", "deploy", "60s").await.starts_with("ssh-ed25519 "));
    bao.one_time("deploy", "deploy").await;
    bao.transit("kek").await;
    bao.put("crm", &json!({ "key": "k-1" })).await;
    assert_eq!(bao.read("secret/data/crm").await["data"]["data"]["key"], "k-1");
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKcwXDVO5HT9c6JYgEKPzfl0B1q8Ld1eEp7Ddk3BHhBI";
    let policy = r#"path "ssh/sign/deploy" { capabilities = ["update"] }"#;
    let token = bao.token("deploy", policy).await;
    let ask = async |path, body| bao.ask(&token, Method::POST, path, &body).await;
    let (status, signed) = ask("ssh/sign/deploy", json!({ "public_key": key })).await;
    assert_eq!(status, 200, "{signed}");
    assert!(signed["data"]["signed_key"].as_str().unwrap().starts_with("ssh-ed25519-cert-v01@openssh.com "));
    assert_eq!(ask("transit/encrypt/kek", json!({ "plaintext": "AAAA" })).await.0, 403);
    let sealed = bao.write("transit/encrypt/kek", &json!({ "plaintext": "AAAA" })).await;
    assert_eq!(bao.write("transit/decrypt/kek", &sealed["data"]).await["data"]["plaintext"], "AAAA");
    assert!(bao.write("otp/creds/deploy", &json!({ "ip": "127.0.0.1" })).await["data"]["key"].is_string());
}

#[tokio::test]
async fn moto_lets_only_the_trusted_assume_a_role() {
    let Some(moto) = Moto::start(&fresh("parts-moto")).await else { return };
    let broker = moto.user("broker", &Moto::allow("sts:AssumeRole")).await;
    let other = moto.user("other", &Moto::allow("sts:AssumeRole")).await;
    let arn = moto.role("reader", "broker", &Moto::allow("sts:GetCallerIdentity")).await;
    moto.enforce().await;
    let role = json!({ "RoleArn": arn, "RoleSessionName": "s-1", "DurationSeconds": 900 });
    let assume = async |keys: &Keys| moto.call(keys, "sts", "assume_role", &role).await;
    let wrong = Keys { secret: "wrong".to_owned(), ..broker.clone() };
    assert_eq!(assume(&wrong).await.unwrap_err(), "SignatureDoesNotMatch");
    assert_eq!(assume(&other).await.unwrap_err(), "AccessDenied");

    let assumed = assume(&broker).await.unwrap();
    let part = |name: &str| assumed["Credentials"][name].as_str().unwrap().to_owned();
    let session =
        Keys { id: part("AccessKeyId"), secret: part("SecretAccessKey"), session: Some(part("SessionToken")) };
    let identity = moto.call(&session, "sts", "get_caller_identity", &json!({})).await.unwrap();
    assert_eq!(identity["Arn"], format!("arn:aws:sts::{}:assumed-role/reader/s-1", Moto::ACCOUNT));
    assert_eq!(moto.call(&session, "iam", "list_users", &json!({})).await.unwrap_err(), "AccessDenied");
}
