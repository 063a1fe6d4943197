//! Leases: every credential that was asked for, from before it is minted until nothing of it is left.
//!
//! ```text
//!  intent ──▶ open ──▶ live ──▶ ended        by expiry, revocation or an operator
//!               └───────────────▲            a crash, a failure or a slow target before it was handed out
//! ```

pub mod api;
pub mod end;
pub mod reap;
pub mod used;

use accredit_policy::revocation::{self, Target};
use accredit_policy::token::Verified;
use accredit_policy::{Secret, Time};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use crate::app::App;
use crate::audit::columns::plain;
use crate::clock;
use crate::credential::{Failure, Ledger};
use crate::seal::column::HANDLE;
use crate::store::{Statement, shares};

/// A lease as it is kept.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its identifier, a UUIDv7.
    pub id: String,
    /// The credential's name in the policy.
    pub credential: String,
    /// How it is made.
    pub kind: String,
    /// Who names the agent.
    pub issuer: String,
    /// The proxy that asked.
    pub proxy: String,
    /// Whose call it is for.
    pub agent: String,
    /// For whom the agent acts.
    pub subject: String,
    /// What can revoke the token it was minted for.
    pub token: Token,
    /// The server's name in the policy.
    pub server: String,
    /// The tool's.
    pub tool: String,
    /// What it is good for.
    pub scope: String,
    /// From when.
    pub issued: Time,
    /// Until when.
    pub expires: Time,
    /// Whether something lives on at the target that has to be ended.
    pub outlives: bool,
    /// Why it ends, or has to.
    pub reason: Option<end::Why>,
}

/// What can revoke a token.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Token {
    /// Each of them.
    pub targets: Vec<Target>,
    /// When it was issued, in seconds.
    pub issued: Option<u64>,
}

impl Token {
    /// Of a token that was proved.
    pub fn of(verified: &Verified) -> Self {
        let issued = verified.claims().issued.map(Time::seconds);
        Self { targets: revocation::targets(verified).collect(), issued }
    }
}

/// Writes new leases. One that nothing has to end is live at once, since its credential is gone with a crash.
pub async fn insert(connection: &mut AnyConnection, leases: &[&Row]) -> Result<(), sqlx::Error> {
    for leases in shares(leases) {
        let rows: Vec<_> = leases.iter().map(|row| text(row).map(|token| (row, token))).collect::<Result<_, _>>()?;
        let mut statement = Statement::new(
            "INSERT INTO leases (id, credential, kind, proxy, issuer, agent, subject, token, server, tool, scope, issued, \
             expires, state, outlives, claimed, failures)",
        );
        statement.rows(rows, |fields, (row, token)| {
            fields.bind(row.id.clone()).bind(row.credential.clone()).bind(row.kind.clone());
            fields
                .bind(row.proxy.clone())
                .bind(plain(&row.issuer))
                .bind(plain(&row.agent))
                .bind(plain(&row.subject))
                .bind(token);
            fields.bind(row.server.clone()).bind(plain(&row.tool)).bind(row.scope.clone());
            fields.bind(clock::signed(row.issued)).bind(clock::signed(row.expires));
            fields.bind(if row.outlives { "open" } else { "live" }).bind(i64::from(row.outlives));
            fields.bind(0_i64).bind(0_i64);
        });
        statement.build_for(connection)?.execute(&mut *connection).await?;
    }
    Ok(())
}

fn text(row: &Row) -> Result<String, sqlx::Error> {
    // Nothing asks what revokes a credential that cannot be ended.
    match row.outlives {
        true => serde_json::to_string(&row.token).map_err(|error| sqlx::Error::Encode(error.into())),
        false => Ok("{}".into()),
    }
}

fn read(row: &AnyRow) -> Result<Row, sqlx::Error> {
    let token: String = row.try_get("token")?;
    Ok(Row {
        id: row.try_get("id")?,
        credential: row.try_get("credential")?,
        kind: row.try_get("kind")?,
        proxy: row.try_get("proxy")?,
        issuer: row.try_get("issuer")?,
        agent: row.try_get("agent")?,
        subject: row.try_get("subject")?,
        token: serde_json::from_str(&token).unwrap_or_default(),
        server: row.try_get("server")?,
        tool: row.try_get("tool")?,
        scope: row.try_get("scope")?,
        issued: clock::unsigned(row.try_get("issued")?),
        expires: clock::unsigned(row.try_get("expires")?),
        outlives: row.try_get::<i64, _>("outlives")? != 0,
        reason: row.try_get::<Option<String>, _>("reason")?.and_then(|word| end::Why::parse(&word)),
    })
}

/// Keeps what ends a credential with its lease.
pub struct Keeper<'a> {
    /// Whose store it is.
    pub app: &'a App,
    /// The lease.
    pub lease: &'a str,
}

impl Ledger for Keeper<'_> {
    async fn keep(&self, handle: Secret) -> Result<(), Failure> {
        let failed = |error: sqlx::Error| Failure::Unavailable(format!("the lease was not kept: {error}"));
        let sealed = self.app.vault.seal(&HANDLE.place(&[self.lease]), handle.reveal().as_bytes());
        let sealed = sealed.map_err(|error| Failure::Unavailable(error.to_string()))?;
        let query = sqlx::query("UPDATE leases SET handle = $1 WHERE id = $2 AND state = 'open'");
        let query = query.bind(sealed).bind(self.lease);
        let done = query.execute(self.app.store.pool()).await.map_err(failed)?;
        match done.rows_affected() {
            1 => Ok(()),
            _ => Err(Failure::Unavailable("the lease has ended before its credential was made".into())),
        }
    }
}
