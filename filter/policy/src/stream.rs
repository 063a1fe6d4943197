//! One HTTP stream as a state machine: [`Input`]s and the time in, [`Effect`]s out.
//!
//! ```text
//! Opened ─headers─▶ Proving ─keys─▶ Binding ─peer, proof─▶ Reading ─body─▶ Minting ─credential─▶ Forwarded
//!    └──────────────────┴──────────────┴──────────────────────┴───────────────┴── denial ─────▶ Ended
//! ```
//!
//! In place of `Minting`, a call without a new credential can be `Announcing` itself to the broker.
//!
//! A state is left once. While [`Stream::holds`] is true every callback of the shell has to pause the request;
//! [`Effect::Forward`] comes at most once and only with a [`Permit`].

mod admit;
mod answer;
mod api;
mod body;
mod early;
mod effect;
mod end;
mod gate;
mod input;
mod intent;
mod mint;
mod refusal;
mod request;
mod session;
mod shadow;
mod standing;
mod story;
mod task;
mod watch;

pub use effect::{Edits, Effect, Post, Severity};
pub use gate::{Gate, News};
pub use input::Input;

use crate::call::Call;
use crate::decide::{Facts, Permit, View, decide};
use crate::denial::{Denial, Reason};
use crate::headers::Headers;
use crate::mcp::Era;
use crate::metadata;
use crate::origin::{self, Origin};
use crate::policy::{Policy, Server};
use crate::reply::Reply;
use crate::reuse::Like;
use crate::secret::Secret;
use crate::sender::{Bound, Pending, Scheme};
use crate::time::Time;
use crate::token::Verified;
use crate::wire::audit::Record;
use crate::wire::exchange::{self, ToolCall};
use answer::{Onward, Shape, Viewer};
use api::read;
use body::{complete, grow};
use early::{Ahead, early};
use intent::Intent;
use refusal::{Refused, denied, flawed, refused, server};
use request::Request;
use session::Session;
use shadow::Shade;
use standing::Pass;
use story::Story;
use task::Recall;
use watch::Watcher;

/// One request on its way.
#[derive(Debug, Default)]
pub struct Stream {
    state: State,
    story: Story,
    origin: Option<Origin>,
    shade: Option<Shade>,
    session: Session,
    /// What was let through.
    pass: Option<Pass>,
    /// When the last input came.
    now: Time,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Opened,
    Proving(Held),
    Binding(Held, Verified),
    Claiming(Held, Pending),
    Clearing(Held, Bound),
    Entering(Held, Bound),
    Reading(Held, Bound),
    Recalling(Box<Recall>),
    Minting(Held, Permit, Era, Onward),
    Announcing(Box<Intent>),
    Early(Box<Ahead>),
    Forwarded(Onward),
    Showing(Box<Viewer>, Shape),
    /// The answer streams past, and is looked into.
    Watching(Box<Watcher>),
    /// The client has had a part of an answer of which it may have no more.
    Cut,
    /// Revoked after it was let through.
    Broken,
    Ended,
}

/// A request that may not move yet.
#[derive(Debug)]
struct Held {
    request: Request,
    server: String,
    scheme: Scheme,
    token: Secret,
    source: String,
    /// Set while a request is decided by its headers.
    ahead: Option<Bound>,
    /// The tools that started the tasks it is about.
    tasks: Vec<String>,
    since: Time,
    size: usize,
    complete: bool,
}

impl Held {
    /// Refuses a body larger than `server` takes.
    fn fits(&self, server: &Server) -> Result<(), Box<Refused>> {
        let limit = server.limits.request;
        let denial = || Denial::new(Reason::RequestTooLarge, format!("the body is larger than {limit} bytes"));
        if self.size > limit { Err(refused(denial(), &self.server)) } else { Ok(()) }
    }

