use accredit_policy::Secret;
use accredit_policy::wire::audit::{Kind, Record};
use harness::parts::Postgres;
use sqlx::{AnyPool, Connection as _};

use super::*;
use crate::chain::Head;
use crate::clock;
use crate::store::{Server, Store, audit};

/// How many records a partition of these tests holds.
const SPAN: i64 = 64;

async fn database(name: &str) -> Database {
    let postgres = Postgres::durable().await.expect("scripts/setup says how to get PostgreSQL");
    let url = postgres.database(&format!("partition_{name}")).await;
    Database::Postgres(Server { url: Secret::new(url), span: SPAN })
}

fn records(name: &str, count: usize) -> Vec<Record> {
    let record = |index| Record {
        id: format!("{name}-{index}"),
        time: clock::now().rfc3339(),
        kind: Kind::Decision,
        chain: vec!["scout".into()],
        ..Record::default()
    };
    (0..count).map(record).collect()
}

async fn count(pool: &AnyPool, query: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(pool).await.unwrap()
}

/// Where every partition ends.
async fn ends(store: &Store, table: &'static str) -> Vec<i64> {
    let mut connection = store.pool().acquire().await.unwrap();
    let mut ends: Vec<_> = parts(&mut connection, table).await.unwrap().iter().map(|part| part.past).collect();
    ends.sort_unstable();
    ends
}

#[tokio::test]
async fn the_writer_makes_what_was_not_made_ahead() {
    let database = database("writer").await;
    let store = Store::open(database).await.unwrap();
    store.append(records("one", 1000)).await.unwrap();
    store.append(records("two", 20)).await.unwrap();
    assert_eq!(count(store.pool(), "SELECT COUNT(*) FROM audit").await, 1021);
    assert_eq!(count(store.pool(), "SELECT COUNT(*) FROM audit_actors").await, 1020);
    assert_eq!(count(store.pool(), "SELECT COUNT(*) FROM audit_65 WHERE seq BETWEEN 65 AND 128").await, 64);
    for table in TABLES {
        let ends = ends(&store, table).await;
        assert!(ends.windows(2).all(|pair| pair[1] - pair[0] == SPAN), "{ends:?}");
        assert!(ends.last().is_some_and(|end| *end > 1021), "{ends:?}");
    }
}

#[tokio::test]
async fn two_that_run_out_at_once_make_one() {
    let database = database("two").await;
    let (one, two) = (Store::open(database.clone()).await.unwrap(), Store::open(database).await.unwrap());
    for round in 0..20 {
        let [first, second] = ["one", "two"].map(|name| records(&format!("{name}-{round}"), 20));
        let (first, second) = tokio::join!(one.append(first), two.append(second));
        assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
    }
    assert_eq!(count(one.pool(), "SELECT COUNT(*) FROM audit").await, 802);
}

#[tokio::test]
async fn one_that_somebody_took_away_is_made_again() {
    let database = database("gone").await;
    let one = Store::open(database.clone()).await.unwrap();
    // So few that nobody makes one ahead while it is away.
    one.append(records("one", 10)).await.unwrap();
    reach(&mut one.pool().acquire().await.unwrap(), SPAN, 100).await.unwrap();
    let two = Store::open(database).await.unwrap();
    two.append(records("two", 1)).await.unwrap();
    sqlx::query("DROP TABLE audit_65").execute(one.pool()).await.unwrap();
    assert!(two.append(records("three", 60)).await.is_err(), "there was a place for them");
    two.append(records("four", 60)).await.unwrap();
    sqlx::query("DELETE FROM audit WHERE seq > 60").execute(one.pool()).await.unwrap();
    sqlx::query("DROP TABLE audit_65").execute(one.pool()).await.unwrap();
    two.append(records("five", 1)).await.unwrap();
}

#[tokio::test]
async fn what_was_undone_is_made_again() {
    let database = database("undone").await;
    let store = Store::open(database).await.unwrap();
    store.append(records("one", 10)).await.unwrap();
    let mut order = store.begin().await.unwrap();
    order.append(&records("two", 500).iter().collect::<Vec<_>>()).await.unwrap();
    drop(order);
    store.append(records("three", 500)).await.unwrap();
    assert_eq!(count(store.pool(), "SELECT MAX(seq) FROM audit").await, 511);
}

