//! What GitHub answers, held against what was asked.

use std::collections::BTreeMap;

use accredit_policy::{Secret, Time};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::super::Failure;
use super::narrow::{Level, Wanted};
use crate::clock;
use crate::outbound::Reply;

/// An answer with a token, not judged yet.
#[derive(Debug)]
pub struct Answer {
    token: Secret,
    said: Said,
}

/// What is said about the token; read when the token is safe.
#[derive(Debug)]
struct Said {
    expires_at: Option<Value>,
    permissions: Option<Value>,
    repository_selection: Option<Value>,
    repositories: Option<Value>,
}

/// Members of the answer; a name that stands twice is an error of serde's.
#[derive(Deserialize)]
struct Members {
    token: Option<String>,
    expires_at: Option<Value>,
    permissions: Option<Value>,
    repository_selection: Option<Value>,
    repositories: Option<Value>,
}

#[derive(Deserialize)]
struct Repository {
    name: String,
    full_name: String,
}

/// Takes the token out of an answer.
pub fn read(reply: &Reply) -> Result<Answer, Failure> {
    if reply.status != StatusCode::CREATED {
        return Err(refusal(reply));
    }
    let Members { token, expires_at, permissions, repository_selection, repositories } = reply.read()?;
    let plain =
        |token: &String| !token.is_empty() && token.len() <= 4096 && token.bytes().all(|byte| byte.is_ascii_graphic());
    let token = token.filter(plain).ok_or_else(|| reply.nonsense("token"))?;
    let said = Said { expires_at, permissions, repository_selection, repositories };
    Ok(Answer { token: Secret::new(token), said })
}

/// Why there is no token: the status at most, since the text beside it can name what was asked for.
fn refusal(reply: &Reply) -> Failure {
    let why = format!("the answer has status {}", reply.status.as_u16());
    let header = |name| reply.headers.get(name).and_then(|value| value.to_str().ok());
    // [GitHub, Rate limits](https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api): 403 or 429.
    let later = header("retry-after").is_some() || header("x-ratelimit-remaining") == Some("0");
    match reply.status.as_u16() {
        401 | 404 | 422 => Failure::Refused(why),
        403 if !later => Failure::Refused(why),
        _ => Failure::Unavailable(why),
    }
}

impl Answer {
    /// The token, whatever it is for.
    pub fn token(&self) -> &Secret {
        &self.token
    }

    /// Until when the token lives, if it is for nothing but what was `wanted`.
    pub fn proved(self, wanted: &Wanted) -> Result<Time, Failure> {
        let wider = |what: &str| {
            Failure::Unavailable(format!("the token that was answered is for other {what} than asked for"))
        };
        let Said { expires_at, permissions, repository_selection, repositories } = self.said;
        let permissions: BTreeMap<String, String> = read_as(permissions).ok_or_else(|| wider("permissions"))?;
        let within = |(name, level): (&String, &String)| {
            // GitHub adds it to every token that may do anything with a repository.
            let most = wanted.permissions.get(name).copied().or((name == "metadata").then_some(Level::Read));
            Level::parse(level).is_some_and(|level| Some(level) <= most)
        };
        if !permissions.iter().all(within) {
            return Err(wider("permissions"));
        }
        if let Some(names) = &wanted.repositories {
            let selected = repository_selection.as_ref().and_then(Value::as_str) == Some("selected");
            let answered: Vec<Repository> =
                read_as(repositories).filter(|_| selected).ok_or_else(|| wider("repositories"))?;
            let ours = |one: &Repository| {
                let name = one.name.to_ascii_lowercase();
                let full = one.full_name.to_ascii_lowercase();
                let owner = full.strip_suffix(&name).and_then(|owner| owner.strip_suffix('/'));
                let owned = wanted.owner.as_ref().is_none_or(|own| owner == Some(&*own.to_ascii_lowercase()));
                owner.is_some() && owned && names.contains_key(&name)
            };
            if !answered.iter().all(ours) {
                return Err(wider("repositories"));
            }
        }
        let expires = expires_at.as_ref().and_then(Value::as_str).and_then(clock::parse);
        expires.ok_or_else(|| Failure::Unavailable("the token that was answered has no end".into()))
    }
}

fn read_as<T: for<'de> Deserialize<'de>>(value: Option<Value>) -> Option<T> {
    serde_json::from_value(value?).ok()
}

#[cfg(test)]
mod tests;
