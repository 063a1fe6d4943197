//! Client authentication: one method for each client, and one answer whatever is wrong.
//!
//! ```text
//! `Authorization` ─────▶ basic ───────┐
//! `client_assertion` ──▶ assertion ───┼──▶ the method it is registered for? ──▶ active? ──▶ within its rate? ──▶ Client
//! neither ─────────────▶ certificate ─┘
//! ```
//!
//! What an answer tells of a failure, by its text or by the time it takes, does not depend on which clients there are.

mod assertion;
mod basic;
mod certificate;

use accredit_policy::Secret;
use accredit_policy::token::KeySet;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

use super::form::Form;
use crate::agents::{Agent, Method, registry};
use crate::app::App;
use crate::clock;
use crate::error::{ApiError, Code};
use crate::listener::peer::{Peer, PeerCertificate};
use crate::store::NotKept;

pub use assertion::decoys;

/// Who asks, proved.
#[derive(Debug)]
pub enum Client {
    /// An agent.
    Agent(Box<Agent>),
    /// A proxy, by its client identifier.
    Proxy(String),
}

/// What a request shows of who sends it: its head, and the connection it came by.
pub struct Caller {
    /// The headers.
    pub headers: HeaderMap,
    /// The other end.
    pub peer: Peer,
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        let peer = parts.extensions.get::<ConnectInfo<Peer>>();
        let ConnectInfo(peer) = peer.ok_or_else(|| ApiError::unavailable("the connection is not known"))?;
        Ok(Self { headers: parts.headers.clone(), peer: peer.clone() })
    }
}

impl Caller {
    /// The certificate it has shown.
    pub fn certificate(&self) -> Option<&PeerCertificate> {
        self.peer.certificate.as_deref()
    }
}

/// Proves who asks, by `caller` and the request's `form` if it has one.
///
/// [RFC 6749 §2.3](https://www.rfc-editor.org/rfc/rfc6749#section-2.3)
pub async fn identify(app: &App, caller: &Caller, form: Option<&Form>) -> Result<Client, ApiError> {
    let shown = Shown::read(caller, form)?;
    let address = caller.peer.address.ip();
    // Nothing can be guessed about a certificate: the handshake has proved it.
    if !matches!(shown, Shown::Certificate { .. }) {
        app.rates.guesses(address)?;
    }
    match prove(app, &shown).await {
        Ok(client) => {
            if let Client::Agent(agent) = &client {
                app.rates.request(&agent.id)?;
                app.uses.note(&agent.id);
            }
            Ok(client)
        }
        Err(Failure::Broker(error)) => Err(error),
        Err(Failure::Unproved(why)) => {
            app.rates.failed(address);
            let who = shown.id().unwrap_or_default();
            Err(ApiError::new(Code::InvalidClient, "client authentication failed")
                .because(format!("{who:?} at {address}: {why}")))
        }
    }
}

