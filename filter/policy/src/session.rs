//! Sessions of the legacy era, sealed to the one they were opened for.
//!
//! The upstream's `Mcp-Session-Id` never reaches a client: what the client holds is the same identifier, encrypted and
//! bound to (server, issuer, agent, subject). In anybody else's hands, or on another server, it is no session at all.
//!
//! ```text
//! sealed  = base64url(key id 6 ‖ nonce 24 ‖ ciphertext ‖ tag 16)
//! nonce   = HMAC-SHA-256(nonce key, binding ‖ identifier), the first 24 bytes
//! binding = label, and server, issuer, agent, subject, each behind its length
//! ```

mod source;

use std::fmt;

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::secret::derive;
use crate::time::Time;
use crate::token::{Verified, base64url, encode};

pub use source::{Ready, Sessions};

/// The header.
pub const HEADER: &str = "mcp-session-id";

/// The longest identifier an upstream may hand out.
const PLAIN: usize = 1024;

/// The longest sealed one that is looked at.
const SEALED: usize = 4096;

const ID: usize = 6;
const NONCE: usize = 24;

/// Whose session it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Principal<'a> {
    /// The server's name in the policy.
    pub server: &'a str,
    /// The issuer, as in `iss`: two issuers can name their agents alike.
    pub issuer: &'a str,
    /// Who acts.
    pub agent: &'a str,
    /// For whom.
    pub subject: &'a str,
}

impl<'a> Principal<'a> {
    /// Who holds the token, on `server`.
    pub fn of(server: &'a str, token: &'a Verified) -> Self {
        let claims = token.claims();
        Self { server, issuer: token.issuer(), agent: &claims.agent, subject: &claims.subject }
    }

    /// All parts, each behind its length, so that no two principals read the same.
    fn binding(&self) -> Vec<u8> {
        let Self { server, issuer, agent, subject } = self;
        let mut bytes = b"accredit session 1".to_vec();
        for part in [server, issuer, agent, subject] {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }
}

/// A sealed identifier that is not this principal's session. Nothing tells a wrong key from a wrong principal or from
/// bytes that never were a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign;

/// Why an identifier of the upstream's cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsealable {
    /// It is none: empty, too long, or more than visible ASCII.
    ///
    /// [MCP 2025-11-25, session management](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#session-management):
    /// "The session ID MUST only contain visible ASCII characters (ranging from 0x21 to 0x7E)."
    Malformed,
    /// There is no key, or none that is good now.
    Keyless,
}

/// One key, and when it is good.
#[derive(Clone)]
pub struct Key {
    id: [u8; ID],
    secret: Zeroizing<Vec<u8>>,
    from: Time,
    until: Option<Time>,
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Key({})", self.id())
    }
}

impl Key {
    /// The key `secret`, which seals from `from` on while there is no later one, and opens until `until`.
    ///
    /// What it is used for is derived from it, each with a label of its own: no two uses share a key, and the identifier
    /// cannot be given to another one.
    pub fn new(secret: Zeroizing<Vec<u8>>, from: Time, until: Option<Time>) -> Self {
        let id = derive(&secret, &[b"accredit session id"]).first_chunk().copied().unwrap_or_default();
        Self { id, secret, from, until }
    }

    /// The key an operator wrote down.
    fn written(text: &str) -> Self {
        Self::new(derive(text.as_bytes(), &[b"accredit session key"]), Time::default(), None)
    }

    /// Its name, the same everywhere.
    pub fn id(&self) -> String {
        encode(&self.id)
    }

    /// `None` never comes: what is derived is as long as a key.
    fn cipher(&self) -> Option<XChaCha20Poly1305> {
        XChaCha20Poly1305::new_from_slice(&derive(&self.secret, &[b"accredit session cipher"])).ok()
    }

    fn opens(&self, now: Time) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// A nonce that is the same for the same session of the same principal, and for nothing else.
    ///
    /// Random ones would do for 24 bytes, but a host that has no randomness to give would repeat one, and give the key
    /// stream away. This needs none. It also keeps the sealed identifier the same for as long as the key is: some servers
    /// repeat theirs in every answer.
    fn nonce(&self, binding: &[u8], id: &str) -> [u8; NONCE] {
        let key = derive(&self.secret, &[b"accredit session nonce"]);
        derive(&key, &[binding, id.as_bytes()]).first_chunk().copied().unwrap_or_default()
    }
}

/// Seals and opens, with the current key and earlier ones.
#[derive(Clone, Debug, Default)]
pub struct Sealer(Vec<Key>);

impl Sealer {
    /// With these keys, in any order.
    pub fn new(keys: Vec<Key>) -> Self {
        Self(keys)
    }

    /// With the keys an operator wrote down, between white space: the first one seals, all of them open. `None` where there
    /// is none, or one of less than 32 characters.
    pub fn written(text: &str) -> Option<Self> {
        let mut keys = text.split_ascii_whitespace().peekable();
        let sound = keys.peek().is_some() && keys.clone().all(|key| key.len() >= 32);
        sound.then(|| Self(keys.map(Key::written).collect()))
    }

    /// Whether there is a key to seal with now.
    pub fn seals(&self, now: Time) -> bool {
        self.current(now).is_some()
    }

    /// What `principal` holds in place of the upstream's `id`.
    pub fn seal(&self, id: &str, principal: &Principal<'_>, now: Time) -> Result<String, Unsealable> {
        if !(1..=PLAIN).contains(&id.len()) || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Unsealable::Malformed);
        }
        let key = self.current(now).ok_or(Unsealable::Keyless)?;
        let binding = principal.binding();
        let nonce = key.nonce(&binding, id);
        let payload = Payload { msg: id.as_bytes(), aad: &binding };
        let sealed = key.cipher().and_then(|cipher| cipher.encrypt(&XNonce::from(nonce), payload).ok());
        let sealed = sealed.ok_or(Unsealable::Keyless)?;
        Ok(encode(&[&key.id[..], &nonce, &sealed].concat()))
    }

    /// The upstream's identifier of the session that `sealed` is in `principal`'s hands.
    pub fn open(&self, sealed: &str, principal: &Principal<'_>, now: Time) -> Result<String, Foreign> {
        let bytes = Some(sealed).filter(|sealed| sealed.len() <= SEALED).and_then(base64url).ok_or(Foreign)?;
        let (id, rest) = bytes.split_first_chunk::<ID>().ok_or(Foreign)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or(Foreign)?;
        let key = self.0.iter().find(|key| key.id == *id && key.opens(now)).ok_or(Foreign)?;
        let binding = principal.binding();
        let payload = Payload { msg: sealed, aad: &binding };
        let opened = key.cipher().and_then(|cipher| cipher.decrypt(&XNonce::from(*nonce), payload).ok());
        opened.and_then(|id| String::from_utf8(id).ok()).ok_or(Foreign)
    }

    /// The latest key that has begun; of several the first.
    fn current(&self, now: Time) -> Option<&Key> {
        let begun = self.0.iter().filter(|key| key.from <= now && key.opens(now));
        begun.rev().max_by_key(|key| key.from)
    }
}

#[cfg(test)]
mod tests;
