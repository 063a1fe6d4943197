//! What of a record stands in columns beside it, for searching.

use accredit_policy::wire::audit::Record;
use serde::Serialize;

/// Their names.
pub const NAMES: [&str; 10] =
    ["id", "time", "kind", "decision", "reason", "agent", "subject", "server", "tool", "request_id"];

/// Their values, in the same order.
pub type Columns = [Option<String>; NAMES.len()];

/// The columns of a record.
pub fn of(record: &Record) -> Columns {
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
    ]
}

/// A text as a column takes it, which is for searching: PostgreSQL takes no NUL, and in an index nothing long. A name that a
/// caller made up must not cost the others their records; in the record itself it stands whole.
pub fn plain(text: &str) -> String {
    let bounded = text.char_indices().take_while(|(at, _)| *at < 512).map(|(_, letter)| letter);
    bounded.map(|letter| if letter == '\0' { '\u{fffd}' } else { letter }).collect()
}

/// An enumeration's word, as it stands in the record.
fn word<T: Serialize>(value: &T) -> Option<String> {
    serde_json::to_value(value).ok()?.as_str().map(str::to_owned)
}
