//! Agents' tokens proved, with the keys and status lists of foreign issuers fetched as they are needed.

use std::time::Duration;

use accredit_policy::fetch::{Answer, Fetch};
use accredit_policy::policy::Server;
use accredit_policy::token::Outcome;
use accredit_policy::{Secret, Time};
use reqwest::header::{ACCEPT, CACHE_CONTROL};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::app::App;
use crate::clock;

/// How long one document may take, and how long a request waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often a request that waits looks again.
const GLANCE: Duration = Duration::from_millis(20);

/// Keeps the keys of all issuers fresh.
pub fn follow(app: &App) -> JoinHandle<()> {
    let app = app.clone();
    app.prover().warm(&app.policy);
    tokio::spawn(async move {
        loop {
            app.prover().tick(clock::now());
            fetch(&app);
            sleep(Duration::from_secs(1)).await;
        }
    })
}

/// Proves `token` for `server`, and waits for the documents that takes.
pub async fn prove(app: &App, token: &Secret, server: &Server) -> Outcome {
    let (since, began) = (clock::now(), Instant::now());
    loop {
        let outcome = attempt(app, token, server, since);
        if !matches!(outcome, Outcome::Waits(_)) || began.elapsed() >= PATIENCE {
            return outcome;
        }
        fetch(app);
        sleep(GLANCE).await;
    }
}

fn attempt(app: &App, token: &Secret, server: &Server, since: Time) -> Outcome {
    app.prover().prove(token, server, &app.policy, since, clock::now())
}

/// Fetches what is wanted. The tasks outlive the request that asks: others may wait for the same document.
fn fetch(app: &App) {
    let wanted = app.prover().wanted(&app.policy);
    for fetch in wanted {
        let app = app.clone();
        tokio::spawn(async move {
            let got = get(&fetch).await;
            let (body, cache_control) =
                got.as_ref().map_or((None, None), |(body, text)| (Some(&**body), text.as_deref()));
            let arrived =
                app.prover().arrived(&fetch.document, &Answer { body, cache_control }, &app.policy, clock::now());
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
