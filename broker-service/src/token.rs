//! The endpoints for clients: `POST /token`, `POST /introspect` and `POST /revoke`.

pub mod binding;
pub mod client;
mod delegate;
mod exchange;
mod form;
mod grant;
pub mod id_jag;
pub mod introspect;
mod issue;
mod own;
mod refused;
pub mod revoke;

use accredit_policy::wire::exchange::GRANT;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::app::App;
use crate::error::{ApiError, Code};
use client::{Caller, Client, identify};
use form::Form;

/// Answers a token request.
///
/// [RFC 6749 §5](https://www.rfc-editor.org/rfc/rfc6749#section-5)
pub async fn answer(State(app): State<App>, caller: Caller, body: Bytes) -> Result<Response, ApiError> {
    let form = Form::parse(&caller.headers, &body)?;
    let client = identify(&app, &caller, Some(&form)).await?;
    let metrics = app.store.metrics();
    let counted = |grant, answer: Result<Value, ApiError>| {
        metrics.token(grant, &answer);
        answer
    };
    let answer = match (client, form.required("grant_type")?) {
        (Client::Agent(agent), "client_credentials") => {
            counted("client_credentials", issue::answer(&app, &caller, &agent, &form).await)?
        }
        (Client::Agent(agent), GRANT) => {
            counted("token_exchange", delegate::answer(&app, &caller, &agent, &form).await)?
        }
        (Client::Agent(agent), id_jag::GRANT) => counted("id_jag", id_jag::answer(&app, &caller, &agent, &form).await)?,
        (Client::Proxy(proxy), GRANT) => exchange::answer(&app, proxy, &form).await?,
        (Client::Proxy(_), "client_credentials" | id_jag::GRANT) => {
            return Err(ApiError::new(Code::AccessDenied, "this grant is not for this client"));
        }
        _ => return Err(ApiError::new(Code::UnsupportedGrantType, "no such grant")),
    };
    Ok(private(answer))
}

/// [RFC 6749 §5.1](https://www.rfc-editor.org/rfc/rfc6749#section-5.1): no cache may keep it.
fn private(answer: Value) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response()
}
