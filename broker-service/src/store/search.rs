//! A row for each actor of a record's chain, by which records are found.

use accredit_policy::token::chain::DEPTH;
use accredit_policy::wire::audit::Record;
use sqlx::AnyConnection;

use super::statement::{Statement, shares};
use crate::audit::columns::plain;

/// Writes the actors of `records`, which are rows by now, numbered from `last` on.
pub(super) async fn actors(last: u64, connection: &mut AnyConnection, records: &[&Record]) -> Result<(), sqlx::Error> {
    let numbered = records.iter().zip(last.saturating_add(1)..);
    let links: Vec<_> = numbered.flat_map(|(record, seq)| links(record, seq)).collect();
    for links in shares(&links) {
        let mut statement = Statement::new("INSERT INTO audit_actors (seq, place, actor, giver)");
        statement.rows(links, |fields, Link { seq, place, actor, giver }| {
            fields.bind(*seq).bind(*place).bind(plain(actor)).bind(giver.map(plain));
        });
        statement.build_for(connection)?.execute(&mut *connection).await?;
    }
    Ok(())
}

/// One actor of a record's chain, and whom it has the task from.
struct Link<'a> {
    seq: i64,
    place: i64,
    actor: &'a str,
    giver: Option<&'a str>,
}

fn links(record: &Record, seq: u64) -> impl Iterator<Item = Link<'_>> {
    let seq = i64::try_from(seq).unwrap_or(i64::MAX);
    let givers = record.chain.iter().skip(1).map(|giver| Some(giver.as_str())).chain([None]);
    let links = (0_i64..).zip(record.chain.iter().zip(givers));
    // No token has a longer chain; only a proxy could tell of one.
    links.take(DEPTH).map(move |(place, (actor, giver))| Link { seq, place, actor, giver })
}
