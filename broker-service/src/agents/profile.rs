//! What an operator says of an agent, in the file or over the API, by the same rules.

use std::collections::BTreeSet;
use std::time::Duration;

use accredit_policy::config::error::{Path, Report};
use accredit_policy::config::field::{Field, each, list, nearest, refuse_unknown};
use accredit_policy::config::unit::Span;
use accredit_policy::pattern::Pattern;
use accredit_policy::scope::{Scope, Scopes};
use accredit_policy::token::jwk::{Reading, Usage};
use accredit_policy::token::{Algorithm, KeySet};
use accredit_policy::{Policy, Time};
use serde_json::Value;

use crate::config::raw;

mod write;

/// What an operator says of an agent.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its name for people.
    pub name: String,
    /// Who answers for it.
    pub owner: String,
    /// What it is for.
    pub purpose: String,
    /// How it proves who it is.
    pub method: Method,
    /// Which grants it may use.
    pub grants: BTreeSet<Grant>,
    /// The scopes it may ask for.
    pub scopes: Scopes,
    /// The resources it may ask for.
    pub resources: Vec<String>,
    /// Its own address as a resource: the audience of tokens others hand to it.
    pub accepts: Vec<String>,
    /// How long its tokens live.
    pub token_lifetime: Duration,
    /// To whom it may hand a task on.
    pub may_delegate_to: Vec<Pattern>,
    /// Which workflows it may start.
    pub triggers: Vec<String>,
    /// To what its tokens have to be bound.
    pub bound: Binding,
    /// When its time is over.
    pub expires_at: Option<Time>,
    /// After how long without use it is suspended.
    pub unused_for: Option<Duration>,
}

/// How an agent proves who it is.
#[derive(Clone, Debug)]
pub enum Method {
    /// By a secret: [RFC 6749 §2.3.1](https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1).
    Secret,
    /// By a signature: [RFC 7523 §2.2](https://www.rfc-editor.org/rfc/rfc7523#section-2.2).
    Key {
        /// Its keys.
        keys: KeySet,
        /// The same as they were given.
        jwks: Value,
    },
    /// By its certificate: [RFC 8705 §2.1](https://www.rfc-editor.org/rfc/rfc8705#section-2.1).
    Certificate(Name),
}

/// What a certificate has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// A URI among the alternative names.
    Uri(String),
    /// A DNS name among them.
    Dns(String),
    /// The subject, as RFC 4514 writes it.
    Subject(String),
}

/// A grant type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// A token of its own.
    ClientCredentials,
    /// A token for whom another agent acts.
    TokenExchange,
    /// A token for a user of an enterprise.
    JwtBearer,
}

/// To what a token has to be bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Binding {
    /// To nothing.
    #[default]
    None,
    /// To a key the agent proves to hold.
    Dpop,
    /// To its certificate.
    Mtls,
}

const METHODS: &[&str] = &["client_secret_basic", "private_key_jwt", "tls_client_auth"];
const GRANTS: &[(&str, Grant)] = &[
    ("client_credentials", Grant::ClientCredentials),
    ("token_exchange", Grant::TokenExchange),
    ("jwt_bearer", Grant::JwtBearer),
];
const BINDINGS: &[(&str, Binding)] = &[("none", Binding::None), ("dpop", Binding::Dpop), ("mtls", Binding::Mtls)];

impl Method {
    /// Its word in registrations and metadata.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Secret => "client_secret_basic",
            Self::Key { .. } => "private_key_jwt",
            Self::Certificate(_) => "tls_client_auth",
        }
    }
}

impl Profile {
    /// All scopes it may have: those of tools, and one for each workflow it may start. Neither gives the other.
    pub fn rights(&self) -> Scopes {
        let triggers = self.triggers.iter().filter_map(|name| Scope::parse(&format!("{TRIGGER}{name}")));
        let mut rights: Scopes = triggers.collect();
        rights.extend(&self.scopes);
        rights
    }

