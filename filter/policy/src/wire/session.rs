//! The keys of sessions on their way from the broker to its proxies: the answer to `GET /v1/session-keys`.
//!
//! ```json
//! {"keys":[{"id":"…","key":"…","not_before":1800000000,"not_after":1800172800}],"next":10800}
//! ```
//!
//! Times are seconds since the epoch. A key is handed out before its time, so that no proxy meets a session it cannot
//! open.

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
pub struct Keys {
    /// In any order.
    pub keys: Vec<Key>,
    /// After how many seconds to ask again.
    pub next: u64,
}

/// One key.
pub struct Key {
    /// The key itself: 32 bytes.
    pub secret: Zeroizing<Vec<u8>>,
    /// From when on it seals.
    pub not_before: u64,
    /// When it stops to open.
    pub not_after: u64,
}

impl Key {
    /// Its name.
    pub fn id(&self) -> String {
        session::Key::new(self.secret.clone(), Time::default(), None).id()
    }
}

impl Keys {
    /// The answer's body.
    pub fn write(&self) -> Secret {
        let key = |key: &Key| {
            let secret = encode(&key.secret);
            json!({ "id": key.id(), "key": secret, "not_before": key.not_before, "not_after": key.not_after })
        };
        let keys: Vec<_> = self.keys.iter().map(key).collect();
        Secret::new(json!({ "keys": keys, "next": self.next }).to_string())
    }
}

/// Reads the answer's body strictly: what seals and opens, and after how many seconds to ask again. An error does not quote
/// the body.
pub fn read(body: &[u8]) -> Result<(Sealer, u64), &'static str> {
    let value = json::text(body).and_then(json::value).map_err(|_| "is not strict JSON")?;
    document(&value).ok_or("is no list of keys")
}

fn document(value: &Value) -> Option<(Sealer, u64)> {
    let list = value.get("keys")?.as_array().filter(|list| (1..=KEYS).contains(&list.len()))?;
    let mut keys: Vec<session::Key> = Vec::with_capacity(list.len());
    for item in list {
        let key = key(item)?;
        if keys.iter().any(|other| other.id() == key.id()) {
            return None;
        }
        keys.push(key);
    }
    (size(value) == 2).then_some((Sealer::new(keys), number(value, "next")?))
}

fn key(value: &Value) -> Option<session::Key> {
    let secret = Zeroizing::new(base64url(text(value, "key")?)?);
    let (from, until) = (number(value, "not_before")?, number(value, "not_after")?);
    let sound = size(value) == 4 && secret.len() == 32 && from < until;
    let key = session::Key::new(secret, Time::from_seconds(from), Some(Time::from_seconds(until)));
    // A name of another key says that one of the two is not what was meant.
    (sound && text(value, "id")? == key.id()).then_some(key)
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str()
}

fn number(value: &Value, name: &str) -> Option<u64> {
    value.get(name)?.as_u64()
}

fn size(value: &Value) -> usize {
    value.as_object().map_or(0, serde_json::Map::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        let key = |byte| Key { secret: vec![byte; 32].into(), not_before: 10, not_after: 20 };
        Keys { keys: vec![key(1), key(2)], next: 5 }
    }

    #[test]
    fn keys_survive_the_way() {
        let (sealer, next) = read(keys().write().reveal().as_bytes()).unwrap();
        let ids: Vec<_> = keys().keys.iter().map(Key::id).collect();
        assert_eq!(format!("{sealer:?}"), format!("Sealer([Key({}), Key({})])", ids[0], ids[1]));
        let sound = |seconds| sealer.seals(Time::from_seconds(seconds));
        assert_eq!([9, 10, 19, 20].map(sound), [false, true, true, false]);
        assert_eq!(next, 5);
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
            ("{\"keys\":[],\"next\":5}".into(), "is no list of keys"),
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
        twice.keys[1].secret = vec![1; 32].into();
        assert_eq!(read(twice.write().reveal().as_bytes()).err(), Some("is no list of keys"));
        let many = Keys {
            keys: (0..17).map(|byte| Key { secret: vec![byte; 32].into(), ..keys().keys.remove(0) }).collect(),
            next: 1,
        };
        assert_eq!(read(many.write().reveal().as_bytes()).err(), Some("is no list of keys"));
    }
}
