//! Revocation on a request's way: judged when it is known who sends it, when it is known what for, and again while its
//! answer is under way.

use super::{Effect, Gate, Held, Refused, Severity, State, Step, Stream, refused};
use crate::call::Call;
use crate::denial::{Denial, Reason};
use crate::feed::{Feed, Standing};
use crate::sender::Bound;
use crate::time::Time;
use crate::token::Verified;

/// A call that was let through, as far as it can be revoked.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    verified: Verified,
    server: String,
    tools: Vec<String>,
}

impl Pass {
    /// Of a call that is about to be decided.
    pub(super) fn of(call: &Call<'_>, held: &Held, bound: &Bound) -> Self {
        let tools = match call.target.object() {
            Some(tool) => vec![tool.to_owned()],
            None => held.tasks.clone(),
        };
        Self { verified: bound.verified().clone(), server: held.server.clone(), tools }
    }

    /// Lets it stand only where nothing of it is revoked, and that is known.
    pub(super) fn stands(&self, feed: &Feed, now: Time) -> Result<(), Denial> {
        let mut tools = self.tools.iter().map(|tool| Some(tool.as_str())).chain([None]);
        tools.try_for_each(|tool| match feed.judge(&self.verified, &self.server, tool, now) {
            Standing::Good => Ok(()),
            Standing::Revoked => Err(Denial::new(Reason::Revoked, "the token, the tool or the server is revoked")),
            Standing::Stale | Standing::Waits => Err(stale()),
        })
    }

    /// Whether something of it was revoked since.
    fn hit(&self, feed: &Feed) -> bool {
        let mut tools = self.tools.iter().map(|tool| Some(tool.as_str())).chain([None]);
        tools.any(|tool| feed.hits(&self.verified, &self.server, tool))
    }
}

impl Stream {
    /// Goes on with a token in the right hands that nobody has taken back; waits for the broker's first word.
    pub(super) fn bound(&mut self, held: Held, bound: Bound, gate: &mut Gate, now: Time) -> Step {
        match gate.feed.judge(bound.verified(), &held.server, None, now) {
            Standing::Good => self.speak(held, bound, gate, now),
            Standing::Waits => Ok((State::Clearing(held, bound), vec![Effect::AwaitKeys])),
            Standing::Revoked => Err(revoked(&held)),
            Standing::Stale => Err(refused(stale(), &held.server)),
        }
    }

    /// Breaks off a request that was let through, where something of it was revoked since. What the client has of the answer
    /// is all it gets.
    pub(super) fn review(&mut self, state: State, gate: &Gate) -> (State, Vec<Effect>) {
        let Some(pass) = self.pass.as_ref().filter(|pass| pass.hit(&gate.feed)) else {
            return (state, Vec::new());
        };
        let server = pass.server.clone();
        self.pass = None;
        self.story.broken(Reason::Revoked);
        let line = format!("{} {}: broken off while under way", Reason::Revoked, self.record().id);
        let count = Effect::Count(server, Reason::Revoked.name());
        (State::Broken, vec![Effect::Log(Severity::Caller, line), count, Effect::Break])
    }
}

fn revoked(held: &Held) -> Box<Refused> {
    refused(Denial::new(Reason::Revoked, "the token or the server is revoked"), &held.server)
}

fn stale() -> Denial {
    let note = "nobody knows what is revoked (hint: does the broker answer `GET /v1/revocations`?)";
    Denial::new(Reason::RevocationStale, note)
}
