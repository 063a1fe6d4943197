//! Records on their way from the queue to the broker, until the plugin ends.

use accredit_policy::Secret;
use accredit_policy::outbox::{Batch, Word};

use super::{Purpose, Root, Shared};
use crate::host;

/// How often the last records are sent in vain before they are given up.
const TRIES: u32 = 3;

/// Whether the plugin goes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Leaving {
    /// Not yet.
    #[default]
    No,
    /// As soon as the queue is empty, or the broker has not taken it so many times more: at none, now.
    Soon(u32),
}

impl Root {
    /// Sends the next batch of records before its time, if too many wait.
    pub(super) fn relieve(&self, shared: &Shared) {
        let presses = shared.gate.borrow().outbox.presses();
        if presses {
            self.flush(shared);
        }
    }

    /// Sends the next batch of records.
    pub(super) fn flush(&self, shared: &Shared) {
        let (number, call) = {
            let mut gate = shared.gate.borrow_mut();
            let Some(Batch { number, body }) = gate.outbox.batch(host::now()) else {
                return;
            };
            (number, host::post(&gate.post("/v1/audit/events", "application/json", Secret::new(body))))
        };
        match call {
            Ok(token) => drop(self.calls.borrow_mut().insert(token, Purpose::Records(number))),
            Err(_) => {
                log::error!("records cannot be sent: the cluster is not known (hint: check `broker.cluster`)");
                shared.gate.borrow_mut().outbox.settled(number, Word::Failed, host::now());
            }
        }
    }

    /// Takes in the broker's word on a batch.
    pub(super) fn settle(&self, shared: &Shared, number: u64, status: Option<&str>) {
        let word = Word::of(status);
        let status = status.unwrap_or("no status");
        match word {
            Word::Kept => {}
            Word::Refused => log::error!("the broker answered {status} to records; those it never takes are given up"),
            Word::Failed => {
                log::warn!("records were not taken, the broker answered {status}; they will be sent again");
            }
        }
        shared.gate.borrow_mut().outbox.settled(number, word, host::now());
        match (self.leaving.get(), word) {
            (Leaving::Soon(tries), Word::Failed) => self.leave(shared, tries.saturating_sub(1)),
            (Leaving::Soon(tries), Word::Kept | Word::Refused) => self.leave(shared, tries),
            (Leaving::No, Word::Kept) => self.relieve(shared),
            (Leaving::No, Word::Refused) => self.flush(shared),
            (Leaving::No, Word::Failed) => {}
        }
        if self.leaving.get() == Leaving::Soon(0) {
            host::done_with();
        }
    }

    /// Sends what is left before the plugin ends. Out: whether nothing is under way.
    pub(super) fn farewell(&self, shared: &Shared) -> bool {
        self.leave(shared, TRIES);
        self.leaving.get() == Leaving::Soon(0)
    }

    /// Sends what is left, at once: there is no clock any more to wait for a better moment.
    fn leave(&self, shared: &Shared, tries: u32) {
        shared.gate.borrow_mut().outbox.hurry();
        if tries > 0 {
            self.flush(shared);
        }
        let flies = shared.gate.borrow().outbox.flies();
        if !flies {
            let lost = shared.gate.borrow_mut().outbox.abandon();
            if lost > 0 {
                log::error!("{lost} records are lost: the broker did not take them when the plugin ended");
            }
        }
        self.leaving.set(Leaving::Soon(if flies { tries } else { 0 }));
        shared.report();
    }
}
