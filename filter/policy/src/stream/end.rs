//! How a request ends that is not sent on, and what is told of one that is over.

use super::{Effect, Gate, Refused, Severity, State, Step, Stream};
use crate::denial::{Denial, Reason};
use crate::origin::Origin;
use crate::reply::Reply;
use crate::time::Time;

impl Stream {
    /// Answers what needs no decision.
    pub(super) fn tell(&mut self, reply: Reply) -> (State, Vec<Effect>) {
        self.story.untold();
        (State::Ended, vec![Effect::Reply(reply)])
    }

    pub(super) fn refuse(&self, denial: Denial, server: Option<&str>) -> Step {
        Err(Box::new(Refused { denial, server: server.map(str::to_owned), id: None }))
    }

    /// Ends the request: one reply, one line, one count, one record. Where the answer was under way the reply breaks it off.
    pub(super) fn end(&mut self, refused: Refused, live: bool, gate: &mut Gate, now: Time) -> (State, Vec<Effect>) {
        let Refused { denial, server, id } = refused;
        let name = server.or_else(|| self.story.record().server.clone());
        self.story.denied(&denial, gate, now);
        let server = name.as_deref().and_then(|name| gate.policy.server(name));
        let decision = &self.story.record().id;
        let mut reply = denial.reply(server, id.as_deref(), decision);
        if denial.reason == Reason::SenderNonce {
            reply = reply.with("dpop-nonce", gate.nonce.current(now));
        }
        for (name, value) in self.origin.iter().flat_map(Origin::headers) {
            reply = reply.with(name, value);
        }
        let line = format!("{} {decision}: {}", denial.reason, denial.note);
        let count = Effect::Count(name.unwrap_or_else(|| "none".into()), denial.reason.name());
        let severity = if reply.status >= 500 { Severity::Operator } else { Severity::Caller };
        let state = if live { State::Cut } else { State::Ended };
        (state, vec![Effect::Log(severity, line), count, Effect::Reply(reply)])
    }

    pub(super) fn close(&mut self, state: &State, bytes: Option<u64>, gate: &mut Gate, now: Time) -> State {
        match state {
            State::Opened | State::Cut | State::Ended => {}
            State::Broken | State::Early(_) | State::Forwarded(_) | State::Showing(..) | State::Watching(_) => {
                self.story.ended(bytes, gate, now);
            }
            State::Proving(_)
            | State::Binding(..)
            | State::Claiming(..)
            | State::Clearing(..)
            | State::Entering(..)
            | State::Reading(..)
            | State::Recalling(_)
            | State::Minting(..)
            | State::Announcing(_) => {
                let denial = Denial::new(Reason::ClientGone, "the client went away");
                self.story.denied(&denial, gate, now);
            }
        }
        State::Ended
    }
}
