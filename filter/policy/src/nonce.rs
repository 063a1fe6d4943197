//! Nonces a server hands out, so that a proof cannot be made ahead of time.
//!
//! [RFC 9449 §9](https://www.rfc-editor.org/rfc/rfc9449#section-9). A nonce is a keyed hash of the time: every worker with
//! the same key knows it, and none is kept.

use std::time::Duration;

use subtle::ConstantTimeEq as _;

use crate::secret::derive;
use crate::time::Time;
use crate::token::{base64url, encode};

/// How long a nonce is the current one; the one before it is still accepted.
const PERIOD: Duration = Duration::from_secs(120);

/// The key of the nonces.
#[derive(Clone)]
pub struct Nonce([u8; 32]);

impl std::fmt::Debug for Nonce {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("***")
    }
}

impl Nonce {
    /// Nonces of this key.
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The nonce to hand out at `now`.
    pub fn current(&self, now: Time) -> String {
        encode(&self.of(period(now)))
    }

    /// Whether `nonce` is the current one or the one before.
    pub fn accepts(&self, nonce: &str, now: Time) -> bool {
        let Some(bytes) = base64url(nonce) else {
            return false;
        };
        let period = period(now);
        [period, period.saturating_sub(1)].iter().any(|period| self.of(*period).ct_eq(&bytes).into())
    }

    fn of(&self, period: u64) -> Vec<u8> {
        derive(&self.0, &[b"accredit dpop nonce", &period.to_be_bytes()]).iter().copied().take(16).collect()
    }
}

fn period(now: Time) -> u64 {
    now.seconds().checked_div(PERIOD.as_secs()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_holds_for_its_period_and_the_next() {
        let nonce = Nonce::new([1; 32]);
        let start = Time::from_seconds(1_800_000_000);
        let text = nonce.current(start);
        assert_eq!(text.len(), 22);
        for (seconds, holds) in [(0, true), (119, true), (239, true), (240, false), (100_000, false)] {
            assert_eq!(nonce.accepts(&text, start.plus(Duration::from_secs(seconds))), holds, "{seconds}");
        }
        assert!(!nonce.accepts(&nonce.current(start.plus(PERIOD)), start), "a nonce of the future");
        assert!(!Nonce::new([2; 32]).accepts(&text, start));
        for bad in ["", "AA", "?", text.split_at(20).0] {
            assert!(!nonce.accepts(bad, start), "{bad}");
        }
    }
}
