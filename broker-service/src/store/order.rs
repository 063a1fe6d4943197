//! A transaction beside which nothing else is written that has an order, and this writer's chain.
//!
//! ```text
//!        first record          commit begins        committed
//! New ──────────────────▶ At ─────────────────▶ New ─────────▶ At
//!  ▲   names all heads                           │
//!  └──────────── failed, cut short: nobody knows ┘
//! ```
//!
//! The head is kept in memory and moves when a commit has returned, so that what is on the disk is never trusted more than
//! what was written. After a commit of which nobody knows whether it happened, the writer begins a new chain.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use accredit_policy::Time;
use accredit_policy::wire::audit::{Admin, Kind, Record};
use sqlx::{Any, AnyConnection, Row as _, Transaction};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{Base, audit, partition};
use crate::chain::{Hash, Head};
use crate::clock;

/// A chain that has rested for so long does not go on. Old records are kept for a day at least, so that no chain goes on of
/// which nothing is left.
const REST: Duration = Duration::from_secs(12 * 3600);

/// Where this process writes on.
#[derive(Debug, Default)]
pub(super) enum Writer {
    /// With a new chain.
    #[default]
    New,
    /// After this record, which was written at that time and is on the disk. There is a place for all before `end`.
    At { head: Head, time: Time, end: i64 },
    /// Nowhere any more.
    Closed,
}

/// How many processes write records.
#[derive(Clone, Copy, Debug)]
pub(super) enum Writers {
    One,
    /// Into partitions of so many records.
    Several {
        span: i64,
    },
}

/// Where this process writes on after a commit.
struct Next {
    head: Head,
    end: i64,
}

/// A transaction that is alone. It is undone when dropped.
pub struct Order<'c> {
    transaction: Transaction<'c, Any>,
    writers: Writers,
    writer: OwnedMutexGuard<Writer>,
    last: Option<u64>,
    next: Option<Next>,
}

impl<'c> Order<'c> {
    /// After the lock of the database was taken: who waits for `writer` holds it as well.
    pub(super) async fn new(transaction: Transaction<'c, Any>, writers: Writers, writer: &Arc<Mutex<Writer>>) -> Self {
        Self { transaction, writers, writer: Arc::clone(writer).lock_owned().await, last: None, next: None }
    }

    /// Tells the number of the last record, for those who have read it already.
    pub(super) fn after(&mut self, last: u64) {
        self.last = Some(last);
    }

    /// Appends `records` in their order.
    pub(super) async fn append(&mut self, records: &[&Record]) -> Result<(), sqlx::Error> {
        match records.is_empty() {
            true => Ok(()),
            false => self.extend(records).await,
        }
    }

    /// The same, which begins a chain where there is none although there is nothing to append.
    async fn extend(&mut self, records: &[&Record]) -> Result<(), sqlx::Error> {
        let (mut head, end, first) = match (&self.next, &*self.writer) {
            (Some(Next { head, end }), _) => (head.clone(), *end, None),
            (None, Writer::At { head, time, end }) if clock::now().since(*time) < REST => (head.clone(), *end, None),
            (None, Writer::New | Writer::At { .. }) => self.begin().await?,
            (None, Writer::Closed) => return Err(sqlx::Error::Configuration("the store is closed".into())),
        };
        let last = match self.last {
            Some(last) => last,
            None => last(&mut self.transaction).await?,
        };
        let stray = self.stray(&head, last)?;
        // Where less is there than was written, it is not known any more what there is a place for.
        let end = if last < head.seq { 0 } else { end };
        // Where somebody has removed the end, the gap stays to be seen.
        let last = last.max(head.seq);
        let records: Vec<&Record> = first.iter().chain(&stray).chain(records.iter().copied()).collect();
        let end = self.reach(end, last.saturating_add(u64::try_from(records.len()).unwrap_or(u64::MAX))).await?;
        audit::link(&mut self.transaction, &mut head, last, &records).await?;
        (self.last, self.next) = (Some(head.seq), Some(Next { head, end }));
        Ok(())
    }

    /// Sees to it that there is a place for the record of number `seq`, of which there is one for all before `end`.
    async fn reach(&mut self, end: i64, seq: u64) -> Result<i64, sqlx::Error> {
        let seq = i64::try_from(seq).map_err(|error| sqlx::Error::Encode(error.into()))?;
        match self.writers {
            Writers::Several { span } if end <= seq => partition::reach(&mut self.transaction, span, seq).await,
            Writers::One | Writers::Several { .. } => Ok(end),
        }
    }

    /// The last number of the partition that has a place for this one, where there are partitions.
    pub async fn partition(&mut self, seq: i64) -> Result<Option<i64>, sqlx::Error> {
        match self.writers {
            Writers::One => Ok(None),
            Writers::Several { .. } => partition::last(&mut self.transaction, seq).await,
        }
    }

    /// Removes the partitions that hold nothing after `last`.
    pub async fn remove_partitions(&mut self, last: i64) -> Result<(), sqlx::Error> {
        match self.writers {
            Writers::One => Ok(()),
            Writers::Several { .. } => partition::remove(&mut self.transaction, last).await,
        }
    }

