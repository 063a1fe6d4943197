//! Secrets of operators, such as API keys of targets: put here once, sealed at rest, read only to be sent to a target.

pub mod api;

use std::fmt;

use accredit_policy::wire::audit::Record;
use accredit_policy::{Secret, Time};
use sqlx::{Row as _, any::AnyRow};

use crate::clock;
use crate::error::ApiError;
use crate::seal::column::SECRET;
use crate::seal::vault::Vault;
use crate::store::{self, Store};

/// The largest secret in bytes.
pub const SIZE: usize = 16 * 1024;

/// The secrets there are. Copies share them.
#[derive(Clone)]
pub struct Secrets {
    store: Store,
    vault: Vault,
}

/// The name of a secret: at most 64 letters, digits, `.`, `_` and `-`, the first a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

/// What may be told of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Its name.
    pub name: String,
    /// How many values it has had.
    pub version: i64,
    /// When it got this one.
    pub created: Time,
    /// From whom.
    pub created_by: String,
}

impl Name {
    /// What is a name, for messages.
    pub const ACCEPTED: &'static str = "1 to 64 letters, digits, `.`, `_` and `-`, the first a letter or digit";

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        (begins && text.len() <= 64 && text.chars().all(plain)).then(|| Self(text.to_owned()))
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Secrets {
    /// The secrets in `store`, sealed by `vault`.
    pub fn new(store: Store, vault: Vault) -> Self {
        Self { store, vault }
    }

    /// The current value, if there is such a secret.
    pub async fn find(&self, name: &Name) -> Result<Option<Secret>, ApiError> {
        let query = sqlx::query("SELECT version, sealed FROM secrets WHERE name = $1 AND current = 1");
        let Some(row) = query.bind(name.as_str()).fetch_optional(self.store.pool()).await? else {
            return Ok(None);
        };
        let version = row.try_get::<i64, _>("version")?.to_string();
        let sealed: Vec<u8> = row.try_get("sealed")?;
        let plain = self.vault.open(&SECRET.place(&[name.as_str(), &version]), &sealed).await;
        let plain = plain.map_err(|error| ApiError::unavailable(format!("the secret `{name}`: {error}")))?;
        let text = str::from_utf8(&plain).map_err(ApiError::unavailable)?;
        Ok(Some(Secret::new(text)))
    }

    /// Gives the secret this value from now on, and forgets the one before. `record` is kept with it.
    pub async fn put(&self, name: &Name, value: &Secret, by: &str, record: &Record) -> Result<About, ApiError> {
        let created = clock::now();
        let mut transaction = self.store.begin().await?;
        let query = sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM secrets WHERE name = $1");
        let last: i64 = query.bind(name.as_str()).fetch_one(&mut *transaction).await?;
        let version = last.saturating_add(1);
        let sealed = self.vault.seal(&SECRET.place(&[name.as_str(), &version.to_string()]), value.reveal().as_bytes());
        sqlx::query(FORGET).bind(name.as_str()).execute(&mut *transaction).await?;
        let query = "INSERT INTO secrets (name, version, sealed, created, created_by, current) \
                     VALUES ($1, $2, $3, $4, $5, 1)";
        sqlx::query(query)
            .bind(name.as_str())
            .bind(version)
            .bind(sealed.map_err(ApiError::unavailable)?)
            .bind(clock::signed(created))
            .bind(by)
            .execute(&mut *transaction)
            .await?;
        store::insert(&mut transaction, &[record]).await?;
        transaction.commit().await?;
        Ok(About { name: name.as_str().to_owned(), version, created, created_by: by.to_owned() })
    }

    /// What there is, by name; no values.
    pub async fn list(&self) -> Result<Vec<About>, ApiError> {
        let query = "SELECT name, version, created, created_by FROM secrets WHERE current = 1 ORDER BY name";
        let rows = sqlx::query(query).fetch_all(self.store.pool()).await?;
        Ok(rows.iter().map(about).collect::<Result<_, _>>()?)
    }

    /// Forgets the secret; whether there was one. `record` is kept if so.
    pub async fn remove(&self, name: &Name, record: &Record) -> Result<bool, ApiError> {
        let mut transaction = self.store.begin().await?;
        let done = sqlx::query(FORGET).bind(name.as_str()).execute(&mut *transaction).await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        store::insert(&mut transaction, &[record]).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

const FORGET: &str = "UPDATE secrets SET current = 0, sealed = NULL WHERE name = $1 AND current = 1";

fn about(row: &AnyRow) -> Result<About, sqlx::Error> {
    Ok(About {
        name: row.try_get("name")?,
        version: row.try_get("version")?,
        created: clock::unsigned(row.try_get("created")?),
        created_by: row.try_get("created_by")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for good in ["crm", "crm-api.v2_x", "7", &"a".repeat(64)] {
            assert_eq!(Name::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "-crm", ".", "..", "crm/api", "crm api", "é", "crm\n", &"a".repeat(65)] {
            assert_eq!(Name::parse(bad), None, "{bad}");
        }
    }
}
