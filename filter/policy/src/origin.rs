//! Pages of browsers: which may call, and what their browsers ask before.
//!
//! [MCP 2026-07-28, transports](https://modelcontextprotocol.io/specification/2026-07-28/basic/transports): an `Origin`
//! that is not accepted is answered 403. [Fetch, CORS](https://fetch.spec.whatwg.org/#http-cors-protocol) for the rest.

use crate::denial::{Denial, Reason};
use crate::headers::{Headers, Sole};
use crate::policy::Server;
use crate::reply::Reply;

/// An origin whose pages may call, as it stands in the request. Only [`judge`] gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

/// What a page gets to read of an answer besides its body.
const EXPOSED: &str = "www-authenticate, mcp-session-id, mcp-protocol-version, dpop-nonce, retry-after";

/// What a page may send, unless its browser asks for something else that looks like names.
const SENT: &str = "authorization, content-type, accept, dpop, mcp-protocol-version, mcp-method, mcp-name, \
                    mcp-session-id, last-event-id, traceparent, tracestate";

/// The origin of a request to `server`; `None` when it comes from no page.
pub fn judge(headers: &Headers, server: &Server) -> Result<Option<Origin>, Denial> {
    let invalid = |note: &str| Err(Denial::new(Reason::OriginInvalid, note));
    match headers.sole("origin") {
        Sole::Absent => Ok(None),
        Sole::Broken => invalid("`origin` stands twice or is no text"),
        Sole::One(origin) => {
            let own = origin == server.resource.origin();
            match own || server.origins.iter().any(|other| other == origin) {
                true => Ok(Some(Origin(origin.to_owned()))),
                false => invalid("the page's `origin` is not among `origins`"),
            }
        }
    }
}

/// Whether a browser asks, before a page's request, if that may be sent.
///
/// [Fetch, CORS-preflight request](https://fetch.spec.whatwg.org/#cors-preflight-request): it never has credentials.
pub fn asks(method: &str, headers: &Headers) -> bool {
    method == "OPTIONS" && headers.has("origin") && headers.has("access-control-request-method")
}

/// The answer to a browser that asks for a page of `origin`, or for any page where there is none.
pub fn preflight(origin: Option<&Origin>, headers: &Headers) -> Reply {
    let asked = headers.text("access-control-request-headers").filter(|names| plain(names));
    let reply = Reply { status: 204, headers: Vec::new(), body: String::new() };
    let reply = match origin {
        Some(origin) => origin.headers().into_iter().fold(reply, |reply, (name, value)| reply.with(name, value)),
        None => reply.with("access-control-allow-origin", "*"),
    };
    reply
        .with("access-control-allow-methods", "GET, POST, PUT, PATCH, DELETE")
        .with("access-control-allow-headers", asked.unwrap_or(SENT))
        .with("access-control-max-age", "600")
}

/// Names of headers, as a list.
fn plain(names: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_, ".contains(&byte);
    (1..=1024).contains(&names.len()) && names.bytes().all(legal)
}

impl Origin {
    /// What lets a page read the answer, and keeps caches from giving it to another.
    pub fn headers(&self) -> [(&'static str, String); 3] {
        [
            ("access-control-allow-origin", self.0.clone()),
            ("access-control-expose-headers", EXPOSED.to_owned()),
            ("vary", "origin".to_owned()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::policy_json;

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        Headers::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())))
    }

    fn judged(origins: &[&str]) -> Result<bool, Reason> {
        let mut policy = policy_json();
        policy["servers"]["crm"]["origins"] = json!(["https://app.example.test", "null"]);
        let policy = crate::config::read(policy).unwrap();
        let pairs: Vec<_> = origins.iter().map(|origin| ("origin", *origin)).collect();
        let judged = judge(&headers(&pairs), policy.server("crm").unwrap());
        judged.map(|origin| origin.is_some()).map_err(|denial| denial.reason)
    }

    #[test]
    fn only_pages_of_listed_origins_and_of_the_resources_own_may_call() {
        assert_eq!(judged(&[]), Ok(false));
        for own in ["https://app.example.test", "https://gateway.example.test", "null"] {
            assert_eq!(judged(&[own]), Ok(true), "{own}");
        }
        for other in [
            "https://app.example.test.evil.test",
            "https://app.example.test:8443",
            "http://app.example.test",
            "https://APP.example.test",
            "https://app.example.test, https://evil.test",
            "*",
            "",
        ] {
            assert_eq!(judged(&[other]), Err(Reason::OriginInvalid), "{other}");
        }
        assert_eq!(judged(&["https://app.example.test", "https://evil.test"]), Err(Reason::OriginInvalid));
    }

    #[test]
    fn a_preflight_repeats_only_what_looks_like_names() {
        let allowed = |names: &str| {
            let reply = preflight(None, &headers(&[("access-control-request-headers", names)]));
            let found = reply.headers.into_iter().find(|(name, _)| *name == "access-control-allow-headers");
            found.map(|(_, value)| value).unwrap()
        };
        assert_eq!(allowed("authorization,mcp-param-id"), "authorization,mcp-param-id");
        for odd in ["", "a: b", "a\"b", "é", &"a".repeat(1025)] {
            assert_eq!(allowed(odd), SENT, "{odd}");
        }
    }
}
