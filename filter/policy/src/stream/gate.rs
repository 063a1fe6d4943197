//! What the streams of one VM share, and how they speak to the broker.

use super::Post;
use crate::nonce::Nonce;
use crate::outbox::Outbox;
use crate::policy::Policy;
use crate::secret::Secret;
use crate::token::Prover;
use crate::wire::audit::Proxy;
use crate::wire::exchange;

/// What all streams of one VM share.
#[derive(Debug)]
pub struct Gate {
    /// The rules.
    pub policy: Policy,
    /// What proves tokens: keys, status lists, earlier proofs.
    pub prover: Prover,
    /// The nonces for DPoP proofs.
    pub nonce: Nonce,
    /// Records on their way.
    pub outbox: Outbox,
    /// The proxy's secret at the broker; empty where its cluster authenticates.
    pub secret: Secret,
    /// Which proxy this is, for records.
    pub proxy: Proxy,
}

impl Gate {
    /// A gate without records yet.
    pub fn new(policy: Policy, prover: Prover, nonce: Nonce, secret: Secret, proxy: Proxy) -> Self {
        let outbox = Outbox::new(policy.audit);
        Self { policy, prover, nonce, outbox, secret, proxy }
    }

    /// A call to `path` of the broker, authenticated as this proxy.
    pub fn post(&self, path: &'static str, kind: &'static str, body: Secret) -> Post {
        let broker = &self.policy.broker;
        let plain = |name, value: &str| (name, Secret::new(value));
        let mut headers = vec![
            plain(":method", "POST"),
            plain(":path", path),
            plain(":authority", &broker.authority),
            plain("content-type", kind),
            plain("accept", "application/json"),
        ];
        if let Some(client) = &broker.client {
            headers.push(("authorization", exchange::basic(&client.id, &self.secret)));
        }
        Post { cluster: broker.cluster.clone(), headers, body, timeout: broker.timeout }
    }
}
