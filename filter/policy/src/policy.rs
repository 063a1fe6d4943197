//! The policy as it is enforced: checked, compiled, immutable.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::rules::Rules;
use crate::scope::Scopes;
use crate::token::Algorithm;
use crate::token::jwk::KeySet;
use crate::token::typ::Typ;

pub use crate::resource::{Match, Resource};

/// Which agents may call which tools of which servers. Only [`config::parse`](crate::config::parse) makes one.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(crate) digest: String,
    pub(crate) issuers: BTreeMap<String, Issuer>,
    pub(crate) servers: BTreeMap<String, Server>,
    /// Where credentials are minted.
    pub broker: Broker,
    /// How records reach the broker.
    pub audit: Audit,
    /// Whether Envoy's access log is shown who called what.
    pub access_log: bool,
}

impl Policy {
    /// The version: SHA-256 of the file's content in lower-case hex, however it was written down.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The issuer of that name.
    pub fn issuer(&self, name: &str) -> Option<&Issuer> {
        self.issuers.get(name)
    }

    /// All issuers.
    pub fn issuers(&self) -> impl Iterator<Item = &Issuer> {
        self.issuers.values()
    }

    /// The server of that name.
    pub fn server(&self, name: &str) -> Option<&Server> {
        self.servers.get(name)
    }

    /// All servers, by name.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.servers.values()
    }

    /// The one server a request is for; the check has made sure that no two match.
    pub fn matching(&self, host: &str, path: &str) -> Option<&Server> {
        self.servers().find(|server| server.matches.covers(host, path))
    }

    /// The same policy with other keys for one issuer; `false` when it names none.
    pub fn pin(&mut self, issuer: &str, keys: KeySet) -> bool {
        let found = self.issuers.get_mut(issuer);
        found.map(|issuer| issuer.keys = KeySource::Inline(keys)).is_some()
    }
}

/// One token issuer.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Its name in the policy.
    pub name: String,
    /// Its `iss`.
    pub identifier: String,
    /// Its public keys.
    pub keys: KeySource,
    /// The algorithms it signs with.
    pub algorithms: Vec<Algorithm>,
    /// The type its access tokens carry.
    pub typ: Typ,
    /// The claim that names the agent.
    pub agent_claim: String,
    /// The claim that holds the scopes.
    pub scope_claim: String,
    /// How far clocks may be apart.
    pub clock_skew: Duration,
    /// The longest accepted lifetime.
    pub max_token_lifetime: Duration,
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// They stand in the policy.
    Inline(KeySet),
    /// They are fetched.
    Fetched {
        /// Where.
        url: Resource,
        /// Through which Envoy cluster.
        cluster: String,
        /// How often.
        refresh: Duration,
    },
}

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

/// One protected resource.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its name in the policy.
    pub name: String,
    /// Its public identifier.
    pub resource: Resource,
    /// The requests that are for it.
    pub matches: Match,
    /// The issuers whose tokens it accepts, by name.
    pub issuers: Vec<String>,
    /// The audiences of which a token must carry one.
    pub audiences: Vec<String>,
    /// Its tools.
    pub tools: Rules,
    /// The largest request body, in bytes.
    pub limit: usize,
}

/// What one tool asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// All of these.
    pub scopes: Scopes,
    /// The credential minted for the call.
    pub credential: Option<String>,
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
