//! HTTP APIs: which tool a request is for, and what its arguments are.
//!
//! ```text
//! GET /invoices/42?full=1 ── path ─▶ segments ── templates ─▶ tool, parameters ── query ─▶ args
//! ```
//!
//! Nothing of the body is read unless a condition wants it.

mod path;
mod query;
mod template;

pub use path::{Path, Segment};
pub use query::plain;
pub use template::{BadTemplate, Part, Template};

use serde_json::{Map, Value};

use crate::call::{Arguments, Call, Flaw, Target};
use crate::denial::Reason;
use crate::headers::Headers;
use crate::json;
use crate::mcp::Era;

/// The head of a request.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a str,
    /// The path; to an agent what is below its own, empty or from a `/` on.
    pub path: &'a str,
    /// The query.
    pub query: &'a str,
    /// The headers.
    pub headers: &'a Headers,
}

/// The templates of one server, each with the tool it stands for.
#[derive(Clone, Debug, Default)]
pub struct Templates {
    entries: Vec<(Template, String)>,
}

/// The tool a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<'t> {
    /// The tool.
    pub tool: &'t str,
    /// What the request has in the places the template leaves open, decoded.
    pub parameters: Vec<(&'t str, String)>,
}

/// The places of a request, besides its body, where arguments stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// What the path has in the places its template leaves open, decoded.
    pub path: Vec<(String, String)>,
    /// The query as it stands.
    pub query: String,
}

/// What was read from them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters {
    /// All of them are strings.
    pub map: Map<String, Value>,
    /// Parameters of the query that stand more than once; the first of each is in `map`.
    pub repeated: Vec<String>,
}

impl Templates {
    /// Templates and their tools; of no two that overlap.
    pub fn new(entries: impl IntoIterator<Item = (Template, String)>) -> Self {
        Self { entries: entries.into_iter().collect() }
    }

    /// The tool of the template that says most of a request's `method` and `path`, from the left.
    ///
    /// Refused is a request that a less strict server may take for one of a template that says more: with another case, a
    /// slash at its end or an encoding undone it would be judged by one rule and run as what another stands for.
    pub fn find(&self, method: &str, path: &Path<'_>) -> Result<Option<Found<'_>>, Flaw> {
        let fitting = self.entries.iter().filter(|(template, _)| template.fits(method, path));
        let Some((template, tool)) = fitting.max_by(|(left, _), (right, _)| left.specific(right)) else {
            return Ok(None);
        };
        let mut near = self.entries.iter().filter(|(other, _)| other.nearly_fits(method, path));
        if near.any(|(other, _)| other.specific(template).is_gt()) {
            return Err(Flaw::malformed("the path is nearly that of another tool"));
        }
        Ok(Some(Found { tool, parameters: parameters(template, path) }))
    }
}

/// What `path` has in the places `template` leaves open.
fn parameters<'t>(template: &'t Template, path: &Path<'_>) -> Vec<(&'t str, String)> {
    let places = template.parts().iter().enumerate().filter_map(|(index, part)| {
        let rest = path.segments().get(index..).unwrap_or_default();
        let texts: Vec<_> = rest.iter().map(Segment::text).collect();
        let text = match part {
            Part::Rest(_) => texts.join("/"),
            Part::Literal(_) | Part::Parameter(_) => texts.first().copied().unwrap_or_default().to_owned(),
        };
        Some((part.name()?, text))
    });
    places.collect()
}

impl Places {
    /// The parameters of path and query.
    ///
    /// Refused is a name that stands in both: frameworks that make one list of them differ on which one counts.
    pub fn read(&self) -> Result<Parameters, Flaw> {
        let (mut map, mut repeated) = (Map::new(), Vec::new());
        // From the end, so that the first of several is the one that stays.
        for (name, value) in query::parameters(&self.query)?.into_iter().rev() {
            let again = map.insert(name.clone().into_owned(), Value::from(&*value)).is_some();
            if again && !repeated.iter().any(|other| *other == name) {
                repeated.push(name.into_owned());
            }
        }
        for (name, value) in &self.path {
            if map.insert(name.clone(), Value::from(value.as_str())).is_some() {
                return Err(Flaw::malformed("a parameter of the path stands in the query, too"));
            }
        }
        Ok(Parameters { map, repeated })
    }

    /// What conditions see as `args`: the parameters, and the JSON body as `body` where there is one.
    pub fn arguments(&self, body: Option<&[u8]>) -> Result<Value, Flaw> {
        let mut map = self.read()?.once()?;
        if let Some(body) = body {
            let unparsable = |flaw| Flaw::new(Reason::RequestUnparsable, format!("the body is {flaw}"));
            let body = json::text(body).and_then(json::bounded).map_err(unparsable)?;
            if map.insert("body".to_owned(), body).is_some() {
                return Err(Flaw::malformed("a parameter is named `body`, as the body is"));
            }
        }
        Ok(Value::Object(map))
    }
}

impl Parameters {
    /// The parameters, if each stands once: servers differ on which of several counts.
    pub fn once(self) -> Result<Map<String, Value>, Flaw> {
        match self.repeated.is_empty() {
            true => Ok(self.map),
            false => Err(Flaw::malformed("a parameter stands twice in the query")),
        }
    }
}

impl<'a> Call<'a> {
    /// Reads a request to an HTTP API: its head, and the body where a condition wants it.
    pub fn http(templates: &Templates, head: &Head<'_>, body: Option<&'a [u8]>) -> Result<Self, Flaw> {
        plain(head.headers, head.query)?;
        let path = Path::parse(head.path)?;
        let (target, path) = match templates.find(head.method, &path)? {
            Some(Found { tool, parameters }) => (Target::Tool(tool.to_owned().into()), parameters),
            None => (Target::Unlisted, Vec::new()),
        };
        let path = path.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
        let arguments = Arguments::Http(Places { path, query: head.query.to_owned() }, body);
        Ok(Self { id: None, method: head.method.to_owned().into(), target, era: Era::Modern, arguments, tasks: false })
    }
}

#[cfg(test)]
mod tests;
