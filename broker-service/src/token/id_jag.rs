//! The assertion grant: an enterprise's identity provider says for which of its users an agent may act.
//!
//! [RFC 7523 §2.1](https://www.rfc-editor.org/rfc/rfc7523#section-2.1)

use accredit_policy::Secret;
use accredit_policy::token::chain::Chain;
use accredit_policy::token::{Verified, encode, hex};
use accredit_policy::wire::audit::{self, Record};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::binding::bind;
use super::client::Caller;
use super::form::Form;
use super::grant::{Draft, asked, begin, conclude, entitled, seen, standing};
use super::refused::Refused;
use crate::agents::profile::Grant;
use crate::agents::{Agent, registry};
use crate::app::App;
use crate::clock;
use crate::enterprise::{Redeemed, Request, redeem};
use crate::error::{ApiError, Code};
use crate::foreign::{self, Circle};

/// The grant type.
pub const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// What metadata calls assertions of this kind.
///
/// [draft-ietf-oauth-identity-assertion-authz-grant](https://datatracker.ietf.org/doc/draft-ietf-oauth-identity-assertion-authz-grant/),
/// "Resource Authorization Server Metadata"
pub const PROFILE: &str = "urn:ietf:params:oauth:grant-profile:id-jag";

/// Issues `agent` a token for the user of an assertion, or refuses; either is on the record first.
pub async fn answer(app: &App, caller: &Caller, agent: &Agent, form: &Form) -> Result<Value, ApiError> {
    let mut record = begin(app, agent, &form.all("assertion"))?;
    let outcome = judge(app, caller, agent, form, &mut record).await;
    conclude(app, agent, outcome, record).await
}

async fn judge(app: &App, caller: &Caller, agent: &Agent, form: &Form, record: &mut Record) -> Result<Draft, Refused> {
    let proven = bind(app, caller, agent).await?;
    entitled(agent, Grant::JwtBearer)?;
    let assertion = Secret::new(form.required("assertion")?);
    let (scopes, resource) = (asked(form)?, form.optional("resource")?);
    let outcome = foreign::recognise(app, Circle::Enterprise, &assertion).await;
    // [RFC 7521 §4.1.1](https://www.rfc-editor.org/rfc/rfc7521#section-4.1.1)
    let verified = Refused::unless_proved(outcome, Code::InvalidGrant, NOTHING)?;
    let claims = verified.claims();
    record.subject = Some(claims.subject.clone());
    record.from = vec![audit::Token { jti: claims.id.clone(), sha256: hex(verified.digest()) }];
    let Some(Value::Object(said)) = verified.told(&assertion) else {
        return Err(Refused::new(Code::InvalidGrant, NOTHING));
    };
    // To start a workflow is asked for by name.
    let rights = if scopes.is_some() { agent.profile.rights() } else { agent.profile.scopes.clone() };
    let request = Request {
        claims,
        said: &said,
        agent: seen(agent, &rights),
        scopes: scopes.as_ref(),
        resource,
        proven,
        issuer: app.issuer.url(),
    };
    let redeemed = redeem(&request, clock::now())?;
    app.store.refresh().await.map_err(ApiError::from)?;
    standing(app, &verified, Code::InvalidGrant, NOTHING)?;
    stranger(app, &redeemed.subject).await?;
    // Last, so that only what is redeemed is remembered; and before anything is signed.
    first(app, &verified, &redeemed).await?;
    let Redeemed { subject, scopes, audience, expires, .. } = redeemed;
    Ok(Draft { subject, chain: Chain::default(), scopes, audience, expires, may_act: None, proven })
}

/// What the caller is told of an assertion that does not hold.
const NOTHING: &str = "the assertion gives this client no right to a token";

/// A user with the name of an agent of ours would pass for that agent.
async fn stranger(app: &App, subject: &str) -> Result<(), Refused> {
    match registry::find(app.store.pool(), subject).await? {
        None => Ok(()),
        Some(_) => Err(Refused {
            reason: "assertion_subject",
            error: ApiError::new(Code::InvalidGrant, NOTHING).because("`sub` is the name of an agent of ours"),
        }),
    }
}

/// An assertion counts once, for all replicas.
///
/// [RFC 7523 §3](https://www.rfc-editor.org/rfc/rfc7523#section-3), rule 7
async fn first(app: &App, verified: &Verified, redeemed: &Redeemed) -> Result<(), Refused> {
    let name = Sha256::new().chain_update(verified.issuer()).chain_update([0]).chain_update(&redeemed.id).finalize();
    match app.store.once("assertion", &encode(&name), redeemed.until).await.map_err(ApiError::from)? {
        true => Ok(()),
        false => Err(Refused {
            reason: "assertion_replayed",
            error: ApiError::new(Code::InvalidGrant, NOTHING).because("it was used before"),
        }),
    }
}
