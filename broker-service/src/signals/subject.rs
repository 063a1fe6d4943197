//! Whom an event is about, as far as tokens can tell. No I/O.
//!
//! [RFC 9493 §3](https://www.rfc-editor.org/rfc/rfc9493#section-3),
//! [SSF 1.0 §3](https://openid.net/specs/openid-sharedsignals-framework-1_0-final.html#section-3)

use std::time::Duration;

use accredit_policy::revocation::Target;
use accredit_policy::token::claims::named;
use serde_json::Value;

use super::refusal::Refusal;

/// What a transmitter may speak of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voice {
    /// The issuers whose names it may say.
    pub authorities: Vec<Authority>,
    /// What names of format `email` are, of the only authority.
    pub email: Option<Meaning>,
    /// The same of format `opaque`.
    pub opaque: Option<Meaning>,
}

/// An issuer that is spoken for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Its `iss`.
    pub issuer: String,
    /// Who its subjects are.
    pub names: Names,
    /// How long a token of its can be good after it was issued, where that is known.
    pub lifetime: Option<Duration>,
}

/// Who an issuer's subjects are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// The agents themselves: `sub` is what names the agent.
    Agents,
    /// Whom agents act for.
    Subjects,
}

/// What a name is one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// An agent.
    Agent,
    /// A subject.
    Subject,
    /// A token, by its `jti`.
    Token,
}

/// What is revoked for an event about `subject`, and whose it is; `None` where no token would tell.
pub fn target<'v>(subject: &Value, voice: &'v Voice) -> Result<Option<(Target, &'v Authority)>, Refusal> {
    match format(subject)? {
        "complex" => complex(subject, voice),
        _ => Ok(simple(subject, voice, Meaning::Subject)?.map(Name::target)),
    }
}

/// [SSF 1.0 §3.3](https://openid.net/specs/openid-sharedsignals-framework-1_0-final.html#section-3.3): all members are of
/// one principal. A member that is left aside would only narrow what is revoked; where an agent is all that is left, that would
/// be far more than was meant: the application of one user, tenant or group.
fn complex<'v>(subject: &Value, voice: &'v Voice) -> Result<Option<(Target, &'v Authority)>, Refusal> {
    let member = |name: &str, plain| subject.get(name).map_or(Ok(None), |value| simple(value, voice, plain));
    let user = member("user", Meaning::Subject)?.filter(|name| name.meaning != Meaning::Token);
    let application = member("application", Meaning::Agent)?.filter(|name| name.meaning == Meaning::Agent);
    let session = member("session", Meaning::Subject)?.filter(|name| name.meaning == Meaning::Token);
    let alone = subject
        .as_object()
        .is_some_and(|members| members.keys().all(|name| ["format", "application"].contains(&name.as_str())));
    Ok(match (user, application, session) {
        (Some(user), Some(agent), _) if user.of(Meaning::Subject, agent.authority) => Some((
            Target::AgentFor { issuer: agent.authority.issuer.clone(), id: agent.name, subject: user.name },
            agent.authority,
        )),
        (Some(user), ..) => Some(user.target()),
        (None, _, Some(session)) => Some(session.target()),
        (None, Some(agent), None) if alone => Some(agent.target()),
        (None, ..) => None,
    })
}

/// One name, of an issuer the transmitter speaks for.
struct Name<'v> {
    authority: &'v Authority,
    name: String,
    meaning: Meaning,
}

impl<'v> Name<'v> {
    fn target(self) -> (Target, &'v Authority) {
        let Self { authority, name: id, meaning } = self;
        let issuer = authority.issuer.clone();
        let target = match meaning {
            Meaning::Agent => Target::Agent { issuer, id },
            Meaning::Subject => Target::Subject { issuer, subject: id },
            Meaning::Token => Target::Token { issuer, id },
        };
        (target, authority)
    }

    fn of(&self, meaning: Meaning, authority: &Authority) -> bool {
        self.meaning == meaning && self.authority.issuer == authority.issuer
    }
}

/// A simple subject; one of a format that is not read is `None`. `plain` is what a `sub` is here.
fn simple<'v>(subject: &Value, voice: &'v Voice, plain: Meaning) -> Result<Option<Name<'v>>, Refusal> {
    let issued = |member: &str, meaning: Meaning| {
        let issuer = text(subject, "iss")?;
        let authority = voice.authorities.iter().find(|one| one.issuer == issuer).ok_or(Refusal::Foreign)?;
        let meaning = match authority.names {
            Names::Agents if meaning == Meaning::Subject => Meaning::Agent,
            Names::Agents | Names::Subjects => meaning,
        };
        Ok(Some(Name { authority, name: text(subject, member)?, meaning }))
    };
    let unissued = |member: &str, meaning: Option<Meaning>| match (meaning, voice.authorities.as_slice()) {
        (Some(meaning), [authority]) => Ok(Some(Name { authority, name: text(subject, member)?, meaning })),
        _ => Ok(None),
    };
    match format(subject)? {
        "iss_sub" => issued("sub", plain),
        "jwt_id" => issued("jti", Meaning::Token),
        "email" => unissued("email", voice.email),
        "opaque" => unissued("id", voice.opaque),
        _ => Ok(None),
    }
}

fn format(subject: &Value) -> Result<&str, Refusal> {
    subject.get("format").and_then(Value::as_str).ok_or(Refusal::Malformed("a subject has no `format`"))
}

fn text(subject: &Value, name: &str) -> Result<String, Refusal> {
    let text = subject.get(name).and_then(Value::as_str).filter(|text| named(text));
    text.map(str::to_owned).ok_or(Refusal::Malformed("a member of the subject is missing, empty or too long"))
}

#[cfg(test)]
mod tests;
