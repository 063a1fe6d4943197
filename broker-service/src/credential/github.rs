//! `kind: github`: a token of a GitHub App's installation, narrowed to repositories and permissions, and revoked at the
//! end of the lease.
//!
//! Both can come from arguments of the call that the policy passes on; what GitHub answers is held against what was asked.

mod answer;
mod narrow;

use accredit_policy::Secret;
use accredit_policy::config::error::Path;
use accredit_policy::config::field::{Field, Members};
use accredit_policy::object;
use reqwest::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde_json::{Value, json};

use super::{Call, Ended, Failure, Ledger, Minted};
use crate::clock;
use crate::config::Files;
use crate::outbound::{self, Outbound};
use crate::signer::{Algorithm, Signer};
use narrow::Limits;

object! {
    /// The keys of `kind: github`.
    pub struct Raw {
        /// The identifier of the App, or its client identifier.
        pub app_id: Value,
        /// A file with the App's private key in PEM, mode `600`.
        pub key_file: String,
        /// The URL of the API; `https://api.github.com` unless given.
        pub api: String,
        /// A file with certificates in PEM to trust besides those of the system.
        pub ca_file: String,
        /// The installation.
        pub installation_id: u64,
        /// The account of the installation; only then may a repository be named with its owner.
        pub owner: String,
        /// The names of repositories, with places such as `{args.repo}`; or `all`.
        pub repositories: Value,
        /// The repositories that may be named: names, or beginnings of names followed by `*`; any unless given.
        pub allow_repositories: Vec<Field<String>>,
        /// Permissions: `read`, `write`, `admin`, or a place such as `{args.access}`.
        pub permissions: std::collections::BTreeMap<String, Field<String>>,
    }
}

/// A token of an installation.
#[derive(Debug)]
pub struct GitHub {
    app: String,
    signer: Signer,
    api: Url,
    outbound: Outbound,
    installation: u64,
    limits: Limits,
}

impl GitHub {
    /// The parts of the credential.
    pub const FIELDS: &'static [&'static str] = &["token"];

    /// Where it travels unless told otherwise.
    pub const HEADERS: &'static [(&'static str, &'static str)] = &[("authorization", "Bearer {token}")];

    /// Reads its keys.
    pub fn check(members: Members, files: &mut Files, path: &Path) -> Option<Self> {
        let raw: Raw = files.own(members, Raw::FIELDS, path);
        let Raw { app_id, key_file, api, ca_file, installation_id, owner, repositories, allow_repositories, .. } = raw;
        let app = app(app_id, files, &path.at("app_id"));
        let signer = files.key(key_file, &path.at("key_file")).and_then(|pem| {
            let bad = |bad: crate::signer::BadKey| {
                files.report.add(&path.at("key_file"), bad.to_string(), "an RSA key of 2048 bits or more in PEM");
            };
            Signer::read(&pem, Some(Algorithm::Rs256), None).map_err(bad).ok()
        });
        let api = if api.stands() { api } else { Field::Read("https://api.github.com".into()) };
        let api = files.url(api, &path.at("api"));
        let outbound = files.outbound(ca_file, &path.at("ca_file"));
        let installation = installation_id.required(&path.at("installation_id"), &mut files.report);
        let owner = files.maybe(owner, &path.at("owner"));
        let limits = Limits::check(owner, repositories, allow_repositories, raw.permissions, files, path);
        let (app, signer, api, outbound, installation) = (app?, signer?, api?, outbound?, installation?);
        Some(Self { app, signer, api, outbound, installation, limits: limits? })
    }

    /// Asks for a token for this call alone.
    ///
    /// [GitHub, Create an installation access token](https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app)
    pub async fn mint(&self, call: &Call<'_>, ledger: &impl Ledger) -> Result<Minted, Failure> {
        let wanted = self.limits.narrow(call.arguments)?;
        let installation = self.installation.to_string();
        let request =
            self.request(Method::POST, &["app", "installations", &installation, "access_tokens"], &self.jwt()?)?;
        let request = request.header(CONTENT_TYPE, "application/json").body(wanted.body().to_string());
        let answer = answer::read(&outbound::send(request).await?)?;
        // Kept before it is judged: what is refused here is alive there.
        let kept = ledger.keep(answer.token().clone()).await;
        let token = answer.token().clone();
        match kept.and_then(|()| answer.proved(&wanted)) {
            Ok(expires) => Ok(Minted { fields: [("token", token)].into(), expires: Some(expires) }),
            Err(failure) => {
                // The lease is ended as well; this is only sooner.
                let _ended = self.revoke(&token).await;
                Err(failure)
            }
        }
    }

    /// Revokes the token; one that was not received in time ends by itself.
    pub async fn end(&self, handle: Option<&Secret>) -> Result<Ended, Failure> {
        match handle {
            Some(token) => self.revoke(token).await,
            None => Ok(Ended::Expires),
        }
    }

    /// [GitHub, Revoke an installation access token](https://docs.github.com/en/rest/apps/installations#revoke-an-installation-access-token)
    async fn revoke(&self, token: &Secret) -> Result<Ended, Failure> {
        let reply = outbound::send(self.request(Method::DELETE, &["installation", "token"], token)?).await?;
        match reply.status {
            // A token nobody knows any more.
            StatusCode::NO_CONTENT | StatusCode::UNAUTHORIZED => Ok(Ended::Revoked),
            status => Err(Failure::Unavailable(format!("the answer has status {}", status.as_u16()))),
        }
    }

    fn request(&self, method: Method, path: &[&str], bearer: &Secret) -> Result<RequestBuilder, Failure> {
        let mut url = self.api.clone();
        let no_base = |()| Failure::Unavailable("the URL of the API has no path".into());
        url.path_segments_mut().map_err(no_base)?.pop_if_empty().extend(path);
        let request = self.outbound.client().request(method, url).bearer_auth(bearer.reveal());
        let request = request.header(ACCEPT, "application/vnd.github+json").header(USER_AGENT, "accredit");
        Ok(request.header("x-github-api-version", "2022-11-28"))
    }

    /// The App itself, for the next minutes.
    ///
    /// [GitHub, About authentication with a GitHub App](https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app):
    /// issued a minute ago against clocks that are behind, and at most ten minutes ahead.
    fn jwt(&self) -> Result<Secret, Failure> {
        let now = clock::now().seconds();
        let claims = json!({ "iss": self.app, "iat": now.saturating_sub(60), "exp": now.saturating_add(9 * 60) });
        self.signer.sign(&claims).map_err(|_| Failure::Unavailable("the JWT of the App was not signed".into()))
    }
}

/// A number, or a text as `Iv23liAbC`.
fn app(field: Field<Value>, files: &mut Files, path: &Path) -> Option<String> {
    let found = match field.required(path, &mut files.report)? {
        Value::Number(number) if number.is_u64() => Some(number.to_string()),
        Value::String(text) => {
            let plain =
                (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
            plain.then_some(text)
        }
        _ => None,
    };
    if found.is_none() {
        files.report.add(path, "another value", "the number of an App, or its client identifier");
    }
    found
}
