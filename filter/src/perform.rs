//! Effects, carried out one by one.

use accredit_policy::sender::Peer;
use accredit_policy::stream::{Edits, Effect, Severity};
use log::Level;

use crate::host::{self, Buffer, HostError, Map};
use crate::memory;
use crate::stream::Context;

/// Whether the host asks for the next step, or has to be told when it comes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Inside a callback of the request: its return value says whether the request goes on.
    Asked,
    /// In a callback of the stream's own, later: the host waits for a word.
    Later,
    /// In a callback of the root context: the host waits for a word, and the SDK brings answers to the root.
    Elsewhere,
}

/// Carries out one effect of the stream `context`.
pub(crate) fn perform(effect: Effect, context: &Context, moment: Moment) -> Result<(), &'static str> {
    match effect {
        Effect::Reply(reply) => host::reply(&reply).map_err(|_| "the reply could not be sent"),
        Effect::ReadBody(size) => {
            context.body(size, moment);
            Ok(())
        }
        Effect::AwaitKeys => context.wait().map_err(|_| "the root context cannot be called"),
        Effect::ReadPeer => {
            context.peer(peer(), moment);
            Ok(())
        }
        Effect::Claim(fresh) => {
            context.claimed(memory::claim(&fresh), moment);
            Ok(())
        }
        Effect::Remember(task) => {
            // Who cannot be remembered has no task; nobody else has it either.
            memory::remember(&task);
            Ok(())
        }
        Effect::Recall(buckets) => {
            context.recalled(buckets.iter().map(|bucket| memory::bucket(bucket)).collect(), moment);
            Ok(())
        }
        Effect::Post(post) => {
            let token = host::post(&post);
            let token = token.map_err(|_| "the broker's cluster is not known (hint: check `broker.cluster`)")?;
            if moment == Moment::Elsewhere {
                context.claim(token);
            }
            Ok(())
        }
        Effect::Forward(edits) => {
            context.pass();
            forward(&edits, moment).map_err(|_| "the request's headers could not be changed")
        }
        Effect::Break => host::reset().map_err(|_| "the stream could not be broken off"),
        Effect::Respond(edits) => {
            change(Map::Response, &edits).map_err(|_| "the response's headers could not be changed")
        }
        Effect::ReadAnswer(size) => {
            context.answer(size, moment);
            Ok(())
        }
        Effect::ReplaceAnswer(bytes) => {
            host::replace(Buffer::Response, &bytes).map_err(|_| "the response's body could not be changed")
        }
        Effect::Note(notes) => {
            // The access log is a convenience; the record does not depend on it.
            notes.iter().for_each(|(name, value)| host::note(&format!("accredit.{name}"), value));
            Ok(())
        }
        Effect::Log(severity, line) => {
            log::log!(level(severity), "{line}");
            Ok(())
        }
        Effect::Count(server, reason) => {
            context.count(&server, reason);
            Ok(())
        }
    }
}

/// The first `size` bytes of a body.
pub(crate) fn body(buffer: Buffer, size: usize) -> Option<Vec<u8>> {
    match size {
        0 => Some(Vec::new()),
        _ => host::buffer(buffer, size).ok(),
    }
}

/// Who is at the other end of the connection, as far as its certificate says.
fn peer() -> Peer {
    let text = |name| host::property(&["connection", name]).and_then(|bytes| String::from_utf8(bytes).ok());
    let source = host::property(&["source", "address"]).and_then(|bytes| String::from_utf8(bytes).ok());
    Peer::read(text("sha256_peer_certificate_digest"), text("uri_san_peer_certificate")).at(source)
}

fn change(map: Map, edits: &Edits) -> Result<(), HostError> {
    for name in &edits.remove {
        host::remove(map, name)?;
    }
    edits.set.iter().try_for_each(|(name, value)| host::add(map, name, value))
}

fn forward(edits: &Edits, moment: Moment) -> Result<(), HostError> {
    change(Map::Request, edits)?;
    if moment == Moment::Asked { Ok(()) } else { host::resume() }
}

fn level(severity: Severity) -> Level {
    match severity {
        Severity::Operator => Level::Warn,
        Severity::Caller => Level::Debug,
    }
}
