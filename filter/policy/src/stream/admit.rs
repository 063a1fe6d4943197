//! From a request's token to the one who may send it: proof, then binding.

use super::body::wait;
use super::early::early;
use super::{Effect, Gate, Held, State, Step, Stream, flawed, refused, server};
use crate::call::Call;
use crate::denial::{Denial, Reason};
use crate::policy::Protocol;
use crate::replay::Claim;
use crate::sender::{self, Bound, Judged, Peer, Pending, Shown};
use crate::session::Ready;
use crate::time::Time;
use crate::token::{Outcome, Refusal, Verified};

impl Stream {
    /// Proves the token, or waits for the keys that takes.
    pub(super) fn prove(&mut self, held: Held, gate: &mut Gate, now: Time) -> Step {
        let Gate { policy, prover, .. } = gate;
        let server = server(policy, &held)?;
        match prover.prove(&held.token, server, policy, held.since, now) {
            Outcome::Proved(verified) => {
                self.story.proved(&verified);
                match sender::needs_peer(&verified, server, policy) {
                    true => Ok((State::Binding(held, verified), vec![Effect::ReadPeer])),
                    false => self.bind(held, verified, &Peer::default(), gate, now),
                }
            }
            Outcome::Refused(refusal) => self.refuse(refusal.into(), Some(&held.server)),
            Outcome::Waits(_) => Ok((State::Proving(held), vec![Effect::AwaitKeys])),
        }
    }

    /// Judges who sends the token.
    pub(super) fn bind(&mut self, mut held: Held, verified: Verified, peer: &Peer, gate: &mut Gate, now: Time) -> Step {
        held.source = peer.source.clone().unwrap_or_default();
        let server = server(&gate.policy, &held)?;
        let url = server.public(&held.request.path);
        let shown = Shown {
            scheme: held.scheme,
            proof: held.request.headers.sole("dpop"),
            method: &held.request.method,
            url: &url,
            peer,
        };
        let means = (&gate.nonce, gate.prover.native());
        match sender::judge(verified, (server, &gate.policy), &shown, means, now) {
            Ok(Judged::Bound(bound)) => self.bound(held, bound, gate, now),
            Ok(Judged::Once(fresh, pending)) => Ok((State::Claiming(held, pending), vec![Effect::Claim(fresh)])),
            Err(refusal) => self.refuse(refusal.into(), Some(&held.server)),
        }
    }

    /// Goes on with a proof that was seen for the first time.
    pub(super) fn claim(&mut self, held: Held, pending: Pending, claim: Claim, gate: &mut Gate, now: Time) -> Step {
        match pending.claimed(claim) {
            Ok(bound) => self.bound(held, bound, gate, now),
            Err(refusal) => self.refuse(refusal.into(), Some(&held.server)),
        }
    }

    /// Goes on by what the server speaks.
    pub(super) fn speak(&mut self, held: Held, bound: Bound, gate: &mut Gate, now: Time) -> Step {
        match server(&gate.policy, &held)?.protocol {
            Protocol::Mcp => self.mcp(held, bound, gate, now),
            Protocol::Http(_) => self.http(held, bound, gate),
            Protocol::Agent => self.agent(held, bound, gate),
        }
    }

    /// Decides a session's request at once, a message when its body is there.
    pub(super) fn mcp(&mut self, held: Held, bound: Bound, gate: &mut Gate, now: Time) -> Step {
        if self.enter(&held, &bound, gate, now)? == Ready::Waits {
            return Ok((State::Entering(held, bound), vec![Effect::AwaitKeys]));
        }
        let method = held.request.method.clone();
        match method.as_str() {
            "POST" => {
                held.request.plain_json(&["application/json"]).map_err(|denial| refused(denial, &held.server))?;
                if early(gate) { self.early(held, bound, gate) } else { Ok(wait(held, bound)) }
            }
            "GET" | "DELETE" if !held.complete || held.size > 0 => {
                let denial = Denial::new(Reason::RequestMalformed, "a `GET` or `DELETE` has a body");
                self.refuse(denial, Some(&held.server))
            }
            "GET" | "DELETE" if early(gate) => {
                let note = "sessions of the legacy era cannot be judged by their headers";
                self.refuse(Denial::new(Reason::VersionUnsupported, note), Some(&held.server))
            }
            "GET" | "DELETE" => {
                let call = Call::session(&method, &held.request.headers).map_err(|flaw| flawed(flaw, &held.server))?;
                self.decided(held, &bound, &call, gate)
            }
            _ => self.refuse(Denial::new(Reason::MethodUnknown, "not `POST`, `GET` or `DELETE`"), Some(&held.server)),
        }
    }
}

impl From<Refusal> for Denial {
    fn from(Refusal { reason, note }: Refusal) -> Self {
        Self::new(reason, note)
    }
}
