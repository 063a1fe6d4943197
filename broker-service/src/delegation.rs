//! Delegation between agents: what one may do with a task another has handed on. No I/O: proved tokens and the registry's
//! entries are arguments, the claims of the next token come out.
//!
//! ```text
//! subject token ─ whose task, what of it, who holds it ─┐
//! actor token ─── the agent that takes it over ─────────┼─▶ the same subject, less of everything, one actor more
//! registry ────── what that agent may do at all ────────┘
//! ```
//!
//! - The chain names every agent that has held the task, the current one first. The holder of the subject token is put in
//!   where the token does not name it itself: who revokes that agent hits what it has handed on.
//! - Scopes are those that everybody has: the task, the agent's own token, its entry, and the request.
//! - A name of another issuer keeps that issuer, and a task that went through one goes only where that issuer is accepted:
//!   our signature makes nothing of a stranger's word.
//!
//! [RFC 8693](https://www.rfc-editor.org/rfc/rfc8693)

mod refusal;

use std::collections::BTreeMap;
use std::time::Duration;

use accredit_policy::Time;
use accredit_policy::pattern::Pattern;
use accredit_policy::scope::Scopes;
use accredit_policy::token::chain::{Actor, Chain};
use accredit_policy::token::claims::Claims;
use serde_json::Value;

pub use refusal::Refusal;

use crate::bond::Bond;

/// One exchange that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What the agent has received.
    pub subject: Held<'a>,
    /// Its own token.
    pub actor: Held<'a>,
    /// Its entry.
    pub agent: Agent<'a>,
    /// The scopes it asks for; all it can get when it names none.
    pub scopes: Option<&'a Scopes>,
    /// The one resource it asks for.
    pub resource: &'a str,
    /// The keys the request proves.
    pub proven: Bond,
}

/// A proved token.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// Its `iss`.
    pub issuer: &'a str,
    /// What it says.
    pub claims: &'a Claims,
    /// Its `may_act`, with all members.
    pub may_act: Option<&'a Value>,
}

/// An agent that asks, which has proved to be that agent, and what the registry allows it.
#[derive(Clone, Copy, Debug)]
pub struct Agent<'a> {
    /// Its client identifier.
    pub id: &'a str,
    /// All scopes it may have.
    pub scopes: &'a Scopes,
    /// The resources it may ask for.
    pub resources: &'a [String],
    /// The addresses at which it is called itself, as a resource.
    pub accepts: &'a [String],
    /// How long its tokens live.
    pub lifetime: Duration,
}

/// What holds for all exchanges.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Our `iss`.
    pub issuer: &'a str,
    /// The issuers, by `iss`, that the resource accepts.
    pub accepted: &'a [&'a str],
    /// The entries of the agents of [`Held::agents`], as far as there are any.
    pub registry: &'a BTreeMap<String, Entry>,
    /// The most actors a chain may have.
    pub max_depth: usize,
}

/// What the registry says of an agent a task came through.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Whether it may do anything at all.
    pub standing: Standing,
    /// Whom it may hand tasks on to.
    pub may_delegate_to: Vec<Pattern>,
}

/// Whether an agent may do anything at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Active,
    /// It is suspended or retired.
    Barred,
}

/// The claims of the token to issue.
#[derive(Clone, Debug, PartialEq)]
pub struct Delegated {
    /// Whose task it is: `sub`, as it came.
    pub subject: String,
    /// Who acts now: `client_id`.
    pub agent: String,
    /// Through whom: `act`, the agent first.
    pub chain: Chain,
    /// What it may do.
    pub scopes: Scopes,
    /// Where: `aud`.
    pub audience: String,
    /// Until when.
    pub expires: Time,
    /// Who may take the task over; whom the subject's issuer has chosen stays the only choice.
    pub may_act: Option<Value>,
}

