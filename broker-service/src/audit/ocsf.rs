//! Records as events of the Open Cybersecurity Schema Framework 1.8: API Activity for calls, Authorize Session for tokens and
//! credentials, Entity Management for what is done to the broker. The record itself stands whole in `unmapped`.
//!
//! <https://schema.ocsf.io/1.8.0/classes/api_activity>

use accredit_policy::wire::audit::{Admin, Decision, Kind, Record};
use serde_json::{Map, Value, json};

use crate::clock;

mod activity;
#[cfg(test)]
mod tests;

use activity::Activity;

/// The version of the schema.
const VERSION: &str = "1.8.0";

/// What stands where a name has to and there is none.
const UNKNOWN: &str = "unknown";

/// A class of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// A call was decided, or has ended.
    ApiActivity,
    /// Somebody got a token or a credential, or loses it.
    AuthorizeSession,
    /// Something of the broker's was changed.
    EntityManagement,
}

impl Class {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Issue | Kind::Intent | Kind::Mint | Kind::End => Self::AuthorizeSession,
            Kind::Admin | Kind::Chain | Kind::Cut | Kind::Revocation => Self::EntityManagement,
            Kind::Decision | Kind::Gap | Kind::Outcome => Self::ApiActivity,
        }
    }

    /// Its number, and that of its category.
    fn numbers(self) -> (u32, u32) {
        match self {
            Self::ApiActivity => (6003, 6),
            Self::AuthorizeSession => (3003, 3),
            Self::EntityManagement => (3004, 3),
        }
    }
}

/// The event that `record` tells of.
pub fn event(record: &Record) -> Value {
    let class = Class::of(record.kind);
    let mut event = base(record, class);
    event.extend(match class {
        Class::ApiActivity => call(record),
        Class::AuthorizeSession => session(record),
        Class::EntityManagement => entity(record),
    });
    prune(Value::Object(event))
}

/// Leaves out what is null: the schema knows absent, and nothing else.
fn prune(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let stands = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(stands.map(|(name, value)| (name, prune(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(prune).collect()),
        plain => plain,
    }
}

/// What every event has.
fn base(record: &Record, class: Class) -> Map<String, Value> {
    let ((class, category), activity) = (class.numbers(), Activity::of(record));
    let time = clock::parse(&record.time).unwrap_or_else(clock::now);
    let denied = record.decision == Some(Decision::Deny);
    let severity = match record.kind {
        Kind::Gap => 4,
        _ if denied => 2,
        _ => 1,
    };
    members(json!({
        "activity_id": activity.id,
        "activity_name": activity.name,
        "category_uid": category,
        "class_uid": class,
        "type_uid": class.saturating_mul(100).saturating_add(activity.id),
        "severity_id": severity,
        "time": clock::signed(time),
        "metadata": {
            "version": VERSION,
            "uid": record.id,
            "event_code": record.kind,
            "original_time": record.time,
            "product": { "name": "Accredit", "vendor_name": "Accredit", "version": env!("CARGO_PKG_VERSION") },
        },
        "status_id": if denied || record.kind == Kind::Gap { 2 } else { 1 },
        "status_code": record.reason,
        "actor": actor(record),
        "unmapped": { "accredit": record },
    }))
}

/// Who acted, for whom, by whose word.
fn actor(record: &Record) -> Value {
    let by = record.admin.as_ref().map(|admin| admin.by.as_str());
    let agent = record.agent.as_ref();
    let name = agent.map(|agent| agent.id.as_str()).or(by).unwrap_or(UNKNOWN);
    let policy = record.policy.as_ref().map(|digest| json!({ "uid": digest, "is_applied": true }));
    let decision = record.decision.map(|decision| json!({ "decision": decision, "policy": policy }));
    json!({
        "app_uid": name,
        "app_name": name,
        "invoked_by": record.chain.get(1),
        "user": record.subject.as_ref().map(|subject| json!({ "uid": subject })),
        "idp": agent.map(|agent| json!({ "uid": agent.issuer })),
        "authorizations": decision.map(|decision| [decision]),
        "session": record.token.as_ref().and_then(|token| token.jti.as_ref()).map(|jti| json!({ "uid": jti })),
    })
}

fn call(record: &Record) -> Map<String, Value> {
    let operation = record.tool.as_ref().or(record.method.as_ref()).map_or(UNKNOWN, String::as_str);
    let caller = record.agent.as_ref().map_or(UNKNOWN, |agent| agent.id.as_str());
    let http = record.protocol.as_deref() == Some("http");
    let upstream = record.upstream.as_ref();
    let api = json!({
        "operation": operation,
        "service": record.server.as_ref().map(|server| json!({ "name": server })),
        "request": record.request_id.as_ref().map(|id| json!({ "uid": id })),
    });
    members(json!({
        "api": api,
        "src_endpoint": { "svc_name": caller },
        "http_request": record.method.as_ref().filter(|_| http).map(|method| json!({ "http_method": method })),
        "http_response": upstream.and_then(|upstream| upstream.status).map(|status| json!({ "code": status })),
        "duration": upstream.map(|upstream| upstream.duration_ms),
        "count": record.lost,
        "resources": record.tool.as_ref().map(|tool| json!([{ "name": tool, "type": "tool" }])),
    }))
}

fn session(record: &Record) -> Map<String, Value> {
    let scopes = record.scopes.as_ref();
    let granted = scopes.map(|scopes| if scopes.required.is_empty() { &scopes.held } else { &scopes.required });
    let granted = granted.filter(|scopes| !scopes.is_empty());
    let credential = record.credential.as_ref();
    let privileges = granted.cloned().unwrap_or_else(|| vec![credential.map_or(UNKNOWN, |one| &one.name).to_owned()]);
    let agent = record.agent.as_ref();
    let user = record.subject.as_deref().or(agent.map(|agent| agent.id.as_str())).unwrap_or(UNKNOWN);
    let lease = credential.and_then(|one| one.lease.as_ref());
    let expires = credential.and_then(|one| clock::parse(one.expires.as_ref()?)).map(clock::signed);
    let uid = lease.or(record.token.as_ref().and_then(|token| token.jti.as_ref()));
    members(json!({
        "user": { "uid": user },
        "privileges": privileges,
        "session": uid.map(|uid| json!({ "uid": uid, "expiration_time": expires })),
        "dst_endpoint": record.server.as_ref().map(|server| json!({ "svc_name": server })),
    }))
}

fn entity(record: &Record) -> Map<String, Value> {
    let admin = record.admin.as_ref();
    let target = admin.map_or(UNKNOWN, |admin| admin.target.as_str());
    let kind = admin.and_then(|admin| admin.action.split('.').next()).unwrap_or(UNKNOWN);
    members(json!({
        "entity": { "uid": target, "name": target, "type": kind },
        "comment": admin.and_then(|Admin { why, .. }| why.as_ref()),
    }))
}

/// The members of an object.
fn members(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
