//! What was taken back before its time, and which tokens and calls that hits.
//!
//! Broker and filter judge with this same code, the filter by what the broker's feed has told it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Time;
use crate::token::Verified;

/// What can be revoked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Target {
    /// An agent as an actor: every token it has handed on.
    Actor {
        /// Who names it.
        issuer: String,
        /// Its name.
        id: String,
    },
    /// An agent: its own tokens, and every token in whose chain it stands.
    Agent {
        /// Who names it.
        issuer: String,
        /// Its name.
        id: String,
    },
    /// An agent as far as it acts for one subject, itself or by those it has handed something to.
    AgentFor {
        /// Who names both.
        issuer: String,
        /// The agent's name.
        id: String,
        /// The subject's.
        subject: String,
    },
    /// All tokens of an issuer, and those in whose chain it names somebody.
    Issuer {
        /// Its `iss`.
        issuer: String,
    },
    /// All tokens signed with one key.
    Key {
        /// Whose key.
        issuer: String,
        /// Its `kid`.
        id: String,
    },
    /// All calls of a server.
    Server {
        /// Its name in the policy.
        server: String,
    },
    /// All tokens for one subject, whoever acts.
    Subject {
        /// Who names it.
        issuer: String,
        /// Its `sub`.
        subject: String,
    },
    /// One token.
    Token {
        /// Its `iss`.
        issuer: String,
        /// Its `jti`.
        id: String,
    },
    /// All calls of one tool.
    Tool {
        /// The server's name in the policy.
        server: String,
        /// The tool's.
        tool: String,
    },
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Actor { issuer, id } => write!(formatter, "actor {id} of {issuer}"),
            Self::Agent { issuer, id } => write!(formatter, "agent {id} of {issuer}"),
            Self::AgentFor { issuer, id, subject } => write!(formatter, "agent {id} for {subject} of {issuer}"),
            Self::Issuer { issuer } => write!(formatter, "issuer {issuer}"),
            Self::Key { issuer, id } => write!(formatter, "key {id} of {issuer}"),
            Self::Server { server } => write!(formatter, "server {server}"),
            Self::Subject { issuer, subject } => write!(formatter, "subject {subject} of {issuer}"),
            Self::Token { issuer, id } => write!(formatter, "token {id} of {issuer}"),
            Self::Tool { server, tool } => write!(formatter, "tool {tool} of {server}"),
        }
    }
}

/// One revocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// What it hits.
    pub target: Target,
    /// Only tokens issued before then, seconds since the epoch; all of them, until it is lifted, where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// When nothing is left that it could hit, seconds since the epoch: from then on it may be forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

/// Everything that is revoked now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Revocations(BTreeMap<Target, Reach>);

/// Which tokens a revocation hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Reach {
    /// All, until it is lifted.
    all: bool,
    /// Those issued before then.
    before: Option<Time>,
    /// When it may be forgotten; never where there is none.
    until: Option<Time>,
}

impl Revocations {
    /// Adds one. Two of the same target hit what either hits.
    pub fn add(&mut self, revocation: Revocation) {
        let until = revocation.until.map(Time::from_seconds);
        let reach = self.0.entry(revocation.target).or_insert(Reach { all: false, before: None, until });
        reach.until = reach.until.zip(until).map(|(one, other)| one.max(other));
        match revocation.before {
            None => reach.all = true,
            Some(before) => reach.before = reach.before.max(Some(Time::from_seconds(before))),
        }
    }

    /// Forgets what can hit nothing any more.
    pub fn forget(&mut self, now: Time) {
        self.0.retain(|_, reach| reach.until.is_none_or(|until| now < until));
    }

    /// Lifts what holds until it is lifted. What hits tokens issued before a moment stays: they do not come back.
    pub fn lift(&mut self, target: &Target) {
        if let Some(reach) = self.0.get_mut(target) {
            reach.all = false;
            if reach.before.is_none() {
                self.0.remove(target);
            }
        }
    }

    /// How many targets there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is revoked.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the token, in a call of `tool` on `server`, is revoked.
    pub fn hit(&self, verified: &Verified, server: &str, tool: Option<&str>) -> bool {
        !self.0.is_empty() && self.any(targets(verified).chain(calls(server, tool)), verified.claims().issued)
    }

