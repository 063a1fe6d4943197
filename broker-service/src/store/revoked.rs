//! What is revoked, in memory: read from the table by sequence number, and handed on to proxies by it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::PoisonError;

use accredit_policy::Time;
use accredit_policy::revocation::{Revocation, Revocations, Target};
use accredit_policy::wire::feed::{self, CHANGES, Cursor, Page};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use tokio::sync::watch;

use super::{Base, Database};
use crate::clock;

/// How many bytes of changes one page carries, well below what a proxy reads.
const BYTES: usize = feed::SIZE / 2;

/// The mark of the beginning, where nothing has happened yet.
const BEGINNING: &str = "0";

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

/// What is revoked, and how it came to that.
#[derive(Debug, Default)]
pub(super) struct Revoked {
    now: Revocations,
    changes: BTreeMap<u64, Told>,
}

/// A change as proxies are told of it.
#[derive(Debug)]
struct Told {
    change: feed::Change,
    mark: String,
    size: usize,
}

impl Revoked {
    fn apply(&mut self, change: feed::Change, mark: String) {
        match change.lifts {
            true => self.now.lift(&change.target),
            false => self.now.add(change.revocation()),
        }
        let size = serde_json::to_string(&change).map_or(BYTES, |text| text.len());
        self.changes.insert(change.seq, Told { change, mark, size });
    }

    /// What comes after `cursor`; `None` when it is the last there is.
    fn page(&self, cursor: &Cursor) -> Option<Page> {
        let follows = self.mark(cursor.seq).is_some_and(|mark| mark == cursor.mark);
        let after = if follows { cursor.seq } else { 0 };
        let mut rest = self.changes.range((Bound::Excluded(after), Bound::Unbounded)).map(|(_, told)| told).peekable();
        if follows && rest.peek().is_none() {
            return None;
        }
        let mut size = 0_usize;
        let (mut changes, mut seq) = (Vec::new(), after);
        while let Some(told) = rest.next_if(|told| {
            size = size.saturating_add(told.size);
            changes.len() < CHANGES && (size <= BYTES || changes.is_empty())
        }) {
            changes.push(told.change.clone());
            seq = told.change.seq;
        }
        let mark = self.mark(seq).unwrap_or_default().to_owned();
        Some(Page { after, seq, mark, reset: !follows, more: rest.peek().is_some(), changes })
    }

    fn mark(&self, seq: u64) -> Option<&str> {
        match seq {
            0 => Some(BEGINNING),
            seq => self.changes.get(&seq).map(|told| told.mark.as_str()),
        }
    }

    /// Forgets what can hit nothing any more; never the last change, after which all go on.
    fn forget(&mut self, now: Time) {
        self.now.forget(now);
        let last = self.changes.last_key_value().map(|(seq, _)| *seq);
        let over = |told: &Told| told.change.until.is_some_and(|until| Time::from_seconds(until) <= now);
        self.changes.retain(|seq, told| Some(*seq) == last || !over(told));
    }
}

impl Base {
    /// Asks about what is revoked, as far as it is known here.
    pub fn revoked<T>(&self, ask: impl FnOnce(&Revocations) -> T) -> T {
        ask(&self.revoked.read().unwrap_or_else(PoisonError::into_inner).now)
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
    pub(super) async fn catch_up(&self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn told(count: u64) -> Revoked {
        let mut revoked = Revoked::default();
        (1..=count).for_each(|seq| revoked.apply(change(seq, None), format!("m{seq}")));
        revoked
    }

    fn change(seq: u64, until: Option<u64>) -> feed::Change {
        let target = Target::Token { issuer: "https://broker.test".into(), id: format!("t-{seq}") };
        feed::Change { seq, target, before: None, until, lifts: false }
    }

    fn cursor(seq: u64, mark: &str) -> Cursor {
        Cursor { seq, mark: mark.into() }
    }

    #[test]
    fn who_was_told_nothing_is_told_everything() {
        let page = told(0).page(&Cursor::default()).unwrap();
        assert_eq!((page.reset, page.seq, page.mark.as_str(), page.changes.len()), (true, 0, "0", 0));
        assert!(told(0).page(&cursor(0, "0")).is_none());
        let page = told(3).page(&cursor(0, "0")).unwrap();
        assert_eq!((page.reset, page.after, page.seq, page.changes.len()), (false, 0, 3, 3));
    }

    #[test]
    fn changes_follow_the_one_that_is_known_and_no_other() {
        let revoked = told(3);
        assert!(revoked.page(&cursor(3, "m3")).is_none());
        let page = revoked.page(&cursor(1, "m1")).unwrap();
        assert_eq!((page.reset, page.after, page.seq, page.mark.as_str()), (false, 1, 3, "m3"));
        for unknown in [cursor(3, "m2"), cursor(4, "m4"), cursor(1, ""), cursor(0, "m0")] {
            let page = revoked.page(&unknown).unwrap();
            assert_eq!((page.reset, page.after, page.changes.len()), (true, 0, 3), "{unknown:?}");
        }
    }

    #[test]
    fn what_does_not_fit_one_page_comes_with_the_next() {
        let revoked = told(CHANGES as u64 + 1);
        let page = revoked.page(&Cursor::default()).unwrap();
        assert_eq!((page.changes.len(), page.more, page.seq), (CHANGES, true, CHANGES as u64));
        let page = revoked.page(&cursor(page.seq, &page.mark)).unwrap();
        assert_eq!((page.changes.len(), page.more, page.reset), (1, false, false));
        let mut large = told(0);
        for seq in 1..=3 {
            let target = Target::Server { server: "x".repeat(BYTES - 100) };
            large.apply(feed::Change { target, ..change(seq, None) }, format!("m{seq}"));
        }
        assert_eq!(large.page(&Cursor::default()).unwrap().changes.len(), 1);
    }

    #[test]
    fn what_can_hit_nothing_is_forgotten_but_for_the_last_change() {
        let mut revoked = told(1);
        (2..=4).for_each(|seq| revoked.apply(change(seq, Some(seq)), format!("m{seq}")));
        revoked.forget(Time::from_seconds(2));
        assert_eq!(revoked.changes.keys().copied().collect::<Vec<_>>(), [1, 3, 4]);
        revoked.forget(Time::from_seconds(9));
        assert_eq!(revoked.changes.keys().copied().collect::<Vec<_>>(), [1, 4]);
        assert_eq!(revoked.now.len(), 1);
        assert!(revoked.page(&cursor(2, "m2")).unwrap().reset, "that change is not known any more");
    }
}
