//! When checkpoints are made: every minute if there is something new, at once where it is asked for, and at the end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::Checkpoint;
use super::route::{Note, Route};
use crate::app::App;
use crate::chain::Head;
use crate::clock;
use crate::note::{Key, Signer};
use crate::store::Base;

/// How long records may be unsigned.
const PAUSE: Duration = Duration::from_secs(60);

/// Where checkpoints go beside the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// A file they are appended to.
    pub file: Option<PathBuf>,
    /// A URL they are posted to.
    pub url: Option<String>,
}

/// Signs for the chain of this process.
pub struct Notary {
    signer: Signer,
    /// What was signed last.
    last: Mutex<Option<Head>>,
    due: Notify,
    outside: Outside,
    routes: Vec<Arc<Route>>,
}

impl Notary {
    /// Signs with this key.
    pub fn new(signer: Signer, outside: Outside) -> Self {
        let routes = Route::to(&outside);
        Self { signer, last: Mutex::default(), due: Notify::new(), outside, routes }
    }

    /// Where copies go.
    pub fn outside(&self) -> &Outside {
        &self.outside
    }

    /// The ways to the places outside.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// The public key.
    pub fn key(&self) -> &Key {
        self.signer.key()
    }

    /// Asks for a checkpoint without waiting for its minute.
    pub fn ask(&self) {
        self.due.notify_one();
    }

    /// Signs that the chain of this process ends at `head`, unless that is signed already.
    pub async fn sign(&self, base: &Base, head: Head) -> Result<(), sqlx::Error> {
        let mut last = self.last.lock().await;
        if last.as_ref() == Some(&head) {
            return Ok(());
        }
        let checkpoint = Checkpoint { head, time: clock::now() };
        let Head { chain, length, .. } = checkpoint.head.clone();
        let note = Note { chain, position: signed(length), text: checkpoint.sign(&self.signer) };
        insert(base, &checkpoint, &note).await?;
        *last = Some(checkpoint.head);
        self.routes.iter().for_each(|route| route.take(note.clone()));
        Ok(())
    }
}

/// Signs for as long as the process runs. The first one is due at once: it covers what a crash has left unsigned, whose head
/// the first record of this chain has named.
pub fn follow(app: &App) -> JoinHandle<()> {
    let app = app.clone();
    tokio::spawn(async move {
        loop {
            if let Some(head) = app.store.head().await
                && let Err(error) = app.notary.sign(&app.store, head).await
            {
                tracing::error!("a checkpoint of the audit was not kept: {error}");
            }
            tokio::select! {
                () = sleep(PAUSE) => {}
                () = app.notary.due.notified() => {}
            }
        }
    })
}

/// Signs once more, after the last record.
pub async fn last(app: &App, head: Option<Head>) {
    if let Some(head) = head
        && let Err(error) = app.notary.sign(&app.store, head).await
    {
        tracing::error!("the last checkpoint of the audit was not kept: {error}");
    }
}

async fn insert(base: &Base, checkpoint: &Checkpoint, note: &Note) -> Result<(), sqlx::Error> {
    let Checkpoint { head, time } = checkpoint;
    // The same position is signed twice where an answer was lost: what it says is the same but for the time.
    sqlx::query(
        "INSERT INTO checkpoints (chain, position, seq, time, note, filed, posted) VALUES ($1, $2, $3, $4, $5, 0, 0) \
         ON CONFLICT (chain, position) DO NOTHING",
    )
    .bind(note.chain.clone())
    .bind(note.position)
    .bind(signed(head.seq))
    .bind(clock::signed(*time))
    .bind(note.text.clone())
    .execute(base.pool())
    .await?;
    Ok(())
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