/// Judges an exchange.
pub fn delegate(request: &Request<'_>, terms: &Terms<'_>, now: Time) -> Result<Delegated, Refusal> {
    let Request { subject, actor, agent, resource, proven, .. } = *request;
    own(&actor, agent.id, terms)?;
    if ![subject, actor].iter().all(|held| proven.covers(held.claims.confirmation.as_ref())) {
        return Err(Refusal::Unbound);
    }
    if !agent.resources.iter().any(|allowed| allowed == resource) {
        return Err(Refusal::Target);
    }
    addressed(request, terms)?;
    // A subject of another issuer with the name of an agent of ours would pass for that agent from now on.
    if subject.issuer != terms.issuer && terms.registry.contains_key(&subject.claims.subject) {
        return Err(Refusal::Impostor);
    }
    let before = subject.chain(terms.issuer)?;
    may_take_over(&subject, &before, agent.id, terms)?;
    let chain: Vec<_> = [Actor { subject: agent.id.to_owned(), issuer: None }].into_iter().chain(before).collect();
    sound(&chain, &subject.claims.subject, terms)?;
    Ok(Delegated {
        subject: subject.claims.subject.clone(),
        agent: agent.id.to_owned(),
        chain: chain.into_iter().collect(),
        scopes: scopes(request)?,
        audience: resource.to_owned(),
        expires: expires(request, now)?,
        may_act: subject.may_act.cloned(),
    })
}

impl Held<'_> {
    /// Our agents whose entries decide: those of the chain, the holder, and the subject, which can be one.
    pub fn agents(&self, issuer: &str) -> Vec<&str> {
        let ours = |named: &Option<String>| named.as_deref().unwrap_or(self.issuer) == issuer;
        let actors = self.claims.chain.actors().iter().filter(|actor| ours(&actor.issuer));
        let actors = actors.map(|actor| actor.subject.as_str());
        actors.chain([self.claims.agent.as_str(), self.claims.subject.as_str()]).collect()
    }

    /// Everyone the task has come through, its holder first; a name without issuer is one of `ours`.
    fn chain(&self, ours: &str) -> Result<Vec<Actor>, Refusal> {
        let own = self.issuer == ours;
        let issuer = |named: Option<&str>| match named.unwrap_or(self.issuer) {
            // Only we say which of our agents have acted.
            name if name == ours => own.then_some(None).ok_or(Refusal::Impostor),
            name => Ok(Some(name.to_owned())),
        };
        let read =
            |actor: &Actor| Ok(Actor { subject: actor.subject.clone(), issuer: issuer(actor.issuer.as_deref())? });
        let mut chain: Vec<_> = self.claims.chain.actors().iter().map(read).collect::<Result<_, _>>()?;
        let holder = Actor { subject: self.claims.agent.clone(), issuer: issuer(None)? };
        if chain.first() != Some(&holder) {
            chain.insert(0, holder);
        }
        Ok(chain)
    }
}

/// The actor token has to be the one we gave this very agent for itself, or it would name an actor of its choice.
fn own(actor: &Held<'_>, id: &str, terms: &Terms<'_>) -> Result<(), Refusal> {
    let Claims { agent, subject, chain, .. } = actor.claims;
    match actor.issuer == terms.issuer && agent == id && subject == id && chain.actors().is_empty() {
        true => Ok(()),
        false => Err(Refusal::ActorToken),
    }
}

/// Whether the tokens are for the one who brings them, and their issuers accepted where the new one is used.
///
/// A subject token is for us, who exchange it; or for the resource at which it could be used as it is; or for one of the
/// addresses at which the agent itself is called. A token for anyone else was not given to this agent. The agent's own
/// token is for us or for the resource.
fn addressed(request: &Request<'_>, terms: &Terms<'_>) -> Result<(), Refusal> {
    let Request { subject, actor, agent, resource, .. } = request;
    let own = |audience: &String| audience == terms.issuer || audience == resource;
    let sent = |audience: &String| own(audience) || agent.accepts.contains(audience);
    match subject.claims.audiences.iter().any(sent) && actor.claims.audiences.iter().any(own) {
        true if terms.accepted.contains(&subject.issuer) => Ok(()),
        true => Err(Refusal::Issuer),
        false => Err(Refusal::Audience),
    }
}

