//! The keys with which all proxies seal MCP sessions: made here, handed to proxies, renewed in time.
//!
//! ```text
//!            made      seals           opens only
//! first    ──┬─────────────────────────┬─────────────┐
//! second                     ──┬───────┬─────────────────────────┬─────────────┐
//!                              └ lead ─┘                          └── overlap ──┘
//! ```
//!
//! A key is handed out a quarter of its time before it seals, and proxies ask twice in that time: whoever seals with it,
//! the others can open.

use std::time::Duration;

use accredit_policy::wire::session::{Key, Keys};
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use sqlx::{AnyConnection, Row as _, any::AnyRow};
use zeroize::Zeroizing;

use crate::app::App;
use crate::clock;
use crate::error::{ApiError, Code};
use crate::seal::column::SESSION_KEY;
use crate::seal::vault::Vault;
use crate::token::client::{Caller, Client, identify};

/// How long keys live.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// How long a key seals.
    pub rotate: Duration,
    /// How long it opens after that.
    pub overlap: Duration,
}

/// `GET /v1/session-keys`: the keys that open sessions now, or will soon.
pub async fn answer(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, ApiError> {
    let Client::Proxy(_) = identify(&app, &caller, None).await? else {
        return Err(ApiError::new(Code::AccessDenied, "only proxies seal sessions"));
    };
    let keys = current(&app, clock::now().seconds()).await?;
    let body = Keys { keys, next: app.rotation.next() }.write();
    let fixed = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((fixed, body.reveal().to_owned()))
}

/// The keys there are, with a new one where it is time. Whoever asks at once gets the same.
async fn current(app: &App, now: u64) -> Result<Vec<Key>, ApiError> {
    let (store, vault) = (&app.store, &app.vault);
    let keys = load(&mut *store.pool().acquire().await?, vault, now).await?;
    if app.rotation.successor(&keys, now).is_none() {
        return Ok(keys);
    }
    // Looked at again where nobody else can write: another request can have made the key in between.
    let mut transaction = store.begin().await?;
    let mut keys = load(&mut transaction, vault, now).await?;
    if let Some(not_before) = app.rotation.successor(&keys, now) {
        let secret = Zeroizing::new(clock::random::<32>()?.to_vec());
        let key = Key { secret, not_before, not_after: app.rotation.end(not_before) };
        sqlx::query("DELETE FROM session_keys WHERE not_after <= $1")
            .bind(signed(now))
            .execute(&mut *transaction)
            .await?;
        insert(&mut transaction, vault, &key).await?;
        tracing::info!(id = key.id(), not_before, "new key for sessions");
        keys.push(key);
    }
    transaction.commit().await?;
    Ok(keys)
}

async fn insert(connection: &mut AnyConnection, vault: &Vault, key: &Key) -> Result<(), ApiError> {
    let id = clock::id()?;
    let sealed = vault.seal(&SESSION_KEY.place(&[&id]), &key.secret).map_err(ApiError::unavailable)?;
    sqlx::query("INSERT INTO session_keys (id, not_before, not_after, sealed) VALUES ($1, $2, $3, $4)")
        .bind(id)
        .bind(signed(key.not_before))
        .bind(signed(key.not_after))
        .bind(sealed)
        .execute(connection)
        .await?;
    Ok(())
}

async fn load(connection: &mut AnyConnection, vault: &Vault, now: u64) -> Result<Vec<Key>, ApiError> {
    let query = "SELECT id, not_before, not_after, sealed FROM session_keys WHERE not_after > $1 ORDER BY not_before";
    let rows = sqlx::query(query).bind(signed(now)).fetch_all(connection).await?;
    let mut keys = Vec::with_capacity(rows.len());
    for row in &rows {
        keys.push(read(row, vault).await?);
    }
    Ok(keys)
}

async fn read(row: &AnyRow, vault: &Vault) -> Result<Key, ApiError> {
    let (id, sealed): (String, Vec<u8>) = (row.try_get("id")?, row.try_get("sealed")?);
    let secret = vault.open(&SESSION_KEY.place(&[&id]), &sealed).await;
    let secret = secret.map_err(|error| ApiError::unavailable(format!("the key `{id}` for sessions: {error}")))?;
    let time = |name| row.try_get::<i64, _>(name).map(|time| u64::try_from(time).unwrap_or_default());
    Ok(Key { secret, not_before: time("not_before")?, not_after: time("not_after")? })
}

impl Rotation {
    /// How long before its time a key is handed out.
    fn lead(self) -> u64 {
        self.rotate.as_secs() / 4
    }

    /// After how many seconds a proxy asks again.
    fn next(self) -> u64 {
        (self.lead() / 2).max(1)
    }

    /// When a key stops to open that seals from then on.
    fn end(self, not_before: u64) -> u64 {
        not_before.saturating_add(self.rotate.as_secs()).saturating_add(self.overlap.as_secs())
    }

    /// From when on a new key has to seal, if one has to be made at `now`.
    fn successor(self, keys: &[Key], now: u64) -> Option<u64> {
        let Some(newest) = keys.iter().max_by_key(|key| key.not_before) else {
            return Some(now);
        };
        let (known, planned) =
            (now.saturating_add(self.lead()), newest.not_before.saturating_add(self.rotate.as_secs()));
        // Late, the others need their time all the same; but never so late that no key seals.
        (known >= planned).then(|| planned.max(known).min(newest.not_after))
    }
}

/// As the database counts.
fn signed(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;
    const DAILY: Rotation =
        Rotation { rotate: Duration::from_secs(24 * HOUR), overlap: Duration::from_secs(24 * HOUR) };

    fn key(not_before: u64) -> Key {
        Key { secret: Zeroizing::default(), not_before, not_after: DAILY.end(not_before) }
    }

    #[test]
    fn a_key_is_made_well_before_the_one_before_it_stops_to_seal() {
        assert_eq!(DAILY.successor(&[], 7), Some(7), "the first one seals at once");
        let first = [key(0)];
        assert_eq!(DAILY.successor(&first, 18 * HOUR - 1), None);
        assert_eq!(DAILY.successor(&first, 18 * HOUR), Some(24 * HOUR));
        assert_eq!(DAILY.successor(&[key(0), key(24 * HOUR)], 30 * HOUR), None);
        assert_eq!(DAILY.successor(&[key(24 * HOUR), key(0)], 42 * HOUR), Some(48 * HOUR));
        assert!(2 * DAILY.next() <= DAILY.lead());
    }

    #[test]
    fn a_key_that_comes_late_gives_proxies_time_but_leaves_no_gap() {
        let first = [key(0)];
        assert_eq!(DAILY.successor(&first, 20 * HOUR), Some(26 * HOUR));
        assert_eq!(DAILY.successor(&first, 40 * HOUR), Some(46 * HOUR));
        assert_eq!(DAILY.successor(&first, 47 * HOUR), Some(48 * HOUR));
    }
}