    /// The body, if it is all of it: anything else would be judged in place of what goes upstream.
    fn whole<'b>(&self, body: Option<&'b [u8]>) -> Result<&'b [u8], Box<Refused>> {
        let cut = || Denial::new(Reason::HostFailed, "the host did not hand over the whole body");
        body.filter(|body| body.len() == self.size).ok_or_else(|| refused(cut(), &self.server))
    }

    /// What conditions can ask for.
    fn facts(&self) -> Facts<'_> {
        let Request { method, host, path, .. } = &self.request;
        let request = [method.as_str(), host, path, &self.source];
        let view = if self.ahead.is_some() { View::Head(request) } else { View::Whole(request) };
        Facts { token: &self.token, view, tasks: &self.tasks }
    }
}

/// The next state and what to do, or why the request ends.
type Step = Result<(State, Vec<Effect>), Box<Refused>>;

impl Stream {
    /// Whether the request must not move: no decision yet, or a denial.
    pub fn holds(&self) -> bool {
        !matches!(self.state, State::Forwarded(_) | State::Showing(..) | State::Watching(_))
    }

    /// Whether the answer's body matters.
    pub fn shows(&self) -> bool {
        matches!(self.state, State::Showing(..) | State::Watching(_) | State::Cut | State::Broken)
    }

    /// Whether the answer's headers must not move.
    pub fn holds_answer_head(&self) -> bool {
        matches!(&self.state, State::Showing(viewer, Shape::Whole(_)) if viewer.holds())
    }

    /// Whether the answer must not move: it is not whole yet.
    pub fn holds_answer(&self) -> bool {
        matches!(self.state, State::Showing(_, Shape::Whole(_)))
    }

    /// What is known of the request so far, in the form of its record.
    pub fn record(&self) -> &Record {
        self.story.record()
    }

    /// Takes in what happened and says what to do about it.
    pub fn handle(&mut self, input: Input<'_>, gate: &mut Gate, now: Time) -> Vec<Effect> {
        self.now = now;
        let state = std::mem::take(&mut self.state);
        let live = matches!(state, State::Showing(_, Shape::Live(_)));
        let step = match (state, input) {
            (State::Opened, Input::Headers { headers, last, random }) => self.open(headers, last, random, gate, now),
            (State::Proving(held), Input::KeysSettled) => self.prove(held, gate, now),
            (State::Binding(held, verified), Input::Peer(peer)) => self.bind(held, verified, &peer, gate, now),
            (State::Claiming(held, pending), Input::Claimed(claim)) => self.claim(held, pending, claim, gate, now),
            (State::Clearing(held, bound), Input::KeysSettled) => self.bound(held, bound, gate, now),
            (State::Entering(held, bound), Input::KeysSettled) => self.mcp(held, bound, gate, now),
            (state, Input::Grown { .. } | Input::Trailers) if early(gate) && state.waits() => self.hurried(),
            (state, Input::Grown { size, last }) => grow(state, size, last, gate),
            (state, Input::Trailers) => Ok(complete(state)),
            (State::Reading(held, bound), Input::Body(body)) => self.judge(held, &bound, body, gate),
            (State::Early(ahead), Input::Body(body)) => self.follow(*ahead, body, gate),
            (State::Recalling(recall), Input::Recalled(buckets)) => self.recalled(*recall, &buckets, gate, now),
            (State::Minting(held, permit, era, onward), Input::Minted(response)) => {
                self.mint(held, permit, (era, onward), &response, gate)
            }
            (State::Announcing(intent), Input::Minted(response)) => self.announced(*intent, &response, gate),
            (State::Forwarded(onward), Input::Answered { headers, last }) => {
                self.answered(onward, &headers, last, gate, now)
            }
            (State::Showing(viewer, shape), Input::AnswerGrown { size, last }) => {
                self.shown(viewer, shape, size, last, gate)
            }
            (State::Showing(viewer, shape), Input::AnswerTrailers) => Ok(Self::trailed(viewer, shape)),
            (State::Showing(viewer, shape), Input::Answer(bytes)) => self.narrow(viewer, shape, bytes, gate),
            (State::Watching(watcher), input @ (Input::AnswerGrown { .. } | Input::Answer(_))) => {
                Ok(self.watched(watcher, &input))
            }
            (state @ (State::Cut | State::Broken), Input::AnswerGrown { .. }) => {
                Ok((state, vec![Effect::ReplaceAnswer(Vec::new())]))
            }
            (
                state @ (State::Early(_) | State::Forwarded(_) | State::Showing(..) | State::Watching(_)),
                Input::Revoked,
            ) => Ok(self.review(state, gate)),
            (state, Input::Closed { bytes }) => Ok((self.close(&state, bytes, gate, now), Vec::new())),
            (State::Forwarded(_) | State::Showing(..) | State::Watching(_), Input::Failed(what)) => {
                self.refuse(Denial::new(Reason::HostFailed, what), None)
            }
            (state @ (State::Broken | State::Ended), Input::Failed(what)) => {
                Ok((state, vec![Effect::Log(Severity::Operator, what.to_owned())]))
            }
            (_, Input::Failed(what)) => {
                let denial = Denial::new(Reason::HostFailed, what);
                Err(Box::new(Refused { denial, server: None, id: self.story.take_id() }))
            }
            // A body that grows after the decision, an answer nobody waits for: the state stays.
            (state, _) => Ok((state, Vec::new())),
        };
        let (state, mut effects) = match step {
            Ok(step) => step,
            Err(refused) => match self.overlooks(&refused) {
                Some(overlooked) => self.overlook(*refused, overlooked),
                None => self.end(*refused, live, gate, now),
            },
        };
        self.state = state;
        // Before the effect that ends the request's stay: a reply can close the stream.
        if gate.policy.access_log && effects.iter().any(|effect| matches!(effect, Effect::Count(..))) {
            effects.insert(0, Effect::Note(self.story.notes()));
        }
        effects
    }

