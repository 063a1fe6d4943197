//! What kinds of event there are, and which of them make earlier tokens unsafe. No I/O.
//!
//! [CAEP 1.0 §3](https://openid.net/specs/openid-caep-1_0-final.html#section-3),
//! [RISC 1.0 §2](https://openid.net/specs/openid-risc-1_0-final.html#section-2)

use serde_json::{Map, Value};

use super::refusal::Refusal;

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";
const SSF: &str = "https://schemas.openid.net/secevent/ssf/event-type/";

/// What an event asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Nothing: the event is known, and takes nothing back.
    Nothing,
    /// The subject's tokens from before it are worth nothing any more.
    Revoke,
    /// Not known here.
    Unknown,
    /// A sign that events arrive, with what the transmitter was given to repeat.
    Verify(Option<String>),
}

/// Judges an event of the type `kind`.
pub fn demand(kind: &str, said: &Map<String, Value>) -> Result<Demand, Refusal> {
    if let Some(name) = kind.strip_prefix(CAEP) {
        return caep(name, said);
    }
    if let Some(name) = kind.strip_prefix(RISC) {
        return Ok(risc(name));
    }
    match kind.strip_prefix(SSF) {
        // [SSF 1.0 §8.1.4.1](https://openid.net/specs/openid-sharedsignals-framework-1_0-final.html#section-8.1.4.1)
        Some("verification") => Ok(Demand::Verify(optional(said, "state")?.map(str::to_owned))),
        Some("stream-updated") => Ok(Demand::Nothing),
        _ => Ok(Demand::Unknown),
    }
}

fn caep(name: &str, said: &Map<String, Value>) -> Result<Demand, Refusal> {
    match name {
        // New claims are in new tokens: those that have the old ones must not be used.
        "session-revoked" | "token-claims-change" => Ok(Demand::Revoke),
        "credential-change" => match optional(said, "change_type")? {
            Some("create") => Ok(Demand::Nothing),
            Some("delete" | "revoke" | "update") => Ok(Demand::Revoke),
            _ => Err(Refusal::Malformed("`change_type` is none of `create`, `delete`, `revoke` and `update`")),
        },
        "device-compliance-change" => match optional(said, "current_status")? {
            Some("compliant") => Ok(Demand::Nothing),
            Some("not-compliant") => Ok(Demand::Revoke),
            _ => Err(Refusal::Malformed("`current_status` is neither `compliant` nor `not-compliant`")),
        },
        _ => Ok(Demand::Unknown),
    }
}

fn risc(name: &str) -> Demand {
    match name {
        "account-disabled" | "account-purged" | "credential-compromise" | "sessions-revoked" => Demand::Revoke,
        "account-enabled" => Demand::Nothing,
        _ => Demand::Unknown,
    }
}

fn optional<'a>(said: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Refusal> {
    match said.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Refusal::Malformed("a member of the event is no string")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judge(kind: &str, said: Value) -> Result<Demand, Refusal> {
        demand(kind, said.as_object().unwrap())
    }

    #[test]
    fn what_ends_trust_revokes_and_what_begins_it_does_not() {
        use Demand::{Nothing, Revoke};
        for (kind, said, expected) in [
            ("caep/event-type/session-revoked", json!({}), Revoke),
            ("caep/event-type/token-claims-change", json!({ "claims": { "role": "none" } }), Revoke),
            ("caep/event-type/credential-change", json!({ "change_type": "create" }), Nothing),
            ("caep/event-type/credential-change", json!({ "change_type": "delete" }), Revoke),
            ("caep/event-type/credential-change", json!({ "change_type": "revoke" }), Revoke),
            ("caep/event-type/credential-change", json!({ "change_type": "update" }), Revoke),
            ("caep/event-type/device-compliance-change", json!({ "current_status": "compliant" }), Nothing),
            ("caep/event-type/device-compliance-change", json!({ "current_status": "not-compliant" }), Revoke),
            ("risc/event-type/account-disabled", json!({ "reason": "hijacking" }), Revoke),
            ("risc/event-type/account-purged", json!({}), Revoke),
            ("risc/event-type/credential-compromise", json!({}), Revoke),
            ("risc/event-type/sessions-revoked", json!({}), Revoke),
            ("risc/event-type/account-enabled", json!({}), Nothing),
            ("ssf/event-type/stream-updated", json!({ "status": "paused" }), Nothing),
        ] {
            let kind = format!("https://schemas.openid.net/secevent/{kind}");
            assert_eq!(judge(&kind, said.clone()), Ok(expected), "{kind} {said}");
        }
    }

    #[test]
    fn a_verification_gives_back_its_state() {
        let kind = "https://schemas.openid.net/secevent/ssf/event-type/verification";
        assert_eq!(judge(kind, json!({ "state": "s" })), Ok(Demand::Verify(Some("s".into()))));
        assert_eq!(judge(kind, json!({})), Ok(Demand::Verify(None)));
    }

    #[test]
    fn what_is_not_known_is_said_to_be_so_and_what_is_known_has_to_be_whole() {
        for kind in ["", "session-revoked", "https://schemas.openid.net/secevent/caep/event-type/session-revoked/"] {
            assert_eq!(judge(kind, json!({})), Ok(Demand::Unknown), "{kind}");
        }
        for (kind, said) in [
            ("caep/event-type/credential-change", json!({})),
            ("caep/event-type/credential-change", json!({ "change_type": "Revoke" })),
            ("caep/event-type/credential-change", json!({ "change_type": ["revoke"] })),
            ("caep/event-type/device-compliance-change", json!({})),
            ("ssf/event-type/verification", json!({ "state": 1 })),
        ] {
            let kind = format!("https://schemas.openid.net/secevent/{kind}");
            assert!(matches!(judge(&kind, said.clone()), Err(Refusal::Malformed(_))), "{kind} {said}");
        }
    }
}
