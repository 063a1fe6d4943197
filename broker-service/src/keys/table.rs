//! The table of signing keys.

use std::sync::Arc;

use accredit_policy::Time;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::Life;
use super::ring::Ring;
use super::signer::{Pkcs8, Signer};
use crate::app::App;
use crate::clock;
use crate::error::ApiError;
use crate::seal::column::SIGNING_KEY;

/// A key as operators see it: its identifier and its times.
pub type Entry = (String, Life);

/// All keys, the first to sign first.
pub async fn entries(connection: &mut AnyConnection) -> Result<Vec<Entry>, sqlx::Error> {
    let query =
        sqlx::query("SELECT id, created, signs_from, retired_at FROM signing_keys ORDER BY signs_from, created, id");
    query.fetch_all(connection).await?.iter().map(entry).collect()
}

/// All keys at `read`, ready to sign. Those that are in `known` already are not opened again.
pub async fn ring(app: &App, known: &Ring, read: Time) -> Result<Ring, ApiError> {
    let query = sqlx::query("SELECT id, sealed, created, signs_from, retired_at FROM signing_keys");
    let rows = query.fetch_all(app.store.pool()).await?;
    let mut keys = Vec::with_capacity(rows.len());
    for row in &rows {
        let (id, life) = entry(row)?;
        let signer = match known.find(&id) {
            Some(signer) => Arc::clone(signer),
            None => Arc::new(open(app, &id, &row.try_get::<Vec<u8>, _>("sealed")?).await?),
        };
        keys.push((life, signer));
    }
    Ok(Ring::new(keys, read))
}

/// Keeps a key, unless it is there.
pub async fn insert(
    app: &App,
    connection: &mut AnyConnection,
    id: &str,
    pkcs8: &Pkcs8,
    life: &Life,
) -> Result<(), ApiError> {
    let query = sqlx::query(
        "INSERT INTO signing_keys (id, sealed, created, signs_from, retired_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (id) DO NOTHING",
    );
    let query = query.bind(id).bind(seal(app, id, pkcs8)?).bind(clock::signed(life.created));
    let query = query.bind(clock::signed(life.signs_from)).bind(life.retired_at.map(clock::signed));
    query.execute(connection).await?;
    Ok(())
}

/// Sets an end to the keys that have none.
pub async fn retire(connection: &mut AnyConnection, end: Time) -> Result<(), sqlx::Error> {
    let query = sqlx::query("UPDATE signing_keys SET retired_at = $1 WHERE retired_at IS NULL");
    query.bind(clock::signed(end)).execute(connection).await.map(|_| ())
}

/// Forgets the keys that are good for nothing any more.
pub async fn forget(connection: &mut AnyConnection, now: Time) -> Result<(), sqlx::Error> {
    let query = sqlx::query("DELETE FROM signing_keys WHERE retired_at <= $1");
    query.bind(clock::signed(now)).execute(connection).await.map(|_| ())
}

/// Forgets all keys.
pub async fn clear(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM signing_keys").execute(connection).await.map(|_| ())
}

fn entry(row: &AnyRow) -> Result<Entry, sqlx::Error> {
    let time = |name| row.try_get::<i64, _>(name).map(clock::unsigned);
    let end: Option<i64> = row.try_get("retired_at")?;
    let retired_at = end.map(clock::unsigned);
    Ok((row.try_get("id")?, Life { created: time("created")?, signs_from: time("signs_from")?, retired_at }))
}

/// The private key as it may lie in the table.
fn seal(app: &App, id: &str, pkcs8: &Pkcs8) -> Result<Vec<u8>, ApiError> {
    app.vault.seal(&SIGNING_KEY.place(&[id]), pkcs8).map_err(ApiError::unavailable)
}

/// The key of a row; one that signs under another name than it was kept is refused.
async fn open(app: &App, id: &str, sealed: &[u8]) -> Result<Signer, ApiError> {
    let broken = |why: &str| ApiError::unavailable(format!("the signing key `{id}`: {why}"));
    let pkcs8 = app.vault.open(&SIGNING_KEY.place(&[id]), sealed).await.map_err(|error| broken(&error.to_string()))?;
    let signer = Signer::read(&pkcs8).map_err(|error| broken(&error.to_string()))?;
    match signer.id() == id {
        true => Ok(signer),
        false => Err(broken("it is another key")),
    }
}
