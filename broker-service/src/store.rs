//! The database: SQLite for one broker, PostgreSQL for several, by the same statements.
//!
//! All that has to be in one order (records, intents, revocations, the state of agents) is written under one lock, so a
//! sequence number is only ever seen after all before it, and an intent sees every revocation that came before.

mod audit;
mod database;
mod group;
mod listen;
mod once;
mod order;
mod partition;
mod revoked;
mod search;
mod statement;

use std::ops::Deref;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};
use std::{error, fmt};

use accredit_policy::history::History;
use accredit_policy::wire::audit::Record;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions, install_default_drivers};
use sqlx::{AnyConnection, AnyPool, Connection as _, Executor as _};
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;

pub use audit::insert;
pub use database::{Database, Server, encode};
pub use group::{Intent, NotIntended};
pub use once::{Seen, remember};
pub use order::{Order, read};
pub use partition::{SPAN, SPANS};
pub use revoked::Change;
pub use statement::{Statement, shares};

use crate::chain::Head;
use crate::error::{ApiError, Code};
use crate::metrics::Metrics;

/// How many reports and searches run at one time. The others of the pool are left to those who write.
const READERS: usize = 3;

/// How long a caller waits for the disk before it is told that it cannot be had.
const PATIENCE: Duration = Duration::from_secs(5);

/// The broker's database, and the way to its writer.
#[derive(Clone, Debug)]
pub struct Store {
    base: Arc<Base>,
    writer: mpsc::Sender<group::Job>,
}

/// The database itself.
#[derive(Debug)]
pub struct Base {
    pool: AnyPool,
    database: Database,
    revoked: RwLock<History>,
    /// The number of the last revocation that is known here.
    seq: watch::Sender<i64>,
    writer: Arc<Mutex<order::Writer>>,
    readers: Semaphore,
    /// When the disk was tried last, and what came of it.
    probed: Mutex<Option<(Instant, Result<(), NotKept>)>>,
    metrics: Metrics,
}

impl Deref for Store {
    type Target = Base;

    fn deref(&self) -> &Base {
        &self.base
    }
}

/// It is not on the disk.
#[derive(Clone, Debug)]
pub struct NotKept(String);

impl fmt::Display for NotKept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "not kept: {}", self.0)
    }
}

impl error::Error for NotKept {}

impl From<sqlx::Error> for NotKept {
    fn from(error: sqlx::Error) -> Self {
        Self(error.to_string())
    }
}

impl Store {
    /// Opens the database and brings it up to date.
    pub async fn open(database: Database) -> Result<Self, sqlx::Error> {
        install_default_drivers();
        let url = database.url();
        let options: AnyConnectOptions = url.reveal().parse()?;
        let (greeting, place) = (database.greeting(), database.clone());
        let pool = AnyPoolOptions::new().max_connections(8).acquire_timeout(PATIENCE);
        let pool = pool.after_connect(move |connection, _| {
            let place = place.clone();
            Box::pin(async move {
                connection.execute(greeting).await?;
                place.durable(connection).await
            })
        });
        let pool = pool.connect_with(options).await?;
        database.migrator().run(&pool).await?;
        let (seq, _) = watch::channel(0);
        let (metrics, revoked, writer) = (Metrics::default(), RwLock::default(), Arc::default());
        let (readers, probed) = (Semaphore::new(READERS), Mutex::default());
        let base = Arc::new(Base { pool, database, revoked, seq, writer, readers, probed, metrics });
        base.refresh().await?;
        let (writer, jobs) = mpsc::channel(group::MOST);
        tokio::spawn(group::write(Arc::clone(&base), jobs));
        tokio::spawn(listen::follow(Arc::clone(&base)));
        tokio::spawn(partition::follow(Arc::clone(&base)));
        Ok(Self { base, writer })
    }

    /// Keeps the records. `Ok` means that they are on the disk.
    pub async fn append(&self, records: Vec<Record>) -> Result<(), NotKept> {
        let (done, word) = oneshot::channel();
        self.ask(group::Job::Records { records, done }, word).await
    }

    /// The same for those of others, who may send one twice. `Ok` means as well that one was there under the same `id`.
    pub async fn deliver(&self, records: Vec<Record>) -> Result<(), NotKept> {
        let (done, word) = oneshot::channel();
        self.ask(group::Job::Delivery { records, done }, word).await
    }

