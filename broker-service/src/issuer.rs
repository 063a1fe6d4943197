//! The broker as an issuer: its keys, its key set, its tokens.

use std::sync::{Arc, PoisonError, RwLock};

use accredit_policy::Secret;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

use crate::clock;
use crate::keys::Schedule;
use crate::keys::ring::Ring;
use crate::keys::signer::NotSigned;

/// Signs tokens with ES256.
pub struct Issuer {
    url: String,
    schedule: Schedule,
    ring: RwLock<Arc<Ring>>,
    turn: Mutex<()>,
}

/// The `typ` of access tokens.
///
/// [RFC 9068 §2.1](https://www.rfc-editor.org/rfc/rfc9068#section-2.1)
pub const ACCESS_TOKEN: &str = "at+jwt";

/// The claims of an access token.
///
/// [RFC 9068 §2.2](https://www.rfc-editor.org/rfc/rfc9068#section-2.2)
#[derive(Debug, Serialize)]
pub struct AccessToken<'a> {
    /// Us.
    pub iss: &'a str,
    /// For whom.
    pub sub: &'a str,
    /// Where it may be used.
    pub aud: &'a str,
    /// Who acts.
    pub client_id: &'a str,
    /// What was granted.
    pub scope: &'a str,
    /// Its own identifier.
    pub jti: &'a str,
    /// Issued, seconds since the epoch.
    pub iat: u64,
    /// Ends, seconds since the epoch.
    pub exp: u64,
    /// Through whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act: Option<Value>,
    /// What it is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Value>,
}

impl Issuer {
    /// The issuer at `url`, without keys yet.
    pub fn new(url: String, schedule: Schedule) -> Self {
        Self { url, schedule, ring: RwLock::default(), turn: Mutex::default() }
    }

    /// The same with one key that nobody else has.
    #[cfg(test)]
    pub fn alone(url: String, schedule: Schedule) -> Self {
        use crate::keys::{Life, signer};
        let now = clock::now();
        let signer = signer::Signer::read(&signer::fresh().unwrap()).unwrap();
        let life = Life { created: now, signs_from: now, retired_at: None };
        let issuer = Self::new(url, schedule);
        issuer.renew(Ring::new(vec![(life, Arc::new(signer))], now));
        issuer
    }

    /// Its `iss`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Signs `claims` as a token of the media type `typ`; it must not live longer than [`crate::keys::LIFETIME`].
    pub fn sign<T: Serialize>(&self, typ: &str, claims: T) -> Result<Secret, NotSigned> {
        self.ring().signer(self.schedule.lead, clock::now())?.sign(typ, claims)
    }

    /// The public keys as they are published.
    pub fn jwks(&self) -> Value {
        self.ring().jwks(clock::now())
    }

    /// When its keys take turns.
    pub fn schedule(&self) -> Schedule {
        self.schedule
    }

    /// Waits until nobody else reads the keys anew: what was read earlier must not come later.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// The keys there are.
    pub fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts `ring` in the place of the keys there were.
    pub fn renew(&self, ring: Ring) {
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
    }
}
