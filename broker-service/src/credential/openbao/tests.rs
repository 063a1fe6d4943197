use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use accredit_policy::Secret;
use harness::parts::{OpenBao, Postgres};
use harness::stack::fresh;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::super::stage::{Kept, Stage, files, lease};
use super::super::{Ended, Failure, Lease, Minted};

const MINUTE: Duration = Duration::from_secs(60);

const POLICY: &str = r#"
    path "auth/token/create" { capabilities = ["update"] }
    path "auth/token/revoke-accessor" { capabilities = ["update"] }
    path "database/creds/reader" { capabilities = ["read"] }
    path "ssh/sign/dev" { capabilities = ["update"] }
    path "otp/creds/login" { capabilities = ["update"] }
    path "secret/data/*" { capabilities = ["read"] }
"#;

/// A server, and a token of the broker's own that may do what [`POLICY`] says.
struct Scene {
    bao: OpenBao,
    token: String,
    name: String,
}

impl Scene {
    async fn open(name: &str) -> Option<Self> {
        let bao = OpenBao::start(&fresh(&format!("openbao-{name}"))).await?;
        let token = bao.token("accredit", POLICY).await;
        Some(Self { bao, token, name: format!("openbao-{name}") })
    }

    fn files(&self, change: impl FnOnce(&mut Value)) -> PathBuf {
        let mut keys = json!({
            "kind": "openbao", "address": self.bao.url, "token_file": "token", "path": "database/creds/reader",
            "fields": { "username": "username", "password": "password" },
            "headers": { "x-user": "{username}", "x-password": "{password}" },
        });
        change(&mut keys);
        let dir = files(&self.name, &keys);
        std::fs::write(dir.join("token"), &self.token).unwrap();
        dir
    }

    async fn stage(&self, change: impl FnOnce(&mut Value)) -> Stage {
        Stage::open(&self.files(change), "agent-7", "alice").await
    }

    /// What the server knows about the token with the accessor that was kept.
    async fn child(&self, kept: &Kept) -> Option<Value> {
        let accessor = json!({ "accessor": kept.handle().unwrap().reveal() });
        let ask = self.bao.ask(OpenBao::ROOT, Method::POST, "auth/token/lookup-accessor", &accessor);
        let (status, answer) = ask.await;
        (status == 200).then(|| answer["data"].clone())
    }

    /// Has `database/creds/reader` make logins for a PostgreSQL. Out: a session of the superuser there.
    async fn database(&self, ttl: &str) -> Option<(&'static Postgres, PgConnection)> {
        let postgres = Postgres::shared().await?;
        self.bao.database(postgres, "reader", ttl, "GRANT pg_monitor TO \"{{name}}\"").await;
        Some((postgres, PgConnection::connect(&postgres.superuser()).await.unwrap()))
    }
}

fn part<'a>(minted: &'a Minted, name: &str) -> &'a str {
    minted.fields.get(name).map(Secret::reveal).unwrap()
}

fn rotate(dir: &Path, token: &str) {
    std::fs::write(dir.join("token"), token).unwrap();
}

async fn exists(session: &mut PgConnection, role: &str) -> bool {
    let query = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)").bind(role);
    query.fetch_one(session).await.unwrap()
}

