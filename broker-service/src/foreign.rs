//! What foreign issuers have signed, proved: their keys and status lists are fetched as they are needed.

use std::time::Duration;

use accredit_policy::fetch::{Answer, Document, Fetch};
use accredit_policy::policy::{Issuer, Server};
use accredit_policy::token::{Outcome, Prover};
use accredit_policy::{Policy, Secret, Time};
use reqwest::header::{ACCEPT, CACHE_CONTROL};
use serde_json::{Map, Value};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::app::App;
use crate::clock;
use crate::keys::follow;
use crate::outbound::{self, Outbound};

/// How long a request waits for a document.
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
    /// Those of `signals`, which send security events.
    Signals,
}

/// Keeps the keys of all issuers fresh.
pub fn follow(app: &App) -> JoinHandle<()> {
    const ALL: [Circle; 3] = [Circle::Policy, Circle::Enterprise, Circle::Signals];
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

/// Opens what `issuer` of `circle` has signed, and waits for the keys that takes.
pub async fn open(app: &App, circle: Circle, text: &str, issuer: &Issuer) -> Outcome<Map<String, Value>> {
    settle(app, circle, |prover, _, since| prover.open(text, issuer, since, clock::now())).await
}

/// Proves a token of ours, whoever it is for. Others' tokens are not waited for.
pub async fn recognise_own(app: &App, token: &Secret) -> Outcome {
    let since = clock::now();
    let attempt = || app.prover().recognise(token, &app.policy, since, clock::now());
    match attempt() {
        // Another replica may have made a key that signs at once.
        Outcome::Waits(name) if follow::own(app) == Some(&name) => match follow::reload(app).await {
            Ok(()) => attempt(),
            Err(_) => Outcome::Waits(name),
        },
        outcome => outcome,
    }
}

/// Tries until no document is missing, or the patience ends.
async fn settle<T>(
    app: &App,
    circle: Circle,
    mut attempt: impl FnMut(&mut Prover, &Policy, Time) -> Outcome<T>,
) -> Outcome<T> {
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
            let got = match own(&app, circle, &fetch.document) {
                false => get(&fetch).await,
                true => match follow::reload(&app).await {
                    Ok(()) => return,
                    Err(error) => Err(error.internal.into()),
                },
            };
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

/// Whether the document is our own key set, which nobody has to be asked for.
fn own(app: &App, circle: Circle, document: &Document) -> bool {
    // An enterprise may go by the name the policy has for us.
    matches!((circle, document), (Circle::Policy, Document::Keys(name)) if follow::own(app) == Some(name))
}

/// The document, and its `Cache-Control`.
async fn get(fetch: &Fetch) -> Result<(Vec<u8>, Option<String>), Box<dyn std::error::Error + Send + Sync>> {
    // The URL is the operator's own, or one an issuer has signed.
    let request = Outbound::new(None)?.client().get(&fetch.url).header(ACCEPT, fetch.accept);
    let reply = outbound::within(fetch.document.limit(), request).await.map_err(|failure| failure.to_string())?;
    if !reply.status.is_success() {
        return Err(format!("the answer has status {}", reply.status.as_u16()).into());
    }
    let cache_control = reply.headers.get(CACHE_CONTROL).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Ok((reply.body.to_vec(), cache_control))
}
