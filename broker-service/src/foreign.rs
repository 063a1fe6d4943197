//! The keys of foreign issuers, fetched in the background and put into the policy.

use std::time::Duration;

use accredit_policy::policy::{KeySource, Resource};
use accredit_policy::token::KeySet;
use accredit_policy::token::jwk::SIZE;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::app::App;

/// How soon a failed fetch is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Starts one task for each issuer whose keys have to be fetched.
pub fn follow(app: &App) -> JoinSet<()> {
    let policy = app.policy();
    let mut tasks = JoinSet::new();
    for issuer in policy.issuers() {
        if let KeySource::Fetched { url, refresh, .. } = &issuer.keys {
            tasks.spawn(renew(app.clone(), issuer.name.clone(), url.clone(), *refresh));
        }
    }
    tasks
}

async fn renew(app: App, issuer: String, url: Resource, refresh: Duration) {
    loop {
        let pause = match fetch(&url).await {
            Ok(keys) => {
                let mut policy = (*app.policy()).clone();
                policy.pin(&issuer, keys);
                app.renew(policy);
                refresh
            }
            Err(error) => {
                tracing::warn!("the keys of `{issuer}` were not renewed: {error}");
                RETRY
            }
        };
        sleep(pause).await;
    }
}

async fn fetch(url: &Resource) -> Result<KeySet, Box<dyn std::error::Error + Send + Sync>> {
    // The URL is the operator's own; a redirect would leave what they have chosen.
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(5))
        .build()?;
    let mut response = client.get(url.as_str()).send().await?.error_for_status()?;
    let mut document = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        document.extend_from_slice(&chunk);
        if document.len() > SIZE {
            return Err("the document is too large".into());
        }
    }
    KeySet::parse(&document).map_err(|bad| bad.to_string().into())
}
