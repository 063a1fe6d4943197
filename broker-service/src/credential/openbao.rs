//! `kind: openbao`: whatever an engine of an OpenBao server makes, for one lease.
//!
//! ```text
//! mint: a child token that ends with the lease ─▶ its accessor is kept ─▶ the path is asked with the child token
//! end:  the child token is revoked by its accessor
//! ```
//!
//! What an engine makes for a token ends with that token, by OpenBao itself, even where the broker never comes back. A
//! child token that was not used yet has made nothing.
//!
//! [OpenBao, leases](https://openbao.org/docs/concepts/lease/)

mod check;
mod route;
mod server;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use accredit_policy::config::field::{Field, Members};
use accredit_policy::{Secret, object};
use reqwest::Method;
use serde_json::{Value, json};

use self::route::Route;
use self::server::{Server, text};
use super::template::Template;
use super::{Call, Ended, Failure, Fields, Lease, Ledger, Minted};
use crate::clock;

object! {
    /// The keys of `kind: openbao`.
    pub struct Raw {
        /// The server, `https://bao.internal:8200`; `http://` only on this machine.
        pub address: String,
        /// A file with the broker's own token, read again for each request. It may make child tokens and revoke them by
        /// accessor, and may do what `path` takes.
        pub token_file: String,
        /// A file with the authorities of the server's certificate; those of the system unless given.
        pub ca_file: String,
        /// The namespace.
        pub namespace: String,
        /// What is asked, below `/v1/`: `database/creds/reader`. Places are `{agent}`, `{subject}`, `{tool}`, `{scope}`,
        /// `{lease}`.
        pub path: String,
        /// `read` or `write`; `read` unless given.
        pub method: String,
        /// What is written, with the same places and `{ttl}`, the seconds of the lease.
        pub parameters: BTreeMap<String, Field<String>>,
        /// The parts of the credential, by names that `headers` may use: where each stands in the answer's `data`, as
        /// `password`, or `data/password` for a member of a member.
        pub fields: BTreeMap<String, Field<String>>,
        /// The policies of the child tokens; all of the broker's own token unless given.
        pub policies: Vec<Field<String>>,
        /// `false` for what no engine takes back, such as a signed certificate; `true` unless given.
        pub revocable: bool,
    }
}

/// Whatever an engine makes.
#[derive(Debug)]
pub struct OpenBao {
    server: Server,
    route: Route,
    ask: Ask,
    /// Names, and JSON Pointers into `data`.
    fields: Vec<(String, String)>,
    policies: Option<Vec<String>>,
    fate: Ended,
}

#[derive(Debug)]
enum Ask {
    Read,
    Write(Vec<(String, Template)>),
}

impl OpenBao {
    /// Where it travels unless told otherwise, if it has a part `token`.
    pub const HEADERS: &'static [(&'static str, &'static str)] = &[("authorization", "Bearer {token}")];

    /// The names of the parts, as the keys say.
    pub fn fields(members: &Members) -> Vec<String> {
        let fields = members.get("fields").and_then(Value::as_object);
        fields.into_iter().flat_map(serde_json::Map::keys).cloned().collect()
    }

    /// Has the engine make one.
    pub async fn mint(&self, call: &Call<'_>, ledger: &impl Ledger) -> Result<Minted, Failure> {
        let path = self.route.render(|name| call.fact(name))?;
        let (method, body) = self.request(call)?;
        let began = clock::now();
        let child = self.child(call.lease).await?;
        ledger.keep(child.accessor).await?;
        let answer = self.server.ask(method, &path, &child.token, body.as_ref()).await?;
        let revocable = self.fate == Ended::Revoked;
        if revocable && text(&answer, "/lease_id").is_none_or(|id| id.is_empty()) {
            let hint = "put `revocable: false` if it may last until it expires";
            return Err(Failure::Refused(format!("what `{path}` makes has no lease that would end it (hint: {hint})")));
        }
        let span = answer.get("lease_duration").and_then(Value::as_u64).filter(|_| revocable);
        let ends = span.map(|seconds| began.plus(Duration::from_secs(seconds)));
        Ok(Minted { fields: self.read(&answer)?, expires: ends.map(|ends| ends.min(call.lease.expires)) })
    }

    /// Revokes the child token, and with it all that was made for it. Where no handle was kept, it was not used.
    pub async fn end(&self, handle: Option<&Secret>) -> Result<Ended, Failure> {
        match handle {
            Some(accessor) => self.server.revoke(accessor).await.map(|()| self.fate),
            None => Ok(Ended::Revoked),
        }
    }

    /// A token that ends with the lease.
    ///
    /// [OpenBao, create token](https://openbao.org/api-docs/auth/token/#create-token)
    async fn child(&self, lease: &Lease) -> Result<Child, Failure> {
        let ttl = format!("{}s", seconds(lease));
        let mut body = json!({
            "ttl": &ttl, "explicit_max_ttl": &ttl, "renewable": false, "no_default_policy": true,
            "display_name": format!("accredit-{}", lease.id),
        });
        if let (Some(policies), Some(body)) = (&self.policies, body.as_object_mut()) {
            body.insert("policies".into(), json!(policies));
        }
        let own = self.server.token().await?;
        let answer = self.server.ask(Method::POST, "auth/token/create", &own, Some(&body)).await?;
        match [text(&answer, "/auth/client_token"), text(&answer, "/auth/accessor")] {
            [Some(token), Some(accessor)] => Ok(Child { token, accessor }),
            _ => Err(Failure::Unavailable("the answer has no child token".into())),
        }
    }

    fn request(&self, call: &Call<'_>) -> Result<(Method, Option<Value>), Failure> {
        let Ask::Write(parameters) = &self.ask else {
            return Ok((Method::GET, None));
        };
        let ttl = seconds(call.lease).to_string();
        let fill = |name: &str| if name == "ttl" { Some(ttl.as_str()) } else { call.fact(name) };
        let render = |(name, template): &(String, Template)| Some((name.clone(), Value::from(template.render(fill)?)));
        let body: Option<serde_json::Map<_, _>> = parameters.iter().map(render).collect();
        let body = body.ok_or_else(|| Failure::Refused("a fact of `parameters` is not known".into()))?;
        Ok((Method::POST, Some(Value::Object(body))))
    }

    fn read(&self, answer: &Value) -> Result<Fields, Failure> {
        let data = answer.get("data").unwrap_or(&Value::Null);
        let read = |(name, pointer): &(String, String)| {
            let part = match data.pointer(pointer) {
                // A certificate or key ends its last line, which no header takes.
                Some(Value::String(text)) => Some(Secret::new(text.trim_end_matches('\n'))),
                Some(Value::Number(number)) => Some(Secret::new(number.to_string())),
                _ => None,
            };
            let part = part.filter(|part| !part.is_empty());
            part.map(|part| (name.clone(), part)).ok_or_else(|| {
                Failure::Unavailable(format!("the answer's `data` has no text `{}`", pointer.trim_start_matches('/')))
            })
        };
        self.fields.iter().map(read).collect()
    }
}

struct Child {
    token: Secret,
    accessor: Secret,
}

/// The time of a lease in what the server counts: whole seconds, the last one begun.
fn seconds(lease: &Lease) -> u64 {
    // Zero would mean that there is no bound.
    lease.expires.since(lease.issued).as_millis().div_ceil(1000).max(1).try_into().unwrap_or(u64::MAX)
}
