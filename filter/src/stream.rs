//! One HTTP stream of the host.

use std::cell::RefCell;
use std::rc::Rc;

use accredit_policy::replay::Claim;
use accredit_policy::sender::Peer;
use accredit_policy::stream::{Effect, Input, Stream};
use accredit_policy::wire::exchange::Response;
use proxy_wasm::traits::{Context as SdkContext, HttpContext};
use proxy_wasm::types::Action;

use crate::host::{self, Buffer, HostError, Map};
use crate::perform::{Moment, body, perform};
use crate::root::Shared;

/// The largest answer of the broker that is copied out of the host.
const ANSWER: usize = 128 * 1024;

/// A stream and what it shares with the others; the root context keeps a copy while the stream waits for keys.
#[derive(Clone)]
pub(crate) struct Context {
    id: u32,
    stream: Rc<RefCell<Stream>>,
    shared: Rc<Shared>,
}

impl Context {
    /// A new stream of the host's identifier `id`.
    pub(crate) fn new(id: u32, shared: Rc<Shared>) -> Self {
        Self { id, stream: Rc::default(), shared }
    }

    /// Tells the stream that the fetch it waits for is over. A stream that is gone needs no word.
    pub(crate) fn keys_settled(&self) {
        if host::enter(self.id).is_ok() {
            self.feed(Input::KeysSettled, Moment::Elsewhere);
        }
    }

    /// Tells the stream that something was revoked or lifted.
    pub(crate) fn revoked(&self) {
        let hit = self.stream.borrow().is_revoked(&self.shared.gate.borrow().feed);
        if hit && host::enter(self.id).is_ok() {
            self.feed(Input::Revoked, Moment::Elsewhere);
        }
    }

    /// Is told of revocations from now on.
    pub(crate) fn pass(&self) {
        self.shared.pass(self.id, self.clone());
    }

    /// The broker's answer, when it came to the root context.
    pub(crate) fn answered(&self, headers: usize, size: usize) {
        if host::enter(self.id).is_ok() {
            self.minted(headers, size);
        }
    }

    /// Whether it is the stream of that identifier.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.id == other.id
    }

    /// Has the answer to the callout `token` brought from the root context.
    pub(crate) fn claim(&self, token: u32) {
        self.shared.claim(token, self.clone());
    }

    /// Reads the body and hands it over.
    pub(crate) fn body(&self, size: usize, moment: Moment) {
        let body = body(Buffer::Request, size);
        self.feed(Input::Body(body.as_deref()), moment);
    }

    /// Reads the answer and hands it over.
    pub(crate) fn answer(&self, size: usize, moment: Moment) {
        let body = body(Buffer::Response, size);
        self.feed(Input::Answer(body.as_deref()), moment);
    }

    /// Hands over who is at the other end of the connection.
    pub(crate) fn peer(&self, peer: Peer, moment: Moment) {
        self.feed(Input::Peer(peer), moment);
    }

    /// Hands over what is remembered of tasks.
    pub(crate) fn recalled(&self, buckets: Vec<Option<Vec<u8>>>, moment: Moment) {
        self.feed(Input::Recalled(buckets), moment);
    }

    /// Hands over whether a proof was seen for the first time.
    pub(crate) fn claimed(&self, claim: Claim, moment: Moment) {
        self.feed(Input::Claimed(claim), moment);
    }

    /// Waits for keys, and calls the root context if they have to be fetched.
    pub(crate) fn wait(&self) -> Result<(), HostError> {
        self.shared.wait(self.clone())
    }

    /// Counts one decision.
    pub(crate) fn count(&self, server: &str, reason: &str) {
        self.shared.count(server, reason);
    }

    /// Feeds the stream and carries out what it says; `true` when it sent a reply.
    fn feed(&self, input: Input<'_>, moment: Moment) -> bool {
        // Neither borrow may outlast this line: carrying out an effect can feed the stream again.
        let effects = self.stream.borrow_mut().handle(input, &mut self.shared.gate.borrow_mut(), host::now());
        let mut replied = false;
        for effect in effects {
            replied |= matches!(effect, Effect::Reply(_));
            if let Err(what) = perform(effect, self, moment) {
                return self.feed(Input::Failed(what), moment) || replied;
            }
        }
        replied
    }

    fn minted(&self, headers: usize, size: usize) {
        let status = header_status(headers, Map::Callout);
        let content_type = status.and_then(|_| host::header(Map::Callout, "content-type"));
        let body = if size <= ANSWER { host::buffer(Buffer::Callout, size).unwrap_or_default() } else { Vec::new() };
        let response = Response { status, content_type: content_type.as_deref(), body: &body };
        self.feed(Input::Minted(response), Moment::Later);
    }

    /// Feeds the stream something of the answer. A reply of our own takes its place, and comes by here again itself.
    fn watch(&self, input: Input<'_>) -> Action {
        let replied = self.feed(input, Moment::Asked);
        pause(replied || self.stream.borrow().holds_answer())
    }

    fn verdict(&self) -> Action {
        pause(self.stream.borrow().holds())
    }
}

impl SdkContext for Context {
    fn on_http_call_response(&mut self, _: u32, headers: usize, size: usize, _: usize) {
        self.minted(headers, size);
    }
}

impl HttpContext for Context {
    fn on_http_request_headers(&mut self, _: usize, last: bool) -> Action {
        let input = match host::headers(Map::Request) {
            Ok(headers) => Input::Headers { headers, last, random: self.shared.random() },
            Err(_) => Input::Failed("the request's headers could not be read"),
        };
        self.feed(input, Moment::Asked);
        pause(self.stream.borrow().holds_head())
    }

    fn on_http_request_body(&mut self, size: usize, last: bool) -> Action {
        self.feed(Input::Grown { size, last }, Moment::Asked);
        self.verdict()
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        self.feed(Input::Trailers, Moment::Asked);
        self.verdict()
    }

    fn on_http_response_headers(&mut self, _: usize, last: bool) -> Action {
        let input = match host::headers(Map::Response) {
            Ok(headers) => Input::Answered { headers, last },
            Err(_) => Input::Failed("the response's headers could not be read"),
        };
        let replied = self.feed(input, Moment::Asked);
        pause(replied || self.stream.borrow().holds_answer_head())
    }

    fn on_http_response_body(&mut self, size: usize, last: bool) -> Action {
        let shows = self.stream.borrow().shows();
        match shows {
            // Whatever streams past costs nothing but this call.
            false => Action::Continue,
            true => self.watch(Input::AnswerGrown { size, last }),
        }
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        self.watch(Input::AnswerTrailers)
    }

    fn on_log(&mut self) {
        let bytes = host::property(&["response", "size"]).and_then(|bytes| bytes.try_into().ok());
        self.feed(Input::Closed { bytes: bytes.map(u64::from_le_bytes) }, Moment::Asked);
        self.shared.forget(self.id, self);
        self.shared.relieve();
    }
}

fn pause(holds: bool) -> Action {
    if holds { Action::Pause } else { Action::Continue }
}

fn header_status(headers: usize, map: Map) -> Option<u16> {
    // A reset callout has no headers at all; asking for one would give those of the request on some hosts.
    (headers > 0).then(|| host::header(map, ":status"))??.parse().ok()
}
