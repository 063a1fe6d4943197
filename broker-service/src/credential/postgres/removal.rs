//! How a role ends, with everything that hangs on it.

use std::time::Duration;

use sqlx::{Postgres, Transaction};
use tokio::time::sleep;

use super::super::{Ended, Failure};
use super::Role;
use super::link::{Link, failure, within};
use super::quote::{Name, statement};

/// A session can sit between two steps, or a lock.
const ATTEMPTS: u32 = 3;

const PAUSE: Duration = Duration::from_millis(25);

/// Names mean those of the system only, whatever others have made in this database.
const PATH: &str = "SET LOCAL search_path = pg_catalog, pg_temp";

/// Ends `role`; where there is none, there is nothing to do. What it made goes to `owner`, or away.
pub async fn end(link: &Link, role: &Role, owner: Option<&Name>) -> Result<Ended, Failure> {
    let mut outcome = within(remove(link, role, owner)).await;
    for _ in 1..ATTEMPTS {
        if outcome.is_ok() {
            break;
        }
        sleep(PAUSE.saturating_mul(4)).await;
        outcome = within(remove(link, role, owner)).await;
    }
    outcome
}

async fn remove(link: &Link, role: &Role, owner: Option<&Name>) -> Result<Ended, Failure> {
    let Some(oid) = lock_out(link, role).await? else {
        return Ok(Ended::Revoked);
    };
    hang_up(link, oid).await?;
    for database in homes(link, oid).await? {
        let there = link.elsewhere(&database);
        let cleared = clear(&there, role, owner).await;
        there.pool().close().await;
        cleared?;
    }
    let mut transaction = begin(link, role).await?;
    disown(&mut transaction, role, owner).await?;
    execute(&mut transaction, format!("DROP ROLE {}", role.quoted)).await?;
    transaction.commit().await.map_err(failure)?;
    Ok(Ended::Revoked)
}

/// Ends logins, for good before anything else is done. Out: the role's number, if there is the role.
async fn lock_out(link: &Link, role: &Role) -> Result<Option<i64>, Failure> {
    let mut transaction = begin(link, role).await?;
    let query =
        sqlx::query_as("SELECT oid::int8, pg_has_role(current_user, oid, 'USAGE') FROM pg_roles WHERE rolname = $1");
    let found: Option<(i64, bool)> = query.bind(&role.name).fetch_optional(&mut *transaction).await.map_err(failure)?;
    let Some((oid, ours)) = found else {
        return Ok(None);
    };
    execute(&mut transaction, format!("ALTER ROLE {} NOLOGIN", role.quoted)).await?;
    if !ours {
        // Who is no superuser ends sessions, and drops things, only of roles it is a member of.
        execute(&mut transaction, format!("GRANT {} TO CURRENT_USER", role.quoted)).await?;
    }
    transaction.commit().await.map_err(failure)?;
    Ok(Some(oid))
}

/// Terminates the role's sessions until there is none twice: one that was just let in shows a little later.
///
/// [PostgreSQL, `VALID UNTIL`](https://www.postgresql.org/docs/current/sql-createrole.html) ends none.
async fn hang_up(link: &Link, oid: i64) -> Result<(), Failure> {
    let text = "SELECT count(pg_catalog.pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity \
                WHERE usesysid OPERATOR(pg_catalog.=) $1::int8::oid";
    let mut quiet = 0_u32;
    while quiet < 2 {
        let found: i64 = sqlx::query_scalar(text).bind(oid).fetch_one(link.pool()).await.map_err(failure)?;
        quiet = if found == 0 { quiet.saturating_add(1) } else { 0 };
        sleep(PAUSE).await;
    }
    Ok(())
}

/// The other databases where the role owns something or is granted something.
async fn homes(link: &Link, oid: i64) -> Result<Vec<String>, Failure> {
    let text = "SELECT DISTINCT datname::text FROM pg_catalog.pg_shdepend JOIN pg_catalog.pg_database AS base \
                ON dbid OPERATOR(pg_catalog.=) base.oid WHERE refclassid OPERATOR(pg_catalog.=) 1260::oid \
                AND refobjid OPERATOR(pg_catalog.=) $1::int8::oid AND datname OPERATOR(pg_catalog.<>) $2::name";
    let query = sqlx::query_scalar(text).bind(oid).bind(link.database());
    query.fetch_all(link.pool()).await.map_err(failure)
}

async fn clear(link: &Link, role: &Role, owner: Option<&Name>) -> Result<(), Failure> {
    let mut transaction = begin(link, role).await?;
    disown(&mut transaction, role, owner).await?;
    transaction.commit().await.map_err(failure)
}

/// What a role made is not given to the role that makes roles: its functions would run with that one's rights.
async fn disown(transaction: &mut Transaction<'_, Postgres>, role: &Role, owner: Option<&Name>) -> Result<(), Failure> {
    if let Some(owner) = owner {
        execute(transaction, format!("REASSIGN OWNED BY {} TO {owner}", role.quoted)).await?;
    }
    execute(transaction, format!("DROP OWNED BY {} CASCADE", role.quoted)).await
}

async fn begin(link: &Link, role: &Role) -> Result<Transaction<'static, Postgres>, Failure> {
    let mut transaction = link.begin(role.lock).await?;
    execute(&mut transaction, PATH.to_owned()).await?;
    Ok(transaction)
}

async fn execute(transaction: &mut Transaction<'_, Postgres>, text: String) -> Result<(), Failure> {
    let query = sqlx::query(statement(text)).persistent(false);
    query.execute(&mut **transaction).await.map(drop).map_err(failure)
}
