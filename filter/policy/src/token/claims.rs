//! What a proved token says, and whether it says it here and now.

use serde_json::{Map, Value};

use super::Refusal;
use crate::denial::Reason;
use crate::json;
use crate::policy::{Issuer, Server};
use crate::scope::Scopes;
use crate::time::Time;

/// The deepest chain of actors that is read.
pub const CHAIN: usize = 16;

/// The claims that matter, each of the right type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Who acts: the issuer's agent claim.
    pub agent: String,
    /// For whom: `sub`, the agent itself when the token has none.
    pub subject: String,
    /// Through whom: the `act` claims, current actor first.
    pub chain: Vec<String>,
    /// What was granted.
    pub scopes: Scopes,
    /// The token's own identifier.
    pub id: Option<String>,
    /// When it ends.
    pub expires: Time,
}

impl Claims {
    /// Reads the payload of a token whose signature holds, and judges it for `server` at `now`.
    pub fn parse(payload: &[u8], issuer: &Issuer, server: &Server, now: Time) -> Result<Self, Refusal> {
        let claims = object(payload)?;
        // [RFC 7519 §4.1.1](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.1): case-sensitive, no normalising.
        if claims.get("iss").and_then(Value::as_str) != Some(issuer.identifier.as_str()) {
            return refuse(Reason::TokenIssuer, "`iss` is not the issuer's");
        }
        audience(&claims, server)?;
        let expires = lifetime(&claims, issuer, now)?;
        let agent = required(&claims, &issuer.agent_claim)?;
        let subject = optional(&claims, "sub")?.unwrap_or_else(|| agent.clone());
        let chain = chain(&claims)?;
        let scopes = scopes(&claims, &issuer.scope_claim)?;
        Ok(Self { agent, subject, chain, scopes, id: optional(&claims, "jti")?, expires })
    }
}

/// The unproved `iss` of a payload, for choosing the issuer whose keys decide.
///
/// [RFC 8725 §3.8](https://www.rfc-editor.org/rfc/rfc8725#section-3.8): the key has to belong to the issuer.
pub fn issuer(payload: &[u8]) -> Result<String, Refusal> {
    match object(payload)?.remove("iss") {
        Some(Value::String(issuer)) => Ok(issuer),
        _ => refuse(Reason::TokenIssuer, "`iss` is missing or no string"),
    }
}

fn object(payload: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let text = json::text(payload).map_err(|_| malformed("the claims are not UTF-8"))?;
    match json::value(text) {
        Ok(Value::Object(claims)) => Ok(claims),
        _ => Err(malformed("the claims are not one strict JSON object")),
    }
}

/// [RFC 7519 §4.1.3](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.3): a string or a list of strings.
fn audience(claims: &Map<String, Value>, server: &Server) -> Result<(), Refusal> {
    let wanted = |one: &Value| one.as_str().is_some_and(|one| server.audiences.iter().any(|ours| ours == one));
    let meant = match claims.get("aud") {
        Some(Value::Array(list)) => list.iter().all(Value::is_string) && list.iter().any(wanted),
        Some(one) => wanted(one),
        None => false,
    };
    if meant { Ok(()) } else { refuse(Reason::TokenAudience, "`aud` does not name this server") }
}

/// Checks `exp`, `nbf` and `iat`, and returns `exp`.
fn lifetime(claims: &Map<String, Value>, issuer: &Issuer, now: Time) -> Result<Time, Refusal> {
    let Some(expires) = date(claims, "exp")? else {
        return Err(malformed("`exp` is missing"));
    };
    // [RFC 7519 §4.1.4](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.4): "on or after" means refused.
    if now >= expires.plus(issuer.clock_skew) {
        return refuse(Reason::TokenExpired, "`exp` is past");
    }
    let latest = now.plus(issuer.clock_skew);
    let issued = date(claims, "iat")?;
    if [date(claims, "nbf")?, issued].into_iter().flatten().any(|start| start > latest) {
        return refuse(Reason::TokenNotYetValid, "`nbf` or `iat` is in the future");
    }
    // Without `iat` the rest of the lifetime has to fit: no token may outlive the bound from now.
    if expires.since(issued.unwrap_or(now)) > issuer.max_token_lifetime {
        return refuse(Reason::TokenLifetime, "the lifetime is longer than `max_token_lifetime`");
    }
    Ok(expires)
}

/// A NumericDate; fractions are cut off, moments before 1970 refused.
///
/// [RFC 7519 §2](https://www.rfc-editor.org/rfc/rfc7519#section-2)
fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<Time>, Refusal> {
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

/// The actors, current one first.
///
/// [RFC 8693 §4.1](https://www.rfc-editor.org/rfc/rfc8693#section-4.1): each `act` is an object that names one
/// actor and may hold the `act` before it. `exp`, `nbf` and `aud` in it have no meaning.
fn chain(claims: &Map<String, Value>) -> Result<Vec<String>, Refusal> {
    let broken = || Refusal::new(Reason::ChainMalformed, "`act` is not a chain of named actors");
    let mut chain = Vec::new();
    let mut next = claims.get("act");
    while let Some(link) = next {
        let link = link.as_object().ok_or_else(broken)?;
        let actor = link.get("sub").and_then(Value::as_str).filter(|actor| named(actor));
        chain.push(actor.ok_or_else(broken)?.to_owned());
        if chain.len() > CHAIN {
            return refuse(Reason::ChainTooDeep, "`act` is nested deeper than 16 actors");
        }
        next = link.get("act");
    }
    Ok(chain)
}

fn required(claims: &Map<String, Value>, name: &str) -> Result<String, Refusal> {
    optional(claims, name)?.ok_or(malformed("the agent claim is missing"))
}

fn optional(claims: &Map<String, Value>, name: &str) -> Result<Option<String>, Refusal> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if named(text) => Ok(Some(text.clone())),
        Some(_) => Err(malformed("a claim is no plain string")),
    }
}

/// A name fit for records: 1 to 512 bytes, no control characters.
fn named(text: &str) -> bool {
    (1..=512).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn refuse<T>(reason: Reason, note: &'static str) -> Result<T, Refusal> {
    Err(Refusal::new(reason, note))
}

fn malformed(note: &'static str) -> Refusal {
    Refusal::new(Reason::TokenMalformed, note)
}
