//! Sealing at rest: what the database keeps of secrets opens only here, and only where it was put.
//!
//! ```text
//! key-encryption key (a file, or OpenBao) ── wraps ─▶ data keys (table data_keys) ── seal ─▶ columns
//!
//! sealed   = version 1 ‖ data key's id 16 ‖ nonce 12 ‖ ciphertext ‖ tag 16
//! together = label ‖ version ‖ id ‖ table, column and every part of the row's key, each behind its length
//! ```
//!
//! AES-256-GCM-SIV ([RFC 8452](https://www.rfc-editor.org/rfc/rfc8452)); `together` is its associated data. Data keys are
//! unwrapped when the broker starts, so that sealing waits for nobody.

pub mod column;
pub mod file;
pub mod transit;
pub mod vault;
pub mod wrap;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::{error, fmt};

use accredit_policy::token::hex;
use aes_gcm_siv::aead::{Aead as _, Payload};
use aes_gcm_siv::{Aes256GcmSiv, KeyInit as _, Nonce};
use zeroize::Zeroizing;

use crate::clock;

const VERSION: u8 = 1;
const ID: usize = 16;
const NONCE: usize = 12;

/// How many bytes at the beginning of a sealed value say what sealed it.
const PREFIX: usize = 1 + ID;

/// Where a sealed value lies: elsewhere it does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    table: &'a str,
    column: &'a str,
    row: &'a [&'a str],
}

/// The name of a data key: random, no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id([u8; ID]);

/// A key that seals: 256 random bits, overwritten when dropped.
#[derive(Clone)]
pub struct DataKey(Zeroizing<[u8; 32]>);

/// Seals and opens with the data keys there are; the newest seals. Copies share the keys.
#[derive(Clone)]
pub struct Seal(Arc<RwLock<Ring>>);

struct Ring {
    keys: BTreeMap<Id, DataKey>,
    newest: Id,
}

/// Why something was not sealed, or does not open; holds no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsealed {
    /// The bytes are no sealed value, were changed, or come from another place. Which of these is not told.
    Refused,
    /// There is no such data key here.
    Unknown(Id),
    /// The system gives no randomness, or the value is larger than the cipher takes.
    Impossible,
}

impl fmt::Display for Unsealed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => formatter.write_str("a sealed value was changed, or does not belong where it lies"),
            Self::Unknown(id) => write!(formatter, "a value is sealed with the data key `{id}`, which is not known"),
            Self::Impossible => formatter.write_str("a value could not be sealed"),
        }
    }
}

impl error::Error for Unsealed {}

impl<'a> Place<'a> {
    /// The `column` of the `table` in the row with that primary key, a version included where the table has one.
    pub fn new(table: &'a str, column: &'a str, row: &'a [&'a str]) -> Self {
        Self { table, column, row }
    }

    /// All of it, each part behind its length, so that no two places read the same.
    fn together(&self, id: Id) -> Vec<u8> {
        let mut bytes = b"accredit sealed".to_vec();
        bytes.push(VERSION);
        bytes.extend_from_slice(&id.0);
        for part in [self.table, self.column].iter().chain(self.row) {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }
}

impl Id {
    /// A name no other key has.
    pub fn random() -> Result<Self, getrandom::Error> {
        clock::random().map(Self)
    }

    /// Reads 32 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        unhex(text).map(|bytes| Self(*bytes))
    }

    /// How everything begins that the key of this name has sealed.
    pub fn prefix(self) -> Vec<u8> {
        [&[VERSION], self.0.as_slice()].concat()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex(&self.0))
    }
}

impl DataKey {
    /// A new one.
    pub fn random() -> Result<Self, getrandom::Error> {
        clock::random().map(|bytes| Self(Zeroizing::new(bytes)))
    }

    /// The key with these bytes, if they are 32.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        <[u8; 32]>::try_from(bytes).ok().map(|bytes| Self(Zeroizing::new(bytes)))
    }

    /// Its bytes, for wrapping it.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Nonce and ciphertext of `plain`, tied to `together`.
    fn encrypt(&self, plain: &[u8], together: &[u8]) -> Result<Vec<u8>, Unsealed> {
        let nonce = clock::random::<NONCE>().map_err(|_| Unsealed::Impossible)?;
        let payload = Payload { msg: plain, aad: together };
        let sealed = self.cipher().encrypt(&Nonce::from(nonce), payload).map_err(|_| Unsealed::Impossible)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    fn decrypt(&self, sealed: &[u8], together: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unsealed> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>().ok_or(Unsealed::Refused)?;
        let payload = Payload { msg: sealed, aad: together };
        let plain = self.cipher().decrypt(&Nonce::from(*nonce), payload).map_err(|_| Unsealed::Refused)?;
        Ok(Zeroizing::new(plain))
    }

    fn cipher(&self) -> Aes256GcmSiv {
        Aes256GcmSiv::new(self.bytes().into())
    }
}

impl Seal {
    /// Seals with the key `newest`, and opens what it or one of `others` has sealed.
    pub fn new(newest: (Id, DataKey), others: impl IntoIterator<Item = (Id, DataKey)>) -> Self {
        let id = newest.0;
        let keys = others.into_iter().chain([newest]).collect();
        Self(Arc::new(RwLock::new(Ring { keys, newest: id })))
    }

    /// Takes in keys; the last one seals from now on.
    pub fn renew(&self, keys: impl IntoIterator<Item = (Id, DataKey)>) {
        let mut ring = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (id, key) in keys {
            ring.keys.insert(id, key);
            ring.newest = id;
        }
    }

    /// The key that seals.
    pub fn newest(&self) -> Id {
        self.0.read().unwrap_or_else(PoisonError::into_inner).newest
    }

    /// `plain` as it may lie in the database at `place`, and opens nowhere else.
    pub fn seal(&self, place: &Place<'_>, plain: &[u8]) -> Result<Vec<u8>, Unsealed> {
        let id = self.newest();
        let key = self.key(id).ok_or(Unsealed::Unknown(id))?;
        let mut sealed = id.prefix();
        sealed.extend(key.encrypt(plain, &place.together(id))?);
        Ok(sealed)
    }

    /// What was sealed at `place`.
    pub fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unsealed> {
        let rest = sealed.strip_prefix(&[VERSION]).ok_or(Unsealed::Refused)?;
        let (id, rest) = rest.split_first_chunk::<ID>().ok_or(Unsealed::Refused)?;
        let id = Id(*id);
        let key = self.key(id).ok_or(Unsealed::Unknown(id))?;
        key.decrypt(rest, &place.together(id))
    }

    /// The key of that name.
    pub fn key(&self, id: Id) -> Option<DataKey> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).keys.get(&id).cloned()
    }
}

/// The bytes of twice as many hex digits.
fn unhex<const N: usize>(text: &str) -> Option<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)?.checked_mul(16)?.checked_add(digit(*low)?)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
