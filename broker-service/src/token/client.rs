//! Client authentication.

use accredit_policy::Secret;
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::agents::{Agent, registry};
use crate::app::App;
use crate::clock;
use crate::error::{ApiError, Code};
use crate::listener::peer::Peer;

/// Who asks, proved.
#[derive(Debug)]
pub enum Client {
    /// An agent.
    Agent(Box<Agent>),
    /// A proxy, by its client identifier.
    Proxy(String),
}

/// Proves who asks: by HTTP Basic authentication, or a proxy by its certificate when no `Authorization` is sent. A secret
/// that is given decides alone, whatever the certificate says.
///
/// [RFC 6749 §2.3.1](https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1),
/// [RFC 8705 §2.1](https://www.rfc-editor.org/rfc/rfc8705#section-2.1)
pub async fn identify(app: &App, peer: &Peer, headers: &HeaderMap) -> Result<Client, ApiError> {
    let unknown = || ApiError::new(Code::InvalidClient, "client authentication failed");
    if !headers.contains_key(header::AUTHORIZATION) {
        return certified(app, peer).map(Client::Proxy).map_err(|why| unknown().because(why));
    }
    let (id, secret) = basic(headers).ok_or_else(unknown)?;
    if let Some(proxy) = app.proxies.secret(&id) {
        return if proxy.is_some_and(|proxy| *proxy == secret) {
            Ok(Client::Proxy(id))
        } else {
            Err(unknown().because("a proxy's secret is wrong"))
        };
    }
    let agent = registry::authenticate(app.store.pool(), &id, &secret).await?.ok_or_else(unknown)?;
    match agent.active(clock::now()) {
        true => {
            app.uses.note(&agent.id);
            Ok(Client::Agent(Box::new(agent)))
        }
        false => Err(unknown().because("the agent is not active")),
    }
}

/// The proxy whose certificate the peer has shown, or why there is none.
fn certified(app: &App, peer: &Peer) -> Result<String, String> {
    let certificate = peer.certificate.as_ref().ok_or("neither a secret nor a certificate")?;
    match app.proxies.named(certificate) {
        Some(id) => Ok(id.to_owned()),
        None => {
            Err(format!("the certificate of `{}` at {} is not that of one proxy", certificate.subject, peer.address))
        }
    }
}

fn basic(headers: &HeaderMap) -> Option<(String, Secret)> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let value = lines.next().filter(|_| lines.next().is_none())?.to_str().ok()?;
    let (scheme, coded) = value.split_once(' ')?;
    let pair = Some(coded).filter(|_| scheme.eq_ignore_ascii_case("basic"));
    let pair = String::from_utf8(STANDARD.decode(pair?).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    Some((decode(id)?, Secret::new(decode(secret)?)))
}

/// Undoes the form encoding of one part; `None` where the part is no single value.
///
/// Clients that do not encode are understood as long as their secret has no `%`, `+` or `&`.
fn decode(part: &str) -> Option<String> {
    let field = format!("part={part}");
    let mut pairs = form_urlencoded::parse(field.as_bytes());
    let (_, value) = pairs.next()?;
    pairs.next().is_none().then(|| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_writing_a_secret_are_read() {
        assert_eq!(decode("c2VjcmV0=="), Some("c2VjcmV0==".into()));
        assert_eq!(decode("c2VjcmV0%3D%3D"), Some("c2VjcmV0==".into()));
        assert_eq!(decode("a%3Ab+c"), Some("a:b c".into()));
        assert_eq!(decode("a&b"), None);
    }
}
