//! Records as rows.

use accredit_policy::token::hex;
use accredit_policy::wire::audit::Record;
use sha2::{Digest as _, Sha256};
use sqlx::AnyConnection;

use super::search;
use super::statement::Statement;

/// How many rows one statement writes. SQLite finds the name of each parameter by going through those before it, so that
/// long statements cost more than several.
pub(super) const ROWS: usize = 16;

/// Appends `records` in their order, under the lock of [`super::Base::begin`]; those whose `id` is there already are
/// left out.
pub async fn insert(connection: &mut AnyConnection, records: &[&Record]) -> Result<(), sqlx::Error> {
    if records.is_empty() {
        return Ok(());
    }
    let last: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(seq), 0) FROM audit").fetch_one(&mut *connection).await?;
    insert_after(last, connection, records).await
}

/// The same where the number of the last record is known.
pub(super) async fn insert_after(
    last: i64,
    connection: &mut AnyConnection,
    records: &[&Record],
) -> Result<(), sqlx::Error> {
    let mut numbered = records.iter().zip(last.saturating_add(1)..);
    loop {
        let rows: Vec<_> = numbered.by_ref().take(ROWS).map(|(record, seq)| row(record, seq)).collect();
        let rows: Vec<Row<'_>> = rows.into_iter().collect::<Result<_, _>>()?;
        if rows.is_empty() {
            return search::actors(last, connection, records).await;
        }
        let mut statement = Statement::new(
            "INSERT INTO audit (seq, id, time, kind, decision, reason, agent, subject, server, tool, request_id, record, ",
        );
        statement.push(search::COLUMNS).push(")");
        statement.rows(rows, |fields, row| {
            let Row { seq, record, kind, decision, text } = row;
            let agent = record.agent.as_ref().map(|agent| agent.id.as_str());
            fields.bind(seq).bind(plain(&record.id)).bind(plain(&record.time));
            fields.bind(kind).bind(decision).bind(record.reason.as_deref().map(plain));
            fields.bind(agent.map(plain)).bind(record.subject.as_deref().map(plain));
            fields.bind(record.server.as_deref().map(plain)).bind(record.tool.as_deref().map(plain));
            fields.bind(record.request_id.as_deref().map(plain)).bind(text);
            search::bind(record, fields);
        });
        statement.push(" ON CONFLICT (id) DO NOTHING");
        statement.build()?.execute(&mut *connection).await?;
    }
}

/// A text as a column takes it, which is for searching: PostgreSQL takes no NUL, and in an index nothing long. A name that a
/// caller made up must not cost the others their records; in the record itself it stands whole, and here, where it was
/// changed, with its digest, so that no two names are one.
pub fn plain(text: &str) -> String {
    if text.len() <= LONGEST && !text.contains('\0') {
        return text.to_owned();
    }
    let bounded = text.char_indices().take_while(|(at, _)| *at < LONGEST).map(|(_, letter)| letter);
    let legal: String = bounded.map(|letter| if letter == '\0' { '\u{fffd}' } else { letter }).collect();
    format!("{legal}\u{2026}{}", hex(&Sha256::digest(text)))
}

/// The most bytes of a text that is searched as it is.
const LONGEST: usize = 512;

struct Row<'a> {
    seq: i64,
    record: &'a Record,
    kind: String,
    decision: Option<String>,
    text: String,
}

fn row<'a>(record: &'a Record, seq: i64) -> Result<Row<'a>, sqlx::Error> {
    let text = serde_json::to_string(record).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let decision = record.decision.as_ref().map(word).transpose()?;
    Ok(Row { seq, record, kind: word(&record.kind)?, decision, text })
}

/// An enumeration's word, as it stands in the record.
fn word<T: serde::Serialize>(value: &T) -> Result<String, sqlx::Error> {
    let text = serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()))?;
    Ok(text.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_columns_do_not_take_stay_apart() {
        let long = "x".repeat(513);
        let names = ["a", "a\0", "a\u{fffd}", &long, &format!("{long}x")].map(plain);
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
        assert!(names.iter().all(|name| !name.contains('\0') && name.len() < 600), "{names:?}");
    }
}
