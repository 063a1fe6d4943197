//! Sessions of the legacy era on their way through: opened for the upstream, sealed for the client.

use super::early::early;
use super::{Edits, Gate, Held, Refused, Stream, refused};
use crate::denial::{Denial, Reason};
use crate::headers::{Headers, Sole};
use crate::mcp;
use crate::secret::Secret;
use crate::sender::Bound;
use crate::session::{HEADER, Principal, Ready, Unsealable};
use crate::time::Time;

/// Whose sessions a request may be of.
#[derive(Debug, Default)]
pub(super) enum Session {
    /// Nobody's: the server does not speak MCP, or nobody is known and shadow mode lets the request through all the same. The
    /// header stays as it is.
    #[default]
    Unclaimed,
    /// There are none in the modern era.
    Barred,
    /// This caller's, on this server.
    Sealed {
        server: String,
        bound: Bound,
        /// The upstream's own identifier, of a request that names a session.
        id: Option<Secret>,
    },
}

impl Stream {
    /// Opens the session a request names, whatever it asks for: in anybody else's hands there is no such session.
    ///
    /// A request that names none waits for the keys as well, since its answer may open one.
    pub(super) fn enter(
        &mut self,
        held: &Held,
        bound: &Bound,
        gate: &mut Gate,
        now: Time,
    ) -> Result<Ready, Box<Refused>> {
        let headers = &held.request.headers;
        // [MCP 2026-07-28, transports](https://modelcontextprotocol.io/specification/2026-07-28/basic/transports): "ignored".
        if mcp::is_modern(headers) || early(gate) {
            self.session = Session::Barred;
            return Ok(Ready::Now);
        }
        let deny = |reason, note: &str| Err(refused(Denial::new(reason, note), &held.server));
        let visit = |id| Session::Sealed { server: held.server.clone(), bound: bound.clone(), id };
        self.session = visit(None);
        let ready = gate.sessions.ready(now);
        let sealed = match headers.sole(HEADER) {
            Sole::Absent => return Ok(ready),
            Sole::Broken => return deny(Reason::RequestMalformed, "`Mcp-Session-Id` stands twice or is no text"),
            Sole::One(sealed) => sealed,
        };
        match (ready, gate.sessions.sealer()) {
            (Ready::Waits, _) => return Ok(ready),
            (Ready::Now, Some(sealer)) => {
                match sealer.open(sealed, &Principal::of(&held.server, bound.verified()), now) {
                    Ok(id) => self.session = visit(Some(Secret::new(id))),
                    Err(_) => {
                        return deny(Reason::SessionForeign, "the session is not the caller's, or its key has ended");
                    }
                }
            }
            (Ready::Now | Ready::Never, _) => {
                return deny(Reason::SessionsUnavailable, "the keys of sessions cannot be had");
            }
        }
        Ok(ready)
    }
}

impl Session {
    /// What the upstream sees: its own identifier, or none.
    pub(super) fn inward(&self, headers: Option<&Headers>, edits: &mut Edits) {
        let id = match self {
            Self::Unclaimed => return,
            Self::Barred => None,
            Self::Sealed { id, .. } => id.clone(),
        };
        if id.is_some() || headers.is_some_and(|headers| headers.has(HEADER)) {
            edits.remove.push(HEADER.to_owned());
        }
        edits.set.extend(id.map(|id| (HEADER.to_owned(), id)));
    }

    /// What the client sees of an answer: the identifier sealed to it, or none. `None` leaves the answer as it is.
    pub(super) fn outward(&self, headers: &Headers, gate: &Gate, now: Time) -> Result<Option<Option<Secret>>, Denial> {
        let (server, bound) = match self {
            Self::Unclaimed => return Ok(None),
            Self::Barred => return Ok(Some(None)),
            Self::Sealed { server, bound, .. } => (server, bound),
        };
        let odd = || Err(Denial::new(Reason::UpstreamMalformed, "the upstream's `Mcp-Session-Id` is none"));
        let id = match headers.sole(HEADER) {
            Sole::Absent => return Ok(None),
            Sole::Broken => return odd(),
            Sole::One(id) => id,
        };
        let sealer = gate.sessions.sealer().ok_or(Unsealable::Keyless);
        match sealer.and_then(|sealer| sealer.seal(id, &Principal::of(server, bound.verified()), now)) {
            Ok(sealed) => Ok(Some(Some(Secret::new(sealed)))),
            Err(Unsealable::Malformed) => odd(),
            Err(Unsealable::Keyless) => {
                Err(Denial::new(Reason::SessionsUnavailable, "the keys of sessions cannot be had"))
            }
        }
    }
}