/// Whether the holder lets this agent take over, and nobody who has come before has forbidden it.
///
/// [RFC 8693 §4.4](https://www.rfc-editor.org/rfc/rfc8693#section-4.4): `may_act` names the one party that may.
fn may_take_over(subject: &Held<'_>, chain: &[Actor], id: &str, terms: &Terms<'_>) -> Result<(), Refusal> {
    if !subject.may_act.is_none_or(|party| means(party, id, terms.issuer)) {
        return Err(Refusal::MayAct);
    }
    let Some(holder) = chain.first() else {
        return Err(Refusal::HandsOn);
    };
    let lets = match &holder.issuer {
        None => terms.registry.get(&holder.subject).is_some_and(|entry| {
            entry.standing == Standing::Active && entry.may_delegate_to.iter().any(|one| one.matches(id))
        }),
        // An agent of another issuer has no entry here. Its issuer can let ours take over, if it says whose it means.
        Some(_) => subject.may_act.is_some_and(|party| party.get("iss").is_some()),
    };
    if lets { Ok(()) } else { Err(Refusal::HandsOn) }
}

/// Whether `party` is our agent `id`: every member has to fit, and one that cannot be compared does not.
fn means(party: &Value, id: &str, issuer: &str) -> bool {
    let fits = |(name, value): (&String, &Value)| match name.as_str() {
        "sub" | "client_id" => value == id,
        "iss" => value == issuer,
        _ => false,
    };
    party.as_object().is_some_and(|party| party.contains_key("sub") && party.iter().all(fits))
}

/// Judges the chain of the token to issue.
fn sound(chain: &[Actor], subject: &str, terms: &Terms<'_>) -> Result<(), Refusal> {
    if chain.len() > terms.max_depth {
        return Err(Refusal::Depth);
    }
    // By name alone, as servers judge chains: what they would refuse is not issued.
    let again = |(hop, actor): (usize, &Actor)| chain.iter().take(hop).any(|other| other.subject == actor.subject);
    if chain.iter().enumerate().any(again) || chain.first().is_some_and(|actor| actor.subject == subject) {
        return Err(Refusal::Loop);
    }
    let foreign = chain.iter().filter_map(|actor| actor.issuer.as_deref());
    if !foreign.into_iter().all(|issuer| terms.accepted.contains(&issuer)) {
        return Err(Refusal::Issuer);
    }
    // The first is the agent itself, which has just proved that it may ask.
    let earlier = chain.iter().skip(1).filter(|actor| actor.issuer.is_none());
    let active = |entry: &Entry| entry.standing == Standing::Active;
    let known = earlier.map(|actor| terms.registry.get(&actor.subject)).all(|entry| entry.is_some_and(active));
    match known && terms.registry.get(subject).is_none_or(active) {
        true => Ok(()),
        false => Err(Refusal::Barred),
    }
}

fn scopes(request: &Request<'_>) -> Result<Scopes, Refusal> {
    let Request { subject, actor, agent, scopes, .. } = request;
    let most = subject.claims.scopes.intersect(&actor.claims.scopes).intersect(agent.scopes);
    let scopes = scopes.map_or(most.clone(), |asked| most.intersect(asked));
    match scopes.is_empty() {
        true => Err(Refusal::Scope),
        false => Ok(scopes),
    }
}

/// The earliest of all ends, in whole seconds as tokens have them.
fn expires(request: &Request<'_>, now: Time) -> Result<Time, Refusal> {
    let Request { subject, actor, agent, .. } = request;
    let end = subject.claims.expires.min(actor.claims.expires).min(now.plus(agent.lifetime));
    // A token past its end can be accepted for as long as clocks may be apart; nothing is left of it to hand on.
    match end.seconds() > now.seconds() {
        true => Ok(Time::from_seconds(end.seconds())),
        false => Err(Refusal::Over),
    }
}

#[cfg(test)]
mod tests;
