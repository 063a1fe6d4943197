//! The broker's answer, and what it means for the request that waits for it.

use super::answer::Onward;
use super::{Gate, Held, Refused, Step, Stream};
use crate::decide::Permit;
use crate::denial::{Denial, Reason};
use crate::mcp::Era;
use crate::wire::exchange::{self, Response};

impl Stream {
    /// Sends the request on with its credential, or refuses it.
    pub(super) fn mint(
        &mut self,
        held: Held,
        permit: Permit,
        (era, onward): (Era, Onward),
        response: &Response<'_>,
        gate: &mut Gate,
    ) -> Step {
        match exchange::read(response) {
            Ok(credential) => {
                self.story.leased(&credential, self.now);
                if let Some(like) = onward.credential {
                    gate.reuse.keep(like, &credential, self.now);
                }
                self.forward(held, permit, (era, onward), credential.headers, gate)
            }
            Err(why) => {
                let reason = match why {
                    exchange::Refused::ByPolicy(_) => Reason::CredentialRefused,
                    exchange::Refused::Client | exchange::Refused::Failed(_) => Reason::BrokerUnavailable,
                };
                let denial = Denial::new(reason, why.to_string());
                Err(Box::new(Refused { denial, server: Some(held.server), id: self.story.take_id() }))
            }
        }
    }
}
