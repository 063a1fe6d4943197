//! Credentials for one call each: how those the policy names are made, and ended, at their targets.
//!
//! ```text
//! intent and lease on the disk ─▶ mint ─▶ answer
//!                                  │  what ends it is kept before the target can have made anything that lives on
//! lease over, agent revoked ─────▶ end
//! ```

pub mod aws;
pub mod fixed;
pub mod github;
pub mod headers;
pub mod jwt;
pub mod oauth;
pub mod openbao;
pub mod postgres;
#[cfg(test)]
mod stage;
pub mod template;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use accredit_policy::token::Verified;
use accredit_policy::{Secret, Time};

use crate::issuer::Issuer;
use crate::secrets::Secrets;
use crate::store::NotKept;
use aws::Aws;
use fixed::Fixed;
use github::GitHub;
use headers::Headers;
use jwt::Jwt;
use oauth::OAuth;
use openbao::OpenBao;
use postgres::Postgres;

/// How one credential of the policy is made.
#[derive(Debug)]
pub struct Definition {
    /// The longest a credential lives.
    pub ttl: Duration,
    /// How long a proxy may use it again for the same agent, subject, chain, server, tool and scope.
    pub reuse: Option<Duration>,
    /// When it ends, where its target takes it back.
    pub until: Until,
    /// What of it is set on the upstream request.
    pub headers: Headers,
    /// Where it comes from.
    pub kind: Kind,
}

/// When a credential ends that can be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// With the call it was minted for.
    Call,
    /// With its time.
    Expiry,
}

/// Where a credential comes from.
#[derive(Debug)]
pub enum Kind {
    /// The broker signs it.
    Jwt(Jwt),
    /// An operator has put it.
    Fixed(Fixed),
    /// An engine of an OpenBao server makes it.
    OpenBao(OpenBao),
    /// A role of a PostgreSQL server.
    Postgres(Box<Postgres>),
    /// A session of an AWS role.
    Aws(Box<Aws>),
    /// An installation of a GitHub App.
    GitHub(Box<GitHub>),
    /// Another authorization server issues it.
    OAuth(Box<OAuth>),
}

/// The call a credential is minted for.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The agent's token, proved.
    pub verified: &'a Verified,
    /// The same token as it came, for targets that exchange it.
    pub token: &'a Secret,
    /// The tool, or the method where it is about nothing else.
    pub tool: &'a str,
    /// What the rule requires.
    pub scope: &'a str,
    /// The lease, already on the disk.
    pub lease: &'a Lease,
    /// The arguments the rule passes on, by name.
    pub arguments: &'a Arguments,
    /// Signs what a target wants signed by the broker.
    pub issuer: &'a Issuer,
    /// What operators have put.
    pub secrets: &'a Secrets,
}

/// Arguments of a call that a rule passes on: texts and lists of texts.
pub type Arguments = BTreeMap<String, Vec<String>>;

/// The time a credential is good for, and its name.
#[derive(Clone, Debug)]
pub struct Lease {
    /// Its identifier, a UUIDv7.
    pub id: String,
    /// From when.
    pub issued: Time,
    /// Until when: no longer than its definition says, and never past the agent's own token.
    pub expires: Time,
}

/// A credential that was made.
#[derive(Debug)]
pub struct Minted {
    /// Its parts, by the names the kind gives them.
    pub fields: Fields,
    /// When the target ends it by itself, where it said so.
    pub expires: Option<Time>,
}

/// The parts of a credential, such as `token`, or `username` and `password`.
#[derive(Clone, Debug, Default)]
pub struct Fields(BTreeMap<Cow<'static, str>, Secret>);

impl Fields {
    /// The part of that name.
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.0.get(name)
    }
}

