//! Checkpoints: the broker's word that a chain was so long at a time, and what its hash was then.
//!
//! ```text
//! broker.example.com/audit/01939a4e-…        the key's name and the chain
//! 4711                                       how many records it has
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//! seq 9000                                   the last one's number in the whole log
//! time 2026-11-25T14:00:00.000Z
//!
//! — broker.example.com/audit …
//! ```
//!
//! The form is that of [C2SP tlog-checkpoint](https://c2sp.org/tlog-checkpoint), with the hash of a chain where that has the
//! root of a tree. Only the process that writes a chain signs for it, and only what is on the disk, so that no two
//! checkpoints contradict each other.

pub mod deliver;
pub mod key;
pub mod route;
pub mod sign;

use accredit_policy::Time;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::chain::{Hash, Head};
use crate::clock;
use crate::note::{Key, Signer, Unsigned};

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Where the chain ended.
    pub head: Head,
    /// When that was.
    pub time: Time,
}

impl Checkpoint {
    /// As a signed note.
    pub fn sign(&self, signer: &Signer) -> String {
        let Self { head: Head { chain, length, seq, hash }, time } = self;
        let (name, hash) = (signer.key().name(), STANDARD.encode(hash.bytes()));
        signer.sign(&format!("{name}/{chain}\n{length}\n{hash}\nseq {seq}\ntime {}\n", time.rfc3339()))
    }

    /// What a note says that this key has signed.
    pub fn open(note: &str, key: &Key) -> Result<Self, Unsigned> {
        Self::read(key.open(note)?, key.name()).ok_or(Unsigned::Malformed)
    }

    fn read(text: &str, name: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let chain = lines.next()?.strip_prefix(name)?.strip_prefix('/')?.to_owned();
        let length = number(lines.next()?)?;
        let hash = Hash::of(&STANDARD.decode(lines.next()?).ok()?)?;
        let seq = number(lines.next()?.strip_prefix("seq ")?)?;
        let time = clock::parse(lines.next()?.strip_prefix("time ")?)?;
        lines.next().is_none().then_some(Self { head: Head { chain, length, seq, hash }, time })
    }
}

/// A number with one spelling.
fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn signer(name: &str) -> Signer {
        Signer::new(name, &Zeroizing::new(vec![7; 32])).unwrap()
    }

    #[test]
    fn what_was_signed_is_read() {
        let mut head = Head::new("a-chain".into());
        head.push(9, b"{}");
        let checkpoint = Checkpoint { head, time: Time::from_millis(1_764_065_075_250) };
        let note = checkpoint.sign(&signer("broker.example.com/audit"));
        assert!(note.starts_with("broker.example.com/audit/a-chain\n1\n"), "{note}");
        assert!(note.contains("\nseq 9\ntime 2025-11-25T10:04:35.250Z\n\n\u{2014} broker.example.com/audit "));
        assert_eq!(Checkpoint::open(&note, signer("broker.example.com/audit").key()), Ok(checkpoint));
        assert_eq!(Checkpoint::open(&note, signer("other.example.com/audit").key()), Err(Unsigned::Stranger));
    }

    #[test]
    fn another_text_is_no_checkpoint_whoever_signed_it() {
        let signer = signer("broker");
        let hash = STANDARD.encode([0; 32]);
        let good = format!("broker/c\n1\n{hash}\nseq 1\ntime 2025-11-25T10:04:35.250Z\n");
        assert!(Checkpoint::open(&signer.sign(&good), signer.key()).is_ok());
        let changes =
            [("broker/c", "brokers/c"), ("\n1\n", "\n01\n"), ("seq 1", "seq +1"), ("seq 1\n", ""), ("AA=", "=")];
        for (from, to) in changes {
            let bad = signer.sign(&good.replacen(from, to, 1));
            assert_eq!(Checkpoint::open(&bad, signer.key()), Err(Unsigned::Malformed), "{to}");
        }
        assert!(Checkpoint::open(&signer.sign(&format!("{good}more\n")), signer.key()).is_err());
    }
}
