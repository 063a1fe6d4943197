//! A key server in the test's own process, which counts who asks.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use harness::{Alg, Issuer};
use serde_json::{Value, json};

use super::scene::{CORP, Setup};

/// Publishes keys on loopback.
#[derive(Clone, Default)]
pub struct Keys {
    document: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
}

impl Keys {
    /// Listens on `port` from now on.
    pub async fn serve(&self, port: u16) {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.expect("the port is free");
        let routes = Router::new().route("/jwks.json", get(answer)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
    }

    /// Publishes the keys for these algorithms, and no other.
    pub fn publish(&self, algs: &[Alg]) {
        *self.document.lock().unwrap() = Issuer::new(CORP).jwks_for(algs).to_string();
    }

    /// How often Envoy asked. The broker fetches the same keys for itself.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn answer(State(keys): State<Keys>, headers: HeaderMap) -> impl IntoResponse {
    let envoy = headers.contains_key("x-envoy-expected-rq-timeout-ms");
    keys.asked.fetch_add(usize::from(envoy), Ordering::SeqCst);
    ([(CONTENT_TYPE, "application/json")], keys.document.lock().unwrap().clone())
}

/// A port that nothing listens on now.
pub fn port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.local_addr().expect("it is bound").port()
}

/// A deployment that fetches the foreign issuer's keys from there.
pub fn fetching(name: &str, port: u16) -> Setup {
    let url = format!("http://127.0.0.1:{port}/jwks.json");
    let jwks: Value = json!({ "url": url, "cluster": "idp", "refresh": "5m" });
    Setup::new(name).issuer("jwks", jwks).cluster("idp", port)
}
