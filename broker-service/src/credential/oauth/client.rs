//! What the broker is known by at another authorization server: a secret, or a key.

use std::fmt;
use std::time::Duration;

use accredit_policy::Secret;
use accredit_policy::config::error::Path;
use accredit_policy::config::field::{Field, list, refuse_unknown};
use accredit_policy::object;
use accredit_policy::token::encode;
use form_urlencoded::{Serializer, byte_serialize};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{RequestBuilder, Url};
use serde_json::json;
use zeroize::Zeroizing;

use super::super::Failure;
use crate::clock;
use crate::config::Files;
use crate::outbound::Outbound;
use crate::signer::{Algorithm, Signer};

/// How long an assertion is good for.
pub const LIFETIME: Duration = Duration::from_secs(60);

object! {
    /// What the broker is known by at the authorization server: a secret, or a key.
    pub struct Raw {
        /// Its client identifier there.
        pub id: String,
        /// A file that holds its secret there.
        pub secret_file: String,
        /// A file with its private key in PEM, mode `600`: P-256, or RSA of 2048 bits or more.
        pub key_file: String,
        /// The identifier of the key.
        pub kid: String,
        /// `ES256`, `PS256` or `RS256`; by the kind of the key unless given.
        pub alg: String,
        /// The `aud` of what the key signs; the token endpoint unless given.
        pub assertion_audience: String,
    }
}

/// A client of another authorization server.
#[derive(Debug)]
pub struct Client {
    id: String,
    audience: String,
    method: Method,
}

#[derive(Debug)]
enum Method {
    Secret(Secret),
    Key(Signer),
}

/// The parameters of a request; they can hold secrets.
#[derive(Default)]
pub struct Form(Vec<(&'static str, Zeroizing<String>)>);

impl Client {
    /// Reads its keys.
    pub fn check(field: Field<Raw>, endpoint: Option<&Url>, files: &mut Files, path: &Path) -> Option<Self> {
        let raw = field.required(path, &mut files.report)?;
        let Raw { id, secret_file, key_file, kid, alg, assertion_audience, unknown } = raw;
        refuse_unknown(&unknown, Raw::FIELDS, path, &mut files.report);
        let id = files.text(id, &path.at("id"));
        let audience = files.maybe(assertion_audience, &path.at("assertion_audience"));
        let kid = files.maybe(kid, &path.at("kid"));
        let alg = alg.optional(&path.at("alg"), &mut files.report).and_then(|name| algorithm(&name, files, path));
        let method = match (secret_file.stands(), key_file.stands()) {
            (true, false) => Method::Secret(files.given(secret_file, &path.at("secret_file"))?),
            (false, true) => {
                let (at, pem) = (path.at("key_file"), files.key(key_file, &path.at("key_file"))?);
                let tell = |bad: crate::signer::BadKey| files.report.add(&at, bad.to_string(), Signer::ACCEPTED);
                Method::Key(Signer::read(&pem, alg, kid).map_err(tell).ok()?)
            }
            (both, _) => {
                files.report.add(path, if both { "both" } else { "neither" }, "one of `secret_file`, `key_file`");
                return None;
            }
        };
        let audience = audience.or_else(|| endpoint.map(Url::to_string))?;
        Some(Self { id: id?, audience, method })
    }

    /// By what name the server is told that something is meant for it.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// A request with `form` that proves who sends it.
    pub fn request(&self, outbound: &Outbound, endpoint: &Url, mut form: Form) -> Result<RequestBuilder, Failure> {
        let mut request = outbound.client().post(endpoint.clone()).header(ACCEPT, "application/json");
        match &self.method {
            // [RFC 6749 §2.3.1](https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1): encoded, then joined.
            Method::Secret(secret) => {
                let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
                let secret = Zeroizing::new(encoded(secret.reveal()));
                request = request.basic_auth(encoded(&self.id), Some(&*secret));
            }
            Method::Key(signer) => {
                form.add("client_id", &self.id);
                form.add("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
                form.add("client_assertion", self.assertion(signer)?.reveal());
            }
        }
        let body = form.body().to_string();
        Ok(request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body))
    }

    /// [RFC 7523 §3](https://www.rfc-editor.org/rfc/rfc7523#section-3)
    fn assertion(&self, signer: &Signer) -> Result<Secret, Failure> {
        let unsigned = || Failure::Unavailable("the client assertion was not signed".into());
        let now = clock::now();
        signer
            .sign(&json!({
                "iss": self.id,
                "sub": self.id,
                "aud": self.audience,
                "jti": encode(&clock::random::<16>().map_err(|_| unsigned())?),
                "iat": now.seconds(),
                "exp": now.plus(LIFETIME).seconds(),
            }))
            .map_err(|_| unsigned())
    }
}

fn algorithm(name: &str, files: &mut Files, path: &Path) -> Option<Algorithm> {
    let found = Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name);
    if found.is_none() {
        files.report.add(&path.at("alg"), format!("`{name}`"), list(&Algorithm::ALL.map(Algorithm::name)));
    }
    found
}

impl Form {
    /// Adds one parameter.
    pub fn add(&mut self, name: &'static str, value: &str) {
        self.0.push((name, Zeroizing::new(value.to_owned())));
    }

    /// All of them, encoded.
    pub fn body(&self) -> Zeroizing<String> {
        let mut serializer = Serializer::new(String::new());
        self.0.iter().for_each(|(name, value)| {
            serializer.append_pair(name, value);
        });
        Zeroizing::new(serializer.finish())
    }
}

/// Names only.
impl fmt::Debug for Form {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}
