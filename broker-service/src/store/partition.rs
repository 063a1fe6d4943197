//! The partitions of the audit on PostgreSQL, each of so many records by their numbers: what is old goes as a whole.
//!
//! ```text
//!        removed          old, then current            ahead
//! ┌ ─ ─ ─ ─ ─ ─ ─ ┬ ─ ┬───────────────────┬─────────────────────────┐
//!                     first               last                      end
//! ```
//!
//! One is made before it is needed, by whoever sees first that less than half of one is left; where that was not in time, by
//! the writer itself. `audit_actors` has the same ones.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{AnyConnection, AssertSqlSafe, Executor as _, Row as _};
use tokio::time::sleep;

use super::{Base, Database, order};

/// How many records a partition holds, unless the configuration says.
pub const SPAN: i64 = 1 << 22;

/// How many it may say.
pub const SPANS: RangeInclusive<u64> = 1 << 16..=1 << 32;

/// How often is looked whether one is needed.
const PAUSE: Duration = Duration::from_secs(5);

/// How many there may be before the operator is told: each statement locks all of them with their indexes, and a server has
/// room for so many locks only.
const MANY: usize = 50;

/// How few records need no statistics.
const FEW: i64 = 10_000;

/// The tables that have them.
const TABLES: [&str; 2] = ["audit", "audit_actors"];

/// Makes them before they are needed, and keeps the planner up to date, for as long as the process runs.
pub(super) async fn follow(base: Arc<Base>) {
    let Database::Postgres(server) = base.database() else {
        return;
    };
    let mut analyzed = 0;
    loop {
        if let Err(error) = ahead(&base, server.span).await {
            tracing::warn!("no partition of the audit was made ahead: {error}");
        }
        if let Err(error) = analyze(&base, &mut analyzed).await {
            tracing::warn!("the audit was not analyzed: {error}");
        }
        sleep(PAUSE).await;
    }
}

async fn ahead(base: &Base, span: i64) -> Result<(), sqlx::Error> {
    let wanted = newest(base).await?.saturating_add(span / 2);
    if end(&mut *base.pool().acquire().await?).await? > wanted {
        return Ok(());
    }
    let mut order = base.begin().await?;
    if end(&mut order).await? > wanted {
        return Ok(());
    }
    // Half of one is left: whoever has the table is not worth that all others wait.
    order.execute("SET LOCAL lock_timeout = '200ms'").await?;
    let end = reach(&mut order, span, wanted).await?;
    order.commit().await?;
    let count = parts(&mut *base.pool().acquire().await?, "audit").await?.len();
    tracing::info!(end, count, "a partition of the audit was made");
    if count > MANY {
        tracing::warn!(count, "the audit has many partitions (hint: `store.postgres.partition`, `audit.keep`)");
    }
    Ok(())
}

/// Counts what is there, as often as it has grown by a fifth. The server does so by itself for each partition, but not for
/// all of them together, without which it takes searches for cheap that are not.
async fn analyze(base: &Base, analyzed: &mut i64) -> Result<(), sqlx::Error> {
    let newest = newest(base).await?;
    if newest < analyzed.saturating_add(*analyzed / 5).saturating_add(FEW) {
        return Ok(());
    }
    let mut connection = base.pool().acquire().await?;
    connection.execute("SET statement_timeout = '10min'").await?;
    let done = connection.execute("ANALYZE audit, audit_actors").await;
    // It has another bound than the others now.
    connection.close().await?;
    *analyzed = newest;
    done.map(|_| ())
}

/// The number of the last record.
async fn newest(base: &Base) -> Result<i64, sqlx::Error> {
    let last = order::last(&mut *base.pool().acquire().await?).await?;
    i64::try_from(last).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Sees to it that there is a place for the record of number `seq`. Out: the first number for which there is none.
pub(super) async fn reach(connection: &mut AnyConnection, span: i64, seq: i64) -> Result<i64, sqlx::Error> {
    for table in TABLES {
        let mut end = end_of(connection, table).await?;
        while end <= seq {
            make(connection, table, end, end.saturating_add(span)).await?;
            end = end.saturating_add(span);
        }
    }
    end(connection).await
}

/// Makes one. Not as a partition from the start, which would wait for all who read: this way only other changes of the table
/// are waited for.
async fn make(connection: &mut AnyConnection, table: &str, from: i64, to: i64) -> Result<(), sqlx::Error> {
    let unique = match table {
        "audit" => format!(
            "CREATE UNIQUE INDEX audit_{from}_id ON audit_{from} (id); \
             CREATE UNIQUE INDEX audit_{from}_chain ON audit_{from} (chain, position);"
        ),
        _ => String::new(),
    };
    let made = format!(
        "CREATE TABLE {table}_{from} (LIKE {table} INCLUDING DEFAULTS); {unique} \
         ALTER TABLE {table} ATTACH PARTITION {table}_{from} FOR VALUES FROM ({from}) TO ({to})"
    );
    connection.execute(AssertSqlSafe(made)).await.map(|_| ())
}

/// The first number for which there is no partition.
async fn end(connection: &mut AnyConnection) -> Result<i64, sqlx::Error> {
    let mut least = i64::MAX;
    for table in TABLES {
        least = least.min(end_of(connection, table).await?);
    }
    Ok(least)
}

async fn end_of(connection: &mut AnyConnection, table: &'static str) -> Result<i64, sqlx::Error> {
    let ends = parts(connection, table).await?.into_iter().map(|part| part.past);
    ends.max().ok_or_else(|| sqlx::Error::Protocol(format!("`{table}` has no partition")))
}

/// The last number of the partition that has a place for this one.
pub(super) async fn last(connection: &mut AnyConnection, seq: i64) -> Result<Option<i64>, sqlx::Error> {
    let pasts = parts(connection, "audit").await?.into_iter().map(|part| part.past);
    Ok(pasts.filter(|past| *past > seq).min().map(|past| past.saturating_sub(1)))
}

/// Removes the partitions that hold nothing after `last`. Who reads is waited for, but not for long: all others wait, too. It
/// is less than after what the server looks for a deadlock, so that this gives way and not who reads.
pub(super) async fn remove(connection: &mut AnyConnection, last: i64) -> Result<(), sqlx::Error> {
    connection.execute("SET LOCAL lock_timeout = '500ms'").await?;
    connection.execute("LOCK TABLE audit, audit_actors IN ACCESS EXCLUSIVE MODE").await?;
    for table in TABLES {
        for part in parts(connection, table).await?.into_iter().filter(|part| part.past.saturating_sub(1) <= last) {
            connection.execute(AssertSqlSafe(format!("DROP TABLE {}", part.name))).await?;
        }
    }
    Ok(())
}

/// A partition.
struct Part {
    /// As statements name it.
    name: String,
    /// The first number it does not hold.
    past: i64,
}

async fn parts(connection: &mut AnyConnection, table: &'static str) -> Result<Vec<Part>, sqlx::Error> {
    let query = "SELECT oid::regclass::text AS name, \
                 COALESCE(substring(pg_get_expr(relpartbound, oid) FROM 'TO \\(''(\\d+)''\\)')::bigint, $2) AS past \
                 FROM pg_class WHERE oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = $1::regclass)";
    let rows = sqlx::query(query).bind(table).bind(i64::MAX).fetch_all(connection).await?;
    rows.iter().map(|row| Ok(Part { name: row.try_get("name")?, past: row.try_get("past")? })).collect()
}

#[cfg(test)]
mod tests;
