//! How far the export has come, and who exports.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{AnyConnection, Row as _};

use crate::app::App;
use crate::audit::query::head;
use crate::clock;
use crate::store::Database;

/// What the exporter is called in the table.
const NAME: &str = "otlp";

/// How long a claim holds: well above the time of one request.
const CLAIM: Duration = Duration::from_secs(15);

/// The place up to which everything is out, held by this replica.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) after: i64,
    pub(super) refused: i64,
}

impl Cursor {
    /// Claims it for a while; `None` when there is nothing after it up to `head`, or another replica has it.
    pub(super) async fn claim(app: &App, head: i64) -> Result<Option<Self>, sqlx::Error> {
        let query = sqlx::query("SELECT after, refused FROM audit_exports WHERE name = $1").bind(NAME);
        let Some(row) = query.fetch_optional(app.store.pool()).await? else {
            let query = "INSERT INTO audit_exports (name, after, refused, claimed) VALUES ($1, 0, 0, 0) \
                         ON CONFLICT (name) DO NOTHING";
            sqlx::query(query).bind(NAME).execute(app.store.pool()).await?;
            return Ok(None);
        };
        let cursor = Self { after: row.try_get("after")?, refused: row.try_get("refused")? };
        // Nothing is written while there is nothing to do.
        if head <= cursor.after || !hold(app, CLAIM).await? {
            return Ok(None);
        }
        // Another one may have moved it before the claim was ours; its numbers are the ones that count.
        let query = sqlx::query("SELECT after, refused FROM audit_exports WHERE name = $1 AND after < $2");
        let row = query.bind(NAME).bind(head).fetch_optional(app.store.pool()).await?;
        row.map(|row| Ok(Self { after: row.try_get("after")?, refused: row.try_get("refused")? })).transpose()
    }

    /// How far it is.
    pub(super) async fn after(connection: &mut AnyConnection) -> Result<i64, sqlx::Error> {
        let query = sqlx::query_scalar("SELECT after FROM audit_exports WHERE name = $1").bind(NAME);
        query.fetch_optional(connection).await.map(Option::unwrap_or_default)
    }

    /// Keeps others away while the collector rests.
    pub(super) async fn hold(&self, app: &App, rest: Duration) -> Result<(), sqlx::Error> {
        hold(app, CLAIM.saturating_add(rest)).await.map(|_| ())
    }

    /// Everything up to `last` is out but for so many more that were refused. Who has lost the claim changes nothing.
    pub(super) async fn advance(&self, app: &App, last: i64, refused: i64) -> Result<(), sqlx::Error> {
        let query = sqlx::query(
            "UPDATE audit_exports SET after = $1, refused = refused + $2 WHERE name = $3 AND after = $4 AND claim = $5",
        );
        let query = query.bind(last).bind(refused).bind(NAME).bind(self.after).bind(&app.replica);
        query.execute(app.store.pool()).await.map(|_| ())
    }

    /// Gives the claim back: that of this replica, and where there is only one broker whatever a crash has left.
    pub(super) async fn release(app: &App) -> Result<(), sqlx::Error> {
        let query = match app.store.database() {
            Database::Sqlite(_) => {
                "UPDATE audit_exports SET claimed = 0 WHERE name = $1 AND CAST($2 AS TEXT) IS NOT NULL"
            }
            Database::Postgres(_) => "UPDATE audit_exports SET claimed = 0 WHERE name = $1 AND claim = $2",
        };
        sqlx::query(query).bind(NAME).bind(&app.replica).execute(app.store.pool()).await.map(|_| ())
    }

    /// For operators.
    pub(super) async fn show(app: &App) -> Result<Value, sqlx::Error> {
        let head = head(app).await?;
        let query = sqlx::query("SELECT after, refused, claim FROM audit_exports WHERE name = $1").bind(NAME);
        let Some(row) = query.fetch_optional(app.store.pool()).await? else {
            return Ok(json!({ "lag": head, "refused": 0 }));
        };
        let after: i64 = row.try_get("after")?;
        let (refused, claim): (i64, Option<String>) = (row.try_get("refused")?, row.try_get("claim")?);
        Ok(json!({ "after": after, "lag": head.saturating_sub(after), "refused": refused, "replica": claim }))
    }
}

/// Whether it is ours for so long.
async fn hold(app: &App, span: Duration) -> Result<bool, sqlx::Error> {
    let now = clock::now();
    let query = sqlx::query(
        "UPDATE audit_exports SET claim = $1, claimed = $2 WHERE name = $3 AND (claim = $1 OR claimed <= $4)",
    );
    let query = query.bind(&app.replica).bind(clock::signed(now.plus(span))).bind(NAME).bind(clock::signed(now));
    Ok(query.execute(app.store.pool()).await?.rows_affected() == 1)
}
