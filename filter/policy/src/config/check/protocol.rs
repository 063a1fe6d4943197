//! What servers of each protocol have in the policy, and what their tools are called.

use std::collections::BTreeMap;

use crate::a2a::Operation;
use crate::config::error::{Path, Report};
use crate::config::field::{Field, list, nearest};
use crate::config::raw;
use crate::http::{BadTemplate, Template, Templates};
use crate::pattern::Pattern;
use crate::policy::{Match, Protocol};

type Tools = BTreeMap<String, Field<raw::Rule>>;

/// What a server speaks; nothing where that cannot be read, so that what depends on it is no second error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    Mcp,
    Http,
    Agent,
    Unread,
}

impl Speaks {
    /// Reads the policy's word for it.
    pub(super) fn read(field: Field<String>, path: &Path, report: &mut Report) -> Self {
        match field.required(path, report).as_deref() {
            Some("mcp") => Self::Mcp,
            Some("http") => Self::Http,
            Some("a2a") => Self::Agent,
            Some(other) => {
                report.add(path, format!("`{other}`"), format!("one of {}", list(Protocol::NAMES)));
                Self::Unread
            }
            None => Self::Unread,
        }
    }

    /// Reports what such a server cannot have: sections of MCP, or answers in JSON-RPC.
    pub(super) fn refuse(self, sections: &[(&str, bool)], denials: Option<&str>, path: &Path, report: &mut Report) {
        let sections = sections.iter().filter(|(_, stands)| *stands).map(|(name, _)| *name);
        let refused: Vec<_> = match self {
            Self::Mcp | Self::Unread => Vec::new(),
            Self::Agent => sections.collect(),
            Self::Http => sections.chain(denials).collect(),
        };
        for name in refused {
            let speak = if name == "denials" { "`mcp` or `a2a`" } else { "`mcp`" };
            report.add(
                &path.at(name),
                format!("`{name}`"),
                format!("nothing: only servers that speak {speak} have it"),
            );
        }
    }

    /// What the server speaks, with the requests its `tools` stand for taken out of them.
    pub(super) fn protocol(
        self,
        tools: &mut Tools,
        matches: Option<&Match>,
        path: &Path,
        report: &mut Report,
    ) -> Option<Protocol> {
        match self {
            Self::Mcp => Some(Protocol::Mcp),
            Self::Http => Some(Protocol::Http(templates(tools, matches, path, report))),
            Self::Agent => {
                tools.keys().for_each(|name| operation(name, &path.at(name), report));
                Some(Protocol::Agent)
            }
            Self::Unread => {
                taken(tools).for_each(drop);
                None
            }
        }
    }
}

fn templates(tools: &mut Tools, matches: Option<&Match>, path: &Path, report: &mut Report) -> Templates {
    let mut read: Vec<(Template, String)> = Vec::new();
    for (name, field) in taken(tools) {
        let place = path.at(&name);
        if name.ends_with('*') {
            report.add(
                &place,
                format!("the name {name:?}"),
                "an exact name: what the tool is for stands in its `match`",
            );
        }
        let place = place.at("match");
        let Some(text) = field.required(&place, report) else { continue };
        let template = match Template::parse(&text) {
            Ok(template) => template,
            Err(BadTemplate { found, accepted, hint: Some(hint) }) => {
                report.advise(&place, found, accepted, hint);
                continue;
            }
            Err(BadTemplate { found, accepted, hint: None }) => {
                report.add(&place, found, accepted);
                continue;
            }
        };
        if matches.is_some_and(|matches| !matches.reaches(&template)) {
            let hint = "write the whole path, with that of the server";
            report.advise(&place, format!("`{text}`"), "a path within the server's own `match`", hint);
        }
        if let Some((_, other)) = read.iter().find(|(other, _)| other.overlaps(&template)) {
            let found = format!("`{text}`, which `{other}` matches too");
            report.add(&place, found, "one tool for each request");
        }
        read.push((template, name));
    }
    Templates::new(read)
}

/// Takes `match` out of each tool.
fn taken(tools: &mut Tools) -> impl Iterator<Item = (String, Field<String>)> {
    tools.iter_mut().filter_map(|(name, tool)| match tool {
        Field::Read(tool) => Some((name.clone(), std::mem::take(&mut tool.r#match))),
        Field::Missing | Field::Wrong(_) => None,
    })
}

/// The name of an operation, or the beginning of some.
fn operation(name: &str, path: &Path, report: &mut Report) {
    let names: Vec<_> = Operation::ALL.iter().map(|operation| operation.name()).collect();
    let known = match Pattern::parse(name) {
        // That the name is none is reported with the rule.
        None => true,
        Some(pattern) => names.iter().any(|name| pattern.matches(name)),
    };
    if known {
        return;
    }
    let (found, accepted) = (format!("`{name}`"), format!("an operation of A2A 1.0: {}", list(&names)));
    let same = Operation::ALL.iter().find(|operation| operation.old() == Some(name));
    match (same, nearest(name, &names)) {
        (Some(operation), _) => {
            let hint = format!("write `{}`, which is its name in 1.0 and stands for both", operation.name());
            report.advise(path, found, accepted, &hint);
        }
        (None, Some(near)) => report.advise(path, found, accepted, &format!("did you mean `{near}`?")),
        (None, None) => report.add(path, found, accepted),
    }
}
