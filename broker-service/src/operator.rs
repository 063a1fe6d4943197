//! The operators: who they are, and how the service is.

use accredit_policy::Secret;
use axum::extract::{FromRequestParts, State};
use axum::http::{HeaderMap, StatusCode, header, request::Parts};

use crate::app::App;
use crate::error::{ApiError, Code};
use crate::listener::stop::Phase;

/// Proof that the caller is an operator.
pub struct Operator(String);

impl Operator {
    /// Who it is, for the record.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl FromRequestParts<App> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        match bearer(&parts.headers).as_ref() == Some(&app.operator) {
            // One token for all of them: there is no telling them apart.
            true => Ok(Self("operator".into())),
            false => Err(ApiError::new(Code::InvalidToken, "this needs the operators' bearer token")),
        }
    }
}

/// The one bearer token of a request.
///
/// [RFC 6750 §2.1](https://www.rfc-editor.org/rfc/rfc6750#section-2.1)
pub fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let value = lines.next().and_then(|value| value.to_str().ok()).filter(|_| lines.next().is_none())?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::new(token))
}

/// `GET /healthz`: the process runs.
pub async fn alive() -> StatusCode {
    StatusCode::OK
}

/// `GET /readyz`: requests are wanted here, and the database can be written; else why not, for people.
pub async fn ready(State(app): State<App>) -> (StatusCode, &'static str) {
    if app.stop.phase() == Phase::Stopping {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    match app.store.probe().await {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(error) => {
            tracing::warn!("not ready: {error}");
            (StatusCode::SERVICE_UNAVAILABLE, "the store cannot be written\n")
        }
    }
}
