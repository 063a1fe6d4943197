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

/// After which the broker's word counts as lost; longer than any callout takes.
const LOST: Duration = Duration::from_secs(60);

/// The queue of one VM.
#[derive(Debug)]
pub struct Outbox {
    rules: Audit,
    records: VecDeque<Entry>,
    bytes: usize,
    flight: Option<Flight>,
    flights: u64,
    /// The most records of the next batch: less while the broker refuses some of them.
    most: usize,
    failures: u32,
    next: Time,
    lost: u64,
    tally: Tally,
}

/// A record in its form on the way.
#[derive(Debug)]
struct Entry {
    text: String,
    /// How many records it tells of: itself, or those that a gap stands for.
    tells: u64,
}

/// A batch under way.
#[derive(Debug)]
struct Flight {
    number: u64,
    count: usize,
    since: Time,
}

/// A batch to post, and the number its settlement goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// A late word on an earlier batch must not pass for one on this.
    pub number: u64,
    /// The body.
    pub body: String,
}

/// The broker's word on a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It is on the disk.
    Kept,
    /// It was read and will never be kept.
    Refused,
    /// Anything else, silence included.
    Failed,
}

impl Word {
    /// Reads the status of the broker's answer. One that is about the proxy says nothing against the records.
    pub fn of(status: Option<&str>) -> Self {
        match status {
            Some("204") => Self::Kept,
            Some("400" | "413" | "422") => Self::Refused,
            _ => Self::Failed,
        }
    }
}

/// What became of records since the last time: all that were made were sent, lost, or wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many were made.
    pub made: u64,
    /// How many the broker has.
    pub sent: u64,
    /// How many nobody will ever see.
    pub lost: u64,
}

impl Tally {
    /// By how many more of them wait than before.
    pub fn queued(&self) -> i64 {
        let signed = |count| i64::try_from(count).unwrap_or(i64::MAX);
        signed(self.made).saturating_sub(signed(self.sent)).saturating_sub(signed(self.lost))
    }
}

impl Outbox {
    /// An empty queue under these rules.
    pub fn new(rules: Audit) -> Self {
        Self {
            rules,
            records: VecDeque::new(),
            bytes: 0,
            flight: None,
            flights: 0,
            most: audit::BATCH,
            failures: 0,
            next: Time::default(),
            lost: 0,
            tally: Tally::default(),
        }
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
            self.tally.made = self.tally.made.saturating_add(1);
            self.tally.lost = self.tally.lost.saturating_add(1);
            return;
        }
        if self.lost > 0 {
            self.gap(record);
        }
        self.add(Entry { text, tells: 1 });
    }

    /// The next batch to post, when it is time and none is under way.
    pub fn batch(&mut self, now: Time) -> Option<Batch> {
        // A host that forgets a callout must not silence the worker for ever.
        let forgotten = self.flight.as_ref().filter(|flight| now.since(flight.since) >= LOST);
        if let Some(number) = forgotten.map(|flight| flight.number) {
            self.settled(number, Word::Failed, now);
        }
        // A clock that was set back makes no pause longer.
        self.next = self.next.min(now.plus(PAUSE));
        if self.flight.is_some() || self.records.is_empty() || now < self.next {
            return None;
        }
        let mut size = 0_usize;
        let fits = |record: &&Entry| {
            size = size.saturating_add(record.text.len());
            size <= BATCH
        };
        // One record alone always goes, whatever its size.
        let count = self.records.iter().take_while(fits).count().clamp(1, self.most);
        self.flights = self.flights.wrapping_add(1);
        self.flight = Some(Flight { number: self.flights, count, since: now });
        let records: Vec<_> = self.records.iter().take(count).map(|record| record.text.as_str()).collect();
        Some(Batch { number: self.flights, body: format!("{{\"records\":[{}]}}", records.join(",")) })
    }

    /// Learns what became of the batch `number`. Only the broker's word that it is on disk takes records out, or that it
    /// takes no such record.
    pub fn settled(&mut self, number: u64, word: Word, now: Time) {
        let Some(Flight { count, .. }) = self.flight.take_if(|flight| flight.number == number) else {
            return;
        };
        match word {
            Word::Kept => {
                self.failures = 0;
                self.most = self.most.saturating_mul(2).min(audit::BATCH);
                let kept = (0..count).filter(|_| self.remove().is_some()).count();
                self.tally.sent = self.tally.sent.saturating_add(number_of(kept));
            }
            // One record must not keep all others: the batch is cut until the one is found.
            Word::Refused if count > 1 => self.most = (count / 2).max(1),
            Word::Refused => {
                self.discard();
                self.pause(now);
            }
            Word::Failed => self.pause(now),
        }
    }

    /// Has the next batch wait for nothing: there may be no later.
    pub fn hurry(&mut self) {
        self.next = Time::default();
    }

    /// What became of records since this was last asked.
    pub fn tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Gives up all that wait. Out: how many.
    pub fn abandon(&mut self) -> u64 {
        let count = number_of(self.records.len());
        (self.bytes, self.flight) = (0, None);
        self.records.clear();
        self.tally.lost = self.tally.lost.saturating_add(count);
        count
    }

    /// Whether so much waits that the next batch need not wait for its time.
    pub fn presses(&self) -> bool {
        let (bytes, records) = PRESS;
        self.flight.is_none() && (self.bytes >= bytes || self.records.len() >= records)
    }

    /// Whether a batch is under way.
    pub fn flies(&self) -> bool {
        self.flight.is_some()
    }

    /// How many records wait.
    pub fn waiting(&self) -> usize {
        self.records.len()
    }

    /// Calls are denied from here on until the broker takes something, unless they may queue. The pause grows, so that a
    /// broker that takes nothing at all costs a record in ten seconds, and not the queue.
    fn pause(&mut self, now: Time) {
        self.failures = self.failures.saturating_add(1);
        let factor = 2_u32.saturating_pow(self.failures.min(8));
        self.next = now.plus(Duration::from_millis(100).saturating_mul(factor).min(PAUSE));
    }

    /// Gives up the first record. The next one that is made tells of it.
    fn discard(&mut self) {
        if let Some(Entry { tells, .. }) = self.remove() {
            self.lost = self.lost.saturating_add(tells);
            self.tally.lost = self.tally.lost.saturating_add(1);
        }
    }

    fn gap(&mut self, before: &Record) {
        let lost = std::mem::take(&mut self.lost);
        let gap = Record {
            id: format!("{}.gap", before.id),
            time: before.time.clone(),
            kind: Kind::Gap,
            proxy: before.proxy.clone(),
            policy: before.policy.clone(),
            lost: Some(lost),
            ..Record::default()
        };
        self.add(Entry { text: serde_json::to_string(&gap).unwrap_or_default(), tells: lost });
    }

    fn add(&mut self, entry: Entry) {
        self.tally.made = self.tally.made.saturating_add(1);
        self.bytes = self.bytes.saturating_add(entry.text.len());
        self.records.push_back(entry);
    }

    fn remove(&mut self) -> Option<Entry> {
        let entry = self.records.pop_front()?;
        self.bytes = self.bytes.saturating_sub(entry.text.len());
        Some(entry)
    }
}

fn number_of(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
