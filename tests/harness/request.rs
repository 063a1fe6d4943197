//! What goes in on either side: a client's request, an upstream's response.

use crate::headers::Headers;
use serde_json::Value;

/// Whether more follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// More follows.
    No,
    /// This was the last of it.
    Yes,
}

/// A client's request and the way it is cut into frames.
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) headers: Headers,
    pub(crate) chunks: Vec<Vec<u8>>,
    pub(crate) trailers: Option<Headers>,
    pub(crate) http1: bool,
    pub(crate) properties: Vec<(Vec<String>, Vec<u8>)>,
}

impl Request {
    /// A request to `https://gateway.example.com` over HTTP/2.
    pub fn new(method: &str, path: &str) -> Self {
        let headers =
            [(":method", method), (":scheme", "https"), (":authority", "gateway.example.com"), (":path", path)];
        Self { headers: Headers::of(headers), chunks: Vec::new(), trailers: None, http1: false, properties: Vec::new() }
    }

    /// A `GET`.
    pub fn fetch(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// A `POST`.
    pub fn post(path: &str) -> Self {
        Self::new("POST", path)
    }

    /// Appends a header; pseudo headers are replaced.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        if name.starts_with(':') {
            self.headers.set(name, value);
        } else {
            self.headers.add(name, value);
        }
        self
    }

    /// Drops a header.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    /// `Authorization: Bearer` with this token.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// A body in one frame, with its `content-length`.
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        self.headers.set("content-length", body.len().to_string());
        self.chunks = if body.is_empty() { Vec::new() } else { vec![body.to_vec()] };
        self
    }

    /// A JSON body with its `content-type`.
    pub fn json(mut self, body: &Value) -> Self {
        self.headers.set("content-type", "application/json");
        self.body(body.to_string())
    }

    /// Cuts the body into frames of `size` bytes.
    pub fn split_every(mut self, size: usize) -> Self {
        self.chunks = self.chunks.concat().chunks(size).map(<[u8]>::to_vec).collect();
        self
    }

    /// A body in these frames, without a `content-length`.
    pub fn frames(mut self, frames: Vec<Vec<u8>>) -> Self {
        self.chunks = frames;
        self
    }

    /// Ends the request with trailers, so that no body frame is the last one.
    pub fn trailers(self) -> Self {
        self.trailing(Headers::of([("x-trailer", "1")]))
    }

    /// The same with these trailers.
    pub fn trailing(mut self, trailers: Headers) -> Self {
        self.trailers = Some(trailers);
        self
    }

    /// HTTP/1.1: the end of a body comes as an empty frame of its own.
    pub fn http1(mut self) -> Self {
        self.http1 = true;
        self
    }

    /// Sets a property of this stream only, such as `["connection", "mtls"]`.
    pub fn property(mut self, path: &[&str], value: impl AsRef<[u8]>) -> Self {
        self.properties.push((path.iter().map(|part| (*part).to_owned()).collect(), value.as_ref().to_vec()));
        self
    }
}

/// An upstream's or a cluster's response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers without `:status`.
    pub headers: Headers,
    /// The body, frame by frame.
    pub chunks: Vec<Vec<u8>>,
    /// The trailers, if any.
    pub trailers: Option<Headers>,
}

impl Response {
    /// A response without headers or body.
    pub fn new(status: u16) -> Self {
        Self { status, headers: Headers::default(), chunks: Vec::new(), trailers: None }
    }

    /// A JSON response.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::new(status).header("content-type", "application/json").body(body.to_string())
    }

    /// A server-sent event stream, one frame per item; frames need not be events.
    pub fn events<C: AsRef<[u8]>>(frames: impl IntoIterator<Item = C>) -> Self {
        let mut response = Self::new(200).header("content-type", "text/event-stream");
        response.chunks = frames.into_iter().map(|frame| frame.as_ref().to_vec()).collect();
        response
    }

    /// Appends a header.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.add(name, value);
        self
    }

    /// A body in one frame, with its `content-length`.
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.headers.set("content-length", body.as_ref().len().to_string());
        self.chunks = vec![body.as_ref().to_vec()];
        self
    }

    /// Cuts the body into frames of `size` bytes.
    pub fn split_every(mut self, size: usize) -> Self {
        self.chunks = self.chunks.concat().chunks(size).map(<[u8]>::to_vec).collect();
        self
    }

    /// The header map as Envoy holds it, `:status` first.
    pub(crate) fn head(&self) -> Headers {
        let mut head = Headers::of([(":status", self.status.to_string())]);
        for (name, value) in self.headers.iter() {
            head.add(name, value);
        }
        head
    }
}
