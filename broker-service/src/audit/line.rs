//! One line of an exported log: a record with its place in a chain, the key of the checkpoints, or a checkpoint.
//!
//! ```text
//! {"seq":7,"chain":"…","position":3,"hash":"…","record":{…}}       the record as it was hashed, byte for byte
//! {"key":"broker.example.com/audit+…"}
//! {"checkpoint":"broker.example.com/audit/…\n…"}
//! ```

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A record.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its number in the whole log.
    pub seq: u64,
    /// Its writer's chain.
    pub chain: String,
    /// Its place there.
    pub position: u64,
    /// The hash up to it, lower-case hex.
    pub hash: String,
    /// Itself.
    pub record: Box<RawValue>,
}

/// A line that was read.
#[derive(Debug)]
pub enum Line {
    /// A record.
    Entry(Entry),
    /// The public key that has signed the checkpoints.
    Key(String),
    /// A signed note.
    Checkpoint(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key<'a> {
    key: std::borrow::Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Checkpoint<'a> {
    checkpoint: std::borrow::Cow<'a, str>,
}

/// The line of a record, whose text has to be JSON.
pub fn entry(seq: u64, chain: &str, position: u64, hash: &str, record: String) -> Result<String, serde_json::Error> {
    let record = RawValue::from_string(record)?;
    line(&Entry { seq, chain: chain.to_owned(), position, hash: hash.to_owned(), record })
}

/// The line of a key.
pub fn key(key: &str) -> Result<String, serde_json::Error> {
    line(&Key { key: key.into() })
}

/// The line of a checkpoint.
pub fn checkpoint(note: &str) -> Result<String, serde_json::Error> {
    line(&Checkpoint { checkpoint: note.into() })
}

/// Reads a line; `None` where it is none of these.
pub fn read(text: &str) -> Option<Line> {
    if text.starts_with("{\"checkpoint\"") {
        let line: Checkpoint<'_> = serde_json::from_str(text).ok()?;
        return Some(Line::Checkpoint(line.checkpoint.into_owned()));
    }
    if text.starts_with("{\"key\"") {
        let line: Key<'_> = serde_json::from_str(text).ok()?;
        return Some(Line::Key(line.key.into_owned()));
    }
    serde_json::from_str(text).ok().map(Line::Entry)
}

fn line<T: Serialize>(value: &T) -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string(value)?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_keeps_every_byte() {
        let record = r#"{ "id":"\u0041", "n": 1.0 }"#;
        let text = entry(7, "c", 3, "00", record.into()).unwrap();
        assert_eq!(text, format!("{{\"seq\":7,\"chain\":\"c\",\"position\":3,\"hash\":\"00\",\"record\":{record}}}\n"));
        let Some(Line::Entry(read)) = read(&text) else { panic!("no record") };
        assert_eq!((read.seq, read.position, read.record.get()), (7, 3, record));
    }

    #[test]
    fn checkpoints_and_keys_are_told_from_records() {
        assert!(matches!(read(&checkpoint("a\nb\n").unwrap()), Some(Line::Checkpoint(note)) if note == "a\nb\n"));
        assert!(matches!(read(&key("a+b").unwrap()), Some(Line::Key(key)) if key == "a+b"));
        for bad in ["", "{}", "[]", r#"{"checkpoint":1}"#, r#"{"checkpoint":"a","seq":1}"#, r#"{"seq":1,"chain":"c"}"#]
        {
            assert!(read(bad).is_none(), "{bad}");
        }
    }
}
