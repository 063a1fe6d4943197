//! The audit record: who, for whom, through whom, what, with which credential, and what came of it.
//!
//! No token, secret or argument stands in it, only digests.

use serde::{Deserialize, Serialize};

use crate::scope;

/// The most records one batch carries.
pub const BATCH: usize = 512;

/// Several records on their way to the broker: the body of `POST /v1/audit/events`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// In the order they were made.
    pub records: Vec<Record>,
}

/// One record. Members that do not apply are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// UUIDv7; the same record sent twice carries the same one.
    pub id: String,
    /// RFC 3339, UTC, milliseconds.
    pub time: String,
    /// What kind of event it tells of.
    pub kind: Kind,
    /// Permitted or denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// Whether it went on although it was denied.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
    /// Why it was denied: a name of the denial table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What would have permitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Remedy>,
    /// Who acted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Agent>,
    /// For whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Through whom, current actor first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
    /// With which token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    /// The tokens it was issued for: the task's and the agent's own, or the assertion.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<Token>,
    /// On which server of the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// What it speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// SHA-256 of the arguments, lower-case hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments_sha256: Option<String>,
    /// Needed and held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Scopes>,
    /// With which credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential>,
    /// What the upstream answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Upstream>,
    /// The proxy's `x-request-id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The trace, 32 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Which proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Proxy>,
    /// The version of the policy that decided: its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// What was done to the broker itself; only in an `admin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<Admin>,
    /// How many records before this one were lost; only in a `gap`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    /// Where chains of the log end; only in a `chain` and a `cut`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heads: Vec<Head>,
}

/// What kind of event a record tells of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A request was decided and went no further.
    #[default]
    Decision,
    /// A credential is about to be minted, or a call to go upstream that is written down before.
    Intent,
    /// A credential was minted.
    Mint,
    /// A permitted request ended.
    Outcome,
    /// A token was issued to an agent, or refused.
    Issue,
    /// A credential has ended: expired, revoked, or never handed out.
    End,
    /// Something was taken back, or given again.
    Revocation,
    /// An operator, or a rule of the registry, changed something.
    Admin,
    /// Records were lost.
    Gap,
    /// A broker begins its chain of the log, and says where the others end.
    Chain,
    /// Old records were removed, up to where it says.
    Cut,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It may pass.
    Permit,
    /// It may not.
    Deny,
}

/// The smallest grant that would have permitted what was denied, as far as what denied it knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remedy {
    /// The entry of the policy that denied, below its server: `tools.report_*`, `delegation.actors`. Absent where no
    /// entry is for what was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The scopes that were missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// The actor of the chain that was not accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
}

impl Remedy {
    /// More scopes, and nothing else.
    pub fn of(missing: &scope::Scopes) -> Self {
        Self { scopes: missing.iter().map(str::to_owned).collect(), ..Self::default() }
    }
}

/// Who acted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// The `iss` of its token.
    pub issuer: String,
    /// Its name there.
    pub id: String,
}

/// What was done to the broker itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// Who did it.
    pub by: String,
    /// What, as `agent.suspend`.
    pub action: String,
    /// To which.
    pub target: String,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Where a chain of the log ends, or ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Its name.
    pub chain: String,
    /// How many records it has.
    pub length: u64,
    /// The number of the last one in the whole log.
    pub seq: u64,
    /// The hash up to it, lower-case hex.
    pub hash: String,
}

/// With which token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Its `jti`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// Its SHA-256, lower-case hex.
    pub sha256: String,
}

/// Which scopes a call needed and a token held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scopes {
    /// Needed.
    pub required: Vec<String>,
    /// Held.
    pub held: Vec<String>,
}

impl Scopes {
    /// The smallest grant that is missing: what is needed and not held.
    pub fn lacked(&self) -> Vec<&str> {
        let missing = |word: &&String| !self.held.contains(word);
        self.required.iter().filter(missing).map(String::as_str).collect()
    }
}

/// With which credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// Its name in the policy.
    pub name: String,
    /// How it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Which lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
    /// When it ends, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// What the upstream answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// The HTTP status; absent when none came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// From the request's headers to its end, in milliseconds.
    pub duration_ms: u64,
    /// The size of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Whether the tool said that it failed; absent where the answer was not looked into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_error: Option<bool>,
}

/// Which proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// Envoy's node identifier, or the proxy's client identifier where the broker tells.
    pub node: String,
    /// Which worker, by a name it gave itself when it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
}

/// A UUIDv7 of the millisecond `millis` and 16 random bytes.
///
/// [RFC 9562 §5.7](https://www.rfc-editor.org/rfc/rfc9562#section-5.7)
pub fn id(millis: u64, random: [u8; 16]) -> String {
    let random = u128::from_be_bytes(random) & 0x0000_0000_0000_0fff_3fff_ffff_ffff_ffff;
    let time = (u128::from(millis) & 0xffff_ffff_ffff) << 80;
    let hex = format!("{:032x}", time | 0x7000_8000_0000_0000_0000 | random);
    let cuts = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
    let parts: Vec<_> = cuts.iter().filter_map(|(from, to)| hex.get(*from..*to)).collect();
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_uuids_in_the_order_of_time() {
        let at = |millis| id(millis, [0xff; 16]);
        assert_eq!(at(0x017f_22e2_79b0), "017f22e2-79b0-7fff-bfff-ffffffffffff");
        assert!(at(1) < at(2));
    }

    #[test]
    fn a_record_survives_the_way() {
        let record = Record { id: "x".into(), reason: Some("tool_unknown".into()), ..Record::default() };
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        assert!(serde_json::from_str::<Record>(r#"{"id":"x","time":"t","kind":"mint","secret":1}"#).is_err());
    }
}
