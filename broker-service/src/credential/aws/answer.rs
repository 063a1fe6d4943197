//! What STS answers, in XML.

use accredit_policy::Secret;
use reqwest::StatusCode;
use serde::Deserialize;

use super::super::{Failure, Minted};
use crate::clock;
use crate::outbound::Reply;

/// The longest part: tokens of sessions have some kilobytes.
const LONGEST: usize = 16 * 1024;

#[derive(Deserialize)]
struct Response {
    #[serde(rename = "AssumeRoleResult", alias = "AssumeRoleWithWebIdentityResult")]
    result: Outcome,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    credentials: Credentials,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorResponse {
    error: Code,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Code {
    code: String,
}

/// Takes the keys of a session out of an answer.
pub fn read(reply: &Reply) -> Result<Minted, Failure> {
    if reply.status != StatusCode::OK {
        return Err(refusal(reply));
    }
    let nonsense = || reply.nonsense("session of a role");
    let Credentials { access_key_id, secret_access_key, session_token, expiration } =
        xml::<Response>(reply).ok_or_else(nonsense)?.result.credentials;
    let fields = [
        ("access_key_id", Secret::new(access_key_id)),
        ("secret_access_key", Secret::new(secret_access_key)),
        ("session_token", Secret::new(session_token)),
    ];
    let plain = |text: &str| (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    let expires = clock::parse(&expiration).filter(|_| fields.iter().all(|(_, field)| plain(field.reveal())));
    Ok(Minted { expires: Some(expires.ok_or_else(nonsense)?), fields: fields.into() })
}

/// Why there is no session: the code at most, since the text beside it names accounts and roles.
///
/// [AWS STS, Common errors](https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html)
fn refusal(reply: &Reply) -> Failure {
    let status = reply.status.as_u16();
    let code = xml::<ErrorResponse>(reply).map(|response| response.error.code).filter(|code| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.';
        (1..=64).contains(&code.len()) && code.bytes().all(plain)
    });
    let later = code.as_ref().is_some_and(|code| {
        ["Throttling", "RequestLimitExceeded", "IDPCommunicationError"].iter().any(|start| code.starts_with(start))
    });
    let why = code.unwrap_or_else(|| format!("status {status} without a code"));
    match status {
        400 | 401 | 403 if !later => Failure::Refused(why),
        _ => Failure::Unavailable(why),
    }
}

fn xml<T: for<'de> Deserialize<'de>>(reply: &Reply) -> Option<T> {
    let text =
        std::str::from_utf8(&reply.body).ok().filter(|_| matches!(&*reply.media(), "text/xml" | "application/xml"))?;
    quick_xml::de::from_str(text).ok()
}

#[cfg(test)]
mod tests;
