//! `POST /revoke`: a client takes back a token of its own.
//!
//! [RFC 7009](https://www.rfc-editor.org/rfc/rfc7009)

use accredit_policy::Secret;
use accredit_policy::revocation::{Revocation, Target};
use accredit_policy::token::hex;
use accredit_policy::wire::audit::{self, Kind, Record};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use std::time::Duration;

use super::client::{Caller, Client, identify};
use super::form::Form;
use super::own::Own;
use crate::admin;
use crate::app::App;
use crate::error::ApiError;
use crate::store::{Change, insert};

/// How much longer than the token the revocation is kept: no clock is further behind.
const MARGIN: Duration = Duration::from_secs(3600);

/// Revokes the token, if it is the caller's. 200 means that nobody can use it any more, whether it was ever good or not.
///
/// [RFC 7009 §2.2](https://www.rfc-editor.org/rfc/rfc7009#section-2.2). `token_type_hint` is not needed to find a token, so
/// all of its values are taken; there is one kind of token.
pub async fn answer(State(app): State<App>, caller: Caller, body: Bytes) -> Result<impl IntoResponse, ApiError> {
    let form = Form::parse(&caller.headers, &body)?;
    let client = identify(&app, &caller, Some(&form)).await?;
    let token = Secret::new(form.required("token")?);
    let whose = |own: &Own| matches!(&client, Client::Agent(agent) if own.client() == Some(&agent.id));
    // Of others' tokens a client is not even told that they are tokens.
    if let Some(own) = Own::prove(&app, &token).await.filter(whose) {
        revoke(&app, &own).await?;
    }
    Ok([(header::CACHE_CONTROL, "no-store")])
}

/// Writes the revocation and waits for the disk. From then on it counts here; other replicas are told.
async fn revoke(app: &App, own: &Own) -> Result<(), ApiError> {
    let claims = own.verified.claims();
    let Some(id) = claims.id.clone().filter(|_| !app.store.revoked(|revoked| revoked.token(&own.verified))) else {
        return Ok(());
    };
    let target = Target::Token { issuer: own.verified.issuer().to_owned(), id: id.clone() };
    let change = Change {
        revocation: Revocation { target, before: None, until: Some(claims.expires.plus(MARGIN).seconds()) },
        lifts: false,
        by: claims.agent.clone(),
        why: None,
    };
    let record = Record {
        kind: Kind::Revocation,
        agent: Some(audit::Agent { issuer: own.verified.issuer().to_owned(), id: claims.agent.clone() }),
        subject: Some(claims.subject.clone()),
        token: Some(audit::Token { jti: Some(id.clone()), sha256: hex(own.verified.digest()) }),
        ..admin::by(app, &claims.agent, "token.revoke", &id, None)?
    };
    let mut transaction = app.store.begin().await?;
    app.store.revoke(&mut transaction, &change).await?;
    insert(&mut transaction, &[&record]).await?;
    transaction.commit().await?;
    Ok(app.store.refresh().await?)
}
