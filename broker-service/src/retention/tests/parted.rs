//! The same on PostgreSQL, where the audit has partitions.

use std::time::Instant;

use accredit_policy::Secret;
use harness::parts::Postgres;
use sqlx::{AnyConnection, Connection as _, Executor as _};

use super::*;
use crate::store::Server;

/// What was signed two days ago is too old, and three days ago by more than a day.
const KEEP: Duration = Duration::from_secs(36 * 3600);

/// How many records a partition of these tests holds.
const SPAN: i64 = 64;

async fn open(name: &str) -> Store {
    let postgres = Postgres::durable().await.expect("scripts/setup says how to get PostgreSQL");
    let url = postgres.database(&format!("retention_{name}")).await;
    let database = Database::Postgres(Server { url: Secret::new(url), span: SPAN });
    Store::open(database).await.unwrap()
}

async fn count(store: &Store, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(store.pool()).await.unwrap()
}

const PARTITIONS: &str =
    "SELECT COUNT(*) FROM pg_inherits WHERE inhparent IN ('audit'::regclass, 'audit_actors'::regclass)";
const FIRST: &str = "SELECT MIN(seq) FROM audit";

#[tokio::test]
async fn an_old_partition_goes_as_a_whole_and_the_rest_verifies() {
    let one = open("whole").await;
    write(&one, 40).await;
    let two = Store::open(one.database().clone()).await.unwrap();
    write(&two, 60).await;
    write(&one, 200).await;
    sign(&one, 2).await;
    sign(&two, 2).await;
    write(&two, 5).await;
    let before = count(&one, PARTITIONS).await;
    for first in [65, 129, 193, 257] {
        assert_eq!(round(&one, &notary(), KEEP, Reader::None).await.unwrap(), Step::More);
        assert_eq!(count(&one, FIRST).await, first);
        assert_eq!(
            count(&one, "SELECT MIN(seq) FROM audit_actors").await,
            first,
            "whom they had it from goes with them"
        );
    }
    // What is before the first one, and four of each table.
    assert_eq!(before - count(&one, PARTITIONS).await, 10);
    assert_eq!(round(&one, &notary(), KEEP, Reader::None).await.unwrap(), Step::Done, "the rest is not old enough");
    sign(&one, 0).await;
    assert_eq!(verdict(&one).await.count, 0);
    // Both chains go on, and what the first removal told is gone with none of the others.
    write(&two, 1).await;
    write(&one, 1).await;
    assert_eq!(verdict(&one).await.count, 0);
}

#[tokio::test]
async fn what_waits_for_its_partition_goes_a_day_later_row_by_row() {
    let store = open("rows").await;
    write(&store, 10).await;
    sign(&store, 3).await;
    write(&store, 10).await;
    sign(&store, 2).await;
    write(&store, 1).await;
    let before = count(&store, PARTITIONS).await;
    assert_eq!(round(&store, &notary(), KEEP + DAY, Reader::None).await.unwrap(), Step::Done, "a day is not over");
    assert_eq!(round(&store, &notary(), KEEP, Reader::None).await.unwrap(), Step::More);
    assert_eq!((count(&store, FIRST).await, count(&store, PARTITIONS).await), (12, before));
    assert_eq!(round(&store, &notary(), KEEP, Reader::None).await.unwrap(), Step::Done);
    sign(&store, 0).await;
    assert_eq!(verdict(&store).await.count, 0);
}

#[tokio::test]
async fn no_partition_goes_that_the_collector_has_not_had() {
    let store = open("reader").await;
    write(&store, 100).await;
    sign(&store, 2).await;
    let had = "INSERT INTO audit_exports (name, after, refused, claimed) VALUES ('otlp', 63, 0, 0)";
    sqlx::query(had).execute(store.pool()).await.unwrap();
    assert_eq!(round(&store, &notary(), KEEP, Reader::Collector).await.unwrap(), Step::Done);
    sqlx::query("UPDATE audit_exports SET after = 64").execute(store.pool()).await.unwrap();
    assert_eq!(round(&store, &notary(), KEEP, Reader::Collector).await.unwrap(), Step::More);
    assert_eq!(count(&store, FIRST).await, 65);
}

#[tokio::test]
async fn a_partition_that_somebody_reads_stays_and_holds_nobody_up_for_long() {
    let store = open("busy").await;
    write(&store, 100).await;
    sign(&store, 2).await;
    let Database::Postgres(server) = store.database() else { panic!("no server") };
    let mut reader = AnyConnection::connect(server.url.reveal()).await.unwrap();
    reader.execute("BEGIN; SELECT COUNT(*) FROM audit").await.unwrap();
    let began = Instant::now();
    let refused = round(&store, &notary(), KEEP, Reader::None).await.unwrap_err();
    assert!(refused.internal.contains("lock timeout"), "{}", refused.internal);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    write(&store, 1).await;
    assert_eq!(count(&store, FIRST).await, 1);
    reader.execute("ROLLBACK").await.unwrap();
    assert_eq!(round(&store, &notary(), KEEP, Reader::None).await.unwrap(), Step::More);
    assert_eq!(count(&store, FIRST).await, 65);
}

#[tokio::test]
async fn no_partition_goes_while_the_log_is_verified() {
    let store = open("verified").await;
    write(&store, 100).await;
    sign(&store, 2).await;
    let file = fresh("retention-verified").join("url");
    let Database::Postgres(server) = store.database() else { panic!("no server") };
    std::fs::write(&file, server.url.reveal()).unwrap();
    let mut source = Source::postgres(&file).await.unwrap();
    assert!(round(&store, &notary(), KEEP, Reader::None).await.is_err());
    let mut verifier = Verifier::new(Claims::new(None), source.cut().await.unwrap());
    source.entries(&mut verifier).await.unwrap();
    source.actors(&mut verifier).await.unwrap();
    let verdict = verifier.finish(clock::now());
    assert_eq!((verdict.count, verdict.records), (0, 101), "{verdict:?}");
    drop(source);
    assert_eq!(round(&store, &notary(), KEEP, Reader::None).await.unwrap(), Step::More);
}
