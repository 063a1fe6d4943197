//! What wraps the keys is elsewhere: in OpenBao, or shared by several brokers on one PostgreSQL.

use std::fs;

use harness::parts::{Fsync, OpenBao, Postgres};
use harness::stack::fresh;
use serde_json::{Value, json};

use super::{CANARY, Shelf, files, key_file, refused, rewrite};

const POLICY: &str = r#"
    path "transit/encrypt/accredit" { capabilities = ["update"] }
    path "transit/decrypt/accredit" { capabilities = ["update"] }
"#;

/// `secrets.openbao` for a key, with the token of the file `bao.token`.
fn transit(bao: &OpenBao, key: &str) -> Value {
    json!({ "address": bao.url, "token_file": "bao.token", "key": key })
}

#[tokio::test]
async fn a_key_in_openbao_wraps_and_takes_over_from_a_file_and_back() {
    let logs = fresh("broker-secrets-openbao-server");
    let Some(bao) = OpenBao::start(&logs).await else { return };
    bao.transit("accredit").await;
    let token = bao.token("accredit", POLICY).await;

    let shelf = Shelf::open("openbao").await;
    shelf.put("crm-key", CANARY);
    fs::write(shelf.dir.join("bao.token"), &token).unwrap();
    let secrets = json!({ "openbao": transit(&bao, "accredit"), "previous": { "key_file": "data/master.key" } });
    let shelf = shelf.again(|config| config["secrets"] = secrets).await;
    assert_eq!(shelf.key().await, CANARY);
    fs::rename(shelf.dir.join("data/master.key"), shelf.dir.join("kept.key")).unwrap();
    let shelf = shelf.again(|config| config["secrets"] = json!({ "openbao": transit(&bao, "accredit") })).await;
    assert_eq!(shelf.key().await, CANARY);
    assert_eq!(shelf.cli(&["rotate"], "").status.code(), Some(0));
    assert_eq!(shelf.key().await, CANARY);
    let log = shelf.desk.broker.process.log();
    assert!(!log.contains(&token) && !log.contains(CANARY), "{log}");
    shelf.absent(CANARY.as_bytes(), &[]);

    let back = json!({ "key_file": "kept.key", "previous": { "openbao": transit(&bao, "accredit") } });
    let shelf = shelf.again(|config| config["secrets"] = back).await;
    assert_eq!(shelf.key().await, CANARY);
}

#[tokio::test]
async fn a_broker_that_openbao_does_not_serve_does_not_start() {
    let logs = fresh("broker-secrets-refused-server");
    let Some(mut bao) = OpenBao::start(&logs).await else { return };
    bao.transit("accredit").await;
    let token = bao.token("accredit", POLICY).await;
    let (dir, url) = files("refused", |config| config["secrets"] = json!({ "openbao": transit(&bao, "accredit") }));
    fs::write(dir.join("bao.token"), "a-token-that-is-none").unwrap();
    rewrite(&dir, |config| config["secrets"] = json!({ "openbao": transit(&bao, "accredit") }));
    let says = refused(&dir, &url).await;
    assert!(says.contains("`openbao:transit/accredit`: refused: the token may not `encrypt` (status 403)"), "{says}");

    fs::write(dir.join("bao.token"), &token).unwrap();
    let url = rewrite(&dir, |config| config["secrets"] = json!({ "openbao": transit(&bao, "accredit") }));
    let shelf = Shelf::start(dir, &url).await;
    shelf.put("crm-key", CANARY);
    // A wrapped key under another key's name is no key: its name goes in as associated data.
    let mut shelf = shelf.again(|config| config["secrets"] = json!({ "openbao": transit(&bao, "accredit") })).await;
    shelf.desk.broker.process.stop();
    let mut database = shelf.database().await;
    let id: String = sqlx::query_scalar("SELECT id FROM data_keys").fetch_one(&mut database).await.unwrap();
    sqlx::query("UPDATE data_keys SET id = ?1").bind("0".repeat(32)).execute(&mut database).await.unwrap();
    let url = rewrite(&shelf.dir, |config| config["secrets"] = json!({ "openbao": transit(&bao, "accredit") }));
    let says = refused(&shelf.dir, &url).await;
    assert!(says.contains("`decrypt` is not possible: another key, or changed (status 400)"), "{says}");
    sqlx::query("UPDATE data_keys SET id = ?1").bind(id).execute(&mut database).await.unwrap();

    bao.process.kill();
    let says = refused(&shelf.dir, &url).await;
    assert!(says.contains("`openbao:transit/accredit`: unavailable: "), "{says}");
    assert!(!says.contains(&token), "{says}");
}

#[tokio::test]
async fn brokers_on_one_database_open_what_each_other_has_sealed() {
    let Some(postgres) = Postgres::start(Fsync::On).await else { return };
    let database = postgres.database("secrets").await;
    let on = |config: &mut Value| {
        config["store"] = json!({ "postgres": { "url_file": "url" } });
        config["secrets"] = json!({ "key_file": "shared.key" });
    };
    let mut shelves = Vec::new();
    for name in ["one", "two"] {
        let (dir, _) = files(name, |_| ());
        fs::write(dir.join("url"), &database).unwrap();
        key_file(&dir, "shared.key", "c3");
        let url = rewrite(&dir, on);
        shelves.push(Shelf::start(dir, &url).await);
    }
    let [one, two] = &shelves[..] else { panic!("two brokers") };
    one.put("crm-key", CANARY);
    assert_eq!(two.key().await, CANARY);
    let rotated = one.cli(&["rotate"], "");
    assert_eq!(rotated.status.code(), Some(0), "{rotated:?}");
    assert_eq!(two.key().await, CANARY, "a key the other has made since is fetched");
    two.put("crm-key", "second");
    assert_eq!(one.key().await, "second");
    assert_eq!(two.cli(&["remove", "crm-key"], "").status.code(), Some(0));
    assert_eq!(one.credential().await.status, 503);
}

#[tokio::test]
async fn brokers_on_one_database_have_to_be_told_what_wraps_its_keys() {
    let (dir, _) = files("untold", |_| ());
    fs::write(dir.join("url"), "postgres://nobody@127.0.0.1:1/nothing").unwrap();
    let url = rewrite(&dir, |config| config["store"] = json!({ "postgres": { "url_file": "url" } }));
    let says = refused(&dir, &url).await;
    assert!(says.contains("`secrets`: found nothing, accepted is `key_file` or `openbao`"), "{says}");
}
