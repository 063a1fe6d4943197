//! Requests nobody would send, the same ones in every run: no trap, and nothing goes upstream without a reason.

use crate::support::*;
use harness::{Alg, Outcome, Proxy, Request};
use serde_json::{Value, json};

/// SplitMix64: a few lines, and every run throws the same dice.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound.max(1) as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

#[derive(Clone)]
struct Draft {
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
    frame: usize,
    trailers: bool,
    http1: bool,
}

const NAMES: &[&str] = &[
    ":method",
    ":path",
    ":authority",
    "authorization",
    "content-type",
    "content-encoding",
    "mcp-protocol-version",
    "mcp-method",
    "mcp-name",
    "mcp-session-id",
    "traceparent",
    "x-request-id",
    "x-accredit-agent",
    "dpop",
    "upgrade",
];

/// What stands in headers and bodies and may end up in the wrong place.
const WORDS: &[&[u8]] = &[
    b"POST",
    b"GET",
    b"DELETE",
    b"/crm/mcp",
    b"/.well-known/oauth-protected-resource",
    b"application/json",
    b"2026-07-28",
    b"2025-11-25",
    b"tools/call",
    b"tools/list",
    b"crm_lookup",
    b"crm_update",
    b"crm_delete",
    b"=?base64?Y3JtX2xvb2t1cA==?=",
    b"\"name\":\"crm_delete\",",
    b"\"Name\":\"crm_delete\",",
    b"\"method\":\"tools/call\",",
    b"\"id\":null,",
    b"\"\\u006eame\":",
    b"\\ud800",
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b"\"",
    b"\\",
    b"1e999",
    b"\xef\xbb\xbf",
    b"\xff\x80\x00",
    b"\0",
    b" ",
    b"",
];

fn drafts(tokens: &[String]) -> Vec<Draft> {
    let mut modern = call("crm_lookup");
    modern["params"]["_meta"] = json!({ VERSION: "2026-07-28" });
    let old = ("2025-11-25", "", "");
    let bodies = [
        (call("crm_lookup"), old),
        (call("crm_update"), old),
        (message("tools/list", json!({})), old),
        (json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }), old),
        (modern, ("2026-07-28", "tools/call", "crm_lookup")),
    ];
    let draft = |token: &String, body: &Value, (version, method, name): (&str, &str, &str)| {
        let mut headers: Vec<(&'static str, Vec<u8>)> = vec![
            (":method", b"POST".to_vec()),
            (":path", PATH.into()),
            (":authority", b"gateway.example.com".to_vec()),
            ("content-type", b"application/json".to_vec()),
            ("authorization", format!("Bearer {token}").into_bytes()),
            ("mcp-protocol-version", version.into()),
        ];
        let named = [("mcp-method", method), ("mcp-name", name)];
        headers
            .extend(named.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (*name, (*value).into())));
        Draft { headers, body: body.to_string().into_bytes(), frame: usize::MAX, trailers: false, http1: false }
    };
    tokens.iter().flat_map(|token| bodies.iter().map(move |(body, names)| draft(token, body, *names))).collect()
}

impl Draft {
    fn mutate(&mut self, dice: &mut Dice) {
        match dice.below(9) {
            0 | 1 => scramble("", &mut self.body, dice),
            2 => {
                let place = dice.below(self.headers.len());
                self.headers.remove(place);
            }
            3 => {
                let place = dice.below(self.headers.len());
                let (name, value) = self.headers[place].clone();
                self.headers.insert(place, (name, value));
            }
            4 => {
                let place = dice.below(self.headers.len());
                let (name, value) = &mut self.headers[place];
                scramble(name, value, dice);
            }
            5 => {
                let name = dice.pick(NAMES);
                self.headers.push((name, word(name, dice).to_vec()));
            }
            6 => {
                let place = dice.below(self.headers.len());
                let name = self.headers[place].0;
                self.headers[place].1 = word(name, dice).to_vec();
            }
            7 => self.frame = 1 + dice.below(40),
            _ => (self.trailers, self.http1) = (dice.below(2) == 0, dice.below(2) == 0),
        }
        // A request without headers is none; hosts do not let it through.
        if self.headers.is_empty() {
            self.headers.push((":method", b"POST".to_vec()));
        }
    }

    fn request(&self) -> Request {
        let bare = NAMES[..3].iter().fold(Request::post(PATH), |request, name| request.without(name));
        let request = self.headers.iter().fold(bare, |request, (name, value)| request.header(name, value));
        let request = request.body(&self.body).split_every(self.frame.min(self.body.len()).max(1));
        let request = if self.trailers { request.trailers() } else { request };
        if self.http1 { request.http1() } else { request }
    }

