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

use crate::call::Flaw;

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

/// What conditions see as `args`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arguments {
    /// Parameters of path and query, all of them strings.
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

impl Arguments {
    /// The arguments of a request: the parameters of its path and of `query`.
    ///
    /// Refused is a name that stands in both: frameworks that make one list of them differ on which one counts.
    pub fn read(found: &Found<'_>, query: &str) -> Result<Self, Flaw> {
        let pairs = query::parameters(query)?;
        let repeated = query::repeated(pairs.iter().map(|(name, _)| &**name));
        let mut map = Map::new();
        for (name, value) in &pairs {
            map.entry(&**name).or_insert_with(|| Value::from(&**value));
        }
        for (name, value) in &found.parameters {
            if map.insert((*name).to_owned(), Value::from(value.as_str())).is_some() {
                return Err(Flaw::malformed("a parameter of the path stands in the query, too"));
            }
        }
        Ok(Self { map, repeated })
    }

    /// The same with the JSON body as `body`. A parameter of that name would hide it or be hidden.
    pub fn with_body(mut self, body: Value) -> Result<Self, Flaw> {
        match self.map.insert("body".to_owned(), body) {
            None => Ok(self),
            Some(_) => Err(Flaw::malformed("a parameter is named `body`, as the body is")),
        }
    }
}

#[cfg(test)]
mod tests;
