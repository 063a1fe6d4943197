//! `accredit policy explain`: the filter's own state machine, fed from a file.

use std::error::Error;
use std::io::{self, BufRead, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use accredit_policy::headers::Headers;
use accredit_policy::stream::{Effect, Gate, Input, Stream};
use accredit_policy::token::KeySet;
use accredit_policy::wire::audit::{Decision, Proxy};
use accredit_policy::{Policy, Secret, Time};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Output;
use crate::{clock, config};

/// What to explain.
#[derive(Debug, Args)]
pub struct Explain {
    /// The policy, YAML or JSON.
    #[arg(long)]
    policy: PathBuf,
    /// The request as JSON, or `-` for standard input.
    #[arg(long)]
    request: PathBuf,
    /// One request a line, one answer a line.
    #[arg(long)]
    batch: bool,
    /// The keys of an issuer of the policy, in place of fetching them.
    #[arg(long, value_name = "ISSUER=FILE")]
    jwks: Vec<String>,
    /// How to print the verdict.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// A request, as it would reach the proxy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    now: Option<u64>,
    method: String,
    host: String,
    path: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body_base64: String,
    /// The connection's other end; nothing in the policy depends on it yet.
    #[serde(default)]
    #[expect(dead_code, reason = "part of the format")]
    peer: Value,
}

impl Explain {
    /// Prints the verdict; exit code 0 for a permit, 1 for a denial. A batch is 0 when every line was answered.
    pub fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        let mut policy = config::policy(&self.policy)?;
        for pair in &self.jwks {
            pin(&mut policy, pair)?;
        }
        if self.batch {
            return self.batch(&policy);
        }
        let text = match self.request.as_os_str() == "-" {
            true => io::read_to_string(io::stdin())?,
            false => std::fs::read_to_string(&self.request)
                .map_err(|error| format!("{}: {error}", self.request.display()))?,
        };
        let verdict = explain(&policy, &text);
        match self.output {
            Output::Json => println!("{verdict}"),
            Output::Text => people(&verdict),
        }
        let permitted = verdict.get("decision").is_some_and(|decision| decision == "permit");
        Ok(if permitted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn batch(&self, policy: &Policy) -> Result<ExitCode, Box<dyn Error>> {
        let input: Box<dyn BufRead> = match self.request.as_os_str() == "-" {
            true => Box::new(io::stdin().lock()),
            false => Box::new(io::BufReader::new(
                std::fs::File::open(&self.request).map_err(|error| format!("{}: {error}", self.request.display()))?,
            )),
        };
        let mut output = io::BufWriter::new(io::stdout().lock());
        // Lines are bytes: one that is no UTF-8 is answered like any other that cannot be read.
        for line in input.split(b'\n') {
            let line = line?;
            let answer = match std::str::from_utf8(&line) {
                Ok(text) => explain(policy, text),
                Err(_) => unreadable("not UTF-8"),
            };
            writeln!(output, "{answer}")?;
        }
        output.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Puts the keys of `ISSUER=FILE` into the policy.
fn pin(policy: &mut Policy, pair: &str) -> Result<(), Box<dyn Error>> {
    let (issuer, file) =
        pair.split_once('=').ok_or_else(|| format!("--jwks: found `{pair}`, accepted is `ISSUER=FILE`"))?;
    let document = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
    let keys = KeySet::parse(&document).map_err(|bad| format!("{file}: the document {bad}"))?;
    match policy.pin(issuer, keys) {
        true => Ok(()),
        false => Err(format!("--jwks: found `{issuer}`, accepted is a name below `issuers` of the policy").into()),
    }
}

/// Runs one request through the filter's code. Keys that would be fetched cannot be had; the broker always mints.
fn explain(policy: &Policy, text: &str) -> Value {
    let request = match accredit_policy::json::value(text)
        .map_err(|flaw| flaw.to_string())
        .and_then(|value| serde_json::from_value::<Request>(value).map_err(|error| error.to_string()))
    {
        Ok(request) => request,
        Err(error) => return unreadable(&error),
    };
    let Ok(body) = STANDARD.decode(&request.body_base64) else {
        return unreadable("`body_base64` is not base64");
    };
    let now = request.now.map_or_else(clock::now, Time::from_seconds);
    let proxy = Proxy { node: "explain".into(), worker: None };
    let mut gate = Gate::new(policy.clone(), Secret::default(), proxy);
    let mut stream = Stream::default();
    let mut status = 200;
    let first = Input::Headers { headers: headers(&request), last: body.is_empty(), random: [0; 16] };
    let mut effects: std::collections::VecDeque<_> = stream.handle(first, &mut gate, now).into();
    let grown = Input::Grown { size: body.len(), last: true };
    let mut pending = (!body.is_empty()).then_some(grown);
    loop {
        let Some(effect) = effects.pop_front() else {
            match pending.take() {
                Some(input) => effects.extend(stream.handle(input, &mut gate, now)),
                None => break,
            }
            continue;
        };
        let next = match effect {
            Effect::ReadBody(_) => stream.handle(Input::Body(Some(&body)), &mut gate, now),
            Effect::AwaitKeys => {
                for issuer in gate.keys.wanted() {
                    // Nothing is fetched here; the request is answered as if the issuer were away.
                    drop(gate.keys.arrived(&issuer, None, now));
                }
                stream.handle(Input::KeysSettled, &mut gate, now)
            }
            Effect::Reply(reply) => {
                status = reply.status;
                Vec::new()
            }
            Effect::Post(_)
            | Effect::Forward(_)
            | Effect::StripResponse(_)
            | Effect::Note(_)
            | Effect::Log(..)
            | Effect::Count(..) => Vec::new(),
        };
        effects.extend(next);
    }
    verdict(&stream, status)
}

fn headers(request: &Request) -> Headers {
    let pseudo = [(":method", &request.method), (":authority", &request.host), (":path", &request.path)];
    let pseudo = pseudo.into_iter().map(|(name, value)| (name.to_owned(), value.clone().into_bytes()));
    let others = request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone().into_bytes()));
    Headers::new(pseudo.chain(others))
}

/// The answer, from the record the filter would have written.
fn verdict(stream: &Stream, status: u16) -> Value {
    let record = stream.record();
    let denied = record.decision == Some(Decision::Deny);
    json!({
        "decision": if denied { "deny" } else { "permit" },
        "reason": record.reason,
        "status": status,
        "server": record.server,
        "agent": record.agent.as_ref().map(|agent| &agent.id),
        "subject": record.subject,
        "chain": record.chain,
        "tool": record.tool,
        "scopes": record.scopes,
        "credential": record.credential.as_ref().map(|credential| &credential.name),
    })
}

/// The answer to something that is no request.
fn unreadable(error: &str) -> Value {
    json!({
        "decision": "deny",
        "reason": "request_malformed",
        "status": 400,
        "server": null,
        "agent": null,
        "subject": null,
        "chain": [],
        "tool": null,
        "scopes": null,
        "credential": null,
        "error": error,
    })
}

fn people(verdict: &Value) {
    let fields = [
        "decision",
        "reason",
        "status",
        "server",
        "agent",
        "subject",
        "chain",
        "tool",
        "scopes",
        "credential",
        "error",
    ];
    let shown = fields.into_iter().filter_map(|name| Some((name, verdict.get(name)?)));
    for (name, value) in
        shown.filter(|(_, value)| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()))
    {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        println!("{name:<11}{text}");
    }
}
