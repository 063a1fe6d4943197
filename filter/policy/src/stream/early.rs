//! Deciding by the headers, where the host cannot hold them; the body has to say the same before a byte of it goes on.
//!
//! [MCP 2026-07-28, transports](https://modelcontextprotocol.io/specification/2026-07-28/basic/transports): who enforces
//! policy on headers refuses revisions that do not have servers compare them with the body.

use super::answer::Onward;
use super::standing::Pass;
use super::watch::Watcher;
use super::{Gate, Held, State, Step, Stream, denied, flawed, server};
use crate::call::Call;
use crate::decide::{Permit, decide};
use crate::denial::{Denial, Reason};
use crate::policy::Body;
use crate::sender::Bound;

/// A request whose headers have gone upstream, while its body is held.
#[derive(Debug)]
pub(super) struct Ahead {
    held: Held,
    bound: Bound,
    permit: Permit,
    onward: Onward,
}

impl Ahead {
    pub(super) fn held(&mut self) -> &mut Held {
        &mut self.held
    }

    pub(super) fn new(held: Held, bound: Bound, permit: Permit, onward: Onward) -> Box<Self> {
        Box::new(Self { held, bound, permit, onward })
    }
}

impl Stream {
    /// Whether the request's headers must not move.
    pub fn holds_head(&self) -> bool {
        self.holds() && !matches!(self.state, State::Early(_))
    }

    /// Decides a POST by its headers.
    pub(super) fn early(&mut self, mut held: Held, bound: Bound, gate: &mut Gate) -> Step {
        if held.complete {
            return self.refuse(Denial::new(Reason::RequestUnparsable, "the body is empty"), Some(&held.server));
        }
        let headers = held.request.headers.clone();
        let call = Call::early(&headers).map_err(|flaw| flawed(flaw, &held.server))?;
        held.ahead = Some(bound.clone());
        match call.target.tasks().is_empty() {
            true => self.decided(held, &bound, &call, gate),
            false => Self::recall(held, &bound, &call, None),
        }
    }

    /// A body that comes while the headers are held would go upstream together with them, unjudged.
    pub(super) fn hurried(&self) -> Step {
        let note = "the host hands over the body while it holds the headers (hint: set `body: hold`)";
        self.refuse(Denial::new(Reason::HostFailed, note), None)
    }

    /// Compares the whole body with what was decided by the headers, and lets it follow.
    pub(super) fn follow(&mut self, ahead: Ahead, body: Option<&[u8]>, gate: &Gate) -> Step {
        let Ahead { held, bound, permit, mut onward } = ahead;
        let body = held.whole(body)?;
        let call = Call::read(&held.request.headers, body).map_err(|flaw| flawed(flaw, &held.server))?;
        self.story.call(&call, &held.tasks);
        let server = server(&gate.policy, &held)?;
        onward.watcher = Watcher::of(&call, server, &bound);
        let again = decide(server, &bound, &call, &held.facts());
        match again {
            Ok(again) if again == permit => {
                self.pass = Pass::of(&call, &held, &bound, server);
                self.stands(&held, gate)?;
                self.shade = None;
                Ok((State::Forwarded(onward), Vec::new()))
            }
            Ok(_) => {
                let denial = Denial::new(Reason::HeaderMismatch, "the body asks for something else than the headers");
                Err(denied(denial, &held.server, &call))
            }
            Err(denial) => Err(denied(denial, &held.server, &call)),
        }
    }
}

/// Whether calls are decided by their headers.
pub(super) fn early(gate: &Gate) -> bool {
    gate.policy.body == Body::EarlyHeaders
}
