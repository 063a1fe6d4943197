//! Intents that nothing came of, as far as the log says: a crash came between, or somebody asks the target.

use std::collections::HashMap;
use std::time::Duration;

use accredit_policy::Time;
use accredit_policy::wire::audit::{Kind, Record};

use crate::clock;

/// How long a mint can take at most, with the end of one that nobody was handed.
const BOUND: Duration = Duration::from_secs(600);

/// The most that are followed at the same time: more are never under way.
const MOST: usize = 100_000;

/// An intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Its number.
    pub seq: u64,
    /// Its identifier.
    pub id: String,
    /// When it was.
    pub time: String,
    /// Which lease.
    pub lease: String,
}

/// Intents by their lease.
#[derive(Debug, Default)]
pub(super) struct Intents(HashMap<String, Open>);

impl Intents {
    /// Takes the next record.
    pub fn take(&mut self, seq: u64, record: &Record) {
        let Some(lease) = record.credential.as_ref().and_then(|credential| credential.lease.clone()) else {
            return;
        };
        match record.kind {
            Kind::Intent if self.0.len() < MOST => {
                let (id, time) = (record.id.clone(), record.time.clone());
                self.0.insert(lease.clone(), Open { seq, id, time, lease });
            }
            Kind::Intent => {}
            _ => drop(self.0.remove(&lease)),
        }
    }

    /// Those that something should have come of by `now`.
    pub fn overdue(self, now: Time) -> Vec<Open> {
        let old = |open: &Open| clock::parse(&open.time).is_none_or(|time| now.since(time) > BOUND);
        let mut open: Vec<_> = self.0.into_values().filter(old).collect();
        open.sort_by_key(|open| open.seq);
        open
    }
}
