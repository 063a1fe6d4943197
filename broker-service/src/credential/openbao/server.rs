//! The OpenBao server: requests to it, and what its answers mean.

use std::path::PathBuf;

use accredit_policy::Secret;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::credential::Failure;
use crate::outbound::{Outbound, Reply, send};

/// As much as is told of an error.
const TOLD: usize = 200;

/// A server, and how the broker proves itself there.
#[derive(Debug)]
pub struct Server {
    /// How it is reached.
    pub outbound: Outbound,
    /// Scheme and authority, and a path where it is behind one; no slash at the end.
    pub address: String,
    /// The file with the broker's own token.
    pub token: PathBuf,
    /// The namespace.
    pub namespace: Option<String>,
}

impl Server {
    /// The broker's own token, as it is now.
    pub async fn token(&self) -> Result<Secret, Failure> {
        let read = tokio::fs::read_to_string(&self.token).await.map(Zeroizing::new);
        let told = |error| Failure::Unavailable(format!("`token_file` cannot be read: {error}"));
        read.map(|text| Secret::new(text.trim())).map_err(told)
    }

    /// A request with `token`. Out: the answer.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        token: &Secret,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let reply = self.send(method, path, token, body).await?;
        match reply.status.as_u16() {
            200 => reply.json(),
            400 | 403 | 404 => Err(Failure::Refused(told(&reply, path, token))),
            _ => Err(Failure::Unavailable(told(&reply, path, token))),
        }
    }

    /// Revokes a token by its accessor; one that is not there any more is revoked.
    ///
    /// [OpenBao, revoke a token accessor](https://openbao.org/api-docs/auth/token/#revoke-a-token-accessor)
    pub async fn revoke(&self, accessor: &Secret) -> Result<(), Failure> {
        let (path, own) = ("auth/token/revoke-accessor", self.token().await?);
        let body = json!({ "accessor": accessor.reveal() });
        let reply = self.send(Method::POST, path, &own, Some(&body)).await?;
        let gone = || errors(&reply).is_some_and(|errors| errors.contains("invalid accessor"));
        match reply.status.as_u16() {
            200 | 204 => Ok(()),
            400 | 404 if gone() => Ok(()),
            // Whatever it is, it can be mended: the token has to end.
            _ => Err(Failure::Unavailable(told(&reply, path, &own))),
        }
    }

    async fn send(&self, method: Method, path: &str, token: &Secret, body: Option<&Value>) -> Result<Reply, Failure> {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_str(token.reveal());
        let mut value = value.map_err(|_| Failure::Unavailable("the token is no header's value".into()))?;
        value.set_sensitive(true);
        headers.insert("x-vault-token", value);
        headers.insert("x-vault-request", HeaderValue::from_static("true"));
        if let Some(namespace) = self.namespace.as_ref().and_then(|name| HeaderValue::from_str(name).ok()) {
            headers.insert("x-vault-namespace", namespace);
        }
        let request = self.outbound.client().request(method, format!("{}/v1/{path}", self.address)).headers(headers);
        send(match body {
            Some(body) => request.header(CONTENT_TYPE, "application/json").body(body.to_string()),
            None => request,
        })
        .await
    }
}

/// The text at `pointer`.
pub fn text(answer: &Value, pointer: &str) -> Option<Secret> {
    answer.pointer(pointer).and_then(Value::as_str).map(Secret::new)
}

/// What an error says, for the operator.
fn told(reply: &Reply, path: &str, token: &Secret) -> String {
    let errors = errors(reply).unwrap_or_default();
    let errors = match errors.contains(token.reveal()) {
        true => "a text with a secret".to_owned(),
        false => errors.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(TOLD).collect(),
    };
    format!("`{path}` answered {}: {errors}", reply.status)
}

fn errors(reply: &Reply) -> Option<String> {
    let answer = reply.json().ok()?;
    let errors = answer.get("errors")?.as_array()?.iter().filter_map(Value::as_str);
    Some(errors.collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;

    fn tell(body: &str) -> String {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let reply = Reply { status: StatusCode::FORBIDDEN, headers, body: Zeroizing::new(body.into()) };
        told(&reply, "a/b", &Secret::new("s.token"))
    }

    #[test]
    fn an_error_is_told_on_one_short_line_without_the_token() {
        assert_eq!(
            tell(r#"{"errors":["permission\ndenied","no"]}"#),
            "`a/b` answered 403 Forbidden: permission denied; no"
        );
        assert_eq!(tell(r#"{"errors":["bad s.token"]}"#), "`a/b` answered 403 Forbidden: a text with a secret");
        assert_eq!(tell("<html>"), "`a/b` answered 403 Forbidden: ");
        let long = tell(&json!({ "errors": ["é".repeat(1000)] }).to_string());
        assert_eq!(long.chars().count(), 200 + "`a/b` answered 403 Forbidden: ".len());
    }
}