/// Parts whose names the kind gives.
impl<const N: usize> From<[(&'static str, Secret); N]> for Fields {
    fn from(parts: [(&'static str, Secret); N]) -> Self {
        Self(parts.map(|(name, part)| (Cow::Borrowed(name), part)).into())
    }
}

/// Parts whose names the operator gives.
impl FromIterator<(String, Secret)> for Fields {
    fn from_iter<I: IntoIterator<Item = (String, Secret)>>(parts: I) -> Self {
        Self(parts.into_iter().map(|(name, part)| (Cow::Owned(name), part)).collect())
    }
}

/// What became of a credential that had to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The target has taken it back, or never had it.
    Revoked,
    /// The target takes nothing back: it is good until it expires.
    Expires,
}

/// Why there is no credential, or why it could not be ended; holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The target has decided against it; to ask again would not help.
    Refused(String),
    /// The target cannot be had, or answers nonsense.
    Unavailable(String),
}

/// Keeps what ends a credential.
pub trait Ledger: Sync {
    /// Keeps `handle` with the lease; `Ok` means that it is on the disk, sealed.
    fn keep(&self, handle: Secret) -> impl Future<Output = Result<(), Failure>> + Send;
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(formatter, "refused: {why}"),
            Self::Unavailable(why) => write!(formatter, "unavailable: {why}"),
        }
    }
}

impl From<NotKept> for Failure {
    fn from(error: NotKept) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl Call<'_> {
    /// The facts a definition may speak of.
    pub const FACTS: &'static [&'static str] = &["agent", "subject", "tool", "scope", "lease"];

    /// One of [`Self::FACTS`].
    pub fn fact(&self, name: &str) -> Option<&str> {
        match name {
            "agent" => Some(&self.verified.claims().agent),
            "subject" => Some(&self.verified.claims().subject),
            "tool" => Some(self.tool),
            "scope" => Some(self.scope),
            "lease" => Some(&self.lease.id),
            _ => None,
        }
    }
}

impl Definition {
    /// Makes a credential whose lease is on the disk. A kind whose target keeps something that has to be ended gives
    /// `ledger` the handle before that thing can outlive a crash.
    pub async fn mint(&self, call: &Call<'_>, ledger: &impl Ledger) -> Result<Minted, Failure> {
        match &self.kind {
            Kind::Jwt(jwt) => jwt.mint(call),
            Kind::Fixed(fixed) => fixed.mint(call).await,
            Kind::OpenBao(openbao) => openbao.mint(call, ledger).await,
            Kind::Postgres(postgres) => postgres.mint(call).await,
            Kind::Aws(aws) => aws.mint(call).await,
            Kind::GitHub(github) => github.mint(call, ledger).await,
            Kind::OAuth(oauth) => oauth.mint(call, ledger).await,
        }
    }

    /// Ends the credential of a lease, however much of it was made; to end it again does no harm.
    pub async fn end(&self, lease: &str, handle: Option<&Secret>) -> Result<Ended, Failure> {
        match &self.kind {
            Kind::Jwt(_) | Kind::Fixed(_) | Kind::Aws(_) => Ok(Ended::Expires),
            Kind::OpenBao(openbao) => openbao.end(handle).await,
            Kind::Postgres(postgres) => postgres.end(lease).await,
            Kind::GitHub(github) => github.end(handle).await,
            Kind::OAuth(oauth) => oauth.end(handle).await,
        }
    }
}

impl Kind {
    /// Its word in the configuration and in records.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Jwt(_) => "jwt",
            Self::Fixed(_) => "static",
            Self::OpenBao(_) => "openbao",
            Self::Postgres(_) => "postgres",
            Self::Aws(_) => "aws",
            Self::GitHub(_) => "github",
            Self::OAuth(_) => "oauth",
        }
    }

    /// Whether something lives on at the target that has to be ended.
    pub fn outlives(&self) -> bool {
        match self {
            Self::Jwt(_) | Self::Fixed(_) | Self::Aws(_) => false,
            Self::OpenBao(_) | Self::Postgres(_) | Self::GitHub(_) => true,
            Self::OAuth(oauth) => oauth.outlives(),
        }
    }
}
