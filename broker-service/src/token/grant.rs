//! What the grants have in common that give an agent a token for someone else: what is shown, what is kept, what is signed.

use accredit_policy::scope::Scopes;
use accredit_policy::token::chain::Chain;
use accredit_policy::token::{Verified, digest, hex};
use accredit_policy::wire::audit::{self, Decision, Kind, Record};
use accredit_policy::wire::exchange::ACCESS_TOKEN as TOKEN_TYPE;
use accredit_policy::{Reason, Secret, Time};
use serde::Serialize;
use serde_json::{Value, json};

use super::form::Form;
use super::refused::Refused;
use crate::agents::Agent;
use crate::agents::profile::Grant;
use crate::app::App;
use crate::bond::Bond;
use crate::clock;
use crate::credential::jwt::actors;
use crate::delegation;
use crate::error::{ApiError, Code};
use crate::issuer::{ACCESS_TOKEN, AccessToken};

/// A token to issue.
pub struct Draft {
    /// `sub`
    pub subject: String,
    /// `act`
    pub chain: Chain,
    /// `scope`
    pub scopes: Scopes,
    /// `aud`
    pub audience: String,
    /// `exp`
    pub expires: Time,
    /// `may_act`
    pub may_act: Option<Value>,
    /// `cnf`: the keys that were proved.
    pub proven: Bond,
}

/// What an access token of RFC 9068 does not have by itself.
#[derive(Serialize)]
struct Claims<'a> {
    #[serde(flatten)]
    token: AccessToken<'a>,
    /// [RFC 8693 §4.4](https://www.rfc-editor.org/rfc/rfc8693#section-4.4)
    #[serde(skip_serializing_if = "Option::is_none")]
    may_act: Option<Value>,
}

/// The record of a token `agent` asks for by showing `tokens`.
pub fn begin(app: &App, agent: &Agent, tokens: &[&str]) -> Result<Record, ApiError> {
    let shown = |token: &&str| audit::Token { jti: None, sha256: hex(&digest(&Secret::new(*token))) };
    Ok(Record {
        id: clock::id()?,
        time: clock::now().rfc3339(),
        kind: Kind::Issue,
        agent: Some(audit::Agent { issuer: app.issuer.url().to_owned(), id: agent.id.clone() }),
        // A request that shows more is refused, and need not fill the record.
        from: tokens.iter().take(2).map(shown).collect(),
        policy: Some(app.policy.digest().to_owned()),
        ..Record::default()
    })
}

/// Signs what was granted, or refuses; either is on the record before the agent learns of it.
pub async fn conclude(
    app: &App,
    agent: &Agent,
    outcome: Result<Draft, Refused>,
    mut record: Record,
) -> Result<Value, ApiError> {
    let outcome = outcome.and_then(|draft| Ok(sign(app, agent, draft, &mut record)?));
    record.decision = Some(if outcome.is_ok() { Decision::Permit } else { Decision::Deny });
    record.reason = outcome.as_ref().err().map(|refused| refused.reason.to_owned());
    app.store.append(vec![record]).await?;
    outcome.map_err(|refused| refused.error)
}

/// [RFC 8693 §2.2.1](https://www.rfc-editor.org/rfc/rfc8693#section-2.2.1)
fn sign(app: &App, agent: &Agent, draft: Draft, record: &mut Record) -> Result<Value, ApiError> {
    let Draft { subject, chain, scopes, audience, expires, may_act, proven } = draft;
    let (id, now, scope) = (clock::id()?, clock::now(), scopes.to_string());
    let token = AccessToken {
        iss: app.issuer.url(),
        sub: &subject,
        aud: &audience,
        client_id: &agent.id,
        scope: &scope,
        jti: &id,
        iat: now.seconds(),
        exp: expires.seconds(),
        act: actors(&chain),
        cnf: proven.cnf(),
    };
    let token = app.issuer.sign(ACCESS_TOKEN, Claims { token, may_act });
    let token = token.map_err(ApiError::unavailable)?;
    record.token = Some(audit::Token { jti: Some(id), sha256: hex(&digest(&token)) });
    record.chain = chain.names().map(str::to_owned).collect();
    record.scopes = Some(audit::Scopes { required: Vec::new(), held: scopes.iter().map(str::to_owned).collect() });
    Ok(json!({
        "access_token": token.reveal(),
        "issued_token_type": TOKEN_TYPE,
        "token_type": proven.token_type(),
        "expires_in": expires.seconds().saturating_sub(now.seconds()),
        "scope": scope,
    }))
}

/// Whether the agent's entry has the grant.
///
/// [RFC 6749 §5.2](https://www.rfc-editor.org/rfc/rfc6749#section-5.2)
pub fn entitled(agent: &Agent, grant: Grant) -> Result<(), ApiError> {
    match agent.profile.grants.contains(&grant) {
        true => Ok(()),
        false => Err(ApiError::new(Code::UnauthorizedClient, "this client may not use this grant")),
    }
}

/// The scopes a request asks for; a text that is no list of scopes asks for none there is.
pub fn asked(form: &Form) -> Result<Option<Scopes>, ApiError> {
    Ok(form.optional("scope")?.map(|text| Scopes::parse(text).unwrap_or_default()))
}

/// A token that was shown is not revoked; `code` and `public` are for the caller of one that is.
pub fn standing(app: &App, verified: &Verified, code: Code, public: &'static str) -> Result<(), Refused> {
    match app.store.revoked(|revoked| revoked.token(verified)) {
        true => {
            let error = ApiError::new(code, public).because("it is revoked");
            Err(Refused { reason: Reason::Revoked.name(), error })
        }
        false => Ok(()),
    }
}

/// The agent as the rules see it; `scopes` are all it may have.
pub fn seen<'a>(agent: &'a Agent, scopes: &'a Scopes) -> delegation::Agent<'a> {
    let profile = &agent.profile;
    delegation::Agent {
        id: &agent.id,
        scopes,
        resources: &profile.resources,
        accepts: &profile.accepts,
        lifetime: profile.token_lifetime,
    }
}
