//! Resource identifiers and the requests that are for them.

use crate::http::{Part, Path, Template};

/// An absolute `http` or `https` URL without query, fragment or user information.
///
/// [RFC 8707 §2](https://www.rfc-editor.org/rfc/rfc8707#section-2): absolute, no fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    text: String,
    path: usize,
}

impl Resource {
    /// Reads a URL; `None` when it is not one of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let scheme = ["https://", "http://"].into_iter().find(|scheme| text.starts_with(scheme))?;
        let rest = text.strip_prefix(scheme)?;
        let authority = rest.find('/').unwrap_or(rest.len());
        let host = rest.get(..authority)?;
        let plain = |byte: u8| matches!(byte, 0x21..=0x7e) && !b"\"\\<>^`{|}?#@".contains(&byte);
        let sound = !host.is_empty() && rest.bytes().all(plain);
        let path = scheme.len().checked_add(authority)?;
        sound.then(|| Self { text: text.to_owned(), path })
    }

    /// The identifier, byte for byte.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Scheme and authority.
    pub fn origin(&self) -> &str {
        self.text.get(..self.path).unwrap_or_default()
    }

    /// Host, with port where there is one.
    pub fn authority(&self) -> &str {
        self.origin().split_once("://").map_or("", |(_, authority)| authority)
    }

    /// The path as a request asks for it: `/` when the URL has none.
    ///
    /// [RFC 9110 §4.2.3](https://www.rfc-editor.org/rfc/rfc9110#section-4.2.3)
    pub fn target(&self) -> &str {
        match self.path() {
            "" => "/",
            path => path,
        }
    }

    /// The path; empty when the URL has none.
    pub fn path(&self) -> &str {
        self.text.get(self.path..).unwrap_or_default()
    }
}

/// Which requests are for a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    host: String,
    path: Paths,
}

/// Which paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paths {
    /// This one.
    Only(String),
    /// This one and all below it.
    Below(String),
}

impl Match {
    /// Requests to `host` for `path`. A slash at the end of a place with others below says nothing.
    pub fn new(host: &str, path: Paths) -> Self {
        let path = match path {
            Paths::Below(place) => Paths::Below(place.strip_suffix('/').unwrap_or(&place).to_owned()),
            only @ Paths::Only(_) => only,
        };
        Self { host: host.to_ascii_lowercase(), path }
    }

    /// Whether `host`, as clients send it, is the one meant.
    ///
    /// [RFC 9110 §4.2.3](https://www.rfc-editor.org/rfc/rfc9110#section-4.2.3): hosts compare without case. A port
    /// in the request counts only where the policy names one.
    pub fn host(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let bare = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
        host == self.host || bare.is_some_and(|(name, _)| name == self.host)
    }

    /// Whether it is one path only.
    pub fn is_one(&self) -> bool {
        matches!(self.path, Paths::Only(_))
    }

    /// Whether a request to `host` for `path` (without query) is meant.
    pub fn covers(&self, host: &str, path: &str) -> bool {
        let path = match &self.path {
            Paths::Only(only) => path == only,
            Paths::Below(_) => self.below(path).is_some() && !ambiguous(path),
        };
        path && self.host(host)
    }

    /// What follows the server's own path in `path`, if that is its own or below it: nothing, or what begins with `/`.
    pub fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        let (Paths::Only(place) | Paths::Below(place)) = &self.path;
        let rest = path.strip_prefix(place.as_str()).filter(|_| path.starts_with('/'))?;
        (rest.is_empty() || (rest.starts_with('/') && !self.is_one())).then_some(rest)
    }

    /// Whether a request of this shape can be for the server.
    pub fn reaches(&self, template: &Template) -> bool {
        match &self.path {
            Paths::Only(only) => Path::parse(only).is_ok_and(|path| template.fits(template.method(), &path)),
            Paths::Below(place) => {
                let rest = template.parts().iter().position(|part| matches!(part, Part::Rest(_)));
                let mut parts = template.parts().iter();
                place.split('/').skip(1).take(rest.unwrap_or(usize::MAX)).all(|segment| match parts.next() {
                    Some(Part::Literal(text)) => text == segment,
                    Some(Part::Parameter(_) | Part::Rest(_)) => true,
                    None => false,
                })
            }
        }
    }

    /// Whether some request would match both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let hosts = self.host(&other.host) || other.host(&self.host);
        let paths = match (&self.path, &other.path) {
            (Paths::Only(left), Paths::Only(right)) => left == right,
            (Paths::Only(only), Paths::Below(_)) => other.below(only).is_some(),
            (Paths::Below(_), Paths::Only(only)) => self.below(only).is_some(),
            (Paths::Below(left), Paths::Below(right)) => {
                other.below(&format!("{left}/")).is_some() || self.below(&format!("{right}/")).is_some()
            }
        };
        hosts && paths
    }
}

