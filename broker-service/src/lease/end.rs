//! The end of a lease: at its target first, then on the record.

use std::error::Error;
use std::time::Duration;

use accredit_policy::Secret;
use accredit_policy::wire::audit::{self, Kind, Record};
use sqlx::Row as _;
use tokio::time::timeout;

use super::{Row, read, reap};
use crate::app::App;
use crate::clock;
use crate::credential::{Ended, Failure};
use crate::seal::column::HANDLE;

/// How long a target may take to end a credential.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a replica keeps a lease that it ends to itself.
const CLAIM: Duration = Duration::from_secs(60);

/// The longest pause between two attempts.
const LONGEST: u64 = 300;

/// Why a lease ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its time is over.
    Expired,
    /// It was never handed out: a crash or a failure came between.
    Orphaned,
    /// Its token, agent, tool or server was revoked.
    Revoked,
    /// An operator wanted it.
    Operator,
    /// The call it was minted for is over.
    Used,
}

impl Why {
    /// The reason of that word.
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::Expired, Self::Orphaned, Self::Revoked, Self::Operator, Self::Used];
        all.into_iter().find(|why| why.name() == word)
    }

    /// Its word in records and in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Orphaned => "orphaned",
            Self::Revoked => "revoked",
            Self::Operator => "operator",
            Self::Used => "used",
        }
    }
}

/// Ends the lease `id` before its time. `Ok(None)` when another replica is at it, or it has ended already.
pub async fn take_back(app: &App, id: &str, why: Why) -> Result<Option<Ended>, Failure> {
    match doom(app, id, why).await.map_err(lost)? {
        true => Ok(Some(Ended::Revoked)),
        false => end(app, id, why).await,
    }
}

/// Sees to it that a lease that is being minted is handed out to nobody; whoever mints it ends it. To end it here would come
/// too early for what its target is about to make. `Ok(false)` when nobody mints it any more.
async fn doom(app: &App, id: &str, why: Why) -> Result<bool, sqlx::Error> {
    let query = sqlx::query(
        "UPDATE leases SET reason = COALESCE(reason, $1), claimed = CASE WHEN claimed = 0 THEN 1 ELSE claimed END \
         WHERE id = $2 AND state = 'open' AND failures = 0 AND issued >= $3",
    );
    let query = query.bind(why.name()).bind(id).bind(clock::signed(reap::before(reap::ORPHAN)));
    Ok(query.execute(app.store.pool()).await?.rows_affected() == 1)
}

/// Ends the lease `id`, which nobody mints any more; an end that was begun keeps its reason. `Ok(None)` when another replica
/// is at it, or it has ended already.
pub async fn end(app: &App, id: &str, why: Why) -> Result<Option<Ended>, Failure> {
    let Some((row, handle, failures)) = claim(app, id, why).await.map_err(lost)? else {
        return Ok(None);
    };
    let outcome = match app.credentials.get(&row.credential) {
        Some(definition) if definition.kind.name() == row.kind => {
            let ending = definition.end(&row.id, handle.as_ref());
            timeout(PATIENCE, ending).await.unwrap_or_else(|_| Err(Failure::Unavailable("it takes too long".into())))
        }
        _ if !row.outlives => Ok(Ended::Expires),
        _ => Err(Failure::Unavailable("the configuration no longer says how this credential ends".into())),
    };
    match outcome {
        Ok(ended) => close(app, &row, row.reason.unwrap_or(why)).await.map(|()| Some(ended)).map_err(lost),
        Err(failure) => {
            tracing::error!(lease = row.id, credential = row.credential, "a lease was not ended: {failure}");
            postpone(app, &row.id, failures).await.map_err(lost)?;
            Err(failure)
        }
    }
}

fn lost(error: sqlx::Error) -> Failure {
    Failure::Unavailable(format!("the lease cannot be read or written: {error}"))
}

/// Takes the lease for this replica alone, and keeps why, so that an end that was begun is finished.
async fn claim(app: &App, id: &str, why: Why) -> Result<Option<(Row, Option<Secret>, u32)>, sqlx::Error> {
    let now = clock::now();
    let query = sqlx::query(
        "UPDATE leases SET claim = $1, claimed = $2, reason = COALESCE(reason, $3) \
         WHERE id = $4 AND state <> 'ended' AND claimed <= $5",
    );
    let query = query.bind(&app.replica).bind(clock::signed(now.plus(CLAIM))).bind(why.name());
    let query = query.bind(id).bind(clock::signed(now));
    if query.execute(app.store.pool()).await?.rows_affected() == 0 {
        return Ok(None);
    }
    let row = sqlx::query("SELECT * FROM leases WHERE id = $1").bind(id).fetch_one(app.store.pool()).await?;
    let handle = match row.try_get::<Option<Vec<u8>>, _>("handle")? {
        Some(sealed) => Some(open(app, id, &sealed).await?),
        None => None,
    };
    let failures = u32::try_from(row.try_get::<i64, _>("failures")?).unwrap_or_default();
    Ok(Some((read(&row)?, handle, failures)))
}

async fn open(app: &App, id: &str, sealed: &[u8]) -> Result<Secret, sqlx::Error> {
    let damaged = |error: Box<dyn Error + Send + Sync>| sqlx::Error::Decode(error);
    let plain = app.vault.open(&HANDLE.place(&[id]), sealed).await.map_err(|error| damaged(error.into()))?;
    str::from_utf8(&plain).map(Secret::new).map_err(|error| damaged(error.into()))
}

/// Writes down that it is over.
async fn close(app: &App, row: &Row, why: Why) -> Result<(), sqlx::Error> {
    let record = record(app, row, why).map_err(|error| sqlx::Error::Protocol(error.to_string()))?;
    let mut transaction = app.store.begin().await?;
    let query = sqlx::query("UPDATE leases SET state = 'ended', ended = $1, reason = $2, handle = NULL WHERE id = $3");
    let query = query.bind(clock::signed(clock::now())).bind(why.name()).bind(&row.id);
    query.execute(&mut *transaction).await?;
    crate::store::insert(&mut transaction, &[&record]).await?;
    transaction.commit().await?;
    app.store.metrics().ended(why);
    Ok(())
}

fn record(app: &App, row: &Row, why: Why) -> Result<Record, getrandom::Error> {
    Ok(Record {
        id: clock::id()?,
        time: clock::now().rfc3339(),
        kind: Kind::End,
        reason: Some(why.name().into()),
        agent: Some(audit::Agent { issuer: row.issuer.clone(), id: row.agent.clone() }),
        subject: Some(row.subject.clone()),
        server: Some(row.server.clone()),
        tool: Some(row.tool.clone()),
        credential: Some(audit::Credential {
            name: row.credential.clone(),
            kind: Some(row.kind.clone()),
            lease: Some(row.id.clone()),
            expires: Some(row.expires.rfc3339()),
        }),
        policy: Some(app.policy.digest().to_owned()),
        ..Record::default()
    })
}

/// Lets it rest, longer after each failure.
async fn postpone(app: &App, id: &str, failures: u32) -> Result<(), sqlx::Error> {
    let pause = 1_u64.checked_shl(failures).unwrap_or(LONGEST).min(LONGEST);
    let until = clock::now().plus(Duration::from_secs(pause));
    let query = sqlx::query("UPDATE leases SET claim = NULL, claimed = $1, failures = failures + 1 WHERE id = $2");
    query.bind(clock::signed(until)).bind(id).execute(app.store.pool()).await.map(|_| ())
}
