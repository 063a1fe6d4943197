//! Tasks: what a call left running, and who may ask for it.
//!
//! [MCP 2025-11-25, tasks](https://modelcontextprotocol.io/specification/2025-11-25/basic/utilities/tasks) and the tasks
//! extension of 2026-07-28: a call may answer with the identifier of a task, and its result is fetched with that. The
//! workers of a process remember in shared data who started which task with which tool. What is not remembered belongs to
//! nobody.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::sender::Bound;
use crate::time::Time;

/// How many buckets there are.
const BUCKETS: u16 = 256;

/// The most bytes a bucket holds. All of them together remember some hundred thousand tasks.
const ROOM: usize = 32 * 1024;

/// The most tasks of one principal in a bucket. Who starts more pushes out their own.
const SHARE: usize = 32;

/// How long a task is remembered.
const LIFE: Duration = Duration::from_secs(24 * 3600);

/// Bytes of a digest. Two that share all of them are a chance of one in 2^64 pairs, and grant no more than a task's result.
const DIGEST: usize = 16;

/// Where a task is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key([u8; DIGEST]);

/// Who started a task: one agent for one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner([u8; DIGEST]);

/// A task that was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    key: Key,
    owner: Owner,
    tool: String,
}

/// The names of all buckets.
pub fn buckets() -> impl Iterator<Item = String> {
    (0..BUCKETS).map(bucket)
}

fn bucket(number: u16) -> String {
    format!("accredit.tasks.{number}")
}

impl Key {
    /// The task of this identifier on `server`.
    pub fn new(server: &str, id: &str) -> Self {
        Self(digest(&[server, id]))
    }

    /// The shared bucket it belongs into.
    pub fn bucket(&self) -> String {
        let [first, ..] = self.0;
        bucket(u16::from(first))
    }
}

impl Owner {
    /// Whoever `bound` acts as.
    pub fn of(bound: &Bound) -> Self {
        let claims = bound.verified().claims();
        Self(digest(&[bound.verified().issuer(), &claims.agent, &claims.subject]))
    }
}

impl Task {
    /// The task of this key, which `owner` started with `tool`.
    pub fn new(key: Key, owner: Owner, tool: &str) -> Self {
        Self { key, owner, tool: tool.to_owned() }
    }

    /// Where it is remembered.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The bucket with this task in it; `None` when it is there already, or cannot be.
    pub fn enter(&self, bucket: &[u8], now: Time) -> Option<Vec<u8>> {
        let until = u32::try_from(now.plus(LIFE).seconds()).ok()?;
        let mut entries: Vec<_> = Entries(bucket).filter(|entry| entry.until > now.seconds()).collect();
        // Whoever gets an identifier that is taken gets nothing with it.
        if entries.iter().any(|entry| entry.key == self.key.0) {
            return None;
        }
        let entry = Entry { key: self.key.0, owner: self.owner.0, until: until.into(), tool: self.tool.as_bytes() };
        let size = u8::try_from(self.tool.len()).ok()?;
        while entries.iter().filter(|entry| entry.owner == self.owner.0).count() >= SHARE {
            let oldest = entries.iter().position(|entry| entry.owner == self.owner.0)?;
            entries.remove(oldest);
        }
        entries.push(entry);
        let mut bytes = Vec::with_capacity(bucket.len().saturating_add(DIGEST * 4));
        for entry in &entries {
            bytes.extend(entry.key);
            bytes.extend(entry.owner);
            bytes.extend(u32::try_from(entry.until).ok()?.to_be_bytes());
            bytes.push(u8::try_from(entry.tool.len()).unwrap_or(size));
            bytes.extend(entry.tool);
        }
        (bytes.len() <= ROOM).then_some(bytes)
    }
}

/// The tool that `owner` started the task of `key` with, if `bucket` remembers that.
pub fn find(bucket: &[u8], key: &Key, owner: &Owner, now: Time) -> Option<String> {
    let mut entries = Entries(bucket);
    let entry = entries.find(|entry| entry.key == key.0)?;
    let own = entry.owner == owner.0 && entry.until > now.seconds();
    own.then(|| String::from_utf8(entry.tool.to_vec()).ok()).flatten()
}

