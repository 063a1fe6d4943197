use std::time::{Duration, Instant};

use accredit_policy::Secret;
use harness::parts::{Fsync, Postgres};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::super::stage::{Kept, Stage, files, lease};
use super::super::{Ended, Failure, Lease, Minted};

const MINUTE: Duration = Duration::from_secs(60);

/// A database with a table two roles may read, and `maker`, who may make roles but is no superuser.
struct Scene {
    postgres: &'static Postgres,
    name: String,
    admin: PgConnection,
}

impl Scene {
    async fn open(name: &str) -> Option<Self> {
        let postgres = Postgres::shared().await?;
        let name = format!("target_{name}");
        let mut admin = PgConnection::connect(&postgres.database(&name).await).await.unwrap();
        for text in [
            format!("DROP ROLE IF EXISTS {name}_maker, {name}_reader"),
            format!("CREATE ROLE {name}_reader"),
            format!("CREATE ROLE {name}_maker LOGIN CREATEROLE PASSWORD 'maker-password'"),
            "CREATE TABLE customers (id int); CREATE TABLE orders (id int); CREATE TABLE salaries (id int)".into(),
            format!("GRANT SELECT ON customers TO {name}_reader"),
            format!("GRANT SELECT ON orders TO {name}_maker WITH GRANT OPTION"),
            format!("GRANT CREATE ON SCHEMA public TO {name}_reader; GRANT CREATE ON DATABASE {name} TO {name}_reader"),
        ] {
            admin.execute(sqlx::AssertSqlSafe(text)).await.unwrap();
        }
        Some(Self { postgres, name, admin })
    }

    fn keys(&self) -> Value {
        json!({
            "kind": "postgres", "url_file": "url", "ttl": "60s", "grants": [format!("{}_reader", self.name)],
            "statements": ["GRANT SELECT ON orders TO {name}"],
        })
    }

    fn url(&self, role: &str, password: &str) -> String {
        self.postgres.url(role, password, &self.name)
    }

    async fn stage_with(&self, keys: &Value, agent: &str, subject: &str) -> Stage {
        let dir = files(&self.name, keys);
        std::fs::write(dir.join("url"), self.url(&format!("{}_maker", self.name), "maker-password")).unwrap();
        Stage::open(&dir, agent, subject).await
    }

    async fn stage(&self) -> Stage {
        self.stage_with(&self.keys(), "agent-7", "alice").await
    }

    async fn roles(&mut self, lease: &Lease) -> i64 {
        let query = sqlx::query_scalar("SELECT count(*) FROM pg_roles WHERE rolname LIKE '%' || $1");
        query.bind(lease.id.replace('-', "")).fetch_one(&mut self.admin).await.unwrap()
    }
}

async fn login(minted: &Minted) -> Result<PgConnection, sqlx::Error> {
    PgConnection::connect(part(minted, "url")).await
}

fn part<'a>(minted: &'a Minted, name: &str) -> &'a str {
    minted.fields.get(name).map(Secret::reveal).unwrap()
}

/// The code of what the server answered, or nothing for a session that has ended.
async fn attempt(session: &mut PgConnection, text: &'static str) -> Result<(), String> {
    let code = |error: sqlx::Error| Some(error.as_database_error()?.code()?.into_owned());
    session.execute(text).await.map(drop).map_err(|error| code(error).unwrap_or_default())
}

#[tokio::test]
async fn a_role_has_its_grants_for_as_long_as_its_lease() {
    let Some(mut scene) = Scene::open("grants").await else { return };
    let stage = scene.stage().await;
    let lease = lease(MINUTE);
    let minted = stage.mint(&lease, "lookup", &Kept::default()).await.unwrap();
    let mut session = login(&minted).await.unwrap();
    assert_eq!(attempt(&mut session, "SELECT FROM customers").await, Ok(()));
    assert_eq!(attempt(&mut session, "SELECT FROM orders").await, Ok(()));
    assert_eq!(attempt(&mut session, "SELECT FROM salaries").await, Err("42501".into()));
    assert_eq!(attempt(&mut session, "DELETE FROM customers").await, Err("42501".into()));
    assert_eq!(attempt(&mut session, "CREATE ROLE other").await, Err("42501".into()));
    assert_eq!(attempt(&mut session, "CREATE DATABASE other").await, Err("42501".into()));
    assert!(login(&minted).await.is_err(), "one session at a time");
    let shown = "SELECT rolpassword LIKE 'SCRAM-SHA-256$4096:%' AND rolvaliduntil = $2::timestamptz \
                 AND NOT (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls) \
                 FROM pg_authid WHERE rolname = $1";
    let query = sqlx::query_scalar::<_, bool>(shown).bind(part(&minted, "username")).bind(lease.expires.rfc3339());
    assert!(query.fetch_one(&mut scene.admin).await.unwrap());
    assert_eq!(minted.expires, Some(lease.expires));

    let start = Instant::now();
    assert_eq!(stage.end(&lease, None).await.unwrap(), Ended::Revoked);
    eprintln!("ended in {:?}", start.elapsed());
    assert!(attempt(&mut session, "SELECT").await.is_err(), "the open session is dead");
    assert!(login(&minted).await.is_err());
    assert_eq!(scene.roles(&lease).await, 0);
    assert_eq!(stage.end(&lease, None).await.unwrap(), Ended::Revoked, "to end it again does no harm");
}

