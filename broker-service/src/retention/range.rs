//! Which records go now.

use std::time::Duration;

use accredit_policy::Time;
use sqlx::{AnyConnection, Row as _};

use super::Reader;
use crate::audit::exporter;
use crate::checkpoint::Checkpoint;
use crate::clock;
use crate::error::ApiError;
use crate::note::Key;
use crate::store::Order;

/// How many records one transaction removes row by row: others wait no longer than for those.
pub const BATCH: i64 = 4096;

/// How much longer than they have to be are records kept for the rest of their partition to become old: rows that are removed
/// one by one leave work behind, a partition does not.
const GRACE: Duration = Duration::from_secs(24 * 3600);

/// Records that are too old, from the first one there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub first: i64,
    pub last: i64,
    pub form: Form,
}

/// As what they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Rows,
    Partition,
}

/// What goes now of all that is older than `keep`, and that `reader` has had.
pub async fn range(
    order: &mut Order<'_>,
    key: &Key,
    keep: Duration,
    reader: Reader,
) -> Result<Option<Range>, ApiError> {
    let limit = limit(order, keep).await?;
    let (Some(first), Some(last)) = (first(order).await?, signed(order, key, limit).await?) else {
        return Ok(None);
    };
    let had = had(order, reader).await?;
    if first <= last && had < first {
        tracing::warn!(first, "old audit records are kept: the collector has not had them");
    }
    let rows = match order.partition(first).await? {
        Some(end) if end <= last.min(had) => return Ok(Some(Range { first, last: end, form: Form::Partition })),
        Some(_) => signed(order, key, before(limit, GRACE)).await?,
        None => Some(last),
    };
    let most = first.saturating_add(BATCH).saturating_sub(1);
    let last = rows.map(|last| last.min(had).min(most)).filter(|last| first <= *last);
    Ok(last.map(|last| Range { first, last, form: Form::Rows }))
}

/// All before this moment is too old, and none of it is in use: no lease is open or lives whose intent could be there.
async fn limit(connection: &mut AnyConnection, keep: Duration) -> Result<Time, sqlx::Error> {
    let query = sqlx::query_scalar("SELECT MIN(issued) FROM leases WHERE state <> 'ended'");
    let used: Option<i64> = query.fetch_one(connection).await?;
    let old = before(clock::now(), keep);
    Ok(used.map_or(old, |used| old.min(clock::unsigned(used))))
}

fn before(time: Time, span: Duration) -> Time {
    let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    Time::from_millis(time.millis().saturating_sub(span))
}

/// Up to which number the reader has had the records.
async fn had(connection: &mut AnyConnection, reader: Reader) -> Result<i64, sqlx::Error> {
    match reader {
        Reader::Collector => exporter::after(connection).await,
        Reader::None => Ok(i64::MAX),
    }
}

/// The number of the first record there is.
async fn first(connection: &mut AnyConnection) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar("SELECT MIN(seq) FROM audit").fetch_one(connection).await
}

/// The number of the last record before this moment. What a checkpoint covers was there at its time: that was signed, while a
/// column can be changed, and a record has its time from its sender.
async fn signed(connection: &mut AnyConnection, key: &Key, limit: Time) -> Result<Option<i64>, ApiError> {
    let query = sqlx::query("SELECT note FROM checkpoints WHERE time < $1 ORDER BY seq DESC LIMIT 1");
    let Some(row) = query.bind(clock::signed(limit)).fetch_optional(connection).await? else {
        return Ok(None);
    };
    let note: String = row.try_get("note")?;
    let broken = |why| ApiError::unavailable(format!("a checkpoint: {why}"));
    let Checkpoint { head, time } = Checkpoint::open(&note, key).map_err(|error| broken(error.to_string()))?;
    if time >= limit {
        return Err(broken("its time is not the one that was signed".into()));
    }
    Ok(i64::try_from(head.seq).ok())
}
