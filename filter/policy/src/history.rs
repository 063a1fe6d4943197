//! What was revoked, in its order: what stands, and what the broker tells its proxies of it.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::revocation::Revocations;
use crate::time::Time;
use crate::wire::feed::{self, CHANGES, Change, Cursor, Page};

/// How many bytes of changes one page carries, well below what a proxy reads.
const BYTES: usize = feed::SIZE / 2;

/// The mark of the beginning, where nothing has happened yet.
const BEGINNING: &str = "0";

/// What is revoked, and how it came to that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct History {
    standing: Revocations,
    changes: BTreeMap<u64, Told>,
}

/// A change as proxies are told of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Told {
    change: Change,
    mark: String,
    size: usize,
}

impl History {
    /// Takes in the next change, and its mark.
    pub fn apply(&mut self, change: Change, mark: String) {
        match change.lifts {
            true => self.standing.lift(&change.target),
            false => self.standing.add(change.revocation()),
        }
        let size = serde_json::to_string(&change).map_or(BYTES, |text| text.len());
        self.changes.insert(change.seq, Told { change, mark, size });
    }

    /// What stands now.
    pub fn standing(&self) -> &Revocations {
        &self.standing
    }

    /// What comes after `cursor`; `None` when it is the last there is.
    pub fn page(&self, cursor: &Cursor) -> Option<Page> {
        let follows = self.mark(cursor.seq).is_some_and(|mark| mark == cursor.mark);
        let after = if follows { cursor.seq } else { 0 };
        let mut rest = self.changes.range((Bound::Excluded(after), Bound::Unbounded)).map(|(_, told)| told).peekable();
        if follows && rest.peek().is_none() {
            return None;
        }
        let mut size = 0_usize;
        let (mut changes, mut seq) = (Vec::new(), after);
        while let Some(told) = rest.next_if(|told| {
            size = size.saturating_add(told.size);
            changes.len() < CHANGES && (size <= BYTES || changes.is_empty())
        }) {
            changes.push(told.change.clone());
            seq = told.change.seq;
        }
        let mark = self.mark(seq).unwrap_or_default().to_owned();
        Some(Page { after, seq, mark, reset: !follows, more: rest.peek().is_some(), changes })
    }

    fn mark(&self, seq: u64) -> Option<&str> {
        match seq {
            0 => Some(BEGINNING),
            seq => self.changes.get(&seq).map(|told| told.mark.as_str()),
        }
    }

    /// Forgets what can hit nothing any more; never the last change, after which all go on.
    pub fn forget(&mut self, now: Time) {
        self.standing.forget(now);
        let last = self.changes.last_key_value().map(|(seq, _)| *seq);
        let over = |told: &Told| told.change.until.is_some_and(|until| Time::from_seconds(until) <= now);
        self.changes.retain(|seq, told| Some(*seq) == last || !over(told));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::Target;

    fn told(count: u64) -> History {
        let mut history = History::default();
        (1..=count).for_each(|seq| history.apply(change(seq, None), format!("m{seq}")));
        history
    }

    fn change(seq: u64, until: Option<u64>) -> Change {
        let target = Target::Token { issuer: "https://broker.test".into(), id: format!("t-{seq}") };
        Change { seq, target, before: None, until, lifts: false }
    }

    fn cursor(seq: u64, mark: &str) -> Cursor {
        Cursor { seq, mark: mark.into() }
    }

    #[test]
    fn who_was_told_nothing_is_told_everything() {
        let page = told(0).page(&Cursor::default()).unwrap();
        assert_eq!((page.reset, page.seq, page.mark.as_str(), page.changes.len()), (true, 0, "0", 0));
        assert!(told(0).page(&cursor(0, "0")).is_none());
        let page = told(3).page(&cursor(0, "0")).unwrap();
        assert_eq!((page.reset, page.after, page.seq, page.changes.len()), (false, 0, 3, 3));
    }

    #[test]
    fn changes_follow_the_one_that_is_known_and_no_other() {
        let history = told(3);
        assert!(history.page(&cursor(3, "m3")).is_none());
        let page = history.page(&cursor(1, "m1")).unwrap();
        assert_eq!((page.reset, page.after, page.seq, page.mark.as_str()), (false, 1, 3, "m3"));
        for unknown in [cursor(3, "m2"), cursor(4, "m4"), cursor(1, ""), cursor(0, "m0")] {
            let page = history.page(&unknown).unwrap();
            assert_eq!((page.reset, page.after, page.changes.len()), (true, 0, 3), "{unknown:?}");
        }
    }

    #[test]
    fn what_does_not_fit_one_page_comes_with_the_next() {
        let history = told(CHANGES as u64 + 1);
        let page = history.page(&Cursor::default()).unwrap();
        assert_eq!((page.changes.len(), page.more, page.seq), (CHANGES, true, CHANGES as u64));
        let page = history.page(&cursor(page.seq, &page.mark)).unwrap();
        assert_eq!((page.changes.len(), page.more, page.reset), (1, false, false));
        let mut large = told(0);
        for seq in 1..=3 {
            let target = Target::Server { server: "x".repeat(BYTES - 100) };
            large.apply(Change { target, ..change(seq, None) }, format!("m{seq}"));
        }
        assert_eq!(large.page(&Cursor::default()).unwrap().changes.len(), 1);
    }

    #[test]
    fn what_can_hit_nothing_is_forgotten_but_for_the_last_change() {
        let mut history = told(1);
        (2..=4).for_each(|seq| history.apply(change(seq, Some(seq)), format!("m{seq}")));
        history.forget(Time::from_seconds(2));
        assert_eq!(history.changes.keys().copied().collect::<Vec<_>>(), [1, 3, 4]);
        history.forget(Time::from_seconds(9));
        assert_eq!(history.changes.keys().copied().collect::<Vec<_>>(), [1, 4]);
        assert_eq!(history.standing.len(), 1);
        assert!(history.page(&cursor(2, "m2")).unwrap().reset, "that change is not known any more");
    }
}
