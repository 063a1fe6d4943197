//! A Security Event Token whose signature holds: is it meant for us, and what does it ask for? No I/O.
//!
//! [RFC 8417 §2.2](https://www.rfc-editor.org/rfc/rfc8417#section-2.2),
//! [SSF 1.0 §4.1](https://openid.net/specs/openid-sharedsignals-framework-1_0-final.html#section-4.1)

use std::time::Duration;

use accredit_policy::Time;
use accredit_policy::revocation::{Revocation, Target};
use accredit_policy::token::claims::{date, named};
use serde_json::{Map, Value};

use super::event::{Demand, demand};
use super::refusal::Refusal;
use super::subject::{Voice, target};

/// The longest `jti`, in bytes.
const JTI: usize = 256;

/// The most events of one token.
const EVENTS: usize = 16;

/// How much longer than the last token it hits a revocation is kept: no clock is further behind.
const MARGIN: Duration = Duration::from_secs(3600);

/// What an event has to say, and may.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Its `iss`.
    pub issuer: &'a str,
    /// Among its `aud`.
    pub audience: &'a str,
    /// What it may speak of.
    pub voice: &'a Voice,
    /// How old it may be.
    pub max_age: Duration,
    /// How far clocks may be apart.
    pub skew: Duration,
}

/// A token in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Set {
    /// Its `jti`.
    pub id: String,
    /// Until when it could come again.
    pub until: Time,
    /// Its events.
    pub events: Vec<Event>,
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its type.
    pub kind: String,
    /// What comes of it.
    pub effect: Effect,
}

/// What comes of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Nothing, and why.
    Ignored(&'static str),
    /// This is revoked.
    Revoked(Revocation),
    /// The transmitter learns that its events arrive.
    Verified(Option<String>),
}

/// Judges what a transmitter has said, all of it or nothing: everything but whether it came before.
pub fn read(said: &Map<String, Value>, expected: &Expected<'_>, now: Time) -> Result<Set, Refusal> {
    if said.get("iss").and_then(Value::as_str) != Some(expected.issuer) {
        return Err(Refusal::Issuer);
    }
    if !addressed(said.get("aud"), expected.audience) {
        return Err(Refusal::Audience);
    }
    // SSF 1.0 §4.1.3: whatever has these is meant to be another kind of token.
    if ["sub", "exp"].iter().any(|name| said.contains_key(*name)) {
        return Err(Refusal::Malformed("`sub` or `exp` stands in the token"));
    }
    let id = said.get("jti").and_then(Value::as_str).filter(|id| named(id) && id.len() <= JTI);
    let id = id.ok_or(Refusal::Malformed("`jti` is missing, empty or too long"))?;
    let issued = date(said, "iat")?.ok_or(Refusal::Malformed("`iat` is missing"))?;
    if issued > now.plus(expected.skew) {
        return Err(Refusal::Ahead);
    }
    // From then on the check below refuses it.
    let until = issued.plus(expected.max_age).plus(expected.skew);
    if now > until {
        return Err(Refusal::Stale);
    }
    Ok(Set {
        id: id.to_owned(),
        until,
        events: events(said, date(said, "toe")?.unwrap_or(issued), expected.voice, now)?,
    })
}

/// [RFC 7519 §4.1.3](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.3); a token can be for several receivers that are
/// told the same.
fn addressed(value: Option<&Value>, audience: &str) -> bool {
    match value {
        Some(Value::Array(list)) => list.iter().any(|one| one.as_str() == Some(audience)),
        one => one.and_then(Value::as_str) == Some(audience),
    }
}

/// The events of a token that tells of the moment `told`.
fn events(said: &Map<String, Value>, told: Time, voice: &Voice, now: Time) -> Result<Vec<Event>, Refusal> {
    let events = said.get("events").and_then(Value::as_object);
    let events = events.filter(|events| (1..=EVENTS).contains(&events.len()));
    let events = events.ok_or(Refusal::Malformed("`events` is no object with one to sixteen events"))?;
    let read = events.iter().map(|(kind, event)| {
        let event = event.as_object().filter(|_| named(kind));
        let event = event.ok_or(Refusal::Malformed("an event is no object, or its type no name"))?;
        let effect = match demand(kind, event)? {
            Demand::Nothing => Effect::Ignored("it takes nothing back"),
            Demand::Revoke => {
                // CAEP 1.0 §2: when it happened, which can be before it was told.
                let happened = date(event, "event_timestamp")?.unwrap_or(told);
                revoked(said.get("sub_id"), happened, voice, now)?
            }
            Demand::Unknown => Effect::Ignored("its type is not known"),
            Demand::Verify(state) => Effect::Verified(state),
        };
        Ok(Event { kind: kind.clone(), effect })
    });
    read.collect()
}

fn revoked(subject: Option<&Value>, happened: Time, voice: &Voice, now: Time) -> Result<Effect, Refusal> {
    let subject = subject.ok_or(Refusal::Malformed("`sub_id` is missing"))?;
    let Some((target, authority)) = target(subject, voice)? else {
        return Ok(Effect::Ignored("no token tells whom it is about"));
    };
    let before = match target {
        Target::Token { .. } => None,
        // Tokens say in whole seconds when they were issued: what was issued within this one is hit, too. What is still to
        // come is not: it is the issuer's to decide whether there will be tokens.
        _ => Some(happened.min(now).seconds().saturating_add(1)),
    };
    let until = authority.lifetime.map(|lifetime| now.plus(lifetime).plus(MARGIN).seconds());
    Ok(Effect::Revoked(Revocation { target, before, until }))
}

#[cfg(test)]
mod tests;
