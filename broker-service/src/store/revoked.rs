//! What is revoked, in memory: read from the table by sequence number.

use std::sync::PoisonError;

use accredit_policy::revocation::{Revocation, Revocations, Target};
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
    /// When nothing is left that it could hit, in milliseconds.
    pub until: Option<i64>,
    /// Who wants it so.
    pub by: String,
    /// Why, in their words.
    pub why: Option<String>,
}

impl Base {
    /// Asks about what is revoked, as far as it is known here.
    pub fn revoked<T>(&self, ask: impl FnOnce(&Revocations) -> T) -> T {
        ask(&self.revoked.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Follows the number of the last revocation.
    pub fn revocations(&self) -> watch::Receiver<i64> {
        self.seq.subscribe()
    }

    /// Writes a change within a transaction of [`Self::begin`]; it counts for all once that is committed and
    /// [`Self::refresh`] was called.
    pub async fn revoke(&self, connection: &mut AnyConnection, change: &Change) -> Result<i64, sqlx::Error> {
        let last: i64 =
            sqlx::query_scalar("SELECT COALESCE(MAX(seq), 0) FROM revocations").fetch_one(&mut *connection).await?;
        let seq = last.saturating_add(1);
        let target =
            serde_json::to_string(&change.revocation.target).map_err(|error| sqlx::Error::Encode(error.into()))?;
        let query = sqlx::query(
            "INSERT INTO revocations (seq, target, before, lifts, until, created, by_whom, why) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        );
        query
            .bind(seq)
            .bind(target)
            .bind(change.revocation.before.map(|before| i64::try_from(before).unwrap_or(i64::MAX)))
            .bind(i64::from(change.lifts))
            .bind(change.until)
            .bind(clock::signed(clock::now()))
            .bind(&change.by)
            .bind(&change.why)
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
    pub(super) async fn catch_up(&self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        loop {
            let known = *self.seq.borrow();
            let query = sqlx::query("SELECT seq, target, before, lifts FROM revocations WHERE seq > $1 ORDER BY seq");
            let rows = query.bind(known).fetch_all(&mut *connection).await?;
            let changes: Vec<_> = rows.iter().map(read).collect::<Result<_, _>>()?;
            let Some((last, ..)) = changes.last() else {
                return Ok(());
            };
            self.apply(known, *last, &changes);
        }
    }

    /// Takes the changes over, unless another task was faster.
    fn apply(&self, known: i64, last: i64, changes: &[(i64, bool, Revocation)]) {
        let mut revoked = self.revoked.write().unwrap_or_else(PoisonError::into_inner);
        if *self.seq.borrow() != known {
            return;
        }
        for (_, lifts, revocation) in changes {
            match lifts {
                true => revoked.lift(&revocation.target),
                false => revoked.add(revocation.clone()),
            }
        }
        // Still under the lock, so that nobody applies the same once more.
        self.seq.send_replace(last);
    }
}

fn read(row: &AnyRow) -> Result<(i64, bool, Revocation), sqlx::Error> {
    let target: String = row.try_get("target")?;
    let target: Target = serde_json::from_str(&target).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let before: Option<i64> = row.try_get("before")?;
    let before = before.map(|before| u64::try_from(before).unwrap_or_default());
    Ok((row.try_get("seq")?, row.try_get::<i64, _>("lifts")? != 0, Revocation { target, before }))
}
