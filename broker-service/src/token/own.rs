//! Our own tokens, shown to us again.

use accredit_policy::Secret;
use accredit_policy::token::{Outcome, Verified};
use serde_json::{Map, Value};

use crate::app::App;
use crate::{clock, foreign};

/// A token of ours that has not ended, whoever it is for.
pub struct Own {
    /// The token, proved.
    pub verified: Verified,
    /// All it says.
    pub claims: Map<String, Value>,
}

impl Own {
    /// Proves `token`; `None` for every other text, and for what has ended.
    pub async fn prove(app: &App, token: &Secret) -> Option<Self> {
        let now = clock::now();
        let Outcome::Proved(verified) = foreign::recognise_own(app, token).await else { return None };
        // No leeway for clocks: this token was made by ours.
        let current = verified.issuer() == app.issuer.url() && now < verified.claims().expires;
        let Value::Object(claims) = verified.told(token).filter(|_| current)? else { return None };
        Some(Self { verified, claims })
    }

    /// The client it was issued to.
    pub fn client(&self) -> Option<&str> {
        self.claims.get("client_id").and_then(Value::as_str)
    }
}
