//! The policy as it is enforced: checked, compiled, immutable.

mod broker;

use std::collections::BTreeMap;
use std::time::Duration;

use accredit_condition::{Condition, Variable};

use crate::http::Templates;
use crate::pattern::Pattern;
use crate::rules::Rules;
use crate::scope::Scopes;
use crate::token::Algorithm;
use crate::token::chain::Delegation;
use crate::token::dpop::Demand;
use crate::token::jwk::{BadKeySet, KeySet, Reading, Usage};
use crate::token::typ::Typ;

pub use crate::resource::{Match, Resource};
pub use crate::rules::Recording;
pub use broker::{Audit, Broker, Client, Revocation, WhenUnreachable};

/// Which agents may call which tools of which servers. [`config::parse`](crate::config::parse) makes one.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(crate) digest: String,
    pub(crate) issuers: BTreeMap<String, Issuer>,
    pub(crate) servers: BTreeMap<String, Server>,
    /// Where credentials are minted.
    pub broker: Broker,
    /// The environment variable that holds the keys of sessions; without one they are the broker's.
    pub session_key: Option<String>,
    /// How records reach the broker.
    pub audit: Audit,
    /// How the broker's revocations are followed.
    pub revocation: Revocation,
    /// Whether Envoy's access log is shown who called what.
    pub access_log: bool,
    /// When a call is decided.
    pub body: Body,
}

/// When a call is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// With its body there, while its headers are held.
    Hold,
    /// By its headers, which then go upstream; the body follows if it says the same. For hosts that cannot hold headers.
    EarlyHeaders,
}

impl Policy {
    /// No servers, and these issuers: for a party that takes tokens without being a server.
    pub fn of(issuers: BTreeMap<String, Issuer>) -> Self {
        let broker = Broker { cluster: String::new(), authority: String::new(), timeout: Duration::ZERO, client: None };
        Self {
            digest: String::new(),
            issuers,
            servers: BTreeMap::new(),
            broker,
            session_key: None,
            audit: Audit { when_unreachable: WhenUnreachable::Deny, queue: 0, flush: Duration::ZERO },
            revocation: Revocation { max_age: Duration::ZERO },
            access_log: false,
            body: Body::Hold,
        }
    }

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

    /// Puts other keys in the place of one issuer's, before any token is proved; `false` when there is no such issuer.
    pub fn pin(&mut self, issuer: &str, document: &[u8]) -> Result<bool, BadKeySet> {
        let Some(issuer) = self.issuers.get_mut(issuer) else {
            return Ok(false);
        };
        issuer.keys = KeySource::Inline(KeySet::parse(document, issuer.reading())?);
        Ok(true)
    }
}

/// One token issuer.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Its name in the policy.
    pub name: String,
    /// Its `iss`; for JWT-SVIDs the trust domain, as `spiffe://name`.
    pub identifier: String,
    /// What kind of token it issues.
    pub profile: Profile,
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
    /// Whom its tokens may come from, by SPIFFE ID; from anyone when there is no list.
    pub workloads: Vec<Pattern>,
    /// Whether its status lists are asked.
    pub status: Option<Status>,
}

impl Issuer {
    /// How its keys are read.
    pub fn reading(&self) -> Reading<'_> {
        Reading { accepted: &self.algorithms, usage: self.profile.usage() }
    }
}

/// A kind of token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Profile {
    /// An OAuth access token.
    AccessToken,
    /// A SPIFFE JWT-SVID, with the scopes that workloads are granted.
    JwtSvid {
        /// Who is granted what.
        grants: Vec<(Pattern, Scopes)>,
    },
}

impl Profile {
    /// What the keys are for that sign such tokens.
    pub fn usage(&self) -> Usage {
        match self {
            Self::AccessToken => Usage::Signature,
            Self::JwtSvid { .. } => Usage::JwtSvid,
        }
    }
}

/// How an issuer's status lists are had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Through which Envoy cluster.
    pub cluster: String,
    /// How old a list may be.
    pub max_age: Duration,
    /// The origins they may be fetched from.
    pub origins: Vec<String>,
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

