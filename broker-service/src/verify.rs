//! Whether a log is whole: every record is the one that was written, none is missing, none was added. Performs no I/O.
//!
//! Records come in the order of their numbers. What was said of the log before, by checkpoints here and outside and by the
//! last removal, is known when the first one comes; each chain is followed from there, with one hash in memory.

mod chain;
mod claims;
mod fault;
mod intents;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use accredit_policy::Time;
use accredit_policy::wire::audit::{Kind, Record};

use crate::audit::actors::{self, Actor};
use crate::audit::columns::{self, Columns, NAMES};
use crate::chain::{Hash, Head};

use chain::{Chain, Place};
pub use claims::{Claims, Origin};
pub use fault::{Fault, Finding, Spot};
use intents::Intents;
pub use intents::Open;

/// The most findings that are told one by one.
const MOST: usize = 100;

/// A record as it lies there.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its number in the whole log.
    pub seq: u64,
    /// Its chain.
    pub chain: String,
    /// Its place there.
    pub position: u64,
    /// The hash up to it.
    pub hash: Hash,
    /// Its text.
    pub record: String,
    /// The columns beside it, where there are any.
    pub columns: Option<Columns>,
}

/// Follows a log.
pub struct Verifier {
    claims: Claims,
    /// Up to which number records were removed, and where it says so.
    through: u64,
    cut: Option<Entry>,
    chains: BTreeMap<String, Chain>,
    /// The first records of chains: whose, and what each has named.
    begun: Vec<(String, Vec<Head>)>,
    last: u64,
    records: u64,
    intents: Intents,
    findings: Vec<Finding>,
    count: u64,
}

/// What came out.
#[derive(Debug)]
pub struct Verdict {
    /// What is wrong, at most the first hundred.
    pub findings: Vec<Finding>,
    /// How much is wrong.
    pub count: u64,
    /// How many records there are.
    pub records: u64,
    /// The number of the last one that was removed because of its age.
    pub through: u64,
    /// The number of the last one.
    pub last: u64,
    /// The chains there are.
    pub chains: Vec<End>,
    /// How many checkpoints were held against the log.
    pub checkpoints: u64,
    /// When the newest of those from outside was signed.
    pub newest: Option<Time>,
    /// How many lines from outside were cut short.
    pub torn: u64,
    /// Intents that nothing came of, as far as the log says.
    pub open: Vec<Open>,
}

/// A chain, and what is known of its records.
#[derive(Debug)]
pub struct End {
    /// Where it ends.
    pub head: Head,
    /// Up to which position its own writer has signed for it.
    pub signed: u64,
    /// For how many records behind that only a later writer has, who found them there: they can be anybody's.
    pub vouched: u64,
    /// For how many nobody has.
    pub unsigned: u64,
}

impl Verifier {
    /// Begins, with what is known before: what was said, and the last record of kind `cut`.
    pub fn new(claims: Claims, cut: Option<Entry>) -> Self {
        // A column can say so of any record.
        let cut = cut.and_then(|cut| Some((removed(&cut.record)?, cut)));
        let (heads, cut) = cut.map_or_else(Default::default, |(heads, cut)| (heads, Some(cut)));
        let through = heads.iter().map(|head| head.seq).max().unwrap_or_default();
        let chains = heads.into_iter().map(|head| (head.chain.clone(), Chain::after(head))).collect();
        let mut verifier = Self {
            claims,
            through,
            cut,
            chains,
            begun: Vec::new(),
            last: through,
            records: 0,
            intents: Intents::default(),
            findings: Vec::new(),
            count: 0,
        };
        let early: Vec<_> = verifier.claims.findings().collect();
        early.into_iter().for_each(|finding| verifier.add(finding));
        verifier
    }

    /// Takes the next record.
    pub fn entry(&mut self, entry: &Entry) {
        self.records = self.records.saturating_add(1);
        let gap = self.number(entry);
        let chain = self.chains.entry(entry.chain.clone()).or_default();
        let faults = match chain.take(entry) {
            Place::Sound => {
                self.judge(entry);
                return;
            }
            Place::Altered => Some(Fault::Altered),
            // The gap in the numbers has told of it.
            Place::Missing(_) if gap == Gap::Missing => None,
            Place::Missing(count) => Some(Fault::Missing { count }),
            Place::Repeated if gap == Gap::Repeated => None,
            Place::Repeated => Some(Fault::Repeated),
        };
        if let Some(fault) = faults {
            self.find(entry, fault);
        }
    }

    /// Takes the actors that lie beside a record, or beside none.
    pub fn actors(&mut self, seq: Option<u64>, record: Option<&str>, rows: Vec<Actor>) {
        let record = record.map(serde_json::from_str::<Record>);
        let id = match record {
            Some(Ok(record)) if actors::of(&record).eq(rows) => return,
            Some(Ok(record)) => Some(record.id),
            // It is told of already.
            Some(Err(_)) => return,
            None => None,
        };
        self.add(Finding { spot: Spot { seq, id, ..Spot::default() }, fault: Fault::Actors });
    }

    /// Takes a row, or a line, that is no record.
    pub fn unreadable(&mut self, seq: Option<u64>) {
        self.records = self.records.saturating_add(1);
        self.last = seq.unwrap_or(self.last.saturating_add(1)).max(self.last);
        let spot = Spot { seq: seq.or(Some(self.last)), ..Spot::default() };
        self.add(Finding { spot, fault: Fault::Unreadable });
    }

