//! Tokens that were proved before, so that each is proved once.
//!
//! - An entry is found by the whole token: by its last bytes, which are the signature's, and then by all of them. Where
//!   many tokens share an ending, the oldest goes.
//! - It says that the signature held and what the claims are. Whether they are good for this server, now, is judged again
//!   on every request.
//! - It holds with the key set it was proved with, and no other.
//! - When there is no room, the principal with the most entries gives up its oldest: who brings many tokens pushes out
//!   their own. What was not proved is never kept.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::Proved;
use crate::secret::Secret;
use crate::time::Time;

/// The most tokens that are kept.
const ENTRIES: usize = 10_000;

/// The most memory they may take, in bytes as [`cost`] counts.
const BYTES: usize = 16 * 1024 * 1024;

/// The most tokens with one ending. Two have one by chance in 2^48 pairs, many only if their issuer wants it so.
const ALIKE: usize = 8;

/// Proved tokens of one VM.
#[derive(Debug)]
pub(crate) struct Cache {
    room: Room,
    entries: BTreeMap<Ending, Vec<Entry>>,
    count: usize,
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
type Token = Arc<Secret>;

/// The last eight bytes of a token.
type Ending = [u8; 8];

#[derive(Debug)]
struct Entry {
    token: Token,
    proved: Arc<Proved>,
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
            count: 0,
            shares: BTreeMap::new(),
            ranks: BTreeSet::new(),
            bytes: 0,
            tally: Tally::default(),
        }
    }

    /// What was proved of this very token, if it was with key set `edition` of its issuer.
    pub(crate) fn find(&mut self, token: &str, edition: impl FnOnce(&Proved) -> Option<u64>) -> Option<Arc<Proved>> {
        let alike = self.entries.get(&ending(token));
        let entry = alike.and_then(|alike| alike.iter().find(|entry| same(entry.token.reveal(), token)));
        let found = entry.filter(|entry| edition(&entry.proved) == Some(entry.proved.edition));
        let found = found.map(|entry| Arc::clone(&entry.proved));
        let count = if found.is_some() { &mut self.tally.hits } else { &mut self.tally.misses };
        *count = count.saturating_add(1);
        found
    }

    /// Keeps what was proved of `token`.
    pub(crate) fn keep(&mut self, token: &Secret, proved: &Arc<Proved>) {
        let alike = self.entries.get_mut(&ending(token.reveal()));
        let known = alike.and_then(|alike| alike.iter_mut().find(|entry| same(entry.token.reveal(), token.reveal())));
        if let Some(entry) = known {
            entry.proved = Arc::clone(proved);
            return;
        }
        if self.make_room(token, proved) {
            self.add(Arc::new(token.clone()), proved);
        }
    }

    /// Makes room for `token`; `false` when there cannot be any.
    fn make_room(&mut self, token: &Secret, proved: &Proved) -> bool {
        let alike = self.entries.get(&ending(token.reveal()));
        if let Some(entry) = alike.filter(|alike| alike.len() >= ALIKE).and_then(|alike| alike.first()) {
            let (oldest, principal) = (Arc::clone(&entry.token), principal(&entry.proved));
            self.share(&principal, |share| share.retain(|(token, _)| !Arc::ptr_eq(token, &oldest)));
            self.drop(&oldest);
        }
        while self.count >= self.room.entries || self.bytes.saturating_add(cost(token, proved)) > self.room.bytes {
            if !self.evict() {
                return false;
            }
        }
        true
    }

    fn add(&mut self, token: Token, proved: &Arc<Proved>) {
        self.count = self.count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(cost(&token, proved));
        let entry = Entry { token: Arc::clone(&token), proved: Arc::clone(proved) };
        self.entries.entry(ending(token.reveal())).or_default().push(entry);
        let expires = proved.claims.expires;
        self.share(&principal(proved), |share| share.push_back((token, expires)));
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
        let ending = ending(token.reveal());
        let Some(alike) = self.entries.get_mut(&ending) else {
            return;
        };
        if let Some(place) = alike.iter().position(|entry| Arc::ptr_eq(&entry.token, token)) {
            let entry = alike.remove(place);
            self.count = self.count.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(cost(&entry.token, &entry.proved));
        }
        if alike.is_empty() {
            self.entries.remove(&ending);
        }
    }
}

