//! Token Status Lists: one bit or a few for each token an issuer has issued.
//!
//! [draft-ietf-oauth-status-list](https://datatracker.ietf.org/doc/draft-ietf-oauth-status-list/)

use serde_json::{Map, Value};

use super::Refusal;
use super::claims::{self, malformed};
use crate::denial::Reason;
use crate::resource::Resource;
use crate::time::Time;

/// The largest status list token that is read, in bytes.
pub const SIZE: usize = 1024 * 1024;

/// The largest list it may unpack to, in bytes: eight million tokens at one bit each.
const UNPACKED: usize = 1024 * 1024;

/// The media type of a list.
pub const MEDIA: &str = "application/statuslist+jwt";

/// Where a token stands in which list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The list.
    pub list: Resource,
    /// The position in it.
    pub index: u64,
}

impl Listing {
    /// Reads the claim `status`; `None` for a token that has none.
    ///
    /// [§6.1](https://datatracker.ietf.org/doc/html/draft-ietf-oauth-status-list#section-6.1)
    pub fn read(claims: &Map<String, Value>) -> Result<Option<Self>, Refusal> {
        let Some(status) = claims.get("status") else {
            return Ok(None);
        };
        let read = || {
            let entry = status.get("status_list")?;
            let list = Resource::parse(entry.get("uri")?.as_str()?)?;
            Some(Self { list, index: entry.get("idx")?.as_u64()? })
        };
        read().map(Some).ok_or(malformed("`status` does not name a place in a status list"))
    }
}

/// What a list says of one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Still good.
    Valid,
    /// Not any more, or not now, or in a way only the issuer knows.
    Refused,
}

/// A list whose token was proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    bits: u32,
    bytes: Vec<u8>,
    /// When it was made.
    pub issued: Time,
    /// When the issuer wants it fetched again, in seconds.
    pub ttl: Option<u64>,
    /// When it ends.
    pub expires: Option<Time>,
}

impl List {
    /// Reads the payload of a status list token whose signature holds, fetched from `uri`.
    ///
    /// [§8.3](https://datatracker.ietf.org/doc/html/draft-ietf-oauth-status-list#section-8.3): `sub` is the list's own
    /// place, so that one list cannot stand for another.
    pub fn read(payload: &[u8], uri: &str, now: Time) -> Result<Self, Refusal> {
        let claims = claims::object(payload)?;
        if claims.get("sub").and_then(Value::as_str) != Some(uri) {
            return Err(malformed("`sub` of the status list is not its place"));
        }
        let issued = claims::date(&claims, "iat")?.ok_or(malformed("the status list has no `iat`"))?;
        let expires = claims::date(&claims, "exp")?;
        if expires.is_some_and(|expires| now >= expires) {
            return Err(malformed("the status list has ended"));
        }
        if issued > now.plus(std::time::Duration::from_secs(60)) {
            return Err(malformed("the status list is of the future"));
        }
        let list = claims.get("status_list").ok_or(malformed("there is no `status_list`"))?;
        let bits = list.get("bits").and_then(Value::as_u64).and_then(|bits| u32::try_from(bits).ok());
        let bits = bits.filter(|bits| [1, 2, 4, 8].contains(bits)).ok_or(malformed("`bits` is not 1, 2, 4 or 8"))?;
        let packed = list.get("lst").and_then(Value::as_str).and_then(super::base64url);
        let bytes = packed.and_then(|packed| inflate(&packed)).ok_or(malformed("`lst` cannot be unpacked"))?;
        let ttl = match claims.get("ttl") {
            None => None,
            Some(ttl) => Some(ttl.as_u64().ok_or(malformed("`ttl` is no number"))?),
        };
        Ok(Self { bits, bytes, issued, ttl, expires })
    }

    /// The status at `index`; `None` beyond the end.
    ///
    /// [§4.1](https://datatracker.ietf.org/doc/html/draft-ietf-oauth-status-list#section-4.1): the first token has the
    /// lowest bits of the first byte.
    pub fn at(&self, index: u64) -> Option<Status> {
        let each = 8_u32.checked_div(self.bits)?;
        let place = usize::try_from(index.checked_div(u64::from(each))?).ok()?;
        let within = u32::try_from(index.checked_rem(u64::from(each))?).ok()?;
        let byte = u32::from(*self.bytes.get(place)?);
        let mask = 1_u32.checked_shl(self.bits)?.checked_sub(1)?;
        let value = byte.checked_shr(within.checked_mul(self.bits)?)? & mask;
        Some(if value == 0 { Status::Valid } else { Status::Refused })
    }

