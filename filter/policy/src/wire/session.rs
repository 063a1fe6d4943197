//! The keys of sessions on their way from the broker to its proxies: the answer to `GET /v1/session-keys`.
//!
//! ```json
//! {"keys":[{"id":"…","key":"…","not_before":1800000000,"not_after":1800172800}],"next":10800}
//! ```
//!
//! Times are seconds since the epoch. A key is handed out before its time, so that no proxy meets a session it cannot
//! open.

use std::fmt;

use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::json;
use crate::secret::Secret;
use crate::session::{self, Sealer};
use crate::time::Time;
use crate::token::{base64url, encode};

/// Where they are.
pub const PATH: &str = "/v1/session-keys";

/// The largest answer that is read, in bytes.
pub const SIZE: usize = 8 * 1024;

/// The most keys there may be.
const KEYS: usize = 16;

/// The keys there are.
#[derive(Debug)]
pub struct Keys {
    /// In any order.
    pub keys: Vec<Key>,
    /// After how many seconds to ask again.
    pub next: u64,
}

/// One key.
pub struct Key {
    /// The key itself.
    pub secret: Zeroizing<[u8; 32]>,
    /// From when on it seals.
    pub not_before: u64,
    /// When it stops to open.
    pub not_after: u64,
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.session().fmt(formatter)
    }
}

impl Key {
    fn session(&self) -> session::Key {
        let at = Time::from_seconds;
        session::Key::new(&self.secret, at(self.not_before), Some(at(self.not_after)))
    }

    /// Its name.
    pub fn id(&self) -> String {
        self.session().id()
    }
}

impl Keys {
    /// What seals and opens with them.
    pub fn sealer(&self) -> Sealer {
        Sealer::new(self.keys.iter().map(Key::session).collect())
    }

    /// The answer's body.
    pub fn write(&self) -> Secret {
        let key = |key: &Key| {
            let secret = encode(&*key.secret);
            json!({ "id": key.id(), "key": secret, "not_before": key.not_before, "not_after": key.not_after })
        };
        let keys: Vec<_> = self.keys.iter().map(key).collect();
        Secret::new(json!({ "keys": keys, "next": self.next }).to_string())
    }
}

/// Reads the answer's body strictly; an error does not quote it.
pub fn read(body: &[u8]) -> Result<Keys, &'static str> {
    let value = json::text(body).and_then(json::value).map_err(|_| "is not strict JSON")?;
    let keys = keys(&value).ok_or("is no list of keys")?;
    if !(1..=KEYS).contains(&keys.keys.len()) {
        return Err("holds no key or too many");
    }
    let mut names: Vec<_> = keys.keys.iter().map(Key::id).collect();
    while let Some(name) = names.pop() {
        if names.contains(&name) {
            return Err("holds a key twice");
        }
    }
    Ok(keys)
}

fn keys(value: &Value) -> Option<Keys> {
    let list = value.get("keys")?.as_array()?;
    let mut keys = Vec::with_capacity(list.len());
    for item in list {
        keys.push(key(item)?);
    }
    (size(value) == 2).then_some(Keys { keys, next: value.get("next")?.as_u64()? })
}

fn key(value: &Value) -> Option<Key> {
    let bytes = Zeroizing::new(base64url(value.get("key")?.as_str()?)?);
    let secret = Zeroizing::new(bytes.as_slice().try_into().ok()?);
    let [not_before, not_after] = ["not_before", "not_after"].map(|name| value.get(name).and_then(Value::as_u64));
    let key = Key { secret, not_before: not_before?, not_after: not_after? };
    let named = value.get("id")?.as_str() == Some(&*key.id());
    (size(value) == 4 && named && key.not_before < key.not_after).then_some(key)
}

fn size(value: &Value) -> usize {
    value.as_object().map_or(0, serde_json::Map::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        let key = |byte| Key { secret: [byte; 32].into(), not_before: 10, not_after: 20 };
        Keys { keys: vec![key(1), key(2)], next: 5 }
    }

    #[test]
    fn keys_survive_the_way() {
        let text = keys().write();
        let got = read(text.reveal().as_bytes()).unwrap();
        assert_eq!((got.write(), got.next), (text, 5));
        assert_eq!(format!("{got:?}").matches("AQEBAQ").count(), 0);
    }

    #[test]
    fn whatever_is_no_list_of_keys_is_refused() {
        let text = keys().write().reveal().to_owned();
        let (one, name) = (encode(&[1; 32]), keys().keys[0].id());
        for (bad, why) in [
            (String::new(), "is not strict JSON"),
            (text.replacen("\"next\":5", "\"next\":5,\"next\":6", 1), "is not strict JSON"),
            ("[]".into(), "is no list of keys"),
            (text.replacen("\"next\":5", "\"next\":-5", 1), "is no list of keys"),
            (text.replacen("\"next\":5", "\"nexd\":5", 1), "is no list of keys"),
            (text.replacen("\"id\"", "\"x\":1,\"id\"", 1), "is no list of keys"),
            ("{\"keys\":[],\"next\":5}".into(), "holds no key or too many"),
            (text.replacen(&one, &encode(&[1; 31]), 1), "is no list of keys"),
            (text.replacen(&one, &format!("{one}AAAA"), 1), "is no list of keys"),
            (text.replacen(&one, &encode(&[3; 32]), 1), "is no list of keys"),
            (text.replacen(&name, "AAAAAAAA", 1), "is no list of keys"),
            (text.replacen("\"not_after\":20", "\"not_after\":10", 1), "is no list of keys"),
        ] {
            assert_ne!(bad, text);
            assert_eq!(read(bad.as_bytes()).err(), Some(why), "{bad}");
        }
        let mut twice = keys();
        twice.keys[1].secret = [1; 32].into();
        assert_eq!(read(twice.write().reveal().as_bytes()).err(), Some("holds a key twice"));
        let many = Keys {
            keys: (0..17).map(|byte| Key { secret: [byte; 32].into(), ..keys().keys.remove(0) }).collect(),
            next: 1,
        };
        assert_eq!(read(many.write().reveal().as_bytes()).err(), Some("holds no key or too many"));
    }
}
