//! Other replicas' revocations, as PostgreSQL tells of them.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::time::{sleep, timeout};

use super::{Base, Database};

/// How often the table is read although nobody has told of a change: a lost connection loses its notices.
const PAUSE: Duration = Duration::from_secs(1);

/// Keeps what is revoked up to date for as long as the process runs.
pub(super) async fn follow(base: Arc<Base>) {
    let Database::Postgres(server) = base.database().clone() else {
        // Whoever writes is this process, and calls `refresh`.
        return;
    };
    loop {
        if let Err(error) = listen(&base, server.url.reveal()).await {
            tracing::warn!("no notices of revocations: {error}");
        }
        refresh(&base).await;
        sleep(PAUSE).await;
    }
}

async fn listen(base: &Base, url: &str) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect(url).await?;
    listener.listen("accredit").await?;
    loop {
        refresh(base).await;
        if let Ok(notice) = timeout(PAUSE, listener.recv()).await {
            notice?;
        }
    }
}

async fn refresh(base: &Base) {
    if let Err(error) = base.refresh().await {
        tracing::warn!("revocations were not read: {error}");
    }
}
