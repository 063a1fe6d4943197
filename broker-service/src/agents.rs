//! The registry of agents: who may ask for tokens, for what, and for how long.
//!
//! ```text
//!  register ──▶ active ◀──▶ suspended        by an operator, when unused for too long, or past its time
//!                  └────────────┴──────▶ retired        for good
//! ```

pub mod api;
pub mod known;
pub mod life;
pub mod profile;
pub mod registry;
pub mod secret;

use std::fmt;

use accredit_policy::Time;
use accredit_policy::revocation::Target;

pub use profile::{Binding, Method, Name, Profile};
use secret::Digest;

/// A registered agent.
#[derive(Clone, Debug)]
pub struct Agent {
    /// Its client identifier.
    pub id: String,
    /// What its operator says of it.
    pub profile: Profile,
    /// What its secret hashes to, where it has one.
    pub secret: Option<Digest>,
    /// Whether it may do anything at all.
    pub status: Status,
    /// When it was registered.
    pub created: Time,
    /// When it last proved who it is.
    pub used: Option<Time>,
}

/// Whether an agent may do anything at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It may.
    Active,
    /// Not until it is resumed.
    Suspended,
    /// Never again.
    Retired,
}

impl Status {
    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Retired => "retired",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        [Self::Active, Self::Suspended, Self::Retired].into_iter().find(|status| status.name() == word)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Agent {
    /// Whether it may do anything at `now`: it is active, and its time is not over.
    pub fn active(&self, now: Time) -> bool {
        self.status == Status::Active && self.overdue(now).is_none()
    }

    /// Why a rule of its own profile ends its time at `now`.
    pub fn overdue(&self, now: Time) -> Option<&'static str> {
        let Profile { expires_at, unused_for, .. } = &self.profile;
        let unused = unused_for.is_some_and(|span| now.since(self.used.unwrap_or(self.created)) >= span);
        match expires_at.is_some_and(|end| end <= now) {
            true => Some("`expires_at` is past"),
            false => unused.then_some("it was not used for as long as `unused_for`"),
        }
    }

    /// How it is revoked as a whole.
    pub fn target(&self, issuer: &str) -> Target {
        Target::Agent { issuer: issuer.to_owned(), id: self.id.clone() }
    }
}
