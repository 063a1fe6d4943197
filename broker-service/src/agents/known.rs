//! Agents as they were a moment ago, for decisions made many times a second.
//!
//! What has to count at once does not depend on this: who is suspended or retired is revoked, and every intent is judged by
//! that under the lock it is written with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::AnyPool;

use super::{Agent, registry};
use crate::error::ApiError;

/// How old what is known may be.
const FRESH: Duration = Duration::from_secs(1);

/// How many agents are known at most.
const MOST: usize = 10_000;

/// Agents by their identifiers, and when they were read.
#[derive(Debug, Default)]
pub struct Known(Mutex<BTreeMap<String, (Instant, Arc<Agent>)>>);

impl Known {
    /// The agent of that identifier, as it was at most a second ago.
    pub async fn find(&self, pool: &AnyPool, id: &str) -> Result<Option<Arc<Agent>>, ApiError> {
        if let Some(agent) = self.fresh(id) {
            return Ok(Some(agent));
        }
        let began = Instant::now();
        let agent = registry::find(pool, id).await?.map(Arc::new);
        if let Some(agent) = &agent {
            self.keep(id, began, agent);
        }
        Ok(agent)
    }

    /// Forgets all, since something changed here.
    pub fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn fresh(&self, id: &str) -> Option<Arc<Agent>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (read, agent) = known.get(id)?;
        (read.elapsed() < FRESH).then(|| Arc::clone(agent))
    }

    fn keep(&self, id: &str, read: Instant, agent: &Arc<Agent>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(id.to_owned(), (read, Arc::clone(agent)));
    }
}
