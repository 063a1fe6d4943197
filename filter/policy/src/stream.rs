//! One HTTP stream as a state machine: [`Input`]s and the time in, [`Effect`]s out.
//!
//! ```text
//! Opened ─headers─▶ Proving ─keys─▶ Reading ─body─▶ Minting ─credential─▶ Forwarded
//!    └──────────────────┴───────────────┴──────────────┴── denial ─────▶ Ended
//! ```
//!
//! A state is left once. While [`Stream::holds`] is true every callback of the shell has to pause the request;
//! [`Effect::Forward`] comes at most once and only with a [`Permit`].

mod effect;
mod gate;
mod request;
mod story;

pub use effect::{Edits, Effect, Post, Severity};
pub use gate::Gate;

use crate::decide::{Permit, decide};
use crate::denial::{Denial, Reason};
use crate::headers::Headers;
use crate::mcp::{Call, Era, Flaw, Target};
use crate::metadata;
use crate::policy::{Policy, Server};
use crate::secret::Secret;
use crate::time::Time;
use crate::token::{self, Outcome, Verified};
use crate::wire::audit::Record;
use crate::wire::exchange::{self, Response, ToolCall};
use request::Request;
use story::Story;

/// What happens to a stream.
#[derive(Debug)]
pub enum Input<'a> {
    /// The request's headers; `last` when no body and no trailers follow. `random` names the record.
    Headers {
        /// All of them.
        headers: Headers,
        /// Whether the request ends here.
        last: bool,
        /// 16 random bytes.
        random: [u8; 16],
    },
    /// The body has grown to `size` bytes in all; `last` when it ends here.
    Grown {
        /// Bytes buffered since the beginning.
        size: usize,
        /// Whether the request ends here.
        last: bool,
    },
    /// Trailers came: the body has ended. Waiting for an end of the body itself would wait for ever.
    Trailers,
    /// The whole body, as asked for by [`Effect::ReadBody`]; `None` when the host could not hand it over.
    Body(Option<&'a [u8]>),
    /// The fetch this stream waited for is over, whatever it brought.
    KeysSettled,
    /// The broker's answer to [`Effect::Post`].
    Minted(Response<'a>),
    /// The upstream's status.
    Answered(u16),
    /// An effect could not be carried out.
    Failed(&'static str),
    /// The stream is over. `bytes` is the size of the answer.
    Closed {
        /// Bytes sent to the client, where known.
        bytes: Option<u64>,
    },
}

/// One request on its way.
#[derive(Debug, Default)]
pub struct Stream {
    state: State,
    story: Story,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Opened,
    Proving(Held),
    Reading(Held, Box<Verified>),
    Minting(Held, Permit, Era),
    Forwarded {
        credential: bool,
    },
    Ended,
}

/// A request that may not move yet.
#[derive(Debug)]
struct Held {
    request: Request,
    server: String,
    token: Secret,
    size: usize,
    complete: bool,
}

/// The next state and what to do, or why the request ends.
type Step = Result<(State, Vec<Effect>), Box<Refused>>;

#[derive(Debug)]
struct Refused {
    denial: Denial,
    server: Option<String>,
    id: Option<String>,
}

impl Stream {
    /// Whether the request must not move: no decision yet, or a denial.
    pub fn holds(&self) -> bool {
        !matches!(self.state, State::Forwarded { .. })
    }

    /// What is known of the request so far, in the form of its record.
    pub fn record(&self) -> &Record {
        self.story.record()
    }

    /// Takes in what happened and says what to do about it.
    pub fn handle(&mut self, input: Input<'_>, gate: &mut Gate, now: Time) -> Vec<Effect> {
        let state = std::mem::take(&mut self.state);
        let step = match (state, input) {
            (State::Opened, Input::Headers { headers, last, random }) => self.open(headers, last, random, gate, now),
            (State::Proving(held), Input::KeysSettled) => self.prove(held, gate, now),
            (State::Proving(held), Input::Grown { size, last }) => {
                self.grow(held, size, last, gate).map(|held| (State::Proving(held), Vec::new()))
            }
            (State::Proving(held), Input::Trailers) => Ok((State::Proving(held.completed()), Vec::new())),
            (State::Reading(held, verified), Input::Grown { size, last }) => {
                self.grow(held, size, last, gate).map(|held| wait(held, verified))
            }
            (State::Reading(held, verified), Input::Trailers) => Ok(wait(held.completed(), verified)),
            (State::Reading(held, verified), Input::Body(body)) => self.judge(held, &verified, body, gate),
            (State::Minting(held, permit, era), Input::Minted(response)) => {
                self.mint(held, &permit, era, &response, now)
            }
            (State::Forwarded { credential }, Input::Answered(status)) => self.answer(credential, status),
            (State::Ended, Input::Answered(_)) => Ok((State::Ended, Vec::new())),
            (state, Input::Closed { bytes }) => Ok((self.close(&state, bytes, gate, now), Vec::new())),
            (State::Forwarded { .. }, Input::Failed(what)) => self.refuse(Denial::new(Reason::HostFailed, what), None),
            (State::Ended, Input::Failed(what)) => {
                Ok((State::Ended, vec![Effect::Log(Severity::Operator, what.to_owned())]))
            }
            (_, Input::Failed(what)) => {
                let denial = Denial::new(Reason::HostFailed, what);
                Err(Box::new(Refused { denial, server: None, id: self.story.take_id() }))
            }
            // A body that grows after the decision, an answer nobody waits for: the state stays.
            (state, _) => Ok((state, Vec::new())),
        };
        let (state, mut effects) = step.unwrap_or_else(|refused| self.end(*refused, gate, now));
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
            self.story.untold();
            return Ok((State::Ended, vec![Effect::Reply(reply)]));
        }
        let Some(server) = gate.policy.matching(&request.host, &request.path) else {
            return self.refuse(Denial::new(Reason::ServerUnmatched, "no server matches host and path"), None);
        };
        let server = server.name.clone();
        self.story.server(&server);
        let token = request.token().map_err(|denial| refused(denial, &server))?;
        if request.upgrades() {
            let denial = Denial::new(Reason::RequestMalformed, "the request asks for an upgrade");
            return self.refuse(denial, Some(&server));
        }
        let held = Held { request, server, token, size: 0, complete: last };
        self.prove(held, gate, now)
    }

    /// Proves the token, or waits for the keys that takes.
    fn prove(&mut self, held: Held, gate: &mut Gate, now: Time) -> Step {
        let Gate { policy, keys, .. } = gate;
        let server = server(policy, &held)?;
        match token::verify(held.token.reveal(), server, policy, keys, now) {
            Outcome::Proved(verified) => {
                self.story.proved(&verified);
                self.proved(held, verified, gate)
            }
            Outcome::Refused(refusal) => {
                let denial = Denial::new(refusal.reason, refusal.note);
                self.refuse(denial, Some(&held.server))
            }
            Outcome::Waits(_) => Ok((State::Proving(held), vec![Effect::AwaitKeys])),
        }
    }

    /// Goes on with a proved token: a session's request at once, a message when its body is there.
    fn proved(&mut self, held: Held, verified: Box<Verified>, gate: &mut Gate) -> Step {
        let method = held.request.method.clone();
        match method.as_str() {
            "POST" => {
                held.request.plain_json().map_err(|denial| refused(denial, &held.server))?;
                Ok(wait(held, verified))
            }
            "GET" | "DELETE" if !held.complete || held.size > 0 => {
                let denial = Denial::new(Reason::RequestMalformed, "a `GET` or `DELETE` has a body");
                self.refuse(denial, Some(&held.server))
            }
            "GET" | "DELETE" => {
                let call = Call::session(&method, &held.request.headers);
                self.call(held, &verified, call, gate)
            }
            _ => self.refuse(Denial::new(Reason::MethodUnknown, "not `POST`, `GET` or `DELETE`"), Some(&held.server)),
        }
    }

    fn grow(&mut self, mut held: Held, size: usize, last: bool, gate: &Gate) -> Result<Held, Box<Refused>> {
        held.size = size;
        held.complete |= last;
        let limit = server(&gate.policy, &held)?.limit;
        if size > limit {
            let denial = Denial::new(Reason::RequestTooLarge, format!("the body is larger than {limit} bytes"));
            return Err(refused(denial, &held.server));
        }
        Ok(held)
    }

    fn judge(&mut self, held: Held, verified: &Verified, body: Option<&[u8]>, gate: &mut Gate) -> Step {
        // Anything but the whole body would be judged in place of what goes upstream.
        let Some(body) = body.filter(|body| body.len() == held.size) else {
            let denial = Denial::new(Reason::HostFailed, "the host did not hand over the whole body");
            return self.refuse(denial, Some(&held.server));
        };
        let call = Call::read(&held.request.headers, body);
        self.call(held, verified, call, gate)
    }

    fn call(&mut self, held: Held, verified: &Verified, call: Result<Call, Flaw>, gate: &mut Gate) -> Step {
        let call = call.map_err(|Flaw { reason, id, note }| {
            let denial = Denial::new(reason, note);
            Box::new(Refused { denial, server: Some(held.server.clone()), id })
        })?;
        self.story.call(&call);
        let server = server(&gate.policy, &held)?;
        let verdict = decide(server, verified, &call);
        self.story.required(verdict.as_ref().map_or_else(|denial| &denial.required, Permit::scopes));
        let deny = |denial| Box::new(Refused { denial, server: Some(held.server.clone()), id: call.id.clone() });
        let permit = verdict.map_err(deny)?;
        if !gate.outbox.admits() {
            return Err(deny(Denial::new(Reason::AuditUnavailable, "records do not reach the broker")));
        }
        let (Some(credential), Target::Tool(tool)) = (permit.credential(), &call.target) else {
            return Ok(self.forward(&held, &permit, call.era, Vec::new()));
        };
        self.story.credential(credential);
        let ask = ToolCall {
            r#type: exchange::TOOL_CALL.into(),
            server: held.server.clone(),
            tool: tool.clone(),
            credential: credential.to_owned(),
            arguments_digest: call.arguments.as_ref().map(|digest| format!("sha-256:{digest}")),
            request_id: self.story.record().request_id.clone(),
            traceparent: held.request.trace().map(|(parent, _)| parent),
        };
        let form = exchange::form(&held.token, server.resource.as_str(), &permit.scopes().to_string(), &ask);
        let post = gate.post("/token", "application/x-www-form-urlencoded", form);
        self.story.id(call.id);
        Ok((State::Minting(held, permit, call.era), vec![Effect::Post(post)]))
    }

    fn mint(&mut self, held: Held, permit: &Permit, era: Era, response: &Response<'_>, now: Time) -> Step {
        match exchange::read(response) {
            Ok(credential) => {
                self.story.leased(&credential, now);
                Ok(self.forward(&held, permit, era, credential.headers))
            }
            Err(why) => {
                let reason = match why {
                    exchange::Refused::ByPolicy(_) => Reason::CredentialRefused,
                    exchange::Refused::Client | exchange::Refused::Failed(_) => Reason::BrokerUnavailable,
                };
                let denial = Denial::new(reason, why.to_string());
                Err(Box::new(Refused { denial, server: Some(held.server), id: self.story.take_id() }))
            }
        }
    }

    /// Lets the request go. The permit is the proof that it may.
    fn forward(&mut self, held: &Held, _: &Permit, era: Era, set: Vec<(String, Secret)>) -> (State, Vec<Effect>) {
        self.story.permitted();
        let credential = !set.is_empty();
        let mut remove = held.request.private(era);
        // A client must not be able to add a second line to a header the credential travels in.
        remove.extend(set.iter().map(|(name, _)| name.clone()));
        let count = Effect::Count(held.server.clone(), "permit");
        (State::Forwarded { credential }, vec![count, Effect::Forward(Edits { remove, set })])
    }

    /// Judges the upstream's status: a refusal of our credential is no message for the agent.
    fn answer(&mut self, credential: bool, status: u16) -> Step {
        self.story.answered(status);
        let state = State::Forwarded { credential };
        match status {
            401 => self.refuse(Denial::new(Reason::UpstreamRefused, "the upstream answered 401"), None),
            403 if credential => self.refuse(Denial::new(Reason::UpstreamRefused, "the upstream answered 403"), None),
            // An upstream's challenge would send the agent to another authorization server.
            _ => Ok((state, vec![Effect::StripResponse("www-authenticate")])),
        }
    }

    fn refuse(&self, denial: Denial, server: Option<&str>) -> Step {
        Err(Box::new(Refused { denial, server: server.map(str::to_owned), id: None }))
    }

    /// Ends the request: one reply, one line, one count, one record.
    fn end(&mut self, refused: Refused, gate: &mut Gate, now: Time) -> (State, Vec<Effect>) {
        let Refused { denial, server, id } = refused;
        let name = server.or_else(|| self.story.record().server.clone());
        self.story.denied(&denial, gate, now);
        let server = name.as_deref().and_then(|name| gate.policy.server(name));
        let decision = &self.story.record().id;
        let reply = denial.reply(server, id.as_deref(), decision);
        let line = format!("{} {decision}: {}", denial.reason, denial.note);
        let count = Effect::Count(name.unwrap_or_else(|| "none".into()), denial.reason.name());
        let severity = if reply.status >= 500 { Severity::Operator } else { Severity::Caller };
        (State::Ended, vec![Effect::Log(severity, line), count, Effect::Reply(reply)])
    }

    fn close(&mut self, state: &State, bytes: Option<u64>, gate: &mut Gate, now: Time) -> State {
        match state {
            State::Opened | State::Ended => {}
            State::Forwarded { .. } => self.story.ended(bytes, gate, now),
            State::Proving(_) | State::Reading(..) | State::Minting(..) => {
                let denial = Denial::new(Reason::ClientGone, "the client went away");
                self.story.denied(&denial, gate, now);
            }
        }
        State::Ended
    }
}

impl Held {
    fn completed(mut self) -> Self {
        self.complete = true;
        self
    }
}

/// Waits for the rest of the body, or asks for it when it is complete.
fn wait(held: Held, verified: Box<Verified>) -> (State, Vec<Effect>) {
    let effects = match held.complete {
        true => vec![Effect::ReadBody(held.size)],
        false => Vec::new(),
    };
    (State::Reading(held, verified), effects)
}

/// The document that describes a resource, if that is what is asked for.
fn described(request: &Request, policy: &Policy) -> Option<crate::reply::Reply> {
    let asks = request.method == "GET" && request.path.starts_with(metadata::WELL_KNOWN);
    let server = asks.then(|| metadata::server(policy, &request.host, &request.path))??;
    Some(metadata::reply(policy, server))
}

fn server<'p>(policy: &'p Policy, held: &Held) -> Result<&'p Server, Box<Refused>> {
    let gone = || refused(Denial::new(Reason::ServerUnmatched, "the server left the policy"), &held.server);
    policy.server(&held.server).ok_or_else(gone)
}

fn refused(denial: Denial, server: &str) -> Box<Refused> {
    Box::new(Refused { denial, server: Some(server.to_owned()), id: None })
}

#[cfg(test)]
mod tests;
