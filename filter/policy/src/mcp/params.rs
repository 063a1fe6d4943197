//! The parameters that decide what an MCP request is about.

use std::borrow::Cow;

use serde::de::MapAccess;
use serde_json::value::RawValue;

use crate::call::Flaw;
use crate::denial::Reason;
use crate::json::{self, Skim};
use crate::jsonrpc::{LEVEL, Parameters, Stop, clean, string};

/// What was found in `params`; everything else is checked and forgotten.
#[derive(Debug, Default)]
pub struct Params<'a> {
    /// `name`: of a tool or a prompt.
    pub name: Option<Cow<'a, str>>,
    /// `uri`: of a resource.
    pub uri: Option<Cow<'a, str>>,
    /// `taskId`.
    pub task: Option<Cow<'a, str>>,
    /// `arguments` as they stand.
    pub arguments: Option<&'a str>,
    /// `ref`: what a completion is for.
    pub reference: Option<Reference<'a>>,
    /// `notifications`: what a subscription listens to.
    pub notifications: Notifications<'a>,
    /// `_meta["io.modelcontextprotocol/protocolVersion"]`.
    pub version: Option<Cow<'a, str>>,
    /// Whether the answer may be a task: by `task`, or by what the client says it is capable of.
    pub tasks: bool,
}

/// What a completion is for.
#[derive(Debug, Default)]
pub struct Reference<'a> {
    /// `type`: `ref/prompt` or `ref/resource`.
    pub kind: Option<Cow<'a, str>>,
    /// `name`: of a prompt.
    pub name: Option<Cow<'a, str>>,
    /// `uri`: of a resource, or the template of many.
    pub uri: Option<Cow<'a, str>>,
}

/// What a subscription listens to, apart from lists.
#[derive(Debug, Default)]
pub struct Notifications<'a> {
    /// `resourceSubscriptions`: resources, by URI.
    pub resources: Vec<Cow<'a, str>>,
    /// `taskIds`.
    pub tasks: Vec<Cow<'a, str>>,
}

/// The member of `_meta` that states the revision.
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// How many resources or tasks one subscription may name.
const MANY: usize = 256;

impl<'a> Parameters<'a> for Params<'a> {
    const NAMES: &'static [&'static str] = &["notifications"];

    fn take<A: MapAccess<'a>>(&mut self, name: &str, map: &mut A) -> Result<(), Stop<A::Error>> {
        self.tasks |= name == "task";
        if !matches!(name, "name" | "uri" | "taskId" | "arguments" | "ref" | "notifications" | "_meta") {
            map.next_value_seed(Skim { depth: LEVEL })?;
            return Ok(());
        }
        let raw: &RawValue = map.next_value()?;
        self.keep(name, raw).map_err(Stop::Flaw)
    }
}

impl<'a> Params<'a> {
    fn keep(&mut self, name: &str, raw: &'a RawValue) -> Result<(), Flaw> {
        match name {
            "name" => self.name = Some(string(raw)?),
            "uri" => self.uri = Some(string(raw)?),
            "taskId" => self.task = Some(string(raw)?),
            "arguments" => {
                strict(raw, LEVEL)?;
                self.arguments = Some(raw.get());
            }
            "ref" => self.reference = Some(Reference::read(raw)?),
            "notifications" => self.notifications = Notifications::read(raw)?,
            _ => {
                self.version = version(raw)?;
                self.tasks |= raw.get().contains("tasks");
            }
        }
        Ok(())
    }
}

impl<'a> Reference<'a> {
    fn read(raw: &'a RawValue) -> Result<Self, Flaw> {
        let mut reference = Self::default();
        for (name, value) in object(raw, &["type"])? {
            match &*name {
                "type" => reference.kind = Some(string(value)?),
                "name" => reference.name = Some(string(value)?),
                "uri" => reference.uri = Some(string(value)?),
                _ => strict(value, LEVEL.saturating_add(1))?,
            }
        }
        Ok(reference)
    }
}

impl<'a> Notifications<'a> {
    fn read(raw: &'a RawValue) -> Result<Self, Flaw> {
        let mut notifications = Self::default();
        for (name, value) in object(raw, &["resourceSubscriptions", "taskIds"])? {
            match &*name {
                "resourceSubscriptions" => notifications.resources = strings(value)?,
                "taskIds" => notifications.tasks = strings(value)?,
                _ => strict(value, LEVEL.saturating_add(1))?,
            }
        }
        Ok(notifications)
    }
}

/// The revision a request of the modern era states.
fn version(meta: &RawValue) -> Result<Option<Cow<'_, str>>, Flaw> {
    let mut version = None;
    for (name, value) in object(meta, &[VERSION])? {
        match &*name {
            VERSION => version = Some(string(value)?),
            _ => strict(value, LEVEL.saturating_add(1))?,
        }
    }
    Ok(version)
}

/// The members of an object right in `params`, whose names may not be nearly one of `here`.
fn object<'a>(raw: &'a RawValue, here: &[&str]) -> Result<Vec<(Cow<'a, str>, &'a RawValue)>, Flaw> {
    let members = json::members(raw.get()).map_err(|flaw| wrong(&flaw))?;
    members.iter().try_for_each(|(name, _)| clean(name, here))?;
    Ok(members)
}

fn strings(raw: &RawValue) -> Result<Vec<Cow<'_, str>>, Flaw> {
    let items = json::items(raw.get()).map_err(|flaw| wrong(&flaw))?;
    match items.len() <= MANY {
        true => items.into_iter().map(string).collect(),
        false => Err(Flaw::malformed("a subscription names more than 256 resources or tasks")),
    }
}

fn strict(raw: &RawValue, depth: usize) -> Result<(), Flaw> {
    json::check(raw.get(), depth).map_err(|flaw| wrong(&flaw))
}

fn wrong(flaw: &json::Flaw) -> Flaw {
    match flaw.is_of_kind() {
        true => Flaw::malformed("a member of `params` is of another kind than it has to be"),
        false => Flaw::new(Reason::RequestUnparsable, format!("a value is {flaw}")),
    }
}
