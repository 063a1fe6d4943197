//! A web site in the test's own process: what an issuer publishes, and how often it is asked.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};

/// A site on loopback. Until it is opened, nothing listens there.
#[derive(Clone)]
pub struct Site {
    port: u16,
    pages: Arc<Mutex<BTreeMap<String, Page>>>,
}

#[derive(Default)]
struct Page {
    text: Option<String>,
    asked: usize,
    /// How many of these came from Envoy.
    proxied: usize,
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Site {
    /// A site on a port that nothing listens on now.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        Self { port, pages: Arc::default() }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where the page at `path` is.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Answers from now on.
    ///
    /// # Panics
    /// When someone took the port meanwhile.
    pub async fn open(&self) {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await;
        let routes = Router::new().fallback(answer).with_state(self.clone());
        let listener = listener.expect("the port is still free");
        tokio::spawn(async move { axum::serve(listener, routes).await });
    }

    /// Puts `text` at `path`.
    pub fn publish(&self, path: &str, text: &str) {
        self.page(path, |page| page.text = Some(text.to_owned()));
    }

    /// Takes the page away.
    pub fn withdraw(&self, path: &str) {
        self.page(path, |page| page.text = None);
    }

    /// How often the page was asked for.
    pub fn asked(&self, path: &str) -> usize {
        self.page(path, |page| page.asked)
    }

    /// How often Envoy asked for it.
    pub fn proxied(&self, path: &str) -> usize {
        self.page(path, |page| page.proxied)
    }

    fn page<T>(&self, path: &str, with: impl FnOnce(&mut Page) -> T) -> T {
        let mut pages = self.pages.lock().expect("nobody panics while holding it");
        with(pages.entry(path.to_owned()).or_default())
    }
}

async fn answer(State(site): State<Site>, uri: Uri, headers: HeaderMap) -> Result<String, StatusCode> {
    // Envoy adds it to every call of a filter.
    let envoy = headers.contains_key("x-envoy-expected-rq-timeout-ms");
    let text = site.page(uri.path(), |page| {
        page.asked += 1;
        page.proxied += usize::from(envoy);
        page.text.clone()
    });
    text.ok_or(StatusCode::NOT_FOUND)
}
