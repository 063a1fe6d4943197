//! The signing keys in memory, as the table said when it was last read.

use std::sync::Arc;
use std::time::Duration;

use accredit_policy::Time;
use serde_json::{Value, json};

use super::signer::{NotSigned, Signer};
use super::{Life, State};

/// The keys that are published, the first to sign first.
#[derive(Clone, Default)]
pub struct Ring {
    keys: Vec<(Life, Arc<Signer>)>,
    lives: Vec<Life>,
    /// When the table was read.
    read: Time,
}

impl Ring {
    /// These keys, read at `read`.
    pub fn new(mut keys: Vec<(Life, Arc<Signer>)>, read: Time) -> Self {
        keys.sort_by_key(|(life, _)| (life.signs_from, life.created));
        let lives = keys.iter().map(|(life, _)| *life).collect();
        Self { keys, lives, read }
    }

    /// The key of that identifier.
    pub fn find(&self, id: &str) -> Option<&Arc<Signer>> {
        self.keys.iter().map(|(_, signer)| signer).find(|signer| signer.id() == id)
    }

    /// The times of all keys.
    pub fn lives(&self) -> &[Life] {
        &self.lives
    }

    /// The key that signs at `now`.
    ///
    /// A key is in the table for `lead` before it signs: only a ring that is not that old surely has the one.
    pub fn signer(&self, lead: Duration, now: Time) -> Result<&Signer, NotSigned> {
        let signing = self.keys.iter().rev().find(|(life, _)| life.state(&self.lives, now) == State::Signs);
        let fresh = now.since(self.read) < lead;
        signing.filter(|_| fresh).map(|(_, signer)| &**signer).ok_or(NotSigned::NoKey)
    }

    /// All that are published at `now`, as a key set.
    ///
    /// [RFC 7517 §5](https://www.rfc-editor.org/rfc/rfc7517#section-5)
    pub fn jwks(&self, now: Time) -> Value {
        let published = self.keys.iter().filter(|(life, _)| life.state(&self.lives, now) != State::Gone);
        json!({ "keys": published.map(|(_, signer)| signer.jwk()).collect::<Vec<_>>() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::signer::fresh;
    use super::*;

    const LEAD: Duration = Duration::from_secs(600);

    fn at(seconds: u64) -> Time {
        Time::from_seconds(seconds)
    }

    fn ring(lives: &[(u64, Option<u64>)], read: u64) -> (Ring, Vec<String>) {
        let keys: Vec<_> = lives
            .iter()
            .map(|(signs_from, end)| {
                let life = Life { created: at(0), signs_from: at(*signs_from), retired_at: end.map(at) };
                (life, Arc::new(Signer::read(&fresh().unwrap()).unwrap()))
            })
            .collect();
        let ids = keys.iter().map(|(_, signer)| signer.id().to_owned()).collect();
        (Ring::new(keys, at(read)), ids)
    }

    fn published(ring: &Ring, now: u64) -> Vec<String> {
        let jwks = ring.jwks(at(now));
        jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn keys_take_turns_by_the_clock_alone() {
        let (ring, ids) = ring(&[(1000, None), (0, Some(5000))], 900);
        let signer = |now| ring.signer(LEAD, at(now)).map(|signer| signer.id().to_owned()).ok();
        assert_eq!((signer(999), signer(1000)), (Some(ids[1].clone()), Some(ids[0].clone())));
        assert_eq!(published(&ring, 999), [ids[1].clone(), ids[0].clone()]);
        assert_eq!(published(&ring, 4999).len(), 2);
        assert_eq!(published(&ring, 5000), [ids[0].clone()]);
    }

    #[test]
    fn a_ring_that_can_lack_a_key_signs_nothing() {
        let (ring, _) = ring(&[(0, None)], 1000);
        assert!(ring.signer(LEAD, at(1599)).is_ok());
        assert!(ring.signer(LEAD, at(1600)).is_err());
        assert!(Ring::default().signer(LEAD, at(1)).is_err());
        assert_eq!(published(&ring, 1600).len(), 1, "what it has signed is still good");
    }

    #[test]
    fn a_key_set_shows_nothing_private() {
        let (ring, _) = ring(&[(0, None)], 0);
        let names: Vec<_> = ring.jwks(at(0))["keys"][0].as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    }
}
