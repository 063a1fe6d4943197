//! Tokens that were proved before, so that each is proved once.
//!
//! - An entry is found by the whole token. An ordered map compares texts: there is no hash that could collide.
//! - It says that the signature held and what the claims are. Whether they are good for this server, now, is judged again
//!   on every request.
//! - It holds with the key set it was proved with, and no other.
//! - When there is no room, the principal with the most entries gives up its oldest: who brings many tokens pushes out
//!   their own. What was not proved is never kept.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::Proved;
use crate::secret::Secret;
use crate::time::Time;

/// The most tokens that are kept.
const ENTRIES: usize = 10_000;

/// The most memory they may take, in bytes as [`cost`] counts.
const BYTES: usize = 16 * 1024 * 1024;

/// Proved tokens of one VM.
#[derive(Debug)]
pub(crate) struct Cache {
    room: Room,
    entries: BTreeMap<Token, Arc<Proved>>,
    /// The tokens of each principal, oldest first.
    shares: BTreeMap<Arc<Principal>, VecDeque<(Token, Time)>>,
    /// Principals by how many tokens they have here.
    ranks: BTreeSet<(usize, Arc<Principal>)>,
    bytes: usize,
    tally: Tally,
}

/// How much may be kept.
#[derive(Clone, Copy, Debug)]
struct Room {
    entries: usize,
    bytes: usize,
}

/// How often a token was found and not found, since the last time this was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Found.
    pub hits: u64,
    /// Not found, so proved from its signature.
    pub misses: u64,
}

/// The issuer's name in the policy, and the agent.
type Principal = (String, String);

/// A whole token, shared by the places that name it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Token(Arc<Secret>);

impl Borrow<str> for Token {
    fn borrow(&self) -> &str {
        self.0.reveal()
    }
}

impl Ord for Token {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.reveal().cmp(other.0.reveal())
    }
}

impl PartialOrd for Token {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self::new(Room { entries: ENTRIES, bytes: BYTES })
    }
}

impl Cache {
    fn new(room: Room) -> Self {
        Self {
            room,
            entries: BTreeMap::new(),
            shares: BTreeMap::new(),
            ranks: BTreeSet::new(),
            bytes: 0,
            tally: Tally::default(),
        }
    }

    /// What was proved of this very token, if it was with key set `edition` of its issuer.
    pub(crate) fn find(&mut self, token: &str, edition: impl FnOnce(&Proved) -> Option<u64>) -> Option<Arc<Proved>> {
        let found = self.entries.get(token).filter(|proved| edition(proved) == Some(proved.edition)).cloned();
        let count = if found.is_some() { &mut self.tally.hits } else { &mut self.tally.misses };
        *count = count.saturating_add(1);
        found
    }

    /// Keeps what was proved of `token`.
    pub(crate) fn keep(&mut self, token: &Secret, proved: &Arc<Proved>) {
        let size = cost(token);
        if let Some(entry) = self.entries.get_mut(token.reveal()) {
            *entry = Arc::clone(proved);
            return;
        }
        while self.entries.len() >= self.room.entries || self.bytes.saturating_add(size) > self.room.bytes {
            if !self.evict() {
                return;
            }
        }
        let token = Token(Arc::new(token.clone()));
        self.entries.insert(token.clone(), Arc::clone(proved));
        self.bytes = self.bytes.saturating_add(size);
        let principal = Arc::new((proved.name.clone(), proved.claims.agent.clone()));
        let expires = proved.claims.expires;
        self.share(&principal, |share| share.push_back((token, expires)));
    }

    /// Drops tokens that have ended.
    pub(crate) fn sweep(&mut self, now: Time) {
        let principals: Vec<_> = self.shares.keys().cloned().collect();
        for principal in principals {
            let mut ended = Vec::new();
            self.share(&principal, |share| {
                share.retain(|(token, expires)| {
                    let keep = *expires > now;
                    ended.extend((!keep).then(|| token.clone()));
                    keep
                });
            });
            ended.iter().for_each(|token| self.drop(token));
        }
    }

    /// Hits and misses since the last time.
    pub fn tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Drops the oldest token of whoever has the most; `false` when there is none.
    fn evict(&mut self) -> bool {
        let Some((_, principal)) = self.ranks.last().cloned() else {
            return false;
        };
        let mut oldest = None;
        self.share(&principal, |share| oldest = share.pop_front());
        if let Some((token, _)) = oldest {
            self.drop(&token);
        }
        true
    }

