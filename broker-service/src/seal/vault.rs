//! The data keys of the database: unwrapped at start, wrapped anew when what wraps them changes, replaced on demand.
//!
//! Data keys are never thrown away: a replica that was away for a while, or a copy of the database, may still have values
//! of theirs.

use std::path::Path;
use std::sync::Arc;
use std::{error, fmt};

use sqlx::{AnyConnection, Row as _, any::AnyRow};
use zeroize::Zeroizing;

use super::column::{self, Resealed};
use super::file::KeyFile;
use super::wrap::{Unwrapped, Wrapper};
use super::{DataKey, Id, Place, Seal, Unsealed};
use crate::clock;
use crate::config::secrets::{Wrapping, made};
use crate::store::Store;

/// The data keys, and what wraps them. Copies share all of it.
#[derive(Clone)]
pub struct Vault {
    store: Store,
    seal: Seal,
    wrapper: Arc<Wrapper>,
}

/// Why the data keys cannot be had; holds no secret.
#[derive(Debug)]
pub enum Locked {
    /// The database does not do its part.
    Database(sqlx::Error),
    /// A row of the table is not what was written.
    Damaged(String),
    /// A data key is wrapped with neither of the keys that are configured.
    Foreign {
        /// The data key.
        id: Id,
        /// What wraps it.
        found: String,
        /// What is configured.
        accepted: String,
    },
    /// A data key, or the key file.
    Wrapped(Unwrapped),
    /// The system gives no randomness.
    Random(getrandom::Error),
}

impl fmt::Display for Locked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => write!(formatter, "`data_keys`: {error}"),
            Self::Damaged(id) => write!(formatter, "`data_keys`: the row `{id}` cannot be read"),
            Self::Foreign { id, found, accepted } => write!(
                formatter,
                "`secrets`: the data key `{id}` is wrapped with `{found}`, configured is {accepted} \
                 (hint: name the earlier key in `secrets.previous`)"
            ),
            Self::Wrapped(error) => write!(formatter, "`secrets`: {error}"),
            Self::Random(error) => write!(formatter, "the system gives no randomness: {error}"),
        }
    }
}

impl error::Error for Locked {}

impl From<sqlx::Error> for Locked {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<Unwrapped> for Locked {
    fn from(error: Unwrapped) -> Self {
        Self::Wrapped(error)
    }
}

impl From<getrandom::Error> for Locked {
    fn from(error: getrandom::Error) -> Self {
        Self::Random(error)
    }
}

/// A row of `data_keys`.
struct Row {
    id: Id,
    wrapper: String,
    wrapped: Vec<u8>,
}

impl Vault {
    /// Unwraps the keys there are, or makes the first one. What the previous key has wrapped is wrapped anew, and what older
    /// data keys have sealed is sealed anew. A key file that nobody named lies in `data`.
    pub async fn unlock(store: &Store, wrapping: Wrapping, data: &Path) -> Result<Self, Locked> {
        let Wrapping { wrapper, previous } = wrapping;
        let rows = load(store).await?;
        let wrapper = match (wrapper, rows.is_empty()) {
            (Some(wrapper), _) => wrapper,
            (None, true) => Wrapper::File(KeyFile::made(&made(data))?),
            // A new one would unwrap nothing.
            (None, false) => Wrapper::File(KeyFile::read(&made(data))?),
        };
        let rows = if rows.is_empty() { first(store, &wrapper).await? } else { rows };
        let mut keys = Vec::with_capacity(rows.len());
        for row in &rows {
            keys.push((row.id, unwrap(store, row, &wrapper, previous.as_ref()).await?));
        }
        let newest = keys.pop().ok_or_else(|| Locked::Damaged("none".into()))?;
        let vault = Self { store: store.clone(), seal: Seal::new(newest, keys), wrapper: Arc::new(wrapper) };
        // What a rotation has not finished.
        let resealed = column::reseal(&vault.store, &vault.seal).await?;
        if resealed != Resealed::default() {
            tracing::info!(done = resealed.done, failed = resealed.failed, "sealed anew");
        }
        Ok(vault)
    }

    /// `plain` as it may lie in the database at `place`.
    pub fn seal(&self, place: &Place<'_>, plain: &[u8]) -> Result<Vec<u8>, Unsealed> {
        self.seal.seal(place, plain)
    }

