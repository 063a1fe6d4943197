//! A request's headers, as far as they decide anything.

use crate::denial::{Denial, Reason};
use crate::headers::{Headers, Sole};
use crate::http::Head;
use crate::mcp::Era;
use crate::secret::Secret;
use crate::sender::Scheme;

/// The head of one request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) host: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: Headers,
    query_token: bool,
}

impl Request {
    /// Reads the pseudo-headers.
    pub(super) fn new(headers: Headers) -> Self {
        let text = |name| headers.text(name).unwrap_or_default().to_owned();
        let (method, host, target) = (text(":method"), text(":authority"), text(":path"));
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        // [RFC 6750 §2.3](https://www.rfc-editor.org/rfc/rfc6750#section-2.3): a token in a URL ends up in logs, and MCP
        // forbids it.
        let query_token = form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "access_token");
        Self { method, host, path: path.to_owned(), query: query.to_owned(), headers, query_token }
    }

    /// The token, and how it was presented.
    ///
    /// [RFC 6750 §2.1](https://www.rfc-editor.org/rfc/rfc6750#section-2.1) and
    /// [RFC 9449 §7.1](https://www.rfc-editor.org/rfc/rfc9449#section-7.1): one header, one scheme in any case, one space.
    /// More than one way or one token at once is a malformed request, [RFC 6750 §3.1](https://www.rfc-editor.org/rfc/rfc6750#section-3.1).
    pub(super) fn token(&self) -> Result<(Scheme, Secret), Denial> {
        if self.query_token {
            return Err(Denial::new(Reason::RequestMalformed, "the query has an `access_token`"));
        }
        let value = match self.headers.sole("authorization") {
            Sole::Absent => return Err(Denial::new(Reason::TokenMissing, "no `authorization` header")),
            Sole::Broken => {
                return Err(Denial::new(Reason::RequestMalformed, "`authorization` stands twice or is no text"));
            }
            Sole::One(value) => value,
        };
        match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok((Scheme::Bearer, Secret::new(token))),
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("dpop") => Ok((Scheme::Dpop, Secret::new(token))),
            _ => Err(Denial::new(Reason::TokenMissing, "`authorization` holds no token")),
        }
    }

    /// Whether the body will be what its media type says, which is one of `media`: JSON as it is, not packed.
    pub(super) fn plain_json(&self, media: &[&str]) -> Result<(), Denial> {
        let malformed = |note: &str| Err(Denial::new(Reason::RequestMalformed, note));
        if self.headers.has("content-encoding") {
            return malformed("the body has a `content-encoding`");
        }
        let Sole::One(kind) = self.headers.sole("content-type") else {
            return malformed("the `content-type` is not exactly one");
        };
        let mut parts = kind.split(';').map(str::trim);
        let json = parts.next().is_some_and(|kind| media.iter().any(|media| kind.eq_ignore_ascii_case(media)));
        let utf8 = parts.all(|part| {
            let charset = part.to_ascii_lowercase();
            matches!(charset.as_str(), "charset=utf-8" | "charset=\"utf-8\"")
        });
        if json && utf8 { Ok(()) } else { malformed("the `content-type` is not that of JSON") }
    }

    /// The head as the protocols read it, with the path `below` that of the server, or the whole path.
    pub(super) fn head<'a>(&'a self, below: Option<&'a str>) -> Head<'a> {
        Head { method: &self.method, path: below.unwrap_or(&self.path), query: &self.query, headers: &self.headers }
    }

    /// Whether the client wants to leave HTTP, where nothing could be judged any more.
    pub(super) fn upgrades(&self) -> bool {
        self.method == "CONNECT" || self.headers.has("upgrade")
    }

    /// The headers the upstream must not see.
    pub(super) fn private(&self, era: Era) -> Vec<String> {
        let ours = |name: &&str| name.starts_with("x-accredit-") || matches!(*name, "authorization" | "dpop");
        // In the legacy era these have no meaning for us, and must have none for a server that reads them.
        let foreign = |name: &&str| {
            era == Era::Legacy && (matches!(*name, "mcp-method" | "mcp-name") || name.starts_with("mcp-param-"))
        };
        let mut names: Vec<_> =
            self.headers.names().filter(|name| ours(name) || foreign(name)).map(str::to_owned).collect();
        names.dedup();
        names
    }

    /// A short header that goes into the record and to the broker, if it looks harmless.
    pub(super) fn label(&self, name: &str) -> Option<String> {
        let text = self.headers.text(name)?;
        let fit = (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fit.then(|| text.to_owned())
    }

    /// The W3C trace the request belongs to: the whole `traceparent`, and its trace identifier.
    pub(super) fn trace(&self) -> Option<(String, String)> {
        let parent = self.label("traceparent")?;
        let id = parent.get(3..35)?;
        let hex = parent.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
        let id = id.to_owned();
        (parent.len() == 55 && hex).then_some((parent, id))
    }
}
