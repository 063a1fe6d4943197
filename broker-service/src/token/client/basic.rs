//! Secrets in the `Authorization` header.
//!
//! [RFC 6749 §2.3.1](https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1)

use accredit_policy::Secret;
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Failure, Shown};
use crate::agents::secret::Digest;

/// Reads the one header.
pub(super) fn read(headers: &HeaderMap) -> Option<Shown<'static>> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let value = lines.next().filter(|_| lines.next().is_none())?.to_str().ok()?;
    let (scheme, coded) = value.split_once(' ')?;
    let pair = Some(coded).filter(|_| scheme.eq_ignore_ascii_case("basic"));
    let pair = String::from_utf8(STANDARD.decode(pair?).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    Some(Shown::Secret { id: decode(id)?, secret: Secret::new(decode(secret)?) })
}

/// Compares `secret` with the digest of an agent that has one, and takes as long where there is none.
pub(super) fn check(digest: Option<&Digest>, secret: &Secret) -> Result<(), Failure> {
    let holds = digest.map_or_else(|| Digest::nobody(secret), |digest| digest.matches(secret));
    if holds { Ok(()) } else { Err(Failure::Unproved("no client of this identifier has this secret")) }
}

/// Undoes the form encoding of one part; `None` where the part is no single value.
///
/// Clients that do not encode are understood as long as their secret has no `%`, `+` or `&`.
fn decode(part: &str) -> Option<String> {
    let field = format!("part={part}");
    let mut pairs = form_urlencoded::parse(field.as_bytes());
    let (_, value) = pairs.next()?;
    pairs.next().is_none().then(|| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_writing_a_secret_are_read() {
        assert_eq!(decode("c2VjcmV0=="), Some("c2VjcmV0==".into()));
        assert_eq!(decode("c2VjcmV0%3D%3D"), Some("c2VjcmV0==".into()));
        assert_eq!(decode("a%3Ab+c"), Some("a:b c".into()));
        assert_eq!(decode("a&b"), None);
    }
}
