//! `kind: aws`: a session of a role, from AWS's Security Token Service.
//!
//! AWS gives no session of less than 15 minutes and takes none back. What a lease promises is therefore in the session's
//! own policy: from the end of the lease on it allows nothing. The keys themselves expire later, by themselves.

mod answer;
mod label;
mod policy;
mod request;

use std::collections::BTreeMap;
use std::time::Duration;

use accredit_policy::Secret;
use accredit_policy::config::error::Path;
use accredit_policy::config::field::{Field, Members, each, entries, list, refuse_unknown};
use accredit_policy::config::unit::Span;
use accredit_policy::object;
use reqwest::Url;
use serde_json::{Value, json};

use super::template::Template;
use super::{Call, Failure, Minted};
use crate::clock;
use crate::config::Files;
use crate::outbound::{self, Outbound};
use policy::Policy;
use request::Form;

/// The shortest and the longest session.
///
/// [AWS STS, AssumeRole](https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html): `DurationSeconds`.
const SESSION: [Duration; 2] = [Duration::from_secs(900), Duration::from_secs(12 * 3600)];

/// How long the broker's word on an agent is good for.
const LIFETIME: Duration = Duration::from_secs(300);

object! {
    /// The keys of `kind: aws`.
    pub struct Raw {
        /// `assume_role`, or `web_identity` with the broker as the provider of identities.
        pub operation: String,
        /// The role.
        pub role_arn: String,
        /// The region whose service is asked.
        pub region: String,
        /// The URL of the service; that of the region unless given.
        pub endpoint: String,
        /// A file with certificates in PEM to trust besides those of the system.
        pub ca_file: String,
        /// The name of the session, with places from the facts of the call; `{agent}` unless given. What AWS does not take
        /// is written as `=` and two digits.
        pub session_name: String,
        /// How long AWS lets the keys live, `15m` to `12h`; `15m` unless given. The lease ends before, by the session's
        /// policy.
        pub duration: Span,
        /// A policy that narrows the session; its texts have places from the facts of the call, and `${{…}}` for AWS's own.
        pub policy: Value,
        /// Policies at AWS that narrow the session.
        pub policy_arns: Vec<Field<String>>,
        /// Tags of the session, with places from the facts of the call. What AWS does not take is written as `=` and two
        /// digits.
        pub tags: BTreeMap<String, Field<String>>,
        /// The keys that `assume_role` is signed with.
        pub credentials: Keys,
        /// The `external_id` that the role asks for; with `assume_role`.
        pub external_id: String,
        /// The `aud` of the broker's token; with `web_identity`, `sts.amazonaws.com` unless given.
        pub audience: String,
        /// The `sub` of the broker's token, with places from the facts of the call; with `web_identity`, `{agent}` unless
        /// given.
        pub subject: String,
    }
}

object! {
    /// The keys of an AWS user.
    pub struct Keys {
        /// A file with the identifier of the key.
        pub access_key_id_file: String,
        /// A file with the key.
        pub secret_access_key_file: String,
    }
}

/// A session of a role.
#[derive(Debug)]
pub struct Aws {
    operation: Operation,
    role: String,
    region: String,
    endpoint: Url,
    outbound: Outbound,
    name: Template,
    duration: Duration,
    policy: Policy,
    arns: Vec<String>,
    tags: Vec<(String, Template)>,
}

#[derive(Debug)]
enum Operation {
    AssumeRole { id: Secret, key: Secret, external: Option<String> },
    WebIdentity { audience: String, subject: Template },
}