    /// `Ok` means that it is on the disk.
    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        let Some(Next { head, end }) = self.next.take() else {
            return self.transaction.commit().await;
        };
        // It stays so when the answer is lost, or nobody waits for it.
        *self.writer = Writer::New;
        self.transaction.commit().await?;
        *self.writer = Writer::At { head, time: clock::now(), end };
        Ok(())
    }

    /// A new chain, and its first record: it names the heads of all others, so that one which is removed or cut short later
    /// is missed. Those that have not moved since they were named are not named again.
    async fn begin(&mut self) -> Result<(Head, i64, Option<Record>), sqlx::Error> {
        let head = Head::new(id()?);
        let heads = unnamed(&mut self.transaction).await?;
        let record = Record {
            id: id()?,
            time: clock::now().rfc3339(),
            kind: Kind::Chain,
            heads: heads.iter().map(Head::told).collect(),
            ..Record::default()
        };
        let named = "UPDATE chains SET named = \
                     COALESCE((SELECT MAX(position) FROM audit WHERE audit.chain = chains.id), named)";
        sqlx::query(named).execute(&mut *self.transaction).await?;
        let query = sqlx::query("INSERT INTO chains (id, named) VALUES ($1, 0)").bind(head.chain.clone());
        query.execute(&mut *self.transaction).await?;
        Ok((head, 0, Some(record)))
    }

    /// What somebody else has appended behind the end of this chain, where nobody else may: a later chain would vouch for it.
    fn stray(&self, head: &Head, last: u64) -> Result<Option<Record>, sqlx::Error> {
        match self.writers {
            Writers::One if head.length > 0 && last > head.seq => {
                let target = format!("seq {} to {last}", head.seq.saturating_add(1));
                tracing::error!("the audit has records this broker has not written: {target}");
                let (by, action, why) = ("broker".to_owned(), "audit.stray".to_owned(), None);
                let admin = Some(Admin { by, action, target, why });
                let (id, time) = (id()?, clock::now().rfc3339());
                Ok(Some(Record { id, time, kind: Kind::Admin, admin, ..Record::default() }))
            }
            Writers::One | Writers::Several { .. } => Ok(None),
        }
    }
}

impl Deref for Order<'_> {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.transaction
    }
}

impl DerefMut for Order<'_> {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }
}

impl Base {
    /// Begins the chain of this process. Its first record vouches for what a process before it has left unsigned.
    pub async fn enter(&self) -> Result<(), sqlx::Error> {
        let mut order = self.begin().await?;
        order.extend(&[]).await?;
        order.commit().await
    }

    /// Where this process's chain ends on the disk.
    pub async fn head(&self) -> Option<Head> {
        match &*self.writer.lock().await {
            Writer::At { head, .. } => Some(head.clone()),
            Writer::New | Writer::Closed => None,
        }
    }

    /// Has it looked for again what there is a place for: a write has failed.
    pub(super) async fn doubt(&self) {
        if let Writer::At { end, .. } = &mut *self.writer.lock().await {
            *end = 0;
        }
    }

    /// Lets no more records be written. Out: where the chain ends.
    pub(super) async fn end(&self) -> Option<Head> {
        match std::mem::replace(&mut *self.writer.lock().await, Writer::Closed) {
            Writer::At { head, .. } => Some(head),
            Writer::New | Writer::Closed => None,
        }
    }
}

fn id() -> Result<String, sqlx::Error> {
    clock::id().map_err(|error| sqlx::Error::Protocol(error.to_string()))
}

/// The number of the last record.
pub(super) async fn last(connection: &mut AnyConnection) -> Result<u64, sqlx::Error> {
    let query = sqlx::query_scalar("SELECT COALESCE(MAX(seq), 0) FROM audit");
    query.fetch_one(connection).await.map(unsigned)
}

/// The heads that no chain has named when it began.
async fn unnamed(connection: &mut AnyConnection) -> Result<Vec<Head>, sqlx::Error> {
    let query = "SELECT audit.chain, audit.position, audit.seq, audit.hash FROM chains JOIN audit ON \
                 audit.chain = chains.id AND \
                 audit.position = (SELECT MAX(position) FROM audit WHERE audit.chain = chains.id) \
                 WHERE audit.position > chains.named ORDER BY audit.seq";
    sqlx::query(query).fetch_all(connection).await?.iter().map(read).collect()
}

/// A row that has the columns of a head.
pub fn read(row: &sqlx::any::AnyRow) -> Result<Head, sqlx::Error> {
    let bytes: Vec<u8> = row.try_get("hash")?;
    let hash = Hash::of(&bytes).ok_or_else(|| sqlx::Error::Decode("a hash that is none".into()))?;
    let number = |name| row.try_get(name).map(unsigned);
    Ok(Head { chain: row.try_get("chain")?, length: number("position")?, seq: number("seq")?, hash })
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests;
