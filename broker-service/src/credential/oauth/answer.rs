//! What a token endpoint answers, taken for what it is.
//!
//! [RFC 6749 §5](https://www.rfc-editor.org/rfc/rfc6749#section-5)

use std::time::Duration;

use accredit_policy::wire::exchange::ACCESS_TOKEN;
use accredit_policy::{Secret, Time};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::super::Failure;
use crate::outbound::Reply;

/// The longest token.
const LONGEST: usize = 16 * 1024;

/// An answer with a token, not judged yet.
pub struct Answer {
    token: Secret,
    said: Said,
    asked: Time,
}

/// What is said about the token.
struct Said {
    token_type: Option<Value>,
    expires_in: Option<Value>,
    scope: Option<Value>,
    issued_token_type: Option<Value>,
}

/// Members of either answer; a name that stands twice is an error of serde's.
#[derive(Deserialize)]
struct Members {
    access_token: Option<String>,
    token_type: Option<Value>,
    expires_in: Option<Value>,
    scope: Option<Value>,
    issued_token_type: Option<Value>,
    error: Option<Value>,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A token of the broker's own.
    Client,
    /// One for the agent's.
    Exchange,
}

/// A token that is what was asked for.
#[derive(Clone, Debug)]
pub struct Received {
    /// The token.
    pub token: Secret,
    /// How long it lives, where that was said.
    pub lifetime: Option<Duration>,
    /// Until when.
    pub expires: Option<Time>,
}

/// Takes the token out of an answer to what was `asked` at that time.
pub fn read(reply: &Reply, asked: Time) -> Result<Answer, Failure> {
    if reply.status != StatusCode::OK {
        return Err(refusal(reply));
    }
    let Members { access_token, token_type, expires_in, scope, issued_token_type, error: _ } = reply.read()?;
    let token = Secret::new(access_token.ok_or_else(|| reply.nonsense("token"))?);
    if !bearer(token.reveal()) {
        return Err(reply.nonsense("token that fits into a header"));
    }
    Ok(Answer { token, said: Said { token_type, expires_in, scope, issued_token_type }, asked })
}

/// Why there is no token: the code at most, since the text beside it is the server's own.
///
/// [RFC 6749 §5.2](https://www.rfc-editor.org/rfc/rfc6749#section-5.2)
pub fn refusal(reply: &Reply) -> Failure {
    let status = reply.status.as_u16();
    if !matches!(status, 400 | 401 | 403) {
        return Failure::Unavailable(format!("the answer has status {status}"));
    }
    let code = reply.read::<Members>().ok().and_then(|members| members.error?.as_str().map(str::to_owned));
    let code = code.filter(|code| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        (1..=64).contains(&code.len()) && code.bytes().all(plain)
    });
    Failure::Refused(code.unwrap_or_else(|| format!("status {status} without a code")))
}

impl Answer {
    /// The token, whatever is said about it.
    pub fn token(&self) -> &Secret {
        &self.token
    }

    /// The token, if it is what was asked for and no more.
    pub fn proved(self, asked: Asked, scope: &str) -> Result<Received, Failure> {
        let nonsense = |what: &str| Err(Failure::Unavailable(format!("the token that was answered {what}")));
        let Said { token_type, expires_in, scope: given, issued_token_type } = &self.said;
        let text = |value: &Option<Value>| value.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
        // [RFC 6749 §7.1](https://www.rfc-editor.org/rfc/rfc6749#section-7.1): "MUST NOT use an access token if it does not
        // understand the token type".
        if !text(token_type).eq_ignore_ascii_case("bearer") {
            return nonsense("is no bearer token");
        }
        // [RFC 8693 §2.2.1](https://www.rfc-editor.org/rfc/rfc8693#section-2.2.1): REQUIRED.
        if asked == Asked::Exchange && text(issued_token_type) != ACCESS_TOKEN {
            return nonsense("is no access token");
        }
        let lifetime = match expires_in {
            None | Some(Value::Null) => None,
            Some(value) => match value.as_u64() {
                Some(seconds @ 1..) => Some(Duration::from_secs(seconds)),
                _ => return nonsense("has a lifetime that is no whole number of seconds above zero"),
            },
        };
        let more = match given {
            None | Some(Value::Null) => false,
            Some(Value::String(given)) => {
                given.split(' ').any(|one| !one.is_empty() && !scope.split(' ').any(|two| one == two))
            }
            Some(_) => return nonsense("has a scope that is no text"),
        };
        // A server that is asked for no scope gives what it thinks right.
        if more && !scope.is_empty() {
            return nonsense("has more scope than was asked for");
        }
        let expires = lifetime.map(|lifetime| self.asked.plus(lifetime));
        Ok(Received { token: self.token, lifetime, expires })
    }
}

/// [RFC 6750 §2.1](https://www.rfc-editor.org/rfc/rfc6750#section-2.1): `b64token`.
fn bearer(token: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
    let body = token.trim_end_matches('=');
    !body.is_empty() && token.len() <= LONGEST && body.bytes().all(plain)
}

#[cfg(test)]
mod tests;
