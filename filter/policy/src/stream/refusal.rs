//! Why a request ends, and for whom it is told.

use super::Held;
use crate::call::{Call, Flaw};
use crate::denial::{Denial, Reason};
use crate::policy::{Policy, Server};

/// A request that goes no further.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) denial: Denial,
    pub(super) server: Option<String>,
    pub(super) id: Option<String>,
}

/// The server a request was matched to.
pub(super) fn server<'p>(policy: &'p Policy, held: &Held) -> Result<&'p Server, Box<Refused>> {
    let gone = || refused(Denial::new(Reason::ServerUnmatched, "the server left the policy"), &held.server);
    policy.server(&held.server).ok_or_else(gone)
}

/// A request that could not be read.
pub(super) fn flawed(flaw: Flaw, server: &str) -> Box<Refused> {
    let Flaw { reason, id, note } = flaw;
    Box::new(Refused { denial: Denial::new(reason, note), server: Some(server.to_owned()), id })
}

/// A call that was read and is refused: the caller is told which it was.
pub(super) fn denied(denial: Denial, server: &str, call: &Call<'_>) -> Box<Refused> {
    Box::new(Refused { denial, server: Some(server.to_owned()), id: call.id.map(str::to_owned) })
}

/// A request that is refused before it was read.
pub(super) fn refused(denial: Denial, server: &str) -> Box<Refused> {
    Box::new(Refused { denial, server: Some(server.to_owned()), id: None })
}
