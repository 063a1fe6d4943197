//! The issuers' keys of one VM: when to fetch them, how long to trust them, whom to let wait.
//!
//! Sans-IO: [`Keys::find`] notes which issuers have to be fetched, the shell takes them with [`Keys::wanted`]
//! and brings the documents back with [`Keys::arrived`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::policy::{Issuer, KeySource, Policy};
use crate::time::Time;
use crate::token::alg::Algorithm;
use crate::token::jwk::{BadKeySet, Key, KeySet};

/// The shortest pause between two fetches for the sake of an unknown `kid`, so that a flood of made-up ones
/// costs the issuer nothing.
const PAUSE: Duration = Duration::from_secs(10);

/// The shortest pause after a failed fetch.
const RETRY: Duration = Duration::from_secs(1);

/// How long keys are trusted that could not be refreshed.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// After which a fetch counts as lost; longer than the shell lets one take.
const LOST: Duration = Duration::from_secs(15);

/// The fetched keys of all issuers.
#[derive(Debug, Default)]
pub struct Keys {
    issuers: BTreeMap<String, Entry>,
    wanted: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Entry {
    keys: Option<(KeySet, Time)>,
    fetching: Option<Time>,
    tried: Option<Time>,
}

/// What became of a search for a key.
#[derive(Debug)]
pub enum Lookup<'a> {
    /// Here it is.
    Found(&'a Key),
    /// A fetch is under way that may bring it.
    Waits,
    /// The issuer has no such key.
    Unknown,
    /// The issuer's keys never loaded, or are too old to be trusted.
    Unavailable,
}

impl Keys {
    /// The key of `issuer` with this identifier and algorithm.
    pub fn find<'a>(&'a mut self, issuer: &'a Issuer, id: Option<&str>, algorithm: Algorithm, now: Time) -> Lookup<'a> {
        let refresh = match &issuer.keys {
            KeySource::Inline(keys) => return keys.find(id, algorithm).map_or(Lookup::Unknown, Lookup::Found),
            KeySource::Fetched { refresh, .. } => *refresh,
        };
        let entry = self.issuers.entry(issuer.name.clone()).or_default();
        let known = entry.trusted(now).is_some_and(|keys| keys.find(id, algorithm).is_some());
        if entry.due(known, refresh, now) {
            entry.fetching = Some(now);
            self.wanted.insert(issuer.name.clone());
        }
        let waits = entry.fetching.is_some();
        match entry.trusted(now) {
            Some(keys) => match keys.find(id, algorithm) {
                Some(key) => Lookup::Found(key),
                None if waits => Lookup::Waits,
                None => Lookup::Unknown,
            },
            None if waits => Lookup::Waits,
            None => Lookup::Unavailable,
        }
    }

    /// Marks issuers whose keys are in use and due for a refresh, so that no request has to wait for one.
    pub fn tick(&mut self, policy: &Policy, now: Time) {
        for (name, entry) in &mut self.issuers {
            let source = policy.issuer(name).map(|issuer| &issuer.keys);
            let Some(KeySource::Fetched { refresh, .. }) = source else {
                continue;
            };
            if entry.due(entry.keys.is_some(), *refresh, now) {
                entry.fetching = Some(now);
                self.wanted.insert(name.clone());
            }
        }
    }

    /// Whether some issuer's keys have to be fetched.
    pub fn wants(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Takes the names of the issuers to fetch now; each is fetched by one caller only.
    pub fn wanted(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.wanted)
    }

    /// Takes in what a fetch for `issuer` brought: a document, or nothing.
    ///
    /// A fetch that brought nothing usable leaves the old keys in place.
    pub fn arrived(&mut self, issuer: &str, document: Option<&[u8]>, now: Time) -> Result<(), BadKeySet> {
        let entry = self.issuers.entry(issuer.to_owned()).or_default();
        entry.fetching = None;
        entry.tried = Some(now);
        let document = document.ok_or_else(|| BadKeySet("could not be fetched".into()))?;
        entry.keys = Some((KeySet::parse(document)?, now));
        Ok(())
    }
}

impl Entry {
    /// The keys, unless they are too old.
    fn trusted(&self, now: Time) -> Option<&KeySet> {
        let (keys, loaded) = self.keys.as_ref()?;
        (now.since(*loaded) < STALE).then_some(keys)
    }

    /// Whether to fetch now.
    fn due(&self, known: bool, refresh: Duration, now: Time) -> bool {
        if self.fetching.is_some_and(|since| now.since(since) < LOST) {
            return false;
        }
        let failed = self.keys.as_ref().is_none_or(|(_, loaded)| self.tried.is_some_and(|tried| tried > *loaded));
        let pause = match (known, failed) {
            (_, true) => RETRY,
            (false, false) => PAUSE,
            (true, false) => refresh,
        };
        self.tried.is_none_or(|tried| now.since(tried) >= pause)
    }
}
