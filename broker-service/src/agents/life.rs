//! What happens to agents by itself: their use is noted, and rules of their profiles suspend them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use accredit_policy::Time;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{Status, registry};
use crate::app::App;
use crate::clock;
use crate::error::ApiError;

/// How often uses are written and rules looked at. A rule counts at once wherever an agent proves who it is.
const PAUSE: Duration = Duration::from_secs(5);

/// When agents were last used, as far as it is not in the table yet.
#[derive(Debug, Default)]
pub struct Uses(Mutex<BTreeMap<String, Time>>);

impl Uses {
    /// Notes that `agent` has proved who it is, or was acting.
    pub fn note(&self, agent: &str) {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match uses.get_mut(agent) {
            Some(time) => *time = clock::now(),
            None => drop(uses.insert(agent.to_owned(), clock::now())),
        }
    }

    fn take(&self) -> BTreeMap<String, Time> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Looks after the agents for as long as the process runs.
pub fn follow(app: &App) -> JoinHandle<()> {
    let app = app.clone();
    tokio::spawn(async move {
        loop {
            if let Err(error) = round(&app).await {
                tracing::error!("agents were not looked after: {}", error.internal);
            }
            sleep(PAUSE).await;
        }
    })
}

async fn round(app: &App) -> Result<(), ApiError> {
    for (agent, time) in app.uses.take() {
        let query = "UPDATE agents SET last_used = $1 WHERE id = $2 AND (last_used IS NULL OR last_used < $1)";
        sqlx::query(query).bind(clock::signed(time)).bind(agent).execute(app.store.pool()).await?;
    }
    let now = clock::now();
    for agent in registry::all(app.store.pool()).await?.iter().filter(|agent| agent.status == Status::Active) {
        if let Some(why) = agent.overdue(now) {
            registry::turn(app, agent, Status::Suspended, "the registry", Some(why)).await?;
        }
    }
    app.store.forget_revoked(now).await?;
    app.store.forget_used(now).await.map_err(ApiError::unavailable)
}
