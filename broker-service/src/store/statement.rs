//! Statements put together from parts, with the placeholders both databases know: `$1`, `$2`, ….

use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, Arguments as _, AssertSqlSafe, Encode, Type};

/// A statement that grows. Its text is ours alone: whatever came from elsewhere is bound.
#[derive(Default)]
pub struct Statement {
    text: String,
    values: AnyArguments,
    failed: Option<sqlx::error::BoxDynError>,
}

impl Statement {
    /// Begins with this text.
    pub fn new(text: &'static str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }

    /// Goes on with this text.
    pub fn push(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Goes on with a value.
    pub fn bind<'v, T: Encode<'v, Any> + Type<Any> + 'v>(&mut self, value: T) -> &mut Self {
        if let Err(error) = self.values.add(value) {
            self.failed.get_or_insert(error);
        }
        self.text.push('$');
        self.text.push_str(&self.values.len().to_string());
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

    /// The statement as it can be run; `Err` where a value could not be bound.
    pub fn build(self) -> Result<Query<'static, Any, AnyArguments>, sqlx::Error> {
        match self.failed {
            Some(error) => Err(sqlx::Error::Encode(error)),
            None => Ok(sqlx::query_with(AssertSqlSafe(self.text), self.values)),
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
    use super::*;

    #[test]
    fn values_are_numbered_as_they_come() {
        let mut statement = Statement::new("INSERT INTO t (a, b)");
        statement.rows([(1_i64, "x"), (2, "y")], |fields, (number, text)| {
            fields.bind(number).bind(text.to_owned());
        });
        assert_eq!(statement.text, "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4)");
    }
}
