//! The key that signs checkpoints: made at the first start, sealed in the database, the same for all replicas.

use std::{error, fmt};

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use sqlx::{AnyConnection, Row as _};
use zeroize::Zeroizing;

use crate::app::App;
use crate::clock;
use crate::error::ApiError;
use crate::note::Signer;
use crate::operator::Operator;
use crate::seal::Unsealed;
use crate::seal::column::CHECKPOINT_KEY;
use crate::seal::vault::Vault;
use crate::store::Store;

/// Why there is no key; holds no secret.
#[derive(Debug)]
pub enum NoKey {
    /// The database does not do its part.
    Database(sqlx::Error),
    /// The row is not what was written.
    Damaged,
    /// The system gives no randomness.
    Random(getrandom::Error),
    /// It cannot be sealed, or does not open.
    Sealed(Unsealed),
}

impl fmt::Display for NoKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => write!(formatter, "`checkpoint_keys`: {error}"),
            Self::Damaged => formatter.write_str("`checkpoint_keys`: the key is not the one it says"),
            Self::Random(error) => write!(formatter, "the system gives no randomness: {error}"),
            Self::Sealed(error) => write!(formatter, "`checkpoint_keys`: {error}"),
        }
    }
}

impl error::Error for NoKey {}

impl From<sqlx::Error> for NoKey {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// `GET /v1/audit/key`: the public key to pin.
pub async fn answer(State(app): State<App>, _: Operator) -> Result<Json<Value>, ApiError> {
    let key = app.notary.key();
    Ok(Json(json!({ "vkey": key.to_string(), "name": key.name(), "id": key.id() })))
}

/// The key there is, or a new one. Its name is made from the URL of the broker that made it, and stays.
pub async fn open(store: &Store, vault: &Vault, url: &str) -> Result<Signer, NoKey> {
    if let Some(signer) = load(&mut *store.pool().acquire().await?, vault).await? {
        return Ok(signer);
    }
    let mut transaction = store.begin().await?;
    // Looked at again where nobody else can write.
    if let Some(signer) = load(&mut transaction, vault).await? {
        return Ok(signer);
    }
    let seed = Zeroizing::new(clock::random::<32>().map_err(NoKey::Random)?.to_vec());
    let signer = Signer::new(&name(url), &seed).ok_or(NoKey::Damaged)?;
    let id = signer.key().id();
    let sealed = vault.seal(&CHECKPOINT_KEY.place(&[&id]), &seed).map_err(NoKey::Sealed)?;
    sqlx::query("INSERT INTO checkpoint_keys (id, vkey, sealed, created) VALUES ($1, $2, $3, $4)")
        .bind(id)
        .bind(signer.key().to_string())
        .bind(sealed)
        .bind(clock::signed(clock::now()))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    tracing::info!(vkey = %signer.key(), "new key for checkpoints of the audit");
    Ok(signer)
}

async fn load(connection: &mut AnyConnection, vault: &Vault) -> Result<Option<Signer>, NoKey> {
    let query = sqlx::query("SELECT id, vkey, sealed FROM checkpoint_keys ORDER BY created, id LIMIT 1");
    let Some(row) = query.fetch_optional(connection).await? else {
        return Ok(None);
    };
    let (id, vkey, sealed): (String, String, Vec<u8>) =
        (row.try_get("id")?, row.try_get("vkey")?, row.try_get("sealed")?);
    let seed = vault.open(&CHECKPOINT_KEY.place(&[&id]), &sealed).await.map_err(NoKey::Sealed)?;
    let name = vkey.split('+').next().unwrap_or_default();
    let signer = Signer::new(name, &seed).filter(|signer| signer.key().to_string() == vkey);
    signer.map(Some).ok_or(NoKey::Damaged)
}

/// "It is RECOMMENDED that key names be schema-less URLs": <https://c2sp.org/signed-note>.
fn name(url: &str) -> String {
    let place = url.split_once("://").map_or(url, |(_, place)| place).trim_end_matches('/');
    format!("{}/audit", place.replace('+', "%2B"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_after_its_broker() {
        assert_eq!(name("https://broker.example.com/"), "broker.example.com/audit");
        assert_eq!(name("http://127.0.0.1:10002/a+b"), "127.0.0.1:10002/a%2Bb/audit");
    }
}
