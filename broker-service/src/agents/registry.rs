//! The table of agents. Whatever changes is on the record in the same transaction.

use accredit_policy::config::error::{Path, Report};
use accredit_policy::revocation::Revocation;
use accredit_policy::wire::audit::Record;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AnyPool, Row as _};

use super::secret::Digest;
use super::{Agent, Profile, Status};
use crate::app::App;
use crate::config;
use crate::error::ApiError;
use crate::store::{Change, insert};
use crate::{admin, clock};

/// The agent of that identifier.
pub async fn find(pool: &AnyPool, id: &str) -> Result<Option<Agent>, ApiError> {
    let row = sqlx::query("SELECT * FROM agents WHERE id = $1").bind(id).fetch_optional(pool).await?;
    Ok(row.as_ref().map(read).transpose()?)
}

/// All agents, by their identifiers.
pub async fn all(pool: &AnyPool) -> Result<Vec<Agent>, ApiError> {
    let rows = sqlx::query("SELECT * FROM agents ORDER BY id").fetch_all(pool).await?;
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

/// Registers the agents of the file. What it names is made so; what it does not name is left alone, and so is whether an
/// agent is suspended.
pub async fn reconcile(app: &App, agents: &[config::Agent]) -> Result<(), ApiError> {
    for config::Agent { id, profile, secret } in agents {
        let known = find(app.store.pool(), id).await?;
        let same_secret = |agent: &Agent| match (&agent.secret, secret) {
            (Some(digest), Some(secret)) => digest.matches(secret),
            (None, None) => true,
            _ => false,
        };
        if known.as_ref().is_some_and(|agent| agent.profile.json() == profile.json() && same_secret(agent)) {
            continue;
        }
        let digest = match known.filter(same_secret) {
            Some(agent) => agent.secret,
            None => secret.as_ref().map(Digest::new).transpose()?,
        };
        let record = admin::by(app, "broker.yaml", "agent.register", id, None)?;
        put(app, Entry::File, (id, profile), digest.as_ref(), &record).await?;
    }
    Ok(())
}

/// What becomes of an agent's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// There is none yet.
    New,
    /// What is said of it changes; a secret it has stays, where the method still takes one.
    Told,
    /// Its secret changes, and nothing else.
    Secret,
    /// All of it is as the file says, whatever was there.
    File,
}

/// Writes an agent's entry and the record of it. `Ok(false)` where it is not there to be changed, or is there already.
/// Each statement writes only what it is about, so that two changes at the same time do not undo each other.
pub async fn put(
    app: &App,
    entry: Entry,
    (id, profile): (&str, &Profile),
    secret: Option<&Digest>,
    record: &Record,
) -> Result<bool, ApiError> {
    let statement = match entry {
        Entry::New => {
            "INSERT INTO agents (id, profile, secret, status, created, changed) VALUES ($1, $2, $3, 'active', $4, $4) \
             ON CONFLICT (id) DO NOTHING"
        }
        Entry::Told => {
            "UPDATE agents SET profile = $2, secret = CASE WHEN CAST($3 AS TEXT) IS NULL THEN NULL \
             ELSE COALESCE(secret, $3) END, changed = $4 WHERE id = $1"
        }
        Entry::Secret => "UPDATE agents SET secret = $3, changed = $4 WHERE id = $1 AND CAST($2 AS TEXT) IS NOT NULL",
        Entry::File => {
            "INSERT INTO agents (id, profile, secret, status, created, changed) VALUES ($1, $2, $3, 'active', $4, $4) \
             ON CONFLICT (id) DO UPDATE SET profile = excluded.profile, secret = excluded.secret, \
             changed = excluded.changed"
        }
    };
    let secret = secret.map(serde_json::to_string).transpose().map_err(ApiError::unavailable)?;
    let now = clock::signed(clock::now());
    let mut transaction = app.store.begin().await?;
    let query = sqlx::query(statement).bind(id).bind(profile.json().to_string()).bind(secret).bind(now);
    if query.execute(&mut *transaction).await?.rows_affected() == 0 {
        return Ok(false);
    }
    insert(&mut transaction, &[record]).await?;
    transaction.commit().await?;
    app.known.forget();
    Ok(true)
}

/// Suspends, resumes or retires an agent: everywhere, since the same transaction revokes it or lifts that.
/// `Ok(false)` when it is not in a state that can become this one.
pub async fn turn(app: &App, agent: &Agent, status: Status, by: &str, why: Option<&str>) -> Result<bool, ApiError> {
    let action = match status {
        Status::Active => "agent.resume",
        Status::Suspended => "agent.suspend",
        Status::Retired => "agent.retire",
    };
    let record = admin::by(app, by, action, &agent.id, why)?;
    let change = Change {
        revocation: Revocation { target: agent.target(app.issuer.url()), before: None, until: None },
        lifts: status == Status::Active,
        by: by.to_owned(),
        why: why.map(str::to_owned),
    };
    let mut transaction = app.store.begin().await?;
    if !mark(&mut transaction, &agent.id, status).await? {
        return Ok(false);
    }
    app.store.revoke(&mut transaction, &change).await?;
    insert(&mut transaction, &[&record]).await?;
    transaction.commit().await?;
    app.known.forget();
    app.store.refresh().await?;
    tracing::info!(agent = agent.id, by, "{action}");
    Ok(true)
}

/// Sets the status, if the one it has can become it. Who is resumed counts as used, or would be suspended at once.
async fn mark(connection: &mut AnyConnection, id: &str, status: Status) -> Result<bool, sqlx::Error> {
    let (from, or) = match status {
        Status::Active => (Status::Suspended, Status::Suspended),
        Status::Suspended => (Status::Active, Status::Active),
        Status::Retired => (Status::Active, Status::Suspended),
    };
    let query = sqlx::query(
        "UPDATE agents SET status = $1, changed = $2, last_used = CASE WHEN $1 = 'active' THEN $2 ELSE last_used END \
         WHERE id = $3 AND (status = $4 OR status = $5)",
    );
    let query = query.bind(status.name()).bind(clock::signed(clock::now())).bind(id).bind(from.name()).bind(or.name());
    Ok(query.execute(connection).await?.rows_affected() == 1)
}

fn read(row: &AnyRow) -> Result<Agent, sqlx::Error> {
    let broken = |what: &str| sqlx::Error::Decode(format!("the registration of an agent is broken: {what}").into());
    let status: String = row.try_get("status")?;
    let text: String = row.try_get("profile")?;
    let secret: Option<String> = row.try_get("secret")?;
    let raw = serde_json::from_str(&text).map_err(|error| broken(&error.to_string()))?;
    let mut report = Report::default();
    let profile = Profile::check(&raw, None, &Path::root(), &mut report);
    let used: Option<i64> = row.try_get("last_used")?;
    Ok(Agent {
        id: row.try_get("id")?,
        profile: report.finish(profile).map_err(|errors| broken(&errors.to_string()))?,
        secret: secret.map(|text| serde_json::from_str(&text)).transpose().map_err(|_| broken("its secret"))?,
        status: Status::parse(&status).ok_or_else(|| broken("its status"))?,
        created: clock::unsigned(row.try_get("created")?),
        used: used.map(clock::unsigned),
    })
}
