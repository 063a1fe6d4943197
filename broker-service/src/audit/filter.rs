//! What an operator looks for in the audit; everything given has to match.

use std::time::Duration;

use accredit_policy::Time;
use accredit_policy::wire::audit::{Decision, Kind};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::audit::columns::plain;
use crate::clock;
use crate::store::Statement;

/// The filters, and which page of what matches.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Only records after this sequence number.
    #[serde(default)]
    pub after: i64,
    /// Only records before this one.
    pub before: Option<i64>,
    /// At most so many; 100 unless given, at most 1000.
    limit: Option<i64>,
    /// Which end to begin at.
    #[serde(default)]
    pub order: Order,
    /// How long to wait for the first one.
    #[serde(default, deserialize_with = "span")]
    pub wait: Duration,
    /// Not told before this moment.
    #[serde(default, deserialize_with = "moment")]
    pub since: Option<Time>,
    /// Told before this one.
    #[serde(default, deserialize_with = "moment")]
    until: Option<Time>,
    /// Anywhere in the chain, or as the agent itself.
    actor: Option<String>,
    kind: Option<Kind>,
    decision: Option<Decision>,
    agent: Option<String>,
    credential: Option<String>,
    id: Option<String>,
    issuer: Option<String>,
    lease: Option<String>,
    policy: Option<String>,
    reason: Option<String>,
    request_id: Option<String>,
    server: Option<String>,
    subject: Option<String>,
    tool: Option<String>,
    trace: Option<String>,
}

/// Which end to begin at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The record that was kept first.
    #[default]
    Oldest,
    /// The one that was kept last.
    Newest,
}

impl Filter {
    /// How many records one page has.
    pub fn limit(&self) -> usize {
        usize::try_from(self.limit.unwrap_or(100).clamp(1, 1000)).unwrap_or(1)
    }

    /// Selects the page, which begins after `after`.
    pub fn statement(&self, after: i64) -> Statement {
        let mut statement = Statement::new("SELECT seq, record FROM audit WHERE seq > ");
        statement.bind(after);
        if let Some(before) = self.before {
            statement.push(" AND seq < ").bind(before);
        }
        if let Some(since) = self.since {
            statement.push(" AND millis >= ").bind(clock::signed(since));
        }
        if let Some(until) = self.until {
            statement.push(" AND millis < ").bind(clock::signed(until));
        }
        for (column, value) in self.words() {
            statement.push(" AND ").push(column).push(" = ").bind(value);
        }
        if let Some(actor) = &self.actor {
            statement.push(" AND seq IN (SELECT seq FROM audit WHERE agent = ").bind(plain(actor));
            statement.push(" UNION SELECT seq FROM audit_actors WHERE actor = ").bind(plain(actor)).push(")");
        }
        statement.push(match self.order {
            Order::Oldest => " ORDER BY seq LIMIT ",
            Order::Newest => " ORDER BY seq DESC LIMIT ",
        });
        statement.bind(i64::try_from(self.limit()).unwrap_or(1));
        statement
    }

    /// What has to be equal.
    fn words(&self) -> impl Iterator<Item = (&'static str, String)> {
        let texts = [
            ("agent", &self.agent),
            ("credential", &self.credential),
            ("id", &self.id),
            ("issuer", &self.issuer),
            ("lease", &self.lease),
            ("policy", &self.policy),
            ("reason", &self.reason),
            ("request_id", &self.request_id),
            ("server", &self.server),
            ("subject", &self.subject),
            ("tool", &self.tool),
            ("trace", &self.trace),
        ];
        let texts = texts.into_iter().filter_map(|(column, text)| Some((column, plain(text.as_ref()?))));
        let kind = self.kind.and_then(word).map(|word| ("kind", word));
        let decision = self.decision.and_then(word).map(|word| ("decision", word));
        texts.chain(kind).chain(decision)
    }
}

/// An enumeration's word, as it stands in records.
pub fn word(value: impl Serialize) -> Option<String> {
    serde_json::to_value(value).ok()?.as_str().map(str::to_owned)
}

/// Reads a moment.
pub fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = || D::Error::custom(format!("found `{text}`, accepted is a moment such as `2027-01-31T00:00:00Z`"));
    clock::parse(&text).map(Some).ok_or_else(wrong)
}

fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = |_| D::Error::custom(format!("found `{text}`, accepted is a time such as `25s`"));
    humantime::parse_duration(&text).map_err(wrong)
}
