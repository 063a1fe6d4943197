//! From `broker.yaml` to a [`Config`], with every mistake reported at once.

mod agents;
mod audit;
mod credentials;
mod delegation;
mod keys;
mod listener;
pub mod raw;
pub mod secrets;
mod signals;
mod target;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path as Folder, PathBuf};
use std::time::Duration;

use accredit_policy::config::error::{Path, Report};
use accredit_policy::config::field::{Field, refuse_unknown};
use accredit_policy::config::unit::Span;
use accredit_policy::config::{self, ConfigErrors};
use accredit_policy::policy::Resource;
use accredit_policy::{Policy, Secret};
use serde::Deserialize as _;
use serde_json::Value;
use zeroize::Zeroizing;

pub use agents::Agent;
pub use audit::Audit;
pub use listener::{Clients, Listen};
use secrets::Wrapping;

use crate::agents::profile;
use crate::credential::Definition;
use crate::keys::Schedule;
use crate::proxies::Proxies;
use crate::sessions::Rotation;
use crate::signals::Signals;
use crate::store::{Database, SPAN, SPANS, Server};

/// The shortest secret: 128 bits in hexadecimal.
const SECRET: usize = 32;

/// Everything the broker needs to know, secrets read.
#[derive(Debug)]
pub struct Config {
    /// The public URL, the `iss` of its tokens.
    pub issuer: String,
    /// Where and how to listen.
    pub listen: Listen,
    /// The folder of the database.
    pub data: PathBuf,
    /// Where the database is.
    pub database: Database,
    /// What the proxies enforce.
    pub policy: Policy,
    /// The operators' bearer token.
    pub operator: Secret,
    /// The proxies there are.
    pub proxies: Proxies,
    /// Agents to register.
    pub agents: Vec<Agent>,
    /// The credentials there are.
    pub credentials: BTreeMap<String, Definition>,
    /// What wraps the keys that seal at rest.
    pub secrets: Wrapping,
    /// How long keys of sessions live.
    pub rotation: Rotation,
    /// The enterprises' issuers, without a server.
    pub enterprises: Policy,
    /// The transmitters of security events.
    pub signals: Signals,
    /// The most actors a chain may have.
    pub max_depth: usize,
    /// When keys that sign tokens take turns.
    pub signing_keys: Schedule,
    /// How long records are kept, and where they and checkpoints of them go.
    pub audit: Audit,
}

/// Why a file cannot be used.
#[derive(Debug)]
pub enum Unusable {
    /// It cannot be read.
    Read(PathBuf, std::io::Error),
    /// It is not YAML.
    Yaml(PathBuf, String),
    /// It says something wrong.
    Content(PathBuf, ConfigErrors),
}