    /// Reads the part of `raw` that is no identifier and no secret; `None` when it is not sound, which is reported.
    pub fn check(raw: &raw::Agent, policy: Option<&Policy>, path: &Path, report: &mut Report) -> Option<Self> {
        let raw = raw.clone();
        refuse_unknown(&raw.unknown, raw::Agent::FIELDS, path, report);
        let id = raw.id.optional(&path.at("id"), &mut Report::default());
        let name = raw.name.optional(&path.at("name"), report).or(id);
        let owner = text(raw.owner, &path.at("owner"), report);
        let purpose = text(raw.purpose, &path.at("purpose"), report);
        let method = method(raw.method, raw.jwks, raw.certificate, path, report);
        let grants = words(raw.grants, &path.at("grants"), GRANTS, report);
        let scopes = scopes(raw.scopes, &path.at("scopes"), report);
        let resources = resources(raw.resources, policy, &path.at("resources"), report);
        let accepts = texts(raw.accepts, &path.at("accepts"), report);
        let delegates = texts(raw.may_delegate_to, &path.at("may_delegate_to"), report);
        let read: Option<Vec<_>> = delegates.iter().map(|text| Pattern::parse(text)).collect();
        if read.is_none() {
            report.add(&path.at("may_delegate_to"), "a `*` before the end of a name", "names, or beginnings with `*`");
        }
        let triggers = texts(raw.triggers, &path.at("triggers"), report);
        if let Some(bad) = triggers.iter().find(|name| Scope::parse(name).is_none()) {
            report.add(&path.at("triggers"), format!("`{bad}`"), "names without spaces and quotes");
        }
        let bound = raw.bound.optional(&path.at("bound"), report);
        let bound = bound.and_then(|word| choice(&word, BINDINGS, &path.at("bound"), report)).unwrap_or_default();
        let hour = Duration::from_secs(3600);
        let lifetime = span(raw.token_lifetime, Duration::from_secs(1), hour, &path.at("token_lifetime"), report);
        let year = hour.saturating_mul(24 * 366);
        let unused_for = span(raw.unused_for, hour, year, &path.at("unused_for"), report);
        let expires_at = moment(raw.expires_at, &path.at("expires_at"), report);
        Some(Self {
            name: name?,
            owner: owner?,
            purpose: purpose?,
            method: method?,
            grants: if grants.is_empty() { [Grant::ClientCredentials].into() } else { grants },
            scopes: scopes?,
            resources,
            accepts,
            token_lifetime: lifetime.unwrap_or(Duration::from_secs(600)),
            may_delegate_to: read?,
            triggers,
            bound,
            expires_at,
            unused_for,
        })
    }
}

/// The text of a field that has to say something to people.
pub fn text(field: Field<String>, path: &Path, report: &mut Report) -> Option<String> {
    let text = field.required(path, report)?;
    if text.trim().is_empty() || text.len() > 512 || text.chars().any(char::is_control) {
        let found = format!("{:?}", text.chars().take(60).collect::<String>());
        report.add(path, found, "1 to 512 printable bytes");
        return None;
    }
    Some(text)
}

fn texts(field: Field<Vec<Field<String>>>, path: &Path, report: &mut Report) -> Vec<String> {
    let items = each(field.optional(path, report).unwrap_or_default(), path, report);
    let read = items.into_iter().enumerate();
    read.filter_map(|(index, item)| text(Field::Read(item), &path.item(index), report)).collect()
}

fn choice<T: Copy>(word: &str, among: &[(&str, T)], path: &Path, report: &mut Report) -> Option<T> {
    let found = among.iter().find(|(name, _)| *name == word).map(|(_, value)| *value);
    if found.is_none() {
        let names: Vec<_> = among.iter().map(|(name, _)| *name).collect();
        let accepted = format!("one of {}", list(&names));
        match nearest(word, &names) {
            Some(near) => report.advise(path, format!("`{word}`"), accepted, &format!("did you mean `{near}`?")),
            None => report.add(path, format!("`{word}`"), accepted),
        }
    }
    found
}

fn words<T: Copy + Ord>(
    field: Field<Vec<Field<String>>>,
    path: &Path,
    among: &[(&str, T)],
    report: &mut Report,
) -> BTreeSet<T> {
    let items = each(field.optional(path, report).unwrap_or_default(), path, report);
    let read = items.iter().enumerate();
    read.filter_map(|(index, word)| choice(word, among, &path.item(index), report)).collect()
}

