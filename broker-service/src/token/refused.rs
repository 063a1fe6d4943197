//! A refusal on its way to the record and to the caller, who are told differently.

use accredit_policy::Reason;
use accredit_policy::token::{Outcome, Verified};

use crate::error::{ApiError, Code};
use crate::{delegation, enterprise};

/// Why a request is not granted.
#[derive(Debug)]
pub struct Refused {
    /// The name in the record.
    pub reason: &'static str,
    /// The answer.
    pub error: ApiError,
}

impl Refused {
    /// A refusal that says the same to both.
    pub fn new(code: Code, public: &'static str) -> Self {
        Self { reason: code.name(), error: ApiError::new(code, public) }
    }

    /// The token, if it was proved; `code` and `public` are for the caller, who learns no more than that it was not.
    pub fn unless_proved(outcome: Outcome, code: Code, public: &'static str) -> Result<Verified, Self> {
        match outcome {
            Outcome::Proved(verified) => Ok(verified),
            // Keys or a list that cannot be had say nothing against the token.
            Outcome::Refused(refusal) if refusal.reason.status() == 503 => {
                Err(Self { reason: refusal.reason.name(), error: ApiError::unavailable(refusal.note) })
            }
            Outcome::Refused(refusal) => {
                Err(Self { reason: refusal.reason.name(), error: ApiError::new(code, public).because(refusal.note) })
            }
            Outcome::Waits(issuer) => {
                let why = format!("the keys of `{issuer}` are not known yet");
                Err(Self { reason: Reason::KeysUnavailable.name(), error: ApiError::unavailable(why) })
            }
        }
    }
}

impl From<delegation::Refusal> for Refused {
    fn from(refusal: delegation::Refusal) -> Self {
        Self { reason: refusal.reason(), error: refusal.into() }
    }
}

impl From<enterprise::Refusal> for Refused {
    fn from(refusal: enterprise::Refusal) -> Self {
        Self { reason: refusal.reason(), error: refusal.into() }
    }
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self { reason: error.code.name(), error }
    }
}
