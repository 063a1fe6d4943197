//! Calls that are on the broker's disk before they go upstream.

use super::answer::Onward;
use super::{Effect, Gate, Held, State, Step, Stream, refused};
use crate::decide::Permit;
use crate::denial::{Denial, Reason};
use crate::mcp::Era;
use crate::policy::Recording;
use crate::secret::Secret;
use crate::wire::exchange::Response;

/// A permitted call that waits for the broker's word.
#[derive(Debug)]
pub(super) struct Intent {
    held: Held,
    permit: Permit,
    era: Era,
    onward: Onward,
    set: Vec<(String, Secret)>,
}

impl Stream {
    /// Lets the call go, after the broker has written it down where its rule says so.
    ///
    /// A call that a credential is minted for does not come by here: the broker writes its intent before it mints.
    pub(super) fn announce(
        &mut self,
        held: Held,
        permit: Permit,
        (era, onward): (Era, Onward),
        set: Vec<(String, Secret)>,
        gate: &Gate,
    ) -> Step {
        match permit.recording() {
            Recording::After => self.forward(held, permit, (era, onward), set, gate),
            Recording::Before => {
                let batch = Secret::new(self.story.intent(self.now));
                let post = gate.post("/v1/audit/events", "application/json", batch);
                let intent = Intent { held, permit, era, onward, set };
                Ok((State::Announcing(Box::new(intent)), vec![Effect::Post(post)]))
            }
        }
    }

    /// Lets the call go if the broker has said that it is on the disk. Its outcome follows as that of any call.
    pub(super) fn announced(&mut self, intent: Intent, response: &Response<'_>, gate: &Gate) -> Step {
        let Intent { held, permit, era, onward, set } = intent;
        match response.status {
            Some(204) => self.forward(held, permit, (era, onward), set, gate),
            status => {
                let status = status.map_or_else(|| "nothing".to_owned(), |status| status.to_string());
                let note = format!("the broker answered {status} to the intent");
                let mut refused = refused(Denial::new(Reason::AuditUnavailable, note), &held.server);
                refused.id = self.story.take_id();
                Err(refused)
            }
        }
    }
}
