//! Requests to targets and issuers: bounded in time and size, no redirect followed.

use std::time::Duration;

use reqwest::{Certificate, Client, RequestBuilder, StatusCode};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::credential::Failure;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The largest answer that is read.
const SIZE: usize = 256 * 1024;

/// An HTTP client for one target.
#[derive(Clone, Debug)]
pub struct Outbound(Client);

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its body; it can hold secrets.
    pub body: Zeroizing<Vec<u8>>,
}

impl Outbound {
    /// A client that trusts the system's authorities, and those of the PEM text `ca`.
    pub fn new(ca: Option<&str>) -> Result<Self, reqwest::Error> {
        // A redirect would leave what the operator has chosen.
        let mut builder = Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(PATIENCE);
        for certificate in ca.map(|pem| Certificate::from_pem_bundle(pem.as_bytes())).transpose()?.unwrap_or_default() {
            builder = builder.add_root_certificate(certificate);
        }
        builder.build().map(Self)
    }

    /// Begins requests.
    pub fn client(&self) -> &Client {
        &self.0
    }
}

/// Sends `request` and reads all of the answer. What goes wrong is told without the URL, which can hold a secret.
pub async fn send(request: RequestBuilder) -> Result<Reply, Failure> {
    let failed = |error: reqwest::Error| Failure::Unavailable(cause(error));
    let mut response = request.send().await.map_err(failed)?;
    let status = response.status();
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        if body.len() > SIZE {
            return Err(Failure::Unavailable("the answer is too large".into()));
        }
    }
    Ok(Reply { status, body })
}

impl Reply {
    /// The body as a JSON object.
    pub fn json(&self) -> Result<Value, Failure> {
        let value = serde_json::from_slice(&self.body).ok().filter(Value::is_object);
        value.ok_or_else(|| Failure::Unavailable(format!("the answer with status {} is no JSON object", self.status)))
    }
}

/// The error and what caused it, on one line.
fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
