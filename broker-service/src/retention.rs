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
use crate::audit::exporter;
use crate::chain::Head;
use crate::checkpoint::Checkpoint;
use crate::checkpoint::sign::{Notary, Outside};
use crate::clock;
use crate::error::ApiError;
use crate::note::Key;
use crate::store::{self, Base, Order, insert};

/// How often it is looked for what is too old.
const PAUSE: Duration = Duration::from_secs(3600);

/// How many records one transaction removes: others wait no longer than for those.
const BATCH: u64 = 4096;

/// Who has to have had a record before it goes.
#[derive(Clone, Copy, Debug)]
pub enum Reader {
    /// The collector.
    Collector,
    /// Nobody.
    None,
}

/// Removes what is older than `keep`, for as long as the process runs.
pub fn follow(app: &App, keep: Duration, reader: Reader) -> JoinHandle<()> {
    let app = app.clone();
    tokio::spawn(async move {
        loop {
            match round(&app.store, &app.notary, keep, reader).await {
                Ok(Step::More) => continue,
                Ok(Step::Done) => {}
                Err(error) => tracing::error!("old audit records were not removed: {}", error.internal),
            }
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

async fn round(base: &Base, notary: &Notary, keep: Duration, reader: Reader) -> Result<Step, ApiError> {
    let mut order = base.begin().await?;
    let limit = limit(&mut order, keep).await?;
    let Some((first, last)) = range(&mut order, notary.key(), limit).await? else {
        return Ok(Step::Done);
    };
    let last = last.min(had(&mut order, reader).await?);
    if last < first {
        tracing::warn!(first, "old audit records are kept: the collector has not had them");
        return Ok(Step::Done);
    }
    let record = Record {
        id: clock::id()?,
        time: clock::now().rfc3339(),
        kind: Kind::Cut,
        heads: heads(&mut order, first, last).await?.iter().map(Head::told).collect(),
        ..Record::default()
    };
    remove(&mut order, notary.outside(), last).await?;
    insert(&mut order, &[&record]).await?;
    order.commit().await?;
    // Until it is signed, it could be anybody's.
    notary.ask();
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

/// Up to which number the reader has had the records.
async fn had(connection: &mut AnyConnection, reader: Reader) -> Result<i64, sqlx::Error> {
    match reader {
        Reader::Collector => exporter::after(connection).await,
        Reader::None => Ok(i64::MAX),
    }
}

/// The first and the last number to remove now. What a checkpoint covers was there at its time: that was signed, while a
/// column can be changed, and a record has its time from its sender.
async fn range(connection: &mut AnyConnection, key: &Key, limit: Time) -> Result<Option<(i64, i64)>, ApiError> {
    let query = "SELECT note, (SELECT MIN(seq) FROM audit) AS first FROM checkpoints WHERE time < $1 \
                 ORDER BY seq DESC LIMIT 1";
    let query = sqlx::query(query).bind(clock::signed(limit));
    let Some(row) = query.fetch_optional(connection).await? else {
        return Ok(None);
    };
    let (note, first): (String, Option<i64>) = (row.try_get("note")?, row.try_get("first")?);
    let broken = |why| ApiError::unavailable(format!("a checkpoint: {why}"));
    let Checkpoint { head, time } = Checkpoint::open(&note, key).map_err(|error| broken(error.to_string()))?;
    if time >= limit {
        return Err(broken("its time is not the one that was signed".into()));
    }
    let range = first.and_then(|first| {
        let most = u64::try_from(first).ok()?.saturating_add(BATCH).saturating_sub(1);
        Some((first, i64::try_from(head.seq.min(most)).ok()?))
    });
    Ok(range.filter(|(first, last)| first <= last))
}

/// Where each chain ends among what is removed. One of which an earlier removal has taken all but what is left, is told again:
/// that record goes one day, too.
async fn heads(order: &mut Order<'_>, first: i64, last: i64) -> Result<Vec<Head>, ApiError> {
    let mut heads: BTreeMap<String, Head> = BTreeMap::new();
    // What was removed lies below all that is there. Another end is a forgery, and would be signed for with the rest.
    let gone = |head: &Head| i64::try_from(head.seq).is_ok_and(|seq| seq < first);
    for head in earlier(order).await?.into_iter().filter(gone) {
        // One row is enough: all others wait for this transaction.
        let query = sqlx::query("SELECT 1 FROM audit WHERE chain = $1 AND position > $2 LIMIT 1");
        let query = query.bind(head.chain.clone()).bind(i64::try_from(head.length).unwrap_or(i64::MAX));
        if query.fetch_optional(&mut **order).await?.is_some() {
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

async fn remove(connection: &mut AnyConnection, outside: &Outside, last: i64) -> Result<(), sqlx::Error> {
    for query in ["DELETE FROM audit WHERE seq <= $1", "DELETE FROM audit_actors WHERE seq <= $1"] {
        sqlx::query(query).bind(last).execute(&mut *connection).await?;
    }
    // A place outside that is away gets all of them when it is back.
    let brought = sqlx::query("DELETE FROM checkpoints WHERE seq <= $1 AND filed >= $2 AND posted >= $3").bind(last);
    let [file, url] = [outside.file.is_some(), outside.url.is_some()].map(i64::from);
    brought.bind(file).bind(url).execute(&mut *connection).await?;
    // None of these goes on: its writer has rested for too long.
    let gone = "DELETE FROM chains WHERE NOT EXISTS (SELECT 1 FROM audit WHERE audit.chain = chains.id)";
    sqlx::query(gone).execute(connection).await.map(|_| ())
}

#[cfg(test)]
mod tests;
