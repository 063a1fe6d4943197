//! Upstream clusters that answer the filter's own calls, under the control of the test.

use crate::headers::Headers;
use crate::machine::Core;
use crate::request::Response;
use serde_json::Value;
use std::rc::Rc;
use std::time::Duration;

/// One call the filter made to a cluster.
#[derive(Clone, Debug)]
pub struct Call {
    /// Names the call for [`Proxy::answer`](crate::Proxy::answer).
    pub id: u64,
    /// The VM that made it.
    pub worker: usize,
    /// The stream on whose behalf it was made; `None` when a root made it.
    pub stream: Option<u64>,
    /// The cluster it went to.
    pub cluster: String,
    /// Its headers, pseudo headers included.
    pub headers: Headers,
    /// Its body.
    pub body: Vec<u8>,
    /// How long the filter waits; zero is forever.
    pub timeout: Duration,
}

impl Call {
    /// The `:method`.
    pub fn method(&self) -> &str {
        self.headers.text(":method").unwrap()
    }

    /// The `:path`, query included.
    pub fn path(&self) -> &str {
        self.headers.text(":path").unwrap()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The decoded value of a field of a form body.
    pub fn field(&self, name: &str) -> Option<String> {
        self.text().split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            (unescape(key) == name).then(|| unescape(value))
        })
    }
}

/// How a cluster answers one call.
#[derive(Clone, Debug)]
pub enum Answer {
    /// No answer until the test gives one with [`Proxy::answer`](crate::Proxy::answer), or the timeout passes.
    Hold,
    /// The connection was refused.
    Refused,
    /// A whole response.
    Reply(Response),
    /// The connection broke in the middle.
    Reset,
    /// The call's timeout passed, without moving the clock.
    Timeout,
}

impl Answer {
    /// A JSON response.
    pub fn json(status: u16, body: Value) -> Self {
        Self::Reply(Response::json(status, &body))
    }

    /// A response without body.
    pub fn status(status: u16) -> Self {
        Self::Reply(Response::new(status))
    }
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self::Reply(response)
    }
}

/// One cluster of a running proxy.
pub struct Cluster {
    pub(crate) core: Rc<Core>,
    pub(crate) name: String,
}

impl Cluster {
    /// Answers every call, also those that already wait, with what `script` returns. The script must not call back into
    /// the proxy.
    pub fn answer(&self, script: impl FnMut(&Call) -> Answer + 'static) -> &Self {
        let mut host = self.core.host.borrow_mut();
        let scripted = host.clusters.entry(self.name.clone()).or_default();
        scripted.script = Some(Box::new(script));
        scripted.version += 1;
        drop(host);
        self
    }

    /// Answers every call in the same way.
    pub fn always(&self, answer: impl Into<Answer>) -> &Self {
        let answer = answer.into();
        self.answer(move |_| answer.clone())
    }

    /// Lets every later call wait.
    pub fn hold(&self) -> &Self {
        self.always(Answer::Hold)
    }

    /// Every call made so far, answered or not.
    pub fn calls(&self) -> Vec<Call> {
        let host = self.core.host.borrow();
        host.calls.values().map(|made| made.call.clone()).filter(|call| call.cluster == self.name).collect()
    }

    /// Takes the cluster out of the configuration: later calls fail at once.
    pub fn remove(&self) {
        self.core.host.borrow_mut().clusters.remove(&self.name);
    }
}

type Script = Box<dyn FnMut(&Call) -> Answer>;

/// A cluster's script, and a number that changes with it so that waiting calls are asked about again.
#[derive(Default)]
pub(crate) struct Scripted {
    pub(crate) script: Option<Script>,
    pub(crate) version: u64,
}

/// A call and what became of it.
pub(crate) struct Made {
    pub(crate) call: Call,
    pub(crate) token: u32,
    pub(crate) deadline: Option<u64>,
    /// The version of the script that let it wait.
    pub(crate) asked: Option<u64>,
    /// The status that was delivered, 0 for none.
    pub(crate) status: Option<u16>,
}

/// The answer while the guest looks at it.
pub(crate) struct Delivery {
    pub(crate) vm: usize,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Headers,
}

impl Delivery {
    /// The shape in which Envoy 1.40 shows each outcome to a filter; `None` for a call that still waits.
    pub(crate) fn of(vm: usize, answer: &Answer) -> Option<Self> {
        let response = match answer {
            Answer::Hold => return None,
            Answer::Reply(response) => response.clone(),
            Answer::Refused => Response::new(503).header("content-type", "text/plain").body(REFUSED),
            Answer::Timeout => Response::new(504).header("content-type", "text/plain").body("upstream request timeout"),
            Answer::Reset => {
                return Some(Self { vm, headers: Headers::default(), body: Vec::new(), trailers: Headers::default() });
            }
        };
        Some(Self {
            vm,
            headers: response.head(),
            body: response.chunks.concat(),
            trailers: response.trailers.unwrap_or_default(),
        })
    }
}

const REFUSED: &str =
    "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure";

fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => other,
        });
    }
    String::from_utf8(bytes).unwrap()
}
