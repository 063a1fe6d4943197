//! Revocations on their way from the broker to its proxies: the answer to `GET /v1/revocations`.
//!
//! ```text
//! GET /v1/revocations?after=41&mark=…&wait=10s
//! {"after":41,"seq":43,"mark":"…","more":false,"changes":[{"seq":42,"target":{…}},{"seq":43,"target":{…},"lifts":true}]}
//! ```
//!
//! Changes come in their order, after the one that `after` and `mark` name together. Where the broker does not know that one
//! (its database was restored, or the change is forgotten since), it says `"reset":true` and tells everything from the
//! beginning; so it does for who has no mark yet. `more` says that there is more than fits one answer.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::json;
use crate::revocation::{Revocation, Target};

/// Where they are.
pub const PATH: &str = "/v1/revocations";

/// The largest answer that is read, in bytes.
pub const SIZE: usize = 1024 * 1024;

/// The most changes one answer carries.
pub const CHANGES: usize = 1000;

/// Up to where somebody knows what happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The number of the last change; 0 for none.
    pub seq: u64,
    /// What tells that change from another one of that number; empty for who was told nothing yet.
    pub mark: String,
}

/// One answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Page {
    /// The number that was asked for, or 0 in a reset.
    pub after: u64,
    /// The number of the last change that is told, or `after`.
    pub seq: u64,
    /// Its mark.
    pub mark: String,
    /// Whether all that was told before is void.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reset: bool,
    /// Whether there is more to be told at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// What happened, in its order.
    pub changes: Vec<Change>,
}

/// Something that was revoked, or lifted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Change {
    /// Its number.
    pub seq: u64,
    /// What it is about.
    pub target: Target,
    /// Only tokens issued before then, in seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// When nothing is left that it could hit, in seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Whether it is lifted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lifts: bool,
}

impl Change {
    /// What is revoked, or lifted.
    pub fn revocation(&self) -> Revocation {
        Revocation { target: self.target.clone(), before: self.before, until: self.until }
    }
}

/// Reads the answer's body strictly, and whether it follows `asked`. An error does not quote the body.
pub fn read(body: &[u8], asked: &Cursor) -> Result<Page, &'static str> {
    let value = json::text(body).and_then(json::value).map_err(|_| "is not strict JSON")?;
    let page = page(value).ok_or("is no list of revocations")?;
    let told = page.changes.iter().map(|change| change.seq);
    let ordered = told.clone().is_sorted_by(|one, next| one < next);
    let within = told.clone().all(|seq| page.after < seq && seq <= page.seq);
    if page.changes.len() > CHANGES || !ordered || !within || page.seq < page.after || !marked(&page.mark) {
        return Err("tells changes out of their order");
    }
    // An empty page that says that there is more would be asked for without end.
    if page.more && page.changes.is_empty() {
        return Err("says that there is more, and tells nothing");
    }
    match (page.reset, page.after) {
        (true, 0) => Ok(page),
        (false, after) if after == asked.seq && !asked.mark.is_empty() => Ok(page),
        _ => Err("does not follow what was told before"),
    }
}

/// By hand: what serde makes of this would be a twentieth of the filter.
fn page(value: Value) -> Option<Page> {
    let mut members = Members::of(value)?;
    let Value::Array(changes) = members.take("changes")? else {
        return None;
    };
    let page = Page {
        after: members.number("after")??,
        seq: members.number("seq")??,
        mark: members.text("mark")?,
        reset: members.flag("reset")?,
        more: members.flag("more")?,
        changes: changes.into_iter().map(change).collect::<Option<_>>()?,
    };
    members.end(page)
}

fn change(value: Value) -> Option<Change> {
    let mut members = Members::of(value)?;
    let change = Change {
        seq: members.number("seq")??,
        target: target(members.take("target")?)?,
        before: members.number("before")?,
        until: members.number("until")?,
        lifts: members.flag("lifts")?,
    };
    members.end(change)
}

/// What is not understood must not be skipped: it could be what is revoked.
fn target(value: Value) -> Option<Target> {
    let mut members = Members::of(value)?;
    let kind = members.text("kind")?;
    let mut text = |name: &str| members.text(name);
    let target = match kind.as_str() {
        "actor" => Target::Actor { issuer: text("issuer")?, id: text("id")? },
        "agent" => Target::Agent { issuer: text("issuer")?, id: text("id")? },
        "agent_for" => Target::AgentFor { issuer: text("issuer")?, id: text("id")?, subject: text("subject")? },
        "issuer" => Target::Issuer { issuer: text("issuer")? },
        "key" => Target::Key { issuer: text("issuer")?, id: text("id")? },
        "server" => Target::Server { server: text("server")? },
        "subject" => Target::Subject { issuer: text("issuer")?, subject: text("subject")? },
        "token" => Target::Token { issuer: text("issuer")?, id: text("id")? },
        "tool" => Target::Tool { server: text("server")?, tool: text("tool")? },
        _ => return None,
    };
    members.end(target)
}

