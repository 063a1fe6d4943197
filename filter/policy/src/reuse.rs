//! Credentials that may be used again: what the broker has minted for one call, for others that differ in nothing it
//! looks at.
//!
//! Only a definition with `reuse` lets the broker say so, and only for some seconds: until then the filter need not ask.

use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::time::Time;
use crate::token::Verified;
use crate::wire::exchange::{Credential, ToolCall};

/// How many are kept at most.
const MOST: usize = 1000;

/// The credentials one VM may use again.
#[derive(Debug, Default)]
pub struct Reuse(BTreeMap<Like, Kept>);

/// What two calls have to have in common for one credential: agent, subject, chain, server, tool, scope, and what narrows
/// it. SHA-256 over all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Like([u8; 32]);

#[derive(Debug)]
struct Kept {
    credential: Credential,
    minted: Time,
    until: Time,
}

impl Like {
    /// What other calls have to have in common with this one.
    pub fn new(verified: &Verified, scope: &str, call: &ToolCall) -> Self {
        let claims = verified.claims();
        let ToolCall { server, method, tool, credential, arguments, kind, .. } = call;
        let kind = format!("{kind:?}");
        let mut digest = Sha256::new();
        // Each part after its length, so that no two lists of parts read the same.
        let mut add = |part: &str| {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        };
        [verified.issuer(), &claims.agent, &claims.subject].into_iter().for_each(&mut add);
        [server, &kind, method, tool, scope, credential].into_iter().for_each(&mut add);
        add(&claims.chain.actors().len().to_string());
        for actor in claims.chain.actors() {
            add(&actor.subject);
            add(actor.issuer.as_deref().unwrap_or_default());
        }
        for (name, values) in arguments {
            add(name);
            add(&values.len().to_string());
            values.iter().for_each(|value| add(value));
        }
        Self(digest.finalize().into())
    }
}

impl Reuse {
    /// Keeps a credential for as long as the broker says.
    pub fn keep(&mut self, like: Like, credential: &Credential, now: Time) {
        if credential.reuse == 0 {
            return;
        }
        self.0.retain(|_, kept| kept.until > now);
        if self.0.len() >= MOST {
            let first = self.0.iter().min_by_key(|(_, kept)| kept.until).map(|(like, _)| *like);
            first.and_then(|like| self.0.remove(&like));
        }
        let until = now.plus(Duration::from_secs(credential.reuse));
        self.0.insert(like, Kept { credential: credential.clone(), minted: now, until });
    }

    /// The credential of a call that was like this one, with what is left of its life.
    pub fn find(&self, like: &Like, now: Time) -> Option<Credential> {
        let kept = self.0.get(like).filter(|kept| kept.until > now)?;
        let lifetime = kept.credential.lifetime.saturating_sub(now.since(kept.minted).as_secs());
        Some(Credential { lifetime, ..kept.credential.clone() })
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Forgets a credential the upstream has refused.
    pub fn forget(&mut self, like: &Like) {
        self.0.remove(like);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::secret::Secret;
    use crate::testing::{NOW, proved};
    use crate::token::chain::Chain;

    fn call() -> ToolCall {
        serde_json::from_value(
            json!({ "type": "tool_call", "server": "crm", "tool": "crm_lookup", "credential": "crm-api" }),
        )
        .unwrap()
    }

    fn token(agent: &str, subject: &str, act: serde_json::Value) -> Verified {
        let mut proved = proved(agent, 60);
        proved.claims.subject = subject.into();
        proved.claims.chain = Chain::read(json!({ "act": act }).as_object().unwrap()).unwrap();
        Verified::of(Arc::new(proved))
    }

    fn credential(reuse: u64) -> Credential {
        Credential { headers: vec![("authorization".into(), Secret::new("x"))], lease: "l".into(), lifetime: 60, reuse }
    }

    #[test]
    fn a_credential_is_found_again_for_as_long_as_the_broker_says() {
        let like = Like::new(&token("scout", "alice", json!({ "sub": "scout" })), "crm:read", &call());
        let mut reuse = Reuse::default();
        reuse.keep(like, &credential(30), NOW);
        let later = NOW.plus(Duration::from_secs(29));
        assert_eq!(reuse.find(&like, later).map(|found| found.lifetime), Some(31));
        assert_eq!(reuse.find(&like, NOW.plus(Duration::from_secs(30))), None);
        reuse.forget(&like);
        assert_eq!(reuse.find(&like, NOW), None);
        reuse.keep(like, &credential(0), NOW);
        assert_eq!(reuse.find(&like, NOW), None);
    }

    #[test]
    fn calls_that_differ_in_anything_are_not_alike() {
        let act = json!({ "sub": "scout", "act": { "sub": "planner" } });
        let own = || token("scout", "alice", act.clone());
        let changed = |change: fn(&mut ToolCall)| {
            let mut call = call();
            change(&mut call);
            Like::new(&own(), "crm:read", &call)
        };
        let all = [
            Like::new(&own(), "crm:read", &call()),
            Like::new(&own(), "crm:write", &call()),
            Like::new(&token("scout", "bob", act.clone()), "crm:read", &call()),
            Like::new(&token("other", "alice", act.clone()), "crm:read", &call()),
            Like::new(&token("scout", "alice", json!({ "sub": "scout" })), "crm:read", &call()),
            Like::new(
                &token("scout", "alice", json!({ "sub": "scout", "iss": "x", "act": { "sub": "planner" } })),
                "crm:read",
                &call(),
            ),
            changed(|call| call.server = "crm2".into()),
            changed(|call| call.tool = "crm_update".into()),
            changed(|call| call.method = "prompts/get".into()),
            changed(|call| call.credential = "other".into()),
            changed(|call| drop(call.arguments.insert("repo".into(), vec!["a".into()]))),
            changed(|call| drop(call.arguments.insert("repo".into(), vec!["b".into()]))),
        ];
        for (index, like) in all.iter().enumerate() {
            assert!(!all.iter().take(index).any(|other| other == like), "{index}");
        }
        // What differs from call to call makes no difference.
        assert_eq!(all[0], changed(|call| call.request_id = Some("r-2".into())));
    }

    #[test]
    fn no_more_are_kept_than_there_is_room_for() {
        let mut reuse = Reuse::default();
        for number in 0..=MOST {
            let call = ToolCall { tool: number.to_string(), ..call() };
            let like = Like::new(&token("scout", "alice", json!({ "sub": "scout" })), "s", &call);
            reuse.keep(like, &credential(60), NOW.plus(Duration::from_millis(number as u64)));
        }
        assert_eq!(reuse.0.len(), MOST);
    }
}
