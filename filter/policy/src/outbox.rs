//! Records on their way to the broker: a bounded queue, one batch in flight, the same batch again until it arrived.

use std::collections::VecDeque;
use std::time::Duration;

use crate::policy::{Audit, WhenUnreachable};
use crate::time::Time;
use crate::wire::audit::{self, Kind, Record};

/// The largest batch, in bytes of records.
const BATCH: usize = 256 * 1024;

/// How much waits at most for the next flush, in bytes and records. Below that one call for each batch would cost more
/// than the batch, far above it the worker would stand still while it writes one.
const PRESS: (usize, usize) = (64 * 1024, 100);

/// The longest pause between two attempts.
const PAUSE: Duration = Duration::from_secs(10);

/// The queue of one VM.
#[derive(Debug)]
pub struct Outbox {
    rules: Audit,
    records: VecDeque<String>,
    bytes: usize,
    flying: usize,
    failures: u32,
    next: Time,
    lost: u64,
}

impl Outbox {
    /// An empty queue under these rules.
    pub fn new(rules: Audit) -> Self {
        let records = VecDeque::new();
        Self { rules, records, bytes: 0, flying: 0, failures: 0, next: Time::default(), lost: 0 }
    }

    /// Whether a call may go on: what becomes of it can be recorded.
    pub fn admits(&self) -> bool {
        let room = self.bytes < self.rules.queue;
        let reachable = self.failures == 0 || self.rules.when_unreachable == WhenUnreachable::Queue;
        room && reachable
    }

    /// Queues a record. A full queue counts it as lost, and says so in a record of its own once there is room.
    pub fn push(&mut self, record: &Record) {
        // A record is made of strings and numbers: serializing it cannot fail.
        let text = serde_json::to_string(record).unwrap_or_default();
        // Calls already under way end after the queue was found full; half as much again is theirs.
        let room = self.rules.queue.saturating_add(self.rules.queue / 2);
        if self.bytes.saturating_add(text.len()) > room {
            self.lost = self.lost.saturating_add(1);
            return;
        }
        if self.lost > 0 {
            self.gap(record);
        }
        self.add(text);
    }

    /// The next batch to post, when it is time and none is under way.
    pub fn batch(&mut self, now: Time) -> Option<String> {
        if self.flying > 0 || self.records.is_empty() || now < self.next {
            return None;
        }
        let mut size = 0_usize;
        let fits = |record: &&String| {
            size = size.saturating_add(record.len());
            size <= BATCH
        };
        // One record alone always goes, whatever its size.
        let count = self.records.iter().take_while(fits).count().clamp(1, audit::BATCH);
        self.flying = count;
        let records: Vec<_> = self.records.iter().take(count).map(String::as_str).collect();
        Some(format!("{{\"records\":[{}]}}", records.join(",")))
    }

    /// Learns what became of the batch. Only the broker's word that it is on disk takes records out.
    pub fn settled(&mut self, kept: bool, now: Time) {
        let count = std::mem::take(&mut self.flying);
        if kept {
            self.failures = 0;
            let gone = self.records.drain(..count.min(self.records.len()));
            let size: usize = gone.map(|record| record.len()).sum();
            self.bytes = self.bytes.saturating_sub(size);
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let factor = 2_u32.saturating_pow(self.failures.min(8));
        self.next = now.plus(Duration::from_millis(100).saturating_mul(factor).min(PAUSE));
    }

    /// Whether so much waits that the next batch need not wait for its time.
    pub fn presses(&self) -> bool {
        let (bytes, records) = PRESS;
        self.flying == 0 && (self.bytes >= bytes || self.records.len() >= records)
    }

    /// How many records wait.
    pub fn waiting(&self) -> usize {
        self.records.len()
    }

    fn gap(&mut self, before: &Record) {
        let lost = std::mem::take(&mut self.lost);
        let id = format!("{}.gap", before.id);
        let gap = Record {
            id,
            time: before.time.clone(),
            kind: Kind::Gap,
            proxy: before.proxy.clone(),
            policy: before.policy.clone(),
            lost: Some(lost),
            ..Record::default()
        };
        self.add(serde_json::to_string(&gap).unwrap_or_default());
    }

    fn add(&mut self, text: String) {
        self.bytes = self.bytes.saturating_add(text.len());
        self.records.push_back(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Time = Time::from_seconds(1);

    fn outbox(queue: usize, when_unreachable: WhenUnreachable) -> Outbox {
        Outbox::new(Audit { when_unreachable, queue, flush: Duration::from_secs(1) })
    }

    fn record(id: &str) -> Record {
        Record { id: id.into(), ..Record::default() }
    }

    fn ids(batch: &str) -> Vec<String> {
        let batch: audit::Batch = serde_json::from_str(batch).unwrap();
        batch.records.into_iter().map(|record| record.id).collect()
    }

    #[test]
    fn the_same_batch_comes_again_until_it_is_kept() {
        let mut outbox = outbox(65_536, WhenUnreachable::Deny);
        outbox.push(&record("a"));
        let first = outbox.batch(SECOND).unwrap();
        outbox.push(&record("b"));
        assert_eq!(outbox.batch(SECOND), None);
        outbox.settled(false, SECOND);
        assert_eq!(outbox.batch(SECOND), None);
        let second = outbox.batch(SECOND.plus(PAUSE)).unwrap();
        assert!(ids(&first) == ["a"] && ids(&second) == ["a", "b"]);
        outbox.settled(true, SECOND.plus(PAUSE));
        assert!(outbox.waiting() == 0 && outbox.bytes == 0);
    }

    #[test]
    fn an_unreachable_broker_denies_calls_unless_they_may_queue() {
        for (when, admits) in [(WhenUnreachable::Deny, false), (WhenUnreachable::Queue, true)] {
            let mut outbox = outbox(65_536, when);
            outbox.push(&record("a"));
            outbox.batch(SECOND);
            assert!(outbox.admits());
            outbox.settled(false, SECOND);
            assert_eq!(outbox.admits(), admits);
            outbox.batch(SECOND.plus(PAUSE)).unwrap();
            outbox.settled(true, SECOND.plus(PAUSE));
            assert!(outbox.admits());
        }
    }

    #[test]
    fn a_full_queue_denies_calls_and_owns_up_to_what_it_lost() {
        let mut outbox = outbox(200, WhenUnreachable::Queue);
        let mut pushed = 0;
        while outbox.lost < 3 {
            outbox.push(&record(&format!("r{pushed}")));
            pushed += 1;
        }
        assert!(!outbox.admits());
        outbox.batch(SECOND).unwrap();
        outbox.settled(true, SECOND);
        outbox.push(&record("after"));
        let batch: audit::Batch = serde_json::from_str(&outbox.batch(SECOND).unwrap()).unwrap();
        let [gap, after] = &batch.records[..] else { panic!("{batch:?}") };
        assert_eq!((gap.kind, gap.lost, after.id.as_str()), (Kind::Gap, Some(3), "after"));
    }
}
