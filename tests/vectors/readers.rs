//! What the core accepts, before the readers that servers are made of: Python's `json`, and `JSON.parse` where there is a
//! Node.js. They have to read the same request.

mod mutate;

use crate::mcp::case::cases;
use accredit_policy::call::{Arguments, Call, Target};
use accredit_policy::headers::Headers;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mutate::Mutations;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{ErrorKind, Write as _, stderr};
use std::process::{Command, Stdio};

/// How many bodies are made, and how many of them have to be accepted for the comparison to say anything.
const MADE: usize = 60_000;
const ACCEPTED: usize = 3_000;

const PYTHON: &str = include_str!("readers/read.py");
const NODE: &str = include_str!("readers/read.js");

#[test]
fn what_is_accepted_is_the_same_request_to_other_readers() {
    let accepted = accepted();
    assert!(accepted.len() > ACCEPTED, "only {} bodies were accepted", accepted.len());
    let python = readings("python3", "-c", PYTHON, &accepted).expect("there is a python3");
    compare("Python", &accepted, &python);
    match readings("node", "-e", NODE, &accepted) {
        Some(node) => compare("Node.js", &accepted, &node),
        None => drop(writeln!(stderr(), "readers: there is no node on PATH, so that JSON.parse was not asked")),
    }
}

/// Bodies that are accepted, in either era.
fn accepted() -> Vec<Vec<u8>> {
    let seeds: Vec<Vec<u8>> = cases().iter().map(|case| case.body()).filter(|body| body.len() <= 4096).collect();
    let mutated: Vec<_> = Mutations::new(&seeds).take(MADE).collect();
    let all: BTreeSet<Vec<u8>> = seeds.into_iter().chain(mutated).filter(|body| read(body).is_some()).collect();
    all.into_iter().collect()
}

/// The request as the core reads it, under headers that agree with the body as far as headers can.
fn read(body: &[u8]) -> Option<Call<'_>> {
    Call::read(&Headers::default(), body).ok().or_else(|| Call::read(&modern(body)?, body).ok())
}

fn modern(body: &[u8]) -> Option<Headers> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let method = body["method"].as_str()?;
    let name = match method {
        "tools/call" | "prompts/get" => body["params"]["name"].as_str(),
        "resources/read" => body["params"]["uri"].as_str(),
        _ => body["params"]["taskId"].as_str().filter(|_| method.starts_with("tasks/")),
    };
    let name = name.map(|name| format!("=?base64?{}?=", STANDARD.encode(name)));
    let lines =
        [("mcp-protocol-version", Some("2026-07-28")), ("mcp-method", Some(method)), ("mcp-name", name.as_deref())];
    let lines = lines.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.as_bytes().to_vec())));
    Some(Headers::new(lines))
}

/// What `program` reads in each of `bodies`; nothing where there is no such program.
fn readings(program: &str, flag: &str, script: &str, bodies: &[Vec<u8>]) -> Option<Vec<Value>> {
    let mut command = Command::new(program);
    command.args([flag, script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = match command.spawn() {
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        spawned => spawned.unwrap(),
    };
    let lines: String = bodies.iter().map(|body| STANDARD.encode(body) + "\n").collect();
    let mut input = child.stdin.take().unwrap();
    // It may answer before it has read everything.
    let writing = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    assert!(output.status.success(), "{program} failed");
    Some(output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(parsed).collect())
}

fn parsed(line: &[u8]) -> Value {
    serde_json::from_slice(line).unwrap()
}

fn compare(who: &str, bodies: &[Vec<u8>], readings: &[Value]) {
    assert_eq!(bodies.len(), readings.len(), "{who} did not read all");
    for (body, theirs) in bodies.iter().zip(readings) {
        let ours = told(&read(body).unwrap(), &theirs["ref"]);
        for (name, value) in ours.as_object().unwrap() {
            let same = close(value, &theirs[name]);
            assert!(same, "{who} reads `{name}` of {} as {}, we as {value}", body.escape_ascii(), theirs[name]);
        }
    }
}

/// The request in the members of the scripts' output. Which of a completion's it is, is in its `ref`.
fn told(call: &Call<'_>, reference: &Value) -> Value {
    let parse = |text: Option<&str>| text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap());
    let mut told = json!({ "id": parse(call.id), "arguments": parse(arguments(call)) });
    told["method"] = if call.method == "response" { Value::Null } else { json!(call.method) };
    match &call.target {
        Target::Prompt(name) if !reference.is_null() => told["ref"] = json!(["ref/prompt", name, null]),
        Target::Resource(uri) if !reference.is_null() => told["ref"] = json!(["ref/resource", null, uri]),
        Target::Tool(name) | Target::Prompt(name) => told["name"] = json!(name),
        Target::Resource(uri) => told["uri"] = json!(uri),
        Target::Task(id) => told["task"] = json!(id),
        Target::Subscription(resources, tasks) => told["listens"] = json!([resources, tasks]),
        _ => {}
    }
    told
}

fn arguments<'a>(call: &Call<'a>) -> Option<&'a str> {
    if let Arguments::Object(text) = call.arguments { Some(text) } else { None }
}

/// Whether two values are the same, where numbers may have lost what a double cannot hold.
fn close(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            let (left, right) = (left.as_f64().unwrap(), right.as_f64().unwrap());
            (left - right).abs() <= 1e-15 * left.abs()
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| close(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            let same = |(name, value): (&String, &Value)| right.get(name).is_some_and(|other| close(value, other));
            left.len() == right.len() && left.iter().all(same)
        }
        (left, right) => left == right,
    }
}
