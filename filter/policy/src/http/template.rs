//! `GET /invoices/{id}`: the shape of the requests one tool stands for.

use std::cmp::Ordering;
use std::fmt;

use super::path::{self, Path};

/// A method and a path with places left open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    method: String,
    parts: Vec<Part>,
}

/// One segment of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// This text.
    Literal(String),
    /// `{name}`: one segment that is not empty.
    Parameter(String),
    /// `{name=**}` or `**`: one segment or more, up to the end.
    Rest(Option<String>),
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadTemplate {
    /// What stands there.
    pub found: String,
    /// What is accepted there.
    pub accepted: &'static str,
    /// What to do about it, where there is more to say.
    pub hint: Option<&'static str>,
}

impl Template {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<Self, BadTemplate> {
        let whole = "a method, one space and a path, such as `GET /invoices/{id}`";
        let Some((method, path)) = text.split_once(' ') else {
            return Err(bad(format!("{text:?}"), whole, None));
        };
        self::method(method)?;
        let Some(path) = path.strip_prefix('/') else {
            let found = format!("the path {path:?}");
            return Err(bad(found, "a path that begins with `/`", None));
        };
        let parts = path.split('/').map(Part::parse).collect::<Result<Vec<_>, _>>()?;
        let (_, inner) = parts.split_last().unwrap_or((&Part::Rest(None), &[]));
        if inner.iter().any(|part| matches!(part, Part::Rest(_))) {
            return Err(bad("`**` before the end of the path".into(), "`**` or `{name=**}` as the last segment", None));
        }
        if inner.iter().any(Part::is_empty) {
            return Err(bad("`//` in the path".into(), "segments that are not empty", None));
        }
        let names: Vec<_> = parts.iter().filter_map(Part::name).collect();
        if let Some(twice) =
            names.iter().enumerate().find_map(|(index, name)| names.get(..index)?.contains(name).then_some(name))
        {
            return Err(bad(format!("`{twice}` twice"), "each parameter once", None));
        }
        Ok(Self { method: method.to_owned(), parts })
    }

    /// The method.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The segments.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether both match the same requests with none of them more specific: they differ in the names of parameters at most.
    ///
    /// Of all other pairs that match one request, [`Template::specific`] prefers one.
    pub fn overlaps(&self, other: &Self) -> bool {
        let alike = |(left, right): (&Part, &Part)| match (left, right) {
            (Part::Literal(left), Part::Literal(right)) => left == right,
            (left, right) => left.rank() == right.rank(),
        };
        self.method == other.method
            && self.parts.len() == other.parts.len()
            && self.parts.iter().zip(&other.parts).all(alike)
    }

    /// Orders templates that match the same request: the greater one says more, from the left. A literal says more than a
    /// parameter, a parameter more than a rest.
    pub fn specific(&self, other: &Self) -> Ordering {
        let ranks = |template: &'_ Self| -> Vec<u8> {
            template.parts.iter().filter(|part| !part.is_empty()).map(Part::rank).collect()
        };
        ranks(self).cmp(&ranks(other))
    }

    /// Whether `method` and `path` are of this shape, byte for byte.
    pub(crate) fn fits(&self, method: &str, path: &Path<'_>) -> bool {
        let segments = path.segments();
        let mut left = segments.iter();
        let fits = self.parts.iter().all(|part| match (part, left.next()) {
            (Part::Literal(text), Some(segment)) => segment.normal() == text,
            (Part::Parameter(_) | Part::Rest(_), Some(segment)) => !segment.text().is_empty(),
            (_, None) => false,
        });
        // A rest takes no slash at the end: many servers ignore it, and would run what stands there without.
        let ends = match self.parts.last() {
            Some(Part::Rest(_)) => segments.last().is_some_and(|last| !last.text().is_empty()),
            _ => left.next().is_none(),
        };
        fits && ends && self.takes(method)
    }

    /// Whether some server may take `method` and `path` for this shape: one that decodes all, folds case and ignores a slash
    /// at the end.
    pub(super) fn nearly_fits(&self, method: &str, path: &Path<'_>) -> bool {
        let mut left = path.segments().iter().map(path::Segment::text).filter(|text| !text.is_empty());
        let mut parts = self.parts.iter().filter(|part| !part.is_empty());
        let fits = parts.all(|part| match (part, left.next()) {
            (Part::Literal(text), Some(segment)) => segment.eq_ignore_ascii_case(text),
            (Part::Parameter(_) | Part::Rest(_), Some(_)) => true,
            (_, None) => false,
        });
        let ends = matches!(self.parts.last(), Some(Part::Rest(_))) || left.next().is_none();
        fits && ends && self.takes(method)
    }

    /// Whether the template judges `method`: its own, and `HEAD` where its own is `GET`.
    ///
    /// [RFC 9110 §9.3.2](https://www.rfc-editor.org/rfc/rfc9110#section-9.3.2): a `HEAD` is a `GET` whose answer has no content,
    /// and servers run the very handler of `GET` for it. A rule of its own would be one more to forget.
    fn takes(&self, method: &str) -> bool {
        self.method == method || (self.method == "GET" && method == "HEAD")
    }
}

