//! Names and texts inside statements that take no parameters.

use std::fmt;

use sqlx::AssertSqlSafe;

/// A name as it stands in a statement, in quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

/// A text as it stands in a statement, in quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(String);

impl Name {
    /// Quotes a name; it is as long as the server keeps, and holds no NUL.
    ///
    /// [PostgreSQL, identifiers](https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS)
    pub fn quote(name: &str) -> Option<Self> {
        let sound = (1..=63).contains(&name.len()) && !name.contains('\0');
        sound.then(|| Self(format!("\"{}\"", name.replace('"', "\"\""))))
    }
}

impl Text {
    /// Quotes a text without NUL, whatever `standard_conforming_strings` is.
    ///
    /// [PostgreSQL, C-style escapes](https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-STRINGS-ESCAPE)
    pub fn quote(text: &str) -> Option<Self> {
        let escaped = text.replace('\\', "\\\\").replace('\'', "''");
        (!text.contains('\0')).then(|| Self(format!("E'{escaped}'")))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A statement all of whose parts are the operator's, ours, or quoted.
pub fn statement(text: String) -> AssertSqlSafe<String> {
    AssertSqlSafe(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_inside_does_not_end_what_is_quoted() {
        let name = |name| Name::quote(name).map(|name| name.to_string());
        assert_eq!(name("reader").as_deref(), Some(r#""reader""#));
        assert_eq!(name(r#"a"; DROP ROLE postgres; --"#).as_deref(), Some(r#""a""; DROP ROLE postgres; --""#));
        assert_eq!(name(r"a\"), Some(r#""a\""#.into()));
        let text = |text| Text::quote(text).map(|text| text.to_string());
        assert_eq!(text("it's").as_deref(), Some("E'it''s'"));
        assert_eq!(text(r"\'; DROP ROLE postgres; --").as_deref(), Some(r"E'\\''; DROP ROLE postgres; --'"));
    }

    #[test]
    fn what_the_server_would_cut_is_no_name() {
        assert_eq!(Name::quote(""), None);
        assert_eq!(Name::quote("a\0b"), None);
        assert_eq!(Text::quote("a\0b"), None);
        assert!(Name::quote(&"a".repeat(63)).is_some());
        assert_eq!(Name::quote(&"a".repeat(64)), None);
    }
}
