//! Calls for tests of the kinds at their real targets.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use accredit_policy::token::{Outcome, Prover, Verified};
use accredit_policy::{Policy, Secret};
use harness::Alg;
use harness::stack::broker::Broker;
use harness::stack::fresh;
use serde_json::{Value, json};

use super::{Arguments, Call, Definition, Ended, Failure, Lease, Ledger, Minted};
use crate::issuer::Issuer;
use crate::seal::vault::Vault;
use crate::secrets::Secrets;
use crate::store::Store;
use crate::{clock, config};

/// A definition as `broker.yaml` has it, and an agent whose token is proved.
pub struct Stage {
    definition: Definition,
    issuer: Issuer,
    verified: Verified,
    token: Secret,
    secrets: Secrets,
}

/// What was kept, and whether more can be.
#[derive(Default)]
pub struct Kept {
    pub handles: Mutex<Vec<Secret>>,
    pub broken: bool,
}

impl Ledger for Kept {
    async fn keep(&self, handle: Secret) -> Result<(), Failure> {
        if self.broken {
            return Err(Failure::Unavailable("the disk is full".into()));
        }
        self.handles.lock().unwrap().push(handle);
        Ok(())
    }
}

impl Kept {
    pub fn handle(&self) -> Option<Secret> {
        self.handles.lock().unwrap().last().cloned()
    }
}

/// A directory of its own, with the files of a broker whose only credential has these keys. A stage that is over may still
/// be closing its database, so that none comes to lie where another was.
pub fn files(name: &str, keys: &Value) -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let dir = fresh(&format!("credential-{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    let resource = "https://gateway.example.test/crm/mcp";
    let issuer = harness::Issuer::new("https://idp.example.test");
    let policy = json!({
        "version": 1,
        "issuers": { "corp": { "issuer": "https://idp.example.test", "jwks": issuer.jwks(), "algorithms": ["ES256"] } },
        "broker": { "cluster": "broker", "authority": "broker" },
        "servers": { "crm": {
            "resource": resource, "match": { "host": "gateway.example.test", "path": "/crm/mcp" }, "protocol": "mcp",
            "issuers": ["corp"], "tools": { "lookup": { "scopes": ["crm:read"], "credential": "target" } },
        } },
    });
    let config = json!({
        "version": 1, "issuer": "URL", "listen": "LISTEN", "data": "data", "policy": "policy.yaml",
        "operators": { "token_file": "secret" }, "proxies": { "gateway": { "secret_file": "secret" } },
        "credentials": { "target": keys },
    });
    Broker::files(&dir, &policy, &config);
    dir
}

/// A lease that begins now.
pub fn lease(ttl: Duration) -> Lease {
    let issued = clock::now();
    Lease { id: clock::id().unwrap(), issued, expires: issued.plus(ttl) }
}

impl Stage {
    /// Reads the files in `dir`; the token is of `agent`, for `subject`.
    pub async fn open(dir: &std::path::Path, agent: &str, subject: &str) -> Self {
        let config = config::broker(&dir.join("broker.yaml")).unwrap_or_else(|error| panic!("{error}"));
        let foreign = harness::Issuer::new("https://idp.example.test").at_now();
        let token = foreign.token().alg(Alg::Es256).audience("https://gateway.example.test/crm/mcp").scope("crm:read");
        let token = Secret::new(token.agent(agent).claim("sub", subject).sign());
        let verified = prove(&config.policy, &token);
        let issuer = Issuer::alone(config.issuer, config.signing_keys);
        let definition = config.credentials.into_values().next().unwrap();
        std::fs::create_dir_all(&config.data).unwrap();
        let store = Store::open(config.database).await.unwrap();
        let vault = Vault::unlock(&store, config.secrets, &config.data).await.unwrap_or_else(|error| panic!("{error}"));
        Self { definition, issuer, verified, token, secrets: Secrets::new(store, vault) }
    }

    pub async fn mint(&self, lease: &Lease, tool: &str, ledger: &Kept) -> Result<Minted, Failure> {
        let call = Call {
            verified: &self.verified,
            token: &self.token,
            tool,
            scope: "crm:read",
            lease,
            arguments: &Arguments::new(),
            issuer: &self.issuer,
            secrets: &self.secrets,
        };
        self.definition.mint(&call, ledger).await
    }

    pub async fn end(&self, lease: &Lease, handle: Option<&Secret>) -> Result<Ended, Failure> {
        self.definition.end(&lease.id, handle).await
    }
}

fn prove(policy: &Policy, token: &Secret) -> Verified {
    let now = clock::now();
    match Prover::default().prove(token, policy.server("crm").unwrap(), policy, now, now) {
        Outcome::Proved(verified) => verified,
        other => panic!("{other:?}"),
    }
}
