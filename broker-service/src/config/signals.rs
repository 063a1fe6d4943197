//! Who may send security events, and about whose tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use accredit_policy::Policy;
use accredit_policy::config::error::Path;
use accredit_policy::config::field::{Field, each, list, refuse_unknown};
use accredit_policy::config::unit::Span;
use accredit_policy::config::{check, raw as policy};
use accredit_policy::policy::{Issuer, Profile};

use super::{Files, raw};
use crate::signals::{Authority, Meaning, Names, Signals, TYPE, Transmitter, Voice};

/// How old an event may be unless the file says.
const AGE: Duration = Duration::from_secs(600);

/// The longest time a token of ours lives.
const LIFETIME: Duration = Duration::from_secs(3600);

/// What names can be.
const MEANINGS: [(&str, Meaning); 3] =
    [("agent", Meaning::Agent), ("subject", Meaning::Subject), ("token", Meaning::Token)];

/// Whose tokens are taken here.
struct Known<'a> {
    own: &'a str,
    policy: &'a Policy,
    enterprises: &'a Policy,
}

impl Files {
    /// The transmitters of `signals`.
    pub(super) fn signals(
        &mut self,
        field: Field<BTreeMap<String, Field<raw::Signal>>>,
        own: Option<&str>,
        policy: Option<&Policy>,
        enterprises: &Policy,
    ) -> Signals {
        let path = Path::root().at("signals");
        let map = field.optional(&path, &mut self.report).unwrap_or_default();
        let (mut issuers, mut transmitters) = (BTreeMap::new(), BTreeMap::new());
        // Without these the file is refused anyway.
        let (Some(own), Some(policy)) = (own, policy) else { return Signals::new(BTreeMap::new(), transmitters) };
        let known = Known { own, policy, enterprises };
        for (name, field) in map {
            let at = path.at(&name);
            let Some(raw) = field.required(&at, &mut self.report) else { continue };
            if let Some((issuer, transmitter)) = self.signal(raw, &known, &at) {
                issuers.insert(name.clone(), Field::Read(issuer));
                transmitters.insert(name, transmitter);
            }
        }
        Signals::new(check::issuers(issuers, &path, &mut self.report), transmitters)
    }

    /// The transmitter's keys as an issuer of a policy has them, and the rest.
    fn signal(&mut self, raw: raw::Signal, known: &Known<'_>, path: &Path) -> Option<(policy::Issuer, Transmitter)> {
        let raw::Signal { issuer, jwks, algorithms, audience, secret_file, issuers, subjects, max_age, unknown } = raw;
        refuse_unknown(&unknown, raw::Signal::FIELDS, path, &mut self.report);
        let issuer = issuer.required(&path.at("issuer"), &mut self.report);
        if issuer.as_deref() == Some(known.own) {
            let found = format!("`{}`, which is this broker", known.own);
            self.report.add(&path.at("issuer"), found, "the `iss` of another");
        }
        let jwks = self.jwks(jwks, &path.at("jwks"));
        let audience =
            audience.optional(&path.at("audience"), &mut self.report).unwrap_or_else(|| known.own.to_owned());
        let at = path.at("secret_file");
        let secret = if secret_file.stands() { Some(self.secret(secret_file, &at)?) } else { None };
        let max_age = self.age(max_age, &path.at("max_age"));
        let authorities = self.authorities(issuers, issuer.as_deref()?, known, &path.at("issuers"));
        let (email, opaque) = self.meanings(subjects, authorities.len(), &path.at("subjects"));
        let typ = Field::Read(TYPE.to_owned());
        let issuer = Field::Read(issuer?);
        let issuer = policy::Issuer { issuer, jwks: jwks?, algorithms, typ, ..policy::Issuer::default() };
        let voice = Voice { authorities, email, opaque };
        Some((issuer, Transmitter { audience, secret, voice, max_age }))
    }

