//! Paths with places, one segment at a time: no fact can make another path of it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::credential::template::{BadTemplate, Template};
use crate::credential::{Call, Failure};

/// The unreserved characters of [RFC 3986 §2.3](https://www.rfc-editor.org/rfc/rfc3986#section-2.3) stay.
const CODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A path below `/v1/`.
#[derive(Debug)]
pub struct Route(Vec<Template>);

/// Why a text is no path.
#[derive(Debug, PartialEq, Eq)]
pub enum BadRoute {
    /// A segment is empty, or leads elsewhere.
    Segment,
    /// A place that nothing fills.
    Place(BadTemplate),
}

impl Route {
    /// Reads a path without a slash at either end.
    pub fn parse(path: &str) -> Result<Self, BadRoute> {
        let segment = |text: &str| match sound(text) {
            true => Template::parse(text, Call::FACTS).map_err(BadRoute::Place),
            false => Err(BadRoute::Segment),
        };
        path.split('/').map(segment).collect::<Result<_, _>>().map(Self)
    }

    /// The path with every place filled, encoded. OpenBao decodes before it looks at slashes, so no fact may have one.
    pub fn render<'a>(&self, fill: impl Fn(&str) -> Option<&'a str>) -> Result<String, Failure> {
        let segment = |template: &Template| {
            let text = template.render(&fill).filter(|text| sound(text));
            text.map(|text| utf8_percent_encode(&text, CODED).to_string())
        };
        let segments: Option<Vec<_>> = self.0.iter().map(segment).collect();
        let segments = segments.ok_or_else(|| Failure::Refused("a fact cannot stand in `path`".into()))?;
        Ok(segments.join("/"))
    }
}

fn sound(segment: &str) -> bool {
    let bad = |letter: char| letter.is_control() || matches!(letter, '/' | '\\' | '%');
    !matches!(segment, "" | "." | "..") && !segment.contains(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(path: &str, agent: &str) -> Option<String> {
        Route::parse(path).unwrap().render(|name| (name == "agent").then_some(agent)).ok()
    }

    #[test]
    fn a_fact_stays_within_its_segment() {
        assert_eq!(render("database/creds/reader", "x").as_deref(), Some("database/creds/reader"));
        assert_eq!(render("ssh/sign/{agent}-x", "a-7").as_deref(), Some("ssh/sign/a-7-x"));
        assert_eq!(render("ssh/{agent}", "a?b=c#d é").as_deref(), Some("ssh/a%3Fb%3Dc%23d%20%C3%A9"));
        for evil in ["", ".", "..", "a/b", "../sys/seal", "%2e%2e", "a%2Fb", "a\\b", "a\nb", "a\0"] {
            assert_eq!(render("ssh/{agent}", evil), None, "{evil:?}");
        }
        assert_eq!(render("ssh/x{agent}", "").as_deref(), Some("ssh/x"));
        assert_eq!(render("ssh/.{agent}", "."), None);
    }

    #[test]
    fn a_path_leads_nowhere_else() {
        for bad in ["", "/a", "a/", "a//b", "a/../b", ".", "a%2Fb"] {
            assert_eq!(Route::parse(bad).unwrap_err(), BadRoute::Segment, "{bad}");
        }
        assert_eq!(Route::parse("a/{b}").unwrap_err(), BadRoute::Place(BadTemplate::Unknown("b".into())));
    }
}
