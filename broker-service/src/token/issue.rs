//! The client credentials grant: an agent asks for a token of its own.
//!
//! [RFC 6749 §4.4](https://www.rfc-editor.org/rfc/rfc6749#section-4.4)

use accredit_policy::scope::Scopes;
use accredit_policy::token::{digest, hex};
use accredit_policy::wire::audit::{self, Decision, Kind, Record, Remedy};
use serde_json::{Value, json};

use super::binding::bind;
use super::client::Caller;
use super::form::Form;
use super::grant::{asked, entitled};
use crate::agents::{Agent, profile};
use crate::app::App;
use crate::bond::Bond;
use crate::clock;
use crate::error::{ApiError, Code};
use crate::issuer::{ACCESS_TOKEN, AccessToken};

/// Issues a token, or refuses; either is on the record before the agent learns of it.
pub async fn answer(app: &App, caller: &Caller, agent: &Agent, form: &Form) -> Result<Value, ApiError> {
    let granted = match bind(app, caller, agent).await {
        Ok(bond) => grant(agent, bond, form),
        Err(error) => Err(error),
    };
    let mut record = Record {
        id: clock::id()?,
        time: clock::now().rfc3339(),
        kind: Kind::Issue,
        remedy: granted.as_ref().err().and_then(|error| remedy(error, form)),
        agent: Some(audit::Agent { issuer: app.issuer.url().to_owned(), id: agent.id.clone() }),
        subject: Some(agent.id.clone()),
        policy: Some(app.policy.digest().to_owned()),
        ..Record::default()
    };
    let outcome = match granted {
        Ok(grant) => sign(app, agent, &grant, &mut record),
        Err(error) => Err(error),
    };
    record.decision = Some(if outcome.is_ok() { Decision::Permit } else { Decision::Deny });
    record.reason = outcome.as_ref().err().map(|error| error.code.name().to_owned());
    app.store.append(vec![record]).await?;
    outcome
}

/// What an agent gets.
struct Grant {
    resource: String,
    scopes: Scopes,
    bond: Bond,
}

/// The policy of issuance: the intersection of asked and allowed, or a refusal.
fn grant(agent: &Agent, bond: Bond, form: &Form) -> Result<Grant, ApiError> {
    entitled(agent, profile::Grant::ClientCredentials)?;
    // [RFC 8707 §2](https://www.rfc-editor.org/rfc/rfc8707#section-2)
    let resource = match (form.optional("resource")?, agent.profile.resources.as_slice()) {
        (Some(resource), allowed) if allowed.iter().any(|one| one == resource) => resource,
        (None, [only]) => only,
        _ => return Err(ApiError::new(Code::InvalidTarget, "no resource, or none this client may use")),
    };
    // To start a workflow is asked for by name: nobody gets that right along with its tools.
    let scopes = match asked(form)? {
        Some(asked) => asked.intersect(&agent.profile.rights()),
        None => agent.profile.scopes.clone(),
    };
    match scopes.is_empty() {
        true => Err(ApiError::new(Code::InvalidScope, "none of the scopes is allowed for this client")),
        false => Ok(Grant { resource: resource.to_owned(), scopes, bond }),
    }
}

/// What the agent would have to be allowed, where scopes would have helped. It chose the words, so only so many are kept.
fn remedy(error: &ApiError, form: &Form) -> Option<Remedy> {
    let wanted = (error.code == Code::InvalidScope).then(|| asked(form).ok()?)??;
    let scopes: Vec<_> = wanted.iter().take(32).map(str::to_owned).collect();
    (!scopes.is_empty()).then(|| Remedy { scopes, ..Remedy::default() })
}

fn sign(app: &App, agent: &Agent, grant: &Grant, record: &mut Record) -> Result<Value, ApiError> {
    let id = clock::id()?;
    let (now, lifetime) = (clock::now(), agent.profile.token_lifetime);
    let scope = grant.scopes.to_string();
    let token = app.issuer.sign(
        ACCESS_TOKEN,
        AccessToken {
            iss: app.issuer.url(),
            sub: &agent.id,
            aud: &grant.resource,
            client_id: &agent.id,
            scope: &scope,
            jti: &id,
            iat: now.seconds(),
            exp: now.plus(lifetime).seconds(),
            act: None,
            cnf: grant.bond.cnf(),
        },
    );
    let token = token.map_err(ApiError::unavailable)?;
    let sha256 = hex(&digest(&token));
    record.token = Some(audit::Token { jti: Some(id), sha256 });
    record.scopes =
        Some(audit::Scopes { required: Vec::new(), held: grant.scopes.iter().map(str::to_owned).collect() });
    Ok(json!({
        "access_token": token.reveal(),
        "token_type": grant.bond.token_type(),
        "expires_in": lifetime.as_secs(),
        "scope": scope,
    }))
}
