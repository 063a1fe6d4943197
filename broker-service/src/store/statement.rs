//! Statements put together from parts.
//!
//! Both databases know the placeholders `$1`, `$2`, …, but the driver of SQLite finds each of them by going through the names
//! of all before it; one without a number it finds by its place.

use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, Arguments as _, AssertSqlSafe, Encode, Type};

/// Stands for a value.
const VALUE: char = '$';

/// What no text of ours has: it would be taken for a value.
const PLACES: [char; 2] = [VALUE, '?'];

/// How many rows a statement is for.
const SIZES: [usize; 7] = [64, 32, 16, 8, 4, 2, 1];

/// The rows, so many at a time as one statement is for. There are few lengths, since each makes another statement, which a
/// connection keeps prepared.
pub fn shares<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rows.len())?;
        let (share, rest) = rows.split_at_checked(size)?;
        rows = rest;
        Some(share)
    })
}

/// A statement that grows. Its text is ours alone: whatever came from elsewhere is bound.
#[derive(Default)]
pub struct Statement {
    /// With a `$` for each value.
    text: String,
    values: AnyArguments,
    failed: Option<sqlx::error::BoxDynError>,
}

impl Statement {
    /// Begins with this text.
    pub fn new(text: &'static str) -> Self {
        debug_assert!(!text.contains(PLACES), "{text}");
        Self { text: text.to_owned(), ..Self::default() }
    }

    /// Goes on with this text.
    pub fn push(&mut self, text: &'static str) -> &mut Self {
        debug_assert!(!text.contains(PLACES), "{text}");
        self.text.push_str(text);
        self
    }

    /// Goes on with a value.
    pub fn bind<'v, T: Encode<'v, Any> + Type<Any> + 'v>(&mut self, value: T) -> &mut Self {
        if let Err(error) = self.values.add(value) {
            self.failed.get_or_insert(error);
        }
        self.text.push(VALUE);
        self
    }

    /// Goes on with rows of values, as `VALUES (…), (…)`.
    pub fn rows<R>(&mut self, rows: impl IntoIterator<Item = R>, fill: impl Fn(&mut Fields<'_>, R)) -> &mut Self {
        self.push(" VALUES ");
        for (index, row) in rows.into_iter().enumerate() {
            self.push(if index == 0 { "(" } else { ", (" });
            fill(&mut Fields { statement: self, first: true }, row);
            self.push(")");
        }
        self
    }

    /// The statement as either database runs it; `Err` where a value could not be bound.
    pub fn build(self) -> Result<Query<'static, Any, AnyArguments>, sqlx::Error> {
        let text = self.numbered();
        self.query(text)
    }

    /// The same as the database of this connection runs it best: for statements with many values.
    pub fn build_for(self, connection: &AnyConnection) -> Result<Query<'static, Any, AnyArguments>, sqlx::Error> {
        let text = match connection.backend_name() {
            "SQLite" => self.text.replace(VALUE, "?"),
            _ => self.numbered(),
        };
        self.query(text)
    }

    fn numbered(&self) -> String {
        let mut parts = self.text.split(VALUE);
        let mut text = parts.next().unwrap_or_default().to_owned();
        for (number, part) in (1_usize..).zip(parts) {
            text.push_str(&format!("${number}{part}"));
        }
        text
    }

    fn query(self, text: String) -> Result<Query<'static, Any, AnyArguments>, sqlx::Error> {
        match self.failed {
            Some(error) => Err(sqlx::Error::Encode(error)),
            None => Ok(sqlx::query_with(AssertSqlSafe(text), self.values)),
        }
    }
}

/// The values of one row.
pub struct Fields<'a> {
    statement: &'a mut Statement,
    first: bool,
}

impl Fields<'_> {
    /// The next one.
    pub fn bind<'v, T: Encode<'v, Any> + Type<Any> + 'v>(&mut self, value: T) -> &mut Self {
        if !std::mem::replace(&mut self.first, false) {
            self.statement.push(", ");
        }
        self.statement.bind(value);
        self
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection as _, Execute as _, Row as _};

    use super::*;

    #[test]
    fn rows_are_shared_out_whole_and_in_order() {
        for count in 0..200 {
            let rows: Vec<_> = (0..count).collect();
            let shares: Vec<_> = shares(&rows).collect();
            assert_eq!(shares.concat(), rows);
            assert!(shares.iter().all(|share| SIZES.contains(&share.len())), "{count}");
        }
    }

    #[tokio::test]
    async fn sqlite_finds_values_by_their_places() {
        sqlx::any::install_default_drivers();
        let mut connection = AnyConnection::connect("sqlite::memory:").await.unwrap();
        let joined = || {
            let mut statement = Statement::new("SELECT ");
            statement.bind("a").push(" || ").bind("b");
            statement
        };
        assert_eq!(joined().build_for(&connection).unwrap().sql().as_str(), "SELECT ? || ?");
        let row = joined().build_for(&connection).unwrap().fetch_one(&mut connection).await.unwrap();
        assert_eq!(row.get::<String, _>(0), "ab");
    }

    #[test]
    fn values_are_numbered_as_they_come() {
        let mut statement = Statement::new("INSERT INTO t (a, b)");
        statement.rows([(1_i64, "x"), (2, "y")], |fields, (number, text)| {
            fields.bind(number).bind(text.to_owned());
        });
        statement.push(" RETURNING a");
        assert_eq!(statement.numbered(), "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4) RETURNING a");
    }
}
