//! What a proved token says.
//!
//! What holds for good is read here once; what depends on the server and the moment is judged on every request.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::Refusal;
use super::chain::{self, Actor, Chain};
use super::confirmation::Confirmation;
use super::status::Listing;
use super::svid;
use crate::denial::Reason;
use crate::json;
use crate::policy::{Issuer, Profile, Server};
use crate::scope::Scopes;
use crate::time::Time;

/// The claims that matter, each of the right type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Who acts: the issuer's agent claim.
    pub agent: String,
    /// For whom: `sub`, the agent itself when the token has none.
    pub subject: String,
    /// Through whom: the `act` claims, current actor first.
    pub chain: Chain,
    /// Who may become the subject's actor.
    pub may_act: Option<Actor>,
    /// What was granted.
    pub scopes: Scopes,
    /// The token's own identifier.
    pub id: Option<String>,
    /// For whom it was issued.
    pub audiences: Vec<String>,
    /// What its sender has to hold.
    pub confirmation: Option<Confirmation>,
    /// Where its issuer says whether it is still good.
    pub listing: Option<Listing>,
    /// When it was issued: `iat`.
    pub issued: Option<Time>,
    /// When it begins: the later of `nbf` and `iat`.
    pub begins: Option<Time>,
    /// When it ends.
    pub expires: Time,
}

impl Claims {
    /// Reads the payload of a token of `issuer` whose signature holds.
    pub fn parse(payload: &[u8], issuer: &Issuer, now: Time) -> Result<Self, Refusal> {
        let claims = object(payload)?;
        let Lifetime { issued, begins, expires } = lifetime(&claims, issuer, now)?;
        let audiences = audiences(&claims)?;
        let granted = scopes(&claims, &issuer.scope_claim)?;
        let (agent, subject, scopes) = match &issuer.profile {
            Profile::AccessToken => {
                whole(&claims, issuer)?;
                let agent = optional(&claims, &issuer.agent_claim)?.ok_or(malformed("the agent claim is missing"))?;
                let subject = optional(&claims, "sub")?.unwrap_or_else(|| agent.clone());
                (agent, subject, granted)
            }
            Profile::JwtSvid { grants } => {
                let id = svid::identity(&claims, issuer)?;
                let scopes = svid::granted(grants, &id, granted);
                (id.clone(), id, scopes)
            }
        };
        Ok(Self {
            agent,
            subject,
            chain: Chain::read(&claims)?,
            may_act: chain::may_act(&claims)?,
            scopes,
            id: optional(&claims, "jti")?,
            audiences,
            confirmation: Confirmation::read(&claims)?,
            listing: issuer.status.as_ref().map(|_| Listing::read(&claims)).transpose()?.flatten(),
            issued,
            begins,
            expires,
        })
    }

    /// Whether the token is for `server`.
    pub fn addressed(&self, server: &Server) -> Result<(), Refusal> {
        // [RFC 7519 §4.1.3](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.3): case-sensitive, no normalising.
        match self.audiences.iter().any(|one| server.audiences.contains(one)) {
            true => Ok(()),
            false => refuse(Reason::TokenAudience, "`aud` does not name this server"),
        }
    }

    /// Judges the token at `now`.
    pub fn current(&self, issuer: &Issuer, now: Time) -> Result<(), Refusal> {
        // [RFC 7519 §4.1.4](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.4): "on or after" means refused.
        if now >= self.expires.plus(issuer.clock_skew) {
            return refuse(Reason::TokenExpired, "`exp` is past");
        }
        if self.begins.is_some_and(|begins| begins > now.plus(issuer.clock_skew)) {
            return refuse(Reason::TokenNotYetValid, "`nbf` or `iat` is in the future");
        }
        Ok(())
    }
}

/// What of an unproved payload says whose token it is, for choosing the issuer whose keys decide.
///
/// [RFC 8725 §3.8](https://www.rfc-editor.org/rfc/rfc8725#section-3.8): the key has to belong to the issuer. Nothing else
/// is read before the signature holds.
#[derive(Debug, Default)]
pub struct Origin {
    /// `iss`.
    pub issuer: Option<String>,
    /// `sub`, which names the trust domain of a JWT-SVID.
    pub subject: Option<String>,
}

