//! What the streams of one VM share, and how they speak to the broker.

use super::Post;
use crate::feed::Feed;
use crate::fetch::{Answer, Document, Fetch};
use crate::nonce::Nonce;
use crate::outbox::Outbox;
use crate::policy::Policy;
use crate::reuse::Reuse;
use crate::secret::Secret;
use crate::session::Sessions;
use crate::time::Time;
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
    /// What is revoked.
    pub feed: Feed,
    /// The keys of sessions.
    pub sessions: Sessions,
    /// Credentials that may be used again.
    pub reuse: Reuse,
    /// Records on their way.
    pub outbox: Outbox,
    /// The proxy's secret at the broker; empty where its cluster authenticates.
    pub secret: Secret,
    /// Which proxy this is, for records.
    pub proxy: Proxy,
}

/// What a document that was fetched means for streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Who waits for it may go on.
    Renewed,
    /// The same, and something was revoked or lifted: [`Input::Revoked`](super::Input::Revoked) for all that were let through.
    Revoked,
}

impl Gate {
    /// A gate without records yet.
    pub fn new(
        policy: Policy,
        prover: Prover,
        (nonce, sessions, feed): (Nonce, Sessions, Feed),
        secret: Secret,
        proxy: Proxy,
    ) -> Self {
        let outbox = Outbox::new(policy.audit);
        Self { policy, prover, nonce, feed, sessions, reuse: Reuse::default(), outbox, secret, proxy }
    }

    /// Whether some document has to be fetched.
    pub fn wants(&self) -> bool {
        self.prover.wants() || self.sessions.wants() || self.feed.wants()
    }

    /// Takes what has to be fetched now, each document once.
    pub fn wanted(&mut self) -> Vec<Fetch> {
        let mut wanted = self.prover.wanted(&self.policy);
        wanted.extend(self.sessions.wanted(&self.policy.broker, &self.secret));
        wanted.extend(self.feed.wanted(&self.policy.broker, &self.secret));
        wanted
    }

    /// Takes in what a fetch brought; the error says why the document was not renewed. Who waits for it has to be told either
    /// way.
    pub fn arrived(&mut self, document: &Document, answer: &Answer<'_>, now: Time) -> Result<News, String> {
        let news = |()| News::Renewed;
        match document {
            Document::Sessions => self.sessions.arrived(answer, now).map(news).map_err(str::to_owned),
            Document::Keys(_) | Document::Statuses(..) => {
                self.prover.arrived(document, answer, &self.policy, now).map(news)
            }
            Document::Revocations(number) => {
                let changed = self.feed.arrived(*number, answer, now).map_err(str::to_owned)?;
                if changed {
                    // Its lease may have ended with what was revoked, and does not come back with what is lifted.
                    self.reuse.clear();
                }
                Ok(if changed { News::Revoked } else { News::Renewed })
            }
        }
    }

    /// Keeps documents fresh, and drops what has ended.
    pub fn tick(&mut self, now: Time) {
        self.prover.tick(now);
        self.sessions.tick(now);
        self.feed.tick(now);
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
