//! Tokens of client credentials, kept until near their end; one request at a time for each.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::super::Failure;
use super::answer::Received;

/// How many tokens are kept.
const LIMIT: usize = 256;

/// The least time a token that is handed out is good for.
const MARGIN: Duration = Duration::from_secs(30);

/// Tokens by the requests they answered.
#[derive(Default)]
pub struct Cache(Mutex<HashMap<String, Arc<Slot>>>);

/// What the last request for one token came to; locked while one is under way.
type Slot = tokio::sync::Mutex<Option<Last>>;

struct Last {
    outcome: Result<Received, Failure>,
    /// When it came.
    came: Instant,
    /// Until when it serves those who come later; not at all without a lifetime, and after a failure.
    until: Option<Instant>,
}

impl Cache {
    /// The token for the request `key`, by `ask` where none is kept.
    pub async fn take(
        &self,
        key: String,
        ask: impl AsyncFnOnce() -> Result<Received, Failure>,
    ) -> Result<Received, Failure> {
        let arrived = Instant::now();
        let slot = self.slot(key);
        let mut last = slot.lock().await;
        // Who waited for a request that was under way takes what that one brought, be it a failure.
        let serves = |last: &&mut Last| last.came >= arrived || last.until.is_some_and(|until| Instant::now() < until);
        if let Some(last) = last.as_mut().filter(serves) {
            return last.outcome.clone();
        }
        let asked = Instant::now();
        let outcome = ask().await;
        let until = outcome.as_ref().ok().and_then(|received| asked.checked_add(usable(received.lifetime?)?));
        *last = Some(Last { outcome: outcome.clone(), came: Instant::now(), until });
        outcome
    }

    fn slot(&self, key: String) -> Arc<Slot> {
        // Nothing that panics is called under the lock.
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(&key) {
            return Arc::clone(slot);
        }
        if slots.len() >= LIMIT {
            make_room(&mut slots);
        }
        let slot = Arc::new(Slot::default());
        if slots.len() < LIMIT {
            slots.insert(key, Arc::clone(&slot));
        }
        slot
    }
}

/// Lets go of the token that is over first; those being asked for stay.
fn make_room(slots: &mut HashMap<String, Arc<Slot>>) {
    let idle = slots.iter().filter_map(|(key, slot)| {
        let last = slot.try_lock().ok()?;
        Some((last.as_ref().and_then(|last| last.until), key.clone()))
    });
    if let Some((_, key)) = idle.min() {
        slots.remove(&key);
    }
}

/// How long a token is handed out: its lifetime less a tenth, and less [`MARGIN`] at least.
fn usable(lifetime: Duration) -> Option<Duration> {
    lifetime.checked_sub(MARGIN.max(lifetime.checked_div(10)?))
}

/// How many only: keys and tokens are nobody's business.
impl fmt::Debug for Cache {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Cache")
    }
}

#[cfg(test)]
mod tests;
