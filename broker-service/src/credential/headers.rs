//! How a credential travels: the headers it is put into on the upstream request.

use std::collections::BTreeMap;

use accredit_policy::Secret;
use accredit_policy::config::error::{Path, Report};
use accredit_policy::config::field::{Field, entries};
use accredit_policy::wire::exchange::{header, plain};

use super::template::Template;
use super::{Failure, Fields};

/// Header names in lower case with what stands in them.
#[derive(Clone, Debug)]
pub struct Headers(BTreeMap<String, Template>);

impl Headers {
    /// Reads `headers`; places are the `fields` of the kind. Where the key is missing, `usual` applies.
    pub fn check(
        raw: Field<BTreeMap<String, Field<String>>>,
        fields: &[&str],
        usual: &[(&str, &str)],
        path: &Path,
        report: &mut Report,
    ) -> Self {
        let Some(map) = raw.optional(path, report) else {
            let usual = usual.iter().filter_map(|(name, text)| {
                let template = Template::parse(text, fields).ok()?;
                Some(((*name).to_owned(), template))
            });
            let usual: BTreeMap<_, _> = usual.collect();
            if usual.is_empty() {
                report.add(path, "nothing", "an object with at least one header");
            }
            return Self(usual);
        };
        if map.is_empty() {
            report.add(path, "no header", "at least one");
        }
        let read = entries(map, path, report).into_iter().filter_map(|(name, text)| {
            let at = path.at(&name);
            if !header(&name) {
                let hint = "lower case, and none that frames or routes the request";
                report.advise(&at, format!("`{name}`"), "a header a credential may travel in", hint);
            }
            let template = Template::parse(&text, fields).map_err(|bad| {
                let places: Vec<_> = fields.iter().map(|field| format!("`{{{field}}}`")).collect();
                report.add(&at, bad.to_string(), format!("a text with places from {}", places.join(", ")));
            });
            Some((name, template.ok()?))
        });
        Self(read.collect())
    }

    /// The headers of one credential; a part that cannot stand in a header is a failure of the target.
    pub fn render(&self, fields: &Fields) -> Result<BTreeMap<String, String>, Failure> {
        let fill = |name: &str| fields.get(name).map(Secret::reveal);
        let render = |(name, template): (&String, &Template)| {
            let value = template.render(fill).filter(|value| plain(value));
            let value = value.ok_or_else(|| Failure::Unavailable(format!("no value for the header `{name}`")))?;
            Ok((name.clone(), value))
        };
        self.0.iter().map(render).collect()
    }
}
