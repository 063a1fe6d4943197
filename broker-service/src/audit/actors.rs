//! Who stands in a record's chain: a row for each beside it, by which it is found.

use accredit_policy::token::chain::DEPTH;
use accredit_policy::wire::audit::Record;

use super::columns::plain;

/// One actor of a record's chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Its place; the current one has 0.
    pub place: i64,
    /// Its name, as a column takes it.
    pub name: String,
    /// Whom it has the task from.
    pub giver: Option<String>,
}

/// The actors of a record, the current one first.
pub fn of(record: &Record) -> impl Iterator<Item = Actor> {
    let givers = record.chain.iter().skip(1).map(|giver| Some(plain(giver))).chain([None]);
    let actors = (0_i64..).zip(record.chain.iter().zip(givers));
    // No token has a longer chain; only a proxy could tell of one.
    actors.take(DEPTH).map(|(place, (name, giver))| Actor { place, name: plain(name), giver })
}
