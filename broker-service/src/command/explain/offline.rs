//! The filter's own state machine without a proxy around it.

use std::collections::{BTreeMap, VecDeque};

use accredit_policy::feed::Feed;
use accredit_policy::fetch::Answer;
use accredit_policy::headers::Headers;
use accredit_policy::nonce::Nonce;
use accredit_policy::replay::{Claim, Fresh};
use accredit_policy::sender::Peer;
use accredit_policy::session::{self, Sessions};
use accredit_policy::stream::{Effect, Gate, Input, Stream};
use accredit_policy::token::Prover;
use accredit_policy::wire::audit::{Decision, Proxy};
use accredit_policy::{Policy, Secret, Time};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::clock;

/// A proxy that forwards nothing. The broker always mints; documents come from files or not at all.
pub struct Offline {
    policy: Policy,
    /// Status lists by where they are.
    lists: BTreeMap<String, Vec<u8>>,
    /// The proofs that were seen, as workers share them.
    proofs: BTreeMap<String, Vec<u8>>,
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
    #[serde(default)]
    peer: Client,
}

/// The connection's other end, as Envoy tells of its certificate.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Client {
    /// SHA-256 of the DER, in hex.
    certificate_sha256: Option<String>,
    /// The first URI among the alternative names.
    uri_san: Option<String>,
}

/// A request on its way.
struct Ride<'a> {
    gate: Gate,
    stream: Stream,
    now: Time,
    body: Vec<u8>,
    client: Client,
    lists: &'a BTreeMap<String, Vec<u8>>,
    proofs: &'a mut BTreeMap<String, Vec<u8>>,
    status: u16,
}

impl Offline {
    /// A proxy with this policy, and these status lists by where they are.
    pub fn new(policy: Policy, lists: BTreeMap<String, Vec<u8>>) -> Self {
        Self { policy, lists, proofs: BTreeMap::new() }
    }

    /// What the filter makes of one request, written as JSON. A proof counts once over all requests.
    pub fn explain(&mut self, text: &str) -> Value {
        let read = accredit_policy::json::value(text).map_err(|flaw| flaw.to_string());
        let request: Request = match read.and_then(|value| serde_json::from_value(value).map_err(|bad| bad.to_string()))
        {
            Ok(request) => request,
            Err(error) => return unreadable(&error),
        };
        let Ok(body) = STANDARD.decode(&request.body_base64) else {
            return unreadable("`body_base64` is not base64");
        };
        let proxy = Proxy { node: "explain".into(), worker: None };
        let shared = (Nonce::new([0; 32]), Sessions::fetched(0), Feed::offline());
        let mut ride = Ride {
            gate: Gate::new(self.policy.clone(), Prover::default(), shared, Secret::default(), proxy),
            stream: Stream::default(),
            now: request.now.map_or_else(clock::now, Time::from_seconds),
            body,
            lists: &self.lists,
            proofs: &mut self.proofs,
            status: 200,
            client: Client::default(),
        };
        let headers = headers(&request);
        ride.client = request.peer;
        ride.run(headers);
        ride.verdict()
    }
}

impl Ride<'_> {
    /// Sends the request through, headers first.
    fn run(&mut self, headers: Headers) {
        let last = self.body.is_empty();
        self.feed(Input::Headers { headers, last, random: [0; 16] });
        if !last {
            let size = self.body.len();
            self.feed(Input::Grown { size, last: true });
        }
    }

    /// Feeds the stream, and what comes of that.
    fn feed(&mut self, input: Input<'_>) {
        let mut effects = VecDeque::from(self.stream.handle(input, &mut self.gate, self.now));
        while let Some(effect) = effects.pop_front() {
            effects.extend(self.perform(effect));
        }
    }

    fn perform(&mut self, effect: Effect) -> Vec<Effect> {
        let input = match effect {
            Effect::ReadBody(_) => return self.stream.handle(Input::Body(Some(&self.body)), &mut self.gate, self.now),
            Effect::AwaitKeys => {
                self.fetch();
                Input::KeysSettled
            }
            Effect::ReadPeer => {
                let Client { certificate_sha256, uri_san } = &self.client;
                Input::Peer(Peer::read(certificate_sha256.clone(), uri_san.clone()))
            }
            // Whoever asks offline has started no task.
            Effect::Recall(keys) => Input::Recalled(vec![None; keys.len()]),
            Effect::Claim(fresh) => Input::Claimed(self.claim(&fresh)),
            Effect::Reply(reply) => {
                self.status = reply.status;
                return Vec::new();
            }
            Effect::Post(_)
            | Effect::Forward(_)
            | Effect::Remember(_)
            | Effect::Respond(_)
            | Effect::ReadAnswer(_)
            | Effect::ReplaceAnswer(_)
            | Effect::Break
            | Effect::Note(_)
            | Effect::Log(..)
            | Effect::Count(..) => return Vec::new(),
        };
        self.stream.handle(input, &mut self.gate, self.now)
    }

    /// Brings the documents there are; for the others it is as if the issuer were away.
    fn fetch(&mut self) {
        for fetch in self.gate.wanted() {
            let answer = Answer { body: self.lists.get(&fetch.url).map(Vec::as_slice), cache_control: None };
            // Why a document is no good shows in the verdict.
            let _ = self.gate.arrived(&fetch.document, &answer, self.now);
        }
    }

    fn claim(&mut self, fresh: &Fresh) -> Claim {
        let bucket = self.proofs.entry(fresh.bucket()).or_default();
        match fresh.enter(bucket, self.now) {
            Ok(entered) => {
                *bucket = entered;
                Claim::First
            }
            Err(claim) => claim,
        }
    }

    /// The answer, from the record the filter would have written.
    fn verdict(&self) -> Value {
        let record = self.stream.record();
        let denied = record.decision == Some(Decision::Deny);
        json!({
            "decision": if denied { "deny" } else { "permit" },
            "reason": record.reason,
            "status": self.status,
            "server": record.server,
            "agent": record.agent.as_ref().map(|agent| &agent.id),
            "subject": record.subject,
            "chain": record.chain,
            "tool": record.tool,
            "scopes": record.scopes,
            "credential": record.credential.as_ref().map(|credential| &credential.name),
        })
    }
}

fn headers(request: &Request) -> Headers {
    let pseudo = [(":method", &request.method), (":authority", &request.host), (":path", &request.path)];
    let pseudo = pseudo.into_iter().map(|(name, value)| (name.to_owned(), value.clone().into_bytes()));
    let others = request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone().into_bytes()));
    let others: Vec<_> = others.collect();
    // Only the proxies can open a session; which one it is decides nothing about the call.
    let sessions = others.iter().filter(|(name, _)| name == session::HEADER).count();
    let others = others.into_iter().filter(|(name, _)| sessions > 1 || name != session::HEADER);
    Headers::new(pseudo.chain(others))
}

/// The answer to something that is no request.
pub fn unreadable(error: &str) -> Value {
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
