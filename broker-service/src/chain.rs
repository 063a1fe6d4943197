//! The hash chain of one writer: each hash is over the record and the hash before it, so that none can change unseen.
//!
//! ```text
//! hash = SHA-256( label ‖ chain ‖ position ‖ seq ‖ hash before ‖ record )
//! ```
//!
//! Texts stand behind their length, numbers are eight bytes, big-endian. Before the first record the hash is zero.

use std::fmt;

use accredit_policy::token::hex;
use accredit_policy::wire::audit;
use sha2::{Digest as _, Sha256};

const LABEL: &[u8] = b"accredit audit link 1\n";

/// SHA-256 over a chain up to one of its records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hash([u8; 32]);

/// Where a chain ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The chain: a random name, given when its writer began.
    pub chain: String,
    /// How many records it has: the position of the last one.
    pub length: u64,
    /// The number of the last one among the records of all chains.
    pub seq: u64,
    /// The hash up to it.
    pub hash: Hash,
}

impl Head {
    /// A chain without records.
    pub fn new(chain: String) -> Self {
        Self { chain, length: 0, seq: 0, hash: Hash::default() }
    }

    /// Goes on by one record.
    pub fn push(&mut self, seq: u64, record: &[u8]) {
        self.length = self.length.saturating_add(1);
        self.seq = seq;
        self.hash = self.hash.link(&self.chain, self.length, seq, record);
    }

    /// As a record says it.
    pub fn told(&self) -> audit::Head {
        let Self { chain, length, seq, hash } = self;
        audit::Head { chain: chain.clone(), length: *length, seq: *seq, hash: hash.to_string() }
    }

    /// What a record says; `None` where its hash is none.
    pub fn read(told: &audit::Head) -> Option<Self> {
        let audit::Head { chain, length, seq, hash } = told;
        Some(Self { chain: chain.clone(), length: *length, seq: *seq, hash: Hash::parse(hash)? })
    }
}

impl Hash {
    /// The next one, with this `record` at that place.
    pub fn link(self, chain: &str, position: u64, seq: u64, record: &[u8]) -> Self {
        let mut digest = Sha256::new();
        digest.update(LABEL);
        framed(&mut digest, chain.as_bytes());
        digest.update(position.to_be_bytes());
        digest.update(seq.to_be_bytes());
        digest.update(self.0);
        framed(&mut digest, record);
        Self(digest.finalize().into())
    }

    /// From its 32 bytes.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// From 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
        }
        // Only one spelling is good, and only one length.
        Some(Self(bytes)).filter(|hash| hash.to_string() == text)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex(&self.0))
    }
}

fn framed(digest: &mut Sha256, bytes: &[u8]) {
    digest.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
    digest.update(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_link_is_what_its_description_says() {
        let mut bytes = b"accredit audit link 1\n".to_vec();
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 1, b'c']);
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7]);
        bytes.extend([0; 32]);
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 2, b'{', b'}']);
        let mut head = Head::new("c".into());
        head.push(7, b"{}");
        assert_eq!((head.length, head.seq, head.hash.bytes()), (1, 7, &*Sha256::digest(bytes)));
    }

    #[test]
    fn hashes_have_one_spelling() {
        let hash = Hash::default().link("c", 1, 1, b"{}");
        let text = hash.to_string();
        assert_eq!(Hash::parse(&text), Some(hash));
        for bad in [text.to_uppercase(), format!("{text}00"), text.replacen(char::is_alphanumeric, "+", 1), "00".into()]
        {
            assert_eq!(Hash::parse(&bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn whatever_differs_gives_another_hash(
            one in ("[a-c]{0,2}", 0_u64..3, 0_u64..3, 0_u8..2, "[a-c]{0,2}"),
            two in ("[a-c]{0,2}", 0_u64..3, 0_u64..3, 0_u8..2, "[a-c]{0,2}"),
        ) {
            let hash = |(chain, position, seq, before, record): &(String, u64, u64, u8, String)| {
                Hash([*before; 32]).link(chain, *position, *seq, record.as_bytes())
            };
            prop_assert_eq!(one == two, hash(&one) == hash(&two));
        }
    }
}
