//! Looks out for the task an answer tells of, while it streams past.

use serde_json::Value;

use crate::json;

/// How much of one message is kept to look into. An answer that is a task is short.
const LIMIT: usize = 64 * 1024;

/// An answer in passing, of which nothing is held or changed.
#[derive(Debug, Default)]
pub struct Watch {
    message: Vec<u8>,
    /// The message is too long to be a task; whatever comes before the next line is let go.
    long: bool,
    /// How often it was looked into.
    looks: usize,
}

/// How often one message is looked into, so that many small parts take no more than their bytes.
const LOOKS: usize = 64;

impl Watch {
    /// Takes in the next bytes of the answer, cut anywhere. Out: the identifiers of the tasks that are told now.
    ///
    /// The answer is one JSON message, or events with a message in one line each.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        for part in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let ends = part.ends_with(b"\n") || part.ends_with(b"\r");
            self.keep(part);
            // A message may end where nothing says so: it is looked into whenever it could be whole.
            if ends || part.ends_with(b"}") {
                found.extend(self.told());
            }
            if ends && !self.is_open() {
                self.message.clear();
                (self.long, self.looks) = (false, 0);
            }
        }
        found
    }

    fn keep(&mut self, part: &[u8]) {
        self.long |= self.message.len().saturating_add(part.len()) > LIMIT || self.looks > LOOKS;
        if self.long {
            self.message.clear();
        } else {
            self.message.extend_from_slice(part);
        }
    }

    /// Whether the lines so far belong to one message: JSON may be spread over many, an event's is not.
    fn is_open(&self) -> bool {
        self.message.trim_ascii_start().starts_with(b"{")
    }

    fn told(&mut self) -> Option<String> {
        self.looks = self.looks.saturating_add(1);
        let text = std::str::from_utf8(&self.message).ok()?.trim();
        let text = text.strip_prefix("data:").unwrap_or(text).trim_start();
        if !text.contains("taskId") {
            return None;
        }
        let message = json::value(text).ok()?;
        let result = message.get("result")?;
        let id = result.get("taskId").or_else(|| result.get("task")?.get("taskId"));
        id.and_then(Value::as_str).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODERN: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"task","taskId":"t-1"}}"#;
    const LEGACY: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"task":{"taskId":"t-2","status":"working"}}}"#;

    fn told(text: &str, size: usize) -> Vec<String> {
        let mut watch = Watch::default();
        text.as_bytes().chunks(size).flat_map(|part| watch.push(part)).collect()
    }

    #[test]
    fn a_task_is_found_in_every_form_and_however_it_is_cut() {
        let pretty = MODERN.replace(",\"", ",\n \"").replace('{', "{\n");
        for (text, id) in [
            (MODERN.to_owned(), "t-1"),
            (LEGACY.to_owned(), "t-2"),
            (pretty, "t-1"),
            (format!("id: 1\r\ndata: {MODERN}\r\n\r\n"), "t-1"),
            (format!(": x\n\ndata:{LEGACY}\n\n"), "t-2"),
            (format!("data: {{\"method\":\"x\"}}\n\ndata: {MODERN}\n\n"), "t-1"),
        ] {
            for size in [1, 7, 10_000] {
                let told = told(&text, size);
                assert!(!told.is_empty() && told.iter().all(|told| told == id), "{text} in {size} gives {told:?}");
            }
        }
    }

    #[test]
    fn what_is_no_answer_tells_of_no_task() {
        for text in [
            r#"{"method":"notifications/tasks","params":{"taskId":"t"}}"#,
            r#"{"result":{"content":[{"taskId":"t"}]}}"#,
            r#"{"result":{"taskId":7}}"#,
            r#"{"result":{"taskId":"a","taskId":"b"}}"#,
            "data: taskId\n\n",
            "taskId",
        ] {
            assert!(told(text, 5).is_empty(), "{text}");
        }
        let long = format!("data: {}\n\ndata: {MODERN}\n\n", "x".repeat(LIMIT));
        assert_eq!(told(&long, 1000), ["t-1"]);
    }
}
