//! The agents of the file.

use std::time::Duration;

use accredit_policy::config::error::Path;
use accredit_policy::config::field::{Field, each, refuse_unknown};
use accredit_policy::config::unit::Span;
use accredit_policy::scope::{Scope, Scopes};
use accredit_policy::{Policy, Secret};

use super::{Files, raw};

/// An agent of the file.
#[derive(Debug)]
pub struct Agent {
    /// Its client identifier.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Who answers for it.
    pub owner: String,
    /// What it is for.
    pub purpose: String,
    /// Its secret.
    pub secret: Secret,
    /// The scopes it may ask for.
    pub scopes: Scopes,
    /// The resources it may ask for.
    pub resources: Vec<String>,
    /// How long its tokens live.
    pub token_lifetime: Duration,
}

impl Files {
    pub(super) fn agents(
        &mut self,
        agents: Field<Vec<Field<raw::Agent>>>,
        policy: Option<&Policy>,
        path: &Path,
    ) -> Vec<Agent> {
        let list = agents.optional(path, &mut self.report).unwrap_or_default();
        let raw = each(list, path, &mut self.report);
        let read = raw.into_iter().enumerate().filter_map(|(index, raw)| self.agent(raw, policy, &path.item(index)));
        let agents: Vec<Agent> = read.collect();
        for (index, agent) in agents.iter().enumerate() {
            if agents.iter().take(index).any(|other| other.id == agent.id) {
                self.report.add(
                    &path.item(index).at("id"),
                    format!("`{}` again", agent.id),
                    "one entry for each agent",
                );
            }
        }
        agents
    }

    fn agent(&mut self, raw: raw::Agent, policy: Option<&Policy>, path: &Path) -> Option<Agent> {
        let raw::Agent { id, name, owner, purpose, secret_file, scopes, resources, token_lifetime, unknown } = raw;
        refuse_unknown(&unknown, raw::Agent::FIELDS, path, &mut self.report);
        let id = self.text(id, &path.at("id"));
        let name = name.optional(&path.at("name"), &mut self.report).or_else(|| id.clone());
        let owner = self.text(owner, &path.at("owner"));
        let purpose = self.text(purpose, &path.at("purpose"));
        let secret = self.secret(secret_file, &path.at("secret_file"));
        let words = each(scopes.required(&path.at("scopes"), &mut self.report)?, &path.at("scopes"), &mut self.report);
        let read = words.iter().map(|word| Scope::parse(word));
        let scopes: Option<Scopes> = read.collect();
        if scopes.is_none() {
            self.report.add(&path.at("scopes"), "a word that is no scope", "scopes without spaces and quotes");
        }
        let at = path.at("resources");
        let resources = each(resources.required(&at, &mut self.report)?, &at, &mut self.report);
        let known = |resource: &String| {
            policy.is_none_or(|policy| policy.servers().any(|server| server.resource.as_str() == resource))
        };
        for (index, other) in resources.iter().enumerate().filter(|(_, resource)| !known(resource)) {
            self.report.add(&at.item(index), format!("`{other}`"), "the `resource` of a server in the policy");
        }
        let lifetime = token_lifetime.optional(&path.at("token_lifetime"), &mut self.report);
        let token_lifetime = lifetime.map_or(Duration::from_secs(600), |Span(span)| span);
        if token_lifetime < Duration::from_secs(1) || token_lifetime > Duration::from_secs(3600) {
            self.report.add(&path.at("token_lifetime"), "less than a second or more than an hour", "`1s` to `1h`");
        }
        Some(Agent {
            id: id?,
            name: name?,
            owner: owner?,
            purpose: purpose?,
            secret: secret?,
            scopes: scopes?,
            resources,
            token_lifetime,
        })
    }
}
