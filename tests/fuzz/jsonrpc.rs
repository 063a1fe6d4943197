//! A request, and what servers read in it that are less strict than we are.

use std::borrow::Cow;

use accredit_policy::call::{Arguments, Call, Target};
use accredit_policy::headers::Headers;
use accredit_policy::mcp::Era;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

/// How a server finds a member.
#[derive(Clone, Copy, Debug)]
enum Reader {
    /// The first of several of a name.
    First,
    /// The last, as `serde_json`, Python's `json` and JavaScript's `JSON.parse` do.
    Last,
    /// The last, without case, as Go's `encoding/json` does.
    Folding,
    /// The last, names ended by a NUL, as readers in C do.
    Cutting,
    /// The last, names without the NULs in them.
    Dropping,
}

const READERS: [Reader; 5] = [Reader::First, Reader::Last, Reader::Folding, Reader::Cutting, Reader::Dropping];

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// A request: what stands before a form feed, if there is one, is its `Mcp-Name`; the rest is its body.
pub fn judge(input: &[u8]) {
    let mut parts = input.splitn(2, |byte| *byte == b'\x0c');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    let (name, body) = second.map_or((None, first), |body| (Some(first), body));
    compare(&Headers::default(), None, body);
    let Ok(node) = serde_json::from_slice::<Node>(body) else { return };
    let told = node.told();
    let name = name.map(<[u8]>::to_vec).or_else(|| told.map(|name| sent(name).into_owned().into_bytes()));
    let method = node.member("method", Reader::Last).and_then(Node::text).unwrap_or_default();
    let lines = [
        ("mcp-protocol-version", Some(b"2026-07-28".to_vec())),
        ("mcp-method", Some(method.into())),
        ("mcp-name", name.clone()),
    ];
    let headers = Headers::new(lines.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    compare(&headers, name.as_deref(), body);
}

/// What is accepted has to be what every reader reads.
fn compare(headers: &Headers, name: Option<&[u8]>, body: &[u8]) {
    let Ok(call) = Call::read(headers, body) else { return };
    let node: Node = serde_json::from_slice(body).expect("what is accepted is JSON");
    for reader in READERS {
        assert!(same(&call, &node, reader), "{reader:?} reads something else than {call:?}");
    }
    if let (Some(name), Era::Modern) = (name, call.era) {
        let named = call.target.object().or(if let Target::Task(task) = &call.target { Some(task) } else { None });
        assert_eq!(received(name).as_deref(), named, "the header names something else");
    }
}

fn same(call: &Call<'_>, node: &Node, reader: Reader) -> bool {
    let member = |name| node.member(name, reader);
    let params = member("params");
    let of = |name| params.and_then(|params| params.member(name, reader));
    let text = |node: Option<&Node>, text: &str| node.and_then(Node::text) == Some(text);
    let id = call.id.map(|id| serde_json::from_str::<Node>(id).expect("an id is JSON"));
    let arguments = match call.arguments {
        Arguments::Object(text) => Some(serde_json::from_str::<Node>(text).expect("arguments are JSON")),
        _ => None,
    };
    let outcome = member("result").or(member("error"));
    if id.as_ref() != member("id") || !text(member("jsonrpc"), "2.0") {
        return false;
    }
    if call.method == "response" && member("method").is_none() {
        return outcome.is_some() && params.is_none();
    }
    let stated = of("_meta").and_then(|meta| meta.member(VERSION, reader));
    let era = if call.era == Era::Modern { text(stated, "2026-07-28") } else { stated.is_none() };
    let reference = |name| of("ref").and_then(|reference| reference.member(name, reader));
    let completes = call.method == "completion/complete";
    let target = match &call.target {
        Target::Tool(name) => text(of("name"), name),
        Target::Prompt(name) if completes => text(reference("name"), name) && reference("uri").is_none(),
        Target::Prompt(name) => text(of("name"), name),
        Target::Resource(uri) if completes => text(reference("uri"), uri) && reference("name").is_none(),
        Target::Resource(uri) => text(of("uri"), uri),
        Target::Task(id) => text(of("taskId"), id),
        Target::Subscription(resources, tasks) => {
            let list = |name| of("notifications").and_then(|all| all.member(name, reader)).map_or(&[][..], Node::items);
            let same = |list: &[Node], told: &[Cow<'_, str>]| {
                list.iter().map(Node::text).eq(told.iter().map(|one| Some(&**one)))
            };
            same(list("resourceSubscriptions"), resources) && same(list("taskIds"), tasks)
        }
        _ => true,
    };
    era && target && outcome.is_none() && text(member("method"), &call.method) && arguments.as_ref() == of("arguments")
}

/// A name as a client sends it.
fn sent(name: &str) -> Cow<'_, str> {
    let plain = name.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) && name.trim() == name && !name.starts_with("=?");
    if plain { name.into() } else { format!("=?base64?{}?=", STANDARD.encode(name)).into() }
}

/// A name as a server receives it.
fn received(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?.trim_matches([' ', '\t']);
    match name.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        Some(coded) => String::from_utf8(STANDARD.decode(coded).ok()?).ok(),
        None => Some(name.to_owned()),
    }
}

/// A value with all of its members in their order.
#[derive(Debug, PartialEq)]
enum Node {
    Null,
    Flag(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    fn member(&self, name: &str, reader: Reader) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        let mut found = members.iter().filter(|(key, _)| reader.takes(key, name)).map(|(_, value)| value);
        if let Reader::First = reader { found.next() } else { found.next_back() }
    }

    fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    fn items(&self) -> &[Self] {
        if let Self::List(items) = self { items } else { &[] }
    }

    /// What a client of the modern era has to repeat.
    fn told(&self) -> Option<&str> {
        let method = self.member("method", Reader::Last)?.text()?;
        let name = match method {
            "tools/call" | "prompts/get" => "name",
            "resources/read" => "uri",
            "tasks/get" | "tasks/update" | "tasks/cancel" => "taskId",
            _ => return None,
        };
        self.member("params", Reader::Last)?.member(name, Reader::Last)?.text()
    }
}

impl Reader {
    /// Whether it takes `key` for `name`.
    fn takes(self, key: &str, name: &str) -> bool {
        match self {
            Self::First | Self::Last => key == name,
            Self::Folding => key.chars().map(folded).eq(name.chars().map(folded)),
            Self::Cutting => key.split('\0').next() == Some(name),
            Self::Dropping => key.chars().filter(|character| *character != '\0').eq(name.chars()),
        }
    }
}

/// [`unicode.SimpleFold`](https://pkg.go.dev/unicode#SimpleFold), as far as it leads to ASCII.
fn folded(character: char) -> char {
    match character {
        'ſ' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(Whole)
    }
}

struct Whole;

impl<'de> Visitor<'de> for Whole {
    type Value = Node;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Node, E> {
        Ok(Node::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Node, E> {
        Ok(Node::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Node, E> {
        Ok(Node::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Node, E> {
        Ok(Number::from_f64(number).map_or(Node::Null, Node::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Node::Object(members))
    }
}
