//! Revocation on a request's way: judged when it is known who sends it, when it is known what for, and again while its
//! answer is under way.

use super::{Effect, Gate, Held, Refused, Severity, State, Step, Stream, refused};
use crate::call::{Call, Target};
use crate::denial::{Denial, Reason};
use crate::feed::{Feed, Standing};
use crate::policy::{Mode, Server};
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
    /// Of a call that is about to be decided; `None` where the server lets everything through, and only tells.
    pub(super) fn of(call: &Call<'_>, held: &Held, bound: &Bound, server: &Server) -> Option<Self> {
        let mut tools: Vec<String> = match &call.target {
            Target::Subscription(resources, _) => resources.iter().map(|uri| uri.clone().into_owned()).collect(),
            target => target.object().map(str::to_owned).into_iter().collect(),
        };
        tools.extend(held.tasks.iter().cloned());
        if tools.is_empty() {
            // A method has a rule of its own, by its name.
            tools.push(call.method.clone().into_owned());
        }
        let pass = Self { verified: bound.verified().clone(), server: held.server.clone(), tools };
        (server.mode != Mode::ShadowAll).then_some(pass)
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
    /// Refuses a call that was permitted, where something of it was revoked since.
    pub(super) fn stands(&mut self, held: &Held, gate: &Gate) -> Result<(), Box<Refused>> {
        let Some(Err(denial)) = self.pass.as_ref().map(|pass| pass.stands(&gate.feed, self.now)) else {
            return Ok(());
        };
        self.pass = None;
        let mut refused = refused(denial, &held.server);
        refused.id = self.story.take_id();
        Err(refused)
    }

    /// Whether something of a call that was let through was revoked since.
    pub fn is_revoked(&self, feed: &Feed) -> bool {
        self.pass.as_ref().is_some_and(|pass| pass.hit(feed))
    }

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
