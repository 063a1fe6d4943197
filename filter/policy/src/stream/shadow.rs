//! Shadow mode: what would be denied is told, and let through all the same.
//!
//! No credential is minted for it, and the agent's token stays behind as always.

use super::answer::Onward;
use super::request::Request;
use super::{Edits, Effect, Refused, Severity, State, Stream};
use crate::denial::Denial;
use crate::mcp::Era;
use crate::policy::{Mode, Server};

/// What is kept of a request that may be let through.
#[derive(Debug)]
pub(super) struct Shade {
    mode: Mode,
    remove: Vec<String>,
    /// Whether the headers have gone upstream already.
    gone: bool,
}

impl Shade {
    /// What `server` may have to let through of `request`.
    pub(super) fn of(server: &Server, request: &Request) -> Option<Self> {
        let rules = server.rules().any(|rule| rule.mode != Mode::Enforce);
        let any = rules || server.mode != Mode::Enforce;
        any.then(|| Self { mode: server.mode, remove: request.private(Era::Modern), gone: false })
    }

    /// The same once the headers have gone upstream.
    pub(super) fn gone(self) -> Self {
        Self { gone: true, ..self }
    }

    /// Whether the policy has this denial told only, of a request whose token was `proved` or was not.
    fn covers(&self, denial: &Denial, proved: bool) -> bool {
        let call = proved && denial.reason.is_of_the_call();
        match self.mode {
            Mode::ShadowAll => true,
            Mode::Shadow => call,
            Mode::Enforce => call && denial.mode != Mode::Enforce,
        }
    }
}

/// Leave to let a refused request through. Only [`Stream::overlooks`] gives it.
pub(super) struct Overlooked(Shade);

impl Stream {
    /// Whether the request is let through although it was refused.
    pub(super) fn overlooks(&mut self, refused: &Refused) -> Option<Overlooked> {
        let proved = self.record().agent.is_some();
        self.shade.take_if(|shade| shade.covers(&refused.denial, proved)).map(Overlooked)
    }

    /// Lets it through.
    pub(super) fn overlook(&mut self, refused: Refused, Overlooked(shade): Overlooked) -> (State, Vec<Effect>) {
        let Refused { denial, .. } = refused;
        self.story.overlooked(&denial);
        let server = self.record().server.clone().unwrap_or_default();
        let line = format!("{} {}: {}; let through, as in shadow", denial.reason, self.record().id, denial.note);
        let mut effects = vec![Effect::Log(Severity::Caller, line), Effect::Count(server, "shadow")];
        if !shade.gone {
            let mut edits = Edits { remove: shade.remove, set: Vec::new() };
            self.session.inward(None, &mut edits);
            effects.push(Effect::Forward(edits));
        }
        (State::Forwarded(Onward::default()), effects)
    }
}
