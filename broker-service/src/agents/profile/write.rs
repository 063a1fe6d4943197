//! A profile as JSON, in the very form it is read in.

use std::time::Duration;

use accredit_policy::pattern::Pattern;
use serde_json::{Map, Value, json};

use super::{BINDINGS, GRANTS, Method, Name, Profile};

impl Profile {
    /// The profile as it is registered.
    pub fn json(&self) -> Value {
        Value::Object(self.members())
    }

    /// Its members; those without a value are left out.
    pub fn members(&self) -> Map<String, Value> {
        let mut members = Map::new();
        let mut add = |name: &str, value: Value| members.insert(name.to_owned(), value);
        add("name", json!(self.name));
        add("owner", json!(self.owner));
        add("purpose", json!(self.purpose));
        add("method", json!(self.method.name()));
        match &self.method {
            Method::Secret => {}
            Method::Key { jwks, .. } => drop(add("jwks", jwks.clone())),
            Method::Certificate(name) => drop(add("certificate", certificate(name))),
        }
        let grants: Vec<_> =
            GRANTS.iter().filter(|(_, grant)| self.grants.contains(grant)).map(|(word, _)| *word).collect();
        add("grants", json!(grants));
        add("scopes", json!(self.scopes));
        add("resources", json!(self.resources));
        add("token_lifetime", span(self.token_lifetime));
        let delegates: Vec<_> = self.may_delegate_to.iter().map(pattern).collect();
        for (name, list) in [("accepts", &self.accepts), ("may_delegate_to", &delegates), ("triggers", &self.triggers)]
        {
            if !list.is_empty() {
                add(name, json!(list));
            }
        }
        let bound = BINDINGS.iter().find(|(_, binding)| *binding == self.bound).map(|(word, _)| *word);
        add("bound", json!(bound));
        if let Some(end) = self.expires_at {
            add("expires_at", json!(end.rfc3339()));
        }
        if let Some(span_) = self.unused_for {
            add("unused_for", span(span_));
        }
        members
    }
}

fn certificate(name: &Name) -> Value {
    match name {
        Name::Uri(uri) => json!({ "uri": uri }),
        Name::Dns(dns) => json!({ "dns": dns }),
        Name::Subject(subject) => json!({ "subject": subject }),
    }
}

fn pattern(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Exact(name) => name.clone(),
        Pattern::Prefix(beginning) => format!("{beginning}*"),
    }
}

fn span(span: Duration) -> Value {
    json!(format!("{}ms", span.as_millis()))
}

#[cfg(test)]
mod tests {
    use accredit_policy::config::error::{Path, Report};

    use super::*;
    use crate::config::raw;

    fn read(value: Value) -> Profile {
        let raw: raw::Agent = serde_json::from_value(value).unwrap();
        let mut report = Report::default();
        let profile = Profile::check(&raw, None, &Path::root(), &mut report);
        report.finish(profile).unwrap()
    }

    #[test]
    fn what_is_written_reads_the_same() {
        let whole = json!({
            "name": "Scout", "owner": "ops@example.test", "purpose": "tests", "method": "tls_client_auth",
            "certificate": { "uri": "spiffe://prod/scout" }, "grants": ["client_credentials", "token_exchange"],
            "scopes": ["crm:read"], "resources": ["https://gateway.example.test/crm"], "token_lifetime": "600000ms",
            "accepts": ["https://agents.example.test/scout"], "may_delegate_to": ["writer-*", "clerk"],
            "triggers": ["nightly"], "bound": "mtls", "expires_at": "2027-01-31T00:00:00.000Z",
            "unused_for": "3600000ms",
        });
        assert_eq!(read(whole.clone()).json(), whole);
    }
}
