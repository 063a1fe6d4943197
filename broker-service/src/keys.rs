//! The broker's signing keys: made in time, published before they sign, and kept until the last token of theirs is dead.
//!
//! ```text
//!            made      signs                    verifies only
//! first    ──┬──────────────────────────────┬──────────────────┐ gone
//! second                            ──┬─────┬──────────────────────────────┬──────────────────┐
//!                                     └lead─┘                              └ LIFETIME and SKEW┘
//! ```
//!
//! All replicas read one table. Who signs follows from the times in it alone, so that nobody has to be told; and a
//! replica that has not read the table for as long as `lead` signs no more.

pub mod api;
pub mod follow;
pub mod ring;
pub mod rotate;
pub mod signer;
mod table;

use std::time::Duration;

use accredit_policy::Time;

/// The longest any token lives that is signed here.
pub const LIFETIME: Duration = Duration::from_secs(3600);

/// How far the clock of whoever judges a token may be behind.
const SKEW: Duration = Duration::from_secs(60);

/// When keys take turns.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// How long a key signs.
    pub rotate: Duration,
    /// How long it is published before.
    pub lead: Duration,
}

/// The times of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// When it was made.
    pub created: Time,
    /// From when it signs, until a later one does.
    pub signs_from: Time,
    /// When its last token is dead, if a later one is there.
    pub retired_at: Option<Time>,
}

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is published, and does not sign yet.
    Published,
    /// It signs.
    Signs,
    /// Tokens it has signed are still good.
    Verifies,
    /// Nothing any more.
    Gone,
}

impl State {
    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Signs => "signs",
            Self::Verifies => "verifies",
            Self::Gone => "gone",
        }
    }
}

impl Life {
    /// What a key does at `now` that lives beside `all` keys there are.
    pub fn state(&self, all: &[Self], now: Time) -> State {
        let begun = all.iter().filter(|life| life.signs_from <= now);
        match self {
            _ if self.retired_at.is_some_and(|end| end <= now) => State::Gone,
            _ if self.signs_from > now => State::Published,
            _ if begun.map(|life| life.signs_from).max() == Some(self.signs_from) => State::Signs,
            _ => State::Verifies,
        }
    }

    /// When the last token of a key is dead that signs until `successor` does.
    pub fn end(successor: Time) -> Time {
        successor.plus(LIFETIME).plus(SKEW)
    }
}

impl Schedule {
    /// From when on a new key has to sign, if one has to be made at `now`.
    pub fn successor(&self, all: &[Life], now: Time) -> Option<Time> {
        let Some(newest) = all.iter().map(|life| life.signs_from).max() else {
            // Nobody knows another key that this one could be mistaken for.
            return Some(now);
        };
        let (known, planned) = (now.plus(self.lead), newest.plus(self.rotate));
        // Late, the others need their time all the same: the old key signs until then.
        (known >= planned).then(|| planned.max(known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;
    const MONTHLY: Schedule = Schedule { rotate: Duration::from_secs(720 * HOUR), lead: Duration::from_secs(600) };

    fn at(seconds: u64) -> Time {
        Time::from_seconds(seconds)
    }

    fn life(signs_from: u64, retired_at: Option<u64>) -> Life {
        Life { created: at(0), signs_from: at(signs_from), retired_at: retired_at.map(at) }
    }

    #[test]
    fn a_key_is_made_in_time_to_be_known_when_it_signs() {
        assert_eq!(MONTHLY.successor(&[], at(7)), Some(at(7)), "the first one signs at once");
        let first = [life(0, None)];
        assert_eq!(MONTHLY.successor(&first, at(720 * HOUR - 601)), None);
        assert_eq!(MONTHLY.successor(&first, at(720 * HOUR - 600)), Some(at(720 * HOUR)));
        let both = [life(0, None), life(720 * HOUR, None)];
        assert_eq!(MONTHLY.successor(&both, at(720 * HOUR - 1)), None, "one is made, not two");
        assert_eq!(MONTHLY.successor(&both, at(1440 * HOUR - 600)), Some(at(1440 * HOUR)));
    }

    #[test]
    fn a_key_that_comes_late_is_known_before_it_signs_all_the_same() {
        assert_eq!(MONTHLY.successor(&[life(0, None)], at(9000 * HOUR)), Some(at(9000 * HOUR + 600)));
        assert_eq!(MONTHLY.successor(&[life(0, None)], at(720 * HOUR - 1)), Some(at(720 * HOUR + 599)));
    }

    #[test]
    fn a_key_is_published_then_signs_then_verifies_then_is_gone() {
        let (first, second) = (life(0, Some(5000)), life(1000, None));
        let all = [first, second];
        let states = |now| (first.state(&all, at(now)), second.state(&all, at(now)));
        assert_eq!(states(999), (State::Signs, State::Published));
        assert_eq!(states(1000), (State::Verifies, State::Signs));
        assert_eq!(states(4999), (State::Verifies, State::Signs));
        assert_eq!(states(5000), (State::Gone, State::Signs));
        assert_eq!(life(0, None).state(&[life(0, None)], at(9000 * HOUR)), State::Signs, "without another it goes on");
    }

    #[test]
    fn a_key_outlives_every_token_it_has_signed() {
        let last = at(1000).plus(LIFETIME);
        assert!(Life::end(at(1000)).since(last) >= Duration::from_secs(60), "a judge's clock may be behind");
    }
}
