//! From the upstream's answer to what the client gets.

use super::watch::Watcher;
use super::{Edits, Effect, Gate, Held, State, Step, Stream};
use crate::call::{Call, Target};
use crate::catalogue::{self, Events, Flaw, Keep};
use crate::decide::{Facts, View, shows};
use crate::denial::{Denial, Reason};
use crate::headers::{Headers, Sole};
use crate::mcp::Era;
use crate::origin::Origin;
use crate::policy::{Mode, Protocol, Server};
use crate::reuse::Like;
use crate::secret::Secret;
use crate::sender::Bound;
use crate::session::HEADER;
use crate::time::Time;

/// How long a client may keep a list, in milliseconds: after a step-up there is more to see.
const KEEP: u64 = 60_000;

/// What is left to do when the answer to a permitted request comes.
#[derive(Debug, Default)]
pub(super) struct Onward {
    /// The credential of ours the request carries, by what calls like it have in common.
    pub(super) credential: Option<Like>,
    /// For whom the answer is narrowed, if it lists something.
    pub(super) viewer: Option<Box<Viewer>>,
    /// What looks into the answer, if that is one to a call.
    pub(super) watcher: Option<Box<Watcher>>,
}

/// Who gets to see a list.
#[derive(Debug)]
pub(super) struct Viewer {
    server: String,
    bound: Bound,
    keep: Keep,
    token: Secret,
    request: [String; 4],
    /// Whether the answer's headers can be held until its body is there.
    holds: bool,
}

impl Viewer {
    pub(super) fn holds(&self) -> bool {
        self.holds
    }
}

impl Viewer {
    /// The viewer of the answer to `call`, if it lists something. A stream that is resumed may bring a list again.
    pub(super) fn of(call: &Call<'_>, held: &Held, server: &Server, bound: &Bound) -> Option<Box<Self>> {
        let Held { request, token, source, .. } = held;
        let mcp = matches!(server.protocol, Protocol::Mcp);
        let resumed = mcp && call.method == "GET" && request.headers.has("last-event-id");
        let keep = if call.era == Era::Modern { Keep::Privately(KEEP) } else { Keep::AsSaid };
        let lists = server.mode == Mode::Enforce && (resumed || matches!(call.target, Target::List(_)));
        lists.then(|| {
            let holds = held.ahead.is_none();
            let request = [&request.method, &request.host, &request.path, source].map(String::clone);
            Box::new(Self {
                server: server.name.clone(),
                bound: bound.clone(),
                keep,
                token: token.clone(),
                request,
                holds,
            })
        })
    }
}

/// An answer on its way.
#[derive(Debug)]
pub(super) enum Shape {
    /// One message, held until it is whole.
    Whole(usize),
    /// Events, let go one by one.
    Live(Events),
}

/// Headers that speak of the bytes of a body that is changed.
const OF_THE_BODY: &[&str] = &["content-length", "etag", "content-md5", "digest", "content-digest", "repr-digest"];

impl Stream {
    /// Judges the head of the answer: a refusal of our credential is no message for the agent.
    pub(super) fn answered(
        &mut self,
        mut onward: Onward,
        headers: &Headers,
        last: bool,
        gate: &mut Gate,
        now: Time,
    ) -> Step {
        let status = headers.text(":status").and_then(|status| status.parse().ok()).unwrap_or_default();
        self.story.answered(status);
        if let (401 | 403, Some(like)) = (status, &onward.credential) {
            gate.reuse.forget(like);
        }
        match status {
            401 => return self.refuse(Denial::new(Reason::UpstreamRefused, "the upstream answered 401"), None),
            403 if onward.credential.is_some() => {
                return self.refuse(Denial::new(Reason::UpstreamRefused, "the upstream answered 403"), None);
            }
            _ => {}
        }
        let session = match self.session.outward(headers, gate, now) {
            Ok(session) => session,
            Err(denial) => return self.refuse(denial, None),
        };
        // An upstream's challenge would send the agent to another authorization server.
        let mut remove = vec!["www-authenticate"];
        let viewer = onward.viewer.take().filter(|_| (200..300).contains(&status) && !last);
        let watcher =
            onward.watcher.take().filter(|_| (200..300).contains(&status) && !last && Watcher::reads(headers));
        let state = match viewer {
            None => watcher.map_or(State::Forwarded(onward), State::Watching),
            Some(viewer) => {
                remove.extend(OF_THE_BODY);
                match shape(headers, viewer.keep, limit(gate, &viewer)) {
                    Ok(shape) => State::Showing(viewer, shape),
                    Err(flaw) => return self.unfit(flaw),
                }
            }
        };
        remove.extend(session.as_ref().map(|_| HEADER));
        let page: Vec<_> = self.origin.iter().flat_map(Origin::headers).collect();
        remove.extend(page.iter().map(|(name, _)| *name).filter(|name| *name != "vary"));
        let remove: Vec<_> = remove.into_iter().filter(|name| headers.has(name)).map(str::to_owned).collect();
        let page = page.into_iter().map(|(name, value)| (name.to_owned(), Secret::new(value)));
        let set: Vec<_> = page.chain(session.flatten().map(|id| (HEADER.to_owned(), id))).collect();
        match remove.is_empty() && set.is_empty() {
            true => Ok((state, Vec::new())),
            false => Ok((state, vec![Effect::Respond(Edits { remove, set })])),
        }
    }

