//! Assertions of an enterprise's identity provider that a user lets an agent act: what a token for one may say. No I/O.
//!
//! [draft-ietf-oauth-identity-assertion-authz-grant](https://datatracker.ietf.org/doc/draft-ietf-oauth-identity-assertion-authz-grant/)
//! (ID-JAG), a profile of [RFC 7523](https://www.rfc-editor.org/rfc/rfc7523#section-2.1).

use std::time::Duration;

use accredit_policy::Time;
use accredit_policy::scope::Scopes;
use accredit_policy::token::claims::Claims;
use serde_json::{Map, Value};

use crate::bond::Bond;
use crate::delegation::Agent;
use crate::error::{ApiError, Code};

/// The `typ` of assertions. No other kind of token has it, and an assertion passes for no other kind.
///
/// [RFC 8725 §3.11](https://www.rfc-editor.org/rfc/rfc8725#section-3.11)
pub const TYPE: &str = "oauth-id-jag+jwt";

/// How long after its end an assertion is remembered: longer than clocks may be apart.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Claims that change who the subject is, or what was granted, in a way that is not understood here. To leave them aside
/// would make more of an assertion than its issuer has meant.
const UNKNOWN: &[&str] = &["act", "aud_tenant", "authorization_details", "tenant"];

/// One assertion that is to be redeemed.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What of the assertion every token has.
    pub claims: &'a Claims,
    /// All it says.
    pub said: &'a Map<String, Value>,
    /// The agent that brings it.
    pub agent: Agent<'a>,
    /// The scopes it asks for; all it can get when it names none.
    pub scopes: Option<&'a Scopes>,
    /// The resource it asks for; the only one there is when it names none.
    pub resource: Option<&'a str>,
    /// The keys the request proves.
    pub proven: Bond,
    /// Our `iss`.
    pub issuer: &'a str,
}

/// The claims of the token to issue, and the name under which the assertion counts once.
#[derive(Clone, Debug, PartialEq)]
pub struct Redeemed {
    /// The user: `sub`.
    pub subject: String,
    /// What the agent may do: `scope`.
    pub scopes: Scopes,
    /// Where: `aud`.
    pub audience: String,
    /// Until when.
    pub expires: Time,
    /// The assertion's `jti`.
    pub id: String,
    /// Until when it has to be remembered.
    pub until: Time,
}

/// Why an assertion gets no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is not for us, or not for us alone.
    Audience,
    /// It is another client's.
    Client,
    /// It lacks a claim it has to have, or has one that cannot be read.
    Malformed,
    /// None of the scopes is left.
    Scope,
    /// No resource is left, or more than one.
    Target,
    /// It is bound to a key the request does not prove.
    Unbound,
    /// It says something that is not understood here.
    Unknown,
}

/// Judges an assertion whose signature holds, of an issuer that is configured.
///
/// What is left to the caller: that it counts once, and that its subject is none of our agents.
pub fn redeem(request: &Request<'_>, now: Time) -> Result<Redeemed, Refusal> {
    let Request { claims, said, agent, proven, issuer, .. } = *request;
    if !matches!(claims.audiences.as_slice(), [only] if only == issuer) {
        return Err(Refusal::Audience);
    }
    // `client_id` is what the assertion's agent is read from; here it has to be the very client that authenticates.
    if claims.agent != agent.id {
        return Err(Refusal::Client);
    }
    let id = claims.id.clone().filter(|_| ["sub", "iat"].iter().all(|name| said.contains_key(*name)));
    let id = id.ok_or(Refusal::Malformed)?;
    if UNKNOWN.iter().any(|name| said.contains_key(*name)) {
        return Err(Refusal::Unknown);
    }
    if !proven.covers(claims.confirmation.as_ref()) {
        return Err(Refusal::Unbound);
    }
    Ok(Redeemed {
        subject: claims.subject.clone(),
        scopes: scopes(request)?,
        audience: resource(request)?.to_owned(),
        expires: now.plus(agent.lifetime),
        id,
        until: claims.expires.plus(REMEMBERED),
    })
}

/// An assertion without scopes gives none: its issuer decides what the user lets the agent do.
fn scopes(request: &Request<'_>) -> Result<Scopes, Refusal> {
    let most = request.claims.scopes.intersect(request.agent.scopes);
    let scopes = request.scopes.map_or(most.clone(), |asked| most.intersect(asked));
    match scopes.is_empty() {
        true => Err(Refusal::Scope),
        false => Ok(scopes),
    }
}

/// The one resource that the agent may use, the assertion is good for, and the request asks for.
fn resource<'a>(request: &Request<'a>) -> Result<&'a str, Refusal> {
    let good = match request.said.get("resource") {
        None => None,
        Some(Value::String(one)) => Some(vec![one.as_str()]),
        Some(Value::Array(list)) => {
            Some(list.iter().map(Value::as_str).collect::<Option<_>>().ok_or(Refusal::Malformed)?)
        }
        Some(_) => return Err(Refusal::Malformed),
    };
    let asked = |one: &&str| request.resource.is_none_or(|asked| asked == *one);
    let allowed = request.agent.resources.iter().map(String::as_str);
    let mut left = allowed.filter(asked).filter(|one| good.as_ref().is_none_or(|good| good.contains(one)));
    match (left.next(), left.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(Refusal::Target),
    }
}

impl Refusal {
    /// The name in the record.
    pub fn reason(self) -> &'static str {
        self.row().1
    }

    fn row(self) -> (Code, &'static str, &'static str, &'static str) {
        const NOTHING: &str = "the assertion gives this client no right to a token";
        match self {
            Self::Audience => {
                (Code::InvalidGrant, "token_audience", NOTHING, "`aud` is not our issuer identifier alone")
            }
            Self::Client => (Code::InvalidGrant, "assertion_client", NOTHING, "`client_id` is another client"),
            Self::Malformed => (
                Code::InvalidGrant,
                "token_malformed",
                NOTHING,
                "`sub`, `iat` or `jti` is missing, or `resource` is no list of resources",
            ),
            Self::Scope => (
                Code::InvalidScope,
                Code::InvalidScope.name(),
                "none of the scopes is allowed for this client and user",
                "assertion, entry and request have no scope in common",
            ),
            Self::Target => (
                Code::InvalidTarget,
                Code::InvalidTarget.name(),
                "no resource, or none this client may use",
                "assertion, entry and request do not have one resource in common",
            ),
            Self::Unbound => (
                Code::InvalidGrant,
                "sender_unbound",
                "the assertion is bound to a key that the request does not prove",
                "`cnf` names a key or a certificate that is not the sender's",
            ),
            Self::Unknown => (
                Code::InvalidGrant,
                "assertion_unknown",
                NOTHING,
                "it has `act`, `tenant`, `aud_tenant` or `authorization_details`, which are not supported",
            ),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let (code, _, public, internal) = refusal.row();
        Self::new(code, public).because(internal)
    }
}

#[cfg(test)]
mod tests;
