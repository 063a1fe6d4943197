//! Credentials for one call each.

use accredit_policy::token::Verified;
use accredit_policy::token::chain::{Actor, Chain};
use accredit_policy::{Secret, Time};
use jwt_compact::CreationError;
use serde_json::Value;

use crate::clock;
use crate::config::Credential;
use crate::issuer::{AccessToken, Issuer};

/// The time a credential is good for, and its name.
#[derive(Debug)]
pub struct Lease {
    /// Its identifier.
    pub id: String,
    /// From when.
    pub issued: Time,
    /// Until when: no longer than its definition says, and never past the agent's own token.
    pub expires: Time,
}

impl Lease {
    /// A lease that begins now.
    pub fn new(definition: &Credential, verified: &Verified) -> Result<Self, getrandom::Error> {
        let issued = clock::now();
        let expires = issued.plus(definition.ttl).min(verified.claims().expires);
        Ok(Self { id: clock::id()?, issued, expires })
    }
}

/// A token signed by the broker: its own audience, the call's scope, the agent and for whom it acts.
pub fn jwt(
    issuer: &Issuer,
    definition: &Credential,
    lease: &Lease,
    verified: &Verified,
    scope: &str,
) -> Result<Secret, CreationError> {
    let claims = verified.claims();
    issuer.sign(AccessToken {
        iss: issuer.url(),
        sub: &claims.subject,
        aud: &definition.audience,
        client_id: &claims.agent,
        scope,
        jti: &lease.id,
        iat: lease.issued.seconds(),
        exp: lease.expires.seconds(),
        act: actors(&claims.chain),
    })
}

/// The chain as nested `act` claims, current actor outermost.
///
/// [RFC 8693 §4.1](https://www.rfc-editor.org/rfc/rfc8693#section-4.1)
fn actors(chain: &Chain) -> Option<Value> {
    let nest = |inner: Option<Value>, actor: &Actor| {
        let subject = Some(Value::from(actor.subject.clone()));
        let members = [("sub", subject), ("iss", actor.issuer.clone().map(Value::from)), ("act", inner)];
        Some(members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
    };
    chain.actors().iter().rev().fold(None, nest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_current_actor_is_outermost() {
        let act = json!({ "sub": "planner", "act": { "sub": "researcher", "iss": "https://idp.example.test" } });
        let claims = json!({ "act": act });
        assert_eq!(actors(&Chain::read(claims.as_object().unwrap()).unwrap()), Some(act));
        assert_eq!(actors(&Chain::default()), None);
    }
}