/// The members of an object, each taken out once.
struct Members(Map<String, Value>);

impl Members {
    fn of(value: Value) -> Option<Self> {
        if let Value::Object(members) = value { Some(Self(members)) } else { None }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    fn text(&mut self, name: &str) -> Option<String> {
        if let Value::String(text) = self.take(name)? { Some(text) } else { None }
    }

    /// A number that may be missing.
    fn number(&mut self, name: &str) -> Option<Option<u64>> {
        self.take(name).map_or(Some(None), |value| value.as_u64().map(Some))
    }

    fn flag(&mut self, name: &str) -> Option<bool> {
        self.take(name).map_or(Some(false), |value| value.as_bool())
    }

    /// `read`, if nothing is left.
    fn end<T>(self, read: T) -> Option<T> {
        self.0.is_empty().then_some(read)
    }
}

/// A mark goes into the next question as it is.
fn marked(mark: &str) -> bool {
    (1..=64).contains(&mark.len()) && mark.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample() -> Value {
        let target = json!({ "kind": "issuer", "issuer": "https://idp.example.test" });
        json!({
            "after": 3, "seq": 6, "mark": "m",
            "changes": [{ "seq": 5, "target": target, "until": 9 }, { "seq": 6, "target": target, "lifts": true }],
        })
    }

    fn reads(page: &Value, seq: u64) -> Result<Page, &'static str> {
        read(page.to_string().as_bytes(), &Cursor { seq, mark: "x".into() })
    }

    #[test]
    fn a_page_is_read_as_it_was_written() {
        let read = reads(&sample(), 3).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), sample());
        assert_eq!((read.changes[0].until, read.changes[1].lifts), (Some(9), true));
    }

    #[test]
    fn every_target_is_read_as_it_is_written() {
        let [issuer, id, subject, server, tool] = ["i", "x", "alice", "crm", "crm_lookup"].map(str::to_owned);
        let targets = [
            Target::Actor { issuer: issuer.clone(), id: id.clone() },
            Target::Agent { issuer: issuer.clone(), id: id.clone() },
            Target::AgentFor { issuer: issuer.clone(), id: id.clone(), subject: subject.clone() },
            Target::Issuer { issuer: issuer.clone() },
            Target::Key { issuer: issuer.clone(), id: id.clone() },
            Target::Server { server: server.clone() },
            Target::Subject { issuer: issuer.clone(), subject },
            Target::Token { issuer, id },
            Target::Tool { server, tool },
        ];
        for one in targets {
            let mut written = serde_json::to_value(&one).unwrap();
            assert_eq!(target(written.clone()).as_ref(), Some(&one));
            written["more"] = json!(1);
            assert_eq!(target(written), None, "{one:?}");
        }
    }

    #[test]
    fn a_page_has_to_follow_what_was_told_before() {
        assert!(reads(&sample(), 2).is_err() && reads(&sample(), 4).is_err());
        let mut reset = sample();
        reset["reset"] = json!(true);
        assert!(reads(&reset, 3).is_err(), "a reset begins at the beginning");
        reset["after"] = json!(0);
        assert!(reads(&reset, 3).is_ok() && reads(&reset, 0).is_ok());
        reset["reset"] = json!(false);
        assert!(reads(&reset, 0).is_ok(), "nothing had happened yet");
        assert!(read(reset.to_string().as_bytes(), &Cursor::default()).is_err(), "nothing was told yet");
    }

    #[test]
    fn changes_out_of_order_are_no_page() {
        for (at, seq) in [("/changes/0/seq", 6), ("/changes/0/seq", 3), ("/changes/1/seq", 7), ("/seq", 5), ("/seq", 2)]
        {
            let mut page = sample();
            *page.pointer_mut(at).unwrap() = json!(seq);
            assert!(reads(&page, 3).is_err(), "{at} {seq}");
        }
        let mut empty = sample();
        empty["changes"] = json!([]);
        assert!(reads(&empty, 3).is_ok());
        empty["more"] = json!(true);
        assert!(reads(&empty, 3).is_err());
        let mut unknown = sample();
        unknown["changes"][0]["target"]["kind"] = json!("everything");
        assert!(reads(&unknown, 3).is_err(), "what is not understood must not be skipped");
        for mark in ["", "a&b", "a b", &"x".repeat(65)] {
            let mut odd = sample();
            odd["mark"] = json!(mark);
            assert!(reads(&odd, 3).is_err(), "{mark}");
        }
        assert!(read(br#"{"after":3,"after":3,"seq":3,"mark":"","changes":[]}"#, &Cursor::default()).is_err());
    }
}
