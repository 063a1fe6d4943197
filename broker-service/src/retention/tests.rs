use accredit_policy::Time;
use harness::stack::fresh;
use zeroize::Zeroizing;

use super::range::BATCH;
use super::*;
use crate::audit::source::Source;
use crate::checkpoint::Checkpoint;
use crate::checkpoint::sign::Outside;
use crate::note::Signer;
use crate::store::{Database, Store};
use crate::verify::{Claims, Verdict, Verifier};

mod parted;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn notary() -> Notary {
    Notary::new(signer(), Outside::default())
}

fn signer() -> Signer {
    Signer::new("broker/audit", &Zeroizing::new(vec![7; 32])).unwrap()
}

async fn open(name: &str) -> Store {
    Store::open(Database::Sqlite(fresh(&format!("retention-{name}")))).await.unwrap()
}

async fn write(store: &Store, count: usize) {
    let chain = || vec!["scout".to_owned(), "planner".to_owned()];
    let record =
        || Record { id: clock::id().unwrap(), time: clock::now().rfc3339(), chain: chain(), ..Record::default() };
    store.append((0..count).map(|_| record()).collect()).await.unwrap();
}

/// Signs as if it were so many days ago.
async fn sign(store: &Store, days: u32) {
    let Some(head) = store.head().await else { panic!("nothing is written") };
    let ago = u64::try_from(DAY.saturating_mul(days).as_millis()).unwrap();
    let time = Time::from_millis(clock::now().millis().saturating_sub(ago));
    let (length, seq) = (i64::try_from(head.length).unwrap(), i64::try_from(head.seq).unwrap());
    let (chain, note) = (head.chain.clone(), Checkpoint { head, time }.sign(&signer()));
    let query =
        "INSERT INTO checkpoints (chain, position, seq, time, note, filed, posted) VALUES ($1, $2, $3, $4, $5, 0, 0)";
    let query = sqlx::query(query).bind(chain).bind(length).bind(seq).bind(clock::signed(time)).bind(note);
    query.execute(store.pool()).await.unwrap();
}

async fn verdict(store: &Store) -> Verdict {
    let mut source = match store.database() {
        Database::Sqlite(folder) => Source::sqlite(&folder.join("accredit.db")).await.unwrap(),
        Database::Postgres(server) => {
            let file = fresh("retention-url").join(clock::id().unwrap());
            std::fs::write(&file, server.url.reveal()).unwrap();
            Source::postgres(&file).await.unwrap()
        }
    };
    let mut claims = Claims::new(Some(signer().key().clone()));
    source.claims(&mut claims).await.unwrap();
    let mut verifier = Verifier::new(claims, source.cut().await.unwrap());
    source.entries(&mut verifier).await.unwrap();
    source.actors(&mut verifier).await.unwrap();
    verifier.finish(clock::now())
}

#[tokio::test]
async fn what_was_signed_long_ago_goes_and_the_rest_verifies() {
    let one = open("old").await;
    write(&one, 3).await;
    sign(&one, 3).await;
    let two = Store::open(one.database().clone()).await.unwrap();
    write(&two, 2).await;
    write(&one, 2).await;
    sign(&two, 2).await;
    write(&one, 1).await;
    let notary = notary();
    assert_eq!(round(&one, &notary, DAY, Reader::None).await.unwrap(), Step::More);
    assert_eq!(verdict(&one).await.findings.first().map(|finding| finding.fault.name()), Some("unsigned_cut"));
    sign(&one, 0).await;
    let after = verdict(&one).await;
    assert_eq!((after.count, after.through), (0, 7), "{after:?}");
    let actors = sqlx::query_scalar("SELECT MIN(seq) FROM audit_actors").fetch_one(one.pool());
    assert_eq!(actors.await.map(|seq: i64| seq).unwrap(), 9, "whom they had it from goes with them");
    assert_eq!(round(&one, &notary, DAY, Reader::None).await.unwrap(), Step::Done);
    // What the first removal told goes with the second, and both chains go on.
    write(&two, 1).await;
    write(&one, 1).await;
    assert_eq!(verdict(&one).await.count, 0);
}

#[tokio::test]
async fn numbers_go_on_where_all_records_go() {
    let one = open("all").await;
    write(&one, 3).await;
    sign(&one, 2).await;
    let two = Store::open(one.database().clone()).await.unwrap();
    assert_eq!(round(&two, &notary(), DAY, Reader::None).await.unwrap(), Step::More);
    sign(&two, 0).await;
    let after = verdict(&two).await;
    assert_eq!((after.count, after.through, after.last), (0, 4, 6), "{after:?}");
    let chains = sqlx::query_scalar("SELECT COUNT(*) FROM chains").fetch_one(two.pool());
    assert_eq!(chains.await.map(|count: i64| count).unwrap(), 1, "of the first one nothing is left");
}

