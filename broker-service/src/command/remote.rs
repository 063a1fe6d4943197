//! Requests of the command line to a broker that runs.

use std::error::Error;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, io};

use accredit_policy::Secret;
use clap::Args;
use reqwest::{Certificate, Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;
use zeroize::Zeroizing;

use super::Output;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a whole document may take that comes in pieces.
const STREAMED: Duration = Duration::from_secs(24 * 3600);

/// Which broker, and who asks.
#[derive(Debug, Args)]
pub struct RemoteArgs {
    /// The broker's URL.
    #[arg(long, env = "ACCREDIT_BROKER", default_value = "http://127.0.0.1:10002")]
    broker: Url,
    /// A file that holds the operators' bearer token.
    #[arg(long, env = "ACCREDIT_TOKEN_FILE")]
    token_file: PathBuf,
    /// A file with the certificates that the broker's may be signed by, beside those of the system.
    #[arg(long, env = "ACCREDIT_CA_FILE")]
    ca_file: Option<PathBuf>,
}

/// Which broker, and how its answer is printed.
#[derive(Debug, Args)]
pub struct To {
    /// Which broker, and who asks.
    #[command(flatten)]
    pub remote: RemoteArgs,
    /// How to print the answer.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// A broker.
pub struct Remote {
    client: Client,
    url: Url,
    token: Secret,
}

impl Remote {
    /// The broker of these arguments.
    pub fn new(args: &RemoteArgs) -> Result<Self, Box<dyn Error>> {
        let RemoteArgs { broker, token_file, ca_file } = args;
        let text = |file: &PathBuf| {
            std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display())).map(Zeroizing::new)
        };
        let loopback = |host: &str| {
            let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
            host == "localhost" || address.is_ok_and(|address| address.is_loopback())
        };
        if broker.scheme() != "https" && !broker.host_str().is_some_and(loopback) {
            return Err(
                format!("`--broker`: found `{broker}`, accepted is `https://`, or `http://` on loopback").into()
            );
        }
        let token = Secret::new(text(token_file)?.trim());
        let mut builder = Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(PATIENCE);
        for certificate in ca_file.as_ref().map(text).transpose()?.iter() {
            for certificate in Certificate::from_pem_bundle(certificate.as_bytes())? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        Ok(Self { client: builder.build()?, url: broker.clone(), token })
    }

    /// What lies at `path`, the segments below the broker's URL.
    pub async fn get(&self, path: &[&str]) -> Result<Value, Box<dyn Error>> {
        send(self.request(Method::GET, path)?).await
    }

    /// What matches `query` there; what is not given does not count.
    pub async fn search(&self, path: &[&str], query: &[(&str, Option<String>)]) -> Result<Value, Box<dyn Error>> {
        let given: Vec<_> = query.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?))).collect();
        let mut request = self.request(Method::GET, path)?.build()?;
        request.url_mut().query_pairs_mut().extend_pairs(given);
        send(RequestBuilder::from_parts(self.client.clone(), request)).await
    }

    /// What lies there, piece by piece: `take` says whether to go on.
    pub async fn stream(
        &self,
        path: &[&str],
        mut take: impl FnMut(&[u8]) -> io::Result<bool>,
    ) -> Result<(), Box<dyn Error>> {
        let request = self.request(Method::GET, path)?.timeout(STREAMED);
        let mut response = request.send().await.map_err(cause)?;
        if !response.status().is_success() {
            return read(response).await.map(|_| ());
        }
        while let Some(piece) = response.chunk().await.map_err(cause)? {
            if !take(&piece)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Puts the object `body` there.
    pub async fn replace(&self, path: &[&str], body: &Value) -> Result<Value, Box<dyn Error>> {
        let request = self.request(Method::PUT, path)?.header("content-type", "application/json");
        send(request.body(body.to_string())).await
    }

    /// Puts `body` there.
    pub async fn put(&self, path: &[&str], body: &Secret) -> Result<Value, Box<dyn Error>> {
        let request = self.request(Method::PUT, path)?.header("content-type", "text/plain; charset=utf-8");
        send(request.body(body.reveal().to_owned())).await
    }

    /// Posts `body` there.
    pub async fn post(&self, path: &[&str], body: &Value) -> Result<Value, Box<dyn Error>> {
        let request = self.request(Method::POST, path)?.header("content-type", "application/json");
        send(request.body(body.to_string())).await
    }

    /// Removes what lies there.
    pub async fn delete(&self, path: &[&str]) -> Result<Value, Box<dyn Error>> {
        send(self.request(Method::DELETE, path)?).await
    }

    fn request(&self, method: Method, path: &[&str]) -> Result<RequestBuilder, Box<dyn Error>> {
        let mut url = self.url.clone();
        // Segments are escaped here, so that a name leads nowhere else.
        let segments = url.path_segments_mut().map_err(|()| "`--broker` is no URL of a server");
        segments?.pop_if_empty().extend(path);
        Ok(self.client.request(method, url).bearer_auth(self.token.reveal()))
    }
}

/// The answer as JSON, null where it is empty; a refusal is an error of one line.
async fn send(request: RequestBuilder) -> Result<Value, Box<dyn Error>> {
    read(request.send().await.map_err(cause)?).await
}

async fn read(response: Response) -> Result<Value, Box<dyn Error>> {
    let status = response.status();
    let body = response.bytes().await.map_err(cause)?;
    let value: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status.is_success() {
        return Ok(value);
    }
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let details = value.get("details").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let line = format!("{status}: {}: {}", text("error"), text("error_description")).replace('\n', " ");
    let said = std::iter::once(line.as_str()).chain(details).collect::<Vec<_>>().join("\n");
    Err(Refused { status, said }.into())
}

/// What the broker does not do.
#[derive(Debug)]
pub struct Refused {
    status: StatusCode,
    said: String,
}

impl Refused {
    /// Whether it would be refused again.
    pub fn for_good(&self) -> bool {
        self.status.is_client_error() && self.status != StatusCode::TOO_MANY_REQUESTS
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.said)
    }
}

impl Error for Refused {}

/// The error and what caused it, on one line.
fn cause(error: reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = Error::source(&error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
