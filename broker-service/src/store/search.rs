//! What records are found by: columns that repeat them, and a row for each actor of a chain.

use accredit_policy::token::chain::DEPTH;
use accredit_policy::wire::audit::Record;
use sqlx::AnyConnection;

use super::audit::{ROWS, plain};
use super::statement::{Fields, Statement};
use crate::clock;

/// The columns of [`bind`], in its order.
pub(super) const COLUMNS: &str = "millis, issuer, credential, lease, trace, policy, needed, lacked";

/// Fills the columns of `record`.
pub(super) fn bind(record: &Record, fields: &mut Fields<'_>) {
    let Record { agent, credential, trace_id, policy, scopes, .. } = record;
    // A proxy whose clock cannot be read has told now.
    let time = clock::parse(&record.time).unwrap_or_else(clock::now);
    let text = |text: Option<&str>| text.map(plain);
    let credential = credential.as_ref();
    fields.bind(clock::signed(time)).bind(text(agent.as_ref().map(|agent| agent.issuer.as_str())));
    fields.bind(text(credential.map(|one| one.name.as_str())));
    fields.bind(text(credential.and_then(|one| one.lease.as_deref())));
    fields.bind(text(trace_id.as_deref())).bind(text(policy.as_deref()));
    fields.bind(scopes.as_ref().map(|scopes| plain(&scopes.required.join(" "))));
    let lacked = scopes.as_ref().map(|scopes| scopes.lacked().join(" "));
    fields.bind(lacked.filter(|words| !words.is_empty()).as_deref().map(plain));
}

/// Writes the actors of `records`, which are rows by now, numbered from `last` on.
pub(super) async fn actors(last: i64, connection: &mut AnyConnection, records: &[&Record]) -> Result<(), sqlx::Error> {
    let numbered = records.iter().zip(last.saturating_add(1)..);
    let links: Vec<_> = numbered.flat_map(|(record, seq)| links(record, seq)).collect();
    for links in links.chunks(ROWS) {
        let mut statement = Statement::new(
            "INSERT INTO audit_actors (seq, place, actor, giver) \
             SELECT audit.seq, told.column3, told.column4, told.column5 FROM (",
        );
        statement.rows(links, |fields, Link { id, seq, place, actor, giver }| {
            fields.bind(plain(id)).bind(*seq).bind(*place).bind(plain(actor)).bind(giver.map(plain));
        });
        // One that came twice has another number, or was left out: nobody adds to the actors of what is there already.
        statement.push(") AS told JOIN audit ON audit.id = told.column1 AND audit.seq = told.column2");
        statement.build()?.execute(&mut *connection).await?;
    }
    Ok(())
}

/// One actor of a record's chain, and whom it has the task from.
struct Link<'a> {
    id: &'a str,
    seq: i64,
    place: i64,
    actor: &'a str,
    giver: Option<&'a str>,
}

fn links(record: &Record, seq: i64) -> impl Iterator<Item = Link<'_>> {
    let givers = record.chain.iter().skip(1).map(|giver| Some(giver.as_str())).chain([None]);
    let links = (0_i64..).zip(record.chain.iter().zip(givers));
    // No token has a longer chain; only a proxy could tell of one.
    links.take(DEPTH).map(move |(place, (actor, giver))| Link { id: &record.id, seq, place, actor, giver })
}