impl Origin {
    /// Reads both names. A value of another kind names nobody; the claims are refused for it once they are read.
    pub fn read(payload: &[u8]) -> Result<Self, Refusal> {
        let broken = |_| malformed("the claims are not one strict JSON object");
        let text = json::text(payload).map_err(broken)?;
        let members = json::members(text).map_err(broken)?;
        let name = |name: &str| {
            let member = members.iter().find(|(other, _)| other == name).map(|(_, raw)| raw.get());
            let text = member.filter(|raw| raw.starts_with('"')).map(json::string).transpose().map_err(broken)?;
            Ok(text.map(Cow::into_owned))
        };
        Ok(Self { issuer: name("iss")?, subject: name("sub")? })
    }
}

/// One strict object, as tokens of every kind have for a payload.
pub(super) fn object(payload: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let text = json::text(payload).map_err(|_| malformed("the claims are not UTF-8"))?;
    match json::value(text) {
        Ok(Value::Object(claims)) => Ok(claims),
        _ => Err(malformed("the claims are not one strict JSON object")),
    }
}

/// The claims an access token of RFC 9068 has to have besides those that are checked anyway.
///
/// [RFC 9068 §2.2](https://www.rfc-editor.org/rfc/rfc9068#section-2.2)
fn whole(claims: &Map<String, Value>, issuer: &Issuer) -> Result<(), Refusal> {
    let complete = ["sub", "jti", "iat", "client_id"].iter().all(|name| claims.contains_key(*name));
    match complete || !issuer.typ.is_access_token() {
        true => Ok(()),
        false => Err(malformed("`sub`, `jti`, `iat` or `client_id` is missing, which an `at+jwt` has")),
    }
}

/// [RFC 7519 §4.1.3](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.3): a string or a list of strings.
fn audiences(claims: &Map<String, Value>) -> Result<Vec<String>, Refusal> {
    let list = match claims.get("aud") {
        Some(Value::Array(list)) => list.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    let read: Option<Vec<_>> = list.iter().map(|one| one.as_str().map(str::to_owned)).collect();
    read.ok_or(Refusal::new(Reason::TokenAudience, "`aud` is no string or list of strings"))
}

struct Lifetime {
    issued: Option<Time>,
    begins: Option<Time>,
    expires: Time,
}

/// Reads `exp`, `nbf` and `iat`, and bounds the time between them.
fn lifetime(claims: &Map<String, Value>, issuer: &Issuer, now: Time) -> Result<Lifetime, Refusal> {
    let Some(expires) = date(claims, "exp")? else {
        return Err(malformed("`exp` is missing"));
    };
    let issued = date(claims, "iat")?;
    // Without `iat` the rest of the lifetime has to fit: no token may outlive the bound from now.
    if expires.since(issued.unwrap_or(now)) > issuer.max_token_lifetime {
        return refuse(Reason::TokenLifetime, "the lifetime is longer than `max_token_lifetime`");
    }
    Ok(Lifetime { issued, begins: date(claims, "nbf")?.max(issued), expires })
}

/// A NumericDate; fractions are cut off, moments before 1970 refused.
///
/// [RFC 7519 §2](https://www.rfc-editor.org/rfc/rfc7519#section-2)
pub fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<Time>, Refusal> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let whole = value.as_u64().or_else(|| fraction(value.as_f64()?));
    let seconds = whole.ok_or(malformed("a time is no positive number"))?;
    Ok(Some(Time::from_seconds(seconds)))
}

fn fraction(number: f64) -> Option<u64> {
    // Beyond 2^53 a float no longer names a second; no honest token reaches it.
    let sane = (0.0..9_007_199_254_740_992.0).contains(&number);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was just checked")]
    sane.then_some(number as u64)
}

fn scopes(claims: &Map<String, Value>, name: &str) -> Result<Scopes, Refusal> {
    let read = match claims.get(name) {
        None => Some(Scopes::default()),
        Some(Value::String(text)) => Scopes::parse(text),
        Some(Value::Array(list)) => {
            let word = |one: &Value| crate::scope::Scope::parse(one.as_str()?);
            list.iter().map(word).collect()
        }
        Some(_) => None,
    };
    read.ok_or(malformed("the scope claim is no list of scopes"))
}

pub(super) fn optional(claims: &Map<String, Value>, name: &str) -> Result<Option<String>, Refusal> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if named(text) => Ok(Some(text.clone())),
        Some(_) => Err(malformed("a claim is no plain string")),
    }
}

/// A name fit for records: 1 to 512 bytes, no control characters.
pub fn named(text: &str) -> bool {
    (1..=512).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn refuse<T>(reason: Reason, note: &'static str) -> Result<T, Refusal> {
    Err(Refusal::new(reason, note))
}

pub(super) fn malformed(note: &'static str) -> Refusal {
    Refusal::new(Reason::TokenMalformed, note)
}
