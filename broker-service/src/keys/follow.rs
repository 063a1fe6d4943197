//! Keeps the ring as the table is, and tells the verifier of our own tokens.

use std::time::Duration;

use accredit_policy::Time;
use accredit_policy::fetch::{Answer, Document};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{rotate, table};
use crate::app::App;
use crate::clock;
use crate::error::ApiError;

/// Makes the first key, and keeps the ring for as long as the process runs.
pub async fn start(app: &App) -> Result<JoinHandle<()>, ApiError> {
    reload(app).await?;
    rotate::keep(app).await?;
    let app = app.clone();
    Ok(tokio::spawn(async move {
        let pause = pause(app.issuer.schedule().lead);
        let mut revocations = app.store.revocations();
        loop {
            tokio::select! {
                () = sleep(pause) => {}
                // Another replica may have revoked our key.
                changed = revocations.changed() => if changed.is_err() { return },
            }
            if let Err(error) = round(&app).await {
                tracing::error!("the signing keys cannot be read: {}", error.internal);
            }
        }
    }))
}

async fn round(app: &App) -> Result<(), ApiError> {
    reload(app).await?;
    rotate::keep(app).await
}

/// Reads the table.
pub async fn reload(app: &App) -> Result<(), ApiError> {
    let _turn = app.issuer.turn().await;
    let read = clock::now();
    let ring = table::ring(app, &app.issuer.ring(), read).await?;
    let empty = ring.lives().is_empty();
    app.issuer.renew(ring);
    // Before the first key there is nothing to tell.
    if !empty {
        tell(app, read);
    }
    Ok(())
}

/// The name the policy has for us, if it trusts us.
pub fn own(app: &App) -> Option<&str> {
    app.policy.issuers().find(|one| one.identifier == app.issuer.url()).map(|one| one.name.as_str())
}

/// Hands our keys to the verifier, as if they had been fetched at `read`.
fn tell(app: &App, read: Time) {
    let Some(name) = own(app) else {
        return;
    };
    let jwks = app.issuer.jwks().to_string();
    let answer = Answer { body: Some(jwks.as_bytes()), cache_control: None };
    let arrived = app.prover().arrived(&Document::Keys(name.to_owned()), &answer, &app.policy, read);
    if let Err(why) = arrived {
        tracing::error!("our own key set {why}");
    }
}

/// How often the table is read: well within the time a key is published before it signs.
fn pause(lead: Duration) -> Duration {
    lead.checked_div(4).unwrap_or_default().clamp(Duration::from_secs(1), Duration::from_secs(5))
}
