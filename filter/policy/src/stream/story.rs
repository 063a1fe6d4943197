//! The record of one request, told while it happens.

use std::time::Duration;

use super::Gate;
use super::request::Request;
use crate::call::Call;
use crate::denial::{Denial, Reason};
use crate::scope::Scopes;
use crate::time::Time;
use crate::token::{Verified, hex};
use crate::wire::audit::{self, Agent, Credential, Decision, Kind, Record, Token, Upstream};
use crate::wire::exchange;

/// A record in the making. It is queued once: when the request is denied, or when a permitted one ends.
#[derive(Debug, Default)]
pub(super) struct Story {
    record: Record,
    began: Time,
    id: Option<String>,
    told: bool,
    held: Scopes,
}

impl Story {
    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    pub(super) fn begin(&mut self, request: &Request, random: [u8; 16], gate: &Gate, now: Time) {
        self.began = now;
        self.record = Record {
            id: audit::id(now.millis(), random),
            request_id: request.label("x-request-id"),
            trace_id: request.trace().map(|(_, id)| id),
            proxy: Some(gate.proxy.clone()),
            policy: Some(gate.policy.digest().to_owned()),
            ..Record::default()
        };
    }

    /// No decision was made and none is to be told.
    pub(super) fn untold(&mut self) {
        self.told = true;
    }

    pub(super) fn server(&mut self, server: &str, protocol: &str) {
        self.record.server = Some(server.to_owned());
        self.record.protocol = Some(protocol.to_owned());
    }

    pub(super) fn proved(&mut self, verified: &Verified) {
        let claims = verified.claims();
        self.record.agent = Some(Agent { issuer: verified.issuer().to_owned(), id: claims.agent.clone() });
        self.record.subject = Some(claims.subject.clone());
        self.record.chain = claims.chain.names().map(str::to_owned).collect();
        self.record.token = Some(Token { jti: claims.id.clone(), sha256: hex(verified.digest()) });
        self.record.scopes = Some(audit::Scopes { required: Vec::new(), held: words(&claims.scopes) });
        self.held.clone_from(&claims.scopes);
    }

    pub(super) fn call(&mut self, call: &Call<'_>, tasks: &[String]) {
        self.record.method = Some(shorten(&call.method));
        self.record.arguments_sha256 = call.digest();
        self.record.tool = call.target.object().or(tasks.first().map(String::as_str)).map(shorten);
    }

    pub(super) fn required(&mut self, scopes: &Scopes) {
        if let Some(both) = &mut self.record.scopes {
            both.required = words(scopes);
        }
    }

    pub(super) fn credential(&mut self, name: &str) {
        self.record.credential = Some(Credential { name: name.to_owned(), kind: None, lease: None, expires: None });
    }

    pub(super) fn leased(&mut self, minted: &exchange::Credential, now: Time) {
        if let Some(credential) = &mut self.record.credential {
            let expires = now.plus(Duration::from_secs(minted.lifetime));
            credential.lease = Some(minted.lease.clone());
            credential.expires = Some(expires.rfc3339());
        }
    }

    /// The batch that announces the call. The lease of a credential that is used again has an intent of its own.
    pub(super) fn intent(&self, now: Time) -> String {
        let credential = self.record.credential.clone();
        let intent = Record {
            id: format!("{}.intent", self.record.id),
            time: now.rfc3339(),
            kind: Kind::Intent,
            decision: Some(Decision::Permit),
            credential: credential.map(|credential| Credential { lease: None, expires: None, ..credential }),
            ..self.record.clone()
        };
        // It is made of strings and numbers: serializing it cannot fail.
        serde_json::to_string(&audit::Batch { records: vec![intent] }).unwrap_or_default()
    }

    /// What Envoy's access log is shown.
    pub(super) fn notes(&self) -> Vec<(&'static str, String)> {
        let Record { agent, subject, server, tool, decision, reason, .. } = &self.record;
        let decision = decision.map(|decision| if decision == Decision::Permit { "permit" } else { "deny" });
        let notes = [
            ("agent", agent.as_ref().map(|agent| agent.id.as_str())),
            ("subject", subject.as_deref()),
            ("server", server.as_deref()),
            ("tool", tool.as_deref()),
            ("decision", decision),
            ("reason", reason.as_deref()),
        ];
        notes.into_iter().filter_map(|(name, value)| Some((name, value?.to_owned()))).collect()
    }

    /// Keeps the request's `id` while the broker is asked.
    pub(super) fn id(&mut self, id: Option<&str>) {
        self.id = id.map(str::to_owned);
    }

    pub(super) fn take_id(&mut self) -> Option<String> {
        self.id.take()
    }

    pub(super) fn permitted(&mut self) {
        self.record.decision = Some(Decision::Permit);
        self.record.kind = Kind::Outcome;
    }

    /// The request goes on although it was refused.
    pub(super) fn overlooked(&mut self, denial: &Denial) {
        self.refused(denial);
        self.record.shadow = true;
        self.record.kind = Kind::Outcome;
    }

    /// It was let through, and broken off later.
    pub(super) fn broken(&mut self, reason: Reason) {
        // What was let through although it was refused keeps its own reason.
        self.record.reason.get_or_insert_with(|| reason.name().to_owned());
    }

    pub(super) fn answered(&mut self, status: u16) {
        self.record.upstream = Some(Upstream { status: Some(status), ..Upstream::default() });
    }

    /// The tool's own word on whether it failed; the first one counts, which is the answer to the call.
    pub(super) fn ran(&mut self, failed: bool) {
        if let Some(upstream) = &mut self.record.upstream {
            upstream.tool_error.get_or_insert(failed);
        }
    }

    /// Whether the tool has said so.
    pub(super) fn knows(&self) -> bool {
        self.record.upstream.as_ref().is_some_and(|upstream| upstream.tool_error.is_some())
    }

    pub(super) fn denied(&mut self, denial: &Denial, gate: &mut Gate, now: Time) {
        self.refused(denial);
        self.tell(gate, now);
    }

    fn refused(&mut self, denial: &Denial) {
        self.record.decision = Some(Decision::Deny);
        self.record.reason = Some(denial.reason.name().to_owned());
        self.record.remedy = denial.remedy(&self.held);
    }

    pub(super) fn ended(&mut self, bytes: Option<u64>, gate: &mut Gate, now: Time) {
        let duration = now.since(self.began).as_millis();
        let duration_ms = u64::try_from(duration).unwrap_or(u64::MAX);
        let upstream = self.record.upstream.take().unwrap_or_default();
        self.record.upstream = Some(Upstream { duration_ms, bytes, ..upstream });
        self.tell(gate, now);
    }

    fn tell(&mut self, gate: &mut Gate, now: Time) {
        if !std::mem::replace(&mut self.told, true) {
            self.record.time = now.rfc3339();
            gate.outbox.push(&self.record);
        }
    }
}

fn words(scopes: &Scopes) -> Vec<String> {
    scopes.iter().map(str::to_owned).collect()
}

/// What the caller chose goes into the record only so far.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(256) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned(),
        None => text.to_owned(),
    }
}
