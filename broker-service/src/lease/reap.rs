//! Ends what has to end: leases whose time is over, that were revoked, or that nobody was handed.

use std::sync::Arc;
use std::time::Duration;

use accredit_policy::Time;
use accredit_policy::revocation::calls;
use sqlx::Row as _;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Token;
use super::end::{Why, end, take_back};
use crate::app::App;
use crate::clock;
use crate::store::Database;

/// How long a mint may take.
pub const MINT: Duration = Duration::from_secs(20);

/// An open lease that is older is nobody's.
pub const ORPHAN: Duration = Duration::from_secs(40);

/// How many leases are ended at the same time.
const BESIDE: usize = 16;

/// How long an ended lease can still be looked up.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Ends what a crash has left, then what comes due, for as long as the process runs.
pub async fn follow(app: &App) -> Result<JoinHandle<()>, sqlx::Error> {
    // With one broker, whatever is open at its start was left by a crash; with several, another may be at it.
    let since = match app.store.database() {
        Database::Sqlite(_) => {
            release(app).await?;
            clock::now()
        }
        Database::Postgres(_) => before(ORPHAN),
    };
    let orphans = open(app, since).await?;
    if !orphans.is_empty() {
        tracing::warn!(leases = orphans.len(), "ending leases that were never handed out");
    }
    // A target that hangs must not keep what is revoked from ending at another.
    tokio::spawn(take_back_revoked(app.clone()));
    let app = app.clone();
    Ok(tokio::spawn(async move {
        ends(&app, orphans, Why::Orphaned).await;
        let mut seconds = interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            seconds.tick().await;
            if let Err(error) = round(&app).await {
                tracing::error!("leases cannot be read: {error}");
            }
        }
    }))
}

/// Ends what revocations hit, as soon as they come. None of them waits for a target that an earlier one has to wait for, and
/// what could not be followed is followed again.
async fn take_back_revoked(app: App) {
    let mut revocations = app.store.revocations();
    // A crash can have come between a revocation and the ends that follow from it.
    revocations.mark_changed();
    let again = Arc::new(Notify::new());
    loop {
        tokio::select! {
            changed = revocations.changed() => if changed.is_err() { return },
            () = again.notified() => {}
        }
        let (app, again) = (app.clone(), Arc::clone(&again));
        tokio::spawn(async move {
            let done = match hit(&app).await {
                Ok(leases) => ends(&app, leases, Why::Revoked).await,
                Err(error) => {
                    tracing::error!("leases cannot be read: {error}");
                    false
                }
            };
            if !done {
                sleep(Duration::from_secs(1)).await;
                again.notify_one();
            }
        });
    }
}

async fn round(app: &App) -> Result<(), sqlx::Error> {
    ends(app, open(app, before(ORPHAN)).await?, Why::Orphaned).await;
    ends(app, begun(app).await?, Why::Orphaned).await;
    ends(app, due(app).await?, Why::Expired).await;
    lapse(app).await
}

/// The moment that long ago.
pub(super) fn before(span: Duration) -> Time {
    let now = clock::now();
    Time::from_millis(now.millis().saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
}

/// Open leases that began before `since`.
async fn open(app: &App, since: Time) -> Result<Vec<String>, sqlx::Error> {
    let query = sqlx::query_scalar(
        "SELECT id FROM leases WHERE state = 'open' AND issued < $1 AND claimed <= $2 ORDER BY issued LIMIT 1000",
    );
    query.bind(clock::signed(since)).bind(clock::signed(clock::now())).fetch_all(app.store.pool()).await
}

/// Leases whose end was begun and not finished; why is kept with them. Whoever still mints one ends it by itself.
async fn begun(app: &App) -> Result<Vec<String>, sqlx::Error> {
    let query = sqlx::query_scalar(
        "SELECT id FROM leases WHERE (state = 'live' OR state = 'open' AND failures > 0) AND reason IS NOT NULL \
         AND claimed <= $1 ORDER BY claimed LIMIT 1000",
    );
    query.bind(clock::signed(clock::now())).fetch_all(app.store.pool()).await
}

/// Frees what a process held that is no more.
async fn release(app: &App) -> Result<(), sqlx::Error> {
    // Not zero, or a lease could be handed out whose end was begun.
    let query = sqlx::query("UPDATE leases SET claim = NULL, claimed = 1 WHERE state <> 'ended' AND claim IS NOT NULL");
    query.execute(app.store.pool()).await.map(|_| ())
}

/// Live leases whose time is over.
async fn due(app: &App) -> Result<Vec<String>, sqlx::Error> {
    let now = clock::signed(clock::now());
    let query = sqlx::query_scalar(
        "SELECT id FROM leases WHERE state = 'live' AND outlives = 1 AND expires <= $1 AND claimed <= $1 \
         ORDER BY expires LIMIT 1000",
    );
    query.bind(now).fetch_all(app.store.pool()).await
}

/// Live leases of what is revoked.
async fn hit(app: &App) -> Result<Vec<String>, sqlx::Error> {
    let query = sqlx::query("SELECT id, token, server, tool FROM leases WHERE state <> 'ended' AND outlives = 1");
    let rows = query.fetch_all(app.store.pool()).await?;
    let mut hits = Vec::new();
    for row in rows {
        let token: String = row.try_get("token")?;
        let Token { targets, issued } = serde_json::from_str(&token).unwrap_or_default();
        let (server, tool): (String, String) = (row.try_get("server")?, row.try_get("tool")?);
        let all = targets.into_iter().chain(calls(&server, Some(&tool)));
        if app.store.revoked(|revoked| revoked.any(all, issued.map(Time::from_seconds))) {
            hits.push(row.try_get("id")?);
        }
    }
    Ok(hits)
}

/// Marks what ends by itself, and forgets what ended long ago.
async fn lapse(app: &App) -> Result<(), sqlx::Error> {
    let now = clock::now();
    let over = "UPDATE leases SET state = 'ended', ended = expires, reason = 'expired' \
                WHERE state = 'live' AND outlives = 0 AND expires <= $1";
    sqlx::query(over).bind(clock::signed(now)).execute(app.store.pool()).await?;
    // By its own index: without `state`, or SQLite walks all that ended in a week.
    let forgotten = "DELETE FROM leases WHERE ended < $1";
    sqlx::query(forgotten).bind(clock::signed(before(KEPT))).execute(app.store.pool()).await?;
    Ok(())
}

/// Ends several, a few at a time. Out: whether none failed; what did is tried again later.
async fn ends(app: &App, leases: Vec<String>, why: Why) -> bool {
    let (mut under_way, mut sound) = (JoinSet::new(), true);
    for lease in leases {
        if under_way.len() >= BESIDE {
            sound &= !matches!(under_way.join_next().await, Some(Ok(false)));
        }
        let app = app.clone();
        under_way.spawn(async move {
            let ended = match why {
                Why::Revoked => take_back(&app, &lease, why).await,
                _ => end(&app, &lease, why).await,
            };
            ended.inspect_err(|failure| tracing::debug!(lease, "not ended: {failure}")).is_ok()
        });
    }
    under_way.join_all().await.into_iter().all(|done| done) && sound
}
