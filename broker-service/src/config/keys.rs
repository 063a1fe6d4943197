//! When the keys take turns that sign tokens.

use std::time::Duration;

use accredit_policy::Policy;
use accredit_policy::config::error::Path;
use accredit_policy::config::field::{Field, refuse_unknown};
use accredit_policy::policy::KeySource;

use super::{Files, raw};
use crate::keys::Schedule;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

impl Files {
    pub(super) fn schedule(&mut self, field: Field<raw::SigningKeys>, path: &Path) -> Schedule {
        let raw = field.optional(path, &mut self.report).unwrap_or_default();
        let raw::SigningKeys { rotate, lead, unknown } = raw;
        refuse_unknown(&unknown, raw::SigningKeys::FIELDS, path, &mut self.report);
        let bounds = Duration::from_secs(HOUR)..=Duration::from_secs(365 * DAY);
        let rotate = self.span(rotate, bounds, &path.at("rotate")).unwrap_or(Duration::from_secs(30 * DAY));
        // Our own proxies ask again after a minute; others keep a key set for five.
        let bounds = Duration::from_secs(5 * MINUTE)..=Duration::from_secs(DAY);
        let lead = self.span(lead, bounds, &path.at("lead")).unwrap_or(Duration::from_secs(10 * MINUTE));
        if lead.saturating_mul(2) > rotate {
            self.report.add(&path.at("lead"), "more than half of `rotate`", "at most half of it");
        }
        Schedule { rotate, lead }
    }

    /// The proxies have to fetch our keys: those that stand in a policy are not these for long.
    pub(super) fn own_keys(&mut self, policy: Option<&Policy>, issuer: Option<&str>, path: &Path) {
        let mut issuers = policy.into_iter().flat_map(Policy::issuers);
        let own = issuers.find(|one| issuer == Some(one.identifier.as_str()));
        if let Some(own) = own.filter(|own| matches!(own.keys, KeySource::Inline(_))) {
            let found = format!("`issuers.{}.jwks.keys` in the policy, for this broker itself", own.name);
            self.report.advise(path, found, "`jwks.url` and `jwks.cluster` there", "the keys of a broker change");
        }
    }
}