impl Aws {
    /// The parts of the credential.
    pub const FIELDS: &'static [&'static str] = &["access_key_id", "secret_access_key", "session_token"];

    /// Where it travels unless told otherwise.
    pub const HEADERS: &'static [(&'static str, &'static str)] = &[
        ("x-aws-access-key-id", "{access_key_id}"),
        ("x-aws-secret-access-key", "{secret_access_key}"),
        ("x-aws-session-token", "{session_token}"),
    ];

    /// The longest lease.
    pub const LONGEST: Duration = SESSION[1];

    /// Reads its keys.
    pub fn check(members: Members, files: &mut Files, path: &Path) -> Option<Self> {
        let raw: Raw = files.own(members, Raw::FIELDS, path);
        let word = raw.operation.clone().required(&path.at("operation"), &mut files.report);
        let operation = word.and_then(|word| operation(&word, &raw, files, path));
        let role = matching(raw.role_arn, arn, "the ARN of a role", files, &path.at("role_arn"));
        let region = matching(raw.region, region, "a region as `eu-central-1`", files, &path.at("region"));
        let usual = region.as_deref().map(home).unwrap_or_default();
        let endpoint = if raw.endpoint.stands() { raw.endpoint } else { Field::Read(usual) };
        // Nothing more to say where the region is wrong already.
        let endpoint = match region {
            Some(_) => files.url(endpoint, &path.at("endpoint")),
            None => None,
        };
        let outbound = files.outbound(raw.ca_file, &path.at("ca_file"));
        let name = files.template(raw.session_name, "{agent}", &path.at("session_name"));
        let [shortest, longest] = SESSION;
        let duration = files.span(raw.duration, shortest..=longest, &path.at("duration")).unwrap_or(shortest);
        let arns = arns(raw.policy_arns, files, &path.at("policy_arns"));
        let policy = Policy::check(raw.policy, arns.is_empty(), files, &path.at("policy"));
        let tags = tags(raw.tags, files, &path.at("tags"));
        let (operation, role, region, endpoint) = (operation?, role?, region?, endpoint?);
        let (outbound, name, policy) = (outbound?, name?, policy?);
        Some(Self { operation, role, region, endpoint, outbound, name, duration, policy, arns, tags })
    }

    /// How long AWS lets the keys live; no lease is longer.
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// Opens a session that is over with the lease.
    pub async fn mint(&self, call: &Call<'_>) -> Result<Minted, Failure> {
        let fact = |name: &str| call.fact(name);
        let empty = |what: &str| Failure::Refused(format!("the {what} comes to nothing"));
        let name = self.name.render(fact).filter(|name| !name.is_empty()).ok_or_else(|| empty("session's name"))?;
        let tags = self.tags.iter().map(|(key, value)| Some((key.as_str(), label::tag(&value.render(fact)?))));
        let tags = tags.collect::<Option<Vec<_>>>().ok_or_else(|| empty("value of a tag"))?;
        let mut form = Form::default();
        form.add("Version", "2011-06-15");
        form.add("RoleArn", &self.role);
        form.add("RoleSessionName", &label::session(&name));
        form.add("DurationSeconds", &self.duration.as_secs().to_string());
        form.add("Policy", &self.policy.render(call.lease.expires, fact)?);
        for (index, arn) in (1..).zip(&self.arns) {
            form.add(&format!("PolicyArns.member.{index}.arn"), arn);
        }
        let request = match &self.operation {
            Operation::AssumeRole { id, key, external } => {
                form.add("Action", "AssumeRole");
                external.iter().for_each(|external| form.add("ExternalId", external));
                for (index, (key, value)) in (1..).zip(&tags) {
                    form.add(&format!("Tags.member.{index}.Key"), key);
                    form.add(&format!("Tags.member.{index}.Value"), value);
                }
                request::signed(&self.outbound, &self.endpoint, &self.region, [id, key], &form)?
            }
            Operation::WebIdentity { audience, subject } => {
                let subject =
                    subject.render(fact).filter(|subject| !subject.is_empty()).ok_or_else(|| empty("subject"))?;
                form.add("Action", "AssumeRoleWithWebIdentity");
                form.add("WebIdentityToken", identity(call, audience, &subject, &tags)?.reveal());
                request::plain(&self.outbound, &self.endpoint, &form)
            }
        };
        answer::read(&outbound::send(request).await?)
    }
}

/// The broker's word on the agent.
///
/// [AWS, Session tags](https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html#id_session-tags_adding-assume-role-idp):
/// tags are in the token, since the request has none.
fn identity(call: &Call<'_>, audience: &str, subject: &str, tags: &[(&str, String)]) -> Result<Secret, Failure> {
    let now = clock::now();
    let principal: BTreeMap<_, _> = tags.iter().map(|(key, value)| (*key, [value])).collect();
    let claims = json!({
        "iss": call.issuer.url(),
        "sub": subject,
        "aud": audience,
        "jti": call.lease.id,
        "iat": now.seconds(),
        "exp": now.plus(LIFETIME).seconds(),
        "https://aws.amazon.com/tags": { "principal_tags": principal },
    });
    call.issuer.sign("JWT", claims).map_err(|_| Failure::Unavailable("the identity was not signed".into()))
}