fn principal(proved: &Proved) -> Arc<Principal> {
    Arc::new((proved.name.clone(), proved.claims.agent.clone()))
}

fn ending(token: &str) -> Ending {
    token.as_bytes().last_chunk().copied().unwrap_or_default()
}

/// Whether two texts are the same, eight bytes at a time: in a VM the usual comparison takes them one by one.
fn same(left: &str, right: &str) -> bool {
    let ((left, left_rest), (right, right_rest)) =
        (left.as_bytes().as_chunks::<8>(), right.as_bytes().as_chunks::<8>());
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    left.len() == right.len() && left.iter().map(word).eq(right.iter().map(word)) && left_rest == right_rest
}

/// About what a token takes: its text, its claims, and the maps around them. Short names cost more than their bytes.
fn cost(token: &Secret, proved: &Proved) -> usize {
    let claims = &proved.claims;
    let names = claims.scopes.iter().count().saturating_add(claims.audiences.len());
    let names = names.saturating_add(claims.chain.names().count());
    token.reveal().len().saturating_add(800).saturating_add(names.saturating_mul(NAME))
}

/// What a name takes besides its bytes, in bytes: the string, its allocation, its place in a set.
const NAME: usize = 64;

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
    fn tokens_that_end_alike_are_told_apart_and_bounded() {
        let mut cache = cache(100);
        (0..20).for_each(|n| keep(&mut cache, &format!("a{n}"), &format!("{n}.signature")));
        let held: Vec<_> = (0..20).filter(|n| holds(&mut cache, &format!("{n}.signature"))).collect();
        assert_eq!(held, (12..20).collect::<Vec<_>>());
        assert_eq!((cache.count, cache.shares.len(), cache.ranks.len()), (8, 8, 8));
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
        let (quiet, loud) = (|n: u32| format!("q{n:08}"), |n: u32| format!("loud-{n:08}"));
        let mut cache = cache(100);
        (0..10).for_each(|n| keep(&mut cache, &format!("quiet-{n}"), &quiet(n)));
        (0..10_000).for_each(|n| keep(&mut cache, "loud", &loud(n)));
        assert!((0..10).all(|n| holds(&mut cache, &quiet(n))));
        assert!((9_910..10_000).all(|n| holds(&mut cache, &loud(n))));
        assert!(!holds(&mut cache, &loud(9_909)));
        assert_eq!((cache.count, cache.ranks.len()), (100, 11));
    }

    #[test]
    fn memory_is_bounded_too() {
        let mut cache = Cache::new(Room { entries: 1000, bytes: 10 * 1024 });
        (0..100).for_each(|n| keep(&mut cache, "a", &format!("{n}{}", "x".repeat(1000))));
        assert!(cache.bytes <= 10 * 1024 && cache.count == 5);
        keep(&mut cache, "a", &"x".repeat(20 * 1024));
        assert!(cache.entries.is_empty() && cache.bytes == 0);
    }

    #[test]
    fn many_short_names_take_more_than_their_bytes() {
        let words: String = (0..1000).map(|n| format!("s{n} ")).collect();
        let many = || {
            let mut proved = proved("a", 600);
            proved.claims.scopes = crate::scope::Scopes::parse(&words).unwrap();
            Arc::new(proved)
        };
        let mut cache = Cache::new(Room { entries: 1000, bytes: 200 * 1024 });
        (0..10).for_each(|n| cache.keep(&Secret::new(format!("{n}.{words}")), &many()));
        assert_eq!(cache.count, 2);
        cache.sweep(NOW.plus(std::time::Duration::from_secs(600)));
        assert_eq!(cache.bytes, 0);
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
        assert_eq!((cache.count, cache.shares.len(), cache.bytes), (1, 1, 801 + 2 * NAME));
        assert!(cache.evict() && !cache.evict());
    }
}