#[tokio::test]
async fn one_is_made_when_less_than_half_of_one_is_left() {
    let database = database("ahead").await;
    let store = Store::open(database).await.unwrap();
    let made = |ends: &[i64]| ends.last().copied().unwrap();
    ahead(&store, SPAN).await.unwrap();
    assert_eq!(made(&ends(&store, "audit").await), 65);
    store.append(records("one", 31)).await.unwrap();
    ahead(&store, SPAN).await.unwrap();
    assert_eq!(made(&ends(&store, "audit").await), 65, "half of it is left");
    store.append(records("two", 1)).await.unwrap();
    ahead(&store, SPAN).await.unwrap();
    assert_eq!((made(&ends(&store, "audit").await), made(&ends(&store, "audit_actors").await)), (129, 129));
}

#[tokio::test]
async fn the_planner_is_told_of_all_of_them_together() {
    let database = database("planner").await;
    let Database::Postgres(server) = database else { panic!("no server") };
    let store = Store::open(Database::Postgres(Server { span: FEW / 2, ..server })).await.unwrap();
    let told =
        "SELECT COUNT(*) FROM pg_stats WHERE tablename IN ('audit', 'audit_actors') AND inherited AND attname = 'seq'";
    let mut analyzed = 0;
    store.append(records("few", 10)).await.unwrap();
    analyze(&store, &mut analyzed).await.unwrap();
    assert_eq!((analyzed, count(store.pool(), told).await), (0, 0));
    store.append(records("many", 10_000)).await.unwrap();
    analyze(&store, &mut analyzed).await.unwrap();
    assert_eq!((analyzed, count(store.pool(), told).await), (10_011, 2));
    store.append(records("more", 100)).await.unwrap();
    analyze(&store, &mut analyzed).await.unwrap();
    assert_eq!(analyzed, 10_011, "a few more change nothing");
}

#[tokio::test]
async fn no_reader_holds_up_a_new_one() {
    let database = database("reader").await;
    let store = Store::open(database).await.unwrap();
    store.append(records("one", 10)).await.unwrap();
    let Database::Postgres(server) = store.database() else { panic!("no server") };
    let mut reader = AnyConnection::connect(server.url.reveal()).await.unwrap();
    reader.execute("BEGIN; SELECT COUNT(*) FROM audit").await.unwrap();
    store.append(records("two", 500)).await.unwrap();
    assert_eq!(count(store.pool(), "SELECT MAX(seq) FROM audit").await, 511);
}

#[tokio::test]
async fn a_record_that_is_delivered_again_in_another_partition_stays_one() {
    let database = database("twice").await;
    let store = Store::open(database).await.unwrap();
    let first = records("first", 5);
    store.deliver(first.clone()).await.unwrap();
    store.deliver(records("between", 200)).await.unwrap();
    store.deliver(first).await.unwrap();
    assert_eq!(count(store.pool(), "SELECT COUNT(*) FROM audit").await, 206);
    // Within one the database refuses it as well.
    let forged =
        "INSERT INTO audit SELECT 7, chain, position + 1000, hash, record, id, time, kind FROM audit WHERE seq = 3";
    let forged = forged.replace("INTO audit", "INTO audit (seq, chain, position, hash, record, id, time, kind)");
    sqlx::query("DELETE FROM audit WHERE seq = 7").execute(store.pool()).await.unwrap();
    let refused = sqlx::query(AssertSqlSafe(forged)).execute(store.pool()).await.unwrap_err();
    assert!(refused.to_string().contains("audit_1_id"), "{refused}");
}

#[tokio::test]
async fn records_of_before_there_were_partitions_are_kept() {
    let database = database("before").await;
    let Database::Postgres(server) = &database else { panic!("no server") };
    sqlx::any::install_default_drivers();
    let pool = AnyPool::connect(server.url.reveal()).await.unwrap();
    crate::store::database::BOTH.run(&pool).await.unwrap();
    let (mut head, old) = (Head::new("old".into()), records("old", 300));
    let mut writer = pool.begin().await.unwrap();
    // A broker of before, which is writing.
    writer.execute("SELECT pg_advisory_xact_lock(8317987319222330741)").await.unwrap();
    audit::link(&mut writer, &mut head, 0, &old.iter().collect::<Vec<_>>()).await.unwrap();
    let store = tokio::spawn(Store::open(database));
    sleep(Duration::from_secs(1)).await;
    assert!(!store.is_finished());
    writer.commit().await.unwrap();
    let store = store.await.unwrap().unwrap();
    assert_eq!(ends(&store, "audit").await.first(), Some(&301));
    store.append(records("new", 100)).await.unwrap();
    for table in TABLES {
        assert_eq!(count(&pool, &format!("SELECT COUNT(*) FROM {table} WHERE seq <= 300")).await, 300);
    }
    assert_eq!(count(&pool, "SELECT MAX(seq) FROM audit").await, 401);
}
