//! GitHub, as an App sees it: a server in the test's own process that keeps to GitHub's own description of its API.
//!
//! It judges the App's JWT, the body and the token of each call. No body leaves it that the description does not allow.

mod app;
mod calls;
mod contract;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::task::JoinHandle;

use super::{find, setup};
use calls::{Installation, Shared};

/// A running server; it ends when dropped.
pub struct GitHub {
    /// In place of `https://api.github.com`.
    pub url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// A token that was given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub token: String,
    pub installation: u64,
    /// By their names, without the owner's.
    pub repositories: Vec<String>,
    pub permissions: Map<String, Value>,
    pub live: bool,
}

/// What the server does instead of answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// 401: as if the App's key had been taken away.
    Unauthorized,
    /// 403, with `retry-after`: GitHub's secondary rate limit.
    Limited,
    /// 422.
    Refused,
    /// 500.
    Broken,
    /// It answers, but only then.
    Slow(Duration),
}

impl GitHub {
    /// The App's number, and its client id: either may be the issuer of its JWT.
    pub const APP: u64 = 4711;
    pub const CLIENT: &str = "Iv23liAccreditTests";

    /// Starts one that knows the App and no installation; `None` where GitHub's description is not installed.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub async fn start() -> Option<Self> {
        let contract = find("GitHub's description of its API", "GITHUB_CONTRACT", || setup("github.json"))?;
        let shared = Shared::new(&contract);
        let routes = calls::routes(Arc::clone(&shared));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.expect("it serves") });
        Some(Self { url, shared, task })
    }

    /// The App's private key, as GitHub lets one download it: PKCS #1 in PEM.
    pub fn private_key() -> String {
        app::private_key()
    }

    /// Installs the App in `account`, for these repositories, whose ids are 1, 2, 3, and so on, and `permissions`, such
    /// as `{ "contents": "write" }`.
    ///
    /// # Panics
    /// When the permissions are no object.
    pub fn install(&self, id: u64, account: &str, repositories: &[&str], permissions: &Value) {
        let repositories = repositories.iter().map(|&name| name.to_owned()).collect();
        let permissions = permissions.as_object().expect("permissions are an object").clone();
        let installation = Installation { id, account: account.to_owned(), repositories, permissions };
        self.shared.known().installations.push(installation);
    }

    /// The next calls meet `trouble`, as many as `times`.
    pub fn trouble(&self, trouble: Trouble, times: usize) {
        self.shared.known().troubles.extend(std::iter::repeat_n(trouble, times));
    }

    /// The time of all tokens is over.
    pub fn expire(&self) {
        self.shared.known().grants.iter_mut().for_each(|grant| grant.live = false);
    }

    /// All tokens it has given out, in order.
    pub fn grants(&self) -> Vec<Grant> {
        self.shared.known().grants.clone()
    }

    /// All calls it has answered, in order: what GitHub's description calls them, and the status.
    pub fn answered(&self) -> Vec<(&'static str, u16)> {
        self.shared.known().answered.clone()
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        self.task.abort();
    }
}