    /// Changes a principal's share, and its rank with it.
    fn share(&mut self, principal: &Arc<Principal>, change: impl FnOnce(&mut VecDeque<(Token, Time)>)) {
        let share = self.shares.entry(Arc::clone(principal)).or_default();
        self.ranks.remove(&(share.len(), Arc::clone(principal)));
        change(share);
        match share.len() {
            0 => drop(self.shares.remove(principal)),
            size => drop(self.ranks.insert((size, Arc::clone(principal)))),
        }
    }

    fn drop(&mut self, token: &Token) {
        if self.entries.remove(token).is_some() {
            self.bytes = self.bytes.saturating_sub(cost(&token.0));
        }
    }
}

/// About what a token takes: its text, its claims, and the maps around them.
fn cost(token: &Secret) -> usize {
    token.reveal().len().saturating_add(800)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOW, proved};

    fn cache(entries: usize) -> Cache {
        Cache::new(Room { entries, bytes: BYTES })
    }

    fn keep(cache: &mut Cache, agent: &str, token: &str) {
        cache.keep(&Secret::new(token), &Arc::new(proved(agent, 600)));
    }

    fn holds(cache: &mut Cache, token: &str) -> bool {
        cache.find(token, |_| Some(0)).is_some()
    }

    #[test]
    fn only_the_very_same_token_is_found() {
        let mut cache = cache(10);
        keep(&mut cache, "a", "head.body.sign");
        assert!(holds(&mut cache, "head.body.sign"));
        for near in ["", "head.body", "head.body.sig", "head.body.signs", "head.body.sigN", "Head.body.sign"] {
            assert!(!holds(&mut cache, near), "{near}");
        }
        assert_eq!(cache.tally(), Tally { hits: 1, misses: 6 });
        assert_eq!(cache.tally(), Tally::default());
    }

    #[test]
    fn another_edition_of_the_keys_finds_nothing() {
        let mut cache = cache(10);
        keep(&mut cache, "a", "t");
        assert!(cache.find("t", |_| Some(1)).is_none());
        assert!(cache.find("t", |_| None).is_none());
        assert!(cache.find("t", |proved| Some(proved.edition)).is_some());
    }

    #[test]
    fn who_brings_many_tokens_pushes_out_their_own() {
        let mut cache = cache(100);
        (0..10).for_each(|n| keep(&mut cache, &format!("quiet-{n}"), &format!("quiet-{n}")));
        (0..10_000).for_each(|n| keep(&mut cache, "loud", &format!("loud-{n}")));
        assert!((0..10).all(|n| holds(&mut cache, &format!("quiet-{n}"))));
        assert!((9_910..10_000).all(|n| holds(&mut cache, &format!("loud-{n}"))));
        assert!(!holds(&mut cache, "loud-9909"));
        assert_eq!((cache.entries.len(), cache.ranks.len()), (100, 11));
    }

    #[test]
    fn memory_is_bounded_too() {
        let mut cache = Cache::new(Room { entries: 1000, bytes: 10 * 1024 });
        (0..100).for_each(|n| keep(&mut cache, "a", &format!("{n}{}", "x".repeat(1000))));
        assert!(cache.bytes <= 10 * 1024 && cache.entries.len() == 5);
        keep(&mut cache, "a", &"x".repeat(20 * 1024));
        assert!(cache.entries.is_empty() && cache.bytes == 0);
    }

    #[test]
    fn what_has_ended_is_swept_out() {
        let mut cache = cache(10);
        cache.keep(&Secret::new("short"), &Arc::new(proved("a", 10)));
        cache.keep(&Secret::new("long"), &Arc::new(proved("a", 20)));
        cache.sweep(NOW.plus(std::time::Duration::from_secs(10)));
        assert!(!holds(&mut cache, "short") && holds(&mut cache, "long"));
        cache.sweep(NOW.plus(std::time::Duration::from_secs(20)));
        assert!(cache.entries.is_empty() && cache.shares.is_empty() && cache.ranks.is_empty() && cache.bytes == 0);
    }

    #[test]
    fn a_token_that_is_proved_again_counts_once() {
        let mut cache = cache(10);
        (0..5).for_each(|_| keep(&mut cache, "a", "t"));
        assert_eq!((cache.entries.len(), cache.shares.len(), cache.bytes), (1, 1, 801));
        assert!(cache.evict() && !cache.evict());
    }
}
