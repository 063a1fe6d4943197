//! `POST /introspect`: what a token is worth now.
//!
//! [RFC 7662](https://www.rfc-editor.org/rfc/rfc7662)

use accredit_policy::Secret;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::client::{Caller, Client, identify};
use super::form::Form;
use super::own::Own;
use super::private;
use crate::agents::registry;
use crate::app::App;
use crate::clock;
use crate::error::ApiError;

/// The claims that are told.
///
/// [RFC 7662 §2.2](https://www.rfc-editor.org/rfc/rfc7662#section-2.2),
/// [RFC 8693 §4](https://www.rfc-editor.org/rfc/rfc8693#section-4),
/// [RFC 8705 §3.2](https://www.rfc-editor.org/rfc/rfc8705#section-3.2)
const TOLD: &[&str] = &["iss", "sub", "aud", "client_id", "scope", "exp", "iat", "nbf", "jti", "act", "may_act", "cnf"];

/// Tells an authenticated caller about a token; of one that is not good, or not the caller's business, nothing but that.
pub async fn answer(State(app): State<App>, caller: Caller, body: Bytes) -> Result<Response, ApiError> {
    let form = Form::parse(&caller.headers, &body)?;
    let client = identify(&app, &caller, Some(&form)).await?;
    let token = Secret::new(form.required("token")?);
    let active = active(&app, &client, &token).await?;
    Ok(private(active.map_or_else(|| json!({ "active": false }), |own| told(&own))))
}

/// The token, if it is good now and the caller may know.
async fn active(app: &App, client: &Client, token: &Secret) -> Result<Option<Own>, ApiError> {
    let Some(own) = Own::prove(app, token).await.filter(|own| concerns(client, own)) else {
        return Ok(None);
    };
    // Another replica may have revoked it just now.
    app.store.refresh().await?;
    let agent = registry::find(app.store.pool(), &own.verified.claims().agent).await?;
    let good = agent.is_some_and(|agent| agent.active(clock::now()));
    let good = good && !app.store.revoked(|revoked| revoked.token(&own.verified));
    Ok(Some(own).filter(|_| good))
}

/// Proxies guard every resource; an agent is told of its own tokens and of those made out to it.
fn concerns(client: &Client, own: &Own) -> bool {
    match client {
        Client::Proxy(_) => true,
        Client::Agent(agent) => {
            let audiences = &own.verified.claims().audiences;
            own.client() == Some(&agent.id) || audiences.iter().any(|one| agent.profile.accepts.contains(one))
        }
    }
}

fn told(own: &Own) -> Value {
    let claims = TOLD.iter().filter_map(|name| own.claims.get_key_value(*name));
    let mut members: Map<String, Value> = claims.map(|(name, value)| (name.clone(), value.clone())).collect();
    let key = own.verified.claims().confirmation.as_ref().is_some_and(|bound| bound.key.is_some());
    members.insert("active".into(), json!(true));
    members.insert("token_type".into(), json!(if key { "DPoP" } else { "Bearer" }));
    Value::Object(members)
}
