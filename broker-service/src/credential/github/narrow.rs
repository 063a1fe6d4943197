//! To what a token is narrowed: repositories and permissions, of the file and of the call's arguments.

use std::collections::BTreeMap;

use accredit_policy::config::error::Path;
use accredit_policy::config::field::{Field, each, entries, list};
use serde_json::{Value, json};

use super::super::template::{BadTemplate, Template};
use super::super::{Arguments, Failure};
use crate::config::Files;

/// The most repositories of one token: the answer describes each in several KB.
const MOST: usize = 32;

/// What the file allows a token to be for.
#[derive(Debug)]
pub struct Limits {
    owner: Option<String>,
    repositories: Repositories,
    /// Names in lower case, or their beginnings followed by `*`; any where there is none.
    allowed: Option<Vec<String>>,
    permissions: BTreeMap<String, Template>,
}

/// What the file says of repositories.
#[derive(Debug)]
enum Repositories {
    /// Those of the installation.
    All,
    /// Those that these texts name.
    Named(Vec<Template>),
}

/// What one token is asked to be for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The account, where it is known.
    pub owner: Option<String>,
    /// Names as they were written, by their lower case, since GitHub tells no cases apart; all where there is none.
    pub repositories: Option<BTreeMap<String, String>>,
    /// How much of what.
    pub permissions: BTreeMap<String, Level>,
}

/// How much a permission allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// To look.
    Read,
    /// To change.
    Write,
    /// To administer.
    Admin,
}

impl Level {
    const NAMES: &'static [&'static str] = &["read", "write", "admin"];

    /// Its word at GitHub.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// The level of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::Admin].into_iter().find(|level| level.name() == name)
    }
}

impl Wanted {
    /// The body of the request.
    pub fn body(&self) -> Value {
        let permissions: BTreeMap<_, _> = self.permissions.iter().map(|(name, level)| (name, level.name())).collect();
        match &self.repositories {
            Some(names) => json!({ "repositories": names.values().collect::<Vec<_>>(), "permissions": permissions }),
            None => json!({ "permissions": permissions }),
        }
    }
}

impl Limits {
    /// Reads `owner`, `repositories`, `allow_repositories` and `permissions` of the definition at `path`.
    pub fn check(
        owner: Option<String>,
        repositories: Field<Value>,
        allowed: Field<Vec<Field<String>>>,
        permissions: Field<BTreeMap<String, Field<String>>>,
        files: &mut Files,
        path: &Path,
    ) -> Option<Self> {
        if owner.as_ref().is_some_and(|owner| !name(owner)) {
            files.report.add(&path.at("owner"), "another text", "the name of an account");
        }
        let allowed = patterns(allowed, files, &path.at("allow_repositories"));
        let repositories = named(repositories, files, &path.at("repositories"));
        if allowed.is_some() && matches!(repositories, Some(Repositories::All)) {
            files.report.add(&path.at("allow_repositories"), "a list", "nothing with `repositories: all`");
        }
        let at = path.at("permissions");
        let map = permissions.required(&at, &mut files.report)?;
        if map.is_empty() {
            files.report.add(&at, "no permission", "at least one, as `contents: read`");
        }
        let permissions = entries(map, &at, &mut files.report).into_iter().filter_map(|(name, text)| {
            let at = at.at(&name);
            let word =
                (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            let level = place(&text, files, &at)
                .filter(|text| text.lone().is_some() || text.plain().and_then(Level::parse).is_some());
            if level.is_none() || !word {
                files.report.add(&at, format!("`{text}`"), format!("{} or `{{args.NAME}}`", list(Level::NAMES)));
            }
            Some((name, level?))
        });
        let permissions = permissions.collect();
        let limits = Self { owner, repositories: repositories?, allowed, permissions };
        limits.literal(files, path);
        Some(limits)
    }

    /// Reports names of the file that could not be asked for whatever the arguments are.
    fn literal(&self, files: &mut Files, path: &Path) {
        let Repositories::Named(texts) = &self.repositories else { return };
        for (index, text) in texts.iter().enumerate() {
            if let Some(Err(failure)) = text.plain().map(|name| self.repository(name)) {
                let at = path.at("repositories").item(index);
                files.report.add(&at, failure.to_string(), "the name of a repository that may be named");
            }
        }
    }

    /// What to ask for in a call with these arguments.
    pub fn narrow(&self, arguments: &Arguments) -> Result<Wanted, Failure> {
        let repositories = match &self.repositories {
            Repositories::All => None,
            Repositories::Named(texts) => Some(self.repositories(texts, arguments)?),
        };
        let level = |(name, text): (&String, &Template)| -> Result<_, Failure> {
            let values = fill(text, arguments)?;
            let level = match &*values {
                [one] => Level::parse(one),
                _ => None,
            };
            let level = level.ok_or_else(|| refused(&format!("no level for the permission `{name}`")))?;
            Ok((name.clone(), level))
        };
        let permissions = self.permissions.iter().map(level).collect::<Result<_, _>>()?;
        Ok(Wanted { owner: self.owner.clone(), repositories, permissions })
    }

    fn repositories(&self, texts: &[Template], arguments: &Arguments) -> Result<BTreeMap<String, String>, Failure> {
        let mut names = BTreeMap::new();
        for text in texts {
            for value in fill(text, arguments)? {
                let name = self.repository(&value)?;
                names.insert(name.to_ascii_lowercase(), name);
                if names.len() > MOST {
                    return Err(refused(&format!("more than {MOST} repositories")));
                }
            }
        }
        // GitHub takes an empty list for all of them.
        if names.is_empty() { Err(refused("no repository")) } else { Ok(names) }
    }

    /// The name of one repository without its owner.
    fn repository(&self, text: &str) -> Result<String, Failure> {
        let one = match text.split_once('/') {
            None => Some(text),
            Some((owner, one)) => self.owner.as_ref().filter(|own| own.eq_ignore_ascii_case(owner)).map(|_| one),
        };
        let one =
            one.filter(|one| name(one)).ok_or_else(|| refused("a name that is not of a repository of the owner"))?;
        let lower = one.to_ascii_lowercase();
        let allowed = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => lower.starts_with(beginning),
            None => lower == *pattern,
        };
        match self.allowed.as_ref().is_none_or(|patterns| patterns.iter().any(allowed)) {
            true => Ok(one.to_owned()),
            false => Err(refused("a repository that is not in `allow_repositories`")),
        }
    }
}

