//! The listener: TLS, bounds on all that a client may take, and an end that finishes what has begun.

mod limits;
mod stop;
mod tls;

use std::path::PathBuf;

use harness::Issuer;
use harness::stack::broker::{Broker, SECRET};
use harness::stack::fresh;
use harness::wire::One;
use reqwest::Client;
use serde_json::Value;

use super::support::{Desk, FOREIGN, config, policy};

/// A broker with changes to its configuration, plain HTTP.
async fn plain(name: &str, change: impl FnOnce(&mut Value)) -> Desk {
    let (dir, url) = prepare(name, &policy(&Issuer::new(FOREIGN)), change);
    let broker = Broker::start(&dir, &url).await.unwrap_or_else(|failure| panic!("{failure}"));
    Desk { broker, http: Client::builder().no_proxy().build().unwrap() }
}

/// The files of a broker in an empty directory.
fn prepare(name: &str, policy: &Value, change: impl FnOnce(&mut Value)) -> (PathBuf, String) {
    let dir = fresh(&format!("broker-transport-{name}"));
    let mut config = config();
    change(&mut config);
    let url = Broker::files(&dir, policy, &config);
    (dir, url)
}

/// A raw connection to the broker.
async fn dial(desk: &Desk) -> One {
    One::connect(address(desk)).await.unwrap()
}

fn address(desk: &Desk) -> &str {
    desk.broker.url.split_once("://").unwrap().1
}

/// The head of a request for a token by the agent, and its body.
fn token_request() -> (String, String) {
    use base64::Engine as _;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("agent-7:{SECRET}"));
    let body = "grant_type=client_credentials&scope=crm:read&resource=https://gateway.example.test/crm/mcp".to_owned();
    let head = format!(
        "POST /token HTTP/1.1\r\nhost: broker\r\nauthorization: Basic {basic}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    (head, body)
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: broker\r\n\r\n";
