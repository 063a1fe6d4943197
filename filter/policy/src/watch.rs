//! Looks into the answer to a call while it streams past: whether the tool failed, or a task goes on.

use serde::Deserialize;
use serde_json::value::RawValue;

/// How much of one message is kept to look into. An answer that is a task is short.
const LIMIT: usize = 64 * 1024;

/// How often one message is looked into, so that many small parts take no more than their bytes.
const LOOKS: usize = 64;

/// What the answer to a call says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The tool has run, as far as it knows.
    Done,
    /// The tool or the call has failed.
    Failed,
    /// A task of this identifier goes on.
    Task(String),
}

/// An answer in passing, of which nothing is held or changed.
#[derive(Debug, Default)]
pub struct Watch {
    message: Vec<u8>,
    /// The message is too long to be looked into; whatever comes before the next line is let go.
    long: bool,
    /// How often it was looked into.
    looks: usize,
    /// The one message there is was too long.
    over: bool,
}

impl Watch {
    /// Takes in the next bytes of the answer, cut anywhere. Out: what is told now.
    ///
    /// The answer is one JSON message, or events with a message in one line each.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Told> {
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

    /// Whether nothing more can be told.
    pub fn over(&self) -> bool {
        self.over
    }

    fn keep(&mut self, part: &[u8]) {
        self.long |= self.message.len().saturating_add(part.len()) > LIMIT || self.looks > LOOKS;
        if self.long {
            // What follows in the same JSON is no message of its own.
            self.over |= self.is_open();
            self.message.clear();
        } else if !self.over {
            self.message.extend_from_slice(part);
        }
    }

    /// Whether the lines so far belong to one message: JSON may be spread over many, an event's is not.
    fn is_open(&self) -> bool {
        self.message.trim_ascii_start().starts_with(b"{")
    }

    fn told(&mut self) -> Option<Told> {
        self.looks = self.looks.saturating_add(1);
        let text = std::str::from_utf8(&self.message).ok()?.trim();
        let text = text.strip_prefix("data:").unwrap_or(text).trim_start();
        let message: Message<'_> = serde_json::from_str(text).ok()?;
        match message {
            Message { error: Some(_), .. } => Some(Told::Failed),
            Message { result: Some(result), .. } => serde_json::from_str::<Outcome>(result.get()).ok().map(Told::from),
            Message { .. } => None,
        }
    }
}

/// The members of a message that matter. Where one stands twice nobody knows which of them counts.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// [MCP 2025-11-25, tools](https://modelcontextprotocol.io/specification/2025-11-25/server/tools#error-handling): a tool that
/// fails says so in its result.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    is_error: Option<bool>,
    task_id: Option<String>,
    task: Option<Started>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Started {
    task_id: Option<String>,
}

impl From<Outcome> for Told {
    fn from(Outcome { is_error, task_id, task }: Outcome) -> Self {
        match task_id.or(task.and_then(|task| task.task_id)) {
            Some(id) => Self::Task(id),
            None if is_error == Some(true) => Self::Failed,
            None => Self::Done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODERN: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"task","taskId":"t-1"}}"#;
    const LEGACY: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"task":{"taskId":"t-2","status":"working"}}}"#;

    fn all(text: &str, size: usize) -> Vec<Told> {
        let mut watch = Watch::default();
        text.as_bytes().chunks(size).flat_map(|part| watch.push(part)).collect()
    }

    /// The tasks alone.
    fn told(text: &str, size: usize) -> Vec<String> {
        let task = |told| if let Told::Task(id) = told { Some(id) } else { None };
        all(text, size).into_iter().filter_map(task).collect()
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

    #[test]
    fn a_tool_that_fails_is_told_from_one_that_does_not() {
        const DONE: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"isError":true}],"isError":false}}"#;
        const FAILED: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":true}}"#;
        const REFUSED: &str = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no"}}"#;
        for (message, outcome) in [(DONE, Told::Done), (FAILED, Told::Failed), (REFUSED, Told::Failed)] {
            let events = format!("data: {{\"method\":\"notifications/progress\"}}\n\ndata: {message}\n\n");
            for text in [message, &events] {
                for size in [1, 9, 10_000] {
                    let told = all(text, size);
                    assert!(!told.is_empty() && told.iter().all(|told| *told == outcome), "{text} in {size}: {told:?}");
                }
            }
        }
        for unsaid in [r#"{"result":{"isError":true,"isError":false}}"#, r#"{"result":{"isError":1}}"#, "{", "[]"] {
            assert_eq!(all(unsaid, 5), [], "{unsaid}");
        }
    }

    #[test]
    fn a_part_of_a_long_answer_is_no_answer() {
        let mut watch = Watch::default();
        let long = format!("{{\n\"text\": \"{}\",\n", "x".repeat(LIMIT));
        assert_eq!(watch.push(long.as_bytes()), []);
        assert!(watch.over());
        assert_eq!(watch.push(b"{\"result\":{\"isError\":true}}\n"), []);
    }
}