    fn open(&mut self, headers: Headers, last: bool, random: [u8; 16], gate: &mut Gate, now: Time) -> Step {
        let request = Request::new(headers);
        self.story.begin(&request, random, gate, now);
        if let Some(reply) = described(&request, &gate.policy) {
            return Ok(self.tell(reply));
        }
        let Some(server) = gate.policy.matching(&request.host, &request.path) else {
            return self.refuse(Denial::new(Reason::ServerUnmatched, "no server matches host and path"), None);
        };
        self.shade = Shade::of(server, &request);
        let origin = origin::judge(&request.headers, server);
        let (server, protocol) = (server.name.clone(), server.protocol.name());
        self.story.server(&server, protocol);
        self.origin = origin.map_err(|denial| refused(denial, &server))?;
        if origin::asks(&request.method, &request.headers) {
            return Ok(self.tell(origin::preflight(self.origin.as_ref(), &request.headers)));
        }
        let (scheme, token) = request.token().map_err(|denial| refused(denial, &server))?;
        if request.upgrades() {
            let denial = Denial::new(Reason::RequestMalformed, "the request asks for an upgrade");
            return self.refuse(denial, Some(&server));
        }
        let source = String::new();
        let held = Held {
            request,
            server,
            scheme,
            token,
            source,
            ahead: None,
            tasks: Vec::new(),
            since: now,
            size: 0,
            complete: last,
        };
        self.prove(held, gate, now)
    }

    fn judge(&mut self, held: Held, bound: &Bound, body: Option<&[u8]>, gate: &mut Gate) -> Step {
        let body = held.whole(body)?;
        match read(&held, server(&gate.policy, &held)?, body) {
            Ok(call) if call.target.tasks().is_empty() => self.decided(held, bound, &call, gate),
            Ok(call) => Self::recall(held, bound, &call, Some(body)),
            Err(flaw) => Err(flawed(flaw, &held.server)),
        }
    }

