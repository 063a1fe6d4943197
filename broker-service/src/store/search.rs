//! What records are found by: columns that repeat them, and a row for each actor of a chain.

use accredit_policy::token::chain::DEPTH;
use accredit_policy::wire::audit::Record;
use sqlx::AnyConnection;

use super::audit::plain;
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

/// Writes the actors of `records`, which are rows already.
pub(super) async fn actors(connection: &mut AnyConnection, records: &[&Record]) -> Result<(), sqlx::Error> {
    for record in records.iter().filter(|record| !record.chain.is_empty()) {
        // No token has a longer chain; only a proxy could tell of one.
        let actors: Vec<_> = record.chain.iter().take(DEPTH).collect();
        let givers = actors.iter().skip(1).map(Some).chain([None]);
        let mut statement = Statement::new(
            "INSERT INTO audit_actors (seq, place, actor, giver) \
             SELECT audit.seq, told.column2, told.column3, told.column4 FROM (",
        );
        statement.rows((0_i64..).zip(actors.iter().zip(givers)), |fields, (place, (actor, giver))| {
            fields.bind(plain(&record.id)).bind(place).bind(plain(actor)).bind(giver.map(|giver| plain(giver)));
        });
        // A record that came twice has its actors already.
        statement
            .push(") AS told JOIN audit ON audit.id = told.column1 WHERE true ON CONFLICT (seq, place) DO NOTHING");
        statement.build()?.execute(&mut *connection).await?;
    }
    Ok(())
}
