//! The writer: as many callers' records and intents in one commit as wait for one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use accredit_policy::token::Verified;
use accredit_policy::wire::audit::Record;
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::{Base, NotKept, audit};
use crate::clock;
use crate::lease::{self, Row};

/// The most callers one commit serves.
pub(super) const MOST: usize = 256;

/// How long the writer keeps its connection while nobody asks.
const LULL: Duration = Duration::from_millis(100);

/// How long one commit may take.
const STALL: Duration = Duration::from_secs(10);

/// What a caller wants written.
#[derive(Debug)]
pub(super) enum Job {
    /// Records of the broker's own, of which none comes twice.
    Records { records: Vec<Record>, done: oneshot::Sender<Result<(), NotKept>> },
    /// Records of others.
    Delivery { records: Vec<Record>, done: oneshot::Sender<Result<(), NotKept>> },
    /// An intent and its lease.
    Intent { intent: Box<Intent>, done: oneshot::Sender<Result<(), NotIntended>> },
    /// Whatever shows that the disk can be written.
    Probe { done: oneshot::Sender<Result<(), NotKept>> },
    /// Nothing more.
    Stop { done: oneshot::Sender<Result<(), NotKept>> },
}

/// A credential that is about to be minted.
#[derive(Debug)]
pub struct Intent {
    /// Tells of it.
    pub record: Record,
    /// Keeps it.
    pub lease: Row,
    /// The agent's token.
    pub verified: Verified,
    /// The server's name in the policy.
    pub server: String,
    /// The tool's.
    pub tool: String,
}

/// Why nothing may be minted.
#[derive(Clone, Debug)]
pub enum NotIntended {
    /// Token, agent, tool or server are revoked.
    Revoked,
    /// The intent is not on the disk.
    NotKept(NotKept),
}

impl From<NotKept> for NotIntended {
    fn from(error: NotKept) -> Self {
        Self::NotKept(error)
    }
}

/// Writes what is asked for until it is told to stop.
pub(super) async fn write(base: Arc<Base>, mut jobs: mpsc::Receiver<Job>) {
    let mut group = Vec::with_capacity(MOST);
    let mut line = None;
    while gather(&mut jobs, &mut group, &mut line).await > 0 {
        if group.iter().any(|job| matches!(job, Job::Stop { .. })) {
            // What is under way is written, what comes later is refused.
            jobs.close();
        }
        // The server's own bounds say nothing where its packets are lost.
        let began = Instant::now();
        let committed = timeout(STALL, commit(&base, &mut line, &group)).await;
        let committed = committed.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut));
        match committed {
            Ok(Done { revoked, given, new }) => {
                // What has written nothing says nothing of the disk.
                if given > 0 || group.iter().any(Job::probes) {
                    base.metrics.committed(given, new, began.elapsed());
                }
                group.drain(..).zip(revoked).for_each(|(job, revoked)| job.done(revoked));
            }
            Err(error) => {
                // Not back to the pool: nobody knows what state it is in.
                drop(line.take().map(PoolConnection::detach));
                let error = NotKept::from(error);
                tracing::error!("audit records were {error}");
                base.failed(group.len());
                group.drain(..).for_each(|job| job.failed(&error));
                base.doubt().await;
            }
        }
    }
}

/// A connection that is kept from one group to the next: to take one from the pool and give it back tests it twice.
type Line = Option<PoolConnection<Any>>;

/// Waits for the next group. Out: how many it has, 0 when there will be none.
async fn gather(jobs: &mut mpsc::Receiver<Job>, group: &mut Vec<Job>, line: &mut Line) -> usize {
    if line.is_some()
        && let Ok(count) = timeout(LULL, jobs.recv_many(group, MOST)).await
    {
        return count;
    }
    // One that has nothing to do can be lost without a word; the pool sees to that.
    *line = None;
    jobs.recv_many(group, MOST).await
}

/// What a commit has written.
struct Done {
    /// Of each job whether it was left out because of a revocation.
    revoked: Vec<bool>,
    /// How many records there were, and how many of them were new.
    given: u64,
    new: u64,
}

