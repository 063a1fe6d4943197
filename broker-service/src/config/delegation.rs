//! Whose assertions are taken, and how far tasks may be handed on.

use std::collections::BTreeMap;

use accredit_policy::Policy;
use accredit_policy::config::error::Path;
use accredit_policy::config::field::{Field, refuse_unknown};
use accredit_policy::config::{check, raw as policy};
use accredit_policy::token::chain;

use super::{Files, raw};
use crate::enterprise::TYPE;

/// How many agents a task may go through unless the file says.
const DEPTH: usize = 3;

impl Files {
    /// The issuers of `enterprise`, of which none may be the broker itself.
    pub(super) fn enterprises(
        &mut self,
        field: Field<BTreeMap<String, Field<raw::Enterprise>>>,
        own: Option<&str>,
        path: &Path,
    ) -> Policy {
        let map = field.optional(path, &mut self.report).unwrap_or_default();
        let issuers = map.into_iter().filter_map(|(name, field)| {
            let at = path.at(&name);
            let raw = field.required(&at, &mut self.report)?;
            Some((name, Field::Read(self.enterprise(raw, &at)?)))
        });
        let issuers: BTreeMap<_, _> = issuers.collect();
        if issuers.len() > 1 {
            let hint = "their subjects could not be told apart in our tokens: run a broker for each";
            self.report.advise(path, format!("{} enterprises", issuers.len()), "one", hint);
        }
        let issuers = check::issuers(issuers, path, &mut self.report);
        for (name, issuer) in issuers.iter().filter(|(_, issuer)| own == Some(&issuer.identifier)) {
            // draft-ietf-oauth-identity-assertion-authz-grant, "Cross-Domain Use": no one redeems assertions of its own.
            self.report.add(
                &path.at(name).at("issuer"),
                format!("`{}`, which is this broker", issuer.identifier),
                "the `iss` of another",
            );
        }
        Policy::of(issuers)
    }

    /// The same entry as one of a policy, whose rules are for it, too.
    fn enterprise(&mut self, raw: raw::Enterprise, path: &Path) -> Option<policy::Issuer> {
        let raw::Enterprise { issuer, jwks, algorithms, unknown } = raw;
        refuse_unknown(&unknown, raw::Enterprise::FIELDS, path, &mut self.report);
        let (jwks, typ) = (self.jwks(jwks, &path.at("jwks"))?, Field::Read(TYPE.to_owned()));
        Some(policy::Issuer { issuer, jwks, algorithms, typ, ..policy::Issuer::default() })
    }

    /// Keys that the broker fetches by itself, if it has to.
    pub(super) fn jwks(&mut self, field: Field<raw::Keys>, at: &Path) -> Option<Field<policy::Jwks>> {
        let raw::Keys { keys, url, refresh, unknown } = field.required(at, &mut self.report)?;
        refuse_unknown(&unknown, raw::Keys::FIELDS, at, &mut self.report);
        if keys.stands() == url.stands() {
            let found = if keys.stands() { "both `keys` and `url`" } else { "neither `keys` nor `url`" };
            self.report.add(at, found, "either `keys` or `url`");
            return None;
        }
        // Only proxies need a cluster for it.
        let cluster = if url.stands() { Field::Read("none".to_owned()) } else { Field::Missing };
        Some(Field::Read(policy::Jwks { keys, url, cluster, refresh, unknown: BTreeMap::new() }))
    }

    /// The most actors a chain may have.
    pub(super) fn delegation(&mut self, field: Field<raw::Delegation>, path: &Path) -> usize {
        let raw::Delegation { max_depth, unknown } = field.optional(path, &mut self.report).unwrap_or_default();
        refuse_unknown(&unknown, raw::Delegation::FIELDS, path, &mut self.report);
        let at = path.at("max_depth");
        let Some(depth) = max_depth.optional(&at, &mut self.report) else {
            return DEPTH;
        };
        match usize::try_from(depth).ok().filter(|depth| *depth <= chain::DEPTH) {
            Some(depth) => depth,
            None => {
                self.report.add(&at, format!("`{depth}`"), format!("`0` to `{}`", chain::DEPTH));
                DEPTH
            }
        }
    }
}
