//! The issuers' keys of one VM: when to fetch them, how long to trust them, whom to let wait.
//!
//! Sans-IO: [`Keys::find`] notes which issuers' keys have to be fetched, the shell takes them with [`Keys::wanted`]
//! and brings the documents back with [`Keys::arrived`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::fetch::{Answer, Document, Fetch, Jitter, Kept, PATIENCE};
use crate::policy::{Issuer, KeySource, Policy};
use crate::time::Time;
use crate::token::alg::Algorithm;
use crate::token::jwk::{BadKeySet, Key, KeySet};

/// The shortest pause between two fetches that unknown `kid`s cause in vain, so that a flood of made-up ones costs the
/// issuer nothing.
const PAUSE: Duration = Duration::from_secs(10);

/// How long keys are trusted that could not be refreshed.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// The fetched keys of all issuers.
#[derive(Debug)]
pub struct Keys {
    issuers: BTreeMap<String, Entry>,
    wanted: BTreeSet<String>,
    jitter: Jitter,
}

#[derive(Debug, Default)]
struct Entry {
    kept: Kept<KeySet>,
    /// Counts the key sets that differed from the one before.
    edition: u64,
    /// The key the fetch under way is made for, where one is.
    sought: Option<(Option<String>, Algorithm)>,
    /// When a fetch was last made for a `kid` that it did not bring.
    vain: Option<Time>,
    /// Failed fetches that are not counted elsewhere yet.
    failures: u64,
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

/// What is known of an issuer's keys, for metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The issuer's name in the policy.
    pub issuer: String,
    /// How old its keys are; `None` when they never loaded.
    pub age: Option<Duration>,
    /// Fetches that failed since the last time this was asked.
    pub failures: u64,
}

impl Keys {
    /// No keys yet. `seed` spreads the fetches of many workers.
    pub fn new(seed: u64) -> Self {
        Self { issuers: BTreeMap::new(), wanted: BTreeSet::new(), jitter: Jitter::new(seed) }
    }

    /// The key of `issuer` with this identifier and algorithm, for a token that came at `since`.
    pub fn find<'a>(
        &'a mut self,
        issuer: &'a Issuer,
        id: Option<&str>,
        algorithm: Algorithm,
        since: Time,
        now: Time,
    ) -> Lookup<'a> {
        if let KeySource::Inline(keys) = &issuer.keys {
            return keys.find(id, algorithm).map_or(Lookup::Unknown, Lookup::Found);
        }
        let entry = self.issuers.entry(issuer.name.clone()).or_default();
        let known = entry.trusted(now).is_some_and(|keys| keys.find(id, algorithm).is_some());
        if entry.kept.due(now) || (!known && entry.may_hold(since, now)) {
            entry.kept.depart(now);
            entry.sought = (!known).then(|| (id.map(str::to_owned), algorithm));
            self.wanted.insert(issuer.name.clone());
        }
        let waits = entry.kept.flies(now);
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

    /// Which edition of `issuer`'s keys is in force; a token proved with another one has to be proved again.
    pub fn edition(&self, issuer: &Issuer, now: Time) -> Option<u64> {
        match issuer.keys {
            // These never change while tokens are proved.
            KeySource::Inline(_) => Some(0),
            KeySource::Fetched { .. } => {
                let entry = self.issuers.get(&issuer.name)?;
                entry.trusted(now).map(|_| entry.edition)
            }
        }
    }

    /// Takes all issuers of the policy for ones in use, so that the first token finds its keys.
    pub fn warm(&mut self, policy: &Policy) {
        let fetched = policy.issuers().filter(|issuer| matches!(issuer.keys, KeySource::Fetched { .. }));
        for issuer in fetched {
            self.issuers.entry(issuer.name.clone()).or_default();
        }
    }

    /// Marks issuers whose keys are in use and due for a refresh, so that no request has to wait for one.
    pub fn tick(&mut self, now: Time) {
        for (name, entry) in &mut self.issuers {
            if entry.kept.due(now) {
                entry.kept.depart(now);
                entry.sought = None;
                self.wanted.insert(name.clone());
            }
        }
    }

    /// Whether some issuer's keys have to be fetched.
    pub fn wants(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Takes what has to be fetched now; each issuer's keys are fetched by one caller only.
    pub fn wanted(&mut self, policy: &Policy) -> Vec<Fetch> {
        let names = std::mem::take(&mut self.wanted).into_iter();
        let fetch = |name: String| match &policy.issuer(&name)?.keys {
            KeySource::Inline(_) => None,
            KeySource::Fetched { url, cluster, .. } => Some(Fetch {
                document: Document::Keys(name),
                url: url.as_str().to_owned(),
                cluster: cluster.clone(),
                authority: url.authority().to_owned(),
                path: url.target().to_owned(),
                accept: "application/json",
                authorization: None,
                patience: PATIENCE,
            }),
        };
        names.filter_map(fetch).collect()
    }

    /// Takes in what a fetch for `issuer` brought.
    ///
    /// A fetch that brought nothing usable leaves the old keys in place.
    pub fn arrived(&mut self, issuer: &Issuer, answer: &Answer<'_>, now: Time) -> Result<(), BadKeySet> {
        let KeySource::Fetched { refresh, .. } = issuer.keys else {
            return Ok(());
        };
        let entry = self.issuers.entry(issuer.name.clone()).or_default();
        let document = answer.body.ok_or_else(|| BadKeySet("could not be fetched".into()));
        match document.and_then(|document| KeySet::parse(document, issuer.reading())) {
            Ok(keys) => {
                let span = self.jitter.shorten(answer.fresh(refresh));
                entry.renew(keys, span, now);
                Ok(())
            }
            Err(bad) => {
                entry.kept.fail(now);
                entry.sought = None;
                entry.vain = Some(now);
                entry.failures = entry.failures.saturating_add(1);
                Err(bad)
            }
        }
    }

    /// How the keys of the issuers in use are.
    pub fn health(&mut self, now: Time) -> Vec<Health> {
        let tell = |(name, entry): (&String, &mut Entry)| Health {
            issuer: name.clone(),
            age: entry.kept.age(now),
            failures: std::mem::take(&mut entry.failures),
        };
        self.issuers.iter_mut().map(tell).collect()
    }
}

impl Entry {
    /// The keys, unless they are too old.
    fn trusted(&self, now: Time) -> Option<&KeySet> {
        self.kept.value(STALE, now)
    }

    /// Whether a fetch now may bring a key that is not there, for a token that came at `since`.
    fn may_hold(&mut self, since: Time, now: Time) -> bool {
        // A document asked for after the token came holds every key it can be signed with: keys are published first.
        match self.kept.asked() {
            Some(asked) if asked >= since => {
                self.vain = self.vain.max(Some(asked));
                false
            }
            Some(_) => !self.kept.flies(now) && self.vain.is_none_or(|vain| now.since(vain) >= PAUSE),
            None => false,
        }
    }

    fn renew(&mut self, keys: KeySet, span: Duration, now: Time) {
        if self.kept.value(Duration::MAX, now) != Some(&keys) {
            self.edition = self.edition.saturating_add(1);
        }
        // Whoever brought the `kid` may be gone by now: what they asked for is judged here.
        let missed = self.sought.take().is_some_and(|(id, algorithm)| keys.find(id.as_deref(), algorithm).is_none());
        if missed {
            self.vain = Some(now);
        }
        self.kept.land(keys, span, now);
    }
}

#[cfg(test)]
mod tests;