#[tokio::test]
async fn no_password_reaches_the_servers_log() {
    let Some(scene) = Scene::open("log").await else { return };
    scene.postgres.execute("ALTER ROLE target_log_maker SET log_statement = 'all'").await;
    let lease = lease(MINUTE);
    let minted = scene.stage().await.mint(&lease, "lookup", &Kept::default()).await.unwrap();
    let log = std::fs::read_to_string(scene.postgres.socket().join("postgres.log")).unwrap();
    assert!(log.contains(&format!("CREATE ROLE \"{}\"", part(&minted, "username"))));
    assert!(!log.contains(part(&minted, "password")));
}

#[tokio::test]
async fn a_login_ends_with_its_lease_at_the_server_too() {
    let Some(scene) = Scene::open("expiry").await else { return };
    let lease = lease(Duration::from_millis(1500));
    let minted = scene.stage().await.mint(&lease, "lookup", &Kept::default()).await.unwrap();
    login(&minted).await.unwrap().close().await.unwrap();
    tokio::time::sleep(Duration::from_millis(1600)).await;
    let refused = login(&minted).await.unwrap_err();
    assert_eq!(refused.as_database_error().and_then(|error| error.code()).as_deref(), Some("28P01"));
}

#[tokio::test]
async fn what_a_role_made_goes_with_it_in_every_database() {
    let Some(mut scene) = Scene::open("owned").await else { return };
    let other = scene.postgres.database("target_owned_other").await;
    let mut other = PgConnection::connect(&other).await.unwrap();
    other.execute("GRANT CREATE ON SCHEMA public TO target_owned_reader").await.unwrap();
    let stage = scene.stage().await;
    let lease = lease(MINUTE);
    let minted = stage.mint(&lease, "lookup", &Kept::default()).await.unwrap();
    let make = "CREATE TABLE mine (id int); SELECT lo_create(0); CREATE SCHEMA own; \
                CREATE FUNCTION own.f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'; \
                GRANT SELECT ON mine TO PUBLIC; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC";
    assert_eq!(attempt(&mut login(&minted).await.unwrap(), make).await, Ok(()));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (role, password) = (part(&minted, "username"), part(&minted, "password"));
    let url = scene.postgres.url(role, password, "target_owned_other");
    let mut session = PgConnection::connect(&url).await.unwrap();
    assert_eq!(attempt(&mut session, "CREATE TABLE mine (id int); SELECT lo_create(0)").await, Ok(()));
    assert_eq!(stage.end(&lease, None).await.unwrap(), Ended::Revoked);
    assert_eq!(scene.roles(&lease).await, 0);
    let left = "SELECT count(*) FROM pg_class WHERE relname = 'mine'";
    for database in [&mut scene.admin, &mut other] {
        assert_eq!(sqlx::query_scalar::<_, i64>(left).fetch_one(database).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn what_a_role_made_is_given_to_the_owner_that_is_named() {
    let Some(mut scene) = Scene::open("owner").await else { return };
    scene.postgres.execute("GRANT target_owner_reader TO target_owner_maker").await;
    let mut keys = scene.keys();
    keys["owner"] = json!("target_owner_reader");
    let stage = scene.stage_with(&keys, "agent-7", "alice").await;
    let lease = lease(MINUTE);
    let minted = stage.mint(&lease, "lookup", &Kept::default()).await.unwrap();
    assert_eq!(attempt(&mut login(&minted).await.unwrap(), "CREATE TABLE mine (id int)").await, Ok(()));
    assert_eq!(stage.end(&lease, None).await.unwrap(), Ended::Revoked);
    let owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'mine'";
    let owner: String = sqlx::query_scalar(owner).fetch_one(&mut scene.admin).await.unwrap();
    assert_eq!(owner, "target_owner_reader");
}

#[tokio::test]
async fn names_of_agents_subjects_and_tools_do_not_reach_statements() {
    let Some(mut scene) = Scene::open("names").await else { return };
    let evil = "x\"; DROP TABLE salaries; --'{name}";
    let stage = scene.stage_with(&scene.keys(), evil, evil).await;
    let lease = lease(MINUTE);
    let minted = stage.mint(&lease, evil, &Kept::default()).await.unwrap();
    assert_eq!(part(&minted, "username"), format!("accredit_{}", lease.id.replace('-', "")));
    scene.admin.execute("SELECT FROM salaries").await.unwrap();
    for id in ["", "x", "'; DROP ROLE target_names_reader; --", &"g".repeat(32)] {
        let lease = Lease { id: id.into(), ..lease.clone() };
        assert!(matches!(stage.mint(&lease, "lookup", &Kept::default()).await, Err(Failure::Refused(_))), "{id}");
        assert!(matches!(stage.end(&lease, None).await, Err(Failure::Refused(_))), "{id}");
    }
}

#[tokio::test]
async fn a_mint_that_fails_leaves_no_role() {
    let Some(mut scene) = Scene::open("fails").await else { return };
    for (key, value) in [
        ("grants", json!(["target_fails_nobody"])),
        ("statements", json!(["GRANT SELECT ON salaries TO {name}"])),
        ("statements", json!(["GRANT SELECT ON nothing TO {name}"])),
        ("statements", json!(["SELEC {name}"])),
    ] {
        let mut keys = scene.keys();
        keys[key] = value;
        let lease = lease(MINUTE);
        let failed = scene.stage_with(&keys, "a", "b").await.mint(&lease, "lookup", &Kept::default()).await;
        assert!(matches!(failed, Err(Failure::Refused(_))), "{keys}: {failed:?}");
        assert_eq!(scene.roles(&lease).await, 0);
    }
}

#[tokio::test]
async fn a_role_of_a_commit_on_its_way_is_ended_after_it() {
    let Some(mut scene) = Scene::open("late").await else { return };
    let stage = scene.stage().await;
    let lease = lease(MINUTE);
    let role = format!("accredit_{}", lease.id.replace('-', ""));
    // A mint whose broker is gone, while its commit is not through yet.
    let number = u128::from_str_radix(&lease.id.replace('-', ""), 16).unwrap();
    let mut late = PgConnection::connect(&scene.url("target_late_maker", "maker-password")).await.unwrap();
    let lock = i64::from_be_bytes(number.to_be_bytes()[8..].try_into().unwrap());
    let begin = format!("BEGIN; SELECT pg_advisory_xact_lock({lock}); CREATE ROLE {role} LOGIN");
    late.execute(sqlx::AssertSqlSafe(begin)).await.unwrap();
    let commit = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        late.execute("COMMIT").await.unwrap();
    };
    let (ended, ()) = tokio::join!(stage.end(&lease, None), commit);
    assert_eq!(ended.unwrap(), Ended::Revoked);
    assert_eq!(scene.roles(&lease).await, 0);
}

#[tokio::test]
async fn a_server_that_is_down_is_unavailable_until_it_is_back() {
    let Some(mut postgres) = Postgres::start(Fsync::Off).await else { return };
    let dir = files("postgres-down", &json!({ "kind": "postgres", "url_file": "url" }));
    std::fs::write(dir.join("url"), postgres.superuser()).unwrap();
    postgres.stop();
    let stage = Stage::open(&dir, "agent-7", "alice").await;
    let lease = lease(MINUTE);
    let start = Instant::now();
    assert!(matches!(stage.mint(&lease, "lookup", &Kept::default()).await, Err(Failure::Unavailable(_))));
    assert!(start.elapsed() < Duration::from_secs(6));
    assert!(matches!(stage.end(&lease, None).await, Err(Failure::Unavailable(_))));
    postgres.restart().await;
    let minted = stage.mint(&lease, "lookup", &Kept::default()).await.unwrap();
    login(&minted).await.unwrap();
    postgres.kill();
    postgres.restart().await;
    assert_eq!(stage.end(&lease, None).await.unwrap(), Ended::Revoked);
    assert!(login(&minted).await.is_err());
}