fn method(
    word: Field<String>,
    jwks: Field<Value>,
    certificate: Field<raw::Certificate>,
    path: &Path,
    report: &mut Report,
) -> Option<Method> {
    let at = path.at("method");
    let word = word.optional(&at, report).unwrap_or_else(|| "client_secret_basic".into());
    let spare = |field: bool, name: &str, needs: &str, report: &mut Report| {
        if field && word != needs {
            report.add(&path.at(name), format!("a value beside `method: {word}`"), format!("it only with `{needs}`"));
        }
    };
    spare(jwks.stands(), "jwks", "private_key_jwt", report);
    spare(certificate.stands(), "certificate", "tls_client_auth", report);
    match word.as_str() {
        "client_secret_basic" => Some(Method::Secret),
        "private_key_jwt" => keys(jwks, &path.at("jwks"), report),
        "tls_client_auth" => name(certificate, &path.at("certificate"), report).map(Method::Certificate),
        _ => {
            report.add(&at, format!("`{word}`"), format!("one of {}", list(METHODS)));
            None
        }
    }
}

fn keys(field: Field<Value>, path: &Path, report: &mut Report) -> Option<Method> {
    let jwks = field.required(path, report)?;
    match KeySet::parse(jwks.to_string().as_bytes(), Reading { accepted: Algorithm::ALL, usage: Usage::Signature }) {
        Ok(keys) => Some(Method::Key { keys, jwks }),
        Err(bad) => {
            report.add(path, format!("a key set that {bad}"), "`{ keys: [ … ] }` with public keys");
            None
        }
    }
}

fn name(field: Field<raw::Certificate>, path: &Path, report: &mut Report) -> Option<Name> {
    let raw::Certificate { uri, dns, subject, unknown } = field.required(path, report)?;
    refuse_unknown(&unknown, raw::Certificate::FIELDS, path, report);
    let all = [
        uri.optional(&path.at("uri"), report).map(Name::Uri),
        dns.optional(&path.at("dns"), report).map(Name::Dns),
        subject.optional(&path.at("subject"), report).map(Name::Subject),
    ];
    let mut given = all.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(one), None) => Some(one),
        _ => {
            report.add(path, "no name, or more than one", "one of `uri`, `dns`, `subject`");
            None
        }
    }
}

fn scopes(field: Field<Vec<Field<String>>>, path: &Path, report: &mut Report) -> Option<Scopes> {
    let words = each(field.optional(path, report).unwrap_or_default(), path, report);
    let read: Option<Scopes> = words.iter().map(|word| Scope::parse(word)).collect();
    if read.is_none() {
        report.add(path, "a word that is no scope", "scopes without spaces and quotes");
    }
    if let Some(index) = words.iter().position(|word| word.starts_with(TRIGGER)) {
        let hint = "to start a workflow is a right of its own: put its name under `triggers`";
        report.advise(&path.item(index), "a scope that begins with `trigger:`", "scopes of tools", hint);
    }
    read
}

/// What the scope of a right to start a workflow begins with.
pub const TRIGGER: &str = "trigger:";

fn resources(
    field: Field<Vec<Field<String>>>,
    policy: Option<&Policy>,
    path: &Path,
    report: &mut Report,
) -> Vec<String> {
    let resources = each(field.required(path, report).unwrap_or_default(), path, report);
    let known = |resource: &String| {
        policy.is_none_or(|policy| policy.servers().any(|server| server.resource.as_str() == resource))
    };
    for (index, other) in resources.iter().enumerate().filter(|(_, resource)| !known(resource)) {
        report.add(&path.item(index), format!("`{other}`"), "the `resource` of a server in the policy");
    }
    resources
}

fn span(field: Field<Span>, least: Duration, most: Duration, path: &Path, report: &mut Report) -> Option<Duration> {
    let Span(span) = field.optional(path, report)?;
    if span < least || span > most {
        let accepted = format!("`{}s` to `{}s`", least.as_secs(), most.as_secs());
        report.add(path, format!("`{}s`", span.as_secs_f32()), accepted);
    }
    Some(span)
}

fn moment(field: Field<String>, path: &Path, report: &mut Report) -> Option<Time> {
    let text = field.optional(path, report)?;
    let read = humantime::parse_rfc3339(&text).ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    if read.is_none() {
        report.add(path, format!("`{text}`"), "a moment such as `2027-01-31T00:00:00Z`");
    }
    read.map(|since| Time::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
}
