//! The walk from an agent along `may_delegate_to`, by the rules tokens are issued and calls are decided by. No I/O.

use std::collections::BTreeSet;

use accredit_policy::Policy;
use accredit_policy::policy::{Mode, Rule, Server};
use accredit_policy::scope::Scopes;
use accredit_policy::token::chain::{Actor, Chain};

use crate::agents::profile::Grant;
use crate::agents::{Agent, Status};

/// The most ways that are walked.
const WAYS: usize = 2_000;

/// Where it goes.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) agents: &'a [Agent],
    pub(super) policy: &'a Policy,
    /// Our `iss`.
    pub(super) issuer: &'a str,
    /// The most actors a chain may have.
    pub(super) max_depth: usize,
}

/// What is there.
#[derive(Debug, Default)]
pub(super) struct Reach {
    pub(super) tools: Vec<Tool>,
    pub(super) agents: Vec<Other>,
    /// Whether there is more.
    pub(super) cut: bool,
}

/// A tool somebody can call for the agent, and by the shortest way.
#[derive(Debug)]
pub(super) struct Tool {
    /// Who calls it.
    pub(super) holder: String,
    pub(super) server: String,
    /// The part of the policy its rule stands in.
    pub(super) kind: &'static str,
    /// Its name, or a beginning with `*`.
    pub(super) name: String,
    pub(super) scopes: Scopes,
    pub(super) credential: Option<String>,
    /// Whether arguments, token or request have a say, too.
    pub(super) conditional: bool,
    /// How often the task was handed on before.
    pub(super) depth: usize,
}

/// An agent that can have the task.
#[derive(Debug)]
pub(super) struct Other {
    pub(super) id: String,
    pub(super) depth: usize,
    /// Through whom, the agent first.
    pub(super) path: Vec<String>,
    /// What is left of the scopes on this way.
    pub(super) scopes: Scopes,
}

/// A task in somebody's hands.
#[derive(Clone)]
struct Way<'a> {
    holder: &'a Agent,
    /// Who had it before, the first one first.
    path: Vec<&'a str>,
    scopes: Scopes,
    /// The resources the holder can get a token for.
    places: BTreeSet<&'a str>,
}

impl Way<'_> {
    /// Whether with `other` nothing can be done that cannot be done with this one: no holder before it is another's to refuse,
    /// and it has as much of everything.
    fn covers(&self, other: &Self) -> bool {
        self.holder.id == other.holder.id
            && self.path.iter().all(|id| other.path.contains(id))
            && self.scopes.cover(&other.scopes)
            && self.places.is_superset(&other.places)
    }
}

/// All that `agent` can get at.
pub(super) fn walk(agent: &Agent, ground: &Ground<'_>) -> Reach {
    let (mut reach, mut seen, mut walked) = (Reach::default(), BTreeSet::new(), 0_usize);
    let places = agent.profile.resources.iter().map(String::as_str).collect();
    let first = Way { holder: agent, path: Vec::new(), scopes: agent.profile.scopes.clone(), places };
    // The shortest ways come first.
    let mut ways = vec![first];
    while let Some(way) = ways.get(walked).cloned() {
        walked = walked.saturating_add(1);
        for (server, kind, name, rule) in rules(&way, ground) {
            let key = (way.holder.id.clone(), server.name.clone(), kind, name.clone());
            if seen.insert(key) {
                reach.tools.push(tool(&way, server, kind, name, rule));
            }
        }
        for next in onward(&way, ground) {
            if ways.len() >= WAYS {
                reach.cut = true;
            } else if !ways.iter().any(|known| known.covers(&next)) {
                ways.push(next);
            }
        }
        if !way.path.is_empty() && reach.agents.iter().all(|other| other.id != way.holder.id) {
            reach.agents.push(other(way));
        }
    }
    reach
}

/// The rules that permit a call with this task.
fn rules<'a>(way: &Way<'a>, ground: &Ground<'a>) -> Vec<(&'a Server, &'static str, String, &'a Rule)> {
    let mut found = Vec::new();
    // Who never had it handed on has no chain.
    let holders = std::iter::once(way.holder.id.as_str()).chain(way.path.iter().rev().copied());
    let actors = holders.map(|id| Actor { subject: id.to_owned(), issuer: None });
    let chain: Chain = if way.path.is_empty() { Chain::default() } else { actors.collect() };
    for server in ground.policy.servers() {
        let accepts = server.issuers.iter().filter_map(|name| ground.policy.issuer(name));
        let accepted = accepts.into_iter().any(|issuer| issuer.identifier == ground.issuer);
        let placed = way.places.contains(server.resource.as_str());
        if !accepted || !placed || server.delegation.judge(&chain, ground.issuer).is_err() {
            continue;
        }
        let kinds = [
            ("tools", &server.tools),
            ("prompts", &server.prompts),
            ("resources", &server.resources),
            ("methods", &server.methods),
        ];
        for (kind, (name, rule)) in
            kinds.into_iter().flat_map(|(kind, rules)| rules.named().map(move |rule| (kind, rule)))
        {
            // What is denied in shadow mode goes on all the same.
            let enforced = server.mode == Mode::Enforce && rule.mode == Mode::Enforce;
            if !enforced || way.scopes.cover(&rule.scopes) {
                found.push((server, kind, name, rule));
            }
        }
    }
    found
}

fn tool(way: &Way<'_>, server: &Server, kind: &'static str, name: String, rule: &Rule) -> Tool {
    Tool {
        holder: way.holder.id.clone(),
        server: server.name.clone(),
        kind,
        name,
        scopes: rule.scopes.clone(),
        // What only goes on in shadow mode gets none.
        credential: rule.credential.clone().filter(|_| way.scopes.cover(&rule.scopes)),
        conditional: rule.condition.is_some(),
        depth: way.path.len(),
    }
}

fn other(way: Way<'_>) -> Other {
    let path = way.path.iter().map(|id| (*id).to_owned()).collect();
    Other { id: way.holder.id.clone(), depth: way.path.len(), path, scopes: way.scopes }
}

/// Who can take the task over, as [`crate::delegation`] judges it.
fn onward<'a>(way: &Way<'a>, ground: &Ground<'a>) -> Vec<Way<'a>> {
    let path: Vec<&str> = way.path.iter().copied().chain([way.holder.id.as_str()]).collect();
    // The chain names the one that takes over, too.
    if path.len() >= ground.max_depth {
        return Vec::new();
    }
    let allowed = |other: &&Agent| way.holder.profile.may_delegate_to.iter().any(|one| one.matches(&other.id));
    let able = |other: &&Agent| other.status == Status::Active && other.profile.grants.contains(&Grant::TokenExchange);
    let fresh = |other: &&Agent| !path.contains(&other.id.as_str());
    let others = ground.agents.iter().filter(allowed).filter(able).filter(fresh);
    let step = |other: &'a Agent| {
        let scopes = way.scopes.intersect(&other.profile.scopes);
        // What is sent to one of its addresses it takes anywhere; what is for a resource stays there.
        let sent = other.profile.accepts.iter().any(|address| way.places.contains(address.as_str()));
        let own = other.profile.resources.iter().map(String::as_str);
        let places: BTreeSet<_> = own.filter(|place| sent || way.places.contains(place)).collect();
        let gets = !scopes.is_empty() && !places.is_empty();
        gets.then(|| Way { holder: other, path: path.clone(), scopes, places })
    };
    others.filter_map(step).collect()
}
