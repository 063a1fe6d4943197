//! One exchange: the client's side, the upstream's side and what became of it.

use crate::check;
use crate::flow::Released;
use crate::headers::Headers;
use crate::host::Way;
use crate::machine::Core;
use crate::request::{End, Request, Response};
use serde_json::Value;
use std::fmt;
use std::rc::Rc;

/// A stream from a client through the filter to an upstream. It can be driven step by step, or all at once by
/// [`Proxy::send`](crate::Proxy::send).
pub struct Stream {
    pub(crate) core: Rc<Core>,
    pub(crate) id: u64,
}

/// What became of a stream so far.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The client went away before anything went upstream.
    Aborted,
    /// The request went upstream, at least its headers.
    Forwarded(Upstream),
    /// The filter still holds the request.
    Pending,
    /// The filter, or Envoy on its behalf, answered by itself.
    Replied(Reply),
    /// The stream was cut without a whole answer.
    Reset,
    /// The guest trapped, and the client got Envoy's 503.
    Trapped,
}

/// A request as the upstream got it.
#[derive(Clone)]
pub struct Upstream {
    /// Its headers, pseudo headers included.
    pub headers: Headers,
    /// What came of its body.
    pub body: Vec<u8>,
    /// The body as it was released, piece by piece.
    pub chunks: Vec<Vec<u8>>,
    /// Its trailers.
    pub trailers: Option<Headers>,
    /// Whether all of it came.
    pub complete: bool,
}

/// A response as the client got it.
#[derive(Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Its headers, `:status` included.
    pub headers: Headers,
    /// What came of its body.
    pub body: Vec<u8>,
    /// The body as it was released, piece by piece.
    pub chunks: Vec<Vec<u8>>,
    /// Its trailers.
    pub trailers: Option<Headers>,
    /// Whether all of it came.
    pub complete: bool,
}

impl Stream {
    /// Sends the request headers.
    pub fn headers(&mut self, headers: &[(&str, &str)], end: End) -> &mut Self {
        self.start(Headers::of(headers.iter().copied()), end)
    }

    /// Sends a frame of the request body. Nothing happens once the stream was answered.
    pub fn body(&mut self, chunk: impl AsRef<[u8]>, end: End) -> &mut Self {
        self.core.body(self.id, Way::Request, chunk.as_ref().to_vec(), end == End::Yes);
        self
    }

    /// Ends the request with trailers.
    pub fn trailers(&mut self, trailers: &[(&str, &str)]) -> &mut Self {
        self.core.trailers(self.id, Way::Request, Headers::of(trailers.iter().copied()));
        self
    }

    /// Sends a whole request.
    pub fn send(&mut self, request: &Request) -> &mut Self {
        let protocol = if request.http1 { "HTTP/1.1" } else { "HTTP/2" };
        self.property(&["request", "protocol"], protocol);
        for (path, value) in &request.properties {
            self.core.state(self.id, |state| state.properties.insert(path.clone(), value.clone()));
        }
        let bare = request.chunks.is_empty() && request.trailers.is_none();
        self.start(request.headers.clone(), if bare { End::Yes } else { End::No });
        let frames_end = request.trailers.is_none() && !request.http1;
        for (place, chunk) in request.chunks.iter().enumerate() {
            let last = frames_end && place + 1 == request.chunks.len();
            self.body(chunk, if last { End::Yes } else { End::No });
        }
        match &request.trailers {
            Some(trailers) => self.core.trailers(self.id, Way::Request, trailers.clone()),
            // HTTP/1 tells the end of a body apart from its last bytes.
            None if request.http1 && !bare => self.core.body(self.id, Way::Request, Vec::new(), true),
            None => {}
        }
        self
    }

    /// The upstream's whole response. It needs a request that went upstream, and does nothing on a stream that is over.
    pub fn respond(&mut self, response: impl Into<Response>) -> &mut Self {
        if self.answerable() {
            self.core.respond(self.id, &response.into());
        }
        self
    }

    /// The start of the upstream's response, for tests that watch it stream.
    pub fn respond_headers(&mut self, headers: &[(&str, &str)], end: End) -> &mut Self {
        if self.answerable() {
            self.core.headers(self.id, Way::Response, Headers::of(headers.iter().copied()), end == End::Yes);
        }
        self
    }

    /// One frame of the upstream's response body.
    pub fn respond_body(&mut self, chunk: impl AsRef<[u8]>, end: End) -> &mut Self {
        self.core.body(self.id, Way::Response, chunk.as_ref().to_vec(), end == End::Yes);
        self
    }

    /// Ends the stream in an orderly way, if it has not ended by itself.
    pub fn finish(&mut self) -> &mut Self {
        self.core.finish(self.id);
        self
    }

