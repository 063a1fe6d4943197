//! A record for people: on one line, as a row of a table.

use serde_json::{Value, json};

use crate::command::table;

/// The columns of [`of`].
pub const COLUMNS: &[(&str, &str)] = &[
    ("TIME", "/time"),
    ("KIND", "/kind"),
    ("DECISION", "/decision"),
    ("AGENT", "/agent"),
    ("FOR", "/for"),
    ("THROUGH", "/through"),
    ("TOOL", "/tool"),
    ("WITH", "/with"),
];

/// The longest cell: names come from callers, too.
const WIDTH: usize = 64;

/// The rows of these records.
pub fn all(records: Option<&Value>) -> Value {
    records.and_then(Value::as_array).into_iter().flatten().map(of).collect()
}

/// The row of `record`.
pub fn of(record: &Value) -> Value {
    if let (Some(_), Some(seq)) = (record.get("unreadable"), record.get("seq")) {
        return json!({ "time": format!("seq {seq}"), "kind": "unreadable" });
    }
    let text = |pointer| table::text(record, pointer);
    let named = |pointer| record.pointer(pointer).is_some();
    let decision = match record.pointer("/shadow") {
        Some(_) => format!("{} (shadow)", text("/decision")),
        None => text("/decision"),
    };
    let what = if named("/tool") { text("/tool") } else { text("/method") };
    let tool = if named("/server") { format!("{}/{what}", text("/server")) } else { what };
    let chain = record.pointer("/chain").and_then(Value::as_array);
    let through = chain.map(|chain| chain.iter().map(|actor| table::text(actor, "")).collect::<Vec<_>>().join(" < "));
    let agent = if named("/agent/id") { text("/agent/id") } else { text("/admin/by") };
    json!({
        "time": text("/time"),
        "kind": text("/kind"),
        "decision": decision,
        "agent": short(&agent),
        "for": short(&text("/subject")),
        "through": through.map(|through| short(&through)),
        "tool": short(&tool),
        "with": with(record),
    })
}

/// The row on a line of its own.
pub fn line(record: &Value) -> String {
    let row = of(record);
    let widths = [24, 8, 8, 16, 16, 16, 24, 0];
    let cells =
        COLUMNS.iter().zip(widths).map(|((_, pointer), width)| format!("{:<width$}", table::text(&row, pointer)));
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

/// Why it was denied and what would have permitted it; with which credential, and what came of it.
fn with(record: &Value) -> String {
    let text = |pointer| table::text(record, pointer);
    let lacked = lacked(record);
    let parts = [
        record.pointer("/reason").map(|_| text("/reason")),
        (!lacked.is_empty()).then(|| format!("needs {}", short(&lacked.join(" ")))),
        record.pointer("/admin").map(|_| short(&format!("{} {}", text("/admin/action"), text("/admin/target")))),
        record.pointer("/admin/why").map(|_| short(&text("/admin/why"))),
        record.pointer("/lost").map(|_| format!("{} records were lost", text("/lost"))),
        record.pointer("/credential").map(|_| short(&text("/credential/name"))),
        record.pointer("/credential/lease").map(|_| short(&text("/credential/lease"))),
        record.pointer("/upstream/status").map(|_| text("/upstream/status")),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "-".to_owned() } else { parts.join(" ") }
}

/// The smallest grant that would have permitted it, where scopes are what was missing.
fn lacked(record: &Value) -> Vec<String> {
    let words = |pointer| record.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    let denied = record.pointer("/decision").is_some_and(|decision| decision == "deny");
    let missing = words("/scopes/required").filter(|word| denied && !words("/scopes/held").any(|held| held == *word));
    missing.map(|word| table::text(word, "")).collect()
}

/// A text that is no longer than a cell.
pub fn short(text: &str) -> String {
    match text.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}\u{2026}", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_says_the_smallest_grant() {
        let record = json!({
            "time": "t", "kind": "decision", "decision": "deny", "reason": "scope_missing",
            "agent": { "issuer": "i", "id": "scout" }, "subject": "alice", "chain": ["scout", "planner", "front"],
            "server": "crm", "tool": "crm_delete", "scopes": { "required": ["a", "b"], "held": ["a"] },
        });
        let row = of(&record);
        assert_eq!(row["with"], "scope_missing needs b");
        assert_eq!((&row["tool"], &row["through"]), (&json!("crm/crm_delete"), &json!("scout < planner < front")));
    }

    #[test]
    fn hostile_names_stay_on_their_line() {
        let long = "x".repeat(10_000);
        for name in ["\u{1b}[2J", "a\nb", "a\u{202e}b", "a\u{2028}b", &long] {
            let line = line(&json!({ "time": "t", "kind": "decision", "agent": { "id": name }, "tool": name }));
            assert!(line.len() < 400, "{}", line.len());
            assert!(!line.chars().any(|letter| letter.is_control() || "\u{202e}\u{2028}".contains(letter)), "{line:?}");
        }
    }
}
