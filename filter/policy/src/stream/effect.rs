//! What a stream tells the shell to do.

use std::time::Duration;

use crate::replay::Fresh;
use crate::reply::Reply;
use crate::secret::Secret;
use crate::tasks::Task;

/// One thing the shell has to do, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Answer the client; nothing of the request goes further.
    Reply(Reply),
    /// Hand over the buffered body, the first `size` bytes of it, as [`Input::Body`](super::Input::Body).
    ReadBody(usize),
    /// Have the wanted keys fetched, and say [`Input::KeysSettled`](super::Input::KeysSettled) when they are.
    AwaitKeys,
    /// Say who is at the other end of the connection, as [`Input::Peer`](super::Input::Peer).
    ReadPeer,
    /// Enter a proof into its bucket, and say as [`Input::Claimed`](super::Input::Claimed) whether it was the first time.
    Claim(Fresh),
    /// Enter a task into its bucket.
    Remember(Task),
    /// Say what these buckets hold, as [`Input::Recalled`](super::Input::Recalled).
    Recall(Vec<String>),
    /// Post to the broker and bring the answer as [`Input::Minted`](super::Input::Minted).
    Post(Post),
    /// Change the request's headers and let it go upstream.
    Forward(Edits),
    /// Change the headers of the upstream's answer.
    Respond(Edits),
    /// Hand over the first `size` bytes there are of the answer, as [`Input::Answer`](super::Input::Answer).
    ReadAnswer(usize),
    /// Put these bytes in the place of all there are of the answer.
    ReplaceAnswer(Vec<u8>),
    /// Break off the request and its answer, wherever they are.
    Break,
    /// Show Envoy's access log these facts, as filter state `wasm.accredit.NAME`.
    Note(Vec<(&'static str, String)>),
    /// Write a line for the operator.
    Log(Severity, String),
    /// Count one decision for the server and the reason, `permit` where there is none.
    Count(String, &'static str),
}

/// Whom a line in the log is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The operator has to do something.
    Operator,
    /// The caller did something wrong; nobody has to do anything.
    Caller,
}

/// A call to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// The Envoy cluster.
    pub cluster: String,
    /// Pseudo-headers and headers.
    pub headers: Vec<(&'static str, Secret)>,
    /// The body.
    pub body: Secret,
    /// How long to wait.
    pub timeout: Duration,
}

/// Changes to headers: first what goes, then what comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Names to remove, all their lines.
    pub remove: Vec<String>,
    /// Names to set, each to one line.
    pub set: Vec<(String, Secret)>,
}
