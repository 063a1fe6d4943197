//! A request's query, and the ways to ask for another request than the one that stands there.

use std::borrow::Cow;

use crate::call::Flaw;
use crate::headers::Headers;

/// How many parameters a query may have.
const MANY: usize = 256;

/// Headers that make frameworks run another method or another path.
const OVERRIDES: &[&str] =
    &["x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"];

/// Refuses a request that asks for another method or path than its own: what runs would not be what is judged.
pub fn plain(headers: &Headers, query: &str) -> Result<(), Flaw> {
    // Gateways of the CGI family take `_` in the name of a header for `-`.
    if headers.names().any(|name| OVERRIDES.contains(&name.replace('_', "-").as_str())) {
        return Err(Flaw::malformed("a header asks for another method or path"));
    }
    match query.split(['&', ';']).any(overrides) {
        true => Err(Flaw::malformed("the query has a `_method`")),
        false => Ok(()),
    }
}

/// Whether some framework takes a parameter for `_method`. PHP drops spaces before a name and takes `.`, `[` and space in it
/// for `_`; others split queries at `;` and fold case.
fn overrides(pair: &str) -> bool {
    let name = pair.split('=').next().unwrap_or_default();
    let coded = form_urlencoded::parse(name.as_bytes()).next().map(|(name, _)| name).unwrap_or_default();
    let name = coded.trim_start().replace(['.', '[', ' '], "_").to_ascii_lowercase();
    name.starts_with("_method")
}

/// A parameter's name and value.
type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The parameters of a query, decoded, in their order.
///
/// [WHATWG URL, application/x-www-form-urlencoded](https://url.spec.whatwg.org/#urlencoded-parsing), read strictly: what is no
/// text, has a `;` or a lone `%` is refused.
pub(super) fn parameters(query: &str) -> Result<Vec<Pair<'_>>, Flaw> {
    let mut read = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        if read.len() == MANY {
            return Err(Flaw::malformed("the query has more than 256 parameters"));
        }
        read.push(parameter(pair)?);
    }
    Ok(read)
}

fn parameter(pair: &str) -> Result<Pair<'_>, Flaw> {
    let sound = pair.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';') && encoded(pair);
    let (name, value) = form_urlencoded::parse(pair.as_bytes()).next().unwrap_or_default();
    // What is no UTF-8 was replaced; a replacement that was sent is not worth telling apart.
    match sound && ![&name, &value].iter().any(|text| text.contains(['\u{fffd}', '\0'])) {
        true => Ok((name, value)),
        false => Err(Flaw::malformed("the query cannot be read strictly")),
    }
}

fn encoded(text: &str) -> bool {
    let mut codes = text.split('%').skip(1);
    codes.all(|rest| rest.get(..2).is_some_and(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &str) -> Headers {
        Headers::new([(name.to_owned(), b"DELETE".to_vec())])
    }

    #[test]
    fn a_request_asks_for_no_other_than_itself() {
        assert!(plain(&headers("x-method"), "a=1&method=GET&x_method=1&%5f=_method").is_ok());
        for name in [
            "x-http-method-override",
            "x-http-method",
            "x-method-override",
            "x_http_method_override",
            "x-http_method",
            "x-original-url",
            "x-rewrite-url",
        ] {
            assert!(plain(&headers(name), "").is_err(), "{name}");
        }
        for query in [
            "_method=DELETE",
            "a=1&_method=DELETE",
            "a=1;_method=DELETE",
            "%5Fmethod=DELETE",
            "_%6dethod",
            "_METHOD=delete",
            "+_method=x",
            "%20_method=x",
            ".method=x",
            "[method=x",
            "+method=x&+.method=x",
            "_method[]=x",
            "_method%00=x",
        ] {
            assert!(plain(&Headers::default(), query).is_err(), "{query}");
        }
    }

    #[test]
    fn a_query_is_read_strictly_or_not_at_all() {
        let read = |query| {
            let pairs = parameters(query).ok()?;
            Some(pairs.into_iter().map(|(name, value)| format!("{name}:{value}")).collect::<Vec<_>>())
        };
        assert_eq!(read("").unwrap(), Vec::<String>::new());
        assert_eq!(read("a=1&b=x+y%2B%26&&c&=d&a=2").unwrap(), ["a:1", "b:x y+&", "c:", ":d", "a:2"]);
        assert_eq!(read("%C3%BC=%e2%82%ac").unwrap(), ["ü:€"]);
        for bad in ["a=1;b=2", "a=%", "a=%2", "a=%zz", "a=%ff", "%ff=1", "a=%00", "a=ü", "a= b", "a=\t", "a=%ef%bf%bd"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert!(parameters(&"a&".repeat(256)).is_ok());
        assert!(parameters(&"a&".repeat(257)).is_err());
    }
}
