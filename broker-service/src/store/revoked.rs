//! What is revoked, in memory: read from the table by sequence number.

use std::sync::PoisonError;

use accredit_policy::Time;
use accredit_policy::revocation::{Revocation, Revocations, Target};
use accredit_policy::wire::feed::{self, Cursor, Page};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use tokio::sync::watch;

use super::{Base, Database};
use crate::clock;

/// A change of what is revoked.
#[derive(Clone, Debug)]
pub struct Change {
    /// What is revoked, or lifted.
    pub revocation: Revocation,
    /// Whether it is lifted.
    pub lifts: bool,
    /// Who wants it so.
    pub by: String,
    /// Why, in their words.
    pub why: Option<String>,
}

impl Base {
    /// Asks about what is revoked, as far as it is known here.
    pub fn revoked<T>(&self, ask: impl FnOnce(&Revocations) -> T) -> T {
        ask(self.revoked.read().unwrap_or_else(PoisonError::into_inner).standing())
    }

    /// Follows the number of the last revocation.
    pub fn revocations(&self) -> watch::Receiver<i64> {
        self.seq.subscribe()
    }

    /// What happened after `cursor`, as far as it is known here; `None` for nothing.
    pub fn page(&self, cursor: &Cursor) -> Option<Page> {
        self.revoked.read().unwrap_or_else(PoisonError::into_inner).page(cursor)
    }

    /// Writes a change within a transaction of [`Self::begin`]; it counts for all once that is committed and
    /// [`Self::refresh`] was called.
    pub async fn revoke(&self, connection: &mut AnyConnection, change: &Change) -> Result<i64, sqlx::Error> {
        let last: i64 =
            sqlx::query_scalar("SELECT COALESCE(MAX(seq), 0) FROM revocations").fetch_one(&mut *connection).await?;
        let seq = last.saturating_add(1);
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| sqlx::Error::Encode(error);
        let Revocation { target, before, until } = &change.revocation;
        let target = serde_json::to_string(target).map_err(|error| failed(error.into()))?;
        let query = sqlx::query(
            "INSERT INTO revocations (seq, target, before, lifts, until, created, by_whom, why, mark) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        );
        query
            .bind(seq)
            .bind(target)
            .bind(before.map(|before| i64::try_from(before).unwrap_or(i64::MAX)))
            .bind(i64::from(change.lifts))
            .bind(until.map(|until| clock::signed(Time::from_seconds(until))))
            .bind(clock::signed(clock::now()))
            .bind(&change.by)
            .bind(&change.why)
            .bind(clock::id().map_err(|error| failed(error.into()))?)
            .execute(&mut *connection)
            .await?;
        if let Database::Postgres(_) = self.database() {
            // Sent when the transaction is committed.
            sqlx::query("SELECT pg_notify('accredit', 'revocations')").execute(connection).await?;
        }
        Ok(seq)
    }

    /// Reads what was revoked since the last time.
    pub async fn refresh(&self) -> Result<(), sqlx::Error> {
        let mut connection = self.pool().acquire().await?;
        self.catch_up(&mut connection).await
    }

    /// The same on a connection, which can be within a transaction.
    pub async fn catch_up(&self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        loop {
            let known = *self.seq.borrow();
            let query = "SELECT seq, target, before, lifts, until, mark FROM revocations WHERE seq > $1 ORDER BY seq";
            let rows = sqlx::query(query).bind(known).fetch_all(&mut *connection).await?;
            let changes: Vec<_> = rows.iter().map(read).collect::<Result<_, _>>()?;
            if changes.is_empty() {
                return Ok(());
            }
            self.apply(known, changes);
        }
    }

    /// Forgets, on the disk too, what can hit nothing any more.
    pub async fn forget_revoked(&self, now: Time) -> Result<(), sqlx::Error> {
        let query = "DELETE FROM revocations WHERE until < $1 AND seq < (SELECT MAX(seq) FROM revocations)";
        sqlx::query(query).bind(clock::signed(now)).execute(self.pool()).await?;
        self.revoked.write().unwrap_or_else(PoisonError::into_inner).forget(now);
        Ok(())
    }

    /// Takes the changes over, unless another task was faster.
    fn apply(&self, known: i64, changes: Vec<(feed::Change, String)>) {
        let mut revoked = self.revoked.write().unwrap_or_else(PoisonError::into_inner);
        if *self.seq.borrow() != known {
            return;
        }
        let last = changes.last().map_or(known, |(change, _)| i64::try_from(change.seq).unwrap_or(i64::MAX));
        changes.into_iter().for_each(|(change, mark)| revoked.apply(change, mark));
        // Still under the lock, so that nobody applies the same once more.
        self.seq.send_replace(last);
    }
}

fn read(row: &AnyRow) -> Result<(feed::Change, String), sqlx::Error> {
    let target: String = row.try_get("target")?;
    let target: Target = serde_json::from_str(&target).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let number =
        |name: &str| row.try_get::<Option<i64>, _>(name).map(|value| value.and_then(|value| value.try_into().ok()));
    let change = feed::Change {
        seq: number("seq")?.unwrap_or_default(),
        target,
        before: number("before")?,
        // Up, so that nothing is forgotten before its time.
        until: number("until")?.map(|millis: u64| millis.div_ceil(1000)),
        lifts: row.try_get::<i64, _>("lifts")? != 0,
    };
    Ok((change, row.try_get("mark")?))
}
