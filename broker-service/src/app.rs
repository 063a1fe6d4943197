//! Every route, and what they share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use accredit_policy::token::{KeySet, Prover};
use accredit_policy::wire::session::PATH;
use accredit_policy::{Policy, Secret};
use axum::routing::{delete, get, post, put};
use axum::{Router, middleware};
use tokio::sync::Semaphore;

use crate::agents::known::Known;
use crate::agents::life::Uses;
use crate::checkpoint::sign::Notary;
use crate::config::Clients;
use crate::credential::Definition;
use crate::foreign::Circle;
use crate::issuer::Issuer;
use crate::limit::Rates;
use crate::listener::Limits;
use crate::listener::request::{Intake, Room, limit, nowhere, read, survive, wrong_method};
use crate::listener::stop::Stop;
use crate::proxies::Proxies;
use crate::seal::vault::Vault;
use crate::secrets::Secrets;
use crate::sessions::{self, Rotation};
use crate::signals::{self, Signals};
use crate::store::Store;
use crate::{agents, audit, checkpoint, keys, lease, metadata, metrics, operator, revocations, secrets, token};

/// What every handler may use.
#[derive(Clone)]
pub struct App(Arc<Inner>);

/// The parts of an [`App`].
pub struct Inner {
    /// Signs tokens.
    pub issuer: Issuer,
    /// Keeps agents and records.
    pub store: Store,
    /// What the proxies enforce.
    pub policy: Policy,
    /// Proves agents' tokens.
    pub prover: Mutex<Prover>,
    /// The enterprises' issuers, without a server.
    pub enterprises: Policy,
    /// Proves their assertions.
    pub assertions: Mutex<Prover>,
    /// The transmitters of security events, and what proves their events.
    pub signals: Signals,
    /// The most actors a chain may have.
    pub max_depth: usize,
    /// The operators' token.
    pub operator: Secret,
    /// The proxies there are.
    pub proxies: Proxies,
    /// The credentials there are.
    pub credentials: BTreeMap<String, Definition>,
    /// Seals what the store keeps.
    pub vault: Vault,
    /// What operators have put.
    pub secrets: Secrets,
    /// How long keys of sessions live.
    pub rotation: Rotation,
    /// Agents as they were a moment ago.
    pub known: Known,
    /// When agents were last used.
    pub uses: Uses,
    /// The name of this replica, new at each start.
    pub replica: String,
    /// How long requests may take.
    pub limits: Limits,
    /// How many there may be.
    pub rates: Rates,
    /// Whether clients are asked for certificates.
    pub clients: Clients,
    /// Keys of nobody, for assertions of clients that are not known.
    pub decoys: KeySet,
    /// How many more questions of proxies may be held.
    pub questions: Semaphore,
    /// Whether the process stops.
    pub stop: Stop,
    /// Signs checkpoints of the audit.
    pub notary: Notary,
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

    /// What proves agents' tokens, for a moment.
    pub fn prover(&self) -> MutexGuard<'_, Prover> {
        self.circle(Circle::Policy).1
    }

    /// The issuers of `circle`, and what proves their tokens, for a moment.
    pub fn circle(&self, circle: Circle) -> (&Policy, MutexGuard<'_, Prover>) {
        let (policy, prover) = match circle {
            Circle::Policy => (&self.policy, &self.prover),
            Circle::Enterprise => (&self.enterprises, &self.assertions),
            Circle::Signals => (&self.signals.issuers, &self.signals.prover),
        };
        // Nothing that panics is called under the lock, and what is kept there can be had again.
        (policy, prover.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The service.
    pub fn router(self) -> Router {
        let Limits { request, answer, .. } = self.limits;
        let room = Room::default();
        let intake = |size| {
            let intake = Intake { size, time: request, room: room.clone() };
            middleware::from_fn_with_state(intake, read)
        };
        Router::new()
            .route("/.well-known/oauth-authorization-server", get(metadata::document))
            .route("/jwks.json", get(metadata::jwks))
            .route("/token", post(token::answer).layer(intake(64 * 1024)))
            .route("/introspect", post(token::introspect::answer).layer(intake(64 * 1024)))
            .route("/revoke", post(token::revoke::answer).layer(intake(64 * 1024)))
            .route("/v1/audit/events", post(audit::deliver).layer(intake(1024 * 1024)).get(audit::query::answer))
            .route("/v1/audit/reports/{name}", get(audit::report::answer))
            .route("/v1/audit/exporter", get(audit::exporter::status))
            .route("/v1/audit/key", get(checkpoint::key::answer))
            .route(PATH, get(sessions::answer))
            .route("/v1/agents", get(agents::api::list).post(agents::api::register).layer(intake(64 * 1024)))
            .route("/v1/agents/{id}", get(agents::api::one).put(agents::api::change).layer(intake(64 * 1024)))
            .route("/v1/agents/{id}/suspend", post(agents::api::suspend).layer(intake(64 * 1024)))
            .route("/v1/agents/{id}/resume", post(agents::api::resume).layer(intake(64 * 1024)))
            .route("/v1/agents/{id}/retire", post(agents::api::retire).layer(intake(64 * 1024)))
            .route("/v1/agents/{id}/rotate-secret", post(agents::api::rotate))
            .route("/v1/events", post(signals::receive).layer(intake(signals::SIZE)))
            .route("/v1/leases", get(lease::api::list))
            .route("/v1/leases/{id}", delete(lease::api::revoke))
            .route("/v1/secrets", get(secrets::api::list))
            .route("/v1/secrets/{name}", put(secrets::api::put).delete(secrets::api::remove).layer(intake(64 * 1024)))
            .route("/v1/data-keys", post(secrets::api::rotate))
            .route("/v1/keys", get(keys::api::list))
            .route("/v1/keys/rotate", post(keys::api::rotate).layer(intake(64 * 1024)))
            .route("/healthz", get(operator::alive))
            .route("/readyz", get(operator::ready))
            .route("/v1/revocations", post(revocations::add).layer(intake(64 * 1024)))
            .route("/v1/revocations/lift", post(revocations::lift).layer(intake(64 * 1024)))
            .route("/metrics", get(metrics::answer))
            // Routes that may take longer come below this line.
            .route_layer(middleware::from_fn_with_state(answer, limit))
            .route("/v1/revocations", get(revocations::feed::answer))
            .route("/v1/audit/export", get(audit::export::answer))
            .fallback(nowhere)
            .method_not_allowed_fallback(wrong_method)
            .layer(middleware::from_fn(survive))
            .with_state(self)
    }
}
