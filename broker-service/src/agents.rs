//! The registry of agents: who may ask for tokens, for what, and for how long.

use std::time::Duration;

use accredit_policy::scope::Scopes;
use accredit_policy::{Secret, Time};
use sha2::{Digest as _, Sha256};
use sqlx::{Row as _, SqlitePool, sqlite::SqliteRow};
use subtle::ConstantTimeEq as _;

use crate::clock;
use crate::config;
use crate::error::ApiError;

/// A registered agent.
#[derive(Clone, Debug)]
pub struct Agent {
    /// Its client identifier.
    pub id: String,
    /// The scopes it may ask for.
    pub scopes: Scopes,
    /// The resources it may ask for.
    pub resources: Vec<String>,
    /// How long its tokens live.
    pub token_lifetime: Duration,
    active: bool,
    salt: Vec<u8>,
    digest: Vec<u8>,
}

impl Agent {
    /// Whether it may do anything at all.
    pub fn active(&self) -> bool {
        self.active
    }

    fn knows(&self, secret: &Secret) -> bool {
        digest(&self.salt, secret).ct_eq(&self.digest).into()
    }
}

/// Registers the agents of the file. What it names is made so; what it does not name is left alone.
pub async fn seed(pool: &SqlitePool, agents: &[config::Agent], now: Time) -> Result<(), ApiError> {
    for agent in agents {
        let salt = clock::random::<16>()?;
        let query = sqlx::query(
            "INSERT INTO agents (id, name, owner, purpose, status, secret_salt, secret_sha256, scopes, resources, \
             token_lifetime, created) VALUES (?, ?, ?, ?, 'active', ?, ?, ?, ?, ?, ?) \
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, owner = excluded.owner, purpose = excluded.purpose, \
             secret_salt = excluded.secret_salt, secret_sha256 = excluded.secret_sha256, scopes = excluded.scopes, \
             resources = excluded.resources, token_lifetime = excluded.token_lifetime",
        );
        query
            .bind(&agent.id)
            .bind(&agent.name)
            .bind(&agent.owner)
            .bind(&agent.purpose)
            .bind(salt.as_slice())
            .bind(digest(&salt, &agent.secret))
            .bind(agent.scopes.to_string())
            .bind(agent.resources.join(" "))
            .bind(i64::try_from(agent.token_lifetime.as_secs()).unwrap_or(i64::MAX))
            .bind(now.rfc3339())
            .execute(pool)
            .await?;
    }
    Ok(())
}

/// The agent of that identifier.
pub async fn find(pool: &SqlitePool, id: &str) -> Result<Option<Agent>, ApiError> {
    let row = sqlx::query("SELECT * FROM agents WHERE id = ?").bind(id).fetch_optional(pool).await?;
    Ok(row.as_ref().map(read).transpose()?)
}

/// The agent that proves to be `id` by its secret. Unknown and wrong take the same way.
pub async fn authenticate(pool: &SqlitePool, id: &str, secret: &Secret) -> Result<Option<Agent>, ApiError> {
    let agent = find(pool, id).await?;
    if agent.is_none() {
        // As much work as for an agent there is, so that the time does not tell which identifiers exist.
        digest(&[0; 16], secret);
    }
    Ok(agent.filter(|agent| agent.knows(secret)))
}

fn read(row: &SqliteRow) -> Result<Agent, sqlx::Error> {
    let words = |text: String| text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    let scopes = Scopes::parse(&row.try_get::<String, _>("scopes")?);
    let lifetime = u64::try_from(row.try_get::<i64, _>("token_lifetime")?).unwrap_or_default();
    Ok(Agent {
        id: row.try_get("id")?,
        scopes: scopes.unwrap_or_default(),
        resources: words(row.try_get("resources")?),
        token_lifetime: Duration::from_secs(lifetime),
        active: row.try_get::<String, _>("status")? == "active",
        salt: row.try_get("secret_salt")?,
        digest: row.try_get("secret_sha256")?,
    })
}

/// Secrets are long and random, so one round is enough: there is nothing to guess.
fn digest(salt: &[u8], secret: &Secret) -> Vec<u8> {
    Sha256::new_with_prefix(salt).chain_update(secret.reveal()).finalize().to_vec()
}