    /// How much memory it takes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// Unpacks ZLIB, up to a bound.
fn inflate(packed: &[u8]) -> Option<Vec<u8>> {
    miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(packed, UNPACKED).ok()
}

/// Judges what a list says of a token.
///
/// [§8.3](https://datatracker.ietf.org/doc/html/draft-ietf-oauth-status-list#section-8.3): a place outside of the list
/// refuses the token.
pub fn judge(list: &List, listing: &Listing) -> Result<(), Refusal> {
    match list.at(listing.index) {
        Some(Status::Valid) => Ok(()),
        Some(Status::Refused) => Err(Refusal::new(Reason::Revoked, "the issuer's status list refuses the token")),
        None => Err(Refusal::new(Reason::Revoked, "the token's place is outside of the status list")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::NOW;
    use crate::token::encode;

    const URI: &str = "https://idp.example.test/status/1";

    fn payload(bits: u64, packed: &[u8]) -> Value {
        json!({ "sub": URI, "iat": NOW.seconds(), "status_list": { "bits": bits, "lst": encode(packed) } })
    }

    fn pack(bytes: &[u8]) -> Vec<u8> {
        miniz_oxide::deflate::compress_to_vec_zlib(bytes, 9)
    }

    fn read(payload: &Value) -> Result<List, &'static str> {
        List::read(payload.to_string().as_bytes(), URI, NOW).map_err(|refusal| refusal.note)
    }

    #[test]
    fn statuses_are_packed_from_the_lowest_bit() {
        // draft-ietf-oauth-status-list §4.1: 16 tokens of one bit, and 12 of two.
        let ones = read(&payload(1, &pack(&[0xb9, 0xa3]))).unwrap();
        let bits: Vec<_> = (0..16).map(|index| ones.at(index) == Some(Status::Refused)).collect();
        let text: String = bits.iter().map(|bit| if *bit { '1' } else { '0' }).collect();
        assert_eq!(text, "1001110111000101");
        let twos = read(&payload(2, &pack(&[0xc9, 0x44, 0xf9]))).unwrap();
        let refused: Vec<u64> = (0..12).filter(|index| twos.at(*index) == Some(Status::Refused)).collect();
        assert_eq!(refused, [0, 1, 3, 5, 7, 8, 9, 10, 11]);
        assert_eq!((ones.at(16), twos.at(12), ones.at(u64::MAX)), (None, None, None));
    }

    #[test]
    fn a_place_beyond_the_end_refuses() {
        let list = read(&payload(8, &pack(&[0, 1, 2, 3]))).unwrap();
        let verdict = |index| {
            let listing = Listing { list: Resource::parse(URI).unwrap(), index };
            judge(&list, &listing).err().map(|refusal| refusal.reason)
        };
        assert_eq!(verdict(0), None);
        for refused in [1, 2, 3, 4, u64::MAX] {
            assert_eq!(verdict(refused), Some(Reason::Revoked), "{refused}");
        }
    }

    #[test]
    fn a_list_that_unpacks_without_bound_is_refused() {
        assert!(read(&payload(1, &pack(&vec![0; UNPACKED]))).is_ok());
        assert!(read(&payload(1, &pack(&vec![0; UNPACKED + 1]))).is_err());
        assert!(read(&payload(1, b"no zlib")).is_err());
    }

    #[test]
    fn a_list_has_to_be_the_one_that_was_asked_for_and_of_now() {
        let with = |name: &str, value: Value| {
            let mut claims = payload(1, &pack(&[0]));
            claims[name] = value;
            read(&claims)
        };
        assert!(with("exp", json!(NOW.seconds() + 1)).is_ok() && with("ttl", json!(60)).is_ok());
        for (name, value) in [
            ("sub", json!("https://idp.example.test/status/2")),
            ("sub", json!(null)),
            ("iat", json!("now")),
            ("iat", json!(NOW.seconds() + 61)),
            ("exp", json!(NOW.seconds())),
            ("ttl", json!("60")),
            ("status_list", json!({ "bits": 3, "lst": encode(&pack(&[0])) })),
            ("status_list", json!({ "bits": 1 })),
            ("status_list", json!(null)),
        ] {
            assert!(with(name, value.clone()).is_err(), "{name} {value}");
        }
    }

    #[test]
    fn a_listing_is_read_strictly() {
        let read = |value: Value| Listing::read(value.as_object().unwrap()).map_err(|refusal| refusal.reason);
        assert_eq!(read(json!({})), Ok(None));
        let sound = json!({ "status": { "status_list": { "idx": 7, "uri": URI } } });
        assert_eq!(read(sound).unwrap().unwrap().index, 7);
        for entry in [
            json!(null),
            json!({}),
            json!({ "status_list": {} }),
            json!({ "status_list": { "idx": -1, "uri": URI } }),
            json!({ "status_list": { "idx": "7", "uri": URI } }),
            json!({ "status_list": { "idx": 1.5, "uri": URI } }),
            json!({ "status_list": { "idx": 7, "uri": "file:///etc/passwd" } }),
        ] {
            assert_eq!(read(json!({ "status": entry })), Err(Reason::TokenMalformed), "{entry}");
        }
    }
}