#[tokio::test]
async fn a_removal_takes_a_batch_at_a_time_and_tells_again_what_an_earlier_one_told() {
    let one = open("batch").await;
    write(&one, 10).await;
    let two = Store::open(one.database().clone()).await.unwrap();
    let most = usize::try_from(BATCH).unwrap();
    write(&two, most).await;
    sign(&two, 2).await;
    // Of the first chain, nothing lies in the second batch, and something behind it.
    write(&one, 1).await;
    assert_eq!(round(&two, &notary(), DAY, Reader::None).await.unwrap(), Step::More);
    assert_eq!(round(&two, &notary(), DAY, Reader::None).await.unwrap(), Step::More);
    assert_eq!(round(&two, &notary(), DAY, Reader::None).await.unwrap(), Step::Done);
    sign(&two, 0).await;
    let after = verdict(&two).await;
    assert_eq!((after.count, after.records), (0, 5), "each has found the other's: {after:?}");
}

#[tokio::test]
async fn nothing_goes_that_a_lease_still_needs() {
    let store = open("lease").await;
    write(&store, 3).await;
    sign(&store, 2).await;
    let lease = "INSERT INTO leases (id, credential, kind, proxy, issuer, agent, subject, token, server, tool, scope, \
                 issued, expires, state, outlives, claimed, failures) \
                 VALUES ('l', '', '', '', '', '', '', '', '', '', '', 1, 1, $1, 1, 0, 0)";
    for state in ["open", "live"] {
        sqlx::query("DELETE FROM leases").execute(store.pool()).await.unwrap();
        sqlx::query(lease).bind(state).execute(store.pool()).await.unwrap();
        assert_eq!(round(&store, &notary(), DAY, Reader::None).await.unwrap(), Step::Done, "{state}");
    }
    sqlx::query("UPDATE leases SET state = 'ended'").execute(store.pool()).await.unwrap();
    assert_eq!(round(&store, &notary(), DAY, Reader::None).await.unwrap(), Step::More);
}

#[tokio::test]
async fn nothing_goes_that_the_collector_or_a_place_outside_has_not_had() {
    let store = open("reader").await;
    write(&store, 3).await;
    sign(&store, 2).await;
    let outside = Outside { file: Some("elsewhere".into()), url: None };
    let notary = Notary::new(signer(), outside);
    assert_eq!(round(&store, &notary, DAY, Reader::Collector).await.unwrap(), Step::Done, "it has had nothing");
    let had = "INSERT INTO audit_exports (name, after, refused, claimed) VALUES ('otlp', 2, 0, 0)";
    sqlx::query(had).execute(store.pool()).await.unwrap();
    assert_eq!(round(&store, &notary, DAY, Reader::Collector).await.unwrap(), Step::More);
    assert_eq!(round(&store, &notary, DAY, Reader::Collector).await.unwrap(), Step::Done);
    let first: i64 = sqlx::query_scalar("SELECT MIN(seq) FROM audit").fetch_one(store.pool()).await.unwrap();
    assert_eq!(first, 3);
    assert_eq!(round(&store, &notary, DAY, Reader::None).await.unwrap(), Step::More);
    let notes = async || sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM checkpoints").fetch_one(store.pool()).await;
    assert_eq!(notes().await.unwrap(), 1, "it is not in the file");
    sqlx::query("UPDATE checkpoints SET filed = 1").execute(store.pool()).await.unwrap();
    write(&store, 1).await;
    sign(&store, 2).await;
    assert_eq!(round(&store, &notary, DAY, Reader::None).await.unwrap(), Step::More);
    assert_eq!(notes().await.unwrap(), 1, "the first has gone");
}

#[tokio::test]
async fn an_end_that_was_forged_into_what_is_removed_is_not_signed_for() {
    let one = open("head").await;
    write(&one, 3).await;
    sign(&one, 2).await;
    let two = Store::open(one.database().clone()).await.unwrap();
    write(&two, 5).await;
    sign(&two, 0).await;
    let end = two.head().await.unwrap();
    let forged = Record { id: "forged".into(), kind: Kind::Cut, heads: vec![end.told()], ..Record::default() };
    let forge = sqlx::query("UPDATE audit SET kind = 'cut', record = $1 WHERE seq = 2");
    forge.bind(serde_json::to_string(&forged).unwrap()).execute(one.pool()).await.unwrap();
    assert_eq!(round(&one, &notary(), DAY, Reader::None).await.unwrap(), Step::More);
    sign(&one, 0).await;
    let clean = verdict(&one).await;
    assert_eq!((clean.count, clean.through), (0, 4), "{clean:?}");
    sqlx::query("DELETE FROM audit WHERE seq BETWEEN 5 AND 9").execute(one.pool()).await.unwrap();
    assert!(verdict(&one).await.count > 0, "the removal has vouched for them");
}

#[tokio::test]
async fn a_time_that_was_not_signed_removes_nothing() {
    let store = open("forged").await;
    write(&store, 3).await;
    sign(&store, 0).await;
    sqlx::query("UPDATE checkpoints SET time = 1").execute(store.pool()).await.unwrap();
    let refused = round(&store, &notary(), DAY, Reader::None).await.unwrap_err();
    assert!(refused.internal.contains("its time is not the one that was signed"), "{}", refused.internal);
    let stranger = Signer::new("broker/audit", &Zeroizing::new(vec![8; 32])).unwrap();
    assert!(round(&store, &Notary::new(stranger, Outside::default()), DAY, Reader::None).await.is_err());
    assert_eq!(verdict(&store).await.records, 4);
}