/// Writes the group.
async fn commit(base: &Base, line: &mut Line, group: &[Job]) -> Result<Done, sqlx::Error> {
    let connection = match line {
        Some(connection) => connection,
        None => line.insert(base.pool().acquire().await?),
    };
    let mut transaction = base.begin_on(connection).await?;
    // Under the lock: what was revoked before this moment is known, what comes later finds the lease.
    let (record, revocation) = last(&mut transaction).await?;
    if revocation > *base.seq.borrow() {
        base.catch_up(&mut transaction).await?;
    }
    let revoked: Vec<bool> = group.iter().map(|job| job.revoked(base)).collect();
    let kept = || group.iter().zip(&revoked).filter(|(_, revoked)| !**revoked).map(|(job, _)| job);
    let records = fresh(&mut transaction, kept()).await?;
    transaction.after(u64::try_from(record).unwrap_or_default());
    audit::insert(&mut transaction, &records).await?;
    let leases: Vec<&Row> = kept().filter_map(Job::lease).collect();
    insert(&mut transaction, &leases).await?;
    if group.iter().any(Job::probes) {
        let query = sqlx::query("UPDATE probe SET at = $1").bind(clock::signed(clock::now()));
        query.execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    Ok(Done { given: count(kept().flat_map(Job::records).count()), new: count(records.len()), revoked })
}

/// The records of these jobs that are not there yet.
async fn fresh<'a>(
    connection: &mut AnyConnection,
    jobs: impl Iterator<Item = &'a Job> + Clone,
) -> Result<Vec<&'a Record>, sqlx::Error> {
    let delivered = jobs.clone().filter(|job| matches!(job, Job::Delivery { .. })).flat_map(Job::records);
    let ids: Vec<String> = delivered.map(audit::id).collect();
    let mut known = audit::known(connection, &ids).await?;
    let mut fresh = Vec::new();
    for job in jobs {
        let twice = matches!(job, Job::Delivery { .. });
        fresh.extend(job.records().iter().filter(|record| !twice || known.insert(audit::id(record))));
    }
    Ok(fresh)
}

/// The numbers of the last record and of the last revocation.
async fn last(connection: &mut AnyConnection) -> Result<(i64, i64), sqlx::Error> {
    let query = "SELECT (SELECT COALESCE(MAX(seq), 0) FROM audit), (SELECT COALESCE(MAX(seq), 0) FROM revocations)";
    sqlx::query_as(query).fetch_one(connection).await
}

async fn insert(connection: &mut AnyConnection, leases: &[&Row]) -> Result<(), sqlx::Error> {
    match leases.is_empty() {
        true => Ok(()),
        false => lease::insert(connection, leases).await,
    }
}

impl Job {
    fn records(&self) -> &[Record] {
        match self {
            Self::Records { records, .. } | Self::Delivery { records, .. } => records,
            Self::Probe { .. } | Self::Stop { .. } => &[],
            Self::Intent { intent, .. } => std::slice::from_ref(&intent.record),
        }
    }

    fn probes(&self) -> bool {
        matches!(self, Self::Probe { .. })
    }

    fn lease(&self) -> Option<&Row> {
        match self {
            Self::Records { .. } | Self::Delivery { .. } | Self::Probe { .. } | Self::Stop { .. } => None,
            Self::Intent { intent, .. } => Some(&intent.lease),
        }
    }

    fn revoked(&self, base: &Base) -> bool {
        match self {
            Self::Records { .. } | Self::Delivery { .. } | Self::Probe { .. } | Self::Stop { .. } => false,
            Self::Intent { intent, .. } => {
                base.revoked(|revoked| revoked.hit(&intent.verified, &intent.server, Some(&intent.tool)))
            }
        }
    }

    /// A caller that no longer waits needs no word.
    fn done(self, revoked: bool) {
        match self {
            Self::Records { done, .. } | Self::Delivery { done, .. } | Self::Probe { done } | Self::Stop { done } => {
                drop(done.send(Ok(())));
            }
            Self::Intent { done, .. } => drop(done.send(if revoked { Err(NotIntended::Revoked) } else { Ok(()) })),
        }
    }

    fn failed(self, error: &NotKept) {
        match self {
            Self::Records { done, .. } | Self::Delivery { done, .. } | Self::Probe { done } | Self::Stop { done } => {
                drop(done.send(Err(error.clone())));
            }
            Self::Intent { done, .. } => drop(done.send(Err(error.clone().into()))),
        }
    }
}
