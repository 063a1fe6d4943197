//! The agents of the file.

use accredit_policy::config::error::Path;
use accredit_policy::config::field::{Field, each};
use accredit_policy::{Policy, Secret};

use super::{Files, raw};
use crate::agents::Profile;
use crate::agents::profile::{Method, text};

/// An agent of the file.
#[derive(Debug)]
pub struct Agent {
    /// Its client identifier.
    pub id: String,
    /// What the file says of it.
    pub profile: Profile,
    /// Its secret, where it proves who it is by one.
    pub secret: Option<Secret>,
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
                let at = path.item(index).at("id");
                self.report.add(&at, format!("`{}` again", agent.id), "one entry for each agent");
            }
        }
        agents
    }

    fn agent(&mut self, raw: raw::Agent, policy: Option<&Policy>, path: &Path) -> Option<Agent> {
        let profile = Profile::check(&raw, policy, path, &mut self.report);
        let id = text(raw.id, &path.at("id"), &mut self.report);
        let at = path.at("secret_file");
        let secret = match profile.as_ref().map(|profile| &profile.method) {
            Some(Method::Secret) => Some(self.secret(raw.secret_file, &at)?),
            Some(other) if raw.secret_file.stands() => {
                self.report.add(&at, format!("a value beside `method: {}`", other.name()), "none");
                None
            }
            _ => None,
        };
        Some(Agent { id: id?, profile: profile?, secret })
    }
}
