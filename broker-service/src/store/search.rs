//! A row for each actor of a record's chain, by which records are found.

use accredit_policy::wire::audit::Record;
use sqlx::AnyConnection;

use super::statement::{Statement, shares};
use crate::audit::actors::{self, Actor};

/// Writes the actors of `records`, which are rows by now, numbered from `last` on.
pub(super) async fn actors(last: u64, connection: &mut AnyConnection, records: &[&Record]) -> Result<(), sqlx::Error> {
    let numbered = records.iter().zip(last.saturating_add(1)..);
    let seq = |seq| i64::try_from(seq).unwrap_or(i64::MAX);
    let rows: Vec<_> =
        numbered.flat_map(|(record, number)| actors::of(record).map(move |actor| (seq(number), actor))).collect();
    for rows in shares(&rows) {
        let mut statement = Statement::new("INSERT INTO audit_actors (seq, place, actor, giver)");
        statement.rows(rows, |fields, (seq, Actor { place, name, giver })| {
            fields.bind(*seq).bind(*place).bind(name.clone()).bind(giver.clone());
        });
        statement.build_for(connection)?.execute(&mut *connection).await?;
    }
    Ok(())
}
