//! `kind: jwt`: a token signed by the broker, with its own audience, the call's scope, the agent and for whom it acts.

use accredit_policy::config::error::Path;
use accredit_policy::config::field::Members;
use accredit_policy::object;
use accredit_policy::token::Verified;
use accredit_policy::token::chain::{Actor, Chain};
use serde_json::Value;

use super::{Call, Failure, Minted};
use crate::config::Files;
use crate::issuer::{ACCESS_TOKEN, AccessToken};

object! {
    /// The keys of `kind: jwt`.
    pub struct Raw {
        /// The `aud` of the minted token.
        pub audience: String,
    }
}

/// A token signed by the broker.
#[derive(Debug)]
pub struct Jwt {
    /// The `aud` of the token.
    pub audience: String,
}

impl Jwt {
    /// The parts of the credential.
    pub const FIELDS: &'static [&'static str] = &["token"];

    /// Where it travels unless told otherwise.
    pub const HEADERS: &'static [(&'static str, &'static str)] = &[("authorization", "Bearer {token}")];

    /// Reads its keys.
    pub fn check(members: Members, files: &mut Files, path: &Path) -> Option<Self> {
        let Raw { audience, unknown: _ } = files.own(members, Raw::FIELDS, path);
        Some(Self { audience: files.text(audience, &path.at("audience"))? })
    }

    /// Signs the token.
    pub fn mint(&self, call: &Call<'_>) -> Result<Minted, Failure> {
        let claims = call.verified.claims();
        let token = call.issuer.sign(
            ACCESS_TOKEN,
            AccessToken {
                iss: call.issuer.url(),
                sub: &claims.subject,
                aud: &self.audience,
                client_id: &claims.agent,
                scope: call.scope,
                jti: &call.lease.id,
                iat: call.lease.issued.seconds(),
                exp: call.lease.expires.seconds(),
                act: actors(&named(call.verified, call.issuer.url())),
                cnf: None,
            },
        );
        let token = token.map_err(|error| Failure::Unavailable(format!("the token was not signed: {error}")))?;
        Ok(Minted { fields: [("token", token)].into(), expires: None })
    }
}

/// The chain, each actor with who names it where that is not the broker: under our `iss` another's names would pass for ours.
/// The agent of another issuer stands in it, too.
fn named(verified: &Verified, own: &str) -> Chain {
    let (claims, issuer) = (verified.claims(), verified.issuer());
    if issuer == own {
        return claims.chain.clone();
    }
    let by =
        |actor: &Actor| Actor { issuer: actor.issuer.clone().or_else(|| Some(issuer.to_owned())), ..actor.clone() };
    let agent = Actor { subject: claims.agent.clone(), issuer: Some(issuer.to_owned()) };
    let mut actors: Vec<_> = claims.chain.actors().iter().map(by).collect();
    if actors.first() != Some(&agent) {
        actors.insert(0, agent);
    }
    actors.into_iter().collect()
}

/// The chain as nested `act` claims, current actor outermost.
///
/// [RFC 8693 §4.1](https://www.rfc-editor.org/rfc/rfc8693#section-4.1)
pub fn actors(chain: &Chain) -> Option<Value> {
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