impl fmt::Display for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ", self.method)?;
        self.parts.iter().try_for_each(|part| match part {
            Part::Literal(text) => write!(formatter, "/{text}"),
            Part::Parameter(name) => write!(formatter, "/{{{name}}}"),
            Part::Rest(None) => formatter.write_str("/**"),
            Part::Rest(Some(name)) => write!(formatter, "/{{{name}=**}}"),
        })
    }
}

impl Part {
    /// The name of what is left open, if it has one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Parameter(name) | Self::Rest(Some(name)) => Some(name),
            Self::Literal(_) | Self::Rest(None) => None,
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Literal(text) if text.is_empty())
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Rest(_) => 0,
            Self::Parameter(_) => 1,
            Self::Literal(_) => 2,
        }
    }

    fn parse(text: &str) -> Result<Self, BadTemplate> {
        if text == "**" {
            return Ok(Self::Rest(None));
        }
        if let Some(name) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
            let (name, rest) = name.strip_suffix("=**").map_or((name, false), |name| (name, true));
            let letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
            let word = name.bytes().all(|byte| letter(byte) || byte.is_ascii_digit());
            if !word || !name.bytes().next().is_some_and(letter) || name.len() > 64 {
                let accepted = "a name of letters, digits and `_` that begins with no digit";
                return Err(bad(format!("the parameter {text:?}"), accepted, None));
            }
            return Ok(if rest { Self::Rest(Some(name.to_owned())) } else { Self::Parameter(name.to_owned()) });
        }
        literal(text).map(Self::Literal)
    }
}

/// A segment that has to stand as it is.
fn literal(text: &str) -> Result<String, BadTemplate> {
    let found = || format!("the segment {text:?}");
    let hint = match text {
        _ if text.contains(['{', '}']) => Some("a parameter takes a whole segment, as in `/{id}/cancel`"),
        _ if text.contains('%') => Some("write the character itself; requests are compared in their normal form"),
        _ if text.contains(['?', '#']) => Some("leave out query and fragment; conditions see the query as `args`"),
        _ => None,
    };
    if matches!(text, "." | "..") || text.contains('*') || !text.bytes().all(path::plain) {
        let accepted = "letters, digits and any of `-._~!$&'()+,=:@`, a parameter `{name}`, or `**` at the end";
        return Err(bad(found(), accepted, hint));
    }
    Ok(text.to_owned())
}

fn method(method: &str) -> Result<(), BadTemplate> {
    let found = || format!("the method {method:?}");
    let accepted = "a method in upper case such as `GET`, `POST`, `PUT`, `PATCH` or `DELETE`";
    let letters = method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    match method {
        "HEAD" => Err(bad(found(), accepted, Some("`HEAD` falls under the rule for `GET`"))),
        "TRACE" => Err(bad(found(), accepted, Some("a server answers `TRACE` with the request, credential and all"))),
        "CONNECT" => Err(bad(found(), accepted, Some("nothing that follows a `CONNECT` could be judged"))),
        _ if (1..=32).contains(&method.len()) && letters => Ok(()),
        _ => Err(bad(found(), accepted, None)),
    }
}

fn bad(found: String, accepted: &'static str, hint: Option<&'static str>) -> BadTemplate {
    BadTemplate { found, accepted, hint }
}
