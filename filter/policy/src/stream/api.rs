//! Requests to HTTP APIs and to agents: what of them is there when they are decided.

use super::body::wait;
use super::{Gate, Held, Step, Stream, flawed, refused, server};
use crate::a2a::{self, Place};
use crate::call::{Call, Flaw};
use crate::denial::{Denial, Reason};
use crate::policy::{Protocol, Rule, Server};
use crate::sender::Bound;

const JSON: &[&str] = &["application/json"];

impl Stream {
    /// Decides a request to an HTTP API at once, so that its body passes as it comes; with its body where a condition
    /// looks into it.
    pub(super) fn http(&mut self, held: Held, bound: Bound, gate: &mut Gate) -> Step {
        let server = server(&gate.policy, &held)?;
        let call = ask(&held, server, None).map_err(|flaw| flawed(flaw, &held.server))?;
        let rule = call.target.object().and_then(|tool| server.tools.find(tool));
        if rule.is_some_and(Rule::wants_body) {
            held.request.plain_json(JSON).map_err(|denial| refused(denial, &held.server))?;
            held.fits(server)?;
            return Ok(wait(held, bound));
        }
        self.decided(held, &bound, &call, gate)
    }

    /// Decides a request to an agent when its body is there, if it has one.
    pub(super) fn agent(&mut self, held: Held, bound: Bound, gate: &mut Gate) -> Step {
        let server = server(&gate.policy, &held)?;
        let head = held.request.head(server.matches.below(&held.request.path));
        let (place, _) = a2a::place(&head).map_err(|flaw| flawed(flaw, &held.server))?;
        let empty = held.complete && held.size == 0;
        match (held.request.method.as_str(), place) {
            // To cancel a task and the like there is nothing to say.
            ("POST", Place::Rest(..)) if empty => self.bodiless(held, &bound, gate),
            ("POST", place) => {
                let media = if place == Place::Rpc { JSON } else { a2a::MEDIA };
                held.request.plain_json(media).map_err(|denial| refused(denial, &held.server))?;
                Ok(wait(held, bound))
            }
            _ if empty => self.bodiless(held, &bound, gate),
            _ => {
                let denial = Denial::new(Reason::RequestMalformed, "a request that is no `POST` has a body");
                self.refuse(denial, Some(&held.server))
            }
        }
    }

    fn bodiless(&mut self, held: Held, bound: &Bound, gate: &mut Gate) -> Step {
        let call = read(&held, server(&gate.policy, &held)?, b"").map_err(|flaw| flawed(flaw, &held.server))?;
        self.decided(held, bound, &call, gate)
    }
}

/// What a request with this body asks for, in the protocol of its server.
pub(super) fn read<'b>(held: &Held, server: &Server, body: &'b [u8]) -> Result<Call<'b>, Flaw> {
    ask(held, server, Some(body))
}

fn ask<'b>(held: &Held, server: &Server, body: Option<&'b [u8]>) -> Result<Call<'b>, Flaw> {
    let request = &held.request;
    match &server.protocol {
        Protocol::Mcp => Call::read(&request.headers, body.unwrap_or_default()),
        Protocol::Http(templates) => Call::http(templates, &request.head(None), body),
        Protocol::Agent => Call::agent(&request.head(server.matches.below(&request.path)), body.unwrap_or_default()),
    }
}