    /// The value of a header that stands once; pseudo headers keep the last one.
    fn sole(&self, name: &str) -> Option<String> {
        let lines: Vec<_> = self.headers.iter().filter(|(other, _)| *other == name).collect();
        let (_, value) = lines.last().filter(|_| lines.len() == 1 || name.starts_with(':'))?;
        String::from_utf8(value.clone()).ok()
    }

    /// What may go upstream, told as simply as possible and without the filter's code.
    fn sound(&self, tokens: &[String]) -> bool {
        let bearer = self.sole("authorization").is_some_and(|value| {
            let token = value.trim_matches([' ', '\t']).get(7..).map(str::to_owned);
            value.to_ascii_lowercase().contains("bearer ") && token.is_some_and(|token| tokens.contains(&token))
        });
        let path = self.sole(":path").is_some_and(|path| path.split('?').next() == Some(PATH));
        let method = self.sole(":method").unwrap_or_default();
        if !bearer || !path {
            return false;
        }
        if method != "POST" {
            return ["GET", "DELETE"].contains(&&*method) && self.body.is_empty() && !self.trailers;
        }
        let Ok(body) = serde_json::from_slice::<Value>(&self.body) else { return false };
        match body["method"].as_str() {
            Some("tools/call") => ["crm_lookup", "crm_update"].contains(&body["params"]["name"].as_str().unwrap_or("")),
            Some(other) => other == "tools/list" || other == "notifications/initialized",
            None => false,
        }
    }
}

/// A word for that header. What stands in the secret ones is looked for everywhere, so no long public word may.
fn word(name: &str, dice: &mut Dice) -> &'static [u8] {
    let secret = ["authorization", "dpop"].contains(&name);
    let words: Vec<&'static [u8]> = WORDS.iter().copied().filter(|word| !secret || word.len() < 16).collect();
    dice.pick(&words)
}

fn scramble(name: &str, bytes: &mut Vec<u8>, dice: &mut Dice) {
    let place = dice.below(bytes.len() + 1);
    let until = (place + dice.below(12)).min(bytes.len());
    match dice.below(6) {
        0 if place < bytes.len() => bytes[place] ^= 1 << dice.below(8),
        1 => drop(bytes.drain(place..until)),
        2 => bytes.truncate(place),
        3 => {
            let copy = bytes[place..until].to_vec();
            bytes.splice(place..place, copy);
        }
        4 => bytes.insert(place, dice.roll() as u8),
        _ => drop(bytes.splice(place..place, word(name, dice).iter().copied())),
    }
}

fn throw(proxy: &Proxy, draft: &Draft, tokens: &[String]) -> bool {
    let stream = proxy.run(draft.request());
    match stream.outcome() {
        Outcome::Forwarded(upstream) => {
            assert!(draft.sound(tokens), "went upstream: {upstream:?}");
            assert_eq!(upstream.body, draft.body);
            assert!(upstream.complete && !upstream.headers.has("dpop") && !upstream.headers.has("x-accredit-agent"));
            let credentials: Vec<&[u8]> = upstream.headers.all("authorization").collect();
            assert!(credentials.is_empty() || credentials == [b"Bearer minted"], "{credentials:?}");
            true
        }
        Outcome::Replied(reply) => {
            assert!(stream.upstream().is_none() && stream.over(), "{reply:?}");
            assert!((400..500).contains(&reply.status) || reply.status == 200, "{reply:?}");
            false
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_request_traps_the_filter_or_passes_it_without_a_permit() {
    let (proxy, mut dice) = (start(), Dice(1));
    let tokens = [token(), issuer().token().alg(Alg::EdDsa).scope("crm:read crm:write").sign()];
    let drafts = drafts(&tokens);
    let (mut passed, rounds) = (0, 3000);
    for round in 0..rounds {
        let mut draft = drafts[dice.below(drafts.len())].clone();
        (0..1 + dice.below(4)).for_each(|_| draft.mutate(&mut dice));
        passed += usize::from(throw(&proxy, &draft, &tokens));
        if round % 500 == 499 {
            proxy.advance(std::time::Duration::from_secs(1));
            proxy.forget();
        }
    }
    assert!(proxy.traps().is_empty());
    assert!(passed > rounds / 20 && passed < rounds / 2, "{passed} of {rounds} passed: the dice are loaded");
}
