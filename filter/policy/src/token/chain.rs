//! Who handed a task on to whom: the chain of actors in a token, and what a server makes of it.

use serde_json::{Map, Value};

use super::Refusal;
use crate::denial::{By, Denial, Reason};
use crate::pattern::Pattern;

/// The deepest chain that is read.
pub const DEPTH: usize = 16;

/// One actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Its name: `sub`.
    pub subject: String,
    /// Who names it: `iss`, where the chain says; the token's issuer where it does not.
    pub issuer: Option<String>,
}

/// The actors of a token, the current one first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain(Vec<Actor>);

impl Chain {
    /// Reads the claim `act`.
    ///
    /// [RFC 8693 §4.1](https://www.rfc-editor.org/rfc/rfc8693#section-4.1): each `act` is an object that names one
    /// actor and may hold the `act` before it. `exp`, `nbf` and `aud` in it have no meaning.
    pub fn read(claims: &Map<String, Value>) -> Result<Self, Refusal> {
        let mut actors = Vec::new();
        let mut next = claims.get("act");
        while let Some(link) = next {
            if actors.len() == DEPTH {
                return Err(Refusal::new(Reason::ChainTooDeep, "`act` is nested deeper than 16 actors"));
            }
            let broken = || Refusal::new(Reason::ChainMalformed, "`act` is not a chain of named actors");
            let link = link.as_object().ok_or_else(broken)?;
            actors.push(Actor::read(link).ok_or_else(broken)?);
            next = link.get("act");
        }
        Ok(Self(actors))
    }

    /// The actors, the current one first.
    pub fn actors(&self) -> &[Actor] {
        &self.0
    }

    /// Their names, the current one first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|actor| actor.subject.as_str())
    }
}

/// A chain that is to be written, not one that was read.
impl FromIterator<Actor> for Chain {
    fn from_iter<I: IntoIterator<Item = Actor>>(actors: I) -> Self {
        Self(actors.into_iter().collect())
    }
}

impl Actor {
    fn read(link: &Map<String, Value>) -> Option<Self> {
        let name = |name| match link.get(name) {
            None => Some(None),
            Some(Value::String(text)) if super::claims::named(text) => Some(Some(text.clone())),
            Some(_) => None,
        };
        Some(Self { subject: name("sub")??, issuer: name("iss")? })
    }
}

/// Reads the claim `may_act`: the one party that may become the subject's actor.
///
/// [RFC 8693 §4.4](https://www.rfc-editor.org/rfc/rfc8693#section-4.4): an object that names a party, as `act` does. It
/// gives the bearer nothing here; a broken one says that the issuer does not know what it delegates.
pub fn may_act(claims: &Map<String, Value>) -> Result<Option<Actor>, Refusal> {
    let Some(value) = claims.get("may_act") else {
        return Ok(None);
    };
    let party = value.as_object().and_then(Actor::read);
    party.map(Some).ok_or(Refusal::new(Reason::ChainMalformed, "`may_act` does not name a party"))
}

/// Which chains a server accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// How many actors there may be.
    pub max_depth: usize,
    /// Whom each of them has to be among; everyone when there is no list.
    pub actors: Option<Vec<Pattern>>,
}

impl Default for Delegation {
    fn default() -> Self {
        Self { max_depth: DEPTH, actors: None }
    }
}