    /// Whether the token is revoked, wherever it is used.
    pub fn token(&self, verified: &Verified) -> bool {
        !self.0.is_empty() && self.any(targets(verified), verified.claims().issued)
    }

    /// Whether a call of `tool` on `server` is revoked for all whose tokens were issued then.
    pub fn call(&self, server: &str, tool: &str, issued: Option<Time>) -> bool {
        !self.0.is_empty() && self.any(calls(server, Some(tool)), issued)
    }

    /// Whether something is revoked of which [`targets`] or [`calls`], and the time the token was issued, are known.
    pub fn any(&self, mut targets: impl Iterator<Item = Target>, issued: Option<Time>) -> bool {
        targets.any(|target| self.hits(&target, issued))
    }

    /// Whether `target` is revoked as a whole.
    pub fn stands(&self, target: &Target) -> bool {
        self.0.get(target).is_some_and(|reach| reach.all)
    }

    fn hits(&self, target: &Target, issued: Option<Time>) -> bool {
        let Some(reach) = self.0.get(target) else {
            return false;
        };
        // A token that does not say when it was issued can be as old as any.
        reach.all || reach.before.is_some_and(|before| issued.is_none_or(|issued| issued < before))
    }
}

/// All that a token can be revoked by.
pub fn targets(verified: &Verified) -> impl Iterator<Item = Target> {
    let claims = verified.claims();
    let issuer = verified.issuer().to_owned();
    let (id, subject) = (claims.agent.clone(), claims.subject.clone());
    let whom = subject.clone();
    let token = claims.id.clone().map(|id| Target::Token { issuer: issuer.clone(), id });
    let key = verified.key().map(|id| Target::Key { issuer: issuer.clone(), id: id.to_owned() });
    let whole = [
        Target::Agent { issuer: issuer.clone(), id: id.clone() },
        Target::Subject { issuer: issuer.clone(), subject: subject.clone() },
        Target::AgentFor { issuer: issuer.clone(), id: id.clone(), subject },
        Target::Issuer { issuer: issuer.clone() },
    ];
    let actors = claims.chain.actors().iter().flat_map(move |actor| {
        let issuer = actor.issuer.clone().unwrap_or_else(|| issuer.clone());
        // The agent itself stands in its own chain as the current actor: only those before it have handed something on.
        let earlier =
            (actor.subject != id).then(|| Target::Actor { issuer: issuer.clone(), id: actor.subject.clone() });
        let named = Target::Issuer { issuer: issuer.clone() };
        let (agent, subject) = (actor.subject.clone(), whom.clone());
        let meant = Target::AgentFor { issuer: issuer.clone(), id: agent.clone(), subject };
        [Some(Target::Agent { issuer, id: agent }), Some(meant), earlier, Some(named)]
    });
    whole.into_iter().chain(token).chain(key).chain(actors.flatten())
}

