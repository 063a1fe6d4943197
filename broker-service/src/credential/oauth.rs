//! `kind: oauth`: a token of another authorization server.
//!
//! ```text
//! client_credentials   the broker's own rights there; one token for many calls, kept until near its end
//! token_exchange       the agent's token against one for this call alone, taken back at the end of the lease
//! ```

mod answer;
mod cache;
mod client;

use accredit_policy::Secret;
use accredit_policy::config::error::Path;
use accredit_policy::config::field::{Members, list};
use accredit_policy::object;
use accredit_policy::wire::exchange::ACCESS_TOKEN;
use reqwest::{StatusCode, Url};
use serde_json::json;

use super::template::Template;
use super::{Call, Ended, Failure, Ledger, Minted};
use crate::clock;
use crate::config::Files;
use crate::outbound::{self, Outbound};
use answer::{Asked, Received};
use cache::Cache;
use client::{Client, Form};

object! {
    /// The keys of `kind: oauth`.
    pub struct Raw {
        /// `client_credentials` or `token_exchange`.
        pub grant: String,
        /// The URL of the token endpoint, `https://` or on loopback.
        pub token_endpoint: String,
        /// The URL where tokens of an exchange are revoked at the end of the lease; without it they are good until they
        /// expire.
        pub revocation_endpoint: String,
        /// A file with certificates in PEM to trust besides those of the system.
        pub ca_file: String,
        /// What the broker is known by there.
        pub client: client::Raw,
        /// What to ask for, with places from the facts of the call; the scope of the call unless given.
        pub scope: String,
        /// The `resource` to ask for.
        pub resource: String,
        /// The `audience` to ask for.
        pub audience: String,
        /// Names the agent in an actor token signed by the broker; in an exchange only.
        pub actor: bool,
    }
}

/// A token of another authorization server.
#[derive(Debug)]
pub struct OAuth {
    grant: Grant,
    token: Url,
    revocation: Option<Url>,
    outbound: Outbound,
    client: Client,
    scope: Template,
    resource: Option<String>,
    audience: Option<String>,
}

#[derive(Debug)]
enum Grant {
    /// [RFC 6749 §4.4](https://www.rfc-editor.org/rfc/rfc6749#section-4.4)
    ClientCredentials(Cache),
    /// [RFC 8693 §2.1](https://www.rfc-editor.org/rfc/rfc8693#section-2.1)
    TokenExchange(Actor),
}

/// Who is said to act, besides what the agent's token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Actor {
    Agent,
    Unnamed,
}

