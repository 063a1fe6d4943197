//! Administrative acts on the record.

use accredit_policy::wire::audit::{Admin, Kind, Record};

use crate::app::App;
use crate::clock;
use crate::operator::Operator;

/// The record of an operator's `action`, such as `agent.suspend`, on `target`.
pub fn record(app: &App, operator: &Operator, action: &str, target: &str) -> Result<Record, getrandom::Error> {
    by(app, operator.name(), action, target, None)
}

/// The same for whoever did it, and why.
pub fn by(app: &App, by: &str, action: &str, target: &str, why: Option<&str>) -> Result<Record, getrandom::Error> {
    let admin =
        Admin { by: by.to_owned(), action: action.to_owned(), target: target.to_owned(), why: why.map(str::to_owned) };
    Ok(Record {
        id: clock::id()?,
        time: clock::now().rfc3339(),
        kind: Kind::Admin,
        admin: Some(admin),
        policy: Some(app.policy.digest().to_owned()),
        ..Record::default()
    })
}
