//! Where the data lies, and what differs between the two databases.

use std::fmt;
use std::path::PathBuf;

use accredit_policy::Secret;
use sqlx::AnyConnection;
use sqlx::migrate::Migrator;

use super::order;

/// What both databases need, and what PostgreSQL alone.
pub(super) static BOTH: Migrator = sqlx::migrate!();
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// Where the data lies.
#[derive(Clone, Debug)]
pub enum Database {
    /// In a folder of this machine.
    Sqlite(PathBuf),
    /// On a server.
    Postgres(Server),
}

/// A PostgreSQL server.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its URL, which can hold a password.
    pub url: Secret,
    /// How many records a partition of the audit holds.
    pub span: i64,
}

impl Database {
    pub(super) fn url(&self) -> Secret {
        match self {
            Self::Sqlite(folder) => Secret::new(format!("sqlite://{}?mode=rwc", encode(&folder.join("accredit.db")))),
            Self::Postgres(server) => server.url.clone(),
        }
    }

    /// What every connection says first.
    pub(super) fn greeting(&self) -> &'static str {
        match self {
            // In WAL mode only `FULL` survives a power cut: <https://www.sqlite.org/pragma.html#pragma_synchronous>.
            Self::Sqlite(_) => {
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000; \
                 PRAGMA foreign_keys = ON"
            }
            // A replica that stands still within a transaction has the lock all others wait for.
            Self::Postgres(_) => {
                "SET synchronous_commit = on; SET statement_timeout = '5s'; SET lock_timeout = '5s'; \
                 SET idle_in_transaction_session_timeout = '10s'"
            }
        }
    }

    /// What begins a transaction that is alone.
    pub(super) fn begin(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "BEGIN IMMEDIATE",
            // What is read after the lock has to be what is there then.
            Self::Postgres(_) => "BEGIN ISOLATION LEVEL READ COMMITTED",
        }
    }

    /// What brings it up to date.
    pub(super) fn migrator(&self) -> Migrator {
        let more = match self {
            Self::Sqlite(_) => None,
            Self::Postgres(_) => Some(POSTGRES.iter()),
        };
        Migrator::with_migrations(BOTH.iter().chain(more.into_iter().flatten()).cloned().collect())
    }

    pub(super) fn writers(&self) -> order::Writers {
        match self {
            Self::Sqlite(_) => order::Writers::One,
            Self::Postgres(server) => order::Writers::Several { span: server.span },
        }
    }

    /// Makes sure that a commit is on the disk when it returns, whatever the build's or the server's defaults are.
    pub(super) async fn durable(&self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        let sound = match self {
            Self::Sqlite(_) => {
                let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *connection).await?;
                let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *connection).await?;
                synchronous >= 2 && journal == "wal"
            }
            Self::Postgres(_) => {
                let mut word = async |name: &'static str| {
                    sqlx::query_scalar::<_, String>(name).fetch_one(&mut *connection).await.map(|word| word != "off")
                };
                word("SHOW fsync").await?
                    && word("SHOW synchronous_commit").await?
                    && word("SHOW full_page_writes").await?
            }
        };
        match sound {
            true => Ok(()),
            false => Err(sqlx::Error::Configuration("the database does not wait for the disk".into())),
        }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(folder) => folder.join("accredit.db").display().fmt(formatter),
            Self::Postgres(_) => formatter.write_str("PostgreSQL"),
        }
    }
}

/// A path as part of a URL.
pub fn encode(path: &std::path::Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    let text = path.to_string_lossy();
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
