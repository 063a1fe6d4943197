//! What a proxy has to do with the broker: credentials, records, revocations.

use std::time::Duration;

/// The broker as the proxy reaches it.
#[derive(Clone, Debug)]
pub struct Broker {
    /// The Envoy cluster.
    pub cluster: String,
    /// The `:authority`.
    pub authority: String,
    /// How long to wait for an answer.
    pub timeout: Duration,
    /// How the proxy authenticates, unless its cluster does.
    pub client: Option<Client>,
}

/// The proxy as an OAuth client of the broker.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its client identifier.
    pub id: String,
    /// The environment variable that holds its secret.
    pub secret_env: String,
}

/// How records reach the broker.
#[derive(Clone, Copy, Debug)]
pub struct Audit {
    /// What happens to calls while they do not.
    pub when_unreachable: WhenUnreachable,
    /// How many bytes a worker keeps.
    pub queue: usize,
    /// How often they are sent.
    pub flush: Duration,
}

/// What happens to calls while records do not reach the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenUnreachable {
    /// They are denied.
    Deny,
    /// They go on while the queue has room.
    Queue,
}

/// How the broker's revocations are followed.
#[derive(Clone, Copy, Debug)]
pub struct Revocation {
    /// How old what is known of them may be.
    pub max_age: Duration,
}