impl fmt::Display for Unusable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => write!(formatter, "{}: {error}", path.display()),
            Self::Yaml(path, error) => write!(formatter, "{}: not YAML: {error}", path.display()),
            Self::Content(path, errors) => {
                for (index, error) in errors.iter().enumerate() {
                    let gap = if index == 0 { "" } else { "\n" };
                    write!(formatter, "{gap}{}: {error}", path.display())?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for Unusable {}

/// Reads a policy file, YAML or JSON.
pub fn policy(path: &Folder) -> Result<Policy, Unusable> {
    config::read(yaml(path)?).map_err(|errors| Unusable::Content(path.to_owned(), errors))
}

/// Reads `broker.yaml` and all it names.
pub fn broker(path: &Folder) -> Result<Config, Unusable> {
    let value = yaml(path)?;
    let mut files = Files::at(path.parent().unwrap_or(Folder::new("")));
    let raw = raw::File::deserialize(value).unwrap_or_default();
    let at = Path::root().at("policy");
    let policy = match raw.policy.clone().required(&at, &mut files.report) {
        Some(name) => Some(policy(&files.folder.join(name))?),
        None => None,
    };
    let config = files.check(raw, policy);
    files.report.finish(config).map_err(|errors| Unusable::Content(path.to_owned(), errors))
}

/// Reads a file of YAML, of which JSON is a part; names that stand twice are refused.
fn yaml(path: &Folder) -> Result<Value, Unusable> {
    let text = std::fs::read_to_string(path).map_err(|error| Unusable::Read(path.to_owned(), error))?;
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(&text, options)
        .map_err(|error| Unusable::Yaml(path.to_owned(), error.to_string().replace('\n', " ")))
}

/// The rules of the file, and the folder its paths start at.
pub struct Files {
    folder: PathBuf,
    /// What is wrong so far.
    pub report: Report,
}

impl Files {
    /// Nothing read, nothing wrong yet.
    pub fn at(folder: &Folder) -> Self {
        Self { folder: folder.to_owned(), report: Report::default() }
    }

    fn check(&mut self, raw: raw::File, policy: Option<Policy>) -> Option<Config> {
        let raw::File {
            version,
            issuer,
            listen,
            insecure,
            tls,
            limits,
            data,
            store,
            policy: _,
            operators,
            proxies,
            agents,
            credentials,
            secrets,
            session_keys,
            enterprise,
            signals,
            delegation,
            signing_keys,
            audit,
            unknown,
        } = raw;
        let root = Path::root();
        refuse_unknown(&unknown, raw::File::FIELDS, &root, &mut self.report);
        if let Some(other) = version.required(&root.at("version"), &mut self.report).filter(|version| *version != 1) {
            self.report.add(&root.at("version"), format!("`{other}`"), "`1`");
        }
        let issuer = issuer.required(&root.at("issuer"), &mut self.report);
        if let Some(url) = issuer.as_ref().filter(|url| Resource::parse(url).is_none()) {
            self.report.add(&root.at("issuer"), format!("`{url}`"), "an `https://` or `http://` URL");
        }
        let (listen, clients) = self.listener(listen, insecure, tls, limits);
        let data = data.required(&root.at("data"), &mut self.report).map(|data| self.folder.join(data));
        let database = self.database(store, data.as_deref(), &root.at("store"));
        let operator = operators.required(&root.at("operators"), &mut self.report);
        let operator = operator.and_then(|raw::Operators { token_file, unknown }| {
            let at = root.at("operators");
            refuse_unknown(&unknown, raw::Operators::FIELDS, &at, &mut self.report);
            self.secret(token_file, &at.at("token_file"))
        });
        let proxies = self.proxies(proxies, clients, &root.at("proxies"));
        let agents = self.agents(agents, policy.as_ref(), &root.at("agents"));
        let credentials = self.credentials(credentials, policy.as_ref(), &root.at("credentials"));
        let secrets = self.wrapping(secrets, database.as_ref(), &root.at("secrets"));
        let rotation = self.rotation(session_keys, &root.at("session_keys"));
        let enterprises = self.enterprises(enterprise, issuer.as_deref(), &root.at("enterprise"));
        let signals = self.signals(signals, issuer.as_deref(), policy.as_ref(), &enterprises);
        let max_depth = self.delegation(delegation, &root.at("delegation"));
        let signing_keys = self.schedule(signing_keys, &root.at("signing_keys"));
        let audit = self.audit(audit, &root.at("audit"));
        self.own_keys(policy.as_ref(), issuer.as_deref(), &root.at("policy"));
        let (issuer, listen, data, policy, operator) = (issuer?, listen?, data?, policy?, operator?);
        let database = database?;
        Some(Config {
            issuer,
            listen,
            data,
            database,
            policy,
            operator,
            proxies,
            agents,
            credentials,
            secrets,
            rotation,
            enterprises,
            signals,
            max_depth,
            signing_keys,
            audit,
        })
    }

    fn database(&mut self, store: Field<raw::Store>, data: Option<&Folder>, path: &Path) -> Option<Database> {
        let raw::Store { postgres, unknown } = store.optional(path, &mut self.report).unwrap_or_default();
        refuse_unknown(&unknown, raw::Store::FIELDS, path, &mut self.report);
        let at = path.at("postgres");
        let Some(raw::Postgres { url_file, partition, unknown }) = postgres.optional(&at, &mut self.report) else {
            return data.map(|data| Database::Sqlite(data.to_owned()));
        };
        refuse_unknown(&unknown, raw::Postgres::FIELDS, &at, &mut self.report);
        let span = self.partition(partition, &at.at("partition"));
        let url = self.file(url_file, &at.at("url_file"))?;
        if ["postgres://", "postgresql://"].iter().any(|scheme| url.reveal().starts_with(scheme)) {
            return Some(Database::Postgres(Server { url, span: span? }));
        }
        self.report.add(&at.at("url_file"), "a text that is not shown", "a URL that begins with `postgres://`");
        None
    }

    fn partition(&mut self, field: Field<u64>, path: &Path) -> Option<i64> {
        let Some(span) = field.optional(path, &mut self.report) else {
            return Some(SPAN);
        };
        if !SPANS.contains(&span) {
            self.report.add(path, format!("`{span}`"), format!("`{}` to `{}`", SPANS.start(), SPANS.end()));
        }
        i64::try_from(span).ok()
    }

    fn rotation(&mut self, field: Field<raw::SessionKeys>, path: &Path) -> Rotation {
        let raw = field.optional(path, &mut self.report).unwrap_or_default();
        let raw::SessionKeys { rotate, overlap, unknown } = raw;
        refuse_unknown(&unknown, raw::SessionKeys::FIELDS, path, &mut self.report);
        let [rotate, overlap] = [(rotate, "rotate"), (overlap, "overlap")].map(|(field, name)| {
            let span = field.optional(&path.at(name), &mut self.report);
            let span = span.map_or(Duration::from_secs(24 * 3600), |Span(span)| span);
            if span < Duration::from_secs(600) || span > Duration::from_secs(30 * 24 * 3600) {
                self.report.add(&path.at(name), "less than ten minutes or more than 30 days", "`10m` to `720h`");
            }
            span
        });
        Rotation { rotate, overlap }
    }

    /// A short text for people, or an identifier.
    pub fn text(&mut self, field: Field<String>, path: &Path) -> Option<String> {
        profile::text(field, path, &mut self.report)
    }

    /// Reads the file a field names; its content is not shown, whatever is wrong with it.
    pub fn file(&mut self, field: Field<String>, path: &Path) -> Option<Secret> {
        let name = self.place(field, path)?;
        match std::fs::read_to_string(&name).map(Zeroizing::new) {
            Ok(text) => Some(Secret::new(text.trim())),
            Err(error) => {
                self.report.add(path, format!("`{}`, which cannot be read: {error}", name.display()), "a file");
                None
            }
        }
    }

    /// The same for a secret that nobody can guess.
    pub fn secret(&mut self, field: Field<String>, path: &Path) -> Option<Secret> {
        let text = self.file(field, path)?;
        if text.reveal().len() < SECRET {
            let hint = "make one with `openssl rand -hex 32`";
            let found = format!("a secret of {} characters", text.reveal().len());
            self.report.advise(path, found, "at least 32", hint);
            return None;
        }
        Some(text)
    }

    /// The URL of a server we ask, without a slash at the end: secrets travel there, so without TLS only on this machine.
    pub fn address(&mut self, field: Field<String>, path: &Path) -> Option<String> {
        let text = field.required(path, &mut self.report)?;
        let local = |url: &str| {
            let url = reqwest::Url::parse(url).ok();
            let host = url.as_ref().and_then(reqwest::Url::host_str).unwrap_or_default().trim_matches(['[', ']']);
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        };
        let read = Resource::parse(&text).filter(|_| text.starts_with("https://") || local(&text));
        if read.is_none() {
            self.report.add(path, format!("`{text}`"), "an `https://` URL, or an `http://` URL of this machine");
        }
        read.map(|read| read.as_str().trim_end_matches('/').to_owned())
    }

    /// The file a field names, which need not be there.
    pub fn place(&mut self, field: Field<String>, path: &Path) -> Option<PathBuf> {
        Some(self.folder.join(field.required(path, &mut self.report)?))
    }
}