fn operation(word: &str, raw: &Raw, files: &mut Files, path: &Path) -> Option<Operation> {
    let assume = [("credentials", raw.credentials.stands()), ("external_id", raw.external_id.stands())];
    let web = [("audience", raw.audience.stands()), ("subject", raw.subject.stands())];
    let others = match word {
        "assume_role" => web,
        "web_identity" => assume,
        _ => {
            files.report.add(&path.at("operation"), format!("`{word}`"), list(&["assume_role", "web_identity"]));
            return None;
        }
    };
    for (name, _) in others.into_iter().filter(|(_, stands)| *stands) {
        files.report.add(&path.at(name), "a key of the other operation", format!("nothing with `{word}`"));
    }
    if word == "web_identity" {
        let audience =
            if raw.audience.stands() { raw.audience.clone() } else { Field::Read("sts.amazonaws.com".into()) };
        let audience = files.text(audience, &path.at("audience"));
        let subject = files.template(raw.subject.clone(), "{agent}", &path.at("subject"));
        return Some(Operation::WebIdentity { audience: audience?, subject: subject? });
    }
    let at = path.at("credentials");
    let keys = raw.credentials.clone().required(&at, &mut files.report)?;
    let Keys { access_key_id_file, secret_access_key_file, unknown } = keys;
    refuse_unknown(&unknown, Keys::FIELDS, &at, &mut files.report);
    let id = files.given(access_key_id_file, &at.at("access_key_id_file"));
    let key = files.given(secret_access_key_file, &at.at("secret_access_key_file"));
    let external = files.maybe(raw.external_id.clone(), &path.at("external_id"));
    Some(Operation::AssumeRole { id: id?, key: key?, external })
}

fn tags(field: Field<BTreeMap<String, Field<String>>>, files: &mut Files, path: &Path) -> Vec<(String, Template)> {
    let map = field.optional(path, &mut files.report).unwrap_or_default();
    if map.len() > 50 {
        files.report.add(path, format!("{} tags", map.len()), "at most 50");
    }
    let read = entries(map, path, &mut files.report).into_iter().filter_map(|(key, text)| {
        let at = path.at(&key);
        if !label::key(&key) {
            files.report.add(
                &at,
                format!("`{key}`"),
                "a tag of 1 to 128 letters, digits, spaces and `_.:/=+-@`, not `aws:`",
            );
        }
        Some((key, files.template(Field::Read(text), "", &at)?))
    });
    read.collect()
}

fn arns(field: Field<Vec<Field<String>>>, files: &mut Files, path: &Path) -> Vec<String> {
    let items = each(field.optional(path, &mut files.report).unwrap_or_default(), path, &mut files.report);
    if items.len() > 10 {
        files.report.add(path, format!("{} policies", items.len()), "at most 10");
    }
    for (index, item) in items.iter().enumerate().filter(|(_, item)| !arn(item)) {
        files.report.add(&path.item(index), format!("`{item}`"), "the ARN of a policy");
    }
    items
}

fn matching(
    field: Field<String>,
    right: impl Fn(&str) -> bool,
    accepted: &str,
    files: &mut Files,
    path: &Path,
) -> Option<String> {
    let text = field.required(path, &mut files.report)?;
    if right(&text) {
        return Some(text);
    }
    files.report.add(path, format!("`{text}`"), accepted);
    None
}

fn arn(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic();
    text.starts_with("arn:aws") && text.contains(":iam::") && text.len() <= 2048 && text.bytes().all(plain)
}

fn region(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=32).contains(&text.len()) && text.bytes().all(plain)
}

/// [AWS, STS endpoints](https://docs.aws.amazon.com/general/latest/gr/sts.html)
fn home(region: &str) -> String {
    let china = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("https://sts.{region}.amazonaws.com{china}")
}

#[cfg(test)]
mod tests;