    /// What was sealed at `place`, by this process or by another that has made a new key since.
    pub async fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unsealed> {
        match self.seal.open(place, sealed) {
            Err(Unsealed::Unknown(id)) => {
                if let Err(error) = self.catch_up().await {
                    tracing::error!("the data key `{id}` cannot be had: {error}");
                }
                self.seal.open(place, sealed)
            }
            other => other,
        }
    }

    /// Makes a new data key and seals everything anew with it.
    pub async fn rotate(&self) -> Result<(Id, Resealed), Locked> {
        self.catch_up().await?;
        let (id, key, wrapped) = fresh(&self.wrapper).await?;
        let mut transaction = self.store.begin().await?;
        insert(&mut transaction, id, &self.wrapper, wrapped).await?;
        transaction.commit().await?;
        self.seal.renew([(id, key)]);
        Ok((id, column::reseal(&self.store, &self.seal).await?))
    }

    /// Takes in the keys that others have made since.
    async fn catch_up(&self) -> Result<(), Locked> {
        let mut keys = Vec::new();
        for row in load(&self.store).await? {
            let key = match self.seal.key(row.id) {
                Some(key) => key,
                None => unwrap(&self.store, &row, &self.wrapper, None).await?,
            };
            keys.push((row.id, key));
        }
        self.seal.renew(keys);
        Ok(())
    }
}

/// All rows, the newest last.
async fn load(store: &Store) -> Result<Vec<Row>, Locked> {
    let query = sqlx::query("SELECT id, wrapper, wrapped FROM data_keys ORDER BY created, id");
    let rows = query.fetch_all(store.pool()).await?;
    rows.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<Row, Locked> {
    let id: String = row.try_get("id")?;
    let parsed = Id::parse(&id).ok_or(Locked::Damaged(id))?;
    Ok(Row { id: parsed, wrapper: row.try_get("wrapper")?, wrapped: row.try_get("wrapped")? })
}

/// Makes the first data key, unless another replica was faster.
async fn first(store: &Store, wrapper: &Wrapper) -> Result<Vec<Row>, Locked> {
    let (id, _, wrapped) = fresh(wrapper).await?;
    let mut transaction = store.begin().await?;
    let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM data_keys").fetch_one(&mut *transaction).await?;
    if count == 0 {
        insert(&mut transaction, id, wrapper, wrapped).await?;
    }
    transaction.commit().await?;
    load(store).await
}

async fn fresh(wrapper: &Wrapper) -> Result<(Id, DataKey, Vec<u8>), Locked> {
    let (id, key) = (Id::random()?, DataKey::random()?);
    let wrapped = wrapper.wrap(id, &key).await?;
    Ok((id, key, wrapped))
}

/// Later than every other, whatever the clock says.
async fn insert(
    connection: &mut AnyConnection,
    id: Id,
    wrapper: &Wrapper,
    wrapped: Vec<u8>,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query_scalar("SELECT COALESCE(MAX(created), 0) FROM data_keys");
    let last: i64 = query.fetch_one(&mut *connection).await?;
    let now = clock::signed(clock::now());
    sqlx::query("INSERT INTO data_keys (id, wrapper, wrapped, created) VALUES ($1, $2, $3, $4)")
        .bind(id.to_string())
        .bind(wrapper.name())
        .bind(wrapped)
        .bind(now.max(last.saturating_add(1)))
        .execute(connection)
        .await?;
    Ok(())
}

/// The key of a row; one that `previous` has wrapped is wrapped by `wrapper` from now on.
async fn unwrap(store: &Store, row: &Row, wrapper: &Wrapper, previous: Option<&Wrapper>) -> Result<DataKey, Locked> {
    if row.wrapper == wrapper.name() {
        return Ok(wrapper.unwrap(row.id, &row.wrapped).await?);
    }
    let Some(previous) = previous.filter(|previous| row.wrapper == previous.name()) else {
        let accepted = wrapper.to_string();
        return Err(Locked::Foreign { id: row.id, found: row.wrapper.clone(), accepted });
    };
    let key = previous.unwrap(row.id, &row.wrapped).await?;
    let wrapped = wrapper.wrap(row.id, &key).await?;
    sqlx::query("UPDATE data_keys SET wrapper = $1, wrapped = $2 WHERE id = $3 AND wrapper = $4")
        .bind(wrapper.name())
        .bind(wrapped)
        .bind(row.id.to_string())
        .bind(&row.wrapper)
        .execute(store.pool())
        .await?;
    tracing::info!(id = %row.id, from = row.wrapper, to = wrapper.name(), "data key wrapped anew");
    Ok(key)
}