/// How long it takes until the role is gone.
async fn gone(session: &mut PgConnection, role: &str) -> Duration {
    let start = Instant::now();
    while exists(session, role).await {
        assert!(start.elapsed() < Duration::from_secs(10), "{role} is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    start.elapsed()
}

#[tokio::test]
async fn what_an_engine_made_ends_with_the_child_token() {
    let Some(scene) = Scene::open("end").await else { return };
    let Some((postgres, mut admin)) = scene.database("1h").await else { return };
    let stage = scene.stage(|_| ()).await;
    let (lease, kept) = (lease(MINUTE), Kept::default());
    let minted = stage.mint(&lease, "lookup", &kept).await.unwrap();
    let child = scene.child(&kept).await.unwrap();
    assert_eq!(child["policies"], json!(["accredit"]));
    assert_eq!(child["display_name"], json!(format!("token-accredit-{}", lease.id)));
    assert_eq!([&child["explicit_max_ttl"], &child["renewable"]], [&json!(60), &json!(false)]);
    let (role, password) = (part(&minted, "username"), part(&minted, "password"));
    let mut session = PgConnection::connect(&postgres.url(role, password, "postgres")).await.unwrap();
    session.execute("SELECT 1").await.unwrap();

    assert_eq!(stage.end(&lease, kept.handle().as_ref()).await.unwrap(), Ended::Revoked);
    eprintln!("gone after {:?}", gone(&mut admin, role).await);
    assert!(session.execute("SELECT 1").await.is_err(), "the open session is dead");
    assert_eq!(scene.child(&kept).await, None);
    assert_eq!(stage.end(&lease, kept.handle().as_ref()).await.unwrap(), Ended::Revoked, "again does no harm");
    assert_eq!(stage.end(&lease, Some(&Secret::new("unknown"))).await.unwrap(), Ended::Revoked);
    assert_eq!(stage.end(&lease, None).await.unwrap(), Ended::Revoked);
}

#[tokio::test]
async fn it_ends_with_the_lease_where_the_broker_never_comes_back() {
    let Some(scene) = Scene::open("expiry").await else { return };
    let Some((_, mut admin)) = scene.database("1h").await else { return };
    let (lease, kept) = (lease(Duration::from_secs(2)), Kept::default());
    let minted = scene.stage(|_| ()).await.mint(&lease, "lookup", &kept).await.unwrap();
    assert_eq!(minted.expires, Some(lease.expires));
    assert!(exists(&mut admin, part(&minted, "username")).await);
    eprintln!("gone after {:?}", gone(&mut admin, part(&minted, "username")).await);
    assert_eq!(scene.child(&kept).await, None);
}

#[tokio::test]
async fn an_engine_that_gives_less_time_is_believed() {
    let Some(scene) = Scene::open("shorter").await else { return };
    if scene.database("10s").await.is_none() {
        return;
    }
    let lease = lease(MINUTE);
    let minted = scene.stage(|_| ()).await.mint(&lease, "lookup", &Kept::default()).await.unwrap();
    let span = minted.expires.unwrap().since(lease.issued);
    assert!((10..12).contains(&span.as_secs()), "{span:?}");
}

#[tokio::test]
async fn nothing_is_made_before_the_accessor_is_kept() {
    let Some(scene) = Scene::open("crash").await else { return };
    let Some((_, mut admin)) = scene.database("1h").await else { return };
    let count = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'v-accredit%'";
    let before: i64 = sqlx::query_scalar(count).fetch_one(&mut admin).await.unwrap();
    let broken = Kept { broken: true, ..Kept::default() };
    let stage = scene.stage(|_| ()).await;
    assert!(matches!(stage.mint(&lease(MINUTE), "lookup", &broken).await, Err(Failure::Unavailable(_))));
    let after: i64 = sqlx::query_scalar(count).fetch_one(&mut admin).await.unwrap();
    assert_eq!(before, after);
    // A broker that ended between the two: what is kept is enough.
    let (lease, kept) = (lease(MINUTE), Kept::default());
    let stage = scene.stage(|keys| keys["path"] = json!("database/creds/other")).await;
    let refused = stage.mint(&lease, "lookup", &kept).await;
    assert!(matches!(&refused, Err(Failure::Refused(why)) if why.contains("permission denied")), "{refused:?}");
    assert!(scene.child(&kept).await.is_some());
    assert_eq!(stage.end(&lease, kept.handle().as_ref()).await.unwrap(), Ended::Revoked);
    assert_eq!(scene.child(&kept).await, None);
}

#[tokio::test]
async fn what_no_engine_takes_back_has_to_be_declared() {
    let Some(scene) = Scene::open("ssh").await else { return };
    scene.bao.ssh("dev", "alice", "1h").await;
    scene.bao.one_time("login", "alice").await;
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHKOg8oSFCZVvF7GdQ0QB3Ddmjhyp1rm8pCYHyLCfA8V";
    let sign = |keys: &mut Value| {
        keys["path"] = json!("ssh/sign/dev");
        keys["method"] = json!("write");
        keys["parameters"] = json!({ "public_key": key, "valid_principals": "{subject}", "ttl": "{ttl}s" });
        keys["fields"] = json!({ "certificate": "signed_key" });
        keys["headers"] = json!({ "x-certificate": "{certificate}" });
    };
    let (lease, kept) = (lease(MINUTE), Kept::default());
    let refused = scene.stage(sign).await.mint(&lease, "lookup", &kept).await;
    assert!(matches!(&refused, Err(Failure::Refused(why)) if why.contains("`revocable: false`")), "{refused:?}");
    let stage = scene
        .stage(|keys| {
            sign(keys);
            keys["revocable"] = json!(false);
        })
        .await;
    let minted = stage.mint(&lease, "lookup", &kept).await.unwrap();
    let certificate = part(&minted, "certificate");
    assert!(certificate.starts_with("ssh-ed25519-cert-v01@openssh.com ") && !certificate.contains('\n'));
    assert_eq!(stage.end(&lease, kept.handle().as_ref()).await.unwrap(), Ended::Expires);
    assert_eq!(scene.child(&kept).await, None);

    let stage = scene
        .stage(|keys| {
            sign(keys);
            keys["path"] = json!("otp/creds/login");
            keys["parameters"] = json!({ "ip": "127.0.0.1" });
            keys["fields"] = json!({ "certificate": "key", "port": "port" });
        })
        .await;
    let minted = stage.mint(&lease, "lookup", &kept).await.unwrap();
    assert!(!part(&minted, "certificate").is_empty());
    assert_eq!(part(&minted, "port"), "22");
    let verify = json!({ "otp": part(&minted, "certificate") });
    assert_eq!(stage.end(&lease, kept.handle().as_ref()).await.unwrap(), Ended::Revoked);
    let ask = async |method, path, body| scene.bao.ask(OpenBao::ROOT, method, path, body).await.0;
    let leases = "sys/leases/lookup/otp/creds/login?list=true";
    let start = Instant::now();
    while ask(Method::GET, leases, &Value::Null).await != 404 {
        assert!(start.elapsed() < Duration::from_secs(10), "the lease is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let verified = ask(Method::POST, "otp/verify", &verify).await;
    assert_eq!(verified, 400, "the one-time password is void");
}

#[tokio::test]
async fn facts_do_not_leave_their_segment_and_parts_have_to_be_there() {
    let Some(scene) = Scene::open("facts").await else { return };
    scene.bao.put("agent-7", &json!({ "password": "from-the-store", "empty": "" })).await;
    let change = |keys: &mut Value| {
        keys["path"] = json!("secret/data/{tool}");
        keys["fields"] = json!({ "token": "data/password" });
        keys["revocable"] = json!(false);
        keys.as_object_mut().unwrap().remove("headers");
    };
    let stage = scene.stage(change).await;
    let minted = stage.mint(&lease(MINUTE), "agent-7", &Kept::default()).await.unwrap();
    assert_eq!(part(&minted, "token"), "from-the-store");
    for evil in ["../../sys/mounts", "..", "", "%2e%2e/x", "a/b"] {
        let kept = Kept::default();
        let refused = stage.mint(&lease(MINUTE), evil, &kept).await;
        assert!(matches!(refused, Err(Failure::Refused(_))), "{evil}");
        assert_eq!(kept.handle(), None, "{evil}");
    }
    let odd = stage.mint(&lease(MINUTE), "x?list=true#", &Kept::default()).await;
    assert!(matches!(&odd, Err(Failure::Refused(why)) if why.contains("404")), "{odd:?}");
    for pointer in ["password", "data/missing", "data/empty", "data", "metadata"] {
        let stage = scene
            .stage(|keys| {
                change(keys);
                keys["fields"] = json!({ "token": pointer });
            })
            .await;
        let failed = stage.mint(&lease(MINUTE), "agent-7", &Kept::default()).await;
        assert!(matches!(&failed, Err(Failure::Unavailable(why)) if !why.contains("from-the-store")), "{failed:?}");
    }
}

#[tokio::test]
async fn the_brokers_own_token_can_be_replaced_and_the_server_be_away() {
    let Some(mut scene) = Scene::open("token").await else { return };
    scene.bao.put("x", &json!({ "password": "p" })).await;
    let dir = scene.files(|keys| {
        keys["path"] = json!("secret/data/x");
        keys["fields"] = json!({ "token": "data/password" });
        keys["headers"] = json!({ "authorization": "Bearer {token}" });
        keys["revocable"] = json!(false);
        keys["policies"] = json!(["accredit"]);
    });
    let stage = Stage::open(&dir, "agent-7", "alice").await;
    let (lease, kept): (Lease, _) = (lease(MINUTE), Kept::default());
    rotate(&dir, "not-a-token");
    let refused = stage.mint(&lease, "lookup", &kept).await;
    assert!(matches!(&refused, Err(Failure::Refused(why)) if !why.contains("not-a-token")), "{refused:?}");
    rotate(&dir, &scene.token);
    stage.mint(&lease, "lookup", &kept).await.unwrap();
    rotate(&dir, "not-a-token");
    let handle = kept.handle();
    assert!(matches!(stage.end(&lease, handle.as_ref()).await, Err(Failure::Unavailable(_))), "it has to end yet");
    assert!(scene.child(&kept).await.is_some());
    std::fs::remove_file(dir.join("token")).unwrap();
    assert!(matches!(stage.mint(&lease, "lookup", &kept).await, Err(Failure::Unavailable(_))));
    rotate(&dir, &scene.token);
    scene.bao.process.stop();
    assert!(matches!(stage.mint(&lease, "lookup", &kept).await, Err(Failure::Unavailable(_))));
    assert!(matches!(stage.end(&lease, handle.as_ref()).await, Err(Failure::Unavailable(_))));
}

#[test]
fn a_child_token_always_has_an_end() {
    // Zero is OpenBao's word for no bound.
    assert_eq!(super::seconds(&lease(Duration::ZERO)), 1);
    assert_eq!(super::seconds(&lease(Duration::from_millis(1001))), 2);
}
