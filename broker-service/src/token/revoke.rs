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
use crate::clock;
use crate::error::ApiError;
use crate::store::{Change, insert};

/// How much longer than the token the revocation is kept: several times what clocks may be apart.
const MARGIN: Duration = Duration::from_secs(300);

/// No token of ours lives longer.
const LONGEST: Duration = Duration::from_secs(3600);

/// How many tokens an agent can take back one by one, until the first of them has ended. Every worker of every proxy keeps
/// each; beyond that, all its tokens so far go at once.
const MOST: i64 = 1000;

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
    let record = Record {
        kind: Kind::Revocation,
        agent: Some(audit::Agent { issuer: own.verified.issuer().to_owned(), id: claims.agent.clone() }),
        subject: Some(claims.subject.clone()),
        token: Some(audit::Token { jti: Some(id.clone()), sha256: hex(own.verified.digest()) }),
        ..admin::by(app, &claims.agent, "token.revoke", &id, None)?
    };
    let mut transaction = app.store.begin().await?;
    let query = sqlx::query_scalar("SELECT COUNT(*) FROM revocations WHERE by_whom = $1 AND until > $2");
    let query = query.bind(&claims.agent).bind(clock::signed(clock::now()));
    let taken: i64 = query.fetch_one(&mut *transaction).await?;
    let revocation = if taken < MOST { one(own, id) } else { all(own) };
    let change = Change { revocation, lifts: false, by: claims.agent.clone(), why: None };
    app.store.revoke(&mut transaction, &change).await?;
    insert(&mut transaction, &[&record]).await?;
    transaction.commit().await?;
    Ok(app.store.refresh().await?)
}

fn one(own: &Own, id: String) -> Revocation {
    let target = Target::Token { issuer: own.verified.issuer().to_owned(), id };
    Revocation { target, before: None, until: Some(own.verified.claims().expires.plus(MARGIN).seconds()) }
}

/// All tokens of the agent that were issued until now.
fn all(own: &Own) -> Revocation {
    let (now, issuer) = (clock::now(), own.verified.issuer().to_owned());
    let target = Target::Agent { issuer, id: own.verified.claims().agent.clone() };
    let until = now.plus(LONGEST).plus(MARGIN).seconds();
    Revocation { target, before: Some(now.seconds().saturating_add(1)), until: Some(until) }
}
