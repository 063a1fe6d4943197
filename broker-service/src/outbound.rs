//! Requests to targets and issuers: bounded in time and size, no redirect followed.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Certificate, Client, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
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
    /// Its headers.
    pub headers: HeaderMap,
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
    within(SIZE, request).await
}

/// The same for an answer of at most `size` bytes.
pub async fn within(size: usize, request: RequestBuilder) -> Result<Reply, Failure> {
    let failed = |error: reqwest::Error| Failure::Unavailable(cause(error));
    let mut response = request.send().await.map_err(failed)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        if body.len() > size {
            return Err(Failure::Unavailable("the answer is too large".into()));
        }
    }
    Ok(Reply { status, headers, body })
}

impl Reply {
    /// The body as a JSON object.
    pub fn json(&self) -> Result<Value, Failure> {
        self.read()
            .and_then(|value: Value| if value.is_object() { Ok(value) } else { Err(self.nonsense("JSON object")) })
    }

    /// The body as the members of a JSON object that `T` has.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let media = self.media();
        let named = media == "application/json" || media.starts_with("application/") && media.ends_with("+json");
        let value = serde_json::from_slice(&self.body).ok().filter(|_| named);
        value.ok_or_else(|| self.nonsense("JSON object"))
    }

    /// The media type without its parameters, in lower case.
    ///
    /// [RFC 9110 §8.3.1](https://www.rfc-editor.org/rfc/rfc9110#section-8.3.1)
    pub fn media(&self) -> String {
        let value = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// The answer is not what was asked for; what it is stays untold.
    pub fn nonsense(&self, wanted: &str) -> Failure {
        Failure::Unavailable(format!("the answer with status {} is no {wanted}", self.status.as_u16()))
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