/// The values of a text: of a place alone all its values, else one, made of places with one value each.
fn fill(text: &Template, arguments: &Arguments) -> Result<Vec<String>, Failure> {
    let values = |place: &str| arguments.get(place.strip_prefix("args.")?);
    if let Some(place) = text.lone() {
        return values(place).cloned().ok_or_else(|| refused(&format!("the call has no argument for `{place}`")));
    }
    let one = |place: &str| match &**values(place)? {
        [one] => Some(one.as_str()),
        _ => None,
    };
    let filled = text.render(one).ok_or_else(|| refused("the call has not one argument for each place"))?;
    Ok(vec![filled])
}

fn refused(why: &str) -> Failure {
    Failure::Refused(why.to_owned())
}

/// What can be the name of a repository or an account.
fn name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=100).contains(&text.len()) && text.bytes().all(plain) && text != "." && text != ".."
}

/// `all`, or the texts of a list.
fn named(field: Field<Value>, files: &mut Files, path: &Path) -> Option<Repositories> {
    let hint = "all repositories of the installation have to be spelled out";
    let items = match field {
        Field::Read(Value::String(all)) if all == "all" => return Some(Repositories::All),
        Field::Read(Value::Array(items)) if (1..=MOST).contains(&items.len()) => items,
        _ => {
            files.report.advise(
                path,
                "another value or nothing",
                format!("a list of 1 to {MOST} names, or `all`"),
                hint,
            );
            return None;
        }
    };
    let texts = items.iter().enumerate().filter_map(|(index, item)| {
        let at = path.item(index);
        match item.as_str() {
            Some(text) => place(text, files, &at),
            None => {
                files.report.add(&at, "another value", "a string");
                None
            }
        }
    });
    Some(Repositories::Named(texts.collect()))
}

fn patterns(field: Field<Vec<Field<String>>>, files: &mut Files, path: &Path) -> Option<Vec<String>> {
    let items = each(field.optional(path, &mut files.report)?, path, &mut files.report);
    for (index, item) in items.iter().enumerate() {
        let beginning = item.strip_suffix('*').unwrap_or(item);
        if !(name(beginning) || item == "*") {
            files.report.add(
                &path.item(index),
                format!("`{item}`"),
                "a name, or the beginning of names followed by `*`",
            );
        }
    }
    Some(items.iter().map(|item| item.to_ascii_lowercase()).collect())
}

/// A text with places for arguments.
fn place(text: &str, files: &mut Files, path: &Path) -> Option<Template> {
    let argument = |place: &str| place.strip_prefix("args.").is_some_and(|name| (1..=64).contains(&name.len()));
    let tell = |bad: BadTemplate| files.report.add(path, bad.to_string(), "a text with places as `{args.NAME}`");
    Template::parse_by(text, argument).map_err(tell).ok()
}

#[cfg(test)]
mod tests;
