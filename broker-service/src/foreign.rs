//! Agents' tokens proved, with the keys and status lists of foreign issuers fetched as they are needed.

use std::time::Duration;

use accredit_policy::fetch::{Answer, Fetch};
use accredit_policy::policy::Server;
use accredit_policy::token::{Outcome, Prover};
use accredit_policy::{Policy, Secret, Time};
use reqwest::header::{ACCEPT, CACHE_CONTROL};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::app::App;
use crate::clock;

/// How long one document may take, and how long a request waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often a request that waits looks again.
const GLANCE: Duration = Duration::from_millis(20);

/// Which issuers are asked about a token: what is good for one is nothing to the other.
#[derive(Clone, Copy, Debug)]
pub enum Circle {
    /// Those of the policy, whose tokens agents have.
    Policy,
    /// Those of `enterprise`, whose assertions agents bring.
    Enterprise,
}

/// Keeps the keys of all issuers fresh.
pub fn follow(app: &App) -> JoinHandle<()> {
    const ALL: [Circle; 2] = [Circle::Policy, Circle::Enterprise];
    let app = app.clone();
    for circle in ALL {
        let (policy, mut prover) = app.circle(circle);
        prover.warm(policy);
    }
    tokio::spawn(async move {
        loop {
            for circle in ALL {
                app.circle(circle).1.tick(clock::now());
                fetch(&app, circle);
            }
            sleep(Duration::from_secs(1)).await;
        }
    })
}

/// Proves `token` for `server`, and waits for the documents that takes.
pub async fn prove(app: &App, token: &Secret, server: &Server) -> Outcome {
    settle(app, Circle::Policy, |prover, policy, since| prover.prove(token, server, policy, since, clock::now())).await
}

/// Proves `token` of an issuer of `circle`, whoever it is for, and waits for the documents that takes.
pub async fn recognise(app: &App, circle: Circle, token: &Secret) -> Outcome {
    settle(app, circle, |prover, policy, since| prover.recognise(token, policy, since, clock::now())).await
}

/// Tries until no document is missing, or the patience ends.
async fn settle(app: &App, circle: Circle, mut attempt: impl FnMut(&mut Prover, &Policy, Time) -> Outcome) -> Outcome {
    let (since, began) = (clock::now(), Instant::now());
    loop {
        let outcome = {
            let (policy, mut prover) = app.circle(circle);
            attempt(&mut prover, policy, since)
        };
        if !matches!(outcome, Outcome::Waits(_)) || began.elapsed() >= PATIENCE {
            return outcome;
        }
        fetch(app, circle);
        sleep(GLANCE).await;
    }
}

/// Fetches what is wanted. The tasks outlive the request that asks: others may wait for the same document.
fn fetch(app: &App, circle: Circle) {
    let wanted = {
        let (policy, mut prover) = app.circle(circle);
        prover.wanted(policy)
    };
    for fetch in wanted {
        let app = app.clone();
        tokio::spawn(async move {
            let got = get(&fetch).await;
            let (body, cache_control) =
                got.as_ref().map_or((None, None), |(body, text)| (Some(&**body), text.as_deref()));
            let arrived = {
                let (policy, mut prover) = app.circle(circle);
                prover.arrived(&fetch.document, &Answer { body, cache_control }, policy, clock::now())
            };
            if let Err(why) = arrived {
                let error = got.err().map(|error| format!(" ({error})")).unwrap_or_default();
                tracing::warn!("{} were not renewed: the document {why}{error}", fetch.document);
            }
        });
    }
}

/// The document, and its `Cache-Control`.
async fn get(fetch: &Fetch) -> Result<(Vec<u8>, Option<String>), Box<dyn std::error::Error + Send + Sync>> {
    // The URL is the operator's own, or one an issuer has signed; a redirect would leave what they have chosen.
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(PATIENCE).build()?;
    let mut response = client.get(&fetch.url).header(ACCEPT, fetch.accept).send().await?.error_for_status()?;
    let cache_control = response.headers().get(CACHE_CONTROL).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut document = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        document.extend_from_slice(&chunk);
        if document.len() > fetch.document.limit() {
            return Err("the document is too large".into());
        }
    }
    Ok((document, cache_control))
}