/// What is remembered of a task.
struct Entry<'a> {
    key: [u8; DIGEST],
    owner: [u8; DIGEST],
    until: u64,
    tool: &'a [u8],
}

/// The entries of a bucket. Bytes that are none end it.
struct Entries<'a>(&'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let (key, rest) = self.0.split_first_chunk::<DIGEST>()?;
        let (owner, rest) = rest.split_first_chunk::<DIGEST>()?;
        let (until, rest) = rest.split_first_chunk::<4>()?;
        let (size, rest) = rest.split_first()?;
        let (tool, rest) = rest.split_at_checked(usize::from(*size))?;
        self.0 = rest;
        Some(Entry { key: *key, owner: *owner, until: u32::from_be_bytes(*until).into(), tool })
    }
}

/// A digest of texts, none of which can pass for a part of another.
fn digest(texts: &[&str]) -> [u8; DIGEST] {
    let sum = texts
        .iter()
        .fold(Sha256::new(), |sum, text| sum.chain_update(text.len().to_be_bytes()).chain_update(text.as_bytes()));
    sum.finalize().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::NOW;

    fn owner(name: &str) -> Owner {
        Owner(digest(&[name]))
    }

    fn task(id: &str, who: &str) -> Task {
        Task::new(Key::new("crm", id), owner(who), "crm_export")
    }

    fn found(bucket: &[u8], id: &str, who: &str, now: Time) -> Option<String> {
        find(bucket, &Key::new("crm", id), &owner(who), now)
    }

    #[test]
    fn a_task_is_its_owners_for_a_day() {
        let bucket = task("t1", "alice").enter(&[], NOW).unwrap();
        assert_eq!(found(&bucket, "t1", "alice", NOW).as_deref(), Some("crm_export"));
        assert_eq!(found(&bucket, "t1", "bob", NOW), None);
        assert_eq!(found(&bucket, "t2", "alice", NOW), None);
        assert_eq!(find(&bucket, &Key::new("other", "t1"), &owner("alice"), NOW), None);
        let after = |hours: u64| NOW.plus(Duration::from_secs(hours * 3600));
        assert!(found(&bucket, "t1", "alice", after(23)).is_some());
        assert_eq!(found(&bucket, "t1", "alice", after(24)), None);
        assert_eq!(
            task("t2", "bob").enter(&bucket, after(24)).unwrap().len(),
            bucket.len(),
            "what has ended makes room"
        );
    }

    #[test]
    fn an_identifier_that_is_taken_is_not_given_to_another() {
        let bucket = task("t1", "alice").enter(&[], NOW).unwrap();
        assert_eq!(task("t1", "mallory").enter(&bucket, NOW), None);
    }

    #[test]
    fn who_starts_many_pushes_out_their_own() {
        let mut bucket = task("first", "alice").enter(&[], NOW).unwrap();
        for number in 0..100 {
            bucket = task(&number.to_string(), "bob").enter(&bucket, NOW).unwrap();
        }
        assert!(found(&bucket, "first", "alice", NOW).is_some());
        assert!(found(&bucket, "99", "bob", NOW).is_some() && found(&bucket, "68", "bob", NOW).is_some());
        assert_eq!(found(&bucket, "67", "bob", NOW), None);
        let mut full = Vec::new();
        for number in 0.. {
            match task(&number.to_string(), &number.to_string()).enter(&full, NOW) {
                Some(more) => full = more,
                None => break,
            }
        }
        assert!(full.len() <= ROOM && full.len() > ROOM - 100);
    }

    #[test]
    fn bytes_of_others_are_no_tasks() {
        for odd in [&b"x"[..], &[0; 36], &[0xff; 37]] {
            assert_eq!(found(odd, "t1", "alice", NOW), None);
            assert!(task("t1", "alice").enter(odd, NOW).is_some());
        }
    }
}
