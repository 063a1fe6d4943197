//! Old records are removed: whole prefixes of the log, each in one transaction with a record that says what was there, so
//! that what is left can still be verified, and a removal that nobody has decided is missed.

use std::collections::BTreeMap;
use std::time::Duration;

use accredit_policy::Time;
use accredit_policy::wire::audit::{Kind, Record};
use sqlx::{AnyConnection, Row as _};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::app::App;
use crate::chain::Head;
use crate::clock;
use crate::error::ApiError;
use crate::store::{self, Order, insert};

/// How often it is looked for what is too old.
const PAUSE: Duration = Duration::from_secs(3600);

/// How many records one transaction removes: others wait no longer than for those.
const BATCH: i64 = 4096;

/// Removes what is older than `keep`, for as long as the process runs.
pub fn follow(app: &App, keep: Duration) -> JoinHandle<()> {
    let app = app.clone();
    tokio::spawn(async move {
        loop {
            while round(&app, keep).await.unwrap_or_else(|error| {
                tracing::error!("old audit records were not removed: {}", error.internal);
                Step::Done
            }) == Step::More
            {}
            sleep(PAUSE).await;
        }
    })
}

/// Whether there is more to remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    More,
    Done,
}

async fn round(app: &App, keep: Duration) -> Result<Step, ApiError> {
    let mut order = app.store.begin().await?;
    let limit = limit(&mut order, keep).await?;
    let Some((first, last)) = range(&mut order, limit).await? else {
        return Ok(Step::Done);
    };
    let heads = heads(&mut order, last).await?;
    let record = Record {
        id: clock::id()?,
        time: clock::now().rfc3339(),
        kind: Kind::Cut,
        heads: heads.iter().map(Head::told).collect(),
        policy: Some(app.policy.digest().to_owned()),
        ..Record::default()
    };
    remove(&mut order, last).await?;
    insert(&mut order, &[&record]).await?;
    order.commit().await?;
    // Until it is signed, it could be anybody's.
    app.notary.ask();
    tracing::info!(first, last, "old audit records were removed");
    Ok(Step::More)
}

/// All before this moment is too old, and none of it is in use: no lease is open or lives whose intent could be there.
async fn limit(connection: &mut AnyConnection, keep: Duration) -> Result<Time, sqlx::Error> {
    let query = sqlx::query_scalar("SELECT MIN(issued) FROM leases WHERE state <> 'ended'");
    let used: Option<i64> = query.fetch_one(connection).await?;
    let age = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
    let old = Time::from_millis(clock::now().millis().saturating_sub(age));
    Ok(used.map_or(old, |used| old.min(clock::unsigned(used))))
}

/// The first and the last number to remove now. What a checkpoint covers was there at its time; what a record says of its
/// own time is its sender's word.
async fn range(connection: &mut AnyConnection, limit: Time) -> Result<Option<(i64, i64)>, sqlx::Error> {
    let query = "SELECT (SELECT MIN(seq) FROM audit) AS first, \
                 (SELECT MAX(seq) FROM checkpoints WHERE time < $1) AS signed";
    let row = sqlx::query(query).bind(clock::signed(limit)).fetch_one(connection).await?;
    let (first, signed): (Option<i64>, Option<i64>) = (row.try_get("first")?, row.try_get("signed")?);
    let range = first.zip(signed).filter(|(first, signed)| first <= signed);
    Ok(range.map(|(first, signed)| (first, signed.min(first.saturating_add(BATCH).saturating_sub(1)))))
}

/// Where each chain ends among what is removed. One of which an earlier removal has taken all but what is left, is told again:
/// that record goes one day, too.
async fn heads(order: &mut Order<'_>, last: i64) -> Result<Vec<Head>, ApiError> {
    let mut heads: BTreeMap<String, Head> = BTreeMap::new();
    for head in earlier(order).await? {
        let more = "SELECT COUNT(*) FROM audit WHERE chain = $1 AND seq > $2";
        let query = sqlx::query_scalar(more).bind(head.chain.clone()).bind(last);
        let left: i64 = query.fetch_one(&mut **order).await?;
        if left > 0 {
            heads.insert(head.chain.clone(), head);
        }
    }
    let query = "SELECT chain, position, seq, hash FROM audit WHERE seq IN \
                 (SELECT MAX(seq) FROM audit WHERE seq <= $1 GROUP BY chain)";
    for row in &sqlx::query(query).bind(last).fetch_all(&mut **order).await? {
        let head = store::read(row)?;
        heads.insert(head.chain.clone(), head);
    }
    Ok(heads.into_values().collect())
}

/// What the last removal has told.
async fn earlier(connection: &mut AnyConnection) -> Result<Vec<Head>, ApiError> {
    let query = sqlx::query_scalar("SELECT record FROM audit WHERE kind = 'cut' ORDER BY seq DESC LIMIT 1");
    let Some(text): Option<String> = query.fetch_optional(connection).await? else {
        return Ok(Vec::new());
    };
    let record: Record = serde_json::from_str(&text).map_err(ApiError::unavailable)?;
    Ok(record.heads.iter().filter_map(Head::read).collect())
}

async fn remove(connection: &mut AnyConnection, last: i64) -> Result<(), sqlx::Error> {
    for query in ["DELETE FROM audit WHERE seq <= $1", "DELETE FROM checkpoints WHERE seq <= $1"] {
        sqlx::query(query).bind(last).execute(&mut *connection).await?;
    }
    // None of these goes on: its writer has rested for too long.
    let gone = "DELETE FROM chains WHERE NOT EXISTS (SELECT 1 FROM audit WHERE audit.chain = chains.id)";
    sqlx::query(gone).execute(connection).await.map(|_| ())
}
