//! Every route, and what they share.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use accredit_policy::{Policy, Secret};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use crate::config::Credential;
use crate::issuer::Issuer;
use crate::store::Store;
use crate::{audit, metadata, operator, token};

/// What every handler may use.
#[derive(Clone)]
pub struct App(Arc<Inner>);

/// The parts of an [`App`].
pub struct Inner {
    /// Signs tokens.
    pub issuer: Issuer,
    /// Keeps agents and records.
    pub store: Store,
    /// What the proxies enforce, with the keys known now.
    pub policy: RwLock<Arc<Policy>>,
    /// The operators' token.
    pub operator: Secret,
    /// The proxies' secrets.
    pub proxies: BTreeMap<String, Secret>,
    /// The credentials there are.
    pub credentials: BTreeMap<String, Credential>,
}

impl std::ops::Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl App {
    /// Shares `inner`.
    pub fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// The policy as it is now.
    pub fn policy(&self) -> Arc<Policy> {
        // A writer only replaces the pointer: it cannot leave anything half done behind.
        self.policy.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Puts another policy in place.
    pub fn renew(&self, policy: Policy) {
        *self.policy.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(policy);
    }

    /// The service.
    pub fn router(self) -> Router {
        let small = DefaultBodyLimit::max(64 * 1024);
        let batch = DefaultBodyLimit::max(1024 * 1024);
        Router::new()
            .route("/.well-known/oauth-authorization-server", get(metadata::document))
            .route("/jwks.json", get(metadata::jwks))
            .route("/token", post(token::answer).layer(small))
            .route("/v1/audit/events", post(audit::deliver).get(audit::query).layer(batch))
            .route("/healthz", get(operator::alive))
            .route("/readyz", get(operator::ready))
            .with_state(self)
    }
}