    fn age(&mut self, field: Field<Span>, path: &Path) -> Duration {
        let age = field.optional(path, &mut self.report).map_or(AGE, |Span(age)| age);
        if age < Duration::from_secs(60) || age > Duration::from_secs(168 * 3600) {
            self.report.add(path, "less than a minute or more than a week", "`1m` to `168h`");
        }
        age
    }

    /// The issuers a transmitter speaks for. One whose tokens nobody takes is a mistake: its revocations would hit nothing.
    fn authorities(
        &mut self,
        field: Field<Vec<Field<String>>>,
        itself: &str,
        known: &Known<'_>,
        path: &Path,
    ) -> Vec<Authority> {
        let given = field.stands();
        let named = each(field.optional(path, &mut self.report).unwrap_or_default(), path, &mut self.report);
        let named: BTreeSet<String> = if given { named.into_iter().collect() } else { [itself.to_owned()].into() };
        if named.is_empty() {
            self.report.add(path, "no issuer", "at least one, or no list");
        }
        let mut authorities = Vec::new();
        for issuer in named {
            match known.authority(&issuer) {
                Some(authority) => authorities.push(authority),
                None => self.report.advise(
                    path,
                    format!("`{issuer}`, whose tokens nobody takes here"),
                    "an `iss` of the policy, of `enterprise`, or this broker's",
                    "a transmitter with another `iss` than its tokens needs `issuers`",
                ),
            }
        }
        authorities
    }

    fn meanings(
        &mut self,
        field: Field<raw::Subjects>,
        authorities: usize,
        path: &Path,
    ) -> (Option<Meaning>, Option<Meaning>) {
        let raw::Subjects { email, opaque, unknown } = field.optional(path, &mut self.report).unwrap_or_default();
        refuse_unknown(&unknown, raw::Subjects::FIELDS, path, &mut self.report);
        let subject = MEANINGS.get(1..2).unwrap_or_default();
        let email = self.meaning(email, subject, &path.at("email"));
        let opaque = self.meaning(opaque, &MEANINGS, &path.at("opaque"));
        if email.or(opaque).is_some() && authorities > 1 {
            let hint = "names without an issuer would be names of all of them";
            self.report.advise(path, format!("`issuers` with {authorities} entries"), "one", hint);
        }
        (email, opaque)
    }

    fn meaning(&mut self, field: Field<String>, known: &[(&str, Meaning)], path: &Path) -> Option<Meaning> {
        let word = field.optional(path, &mut self.report)?;
        let meaning = known.iter().find(|(name, _)| *name == word).map(|(_, meaning)| *meaning);
        if meaning.is_none() {
            let words: Vec<_> = known.iter().map(|(name, _)| *name).collect();
            self.report.add(path, format!("`{word}`"), format!("one of {}", list(&words)));
        }
        meaning
    }
}

impl Known<'_> {
    fn authority(&self, issuer: &str) -> Option<Authority> {
        let find = |issuers: &Policy| issuers.issuers().find(|one| one.identifier == issuer).map(authority);
        // An assertion without `iat` is not redeemed, so that all of them have an end.
        let enterprise = || find(self.enterprises).map(|one| Authority { lifetime: Some(LIFETIME), ..one });
        let own = || Authority { issuer: issuer.to_owned(), names: Names::Subjects, lifetime: Some(LIFETIME) };
        find(self.policy).or_else(enterprise).or_else(|| (issuer == self.own).then(own))
    }
}

fn authority(issuer: &Issuer) -> Authority {
    let agents = issuer.profile != Profile::AccessToken || issuer.agent_claim == "sub";
    let names = if agents { Names::Agents } else { Names::Subjects };
    // A token that does not say when it was issued can be older than any bound, and turn up when its end is near.
    let dated = issuer.profile == Profile::AccessToken && issuer.typ.is_access_token();
    Authority { issuer: issuer.identifier.clone(), names, lifetime: dated.then_some(issuer.max_token_lifetime) }
}