impl Delegation {
    /// Judges the chain of a token of `issuer`: its depth, each actor, and that none acts twice.
    ///
    /// A name is only as good as who gives it: one of another issuer is not the one the list means.
    pub fn judge(&self, chain: &Chain, issuer: &str) -> Result<(), Denial> {
        if chain.actors().len() > self.max_depth {
            let note = format!("the chain has more than {} actors", self.max_depth);
            return Err(Denial::new(Reason::ChainTooDeep, note).by("delegation.max_depth"));
        }
        let meant = |actor: &Actor, list: &[Pattern]| {
            let own = actor.issuer.as_ref().is_none_or(|named| named == issuer);
            own && list.iter().any(|one| one.matches(&actor.subject))
        };
        let allowed = |actor: &Actor| self.actors.as_ref().is_none_or(|list| meant(actor, list));
        if let Some((hop, actor)) = (1_usize..).zip(chain.actors()).find(|(_, actor)| !allowed(actor)) {
            let note = format!("actor {hop} of the chain is not among `delegation.actors`");
            let by = By { rule: "delegation.actors".into(), actor: Some(actor.subject.clone()) };
            return Err(Denial { by: Some(Box::new(by)), ..Denial::new(Reason::ChainActor, note) });
        }
        let again = |(hop, name): (usize, &str)| chain.names().take(hop).any(|before| before == name);
        match chain.names().enumerate().any(again) {
            true => Err(Denial::new(Reason::ChainLoop, "an actor stands twice in the chain")),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(claims: Value) -> Result<Chain, Reason> {
        Chain::read(claims.as_object().unwrap()).map_err(|refusal| refusal.reason)
    }

    fn chain(names: &[&str]) -> Chain {
        Chain(names.iter().map(|name| Actor { subject: (*name).to_owned(), issuer: None }).collect())
    }

    #[test]
    fn is_read_from_the_current_actor_inwards() {
        let claims = json!({ "act": { "sub": "b", "iss": "https://idp", "exp": 1, "aud": 7, "act": { "sub": "a" } } });
        let chain = read(claims).unwrap();
        assert_eq!(chain.names().collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(chain.actors()[0].issuer.as_deref(), Some("https://idp"));
        assert_eq!(read(json!({})).unwrap(), Chain::default());
    }

    #[test]
    fn truncated_and_malformed_chains_are_refused() {
        for act in [
            json!(null),
            json!("b"),
            json!([]),
            json!({}),
            json!({ "sub": "" }),
            json!({ "sub": 1 }),
            json!({ "sub": "b\n" }),
            json!({ "iss": "https://idp" }),
            json!({ "sub": "b", "iss": 1 }),
            json!({ "sub": "b", "act": null }),
            json!({ "sub": "b", "act": {} }),
            json!({ "sub": "b", "act": { "act": { "sub": "a" } } }),
        ] {
            assert_eq!(read(json!({ "act": act })).unwrap_err(), Reason::ChainMalformed, "{act}");
        }
        let nested = |depth| (1..depth).fold(json!({ "sub": "0" }), |act, _| json!({ "sub": "x", "act": act }));
        assert_eq!(read(json!({ "act": nested(16) })).unwrap().actors().len(), 16);
        assert_eq!(read(json!({ "act": nested(17) })).unwrap_err(), Reason::ChainTooDeep);
    }

    #[test]
    fn may_act_names_a_party_or_nothing() {
        let read = |value: Value| may_act(value.as_object().unwrap()).map_err(|refusal| refusal.reason);
        assert_eq!(read(json!({})), Ok(None));
        assert_eq!(read(json!({ "may_act": { "sub": "b" } })).unwrap().unwrap().subject, "b");
        for value in [json!(null), json!("b"), json!({}), json!({ "sub": ["b"] })] {
            assert_eq!(read(json!({ "may_act": value })), Err(Reason::ChainMalformed), "{value}");
        }
    }

    #[test]
    fn a_server_bounds_depth_and_actors_and_knows_no_loops() {
        let actors = Some(vec![Pattern::parse("planner-*").unwrap(), Pattern::parse("worker").unwrap()]);
        let delegation = Delegation { max_depth: 3, actors };
        let verdict = |names: &[&str]| delegation.judge(&chain(names), "https://idp").err().map(|denial| denial.reason);
        assert_eq!(verdict(&[]), None);
        assert_eq!(verdict(&["worker", "planner-1", "planner-2"]), None);
        assert_eq!(verdict(&["worker", "planner-1", "planner-2", "planner-3"]), Some(Reason::ChainTooDeep));
        assert_eq!(verdict(&["worker", "stranger"]), Some(Reason::ChainActor));
        assert_eq!(verdict(&["stranger", "worker"]), Some(Reason::ChainActor));
        assert_eq!(verdict(&["planner-1", "worker", "planner-1"]), Some(Reason::ChainLoop));
        let named = |issuer: &str| {
            let actor = Actor { subject: "planner-1".into(), issuer: Some(issuer.into()) };
            delegation.judge(&Chain(vec![actor]), "https://idp").err().map(|denial| denial.reason)
        };
        assert_eq!((named("https://idp"), named("https://other")), (None, Some(Reason::ChainActor)));
        let none = Delegation { max_depth: 0, actors: None };
        assert_eq!(none.judge(&chain(&["worker"]), "").unwrap_err().reason, Reason::ChainTooDeep);
        assert!(Delegation::default().judge(&chain(&["a", "b"]), "").is_ok());
    }
}
