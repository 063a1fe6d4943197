//! Client authentication.

use accredit_policy::Secret;
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::agents::{Agent, registry};
use crate::app::App;
use crate::clock;
use crate::error::{ApiError, Code};

/// Who asks, proved.
#[derive(Debug)]
pub enum Client {
    /// An agent.
    Agent(Box<Agent>),
    /// A proxy, by its client identifier.
    Proxy(String),
}

/// Proves who asks, by HTTP Basic authentication.
///
/// [RFC 6749 §2.3.1](https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1)
pub async fn identify(app: &App, headers: &HeaderMap) -> Result<Client, ApiError> {
    let unknown = || ApiError::new(Code::InvalidClient, "client authentication failed");
    let (id, secret) = basic(headers).ok_or_else(unknown)?;
    if let Some(proxy) = app.proxies.get(&id) {
        return if *proxy == secret {
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
