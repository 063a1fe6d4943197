//! A request's path, read so that no server can read another one in the same bytes.

use std::borrow::Cow;

use crate::call::Flaw;

/// How many segments a path may have.
const SEGMENTS: usize = 128;

/// A path in its normal form, segment by segment; `/a/` has an empty last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path<'a> {
    segments: Vec<Segment<'a>>,
}

/// What stands between two slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    normal: Cow<'a, str>,
    text: Cow<'a, str>,
}

impl<'a> Path<'a> {
    /// Reads a path without its query.
    ///
    /// Refused is whatever some server decodes, cuts or resolves and another does not: encoded slashes, backslashes, dots,
    /// semicolons, percent signs and control bytes, dot segments, empty segments, bytes that no URL has.
    pub fn parse(path: &'a str) -> Result<Self, Flaw> {
        let Some(rest) = path.strip_prefix('/') else {
            return Err(Flaw::malformed("the path does not begin with `/`"));
        };
        let parts: Vec<_> = rest.split('/').take(SEGMENTS.saturating_add(1)).collect();
        if parts.len() > SEGMENTS {
            return Err(Flaw::malformed("the path has more than 128 segments"));
        }
        let inner = parts.len().saturating_sub(1);
        if parts.iter().take(inner).any(|part| part.is_empty()) {
            return Err(Flaw::malformed("the path has an empty segment"));
        }
        let segments = parts.into_iter().map(Segment::parse).collect::<Result<_, _>>()?;
        Ok(Self { segments })
    }

    /// The segments, at least one.
    pub fn segments(&self) -> &[Segment<'a>] {
        &self.segments
    }
}

impl<'a> Segment<'a> {
    /// The segment with no more encoded than has to be.
    ///
    /// [RFC 3986 §6.2.2.2](https://www.rfc-editor.org/rfc/rfc3986#section-6.2.2.2): unreserved characters stand for
    /// themselves, encoded or not. Of all others only their encoding is known to mean the same everywhere.
    pub fn normal(&self) -> &str {
        &self.normal
    }

    /// The segment with nothing encoded.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn parse(part: &'a str) -> Result<Self, Flaw> {
        if part == "." || part == ".." {
            return Err(Flaw::malformed("the path has a dot segment"));
        }
        if !part.bytes().all(|byte| plain(byte) || byte == b'%') {
            return Err(Flaw::malformed("the path has a byte no path has"));
        }
        if !part.contains('%') {
            return Ok(Self { normal: Cow::Borrowed(part), text: Cow::Borrowed(part) });
        }
        let mut pieces = part.split('%');
        let mut normal = pieces.next().unwrap_or_default().to_owned();
        let mut text = normal.clone().into_bytes();
        for piece in pieces {
            let (octet, code, rest) =
                octet(piece).ok_or_else(|| Flaw::malformed("the path has a `%` without two hexadecimal digits"))?;
            if octet.is_ascii_control() || b"/\\.;%".contains(&octet) {
                return Err(Flaw::malformed("the path encodes what servers disagree on"));
            }
            match unreserved(octet) {
                true => normal.push(char::from(octet)),
                false => normal.extend(['%'].into_iter().chain(code.to_ascii_uppercase().chars())),
            }
            normal.push_str(rest);
            text.push(octet);
            text.extend_from_slice(rest.as_bytes());
        }
        let text = String::from_utf8(text).ok().filter(|text| !text.chars().any(char::is_control));
        let text = text.ok_or_else(|| Flaw::malformed("the path encodes what is no text"))?;
        Ok(Self { normal: Cow::Owned(normal), text: Cow::Owned(text) })
    }
}

/// The octet two hexadecimal digits stand for, the digits, and what follows them.
fn octet(piece: &str) -> Option<(u8, &str, &str)> {
    let (code, rest) = piece.split_at_checked(2)?;
    // `from_str_radix` takes a sign.
    let digits = code.bytes().all(|byte| byte.is_ascii_hexdigit());
    let octet = u8::from_str_radix(code, 16).ok()?;
    digits.then_some((octet, code, rest))
}

/// [RFC 3986 §2.3](https://www.rfc-editor.org/rfc/rfc3986#section-2.3)
fn unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// What stands for itself in a segment: `pchar` of
/// [RFC 3986 §3.3](https://www.rfc-editor.org/rfc/rfc3986#section-3.3), without the `;` that some servers cut it at.
pub(crate) fn plain(byte: u8) -> bool {
    unreserved(byte) || b"!$&'()*+,=:@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(path: &str) -> Option<Vec<(String, String)>> {
        let path = Path::parse(path).ok()?;
        Some(path.segments().iter().map(|segment| (segment.normal().into(), segment.text().into())).collect())
    }

    fn same(text: &str) -> (String, String) {
        (text.into(), text.into())
    }

    #[test]
    fn only_what_is_unreserved_is_decoded() {
        assert_eq!(read("/"), Some(vec![same("")]));
        assert_eq!(read("/a/b/"), Some(vec![same("a"), same("b"), same("")]));
        assert_eq!(read("/%69nvo%7e%2D%5f1"), Some(vec![same("invo~-_1")]));
        assert_eq!(read("/a%3ab%c3%bc%20"), Some(vec![("a%3Ab%C3%BC%20".into(), "a:bü ".into())]));
        assert_eq!(read("/a:b@c(1)=+,'*!$&"), Some(vec![same("a:b@c(1)=+,'*!$&")]));
    }

    #[test]
    fn what_servers_read_differently_is_refused() {
        for bad in [
            "",
            "*",
            "a",
            "http://gw/a",
            "//a",
            "/a//b",
            "/a//",
            "/.",
            "/..",
            "/a/./b",
            "/a/../b",
            "/a/..",
            "/%2e",
            "/a/%2E%2e/b",
            "/.%2e/",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a;b",
            "/a;",
            "/a%3bb",
            "/a%00",
            "/a%0d%0a",
            "/a%7f",
            "/a%252f",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%+1",
            "/a%-1",
            "/%c0%af",
            "/%ff",
            "/%ed%a0%80",
            "/%c2%85",
            "/ü",
            "/a b",
            "/a\tb",
            "/a\"b",
            "/a<b",
            "/a^b",
            "/a`b",
            "/a{b}",
            "/a|b",
            "/a[b]",
            "/a?b",
            "/a#b",
            "/a%u002f",
            "/%",
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
        assert!(read(&"/a".repeat(128)).is_some());
        assert!(read(&"/a".repeat(129)).is_none());
    }

    proptest! {
        #[test]
        fn what_is_read_has_no_second_reading(path in "/?([a-c./%;\\\\]|%[0-9a-fA-F]{2}|%[26][0-9A-Fa-f]|[ -~]|\\PC){0,24}") {
            let Ok(read) = Path::parse(&path) else { return Ok(()) };
            let normal: String = read.segments().iter().flat_map(|segment| ["/", segment.normal()]).collect();
            // Once in its normal form a path stays as it is.
            prop_assert_eq!(Path::parse(&normal).unwrap(), read.clone());
            // Decoding all of it as a server does that looks at nothing gives the same segments.
            let whole = form_urlencoded::parse(normal.replace('+', "%2B").replace('&', "%26").replace('=', "%3D").as_bytes())
                .next().map(|(name, _)| name.into_owned()).unwrap_or_default();
            let parts: Vec<_> = whole.split('/').skip(1).collect();
            let texts: Vec<_> = read.segments().iter().map(Segment::text).collect();
            prop_assert_eq!(parts, texts);
            prop_assert!(!whole.split('/').any(|part| part == "." || part == ".."));
        }
    }
}
