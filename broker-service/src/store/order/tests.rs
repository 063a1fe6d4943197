use std::time::Duration;

use accredit_policy::Time;
use accredit_policy::wire::audit::{Kind, Record};
use futures_util::FutureExt as _;
use harness::stack::fresh;
use sqlx::Row as _;

use super::Writer;
use crate::audit::source::Source;
use crate::clock;
use crate::store::{Database, Store, insert};
use crate::verify::{Claims, Verdict, Verifier};

fn record() -> Record {
    Record { id: clock::id().unwrap(), time: clock::now().rfc3339(), kind: Kind::Gap, ..Record::default() }
}

fn named(id: &str) -> Record {
    Record { id: id.into(), ..record() }
}

async fn open(name: &str) -> Store {
    Store::open(Database::Sqlite(fresh(&format!("order-{name}")))).await.unwrap()
}

async fn verdict(store: &Store) -> Verdict {
    let Database::Sqlite(folder) = store.database() else { panic!("no file") };
    let mut source = Source::sqlite(&folder.join("accredit.db")).await.unwrap();
    let mut verifier = Verifier::new(Claims::new(None), source.cut().await.unwrap());
    source.entries(&mut verifier).await.unwrap();
    verifier.finish(clock::now())
}

/// Chain and position of every record.
async fn places(store: &Store) -> Vec<(i64, String, i64)> {
    let rows =
        sqlx::query("SELECT seq, chain, position FROM audit ORDER BY seq").fetch_all(store.pool()).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

#[tokio::test]
async fn what_was_undone_leaves_no_gap() {
    let store = open("undone").await;
    store.append(vec![record()]).await.unwrap();
    let mut order = store.begin().await.unwrap();
    insert(&mut order, &[&record()]).await.unwrap();
    insert(&mut order, &[&record(), &record()]).await.unwrap();
    drop(order);
    store.append(vec![record()]).await.unwrap();
    let mut order = store.begin().await.unwrap();
    insert(&mut order, &[&record()]).await.unwrap();
    insert(&mut order, &[&record()]).await.unwrap();
    order.commit().await.unwrap();
    let places = places(&store).await;
    let numbers: Vec<_> = places.iter().map(|(seq, _, position)| (*seq, *position)).collect();
    assert_eq!(numbers, [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]);
    assert_eq!(verdict(&store).await.count, 0);
}

#[tokio::test]
async fn after_a_commit_nobody_knows_of_a_new_chain_begins() {
    let store = open("lost").await;
    store.append(vec![record()]).await.unwrap();
    for _ in 0..3 {
        let mut order = store.begin().await.unwrap();
        insert(&mut order, &[&record()]).await.unwrap();
        assert!(order.commit().now_or_never().is_none(), "the answer is not waited for");
        assert_eq!(store.head().await, None);
        store.append(vec![record()]).await.unwrap();
    }
    let verdict = verdict(&store).await;
    assert_eq!((verdict.count, verdict.chains.len()), (0, 4), "{verdict:?}");
}

#[tokio::test]
async fn a_new_chain_names_the_ends_of_those_that_moved_and_of_no_other() {
    let one = open("names").await;
    one.append(vec![record()]).await.unwrap();
    let again = async || {
        let store = Store::open(one.database().clone()).await.unwrap();
        store.enter().await.unwrap();
        let query = sqlx::query_scalar("SELECT record FROM audit ORDER BY seq DESC LIMIT 1");
        let text: String = query.fetch_one(store.pool()).await.unwrap();
        let first: Record = serde_json::from_str(&text).unwrap();
        assert_eq!(first.kind, Kind::Chain);
        first.heads.into_iter().map(|head| (head.seq, head.length)).collect::<Vec<_>>()
    };
    assert_eq!(again().await, [(2, 2)]);
    assert_eq!(again().await, [(3, 1)], "the first has not moved");
    one.append(vec![record()]).await.unwrap();
    // It has found the two others as well, where it should be alone.
    assert_eq!(again().await, [(4, 1), (6, 4)]);
    assert_eq!(verdict(&one).await.count, 0);
}

#[tokio::test]
async fn a_chain_that_has_rested_for_long_does_not_go_on() {
    let store = open("rest").await;
    for hours in [11, 13] {
        store.append(vec![record()]).await.unwrap();
        let rested = Time::from_seconds(clock::now().seconds().saturating_sub(hours * 3600));
        let head = store.head().await.unwrap();
        *store.base.writer.lock().await = Writer::At { head, time: rested, end: 0 };
    }
    store.append(vec![record()]).await.unwrap();
    let verdict = verdict(&store).await;
    let lengths: Vec<_> = verdict.chains.iter().map(|end| end.head.length).collect();
    assert_eq!((verdict.count, lengths), (0, vec![3, 2]), "{verdict:?}");
}

#[tokio::test]
async fn what_somebody_else_appends_where_one_writes_is_on_the_record_once() {
    let store = open("stray").await;
    store.append(vec![record()]).await.unwrap();
    let other = Store::open(store.database().clone()).await.unwrap();
    other.append(vec![record()]).await.unwrap();
    store.append(vec![record()]).await.unwrap();
    store.append(vec![record()]).await.unwrap();
    let query = sqlx::query_scalar("SELECT record FROM audit WHERE kind = 'admin'");
    let told: Vec<String> = query.fetch_all(store.pool()).await.unwrap();
    let told: Vec<Record> = told.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let told = told.into_iter().filter_map(|record| record.admin).map(|admin| (admin.action, admin.target));
    assert_eq!(told.collect::<Vec<_>>(), [("audit.stray".to_owned(), "seq 3 to 4".to_owned())]);
}

#[tokio::test]
async fn an_end_that_somebody_removed_stays_a_gap() {
    let store = open("gap").await;
    store.append(vec![record(), record()]).await.unwrap();
    sqlx::query("DELETE FROM audit WHERE seq = 3").execute(store.pool()).await.unwrap();
    store.append(vec![record()]).await.unwrap();
    let verdict = verdict(&store).await;
    let first = verdict.findings.first().map(|finding| (finding.spot.seq, finding.fault.name()));
    assert_eq!(first, Some((Some(4), "missing")), "{verdict:?}");
}

#[tokio::test]
async fn a_record_that_comes_again_is_kept_once_and_costs_no_number() {
    let store = open("twice").await;
    let batch = || ["a", "b", "a", "a\0", "a\u{fffd}"].map(named).to_vec();
    store.deliver(batch()).await.unwrap();
    let (one, two) = tokio::join!(store.deliver(batch()), store.deliver(vec![named("b"), named("c")]));
    one.and(two).unwrap();
    store.deliver((0..200).map(|number| named(&number.to_string())).collect()).await.unwrap();
    store.deliver((0..200).rev().map(|number| named(&number.to_string())).collect()).await.unwrap();
    store.append(vec![record()]).await.unwrap();
    let places = places(&store).await;
    let numbers: Vec<_> = places.iter().map(|(seq, _, position)| (*seq, *position)).collect();
    // The chain's own, `a`, `b`, `a\0`, `a\u{fffd}`, `c`, two hundred and one.
    assert_eq!(numbers, (1..=207).map(|number| (number, number)).collect::<Vec<_>>());
    assert_eq!(verdict(&store).await.count, 0);
}

#[tokio::test]
async fn nothing_is_recorded_after_the_end() {
    let store = open("closed").await;
    store.append(vec![record()]).await.unwrap();
    let head = store.close().await.unwrap();
    assert_eq!((head.length, head.seq), (2, 2));
    let mut order = store.begin().await.unwrap();
    assert!(insert(&mut order, &[&record()]).await.is_err());
    assert!(store.append(vec![record()]).await.is_err());
    assert_eq!(places(&store).await.len(), 2);
}

#[tokio::test]
async fn who_asks_while_the_disk_is_tried_hears_what_comes_of_it() {
    let store = open("probe").await;
    store.probe().await.unwrap();
    let order = store.begin().await.unwrap();
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let store = store.clone();
        asked.spawn(async move { store.probe().await });
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(store.waiting() <= 1, "{}", store.waiting());
    drop(order);
    assert!(asked.join_all().await.iter().all(Result::is_ok));
}
