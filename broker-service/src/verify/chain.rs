//! One chain, followed from record to record.

use super::{End, Entry};
use crate::chain::{Hash, Head};

/// How far a chain has come.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    /// Its last record so far.
    pub head: Head,
    /// Where it begins: what comes before was removed because of its age.
    pub base: u64,
    /// Up to where its own writer has signed for it.
    pub signed: u64,
    /// Up to where somebody has: its writer, or one that named its end.
    pub covered: u64,
    /// The hash the last record should have had, where it has another.
    instead: Option<Hash>,
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Where it belongs.
    Sound,
    /// Where it belongs, but it or its hash is not what was written.
    Altered,
    /// After so many that are not there.
    Missing(u64),
    /// Where there was one already.
    Repeated,
}

impl Default for Chain {
    fn default() -> Self {
        Self::after(Head::new(String::new()))
    }
}

impl Chain {
    /// One of which everything up to `head` is gone.
    pub fn after(head: Head) -> Self {
        Self { base: head.length, head, signed: 0, covered: 0, instead: None }
    }

    /// Takes its next record.
    pub fn take(&mut self, entry: &Entry) -> Place {
        let place = match entry.position.checked_sub(self.head.length.saturating_add(1)) {
            None => return Place::Repeated,
            Some(0) => self.link(entry),
            Some(count) => Place::Missing(count),
        };
        self.instead = (place == Place::Altered).then(|| next(self.head.hash, entry));
        let (chain, length, seq, hash) = (entry.chain.clone(), entry.position, entry.seq, entry.hash);
        self.head = Head { chain, length, seq, hash };
        place
    }

    /// What is known of it at its end.
    pub fn end(&self) -> End {
        let Self { head, base, signed, covered, .. } = self;
        let (own, known) = (*signed.max(base), *covered.max(base));
        let (vouched, unsigned) = (known.saturating_sub(own), head.length.saturating_sub(known));
        End { head: head.clone(), signed: *signed, vouched, unsigned }
    }

    /// One record that was altered is one finding: the next one may follow from what its hash should have been.
    fn link(&self, entry: &Entry) -> Place {
        let before = [Some(self.head.hash), self.instead];
        match before.into_iter().flatten().any(|before| next(before, entry) == entry.hash) {
            true => Place::Sound,
            false => Place::Altered,
        }
    }
}

fn next(before: Hash, entry: &Entry) -> Hash {
    before.link(&entry.chain, entry.position, entry.seq, entry.record.as_bytes())
}
