//! The issuers' status lists of one VM: when to fetch them, how long to trust them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::fetch::{Answer, Document, Fetch, Kept, PATIENCE};
use crate::policy::{Issuer, Policy};
use crate::resource::Resource;
use crate::time::Time;
use crate::token::Refusal;
use crate::token::status::{self, List, Listing};

/// The most lists that are kept. The one that no token named for the longest time makes room.
const LISTS: usize = 64;

/// The most memory they may take before the next is fetched, in bytes.
const BYTES: usize = 8 * 1024 * 1024;

/// The shortest time from one fetch of a list to the next, whatever its issuer says.
const LEAST: Duration = Duration::from_secs(1);

/// The fetched lists of all issuers.
#[derive(Debug, Default)]
pub struct Lists {
    entries: BTreeMap<(String, String), Entry>,
}

#[derive(Debug)]
struct Entry {
    kept: Kept<List>,
    place: Resource,
    used: Time,
    wanted: bool,
}

/// What became of a look into a list.
#[derive(Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The list says so.
    Judged(Result<(), Refusal>),
    /// A fetch is under way.
    Waits,
    /// There is no list that is fresh enough.
    Unavailable,
}

impl Lists {
    /// What `issuer`'s list says of the token at `listing`, no older than `max_age`.
    pub fn find(&mut self, issuer: &Issuer, listing: &Listing, max_age: Duration, now: Time) -> Lookup {
        let name = (issuer.name.clone(), listing.list.as_str().to_owned());
        if !self.entries.contains_key(&name) && !self.make_room(now) {
            return Lookup::Unavailable;
        }
        let entry = self.entries.entry(name).or_insert_with(|| Entry::new(&listing.list));
        entry.used = now;
        if entry.kept.due(now) {
            entry.kept.depart(now);
            entry.wanted = true;
        }
        let fresh = entry.kept.value(max_age, now).filter(|list| list.expires.is_none_or(|expires| now < expires));
        match fresh {
            Some(list) => Lookup::Judged(status::judge(list, listing)),
            None if entry.kept.flies(now) => Lookup::Waits,
            None => Lookup::Unavailable,
        }
    }

    /// Whether some list has to be fetched.
    pub fn wants(&self) -> bool {
        self.entries.values().any(|entry| entry.wanted)
    }

    /// Takes what has to be fetched now.
    pub fn wanted(&mut self, policy: &Policy) -> Vec<Fetch> {
        let wanted = self.entries.iter_mut().filter_map(|((issuer, place), entry)| {
            let cluster = policy.issuer(issuer)?.status.as_ref()?.cluster.clone();
            std::mem::take(&mut entry.wanted).then(|| Fetch {
                document: Document::Statuses(issuer.clone(), place.clone()),
                url: place.clone(),
                cluster,
                authority: entry.place.authority().to_owned(),
                path: entry.place.target().to_owned(),
                accept: status::MEDIA,
                authorization: None,
                patience: PATIENCE,
            })
        });
        wanted.collect()
    }

    /// Takes in the list of `issuer` that was fetched from `place`, proved by `prove`; a failed fetch leaves the old one.
    pub fn arrived(
        &mut self,
        (issuer, place): (&Issuer, &str),
        answer: &Answer<'_>,
        prove: impl FnOnce(&str) -> Result<List, Refusal>,
        now: Time,
    ) -> Result<(), &'static str> {
        let max_age = issuer.status.as_ref().map_or(Duration::ZERO, |status| status.max_age);
        let Some(entry) = self.entries.get_mut(&(issuer.name.clone(), place.to_owned())) else {
            return Ok(());
        };
        let token = answer.body.and_then(|body| std::str::from_utf8(body).ok()).map(str::trim);
        let list = token.ok_or("could not be fetched").and_then(|token| prove(token).map_err(|refusal| refusal.note));
        match list.and_then(|list| entry.follows(list)) {
            Ok(list) => {
                entry.land(list, answer, max_age, now);
                Ok(())
            }
            Err(why) => {
                entry.kept.fail(now);
                Err(why)
            }
        }
    }

    /// Makes room for one more; `false` when there is none but that of lists under way. Were those dropped, their streams
    /// would ask for them again, and each list would push out the next.
    fn make_room(&mut self, now: Time) -> bool {
        let size = |entry: &Entry| entry.kept.value(Duration::MAX, Time::default()).map_or(0, List::size);
        while self.entries.len() >= LISTS || self.entries.values().map(size).sum::<usize>() > BYTES {
            let idle = self.entries.iter().filter(|(_, entry)| !entry.kept.flies(now));
            let oldest = idle.min_by_key(|(_, entry)| entry.used).map(|(name, _)| name.clone());
            if oldest.and_then(|name| self.entries.remove(&name)).is_none() {
                return false;
            }
        }
        true
    }
}

impl Entry {
    fn new(place: &Resource) -> Self {
        Self { kept: Kept::default(), place: place.clone(), used: Time::default(), wanted: false }
    }

    /// The list, unless it is older than the one there is: played again it would bring back what was revoked since.
    fn follows(&self, list: List) -> Result<List, &'static str> {
        let older = self.kept.value(Duration::MAX, Time::default()).is_some_and(|kept| list.issued < kept.issued);
        if older { Err("is older than the one before") } else { Ok(list) }
    }

    /// [§13.7](https://datatracker.ietf.org/doc/html/draft-ietf-oauth-status-list#section-13.7): the list's own `ttl` comes
    /// before what the HTTP answer says.
    fn land(&mut self, list: List, answer: &Answer<'_>, max_age: Duration, now: Time) {
        // Renewed at half its age, so that no request has to wait.
        let half = max_age.checked_div(2).unwrap_or_default();
        let span = match list.ttl {
            Some(ttl) => Duration::from_secs(ttl).clamp(LEAST.min(half), half),
            None => answer.fresh(half),
        };
        // A list that ends sooner is renewed before it does.
        let left = list.expires.map_or(span, |expires| expires.since(now).checked_div(2).unwrap_or_default());
        self.kept.land(list, span.min(left.max(LEAST)), now);
    }
}

#[cfg(test)]
mod tests;
