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

use super::{Base, Database};

/// How many records a partition holds, unless the configuration says.
pub const SPAN: i64 = 1 << 22;

/// How many it may say.
pub const SPANS: RangeInclusive<u64> = 1 << 12..=1 << 32;

/// How often is looked whether one is needed.
const PAUSE: Duration = Duration::from_secs(5);

/// The tables that have them.
const TABLES: [&str; 2] = ["audit", "audit_actors"];

/// Makes them before they are needed, for as long as the process runs.
pub(super) async fn follow(base: Arc<Base>) {
    let Database::Postgres(server) = base.database() else {
        return;
    };
    loop {
        if let Err(error) = ahead(&base, server.span).await {
            tracing::warn!("no partition of the audit was made ahead: {error}");
        }
        sleep(PAUSE).await;
    }
}

async fn ahead(base: &Base, span: i64) -> Result<(), sqlx::Error> {
    let query = sqlx::query_scalar("SELECT COALESCE(MAX(seq), 0) FROM audit");
    let last: i64 = query.fetch_one(base.pool()).await?;
    let wanted = last.saturating_add(span / 2);
    if end(&mut *base.pool().acquire().await?).await? > wanted {
        return Ok(());
    }
    let mut order = base.begin().await?;
    let end = reach(&mut order, span, wanted).await?;
    order.commit().await?;
    tracing::info!(last, end, "a partition of the audit was made");
    Ok(())
}

/// Sees to it that there is a place for the record of number `seq`. Out: the first number for which there is none.
pub(super) async fn reach(connection: &mut AnyConnection, span: i64, seq: i64) -> Result<i64, sqlx::Error> {
    let mut end = end(connection).await?;
    while end <= seq {
        let past = end.saturating_add(span);
        for table in TABLES {
            // Not as a partition from the start, which would wait for all who read: this way only other changes of the table
            // are waited for.
            let made = format!(
                "CREATE TABLE {table}_{end} (LIKE {table} INCLUDING DEFAULTS); \
                 ALTER TABLE {table} ATTACH PARTITION {table}_{end} FOR VALUES FROM ({end}) TO ({past})"
            );
            connection.execute(AssertSqlSafe(made)).await?;
        }
        let unique = format!(
            "CREATE UNIQUE INDEX audit_{end}_id ON audit_{end} (id); \
             CREATE UNIQUE INDEX audit_{end}_chain ON audit_{end} (chain, position)"
        );
        connection.execute(AssertSqlSafe(unique)).await?;
        end = past;
    }
    Ok(end)
}

/// The first number for which there is no partition.
async fn end(connection: &mut AnyConnection) -> Result<i64, sqlx::Error> {
    let ends = parts(connection, "audit").await?.into_iter().map(|part| part.past);
    ends.max().ok_or_else(|| sqlx::Error::Protocol("the audit has no partition".into()))
}

/// The last number of the partition that has a place for this one.
pub(super) async fn last(connection: &mut AnyConnection, seq: i64) -> Result<Option<i64>, sqlx::Error> {
    let pasts = parts(connection, "audit").await?.into_iter().map(|part| part.past);
    Ok(pasts.filter(|past| *past > seq).min().map(|past| past.saturating_sub(1)))
}

/// Removes the partitions that hold nothing after `last`. Who reads is waited for, but not for long: all others wait, too.
pub(super) async fn remove(connection: &mut AnyConnection, last: i64) -> Result<(), sqlx::Error> {
    connection.execute("SET LOCAL lock_timeout = '1s'").await?;
    for table in TABLES {
        for part in parts(connection, table).await?.into_iter().filter(|part| part.past.saturating_sub(1) <= last) {
            connection.execute(AssertSqlSafe(format!("DROP TABLE {}", part.name))).await?;
        }
    }
    connection.execute("SET LOCAL lock_timeout = '5s'").await.map(|_| ())
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
