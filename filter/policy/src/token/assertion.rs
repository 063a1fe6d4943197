//! Assertions with which clients prove who they are, signed with their own key.
//!
//! [RFC 7523 §3](https://www.rfc-editor.org/rfc/rfc7523#section-3)

use std::time::Duration;

use serde_json::{Map, Value};

use super::alg::Algorithm;
use super::claims::{Origin, date, malformed};
use super::jwk::KeySet;
use super::jws::Compact;
use super::native::Native;
use super::statement::{self, Signer};
use super::{Refusal, claims};
use crate::denial::Reason;
use crate::time::Time;

/// The algorithms a client may sign with.
pub const ALGORITHMS: &[Algorithm] =
    &[Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa, Algorithm::Ps256, Algorithm::Rs256];

/// How long an assertion may be good for.
const LIFETIME: Duration = Duration::from_secs(300);

/// How far the clock of a client may be ahead.
const AHEAD: Duration = Duration::from_secs(5);

/// The longest `jti`, in bytes.
const JTI: usize = 256;

/// The types an assertion may have. That of an access token or a proof is not among them, so neither passes for one.
///
/// [draft-ietf-oauth-rfc7523bis §4](https://datatracker.ietf.org/doc/draft-ietf-oauth-rfc7523bis/) has a type of its own for
/// them; most clients write `JWT`, or nothing.
const TYPES: &[Option<&str>] = &[None, Some("jwt"), Some("client-authentication+jwt")];

/// Who has to have signed an assertion, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The client's identifier.
    pub client: &'a str,
    /// The client's keys; none for a client that is not known or does not sign.
    pub keys: &'a KeySet,
    /// Keys of nobody, one for each of [`ALGORITHMS`], so that the time does not tell which clients there are.
    pub decoys: &'a KeySet,
    /// The names we go by, of which it has to be for one.
    pub audiences: &'a [&'a str],
}

/// An assertion in order. Its client gave it a name, under which it may be seen once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// Its `jti`.
    pub id: String,
    /// When it ends.
    pub until: Time,
}

/// The client an assertion says it is of; nothing is proved by it.
pub fn claimed(assertion: &str) -> Option<String> {
    let compact = Compact::parse(assertion).ok()?;
    Origin::read(&compact.payload).ok()?.subject.filter(|name| claims::named(name))
}

/// Checks an assertion: everything but whether it was seen before.
pub fn check(assertion: &str, expected: &Expected<'_>, native: Native, now: Time) -> Result<Assertion, Refusal> {
    let signer = Signer { keys: expected.keys, decoys: expected.decoys, algorithms: ALGORITHMS, types: TYPES };
    let claims = statement::open(assertion, &signer, native)?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if [text("iss"), text("sub")] != [Some(expected.client); 2] {
        return refuse(Reason::TokenIssuer, "`iss` and `sub` are not both the client");
    }
    if !audience(&claims).is_some_and(|audience| expected.audiences.contains(&audience)) {
        return refuse(Reason::TokenAudience, "`aud` is not this server alone");
    }
    let until = lifetime(&claims, now)?;
    let id = text("jti").filter(|id| (1..=JTI).contains(&id.len()));
    let id = id.ok_or(malformed("`jti` is missing, empty or too long"))?;
    Ok(Assertion { id: id.to_owned(), until })
}

/// The one audience. An assertion that is for others too could be used here by one of them.
fn audience(claims: &Map<String, Value>) -> Option<&str> {
    match claims.get("aud")? {
        Value::Array(list) => match list.as_slice() {
            [one] => one.as_str(),
            _ => None,
        },
        one => one.as_str(),
    }
}

/// Judges when the assertion begins and ends, and returns the end.
fn lifetime(claims: &Map<String, Value>, now: Time) -> Result<Time, Refusal> {
    let until = date(claims, "exp")?.ok_or(malformed("`exp` is missing"))?;
    if now >= until {
        return refuse(Reason::TokenExpired, "`exp` is past");
    }
    let (issued, begins) = (date(claims, "iat")?, date(claims, "nbf")?);
    let ahead = now.plus(AHEAD);
    if issued.max(begins).is_some_and(|begins| begins > ahead) {
        return refuse(Reason::TokenNotYetValid, "`nbf` or `iat` is in the future");
    }
    // It is remembered until it ends, so the end must be near, whether it says when it was made or not.
    match until.since(ahead) > LIFETIME || issued.is_some_and(|issued| until.since(issued) > LIFETIME) {
        true => refuse(Reason::TokenLifetime, "it is good for more than five minutes"),
        false => Ok(until),
    }
}

