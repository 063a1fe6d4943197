//! What checkpoints say, each checked for its signature.

use std::collections::BTreeMap;

use accredit_policy::Time;

use super::chain::Chain;
use super::fault::{Fault, Finding, Spot};
use crate::chain::{Hash, Head};
use crate::checkpoint::Checkpoint;
use crate::note::{Key, Unsigned};

/// Where a checkpoint was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Beside the records.
    Inside,
    /// Where whoever changes the records cannot reach.
    Outside,
}

/// Checkpoints by their chain and position.
#[derive(Debug)]
pub struct Claims {
    key: Option<Key>,
    said: BTreeMap<String, BTreeMap<u64, Claim>>,
    wrong: Vec<Finding>,
    count: u64,
    torn: u64,
    newest: Option<Time>,
}

#[derive(Clone, Copy, Debug)]
struct Claim {
    said: (u64, Hash),
    origin: Origin,
}

impl Claims {
    /// None yet; only what `key` has signed will count.
    pub fn new(key: Option<Key>) -> Self {
        Self { key, said: BTreeMap::new(), wrong: Vec::new(), count: 0, torn: 0, newest: None }
    }

    /// Takes a signed note.
    pub fn add(&mut self, note: &str, origin: Origin) {
        self.count = self.count.saturating_add(1);
        let opened = match &self.key {
            Some(key) => Checkpoint::open(note, key),
            None => Err(Unsigned::Stranger),
        };
        let head = match opened {
            Ok(Checkpoint { head, time }) => {
                if origin == Origin::Outside {
                    self.newest = self.newest.max(Some(time));
                }
                head
            }
            Err(why) => {
                return self.wrong.push(Finding { spot: Spot::default(), fault: Fault::Checkpoint { origin, why } });
            }
        };
        let claim = Claim { said: (head.seq, head.hash), origin };
        let chain = self.said.entry(head.chain.clone()).or_default();
        let known = chain.entry(head.length).or_insert(claim);
        known.origin = known.origin.min(origin);
        if known.said != claim.said {
            let spot = Spot { seq: Some(head.seq), chain: Some(head.chain), position: Some(head.length), id: None };
            self.wrong.push(Finding { spot, fault: Fault::Contradiction });
        }
    }

    /// Takes a line from outside that was cut short.
    pub fn torn(&mut self) {
        self.torn = self.torn.saturating_add(1);
    }

    /// What is wrong with the notes themselves.
    pub(super) fn findings(&mut self) -> impl Iterator<Item = Finding> + use<> {
        std::mem::take(&mut self.wrong).into_iter()
    }

    /// The number and hash of that record, as they were signed.
    pub(super) fn at(&self, chain: &str, position: u64) -> Option<&(u64, Hash)> {
        self.said.get(chain)?.get(&position).map(|claim| &claim.said)
    }

    /// How many there are, how many lines from outside were cut short, and when the newest from there was signed.
    pub(super) fn counts(&self) -> (u64, u64, Option<Time>) {
        (self.count, self.torn, self.newest)
    }

    /// Of each chain the last claim beyond its end. Of what is gone because of its age, nothing can be said.
    pub(super) fn beyond(&self, chains: &BTreeMap<String, Chain>, through: u64) -> Vec<(Head, Origin)> {
        let beyond = |(name, said): (&String, &BTreeMap<u64, Claim>)| {
            let length = chains.get(name).map(|chain| chain.head.length).unwrap_or_default();
            let mut more = said.range(length.saturating_add(1)..).filter(|(_, claim)| claim.said.0 > through);
            // What lies inside is the stronger word: then nothing but a removal explains it.
            let inside = more.clone().rfind(|(_, claim)| claim.origin == Origin::Inside);
            let (position, Claim { said: (seq, hash), origin }) = inside.or_else(|| more.next_back())?;
            Some((Head { chain: name.clone(), length: *position, seq: *seq, hash: *hash }, *origin))
        };
        self.said.iter().filter_map(beyond).collect()
    }
}