/// One protected resource.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its name in the policy.
    pub name: String,
    /// Its public identifier.
    pub resource: Resource,
    /// The requests that are for it.
    pub matches: Match,
    /// What it speaks.
    pub protocol: Protocol,
    /// The issuers whose tokens it accepts, by name.
    pub issuers: Vec<String>,
    /// The audiences of which a token must carry one.
    pub audiences: Vec<String>,
    /// How tokens have to be bound to their sender.
    pub sender: Sender,
    /// What it asks of DPoP proofs.
    pub dpop: Demand,
    /// Whom requests may come from, by SPIFFE ID; from anyone when there is no list.
    pub workloads: Vec<Pattern>,
    /// Which chains of actors it accepts.
    pub delegation: Delegation,
    /// Its tools.
    pub tools: Rules,
    /// Its prompts.
    pub prompts: Rules,
    /// Its resources, by URI.
    pub resources: Rules,
    /// Methods that are about none of these.
    pub methods: Rules,
    /// The origins whose pages may call, besides the resource's own.
    pub origins: Vec<String>,
    /// How a denied call is answered.
    pub denials: Denials,
    /// Whether its rules are enforced.
    pub mode: Mode,
    /// Whether some condition asks how a call came in.
    pub asks: bool,
    /// How much is read.
    pub limits: Limits,
}

/// What a server speaks.
#[derive(Clone, Debug)]
pub enum Protocol {
    /// MCP.
    Mcp,
    /// HTTP, with the requests its tools stand for.
    Http(Templates),
    /// A2A.
    Agent,
}

impl Protocol {
    /// The words for it in the policy.
    pub const NAMES: &'static [&'static str] = &["mcp", "http", "a2a"];

    /// The policy's word for it, which records have, too.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Mcp => "mcp",
            Self::Http(_) => "http",
            Self::Agent => "a2a",
        }
    }
}

/// How a denied call is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denials {
    /// By the status of HTTP.
    Http,
    /// By the protocol alone, with status 200: for clients that do not show the status.
    JsonRpc,
}

/// What becomes of what is denied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It goes no further.
    #[default]
    Enforce,
    /// A call goes on if its token is good, and the denial is told.
    Shadow,
    /// Everything goes on, and the denial is told.
    ShadowAll,
}

/// How much is read, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest request body.
    pub request: usize,
    /// The largest answer that lists something; in a stream, the largest event.
    pub list: usize,
}

impl Server {
    /// All its rules.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        [&self.tools, &self.prompts, &self.resources, &self.methods].into_iter().flat_map(Rules::iter)
    }

    /// The public URL of a request to `path`: the resource itself, or a place below its prefix.
    pub fn public(&self, path: &str) -> String {
        match self.matches.is_one() {
            true => self.resource.as_str().to_owned(),
            false => format!("{}{path}", self.resource.origin()),
        }
    }
}

/// How a token has to be bound to its sender. A token that is bound is always checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// It need not be.
    Bearer,
    /// To a key, proved by DPoP.
    Dpop,
    /// To a client certificate.
    Mtls,
    /// To either of the two.
    Bound,
}

impl Sender {
    /// The words for it in the policy.
    pub const NAMES: &'static [&'static str] = &["bearer", "dpop", "mtls", "bound"];

    /// Reads the policy's word for it.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "bearer" => Self::Bearer,
            "dpop" => Self::Dpop,
            "mtls" => Self::Mtls,
            "bound" => Self::Bound,
            _ => return None,
        })
    }
}

/// What one tool asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where it stands, below its server: `tools.report_*`.
    pub name: String,
    /// All of these.
    pub scopes: Scopes,
    /// The credential minted for the call.
    pub credential: Option<String>,
    /// The arguments it is narrowed by.
    pub passes: Vec<String>,
    /// What has to hold besides.
    pub condition: Option<Condition>,
    /// Whether it is enforced.
    pub mode: Mode,
    /// When its calls are written down.
    pub recording: Recording,
}

impl Rule {
    /// Whether its condition looks into the body of a request to an HTTP API.
    pub fn wants_body(&self) -> bool {
        self.condition.as_ref().is_some_and(|condition| condition.reads(Variable::Args, "body"))
    }
}