/// How a request says who sends it.
enum Shown<'a> {
    /// [RFC 7523 §2.2](https://www.rfc-editor.org/rfc/rfc7523#section-2.2)
    Assertion { id: String, assertion: &'a str },
    /// [RFC 8705 §2.1](https://www.rfc-editor.org/rfc/rfc8705#section-2.1); a proxy need not give its identifier.
    Certificate { id: Option<String>, certificate: &'a PeerCertificate },
    /// In no way that is known here.
    Nothing,
    /// [RFC 6749 §2.3.1](https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1)
    Secret { id: String, secret: Secret },
}

impl<'a> Shown<'a> {
    /// Reads the one method a request uses. That it uses two, or names two clients, can be told: it does not depend on
    /// which clients there are.
    fn read(caller: &'a Caller, form: Option<&'a Form>) -> Result<Self, ApiError> {
        let field = |name| form.map_or(Ok(None), |form| form.optional(name));
        let (named, posted) = (field("client_id")?, field("client_secret")?);
        let (assertion, kind) = (field("client_assertion")?, field("client_assertion_type")?);
        let header = caller.headers.contains_key(header::AUTHORIZATION);
        let methods = [header, assertion.or(kind).is_some(), posted.is_some()];
        if methods.iter().filter(|used| **used).count() > 1 {
            return Err(ApiError::new(Code::InvalidRequest, "more than one way of client authentication"));
        }
        let shown = match (assertion, header, caller.certificate()) {
            (Some(assertion), ..) => assertion::read(assertion, kind),
            (None, true, _) => basic::read(&caller.headers),
            // A secret in the body is not taken: forms are logged where headers are not.
            (None, false, Some(certificate)) if posted.or(kind).is_none() => {
                Some(Self::Certificate { id: named.map(str::to_owned), certificate })
            }
            _ => None,
        };
        // No client is registered under such a name, and not every database could be asked for it.
        let plain = |id: &str| id.len() <= 512 && !id.chars().any(char::is_control);
        let shown = shown.filter(|shown: &Self| shown.id().is_none_or(plain)).unwrap_or(Self::Nothing);
        match (named, shown.id()) {
            (Some(named), Some(id)) if named != id => {
                Err(ApiError::new(Code::InvalidRequest, "`client_id` is not the client that authenticates"))
            }
            _ => Ok(shown),
        }
    }

    fn id(&self) -> Option<&str> {
        match self {
            Self::Assertion { id, .. } | Self::Secret { id, .. } => Some(id),
            Self::Certificate { id, .. } => id.as_deref(),
            Self::Nothing => None,
        }
    }
}

/// Why nobody was identified.
enum Failure {
    /// It is not the client's fault.
    Broker(ApiError),
    /// Nothing was proved; why is for the operator alone.
    Unproved(&'static str),
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Broker(error)
    }
}

impl From<NotKept> for Failure {
    fn from(error: NotKept) -> Self {
        Self::Broker(error.into())
    }
}

async fn prove(app: &App, shown: &Shown<'_>) -> Result<Client, Failure> {
    if let Some(id) = proxy(app, shown) {
        return Ok(Client::Proxy(id));
    }
    let agent = match shown.id() {
        Some(id) => registry::find(app.store.pool(), id).await?,
        None => None,
    };
    // A name that is a proxy's is no agent's, whatever was registered under it.
    let agent = agent.filter(|agent| app.proxies.secret(&agent.id).is_none());
    let method = agent.as_ref().map(|agent| &agent.profile.method);
    let once = match shown {
        Shown::Secret { secret, .. } => {
            let digest = agent.as_ref().filter(|_| matches!(method, Some(Method::Secret)));
            basic::check(digest.and_then(|agent| agent.secret.as_ref()), secret)?;
            None
        }
        Shown::Assertion { id, assertion } => {
            let none = KeySet::default();
            let keys = if let Some(Method::Key { keys, .. }) = method { keys } else { &none };
            Some(assertion::check(app, id, keys, assertion)?)
        }
        Shown::Certificate { certificate, .. } => {
            let name = if let Some(Method::Certificate(name)) = method { Some(name) } else { None };
            certificate::check(name, certificate)?;
            None
        }
        Shown::Nothing => return Err(Failure::Unproved("no way of client authentication that is taken here")),
    };
    let agent = agent.ok_or(Failure::Unproved("no such client"))?;
    if !agent.active(clock::now()) {
        return Err(Failure::Unproved("the agent is not active"));
    }
    if let Some(assertion) = once {
        assertion::spend(app, &agent.id, &assertion).await?;
    }
    Ok(Client::Agent(Box::new(agent)))
}

/// The proxy that is proved.
fn proxy(app: &App, shown: &Shown<'_>) -> Option<String> {
    match shown {
        Shown::Secret { id, secret } => {
            let known = app.proxies.secret(id).flatten();
            known.filter(|known| *known == secret).map(|_| id.clone())
        }
        Shown::Certificate { id, certificate } => {
            let named = app.proxies.named(certificate)?;
            id.as_ref().is_none_or(|id| id == named).then(|| named.to_owned())
        }
        Shown::Assertion { .. } | Shown::Nothing => None,
    }
}
