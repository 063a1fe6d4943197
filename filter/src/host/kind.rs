//! What the host's functions are told and tell, by number.

use std::fmt;

/// The host did not do what was asked; the number is its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostError(pub(super) u32);

impl fmt::Display for HostError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the host answered with status {}", self.0)
    }
}

/// Which headers.
#[derive(Clone, Copy)]
pub(crate) enum Map {
    /// Of the request.
    Request = 0,
    /// Of the response.
    Response = 2,
    /// Of the answer to a callout.
    Callout = 6,
}

/// Which bytes.
#[derive(Clone, Copy)]
pub(crate) enum Buffer {
    /// The request's body.
    Request = 0,
    /// The response's body.
    Response = 1,
    /// The body of the answer to a callout.
    Callout = 4,
    /// The plugin's configuration.
    Configuration = 7,
}

/// A kind of metric.
#[derive(Clone, Copy)]
pub(crate) enum Metric {
    /// Only ever grows.
    Counter = 0,
    /// Goes up and down.
    Gauge = 1,
}