/// A path another server may read as a different one.
pub(crate) fn ambiguous(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let odd = ["%2f", "%5c", "%2e", "%00", "\\", ";", "//"];
    let dots = lower.split('/').any(|part| part == "." || part == "..");
    dots || odd.iter().any(|odd| lower.contains(odd))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_comes_apart() {
        let resource = Resource::parse("https://gw.example.com:8443/crm/mcp").unwrap();
        assert_eq!(resource.origin(), "https://gw.example.com:8443");
        assert_eq!(resource.authority(), "gw.example.com:8443");
        assert_eq!(resource.path(), "/crm/mcp");
        let bare = Resource::parse("https://gw.example.com").unwrap();
        assert_eq!((bare.path(), bare.target()), ("", "/"));
    }

    #[test]
    fn a_resource_cannot_break_a_challenge_or_name_a_user() {
        for bad in [
            "",
            "gw",
            "ftp://gw/",
            "https://",
            "https:///p",
            "https://gw/a\"b",
            "https://gw/?q",
            "https://gw/#f",
            "https://u@gw/",
            "https://gw/a b",
            "https://gw/a\\b",
            "https://gw/é",
        ] {
            assert!(Resource::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn one_path_is_only_that_path() {
        let one = Match::new("GW.example.com", Paths::Only("/mcp".into()));
        assert!(one.covers("gw.example.com", "/mcp") && one.covers("gw.EXAMPLE.com:443", "/mcp"));
        for path in ["/mcp/", "/MCP", "/mcp2", "//mcp", "/mc%70", ""] {
            assert!(!one.covers("gw.example.com", path), "{path}");
        }
        assert!(!one.covers("evil-gw.example.com", "/mcp"));
        assert!(!one.covers("gw.example.com.evil", "/mcp"));
    }

    #[test]
    fn below_a_prefix_there_is_no_way_out() {
        let below = Match::new("gw", Paths::Below("/a/".into()));
        for path in ["/a", "/a/", "/a/b/c"] {
            assert!(below.covers("gw", path), "{path}");
            assert_eq!(below.below(path), path.strip_prefix("/a"));
        }
        assert!(Match::new("gw", Paths::Below("/".into())).covers("gw", "/x"));
        assert!(!Match::new("gw", Paths::Below("/".into())).covers("gw", "*"));
        for path in
            ["", "/", "/ab", "/A/b", "/a/../b", "/a/%2e%2e/b", "/a/x%2Fy", "/a//b", "/a/b;c", "/a/b\\c", "/a/./b"]
        {
            assert!(!below.covers("gw", path), "{path}");
        }
    }

    #[test]
    fn a_template_reaches_the_server_if_some_request_does() {
        let reaches = |path: Paths, template| Match::new("gw", path).reaches(&Template::parse(template).unwrap());
        let below = |template| reaches(Paths::Below("/a/b".into()), template);
        for template in [
            "GET /a/b",
            "GET /a/b/",
            "GET /a/b/{id}",
            "GET /{x}/b/c",
            "GET /a/**",
            "GET /a/b/**",
            "GET /**",
            "GET /{x}/{y}",
        ] {
            assert!(below(template), "{template}");
        }
        for template in ["GET /", "GET /a", "GET /b/a", "GET /{x}", "GET /a/c", "GET /a/bc/d"] {
            assert!(!below(template), "{template}");
        }
        assert!(reaches(Paths::Only("/a".into()), "GET /{x}") && !reaches(Paths::Only("/a".into()), "GET /a/{x}"));
    }

    #[test]
    fn overlaps_are_found_both_ways() {
        let only = |path: &str| Match::new("gw", Paths::Only(path.into()));
        let below = |path: &str| Match::new("gw", Paths::Below(path.into()));
        assert!(only("/a").overlaps(&only("/a")));
        assert!(only("/a/b").overlaps(&below("/a/")) && below("/a/").overlaps(&only("/a/b")));
        assert!(below("/a/").overlaps(&below("/a/b/")));
        assert!(only("/a").overlaps(&below("/a/")) && below("/").overlaps(&below("/a")));
        assert!(!only("/ab").overlaps(&below("/a")) && !below("/ab").overlaps(&below("/a")));
        assert!(!Match::new("x", Paths::Only("/a".into())).overlaps(&only("/a")));
        assert!(Match::new("gw:80", Paths::Only("/a".into())).overlaps(&only("/a")));
    }
}