fn refuse<T>(reason: Reason, note: &'static str) -> Result<T, Refusal> {
    Err(Refusal::new(reason, note))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::jwk::{Reading, Usage};
    use super::super::native;
    use super::*;
    use crate::testing::{NOW, jwk, sign};

    const US: &[&str] = &["https://broker.example.test", "https://broker.example.test/token"];

    /// The claims of an assertion nothing is wrong with.
    fn sound() -> Value {
        let (now, exp) = (NOW.seconds(), NOW.plus(LIFETIME).seconds());
        json!({ "iss": "agent-7", "sub": "agent-7", "aud": US[0], "jti": "a1", "iat": now, "exp": exp })
    }

    fn verdict(header: &str, claims: &Value) -> Result<Assertion, Reason> {
        let keys = KeySet::read(&[jwk()], Reading { accepted: ALGORITHMS, usage: Usage::Signature }).unwrap();
        let expected = Expected { client: "agent-7", keys: &keys, decoys: &KeySet::default(), audiences: US };
        let assertion = sign(header, &claims.to_string(), 1);
        check(&assertion, &expected, native::absent, NOW).map_err(|refusal| refusal.reason)
    }

    fn judge(claims: &Value) -> Result<Assertion, Reason> {
        verdict(r#"{"alg":"EdDSA","kid":"k1","typ":"JWT"}"#, claims)
    }

    #[test]
    fn an_assertion_in_order_says_its_name_and_its_end() {
        let expected = Ok(Assertion { id: "a1".into(), until: NOW.plus(LIFETIME) });
        assert_eq!(judge(&sound()), expected);
        for (name, value) in [("aud", json!([US[0]])), ("aud", json!(US[1])), ("iat", Value::Null)] {
            let mut claims = sound();
            claims[name] = value;
            claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
            assert_eq!(judge(&claims), expected, "{name}");
        }
        for header in [r#"{"alg":"EdDSA"}"#, r#"{"alg":"EdDSA","typ":"application/Client-Authentication+JWT"}"#] {
            assert_eq!(verdict(header, &sound()), expected, "{header}");
        }
    }

    #[test]
    fn each_claim_has_to_fit() {
        let now = NOW.seconds();
        for (reason, name, value) in [
            (Reason::TokenIssuer, "iss", json!("agent-8")),
            (Reason::TokenIssuer, "sub", json!("agent-8")),
            (Reason::TokenIssuer, "iss", json!(["agent-7"])),
            (Reason::TokenAudience, "aud", json!("https://other.example.test")),
            (Reason::TokenAudience, "aud", json!([US[0], "https://other.example.test"])),
            (Reason::TokenAudience, "aud", json!([US[0], US[1]])),
            (Reason::TokenAudience, "aud", json!([])),
            (Reason::TokenAudience, "aud", json!(null)),
            (Reason::TokenExpired, "exp", json!(now)),
            (Reason::TokenLifetime, "exp", json!(now + 301)),
            (Reason::TokenLifetime, "iat", json!(now - 1)),
            (Reason::TokenMalformed, "exp", json!("soon")),
            (Reason::TokenNotYetValid, "iat", json!(now + 6)),
            (Reason::TokenNotYetValid, "nbf", json!(now + 6)),
            (Reason::TokenMalformed, "nbf", json!(-1)),
            (Reason::TokenMalformed, "jti", json!("")),
            (Reason::TokenMalformed, "jti", json!("x".repeat(257))),
            (Reason::TokenMalformed, "jti", json!(1)),
        ] {
            let mut claims = sound();
            claims[name] = value.clone();
            assert_eq!(judge(&claims), Err(reason), "{name} {value}");
        }
        for name in ["iss", "sub", "aud", "exp", "jti"] {
            let mut claims = sound();
            claims.as_object_mut().unwrap().remove(name);
            assert!(judge(&claims).is_err(), "{name}");
        }
        let mut claims = sound();
        claims.as_object_mut().unwrap().remove("iat");
        claims["exp"] = json!(now + 306);
        assert_eq!(
            judge(&claims),
            Err(Reason::TokenLifetime),
            "five minutes, and the client's clock five seconds ahead"
        );
    }

    #[test]
    fn other_kinds_of_token_are_no_assertions() {
        for typ in ["at+jwt", "dpop+jwt", "oauth-id-jag+jwt", "secevent+jwt", ""] {
            let header = format!(r#"{{"alg":"EdDSA","typ":"{typ}"}}"#);
            assert_eq!(verdict(&header, &sound()), Err(Reason::TokenType), "{typ}");
        }
    }

    #[test]
    fn the_claimed_client_is_the_subject() {
        let claimed = |claims: Value| claimed(&sign(r#"{"alg":"EdDSA"}"#, &claims.to_string(), 3));
        assert_eq!(claimed(json!({ "iss": "x", "sub": "agent-7" })), Some("agent-7".into()));
        assert_eq!(claimed(json!({ "iss": "agent-7" })), None);
        assert_eq!(claimed(json!({ "sub": "a\nb" })), None);
        assert_eq!(super::claimed("no assertion"), None);
    }
}
