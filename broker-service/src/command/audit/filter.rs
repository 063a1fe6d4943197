//! What is looked for.

use accredit_policy::Time;
use clap::Args;

use crate::clock;

/// Everything given has to match.
#[derive(Debug, Args)]
pub struct Filter {
    /// Who acted.
    #[arg(long)]
    agent: Option<String>,
    /// Who acted, or had the task before: anywhere in the chain.
    #[arg(long)]
    actor: Option<String>,
    /// Who names the agent.
    #[arg(long)]
    issuer: Option<String>,
    /// For whom.
    #[arg(long)]
    subject: Option<String>,
    /// The server's name in the policy.
    #[arg(long)]
    server: Option<String>,
    /// The tool.
    #[arg(long)]
    tool: Option<String>,
    /// `decision`, `outcome`, `issue`, `intent`, `mint`, `end`, `revocation`, `admin` or `gap`.
    #[arg(long)]
    kind: Option<String>,
    /// `permit` or `deny`.
    #[arg(long)]
    decision: Option<String>,
    /// Why it was denied.
    #[arg(long)]
    reason: Option<String>,
    /// The credential's name.
    #[arg(long)]
    credential: Option<String>,
    /// The lease.
    #[arg(long)]
    lease: Option<String>,
    /// The trace, 32 hex digits.
    #[arg(long)]
    trace: Option<String>,
    /// The proxy's `x-request-id`.
    #[arg(long)]
    request_id: Option<String>,
    /// The record's own identifier, which is in every denial as `decision_id`.
    #[arg(long)]
    id: Option<String>,
    /// The digest of the policy that decided.
    #[arg(long)]
    policy: Option<String>,
    /// Not before this moment: `2027-01-31T00:00:00Z`, or how long ago, as `15m` or `2d`.
    #[arg(long, value_parser = moment)]
    since: Option<String>,
    /// Before this one.
    #[arg(long, value_parser = moment)]
    until: Option<String>,
    /// Only records after this number.
    #[arg(long)]
    after: Option<u64>,
}

/// Which page of it.
#[derive(Debug, Args)]
pub struct Page {
    /// At most so many, up to 1000.
    #[arg(long, default_value_t = 100)]
    limit: u16,
    /// The newest first.
    #[arg(long)]
    newest: bool,
    /// Only records before this number.
    #[arg(long)]
    before: Option<u64>,
}

/// A query's names and values.
pub type Query = Vec<(&'static str, Option<String>)>;

impl Filter {
    /// As the broker takes it.
    pub fn query(&self) -> Query {
        vec![
            ("agent", self.agent.clone()),
            ("actor", self.actor.clone()),
            ("issuer", self.issuer.clone()),
            ("subject", self.subject.clone()),
            ("server", self.server.clone()),
            ("tool", self.tool.clone()),
            ("kind", self.kind.clone()),
            ("decision", self.decision.clone()),
            ("reason", self.reason.clone()),
            ("credential", self.credential.clone()),
            ("lease", self.lease.clone()),
            ("trace", self.trace.clone()),
            ("request_id", self.request_id.clone()),
            ("id", self.id.clone()),
            ("policy", self.policy.clone()),
            ("since", self.since.clone()),
            ("until", self.until.clone()),
            ("after", self.after.map(|after| after.to_string())),
        ]
    }

    /// Whether it says where to begin.
    pub fn begins(&self) -> bool {
        self.since.is_some() || self.after.is_some()
    }
}

impl Page {
    /// As the broker takes it.
    pub fn query(&self) -> Query {
        vec![
            ("limit", Some(self.limit.to_string())),
            ("order", self.newest.then(|| "newest".to_owned())),
            ("before", self.before.map(|before| before.to_string())),
        ]
    }
}

/// Sets `name` in `query`.
pub fn set(query: &mut Query, name: &'static str, value: impl ToString) {
    query.retain(|(other, _)| *other != name);
    query.push((name, Some(value.to_string())));
}

/// A moment as it stands, or so long ago.
pub fn moment(text: &str) -> Result<String, String> {
    if clock::parse(text).is_some() {
        return Ok(text.to_owned());
    }
    let ago = humantime::parse_duration(text).ok().and_then(|span| u64::try_from(span.as_millis()).ok());
    let moment = ago.and_then(|ago| clock::now().millis().checked_sub(ago)).map(Time::from_millis);
    moment.map(Time::rfc3339).ok_or_else(|| {
        "accepted is a moment such as `2027-01-31T00:00:00Z`, or how long ago, such as `15m` or `2d`".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_or_ago() {
        assert_eq!(moment("2027-01-31T00:00:00Z").as_deref(), Ok("2027-01-31T00:00:00Z"));
        let ago = clock::parse(&moment("2d").unwrap()).unwrap();
        let distance = clock::now().millis() - ago.millis();
        assert!((172_800_000..172_900_000).contains(&distance), "{distance}");
        for bad in ["", "yesterday", "-2d", "9000000d", "2027-01-31"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }
}
