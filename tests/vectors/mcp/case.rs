//! The requests in this folder, and the policy they are judged by.
//!
//! What every request has unless it says otherwise is in [`Case::lines`]; what the members of a file mean, in
//! `tests/vectors/README.md`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

pub const HOST: &str = "gateway.example.com";
pub const RESOURCE: &str = "https://gateway.example.com/crm/mcp";
pub const PATH: &str = "/crm/mcp";

/// A request, and what has to become of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The file it stands in.
    #[serde(skip)]
    pub topic: String,
    pub name: String,
    /// What a proxy does that is not strict.
    pub naive: String,
    #[serde(default = "post")]
    pub method: String,
    #[serde(default = "host")]
    pub host: String,
    #[serde(default = "path")]
    pub path: String,
    /// In place of those of the same name that every request has; `null` leaves one out.
    #[serde(default)]
    pub headers: Vec<(String, Option<Text>)>,
    #[serde(default)]
    body: Vec<Text>,
    #[serde(default)]
    pub frames: Frames,
    /// With trailers, HTTP/2 has no last frame of the body.
    #[serde(default)]
    pub trailers: Vec<(String, String)>,
    /// What the filter says; nothing where HTTP itself is at stake.
    pub verdict: Option<Verdict>,
    /// What comes of it in Envoy, over either version, where that is something else.
    pub http1: Option<Verdict>,
    pub http2: Option<Verdict>,
}

/// Bytes, in a form that can be read.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum Text {
    Plain(String),
    Coded {
        base64: String,
    },
    Many {
        repeat: String,
        times: usize,
    },
    /// From 0 up, a number for each `#`.
    Count {
        count: String,
        times: usize,
    },
}

/// How a body is cut.
#[derive(Default, Deserialize)]
#[serde(untagged)]
pub enum Frames {
    #[default]
    Whole,
    /// Each byte alone.
    Bytes(OneByOne),
    /// At these places.
    At(Vec<usize>),
    /// A moment after the headers.
    Late(Late),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OneByOne {
    Bytes,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Late {
    Late,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It goes upstream as it came: the method, and what it is about.
    Permit(String, Option<String>),
    /// Status and reason.
    Deny(u16, String),
    /// Status alone: not a denial of ours, or of a request without a body to tell it in.
    Answer(u16),
    /// The connection or the stream ends without an answer.
    Close,
    /// HTTP of this version has no such request, or our client cannot make it.
    Unsent,
}

fn post() -> String {
    "POST".into()
}

fn host() -> String {
    HOST.into()
}

fn path() -> String {
    PATH.into()
}

/// All cases of all files.
pub fn cases() -> Vec<Case> {
    let mut topics: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    topics.retain(|path| path.extension().is_some_and(|kind| kind == "json") && !path.ends_with("server.json"));
    topics.sort();
    topics.iter().flat_map(|path| topic(path)).collect()
}

fn topic(path: &Path) -> Vec<Case> {
    let name = path.file_stem().unwrap().to_str().unwrap();
    let text = fs::read_to_string(path).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    cases.into_iter().map(|case| Case { topic: name.to_owned(), ..case }).collect()
}

/// The members of the server that all cases are judged by.
pub fn server() -> Value {
    let text = fs::read_to_string(folder().join("server.json")).unwrap();
    let mut server: Value = serde_json::from_str(&text).unwrap();
    server["resource"] = json!(RESOURCE);
    server["match"] = json!({ "host": HOST, "path": PATH });
    server["protocol"] = json!("mcp");
    server
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/mcp"))
}

impl Text {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Plain(text) => text.clone().into_bytes(),
            Self::Coded { base64 } => STANDARD.decode(base64).unwrap(),
            Self::Many { repeat, times } => repeat.repeat(*times).into_bytes(),
            Self::Count { count, times } => {
                (0..*times).map(|number| count.replace('#', &number.to_string())).collect::<String>().into_bytes()
            }
        }
    }
}

impl Case {
    /// The header lines as they are sent, with this token.
    pub fn lines(&self, token: &str) -> Vec<(String, Vec<u8>)> {
        let usual = [
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("authorization", "Bearer {token}"),
        ];
        let told: BTreeSet<String> = self.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        let usual = usual.iter().filter(|(name, _)| !told.contains(*name));
        let usual = usual.map(|(name, value)| ((*name).to_owned(), value.replace("{token}", token).into_bytes()));
        let own = self.headers.iter().filter_map(|(name, value)| Some((name.clone(), value.as_ref()?)));
        let own = own.map(|(name, value)| match value {
            Text::Plain(text) => (name, text.replace("{token}", token).into_bytes()),
            other => (name, other.bytes()),
        });
        usual.chain(own).collect()
    }

    pub fn path(&self, token: &str) -> String {
        self.path.replace("{token}", token)
    }

    pub fn body(&self) -> Vec<u8> {
        self.body.iter().flat_map(Text::bytes).collect()
    }

    /// The body in the pieces it is sent in.
    pub fn pieces(&self) -> Vec<Vec<u8>> {
        let body = self.body();
        match &self.frames {
            Frames::Bytes(_) => body.chunks(1).map(<[u8]>::to_vec).collect(),
            Frames::At(places) => {
                let starts = [0].into_iter().chain(places.iter().copied());
                let ends = places.iter().copied().chain([body.len()]);
                starts.zip(ends).map(|(start, end)| body[start..end].to_vec()).collect()
            }
            Frames::Whole | Frames::Late(_) if body.is_empty() => Vec::new(),
            Frames::Whole | Frames::Late(_) => vec![body],
        }
    }

    /// Whether the upstream, with these headers, can have seen what is between the agent and the proxy.
    pub fn leaks<'a>(&self, mut upstream: impl Iterator<Item = &'a str>) -> bool {
        let states =
            |(name, value): &(String, Vec<u8>)| name == "mcp-protocol-version" && value.trim_ascii() == b"2026-07-28";
        let modern = self.lines("").iter().any(states);
        let ours = |name: &str| name.starts_with("x-accredit-") || matches!(name, "authorization" | "dpop");
        let told = |name: &str| matches!(name, "mcp-method" | "mcp-name") || name.starts_with("mcp-param-");
        upstream.any(|name| ours(name) || (!modern && told(name)))
    }
}

impl Verdict {
    /// What a denial's status and body say.
    pub fn of(status: u16, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        match body["error"]["data"]["reason"].as_str() {
            Some(reason) => Self::Deny(status, reason.to_owned()),
            None => Self::Answer(status),
        }
    }
}