impl OAuth {
    /// The parts of the credential.
    pub const FIELDS: &'static [&'static str] = &["token"];

    /// Where it travels unless told otherwise.
    pub const HEADERS: &'static [(&'static str, &'static str)] = &[("authorization", "Bearer {token}")];

    /// Reads its keys.
    pub fn check(members: Members, files: &mut Files, path: &Path) -> Option<Self> {
        let Raw {
            grant,
            token_endpoint,
            revocation_endpoint,
            ca_file,
            client,
            scope,
            resource,
            audience,
            actor,
            unknown: _,
        } = files.own(members, Raw::FIELDS, path);
        let exchange = ["revocation_endpoint", "actor"].into_iter().zip([revocation_endpoint.stands(), actor.stands()]);
        let exchange: Vec<_> = exchange.filter(|(_, stands)| *stands).map(|(name, _)| name).collect();
        let actor = actor.optional(&path.at("actor"), &mut files.report).unwrap_or_default();
        let grant = match grant.required(&path.at("grant"), &mut files.report)?.as_str() {
            "client_credentials" => {
                for name in exchange {
                    let hint = "a token of client credentials serves many calls and is not revoked";
                    files.report.advise(&path.at(name), "a key of exchanges", "nothing with this `grant`", hint);
                }
                Some(Grant::ClientCredentials(Cache::default()))
            }
            "token_exchange" => Some(Grant::TokenExchange(if actor { Actor::Agent } else { Actor::Unnamed })),
            other => {
                files.report.add(
                    &path.at("grant"),
                    format!("`{other}`"),
                    list(&["client_credentials", "token_exchange"]),
                );
                None
            }
        };
        let token = files.url(token_endpoint, &path.at("token_endpoint"));
        let revocation = match revocation_endpoint.stands() {
            true => Some(files.url(revocation_endpoint, &path.at("revocation_endpoint"))?),
            false => None,
        };
        let outbound = files.outbound(ca_file, &path.at("ca_file"));
        let client = Client::check(client, token.as_ref(), files, &path.at("client"));
        let scope = files.template(scope, "{scope}", &path.at("scope"));
        let resource = files.maybe(resource, &path.at("resource"));
        let audience = files.maybe(audience, &path.at("audience"));
        let (grant, token, outbound, client, scope) = (grant?, token?, outbound?, client?, scope?);
        Some(Self { grant, token, revocation, outbound, client, scope, resource, audience })
    }

    /// Whether what it gives depends on the agent's very token.
    pub fn exchanges(&self) -> bool {
        matches!(self.grant, Grant::TokenExchange(_))
    }

    /// Whether a token is left that has to be revoked.
    pub fn outlives(&self) -> bool {
        matches!(self.grant, Grant::TokenExchange(_)) && self.revocation.is_some()
    }

    /// Asks for a token, or takes the one that is kept.
    pub async fn mint(&self, call: &Call<'_>, ledger: &impl Ledger) -> Result<Minted, Failure> {
        let scope = self.scope.render(|name| call.fact(name)).unwrap_or_default();
        let mut form = Form::default();
        let places =
            [("scope", Some(&scope)), ("resource", self.resource.as_ref()), ("audience", self.audience.as_ref())];
        for (name, value) in places {
            value.into_iter().filter(|value| !value.is_empty()).for_each(|value| form.add(name, value));
        }
        let received = match &self.grant {
            Grant::ClientCredentials(cache) => {
                form.add("grant_type", "client_credentials");
                let key = form.body().to_string();
                cache.take(key, async || self.ask(form).await?.proved(Asked::Client, &scope)).await?
            }
            Grant::TokenExchange(actor) => self.exchange(*actor, form, &scope, call, ledger).await?,
        };
        Ok(Minted { fields: [("token", received.token)].into(), expires: received.expires })
    }

    /// Revokes the token of an exchange; one that was not received in time ends by itself.
    pub async fn end(&self, handle: Option<&Secret>) -> Result<Ended, Failure> {
        match (&self.revocation, handle) {
            (Some(endpoint), Some(token)) => self.revoke(endpoint, token).await,
            _ => Ok(Ended::Expires),
        }
    }

    async fn exchange(
        &self,
        actor: Actor,
        mut form: Form,
        scope: &str,
        call: &Call<'_>,
        ledger: &impl Ledger,
    ) -> Result<Received, Failure> {
        form.add("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange");
        form.add("subject_token", call.token.reveal());
        form.add("subject_token_type", ACCESS_TOKEN);
        form.add("requested_token_type", ACCESS_TOKEN);
        if actor == Actor::Agent {
            form.add("actor_token", self.actor(call)?.reveal());
            form.add("actor_token_type", "urn:ietf:params:oauth:token-type:jwt");
        }
        let answer = self.ask(form).await?;
        let Some(endpoint) = &self.revocation else {
            return answer.proved(Asked::Exchange, scope);
        };
        // Kept before it is judged: what is refused here is alive there.
        let token = answer.token().clone();
        let kept = ledger.keep(token.clone()).await;
        let judged = kept.and_then(|()| answer.proved(Asked::Exchange, scope));
        if judged.is_err() {
            // The lease is ended as well; this is only sooner.
            let _ended = self.revoke(endpoint, &token).await;
        }
        judged
    }

    /// Who acts, in the word of the broker, and for that server alone.
    fn actor(&self, call: &Call<'_>) -> Result<Secret, Failure> {
        let now = clock::now();
        let claims = json!({
            "iss": call.issuer.url(),
            "sub": call.verified.claims().agent,
            "aud": self.client.audience(),
            "jti": call.lease.id,
            "iat": now.seconds(),
            "exp": now.plus(client::LIFETIME).seconds(),
        });
        call.issuer.sign("JWT", claims).map_err(|_| Failure::Unavailable("the actor token was not signed".into()))
    }

    async fn ask(&self, form: Form) -> Result<answer::Answer, Failure> {
        let asked = clock::now();
        let request = self.client.request(&self.outbound, &self.token, form)?;
        answer::read(&outbound::send(request).await?, asked)
    }

    /// [RFC 7009 §2](https://www.rfc-editor.org/rfc/rfc7009#section-2)
    async fn revoke(&self, endpoint: &Url, token: &Secret) -> Result<Ended, Failure> {
        let mut form = Form::default();
        form.add("token", token.reveal());
        form.add("token_type_hint", "access_token");
        let reply = outbound::send(self.client.request(&self.outbound, endpoint, form)?).await?;
        match reply.status {
            // [RFC 7009 §2.2](https://www.rfc-editor.org/rfc/rfc7009#section-2.2): also for a token that is gone.
            StatusCode::OK => Ok(Ended::Revoked),
            _ => match answer::refusal(&reply) {
                // [RFC 7009 §2.2.1](https://www.rfc-editor.org/rfc/rfc7009#section-2.2.1)
                Failure::Refused(code) if code == "unsupported_token_type" => Ok(Ended::Expires),
                failure => Err(failure),
            },
        }
    }
}
