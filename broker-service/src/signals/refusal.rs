//! Events that are not taken: one code of the registry for the transmitter, one reason for the record.

use accredit_policy::{Reason, token};
use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::error::ApiError;

/// Why an event is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It was made in the future.
    Ahead,
    /// Its algorithm is none of the transmitter's.
    Algorithm,
    /// It is for somebody else.
    Audience,
    /// Something else came under its name.
    Changed,
    /// The transmitter's bearer token is missing or wrong.
    Credential,
    /// It is about a name of an issuer that this transmitter does not speak for.
    Foreign,
    /// It is of no transmitter.
    Issuer,
    /// No key of the transmitter fits.
    Key,
    /// It cannot be read.
    Malformed(&'static str),
    /// It is not said to be an event.
    Media,
    /// Its signature does not hold.
    Signature,
    /// It is too old.
    Stale,
    /// It is another kind of token.
    Type,
}

impl Refusal {
    /// The name in the record.
    pub fn reason(self) -> &'static str {
        self.row().1
    }

    /// The code, the name in the record, and what the transmitter is told.
    ///
    /// [RFC 8935 §2.4](https://www.rfc-editor.org/rfc/rfc8935#section-2.4)
    fn row(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Ahead => ("invalid_request", Reason::TokenNotYetValid.name(), "`iat` is in the future"),
            Self::Algorithm => {
                ("invalid_key", Reason::TokenAlgorithm.name(), "the algorithm is not accepted from this issuer")
            }
            Self::Audience => ("invalid_audience", Reason::TokenAudience.name(), "`aud` does not name this receiver"),
            Self::Changed => ("invalid_request", "event_changed", "another event came with this `jti`"),
            Self::Credential => {
                ("authentication_failed", "event_credential", "the bearer token is not the transmitter's")
            }
            Self::Foreign => {
                ("access_denied", "event_foreign", "the subject is of an issuer this transmitter does not speak for")
            }
            Self::Issuer => ("invalid_issuer", Reason::TokenIssuer.name(), "no transmitter has this `iss`"),
            Self::Key => ("invalid_key", Reason::TokenKeyUnknown.name(), "no key of the issuer fits"),
            Self::Malformed(note) => ("invalid_request", Reason::TokenMalformed.name(), note),
            Self::Media => ("invalid_request", "event_media", "the content type is not `application/secevent+jwt`"),
            Self::Signature => ("authentication_failed", Reason::TokenSignature.name(), "the signature does not hold"),
            Self::Stale => ("invalid_request", Reason::TokenExpired.name(), "`iat` is too far back"),
            Self::Type => ("invalid_request", Reason::TokenType.name(), "`typ` is not `secevent+jwt`"),
        }
    }
}

impl From<token::Refusal> for Refusal {
    fn from(refusal: token::Refusal) -> Self {
        match refusal.reason {
            Reason::TokenAlgorithm => Self::Algorithm,
            Reason::TokenKeyUnknown => Self::Key,
            Reason::TokenSignature => Self::Signature,
            Reason::TokenType => Self::Type,
            _ => Self::Malformed(refusal.note),
        }
    }
}

/// A request without a 202.
#[derive(Debug)]
pub enum Failure {
    /// We cannot do our part now.
    Broker(ApiError),
    /// The event is not taken.
    Refused(Refusal),
}

impl Failure {
    /// Whether it can be an attempt to find out what passes for the transmitter.
    pub fn guessed(&self) -> bool {
        matches!(self, Self::Refused(Refusal::Credential | Refusal::Signature))
    }
}

impl<E: Into<ApiError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Broker(error.into())
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// [RFC 8935 §2.3](https://www.rfc-editor.org/rfc/rfc8935#section-2.3): 400 for all that is wrong with an event or its
/// transmitter, and the usual codes of HTTP for the rest.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let refusal = match self {
            Self::Broker(error) => return error.into_response(),
            Self::Refused(refusal) => refusal,
        };
        let (err, reason, description) = refusal.row();
        tracing::warn!(err, reason, "an event is refused: {description}");
        let body = Json(json!({ "err": err, "description": description }));
        (StatusCode::BAD_REQUEST, [(header::CACHE_CONTROL, "no-store")], body).into_response()
    }
}