    /// Hands the records to the writer without waiting for the disk: for what tells of something whose intent is there.
    pub async fn post(&self, records: Vec<Record>) -> Result<(), NotKept> {
        let (done, _) = oneshot::channel();
        let sent = timeout(PATIENCE, self.writer.send(group::Job::Records { records, done })).await;
        match sent {
            Ok(Ok(())) => Ok(()),
            _ => Err(NotKept("the writer does not answer".into())),
        }
    }

    /// Keeps an intent and its lease, unless what it is about is revoked. `Ok` means that both are on the disk.
    pub async fn intend(&self, intent: Intent) -> Result<(), NotIntended> {
        let (done, word) = oneshot::channel();
        self.ask(group::Job::Intent { intent: Box::new(intent), done }, word).await
    }

    /// Waits for what was given to the writer before.
    pub async fn ready(&self) -> Result<(), NotKept> {
        self.append(Vec::new()).await
    }

    /// Whether the database can be written now. A transaction that writes nothing would succeed on a full disk. Who asks while
    /// that is tried hears what comes of it.
    pub async fn probe(&self) -> Result<(), NotKept> {
        let asked = Instant::now();
        let mut probed = self.probed.lock().await;
        if let Some((ended, kept)) = &*probed
            && *ended >= asked
        {
            return kept.clone();
        }
        let (done, word) = oneshot::channel();
        let kept = self.ask(group::Job::Probe { done }, word).await;
        *probed = Some((Instant::now(), kept.clone()));
        kept
    }

    /// Reads what may take long, in turn with others who do. It is read to its end when nobody waits for it any more, since a
    /// statement that is given up keeps its connection as long.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
    ) -> Result<T, ApiError> {
        let base = Arc::clone(&self.base);
        let task = tokio::spawn(async move {
            let busy = |_| ApiError::new(Code::TooManyRequests(1), "too many reports and searches at one time");
            let _turn = timeout(PATIENCE, base.readers.acquire()).await.map_err(busy)?;
            work.await
        });
        task.await.map_err(ApiError::unavailable)?
    }

    /// How many callers wait for the writer.
    pub fn waiting(&self) -> usize {
        self.writer.max_capacity().saturating_sub(self.writer.capacity())
    }

    /// Lets the writer finish what it was given, and stops it; nothing is recorded after that. Out: where its chain ends.
    pub async fn close(&self) -> Option<Head> {
        let (done, word) = oneshot::channel();
        if let Err(error) = self.ask::<NotKept>(group::Job::Stop { done }, word).await {
            tracing::error!("the last records were {error}");
        }
        timeout(PATIENCE, self.end()).await.ok().flatten()
    }

    async fn ask<E: From<NotKept>>(&self, job: group::Job, word: oneshot::Receiver<Result<(), E>>) -> Result<(), E> {
        let stopped = || E::from(NotKept("the writer has stopped".into()));
        let kept = async {
            self.writer.send(job).await.map_err(|_| stopped())?;
            word.await.map_err(|_| stopped())?
        };
        timeout(PATIENCE, kept).await.unwrap_or_else(|_| {
            self.failed(1);
            Err(NotKept("the disk does not answer".into()).into())
        })
    }
}

impl Base {
    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// So many writes did not reach the disk.
    fn failed(&self, writes: usize) {
        self.metrics.failed(writes);
    }

    /// The connections for reading, and for writing what needs no order.
    pub fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// Where the data lies.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Begins a transaction beside which nothing else is written that has an order.
    pub async fn begin(&self) -> Result<Order<'static>, sqlx::Error> {
        let mut transaction = self.pool.begin_with(self.database.begin()).await?;
        self.lock(&mut transaction).await?;
        Ok(Order::new(transaction, self.database.writers(), &self.writer).await)
    }

    /// The same on a connection that is at hand.
    async fn begin_on<'c>(&self, connection: &'c mut AnyConnection) -> Result<Order<'c>, sqlx::Error> {
        let mut transaction = connection.begin_with(self.database.begin()).await?;
        self.lock(&mut transaction).await?;
        Ok(Order::new(transaction, self.database.writers(), &self.writer).await)
    }

    async fn lock(&self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        match self.database {
            Database::Sqlite(_) => Ok(()),
            Database::Postgres(_) => {
                // Any number will do, as long as it is the same for all replicas and in the migrations.
                connection.execute("SELECT pg_advisory_xact_lock(8317987319222330741)").await.map(|_| ())
            }
        }
    }
}
