//! Proofs that were seen, so that none counts twice.
//!
//! All workers of a process share a fixed number of buckets: the host's shared data, where keys can never be removed. A
//! bucket is a list of digests with their ends. What has ended makes room; where there is none left, a proof cannot be
//! remembered and so is not accepted. No agent gets more than its share of a bucket, so that one that floods it with
//! proofs is refused and others are not.

use sha2::{Digest as _, Sha256};

use crate::time::Time;

/// How many buckets there are.
const BUCKETS: u16 = 1024;

/// The most proofs a bucket holds. All of them together remember four million.
const ROOM: usize = 4096;

/// The most of them that are one agent's. All its shares together remember half a million.
const SHARE: usize = ROOM / 8;

/// Bytes that tell agents apart. Two that share them share their share.
const AGENT: usize = 4;

/// Bytes of a digest. Two proofs that share all of them are taken for one, which only ever refuses.
const DIGEST: usize = 12;

/// Bytes of an entry: the agent, the digest, and the second it ends.
const ENTRY: usize = AGENT + DIGEST + 4;

/// A proof that is in order and has to be seen for the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fresh {
    agent: [u8; AGENT],
    digest: [u8; 32],
    until: Time,
}

/// Whether it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// For the first time.
    First,
    /// Not for the first time.
    Again,
    /// It cannot be remembered.
    Unknown,
}

/// The names of all buckets.
pub fn buckets() -> impl Iterator<Item = String> {
    (0..BUCKETS).map(bucket)
}

fn bucket(number: u16) -> String {
    format!("accredit.dpop.{number}")
}

impl Fresh {
    /// A proof of the key with this thumbprint, by the name the key's holder gave it, good until `until`; shown by the
    /// agent of this issuer and name.
    ///
    /// [RFC 9449 §11.1](https://www.rfc-editor.org/rfc/rfc9449#section-11.1): the hash bounds what is kept of a `jti`.
    pub(crate) fn new((issuer, agent): (&str, &str), key: &[u8; 32], id: &str, until: Time) -> Self {
        let digest = Sha256::new().chain_update(key).chain_update(id).finalize();
        let agent = Sha256::new().chain_update(issuer).chain_update([0]).chain_update(agent).finalize();
        let agent = agent.first_chunk().copied().unwrap_or_default();
        Self { agent, digest: digest.into(), until }
    }

    /// The shared bucket it belongs into.
    pub fn bucket(&self) -> String {
        let [first, second, ..] = self.digest;
        bucket(u16::from_be_bytes([first, second]) % BUCKETS)
    }

    /// Until when it is good.
    pub fn until(&self) -> Time {
        self.until
    }

    /// The bucket with this proof in it, or why it cannot be.
    pub fn enter(&self, bucket: &[u8], now: Time) -> Result<Vec<u8>, Claim> {
        let (_, own) = self.digest.split_at(32 - DIGEST);
        let (entries, rest) = bucket.as_chunks::<ENTRY>();
        if !rest.is_empty() {
            return Err(Claim::Unknown);
        }
        let current = || entries.iter().filter(|entry| end(entry) >= now.seconds());
        if current().any(|entry| entry.get(AGENT..AGENT + DIGEST) == Some(own)) {
            return Err(Claim::Again);
        }
        let share = current().filter(|entry| entry.starts_with(&self.agent)).count();
        if share >= SHARE || current().count() >= ROOM {
            return Err(Claim::Unknown);
        }
        let until = u32::try_from(self.until.seconds()).map_err(|_| Claim::Unknown)?;
        let mut bytes: Vec<u8> = current().flatten().copied().collect();
        bytes.extend_from_slice(&self.agent);
        bytes.extend_from_slice(own);
        bytes.extend(until.to_be_bytes());
        Ok(bytes)
    }
}

/// When an entry ends, in seconds; the whole of that second still counts.
fn end(entry: &[u8; ENTRY]) -> u64 {
    let (_, end) = entry.split_at(AGENT + DIGEST);
    end.iter().fold(0, |sum: u64, byte| sum.saturating_mul(256).saturating_add(u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::testing::NOW;

    fn fresh(id: &str) -> Fresh {
        shown("agent-7", id)
    }

    fn shown(agent: &str, id: &str) -> Fresh {
        Fresh::new(("idp", agent), &[1; 32], id, NOW.plus(Duration::from_secs(60)))
    }

    #[test]
    fn a_proof_is_first_once_until_it_has_ended() {
        let bucket = fresh("a").enter(&[], NOW).unwrap();
        assert_eq!(bucket.len(), ENTRY);
        assert_eq!(fresh("a").enter(&bucket, NOW), Err(Claim::Again));
        assert_eq!(fresh("b").enter(&bucket, NOW).unwrap().len(), 2 * ENTRY);
        let after = |seconds| NOW.plus(Duration::from_secs(seconds));
        assert_eq!(fresh("a").enter(&bucket, after(60)), Err(Claim::Again));
        assert_eq!(fresh("b").enter(&bucket, after(61)).unwrap().len(), ENTRY, "what has ended makes room");
    }

    #[test]
    fn the_same_name_of_another_key_is_another_proof() {
        let other = Fresh::new(("idp", "agent-7"), &[2; 32], "a", NOW);
        assert!(other.enter(&fresh("a").enter(&[], NOW).unwrap(), NOW).is_ok());
    }

    #[test]
    fn without_room_or_sense_nothing_is_first() {
        let mut full = Vec::new();
        for n in 0..ROOM {
            full.extend(Sha256::digest(n.to_be_bytes()).iter().take(AGENT + DIGEST));
            full.extend(u32::MAX.to_be_bytes());
        }
        assert_eq!(fresh("a").enter(&full, NOW), Err(Claim::Unknown));
        assert!(fresh("a").enter(&full[ENTRY..], NOW).is_ok());
        assert_eq!(fresh("a").enter(&[0; ENTRY + 1], NOW), Err(Claim::Unknown));
        let far = Fresh::new(("idp", "agent-7"), &[1; 32], "a", Time::from_seconds(1 << 33));
        assert_eq!(far.enter(&[], NOW), Err(Claim::Unknown));
    }

    #[test]
    fn an_agent_fills_no_more_than_its_share() {
        let mut bucket = Vec::new();
        for n in 0..SHARE {
            bucket = shown("flood", &n.to_string()).enter(&bucket, NOW).unwrap();
        }
        assert_eq!(shown("flood", "one more").enter(&bucket, NOW), Err(Claim::Unknown));
        assert_eq!(shown("flood", "0").enter(&bucket, NOW), Err(Claim::Again));
        assert!(shown("other", "one more").enter(&bucket, NOW).is_ok());
        assert_eq!(
            shown("other", "0").enter(&bucket, NOW),
            Err(Claim::Again),
            "the key and the name count, not who shows them"
        );
        assert!(shown("flood", "one more").enter(&bucket, NOW.plus(Duration::from_secs(61))).is_ok());
    }

    #[test]
    fn buckets_are_a_fixed_set() {
        let used: BTreeSet<_> = (0..20_000).map(|n| fresh(&n.to_string()).bucket()).collect();
        assert_eq!(used, buckets().collect());
    }
}
