//! What a request asks for, whatever the protocol it came in.

use std::borrow::Cow;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::a2a;
use crate::catalogue::Listing;
use crate::denial::Reason;
use crate::http::Places;
use crate::json;
use crate::mcp::Era;
use crate::token::hex;

/// What is asked for, in the bytes of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// The `id` as it stands in the body.
    pub id: Option<&'a str>,
    /// The JSON-RPC method, or the method of HTTP where there is no other.
    pub method: Cow<'a, str>,
    /// What it is about.
    pub target: Target<'a>,
    /// In which shape it came.
    pub era: Era,
    /// The arguments, where and as they stand.
    pub arguments: Arguments<'a>,
    /// Whether the answer may be a task.
    pub tasks: bool,
}

/// Where the arguments of a call stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Arguments<'a> {
    /// There are none.
    #[default]
    None,
    /// In the body: an object that was found to be strict.
    Object(&'a str),
    /// In path and query, and the body where a condition wants it.
    Http(Places, Option<&'a [u8]>),
    /// In the body of a request to an agent, an object that was found to be strict, and in path and query.
    Agent(Option<&'a str>, Places),
}

impl Arguments<'_> {
    /// What conditions see as `args`, an object.
    pub fn value(&self) -> Result<Value, Flaw> {
        match self {
            Self::None => Ok(Value::Object(Map::new())),
            Self::Object(text) => {
                json::bounded(text).map_err(|flaw| Flaw::malformed(&format!("the arguments are {flaw}")))
            }
            Self::Http(places, body) => places.arguments(*body),
            Self::Agent(text, places) => a2a::object(*text, places),
        }
    }
}

impl Call<'_> {
    /// SHA-256 of the arguments' bytes in lower-case hex; of nothing where they do not stand in the body.
    pub fn digest(&self) -> Option<String> {
        match self.arguments {
            Arguments::Object(text) | Arguments::Agent(Some(text), _) => Some(hex(&Sha256::digest(text.as_bytes()))),
            Arguments::None | Arguments::Http(..) | Arguments::Agent(None, _) => None,
        }
    }
}

/// What a method is about, and with that what it takes to be permitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// What every client needs to connect.
    Session,
    /// A list, whose answer is filtered.
    List(Listing),
    /// One tool, by its name.
    Tool(Cow<'a, str>),
    /// One prompt, by its name.
    Prompt(Cow<'a, str>),
    /// One resource, by its URI.
    Resource(Cow<'a, str>),
    /// Resources and tasks to hear of.
    Subscription(Vec<Cow<'a, str>>, Vec<Cow<'a, str>>),
    /// One task, by its identifier.
    Task(Cow<'a, str>),
    /// The card of an agent, which is open to any token.
    Card,
    /// Anything else: a method that needs a rule of its own.
    Method,
    /// A request that no template of the policy describes.
    Unlisted,
}

impl Target<'_> {
    /// The tasks it is about.
    pub fn tasks(&self) -> &[Cow<'_, str>] {
        match self {
            Self::Task(id) => std::slice::from_ref(id),
            Self::Subscription(_, tasks) => tasks,
            _ => &[],
        }
    }

    /// The one thing it is about, for records and denials.
    pub fn object(&self) -> Option<&str> {
        match self {
            Self::Tool(name) | Self::Prompt(name) | Self::Resource(name) => Some(name),
            Self::Session
            | Self::List(_)
            | Self::Subscription(..)
            | Self::Task(_)
            | Self::Card
            | Self::Method
            | Self::Unlisted => None,
        }
    }
}

/// Why a request cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The row of the denial table.
    pub reason: Reason,
    /// The request's `id`, if that much could be read.
    pub id: Option<String>,
    /// For the operator; holds nothing of the request.
    pub note: String,
}

impl Flaw {
    /// A flaw of the given kind.
    pub fn new(reason: Reason, note: impl Into<String>) -> Self {
        Self { reason, id: None, note: note.into() }
    }

    pub(crate) fn malformed(note: &str) -> Self {
        Self::new(Reason::RequestMalformed, note)
    }

    pub(crate) fn mismatch(note: &str) -> Self {
        Self::new(Reason::HeaderMismatch, note)
    }

    pub(crate) fn of(self, id: Option<&str>) -> Self {
        Self { id: self.id.or(id.map(str::to_owned)), ..self }
    }
}
