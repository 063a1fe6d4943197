//! The end of credentials with the calls they were minted for, as the outcomes tell.

use accredit_policy::wire::audit::{Kind, Record};

use super::end::{Why, take_back};
use crate::app::App;
use crate::credential::Until;

/// The leases that end with the calls of these records: those of definitions that say so, and that something is left of.
pub fn leases(app: &App, records: &[Record]) -> Vec<String> {
    let outcomes = records.iter().filter(|record| record.kind == Kind::Outcome);
    let credentials = outcomes.filter_map(|record| record.credential.as_ref());
    let ends =
        |name: &str| app.credentials.get(name).is_some_and(|one| one.kind.outlives() && one.until == Until::Call);
    credentials.filter(|credential| ends(&credential.name)).filter_map(|credential| credential.lease.clone()).collect()
}

/// Ends those of them that `proxy` had asked for. What fails is tried again.
pub fn follow(app: &App, proxy: String, leases: Vec<String>) {
    if leases.is_empty() {
        return;
    }
    let app = app.clone();
    tokio::spawn(async move {
        for lease in leases {
            match asked(&app, &lease, &proxy).await {
                Ok(true) => drop(take_back(&app, &lease, Why::Used).await),
                Ok(false) => tracing::warn!(lease, proxy, "a proxy tells of a lease that is not its own"),
                Err(error) => tracing::error!(lease, "a lease cannot be read: {error}"),
            }
        }
    });
}

/// Whether the lease is one the proxy had asked for: none ends what another one uses.
async fn asked(app: &App, lease: &str, proxy: &str) -> Result<bool, sqlx::Error> {
    let query = sqlx::query_scalar("SELECT proxy FROM leases WHERE id = $1").bind(lease);
    let owner: Option<String> = query.fetch_optional(app.store.pool()).await?;
    Ok(owner.is_some_and(|owner| owner == proxy))
}
