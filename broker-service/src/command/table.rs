//! Answers of the broker for people: columns, and lines of names and values.

use serde_json::Value;

/// A list of objects as columns, each under its title with what lies at its pointer.
pub fn of(list: Option<&Value>, columns: &[(&str, &str)]) -> String {
    let titles = columns.iter().map(|(title, _)| (*title).to_owned()).collect();
    let items = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let row = |item| columns.iter().map(|(_, pointer)| text(item, pointer)).collect();
    let rows: Vec<Vec<String>> = std::iter::once(titles).chain(items.iter().map(row)).collect();
    let width = |index: usize| rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..columns.len()).map(|index| width(index).unwrap_or_default()).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// An object, a member a line.
pub fn members(object: &Value) -> String {
    let members = object.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let line = |(name, _): (&String, &Value)| format!("{name:<16}{}", text(object, &format!("/{name}")));
    members.map(line).collect::<Vec<_>>().join("\n")
}

/// What lies there, `-` where nothing does. Control characters, which could speak to a terminal, are left out, and those that
/// would turn what follows around or break the line.
pub fn text(value: &Value, pointer: &str) -> String {
    let shown = match value.pointer(pointer) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        }
        Some(other) => other.to_string(),
    };
    shown.chars().filter(|letter| !letter.is_control() && !turns(*letter)).collect()
}

/// [Unicode UAX #9 §2](https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters), and the separators.
fn turns(letter: char) -> bool {
    matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_stands_in_them() {
        let list = json!([{ "id": "a-long-name", "on": true }, { "id": "b\u{1b}[2J", "of": ["x", "y"] }]);
        let shown = of(Some(&list), &[("ID", "/id"), ("ON", "/on"), ("OF", "/of")]);
        assert_eq!(shown, "ID           ON    OF\na-long-name  true  -\nb[2J         -     x y");
    }
}
