//! Signed notes: a text and who has signed it, as one text.
//!
//! [C2SP signed-note](https://c2sp.org/signed-note), with Ed25519 signatures alone.

use std::fmt;

use accredit_policy::token::hex;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// The type byte of Ed25519 signatures.
const TYPE: u8 = 1;

/// The longest note that is read: many times what sixteen signatures take.
const LONGEST: usize = 64 * 1024;

/// A key that signs.
pub struct Signer {
    key: Key,
    pair: Ed25519KeyPair,
}

/// A public key and its name, as `<name>+<id>+<key>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    name: String,
    id: [u8; 4],
    public: [u8; 32],
}

/// Why a note says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsigned {
    /// A signature in this key's name is not of this key.
    Forged,
    /// It is no signed note.
    Malformed,
    /// This key has not signed it.
    Stranger,
}

impl fmt::Display for Unsigned {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Forged => "its signature does not hold",
            Self::Malformed => "it is no signed note",
            Self::Stranger => "another key has signed it",
        })
    }
}

impl Signer {
    /// The key of that seed; `None` where the name is none, or the bytes are no seed.
    pub fn new(name: &str, seed: &Zeroizing<Vec<u8>>) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let public = pair.public_key().as_ref().try_into().ok()?;
        Some(Self { key: Key::new(name, public)?, pair })
    }

    /// Its public half.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The note of `text`, which ends with a newline.
    pub fn sign(&self, text: &str) -> String {
        let mut bytes = self.key.id.to_vec();
        bytes.extend_from_slice(self.pair.sign(text.as_bytes()).as_ref());
        format!("{text}\n\u{2014} {} {}\n", self.key.name, STANDARD.encode(bytes))
    }
}

impl Key {
    fn new(name: &str, public: [u8; 32]) -> Option<Self> {
        // "Key names MUST be non-empty and MUST NOT contain any Unicode spaces or plus".
        let sound = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+');
        let mut digest = Sha256::new_with_prefix(name);
        digest.update([b'\n', TYPE]);
        digest.update(public);
        let [a, b, c, d, ..] = <[u8; 32]>::from(digest.finalize());
        sound.then(|| Self { name: name.to_owned(), id: [a, b, c, d], public })
    }

    /// Reads one; its identifier has to be that of its name and key.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.split_once('+')?;
        let (_, encoded) = rest.split_once('+')?;
        let bytes = STANDARD.decode(encoded).ok()?;
        let (kind, public) = bytes.split_first()?;
        let key = Self::new(name, public.try_into().ok()?)?;
        Some(key).filter(|key| *kind == TYPE && key.to_string() == text)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its identifier, eight hexadecimal digits.
    pub fn id(&self) -> String {
        hex(&self.id)
    }

    /// The text of a note that this key has signed.
    pub fn open<'a>(&self, note: &'a str) -> Result<&'a str, Unsigned> {
        let control = note.contains(|c: char| c < ' ' && c != '\n');
        if note.len() > LONGEST || control || !note.ends_with('\n') {
            return Err(Unsigned::Malformed);
        }
        // "The text is separated from the signatures by the last empty line in the note."
        let gap = note.rfind("\n\n").ok_or(Unsigned::Malformed)?;
        let (text, lines) = note.split_at_checked(gap.saturating_add(1)).ok_or(Unsigned::Malformed)?;
        let mut seen = Err(Unsigned::Stranger);
        for line in lines.trim_start_matches('\n').lines() {
            let (name, encoded) =
                line.strip_prefix("\u{2014} ").and_then(|line| line.split_once(' ')).ok_or(Unsigned::Malformed)?;
            let bytes = STANDARD.decode(encoded).map_err(|_| Unsigned::Malformed)?;
            let (id, signature) = bytes.split_at_checked(4).ok_or(Unsigned::Malformed)?;
            // "Verifiers MUST ignore signatures from unknown keys, even if they share a name or ID (but not both)".
            if name == self.name && id == self.id {
                let public = UnparsedPublicKey::new(&ED25519, self.public);
                public.verify(text.as_bytes(), signature).map_err(|_| Unsigned::Forged)?;
                seen = Ok(text);
            }
        }
        seen
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![TYPE];
        bytes.extend_from_slice(&self.public);
        write!(formatter, "{}+{}+{}", self.name, self.id(), STANDARD.encode(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of https://c2sp.org/signed-note.
    const VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo \
        Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    // The example of https://pkg.go.dev/golang.org/x/mod/sumdb/note, whose private key is known.
    const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const SEED: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const TEXT: &str =
        "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    const SIGNATURE: &str = "\n\u{2014} PeterNeumann \
        x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    fn peter() -> Signer {
        let seed = STANDARD.decode(SEED).unwrap().split_off(1);
        Signer::new("PeterNeumann", &Zeroizing::new(seed)).unwrap()
    }

    #[test]
    fn the_note_of_the_specification_opens_with_its_key() {
        let key = Key::parse(VKEY).unwrap();
        assert_eq!((key.name(), key.id().as_str()), ("example.com/foo", "530d903a"));
        assert_eq!(key.open(NOTE), Ok("This is an example message.\n"));
        assert_eq!(Key::parse(PETER).unwrap().open(NOTE), Err(Unsigned::Stranger));
    }

    #[test]
    fn what_is_signed_here_is_signed_as_elsewhere() {
        assert_eq!(peter().key().to_string(), PETER);
        assert_eq!(peter().sign(TEXT), format!("{TEXT}{SIGNATURE}"));
    }

    #[test]
    fn a_second_signature_does_not_spoil_a_note_and_a_forged_one_does() {
        let key = Key::parse(PETER).unwrap();
        let both = format!("{TEXT}{SIGNATURE}\u{2014} example.com/foo AAAAAA==\n");
        assert_eq!(key.open(&both), Ok(TEXT));
        let forged = format!("{both}\u{2014} PeterNeumann x08gowAA\n");
        assert_eq!(key.open(&forged), Err(Unsigned::Forged));
    }

    #[test]
    fn no_byte_of_a_note_or_a_key_can_change() {
        let (note, key) = (format!("{TEXT}{SIGNATURE}"), Key::parse(PETER).unwrap());
        for at in (0..note.len()).filter(|at| note.is_char_boundary(*at) && note.is_char_boundary(at + 1)) {
            let mut bytes = note.clone().into_bytes();
            bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
            assert!(key.open(&String::from_utf8(bytes).unwrap()).is_err(), "{at}");
            assert!(note.get(..at).is_none_or(|short| key.open(short).is_err()), "{at}");
        }
        for at in 0..PETER.len() {
            let mut bytes = PETER.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
            assert_eq!(Key::parse(&String::from_utf8(bytes).unwrap()), None, "{at}");
        }
        assert!(Signer::new("two words", &Zeroizing::new(vec![0; 32])).is_none());
        assert!(Signer::new("a+b", &Zeroizing::new(vec![0; 32])).is_none());
    }
}
