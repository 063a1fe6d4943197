//! The graph of delegations as Graphviz reads it.
//!
//! <https://graphviz.org/doc/info/lang.html>

use serde_json::Value;

use crate::command::table;

/// The graph; an edge says how many calls went along it.
pub fn graph(answer: &Value) -> String {
    let edges = answer.get("edges").and_then(Value::as_array).into_iter().flatten();
    let lines = edges.map(|edge| {
        let name = |pointer| quoted(&table::text(edge, pointer));
        format!("  {} -> {} [label={}];", name("/from"), name("/to"), name("/calls"))
    });
    format!("digraph delegation {{\n  rankdir=LR;\n{}\n}}", lines.collect::<Vec<_>>().join("\n"))
}

/// In a quoted string `\"` is the one escape; a backslash of a name would begin another in a label.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_cannot_leave_their_quotes() {
        let edges = json!({ "edges": [{ "from": "a\" -> \"b", "to": "c\\\nd", "calls": 3 }] });
        let expected = "digraph delegation {\n  rankdir=LR;\n  \"a\\\" -> \\\"b\" -> \"c\\\\d\" [label=\"3\"];\n}";
        assert_eq!(graph(&edges), expected);
    }
}