    /// Takes note of more of the answer: `size` bytes of one message, or a part of events.
    pub(super) fn shown(&self, viewer: Box<Viewer>, shape: Shape, size: usize, last: bool, gate: &Gate) -> Step {
        match shape {
            Shape::Whole(_) if size > limit(gate, &viewer) => self.unfit(Flaw("the answer is larger than the limit")),
            Shape::Whole(_) if !last => Ok((State::Showing(viewer, Shape::Whole(size)), Vec::new())),
            Shape::Whole(_) => Ok((State::Showing(viewer, Shape::Whole(size)), vec![Effect::ReadAnswer(size)])),
            Shape::Live(events) => Ok((State::Showing(viewer, Shape::Live(events)), vec![Effect::ReadAnswer(size)])),
        }
    }

    /// Trailers end the answer.
    pub(super) fn trailed(viewer: Box<Viewer>, shape: Shape) -> (State, Vec<Effect>) {
        let effects = match shape {
            Shape::Whole(size) => vec![Effect::ReadAnswer(size)],
            Shape::Live(_) => Vec::new(),
        };
        (State::Showing(viewer, shape), effects)
    }

    /// Narrows what was read of the answer.
    pub(super) fn narrow(&self, viewer: Box<Viewer>, shape: Shape, bytes: Option<&[u8]>, gate: &Gate) -> Step {
        let Some(server) = gate.policy.server(&viewer.server) else {
            return self.unfit(Flaw("the server left the policy"));
        };
        let facts = Facts {
            token: &viewer.token,
            view: View::Whole(viewer.request.each_ref().map(String::as_str)),
            tasks: &[],
        };
        let revoked = |name: &str| gate.feed.hides(viewer.bound.verified(), &viewer.server, name);
        let mut shown = |listing, name: &str| shows(server, &viewer.bound, listing, name, &facts) && !revoked(name);
        let narrowed = match (shape, bytes) {
            (Shape::Whole(size), Some(bytes)) if bytes.len() == size => {
                catalogue::filter(bytes, viewer.keep, &mut shown)
                    .map(|bytes| (State::Forwarded(Onward::default()), bytes))
            }
            (Shape::Live(mut events), Some(bytes)) => match events.push(bytes, &mut shown) {
                Ok(bytes) => Ok((State::Showing(viewer, Shape::Live(events)), bytes)),
                Err(flaw) => Err(flaw),
            },
            _ => Err(Flaw("the host did not hand over the whole answer")),
        };
        match narrowed {
            Ok((state, bytes)) => Ok((state, vec![Effect::ReplaceAnswer(bytes)])),
            Err(flaw) => self.unfit(flaw),
        }
    }

    fn unfit(&self, flaw: Flaw) -> Step {
        self.refuse(Denial::new(Reason::UpstreamMalformed, format!("a list cannot be narrowed: {flaw}")), None)
    }
}

fn limit(gate: &Gate, viewer: &Viewer) -> usize {
    gate.policy.server(&viewer.server).map_or(0, |server| server.limits.list)
}

/// How the answer comes. What is coded or of another type cannot be read, and so not be shown.
fn shape(headers: &Headers, keep: Keep, limit: usize) -> Result<Shape, Flaw> {
    if headers.has("content-encoding") {
        return Err(Flaw("the answer has a `content-encoding`"));
    }
    let kind = match headers.sole("content-type") {
        Sole::One(kind) => kind.to_ascii_lowercase(),
        Sole::Absent | Sole::Broken => String::new(),
    };
    let mut parts = kind.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    // In another character set a client may read other names than are read here.
    let mut charsets = parts.filter_map(|part| part.strip_prefix("charset="));
    if charsets.any(|charset| !matches!(charset, "utf-8" | "\"utf-8\"")) {
        return Err(Flaw("the answer is not in UTF-8"));
    }
    match kind {
        "application/json" => Ok(Shape::Whole(0)),
        "text/event-stream" => Ok(Shape::Live(Events::new(keep, limit))),
        _ => Err(Flaw("the answer is neither JSON nor a stream of events")),
    }
}