/// All that a call can be revoked by besides its token.
pub fn calls(server: &str, tool: Option<&str>) -> impl Iterator<Item = Target> {
    let tool = tool.map(|tool| Target::Tool { server: server.to_owned(), tool: tool.to_owned() });
    [Some(Target::Server { server: server.to_owned() }), tool].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::testing::{ISSUER, NOW, proved};
    use crate::token::chain::Chain;

    /// A token of `scout`, for alice, through `planner`.
    fn token() -> Verified {
        let mut proved = proved("scout", 60);
        let act = json!({ "act": { "sub": "scout", "act": { "sub": "planner" } } });
        proved.claims.chain = Chain::read(act.as_object().unwrap()).unwrap();
        proved.claims.subject = "alice".into();
        proved.claims.id = Some("t-1".into());
        proved.claims.issued = Some(NOW);
        proved.key = Some("k1".into());
        Verified::of(Arc::new(proved))
    }

    fn target(kind: &str, members: &[(&str, &str)]) -> Target {
        let mut target = json!({ "kind": kind });
        members.iter().for_each(|(name, value)| target[name] = json!(value));
        serde_json::from_value(target).unwrap()
    }

    fn hit(target: &Target, before: Option<u64>) -> bool {
        let mut revocations = Revocations::default();
        revocations.add(Revocation { target: target.clone(), before, until: None });
        revocations.hit(&token(), "crm", Some("crm_lookup"))
    }

    #[test]
    fn each_target_hits_its_own_and_no_other() {
        let issuer = ("issuer", ISSUER);
        for (kind, own, other) in [
            ("actor", vec![issuer, ("id", "planner")], vec![issuer, ("id", "scout")]),
            ("agent", vec![issuer, ("id", "scout")], vec![issuer, ("id", "scout-2")]),
            ("agent", vec![issuer, ("id", "planner")], vec![("issuer", "https://other.test"), ("id", "scout")]),
            (
                "agent_for",
                vec![issuer, ("id", "scout"), ("subject", "alice")],
                vec![issuer, ("id", "scout"), ("subject", "bob")],
            ),
            (
                "agent_for",
                vec![issuer, ("id", "planner"), ("subject", "alice")],
                vec![issuer, ("id", "planner"), ("subject", "scout")],
            ),
            ("issuer", vec![issuer], vec![("issuer", "https://other.test")]),
            ("key", vec![issuer, ("id", "k1")], vec![issuer, ("id", "k2")]),
            ("server", vec![("server", "crm")], vec![("server", "billing")]),
            ("subject", vec![issuer, ("subject", "alice")], vec![issuer, ("subject", "scout")]),
            ("token", vec![issuer, ("id", "t-1")], vec![issuer, ("id", "t-2")]),
            ("tool", vec![("server", "crm"), ("tool", "crm_lookup")], vec![("server", "crm"), ("tool", "crm_update")]),
        ] {
            assert!(hit(&target(kind, &own), None), "{kind} {own:?}");
            assert!(!hit(&target(kind, &other), None), "{kind} {other:?}");
        }
    }

    #[test]
    fn an_issuer_is_hit_in_a_chain_too() {
        let mut proved = proved("scout", 60);
        let act = json!({ "act": { "sub": "scout", "act": { "sub": "planner", "iss": "https://partner.test" } } });
        proved.claims.chain = Chain::read(act.as_object().unwrap()).unwrap();
        let verified = Verified::of(Arc::new(proved));
        let mut revocations = Revocations::default();
        revocations.add(Revocation {
            target: target("issuer", &[("issuer", "https://partner.test")]),
            before: None,
            until: None,
        });
        assert!(revocations.token(&verified));
    }

    #[test]
    fn what_was_issued_before_a_moment_is_hit_for_good() {
        let agent = target("agent", &[("issuer", ISSUER), ("id", "scout")]);
        assert!(!hit(&agent, Some(NOW.seconds())));
        assert!(hit(&agent, Some(NOW.seconds() + 1)));
        let mut revocations = Revocations::default();
        revocations.add(Revocation { target: agent.clone(), before: Some(NOW.seconds() + 1), until: None });
        revocations.add(Revocation { target: agent.clone(), before: None, until: None });
        revocations.lift(&agent);
        assert!(!revocations.stands(&agent));
        assert!(revocations.token(&token()), "an old token does not come back");
    }

    #[test]
    fn what_can_hit_nothing_is_forgotten_and_what_can_is_not() {
        let token = target("token", &[("issuer", ISSUER), ("id", "t-1")]);
        let until = |seconds| Revocation { target: token.clone(), before: None, until: seconds };
        for (ends, gone) in [
            (vec![Some(NOW.seconds())], true),
            (vec![Some(NOW.seconds() + 1)], false),
            (vec![Some(NOW.seconds()), Some(NOW.seconds() + 1)], false),
            (vec![Some(NOW.seconds()), None], false),
            (vec![None, Some(NOW.seconds())], false),
        ] {
            let mut revocations = Revocations::default();
            ends.iter().for_each(|end| revocations.add(until(*end)));
            revocations.forget(NOW);
            assert_eq!(revocations.is_empty(), gone, "{ends:?}");
        }
    }

    #[test]
    fn what_is_lifted_hits_no_more() {
        let agent = target("agent", &[("issuer", ISSUER), ("id", "scout")]);
        let mut revocations = Revocations::default();
        revocations.add(Revocation { target: agent.clone(), before: None, until: None });
        assert!(revocations.token(&token()) && revocations.stands(&agent));
        revocations.lift(&agent);
        assert!(revocations.is_empty() && !revocations.token(&token()));
    }
}
