//! The columns that hold sealed values, and how all of them are sealed anew.

use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Row as _, any::AnyRow};

use super::{Place, Seal};
use crate::store::Store;

/// How many rows one transaction seals anew: others wait no longer than for those.
const BATCH: i64 = 100;

/// A column of sealed values. Each has to be in [`ALL`], or it keeps being sealed with old keys.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    table: &'static str,
    column: &'static str,
    row: &'static [Part],
}

/// A part of a primary key.
#[derive(Clone, Copy, Debug)]
enum Part {
    Text(&'static str),
    Number(&'static str),
}

/// Secrets of operators, by name and version.
pub const SECRET: Column =
    Column { table: "secrets", column: "sealed", row: &[Part::Text("name"), Part::Number("version")] };

/// The keys of sessions, by identifier.
pub const SESSION_KEY: Column = Column { table: "session_keys", column: "sealed", row: &[Part::Text("id")] };

/// The keys that sign tokens, by identifier.
pub const SIGNING_KEY: Column = Column { table: "signing_keys", column: "sealed", row: &[Part::Text("id")] };

/// The keys that sign checkpoints of the audit, by identifier.
pub const CHECKPOINT_KEY: Column = Column { table: "checkpoint_keys", column: "sealed", row: &[Part::Text("id")] };

/// What ends credentials at their targets, by lease.
pub const HANDLE: Column = Column { table: "leases", column: "handle", row: &[Part::Text("id")] };

/// All of them.
pub const ALL: &[Column] = &[SECRET, SESSION_KEY, SIGNING_KEY, CHECKPOINT_KEY, HANDLE];

/// What became of the values that older keys had sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// So many are sealed with the newest key now.
    pub done: i64,
    /// So many do not open and were left alone.
    pub failed: i64,
}

/// Seals anew what the newest key has not sealed; stopped at any moment, it goes on where it was.
pub async fn reseal(store: &Store, seal: &Seal) -> Result<Resealed, sqlx::Error> {
    let mut all = Resealed::default();
    for column in ALL {
        let mut one = Resealed::default();
        while column.batch(store, seal, &mut one).await? {}
        all.done = all.done.saturating_add(one.done);
        all.failed = all.failed.saturating_add(one.failed);
    }
    Ok(all)
}

impl Column {
    /// The place of this column in the row with that primary key.
    pub fn place<'a>(&self, row: &'a [&'a str]) -> Place<'a> {
        Place::new(self.table, self.column, row)
    }

    /// One transaction's worth; whether there can be more.
    async fn batch(&self, store: &Store, seal: &Seal, resealed: &mut Resealed) -> Result<bool, sqlx::Error> {
        let mut transaction = store.begin().await?;
        let query = sqlx::query(AssertSqlSafe(self.old()));
        // Those that do not open come again, before all that were not looked at.
        let query = query.bind(seal.newest().prefix()).bind(BATCH).bind(resealed.failed);
        let rows = query.fetch_all(&mut *transaction).await?;
        for row in &rows {
            match self.renew(&mut transaction, seal, row).await? {
                Some(()) => resealed.done = resealed.done.saturating_add(1),
                None => resealed.failed = resealed.failed.saturating_add(1),
            }
        }
        transaction.commit().await?;
        Ok(!rows.is_empty())
    }

    async fn renew(
        &self,
        connection: &mut AnyConnection,
        seal: &Seal,
        row: &AnyRow,
    ) -> Result<Option<()>, sqlx::Error> {
        let key = self.row.iter().map(|part| part.text(row)).collect::<Result<Vec<_>, _>>()?;
        let parts: Vec<&str> = key.iter().map(String::as_str).collect();
        let place = self.place(&parts);
        let old: Vec<u8> = row.try_get("sealed_value")?;
        let new = match seal.open(&place, &old).and_then(|plain| seal.seal(&place, &plain)) {
            Ok(new) => new,
            Err(error) => {
                tracing::error!(table = self.table, row = ?parts, "not sealed anew: {error}");
                return Ok(None);
            }
        };
        let mut query = sqlx::query(AssertSqlSafe(self.update())).bind(new).bind(old);
        for part in self.row {
            query = part.bind(query, row)?;
        }
        query.execute(connection).await?;
        Ok(Some(()))
    }

    /// Selects what other keys than the newest have sealed.
    fn old(&self) -> String {
        let Self { table, column, .. } = self;
        let names = self.row.iter().map(|part| part.name()).collect::<Vec<_>>().join(", ");
        let prefix = super::PREFIX;
        format!(
            "SELECT {names}, {column} AS sealed_value FROM {table} \
             WHERE {column} IS NOT NULL AND substr({column}, 1, {prefix}) <> $1 ORDER BY {names} LIMIT $2 OFFSET $3"
        )
    }

    /// Replaces a value that is still the one that was read.
    fn update(&self) -> String {
        let Self { table, column, .. } = self;
        let row = self.row.iter().zip(3_u32..).map(|(part, number)| format!(" AND {} = ${number}", part.name()));
        format!("UPDATE {table} SET {column} = $1 WHERE {column} = $2{}", row.collect::<String>())
    }
}

impl Part {
    fn name(&self) -> &'static str {
        match self {
            Self::Text(name) | Self::Number(name) => name,
        }
    }

    fn text(&self, row: &AnyRow) -> Result<String, sqlx::Error> {
        match self {
            Self::Text(name) => row.try_get(*name),
            Self::Number(name) => row.try_get::<i64, _>(*name).map(|number| number.to_string()),
        }
    }

    fn bind<'q>(
        &self,
        query: Query<'q, Any, AnyArguments>,
        row: &AnyRow,
    ) -> Result<Query<'q, Any, AnyArguments>, sqlx::Error> {
        Ok(match self {
            Self::Text(name) => query.bind(row.try_get::<String, _>(*name)?),
            Self::Number(name) => query.bind(row.try_get::<i64, _>(*name)?),
        })
    }
}