    /// Decides a call.
    fn decided(&mut self, held: Held, bound: &Bound, call: &Call<'_>, gate: &mut Gate) -> Step {
        self.story.call(call, &held.tasks);
        let server = server(&gate.policy, &held)?;
        let verdict = decide(server, bound, call, &held.facts());
        self.story.required(verdict.as_ref().map_or_else(|denial| &denial.required, Permit::scopes));
        let deny = |denial| denied(denial, &held.server, call);
        // Before the rules, of which shadow mode can overlook one.
        self.pass = Pass::of(call, &held, bound, server);
        let revoked = self.pass.as_ref().map_or(Ok(()), |pass| pass.stands(&gate.feed, self.now));
        revoked.map_err(deny)?;
        let permit = verdict.map_err(deny)?;
        if !gate.outbox.admits() {
            return Err(deny(Denial::new(Reason::AuditUnavailable, "records do not reach the broker")));
        }
        let viewer = Viewer::of(call, &held, server, bound);
        let watcher = Watcher::of(call, server, bound);
        self.story.id(call.id);
        let Some(credential) = permit.credential() else {
            let onward = Onward { credential: None, viewer, watcher };
            return self.announce(held, permit, (call.era, onward), Vec::new(), gate);
        };
        self.story.credential(credential);
        let ask = ToolCall {
            r#type: exchange::TOOL_CALL.into(),
            server: held.server.clone(),
            kind: (&call.target).into(),
            method: call.method.clone().into_owned(),
            tool: call.target.object().or(held.tasks.first().map(String::as_str)).unwrap_or_default().to_owned(),
            credential: credential.to_owned(),
            arguments: permit.passed().clone(),
            arguments_digest: call.digest().map(|digest| format!("sha-256:{digest}")),
            request_id: self.story.record().request_id.clone(),
            traceparent: held.request.trace().map(|(parent, _)| parent),
        };
        let scope = permit.scopes().to_string();
        let like = Like::new(bound.verified(), &scope, &ask);
        let onward = Onward { credential: Some(like), viewer, watcher };
        if let Some(credential) = gate.reuse.find(&like, self.now) {
            self.story.leased(&credential, self.now);
            return self.announce(held, permit, (call.era, onward), credential.headers, gate);
        }
        let form = exchange::form(&held.token, server.resource.as_str(), &scope, &ask);
        let post = gate.post("/token", "application/x-www-form-urlencoded", form);
        Ok((State::Minting(held, permit, call.era, onward), vec![Effect::Post(post)]))
    }

    /// Lets the request go. The permit is the proof that it may; what was revoked since it was given, while the broker was
    /// asked, stays.
    fn forward(
        &mut self,
        mut held: Held,
        permit: Permit,
        (era, onward): (Era, Onward),
        set: Vec<(String, Secret)>,
        gate: &Gate,
    ) -> Step {
        self.stands(&held, gate)?;
        self.story.permitted();
        // No other body than the one it was minted for may follow a credential, whatever the mode.
        let open = held.ahead.is_some() && set.is_empty();
        self.shade = self.shade.take().filter(|_| open).map(Shade::gone);
        let mut remove = held.request.private(era);
        // A client must not be able to add a second line to a header the credential travels in.
        remove.extend(set.iter().map(|(name, _)| name.clone()));
        // What is looked at has to come as it is.
        if onward.viewer.is_some() && held.request.headers.has("accept-encoding") {
            remove.push("accept-encoding".to_owned());
        }
        let mut edits = Edits { remove, set };
        self.session.inward(Some(&held.request.headers), &mut edits);
        let effects = vec![Effect::Count(held.server.clone(), "permit"), Effect::Forward(edits)];
        Ok(match held.ahead.take() {
            Some(bound) => (State::Early(Ahead::new(held, bound, permit, onward)), effects),
            None => (State::Forwarded(onward), effects),
        })
    }
}

/// The document that describes a resource, if that is what is asked for.
fn described(request: &Request, policy: &Policy) -> Option<Reply> {
    let asks = origin::asks(&request.method, &request.headers);
    let reads = matches!(request.method.as_str(), "GET" | "HEAD") || asks;
    let named = reads && request.path.starts_with(metadata::WELL_KNOWN);
    let server = named.then(|| metadata::server(policy, &request.host, &request.path))??;
    // It holds nothing secret, and pages of every origin may read it.
    Some(if asks { origin::preflight(None, &request.headers) } else { metadata::reply(policy, server) })
}

#[cfg(test)]
mod tests;
