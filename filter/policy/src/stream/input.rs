//! What the shell tells a stream.

use crate::headers::Headers;
use crate::replay::Claim;
use crate::sender::Peer;
use crate::wire::exchange::Response;

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
    /// The whole body, as asked for by [`Effect::ReadBody`](super::Effect::ReadBody); `None` when the host could not hand it over.
    Body(Option<&'a [u8]>),
    /// The fetch this stream waited for is over, whatever it brought.
    KeysSettled,
    /// The other end of the connection, as asked for by [`Effect::ReadPeer`](super::Effect::ReadPeer).
    Peer(Peer),
    /// Whether the proof of [`Effect::Claim`](super::Effect::Claim) was seen for the first time.
    Claimed(Claim),
    /// What the buckets of [`Effect::Recall`](super::Effect::Recall) hold, in their order; `None` for one that cannot be read.
    Recalled(Vec<Option<Vec<u8>>>),
    /// The broker's answer to [`Effect::Post`](super::Effect::Post).
    Minted(Response<'a>),
    /// The headers of the upstream's answer, or of a reply of our own; `last` when no body follows.
    Answered {
        /// All of them.
        headers: Headers,
        /// Whether the answer ends here.
        last: bool,
    },
    /// More of an answer that is looked at: `size` bytes that are held or in passing.
    AnswerGrown {
        /// Bytes there are to read.
        size: usize,
        /// Whether the answer ends here.
        last: bool,
    },
    /// Trailers came: the answer has ended.
    AnswerTrailers,
    /// The bytes of the answer, as asked for by [`Effect::ReadAnswer`](super::Effect::ReadAnswer); `None` when the host could not hand them over.
    Answer(Option<&'a [u8]>),
    /// Something was revoked, or lifted.
    Revoked,
    /// An effect could not be carried out.
    Failed(&'static str),
    /// The stream is over. `bytes` is the size of the answer.
    Closed {
        /// Bytes sent to the client, where known.
        bytes: Option<u64>,
    },
}
