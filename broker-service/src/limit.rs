//! How often a client may ask, and how often an address may fail to prove who it is.
//!
//! GCRA: of each key one moment is kept, at which it would have used up all it did at an even rate. It may run ahead of now
//! by its burst, and no further.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{ApiError, Code};

/// The most keys that are kept.
const KEYS: usize = 65_536;

/// A rate, and how far one may run ahead of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many in a second; at least one.
    pub per_second: u32,
    /// How many at once; at least one.
    pub burst: u32,
}

/// How much there may be of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Requests of one agent.
    pub requests: Rate,
    /// Failures from one address to prove who one is.
    pub failures: Rate,
}

impl Default for Quota {
    fn default() -> Self {
        Self { requests: Rate { per_second: 50, burst: 100 }, failures: Rate { per_second: 5, burst: 50 } }
    }
}

/// What was used of a quota.
#[derive(Debug)]
pub struct Rates {
    requests: Meter<String>,
    failures: Meter<IpAddr>,
}

impl Rates {
    /// Nothing used yet.
    pub fn new(Quota { requests, failures }: Quota) -> Self {
        Self { requests: Meter::new(requests), failures: Meter::new(failures) }
    }

    /// Counts a request of the agent `id`, unless it has to wait.
    pub fn request(&self, id: &str) -> Result<(), ApiError> {
        let taken = self.requests.take(id.to_owned(), Instant::now());
        taken.map_err(|wait| limited(wait).because(format!("`{id}` asks too often")))
    }

    /// Whether one may try from `address` to prove who one is.
    pub fn guesses(&self, address: IpAddr) -> Result<(), ApiError> {
        match self.failures.wait(&network(address), Instant::now()) {
            None => Ok(()),
            Some(wait) => Err(limited(wait).because(format!("too many failures from {address}"))),
        }
    }

    /// Counts a failure.
    pub fn failed(&self, address: IpAddr) {
        // That it is one too many is told to the next request.
        self.failures.take(network(address), Instant::now()).ok();
    }
}

/// No code of RFC 6749 §5.2 says this, and `slow_down` of RFC 8628 is for polling. The status is what generic clients wait
/// for, with the time in `Retry-After`; the code is the one OAuth has for "later".
///
/// [RFC 6585 §4](https://www.rfc-editor.org/rfc/rfc6585#section-4)
fn limited(wait: Duration) -> ApiError {
    let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
    ApiError::new(Code::TooManyRequests(seconds), "too many requests; wait before the next one")
}

/// Who has one address of IPv6 has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        short => short,
    }
}

/// Counts by key.
#[derive(Debug)]
struct Meter<K> {
    /// One in so much time.
    every: Duration,
    /// How far a key may run ahead.
    ahead: Duration,
    spent: Mutex<HashMap<K, Instant>>,
}

impl<K: Eq + Hash> Meter<K> {
    fn new(rate: Rate) -> Self {
        let every = Duration::from_secs(1).checked_div(rate.per_second).unwrap_or(Duration::from_secs(1));
        Self { every, ahead: every.saturating_mul(rate.burst.saturating_sub(1)), spent: Mutex::default() }
    }

    /// How long `key` has to wait at `now`, if it has to.
    fn wait(&self, key: &K, now: Instant) -> Option<Duration> {
        self.late(self.spent().get(key).copied(), now)
    }

    /// Counts one of `key`, unless it has to wait.
    fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        let mut spent = self.spent();
        let known = spent.get(&key).copied();
        if let Some(wait) = self.late(known, now) {
            return Err(wait);
        }
        if known.is_none() && spent.len() >= KEYS {
            make_room(&mut spent, now);
        }
        let from = known.map_or(now, |until| until.max(now));
        spent.insert(key, from.checked_add(self.every).unwrap_or(from));
        Ok(())
    }

    fn late(&self, spent: Option<Instant>, now: Instant) -> Option<Duration> {
        let wait = spent?.saturating_duration_since(now).saturating_sub(self.ahead);
        (!wait.is_zero()).then_some(wait)
    }

    fn spent(&self) -> MutexGuard<'_, HashMap<K, Instant>> {
        // Nothing that panics is called under the lock.
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops keys that are as good as new. Where that is too few, all of them: so much room is looked through only once for as
/// many new keys as half of it holds.
fn make_room<K: Eq + Hash>(spent: &mut HashMap<K, Instant>, now: Instant) {
    spent.retain(|_, until| *until > now);
    if spent.len() > KEYS / 2 {
        spent.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_runs_ahead_by_its_burst_and_no_further() {
        let meter = Meter::new(Rate { per_second: 10, burst: 3 });
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        for _ in 0..3 {
            assert_eq!(meter.take("a", start), Ok(()));
        }
        assert_eq!(meter.wait(&"a", start), Some(Duration::from_millis(100)));
        assert_eq!(meter.take("a", at(40)), Err(Duration::from_millis(60)), "what is refused does not count");
        assert_eq!(meter.take("b", at(40)), Ok(()), "each key for itself");
        assert_eq!(meter.take("a", at(100)), Ok(()));
        assert!(meter.take("a", at(100)).is_err());
        assert_eq!(meter.wait(&"a", at(10_000)), None);
    }

    #[test]
    fn the_keys_are_bounded() {
        let meter = Meter::new(Rate { per_second: 1, burst: 1 });
        let start = Instant::now();
        for key in 0..3 * KEYS {
            meter.take(key, start).unwrap();
            assert!(meter.spent().len() <= KEYS);
        }
        assert!(meter.take(3 * KEYS - 1, start).is_err(), "the latest is still known");
    }

    #[test]
    fn what_has_ended_makes_room_first() {
        let meter = Meter::new(Rate { per_second: 1, burst: 1 });
        let start = Instant::now();
        (0..KEYS).for_each(|key| meter.take(key, start).unwrap());
        let later = start + Duration::from_secs(1);
        meter.take(KEYS, later).unwrap();
        assert_eq!(meter.spent().len(), 1);
    }

    #[test]
    fn an_address_counts_with_its_network() {
        let of = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