    /// Ends, `now`.
    pub fn finish(mut self, now: Time) -> Verdict {
        for (head, origin) in self.claims.beyond(&self.chains, self.through) {
            let has = self.chains.get(&head.chain).map(|chain| chain.head.length).unwrap_or_default();
            let spot = Spot { seq: Some(head.seq), chain: Some(head.chain), position: Some(head.length), id: None };
            let fault = match origin {
                Origin::Inside => Fault::Truncated { has },
                Origin::Outside => Fault::Rewound { has },
            };
            self.add(Finding { spot, fault });
        }
        self.cover();
        if let Some(cut) = self.cut.take()
            // Who has only found it there may have found a forgery, and everything before it would be gone unseen.
            && self.chains.get(&cut.chain).is_none_or(|chain| chain.signed < cut.position)
        {
            self.find(&cut, Fault::Unsigned);
        }
        let chains = self.chains.values().filter(|chain| chain.head.length > chain.base);
        let (checkpoints, torn, newest) = self.claims.counts();
        Verdict {
            chains: chains.map(Chain::end).collect(),
            findings: self.findings,
            count: self.count,
            records: self.records,
            through: self.through,
            last: self.last,
            checkpoints,
            newest,
            torn,
            open: self.intents.overdue(now),
        }
    }

    /// Holds its number against the one before.
    fn number(&mut self, entry: &Entry) -> Gap {
        let next = self.last.saturating_add(1);
        let gap = match entry.seq.checked_sub(next) {
            Some(0) => Gap::None,
            Some(count) => {
                self.find(entry, Fault::Missing { count });
                Gap::Missing
            }
            None => {
                self.find(entry, Fault::Repeated);
                Gap::Repeated
            }
        };
        self.last = self.last.max(entry.seq);
        gap
    }

    /// What is to be said of a record that stands in its chain.
    fn judge(&mut self, entry: &Entry) {
        if let Some(hash) = self.claims.at(&entry.chain, entry.position) {
            match *hash == (entry.seq, entry.hash) {
                true => self.signed(&entry.chain, entry.position),
                false => self.find(entry, Fault::Rewritten),
            }
        }
        let Ok(record) = serde_json::from_str::<Record>(&entry.record) else {
            return self.find(entry, Fault::Unreadable);
        };
        if let Some(columns) = &entry.columns {
            let told = columns::of(&record);
            let differ = NAMES.into_iter().zip(columns.iter().zip(&told)).filter(|(_, (found, told))| found != told);
            differ.for_each(|(name, _)| self.find(entry, Fault::Column(name)));
        }
        if (record.kind == Kind::Chain) != (entry.position == 1) {
            self.find(entry, Fault::Misplaced);
        }
        match record.kind {
            Kind::Chain => self.begin(entry, &record),
            Kind::Cut => self.cut(entry, &record),
            _ => self.intents.take(entry.seq, &record),
        }
    }

    /// A chain begins: the others end where it says.
    fn begin(&mut self, entry: &Entry, record: &Record) {
        let heads: Vec<_> = record.heads.iter().filter_map(Head::read).collect();
        if heads.len() != record.heads.len() {
            self.find(entry, Fault::Unreadable);
        }
        let through = self.through;
        for head in heads.iter().filter(|head| head.seq > through) {
            let chain = self.chains.get(&head.chain);
            let length = chain.map(|chain| chain.head.length).unwrap_or_default();
            match chain.is_some_and(|chain| chain.head == *head) {
                true => {}
                false if length < head.length => {
                    let spot = Spot {
                        seq: Some(head.seq),
                        chain: Some(head.chain.clone()),
                        position: Some(head.length),
                        id: None,
                    };
                    self.add(Finding { spot, fault: Fault::Truncated { has: length } });
                }
                false => self.find(entry, Fault::Otherwise { chain: head.chain.clone() }),
            }
        }
        self.begun.push((entry.chain.clone(), heads));
    }

    /// Records were removed: not more than the last one of its kind says.
    fn cut(&mut self, entry: &Entry, record: &Record) {
        let through = record.heads.iter().map(|head| head.seq).max().unwrap_or_default();
        if through > self.through || self.cut.is_none() {
            self.find(entry, Fault::Misplaced);
        }
    }

    /// What a signed first record names is signed as well. Who names has begun later than who is named.
    fn cover(&mut self) {
        for (chain, heads) in std::mem::take(&mut self.begun).into_iter().rev() {
            if self.chains.get(&chain).is_some_and(|chain| chain.covered > 0) {
                heads.iter().for_each(|head| self.covered(&head.chain, head.length));
            }
        }
    }

    fn signed(&mut self, chain: &str, position: u64) {
        self.covered(chain, position);
        if let Some(chain) = self.chains.get_mut(chain) {
            chain.signed = chain.signed.max(position);
        }
    }

    fn covered(&mut self, chain: &str, position: u64) {
        if let Some(chain) = self.chains.get_mut(chain) {
            chain.covered = chain.covered.max(position.min(chain.head.length));
        }
    }

    fn find(&mut self, entry: &Entry, fault: Fault) {
        self.add(Finding { spot: Spot::of(entry), fault });
    }

    fn add(&mut self, finding: Finding) {
        self.count = self.count.saturating_add(1);
        if self.findings.len() < MOST {
            self.findings.push(finding);
        }
    }
}

/// What the number of a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gap {
    None,
    Missing,
    Repeated,
}

/// Where the chains end among what was removed, if that is what a record tells of.
fn removed(record: &str) -> Option<Vec<Head>> {
    let record: Record = serde_json::from_str(record).ok()?;
    (record.kind == Kind::Cut).then(|| record.heads.iter().filter_map(Head::read).collect())
}
