//! What of a record stands in columns beside it, for searching.

use accredit_policy::token::hex;
use accredit_policy::wire::audit::Record;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::clock;

/// Their names.
pub const NAMES: [&str; 18] = [
    "id",
    "time",
    "kind",
    "decision",
    "reason",
    "agent",
    "subject",
    "server",
    "tool",
    "request_id",
    "issuer",
    "credential",
    "lease",
    "trace",
    "policy",
    "needed",
    "lacked",
    MILLIS,
];

/// The one column that is a number: the record's time in milliseconds since the epoch.
pub const MILLIS: &str = "millis";

/// Their values in the same order, numbers in decimal.
pub type Columns = [Option<String>; NAMES.len()];

/// The most bytes of a text that is searched as it is.
const LONGEST: usize = 512;

/// The value of [`MILLIS`]; 0 for a time that is none.
pub fn millis(record: &Record) -> i64 {
    clock::parse(&record.time).map_or(0, clock::signed)
}

/// The columns of a record.
pub fn of(record: &Record) -> Columns {
    let credential = record.credential.as_ref();
    let lacked = record.scopes.as_ref().map(|scopes| scopes.lacked().join(" "));
    [
        Some(plain(&record.id)),
        Some(plain(&record.time)),
        word(&record.kind),
        record.decision.as_ref().and_then(word),
        record.reason.as_deref().map(plain),
        record.agent.as_ref().map(|agent| plain(&agent.id)),
        record.subject.as_deref().map(plain),
        record.server.as_deref().map(plain),
        record.tool.as_deref().map(plain),
        record.request_id.as_deref().map(plain),
        record.agent.as_ref().map(|agent| plain(&agent.issuer)),
        credential.map(|credential| plain(&credential.name)),
        credential.and_then(|credential| credential.lease.as_deref()).map(plain),
        record.trace_id.as_deref().map(plain),
        record.policy.as_deref().map(plain),
        record.scopes.as_ref().map(|scopes| plain(&scopes.required.join(" "))),
        lacked.filter(|words| !words.is_empty()).as_deref().map(plain),
        Some(millis(record).to_string()),
    ]
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

/// An enumeration's word, as it stands in the record.
fn word<T: Serialize>(value: &T) -> Option<String> {
    serde_json::to_value(value).ok()?.as_str().map(str::to_owned)
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
