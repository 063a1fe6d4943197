//! The database: one writer that commits in groups, many readers.

use std::path::Path;
use std::time::Duration;
use std::{error, fmt};

use accredit_policy::wire::audit::Record;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, SqliteConnection, SqlitePool};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// How long a caller waits for the disk before it is told that it cannot be had.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most callers one commit serves.
const GROUP: usize = 256;

/// The broker's database.
#[derive(Clone, Debug)]
pub struct Store {
    pool: SqlitePool,
    writer: mpsc::Sender<Job>,
}

#[derive(Debug)]
struct Job {
    records: Vec<Record>,
    done: oneshot::Sender<Result<(), NotKept>>,
}

/// The records are not on the disk.
#[derive(Clone, Debug)]
pub struct NotKept(String);

impl fmt::Display for NotKept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "audit records were not kept: {}", self.0)
    }
}

impl error::Error for NotKept {}

impl Store {
    /// Opens the database in `folder`, which is made when there is none, and brings it up to date.
    pub async fn open(folder: &Path) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::new()
            .filename(folder.join("accredit.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(PATIENCE);
        let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options.clone()).await?;
        sqlx::migrate!().run(&pool).await?;
        let mut connection = SqliteConnection::connect_with(&options).await?;
        durable(&mut connection).await?;
        let (writer, jobs) = mpsc::channel(GROUP);
        tokio::spawn(write(connection, jobs));
        Ok(Self { pool, writer })
    }

    /// The connections for reading, and for writing what is not audit.
    pub fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    /// Keeps the records. `Ok` means that they are on the disk, or were there already under the same `id`.
    pub async fn append(&self, records: Vec<Record>) -> Result<(), NotKept> {
        let (done, word) = oneshot::channel();
        let job = Job { records, done };
        let kept = async {
            self.writer.send(job).await.map_err(|_| NotKept("the writer has stopped".into()))?;
            word.await.map_err(|_| NotKept("the writer has stopped".into()))?
        };
        timeout(PATIENCE, kept).await.unwrap_or_else(|_| Err(NotKept("the disk does not answer".into())))
    }

    /// Whether the database can be written now.
    pub async fn ready(&self) -> Result<(), NotKept> {
        self.append(Vec::new()).await
    }
}

/// Makes sure that a commit is on the disk when it returns, whatever the build's defaults are.
///
/// [SQLite, PRAGMA synchronous](https://www.sqlite.org/pragma.html#pragma_synchronous): in WAL mode only `FULL` (2)
/// survives a power cut.
async fn durable(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *connection).await?;
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *connection).await?;
    match (synchronous, journal.as_str()) {
        (2 | 3, "wal") => Ok(()),
        _ => Err(sqlx::Error::Configuration("the database does not wait for the disk".into())),
    }
}

/// Writes what is asked for, as many callers' records in one commit as wait for one.
async fn write(mut connection: SqliteConnection, mut jobs: mpsc::Receiver<Job>) {
    let mut group = Vec::with_capacity(GROUP);
    while jobs.recv_many(&mut group, GROUP).await > 0 {
        let outcome = commit(&mut connection, &group).await.map_err(|error| NotKept(error.to_string()));
        if let Err(error) = &outcome {
            tracing::error!("{error}");
        }
        for job in group.drain(..) {
            // A caller that no longer waits needs no word.
            drop(job.done.send(outcome.clone()));
        }
    }
}

async fn commit(connection: &mut SqliteConnection, group: &[Job]) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    for record in group.iter().flat_map(|job| &job.records) {
        insert(&mut transaction, record).await?;
    }
    transaction.commit().await
}

async fn insert(connection: &mut SqliteConnection, record: &Record) -> Result<(), sqlx::Error> {
    let text = serde_json::to_string(record).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let query = sqlx::query(
        "INSERT INTO audit (id, time, kind, decision, reason, agent, subject, server, tool, request_id, record) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
    );
    query
        .bind(&record.id)
        .bind(&record.time)
        .bind(word(&record.kind)?)
        .bind(record.decision.as_ref().map(word).transpose()?)
        .bind(&record.reason)
        .bind(record.agent.as_ref().map(|agent| &agent.id))
        .bind(&record.subject)
        .bind(&record.server)
        .bind(&record.tool)
        .bind(&record.request_id)
        .bind(text)
        .execute(connection)
        .await?;
    Ok(())
}

/// An enumeration's word, as it stands in the record.
fn word<T: serde::Serialize>(value: &T) -> Result<String, sqlx::Error> {
    let text = serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()))?;
    Ok(text.trim_matches('"').to_owned())
}