    /// The client goes away. Nothing may leave in either direction from now on.
    pub fn abort(&mut self) -> &mut Self {
        self.core.state(self.id, |state| {
            if state.live() {
                state.aborted = true;
                state.details = "downstream_remote_disconnect".into();
            }
        });
        self.core.finish(self.id);
        self
    }

    /// Sets a property of this stream only.
    pub fn property(&mut self, path: &[&str], value: impl AsRef<[u8]>) -> &mut Self {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        self.core.state(self.id, |state| state.properties.insert(path, value.as_ref().to_vec()));
        self
    }

    /// What became of it so far.
    pub fn outcome(&self) -> Outcome {
        let (trapped, local, reset, aborted) =
            self.core.state(self.id, |state| (state.trapped, state.local, state.reset, state.aborted));
        match (self.upstream(), self.reply()) {
            _ if trapped => Outcome::Trapped,
            (_, Some(reply)) if local => Outcome::Replied(reply),
            _ if reset => Outcome::Reset,
            (Some(upstream), _) => Outcome::Forwarded(upstream),
            _ if aborted => Outcome::Aborted,
            _ => Outcome::Pending,
        }
    }

    /// The request as forwarded; anything else fails the test.
    #[track_caller]
    pub fn forwarded(&self) -> Upstream {
        match self.outcome() {
            Outcome::Forwarded(upstream) => upstream,
            other => panic!("expected the request to be forwarded, found {other:?}"),
        }
    }

    /// The filter's own reply; anything else fails the test.
    #[track_caller]
    pub fn replied(&self) -> Reply {
        match self.outcome() {
            Outcome::Replied(reply) => reply,
            other => panic!("expected a reply of the filter, found {other:?}"),
        }
    }

    /// What went upstream so far, whatever happened later.
    pub fn upstream(&self) -> Option<Upstream> {
        self.core.state(self.id, |state| Upstream::of(&state.request.released))
    }

    /// What the client got so far, whoever made it.
    pub fn reply(&self) -> Option<Reply> {
        self.core.state(self.id, |state| Reply::of(&state.response.released))
    }

    /// Whether the stream is over and the filter has logged it.
    pub fn over(&self) -> bool {
        self.core.state(self.id, |state| state.done)
    }

    /// Filter state the guest has set, as `%FILTER_STATE(wasm.NAME:PLAIN)%` would show it.
    pub fn state(&self, name: &str) -> Option<Vec<u8>> {
        self.core.state(self.id, |state| state.state.get(name).cloned())
    }

    /// The response code details, for the access log.
    pub fn details(&self) -> String {
        self.core.state(self.id, |state| state.details.clone())
    }

    /// The stream's number, as in [`Call::stream`](crate::Call).
    pub fn id(&self) -> u64 {
        self.id
    }

    fn start(&mut self, mut headers: Headers, end: End) -> &mut Self {
        // Envoy numbers every request before the first filter.
        if !headers.has("x-request-id") {
            headers.add("x-request-id", format!("00000000-0000-4000-8000-{:012}", self.id));
        }
        self.core.state(self.id, |state| state.tokens = check::secrets(&headers));
        self.core.headers(self.id, Way::Request, headers, end == End::Yes);
        self
    }

    fn answerable(&self) -> bool {
        let (live, left) = self.core.state(self.id, |state| (state.live() && !state.local, state.request.left()));
        assert!(left || !live, "an upstream cannot answer a request it has not seen");
        live
    }
}

impl Upstream {
    pub(crate) fn of(released: &Released) -> Option<Self> {
        Some(Self {
            headers: released.headers.clone()?,
            body: released.chunks.concat(),
            chunks: released.chunks.clone(),
            trailers: released.trailers.clone(),
            complete: released.complete,
        })
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Reply {
    pub(crate) fn of(released: &Released) -> Option<Self> {
        let headers = released.headers.clone()?;
        Some(Self {
            status: headers.status(),
            headers,
            body: released.chunks.concat(),
            chunks: released.chunks.clone(),
            trailers: released.trailers.clone(),
            complete: released.complete,
        })
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The one `WWW-Authenticate` value; empty if there is none.
    pub fn challenge(&self) -> &str {
        self.headers.text("www-authenticate").unwrap_or("")
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, "Upstream", &self.headers, &self.body, &self.trailers, self.complete)
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, "Reply", &self.headers, &self.body, &self.trailers, self.complete)
    }
}

/// Bodies as text, for failures a person reads.
fn show(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    headers: &Headers,
    body: &[u8],
    trailers: &Option<Headers>,
    complete: bool,
) -> fmt::Result {
    f.debug_struct(name)
        .field("headers", headers)
        .field("body", &String::from_utf8_lossy(body))
        .field("trailers", trailers)
        .field("complete", &complete)
        .finish()
}
