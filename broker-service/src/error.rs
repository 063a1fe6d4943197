//! What can go wrong while answering a request: one text for the caller, one for the operator.

use std::fmt::Display;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::store::NotKept;

/// The codes of [RFC 6749 §5.2](https://www.rfc-editor.org/rfc/rfc6749#section-5.2),
/// [RFC 8707 §2](https://www.rfc-editor.org/rfc/rfc8707#section-2) and our own endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The caller may not do this.
    AccessDenied,
    /// It is there already, or not in a state that allows this.
    Conflict,
    /// The client did not prove who it is.
    InvalidClient,
    /// The proof of a key's possession does not hold.
    InvalidDpopProof,
    /// The assertion gives no right to a token.
    InvalidGrant,
    /// The bearer token is not the operator's.
    InvalidToken,
    /// The request cannot be read, or its token proves nothing.
    InvalidRequest,
    /// The route has other methods.
    MethodNotAllowed,
    /// There is no such thing, or no such route.
    NotFound,
    /// None of the scopes asked for is allowed.
    InvalidScope,
    /// The resource is not known, or not for this client.
    InvalidTarget,
    /// We have failed.
    ServerError,
    /// Nothing can be done about it by the caller but wait.
    TemporarilyUnavailable,
    /// The body is larger than the route takes.
    TooLarge,
    /// The caller has to wait so many seconds.
    TooManyRequests(u64),
    /// The body does not come.
    TooSlow,
    /// The grant is not one this client may use.
    UnauthorizedClient,
    /// No such grant.
    UnsupportedGrantType,
}

impl Code {
    fn row(self) -> (&'static str, StatusCode) {
        match self {
            Self::AccessDenied => ("access_denied", StatusCode::FORBIDDEN),
            Self::Conflict => ("conflict", StatusCode::CONFLICT),
            Self::InvalidClient => ("invalid_client", StatusCode::UNAUTHORIZED),
            Self::InvalidDpopProof => ("invalid_dpop_proof", StatusCode::BAD_REQUEST),
            Self::InvalidGrant => ("invalid_grant", StatusCode::BAD_REQUEST),
            Self::InvalidToken => ("invalid_token", StatusCode::UNAUTHORIZED),
            Self::InvalidRequest => ("invalid_request", StatusCode::BAD_REQUEST),
            Self::InvalidScope => ("invalid_scope", StatusCode::BAD_REQUEST),
            Self::InvalidTarget => ("invalid_target", StatusCode::BAD_REQUEST),
            Self::MethodNotAllowed => ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND),
            Self::ServerError => ("server_error", StatusCode::INTERNAL_SERVER_ERROR),
            Self::TooLarge => ("request_too_large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::TooManyRequests(_) => ("temporarily_unavailable", StatusCode::TOO_MANY_REQUESTS),
            Self::TooSlow => ("request_too_slow", StatusCode::REQUEST_TIMEOUT),
            Self::TemporarilyUnavailable => ("temporarily_unavailable", StatusCode::SERVICE_UNAVAILABLE),
            Self::UnauthorizedClient => ("unauthorized_client", StatusCode::BAD_REQUEST),
            Self::UnsupportedGrantType => ("unsupported_grant_type", StatusCode::BAD_REQUEST),
        }
    }

    /// The code on the wire.
    pub fn name(self) -> &'static str {
        self.row().0
    }
}

/// A request that is not granted.
#[derive(Debug)]
pub struct ApiError {
    /// The code.
    pub code: Code,
    /// For the caller.
    pub public: &'static str,
    /// For the operator's log.
    pub internal: String,
    /// What is wrong in detail, for operators who ask.
    pub details: Vec<String>,
}

impl ApiError {
    /// A refusal whose text serves both.
    pub fn new(code: Code, public: &'static str) -> Self {
        Self { code, public, internal: String::new(), details: Vec::new() }
    }

    /// The same with more for the operator.
    pub fn because(self, internal: impl Display) -> Self {
        Self { internal: internal.to_string(), ..self }
    }

    /// The same with everything that is wrong, for an operator.
    pub fn detailed(self, details: Vec<String>) -> Self {
        Self { details, ..self }
    }

    /// The store, the disk or the system did not do its part.
    pub fn unavailable(internal: impl Display) -> Self {
        Self::new(Code::TemporarilyUnavailable, "the broker cannot answer now").because(internal)
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        Self::unavailable(error)
    }
}

impl From<NotKept> for ApiError {
    fn from(error: NotKept) -> Self {
        Self::unavailable(error)
    }
}

impl From<getrandom::Error> for ApiError {
    fn from(error: getrandom::Error) -> Self {
        Self::unavailable(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (error, status) = self.code.row();
        match status.is_server_error() {
            true => tracing::error!(error, internal = self.internal, "{}", self.public),
            false => tracing::info!(error, internal = self.internal, "{}", self.public),
        }
        let body = match self.details.is_empty() {
            true => json!({ "error": error, "error_description": self.public }),
            false => json!({ "error": error, "error_description": self.public, "details": self.details }),
        };
        let mut response = (status, Json(body)).into_response();
        if let Code::TooManyRequests(seconds) = self.code {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        let challenge = match self.code {
            Code::InvalidClient => Some((header::WWW_AUTHENTICATE, "Basic realm=\"accredit\"")),
            Code::InvalidToken => Some((header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")),
            // RFC 9110 §15.5.9: what is left of the body is not read.
            Code::TooSlow | Code::TooLarge => Some((header::CONNECTION, "close")),
            Code::TemporarilyUnavailable => Some((header::RETRY_AFTER, "1")),
            _ => None,
        };
        let fixed = [(header::CACHE_CONTROL, "no-store")];
        for (name, value) in challenge.into_iter().chain(fixed) {
            add(&mut response, name, value);
        }
        response
    }
}

fn add(response: &mut Response, name: HeaderName, value: &'static str) {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
}
