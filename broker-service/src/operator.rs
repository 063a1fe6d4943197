//! The operators: who they are, and how the service is.

use accredit_policy::Secret;
use axum::extract::{FromRequestParts, State};
use axum::http::{StatusCode, header, request::Parts};

use crate::app::App;
use crate::error::{ApiError, Code};

/// Proof that the caller is an operator.
pub struct Operator(());

impl FromRequestParts<App> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let mut lines = parts.headers.get_all(header::AUTHORIZATION).iter();
        let value = lines.next().and_then(|value| value.to_str().ok()).filter(|_| lines.next().is_none());
        let token =
            value.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let known = token.is_some_and(|(_, token)| Secret::new(token) == app.operator);
        match known {
            true => Ok(Self(())),
            false => Err(ApiError::new(Code::InvalidToken, "this needs the operators' bearer token")),
        }
    }
}

/// `GET /healthz`: the process runs.
pub async fn alive() -> StatusCode {
    StatusCode::OK
}

/// `GET /readyz`: the database can be written.
pub async fn ready(State(app): State<App>) -> Result<StatusCode, ApiError> {
    app.store.ready().await.map_err(ApiError::unavailable)?;
    Ok(StatusCode::OK)
}
