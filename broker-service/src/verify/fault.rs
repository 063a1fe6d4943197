//! What can be wrong with a log, and where.

use std::fmt;

use accredit_policy::wire::audit::Record;

use super::Entry;
use super::claims::Origin;
use crate::note::Unsigned;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub spot: Spot,
    /// What.
    pub fault: Fault,
}

/// A place in the log, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spot {
    /// The number in the whole log.
    pub seq: Option<u64>,
    /// The chain.
    pub chain: Option<String>,
    /// The place there.
    pub position: Option<u64>,
    /// The record's identifier.
    pub id: Option<String>,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The actors that lie beside a record are not those of its chain.
    Actors,
    /// A record, or the one before, is not what was written.
    Altered,
    /// A checkpoint says nothing.
    Checkpoint {
        /// Where it was found.
        origin: Origin,
        /// Why.
        why: Unsigned,
    },
    /// A column is not what the record says.
    Column(&'static str),
    /// Two checkpoints say different things of one record.
    Contradiction,
    /// A record of that kind has no business there.
    Misplaced,
    /// So many records are missing before this one.
    Missing {
        /// How many.
        count: u64,
    },
    /// A chain goes on otherwise than its successor has named it.
    Otherwise {
        /// Which.
        chain: String,
    },
    /// There was a record in that place already.
    Repeated,
    /// A chain is shorter than a checkpoint outside says, and nothing here knows of it.
    Rewound {
        /// How many records it has.
        has: u64,
    },
    /// All hashes follow, but they are not those that were signed.
    Rewritten,
    /// A chain is shorter than was said.
    Truncated {
        /// How many records it has.
        has: u64,
    },
    /// It cannot be read.
    Unreadable,
    /// The removal of old records was not signed by who has written of it.
    Unsigned,
}

impl Fault {
    /// Its name, for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Actors => "actors",
            Self::Altered => "altered",
            Self::Checkpoint { .. } => "checkpoint",
            Self::Column(_) => "column",
            Self::Contradiction => "contradiction",
            Self::Misplaced => "misplaced",
            Self::Missing { .. } => "missing",
            Self::Otherwise { .. } => "otherwise",
            Self::Repeated => "repeated",
            Self::Rewound { .. } => "rewound",
            Self::Rewritten => "rewritten",
            Self::Truncated { .. } => "truncated",
            Self::Unreadable => "unreadable",
            Self::Unsigned => "unsigned_cut",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Actors => formatter
                .write_str("the actors beside it, by which it is found, are not those of the record"),
            Self::Altered => formatter.write_str("its hash does not follow: it was altered, or the one before it was"),
            Self::Checkpoint { origin: Origin::Inside, why } => write!(formatter, "a checkpoint does not count: {why}"),
            Self::Checkpoint { origin: Origin::Outside, why } => {
                write!(formatter, "a checkpoint from outside does not count: {why}")
            }
            Self::Column(name) => write!(formatter, "the column `{name}` is not what the record says"),
            Self::Contradiction => formatter.write_str("two checkpoints contradict each other"),
            Self::Misplaced => formatter.write_str("a record of its kind does not belong there"),
            Self::Missing { count: 1 } => formatter.write_str("one record is missing before it"),
            Self::Missing { count } => write!(formatter, "{count} records are missing before it"),
            Self::Otherwise { chain } => write!(formatter, "it names another end of the chain `{chain}` than there is"),
            Self::Repeated => formatter.write_str("there was a record in its place already"),
            Self::Rewound { has } => write!(
                formatter,
                "a checkpoint outside has seen this record, the chain has {has}: this is an older state, as of a \
                 restored backup, or the end was removed with all that told of it"
            ),
            Self::Rewritten => formatter.write_str(
                "it is not what was signed: it, or one after the checkpoint before, was altered and all hashes made anew",
            ),
            Self::Truncated { has } => {
                write!(formatter, "there was this record, the chain has {has}: its end was removed")
            }
            Self::Unreadable => formatter.write_str("it cannot be read"),
            Self::Unsigned => formatter.write_str("it says that old records were removed, and its writer has not signed for it"),
        }
    }
}

impl Spot {
    pub(super) fn of(entry: &Entry) -> Self {
        let record: Option<Record> = serde_json::from_str(&entry.record).ok();
        let id = record.map(|record| record.id);
        Self { seq: Some(entry.seq), chain: Some(entry.chain.clone()), position: Some(entry.position), id }
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, chain, position, id } = self;
        let number = |number: &Option<u64>| number.map(|number| number.to_string());
        let parts =
            [("seq", number(seq)), ("chain", chain.clone()), ("position", number(position)), ("id", id.clone())];
        let known = parts.into_iter().filter_map(|(name, part)| Some(format!("{name} {}", shown(&part?))));
        formatter.write_str(&known.collect::<Vec<_>>().join(", "))
    }
}

/// Control characters, which could speak to a terminal, are left out.
fn shown(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(128).collect()
}
