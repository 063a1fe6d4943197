//! How a body comes together.

use super::{Effect, Gate, Held, State, Step, server};
use crate::policy::Protocol;
use crate::sender::Bound;

/// Notes how large the body has become.
pub(super) fn grow(mut state: State, size: usize, last: bool, gate: &Gate) -> Step {
    let reading = matches!(state, State::Reading(..));
    let Some(held) = state.held() else {
        return Ok((state, Vec::new()));
    };
    held.size = size;
    let server = server(&gate.policy, held)?;
    // What is not read has no limit of ours; the host's own bounds what it holds until there is a decision.
    if reading || !matches!(server.protocol, Protocol::Http(_)) {
        held.fits(server)?;
    }
    match last {
        true => Ok(complete(state)),
        false => Ok((state, Vec::new())),
    }
}

/// Notes that the body has ended, and asks for it where it is waited for.
pub(super) fn complete(mut state: State) -> (State, Vec<Effect>) {
    if let Some(held) = state.held() {
        held.complete = true;
    }
    match state {
        State::Reading(held, bound) => wait(held, bound),
        State::Early(mut ahead) => {
            let size = ahead.held().size;
            (State::Early(ahead), vec![Effect::ReadBody(size)])
        }
        state => (state, Vec::new()),
    }
}

/// Waits for the rest of the body, or asks for it when it is complete.
pub(super) fn wait(held: Held, bound: Bound) -> (State, Vec<Effect>) {
    let effects = match held.complete {
        true => vec![Effect::ReadBody(held.size)],
        false => Vec::new(),
    };
    (State::Reading(held, bound), effects)
}

impl State {
    /// Whether the headers are held.
    pub(super) fn waits(&self) -> bool {
        matches!(
            self,
            Self::Proving(_)
                | Self::Binding(..)
                | Self::Claiming(..)
                | Self::Clearing(..)
                | Self::Entering(..)
                | Self::Reading(..)
                | Self::Recalling(_)
                | Self::Minting(..)
                | Self::Announcing(_)
        )
    }

    /// The request, while its body is still to be judged.
    pub(super) fn held(&mut self) -> Option<&mut Held> {
        match self {
            Self::Proving(held)
            | Self::Binding(held, _)
            | Self::Claiming(held, _)
            | Self::Clearing(held, _)
            | Self::Entering(held, _)
            | Self::Reading(held, _) => Some(held),
            Self::Early(ahead) => Some(ahead.held()),
            Self::Opened | Self::Recalling(_) | Self::Minting(..) | Self::Announcing(_) => None,
            Self::Broken | Self::Cut | Self::Ended => None,
            Self::Forwarded(_) | Self::Showing(..) | Self::Watching(_) => None,
        }
    }
}
