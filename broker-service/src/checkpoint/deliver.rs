//! Brings copies of checkpoints to the places outside, so that an older state of the database is noticed. What could not be
//! brought is brought later, from the table; records never wait for it.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::Row as _;
use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt as _;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::app::App;
use crate::audit::line;
use crate::checkpoint::Checkpoint;
use crate::checkpoint::route::{BATCH, Note, Place, Route};
use crate::outbound::{Outbound, send};

/// How often the table is looked at although nobody has told of news.
const PAUSE: Duration = Duration::from_secs(60);

/// The longest pause after a failure.
const LONGEST: Duration = Duration::from_secs(60);

/// How long the process waits at its end.
const PATIENCE: Duration = Duration::from_secs(5);

type Failure = Box<dyn Error + Send + Sync>;

/// It is on the log why.
struct Failed;

/// Brings what there is to the places there are, for as long as the process runs. No place waits for another.
pub fn follow(app: &App) -> Result<(), reqwest::Error> {
    for route in app.notary.routes() {
        let carrier = Carrier { app: app.clone(), outbound: Outbound::new(None)?, route: Arc::clone(route) };
        tokio::spawn(carrier.follow());
    }
    Ok(())
}

/// The same once, for what is signed at the end.
pub async fn last(app: &App) {
    let Ok(outbound) = Outbound::new(None) else { return };
    let last = async |route: &Arc<Route>| {
        let carrier = Carrier { app: app.clone(), outbound: outbound.clone(), route: Arc::clone(route) };
        if !matches!(timeout(PATIENCE, carrier.carry()).await, Ok(Ok(()))) {
            tracing::warn!("the last checkpoint of the audit will be brought outside after the next start");
        }
    };
    join_all(app.notary.routes().iter().map(last)).await;
}

/// Brings notes to one place.
struct Carrier {
    app: App,
    outbound: Outbound,
    route: Arc<Route>,
}

impl Carrier {
    async fn follow(self) {
        let mut pause = Duration::from_secs(1);
        loop {
            match self.carry().await {
                Ok(()) => {
                    pause = Duration::from_secs(1);
                    drop(timeout(PAUSE, self.route.news.notified()).await);
                }
                Err(Failed) => {
                    sleep(pause).await;
                    pause = pause.saturating_mul(2).min(LONGEST);
                }
            }
        }
    }

    async fn carry(&self) -> Result<(), Failed> {
        self.round().await.map_err(|why| {
            // The URL can hold a secret.
            match &self.route.place {
                Place::File(path) => tracing::warn!("no checkpoint to `{}`: {why}", path.display()),
                Place::Url(_) => tracing::warn!("no checkpoint to `audit.checkpoints.url`: {why}"),
            }
            Failed
        })
    }

    async fn round(&self) -> Result<(), Failure> {
        let _turn = self.route.turn.lock().await;
        loop {
            let notes = self.due().await?;
            if notes.is_empty() {
                return Ok(());
            }
            match &self.route.place {
                Place::File(path) => {
                    append(path, &notes).await?;
                    for note in &notes {
                        self.brought(note).await?;
                    }
                }
                Place::Url(url) => {
                    for note in &notes {
                        post(&self.outbound, url, note).await?;
                        self.brought(note).await?;
                    }
                }
            }
        }
    }

    /// What was signed here, then what a process before this one has left in the table.
    async fn due(&self) -> Result<Vec<Note>, sqlx::Error> {
        let fresh = self.route.fresh();
        match fresh.is_empty() {
            true => self.left().await,
            false => Ok(fresh),
        }
    }

    async fn left(&self) -> Result<Vec<Note>, sqlx::Error> {
        loop {
            let notes = self.waiting().await?;
            let known = |note: &Note| Checkpoint::open(&note.text, self.app.notary.key()).is_ok();
            let (sound, strange): (Vec<_>, Vec<_>) = notes.into_iter().partition(known);
            for note in &strange {
                tracing::error!(chain = note.chain, position = note.position, "a checkpoint was not signed here");
                self.mark(note).await?;
            }
            if !sound.is_empty() || strange.is_empty() {
                return Ok(sound);
            }
        }
    }

    async fn waiting(&self) -> Result<Vec<Note>, sqlx::Error> {
        let query = match self.route.place {
            Place::File(_) => "SELECT chain, position, note FROM checkpoints WHERE filed = 0 ORDER BY seq LIMIT $1",
            Place::Url(_) => "SELECT chain, position, note FROM checkpoints WHERE posted = 0 ORDER BY seq LIMIT $1",
        };
        let query = sqlx::query(query).bind(i64::try_from(BATCH).unwrap_or(1));
        let read = |row: &sqlx::any::AnyRow| {
            Ok(Note { chain: row.try_get("chain")?, position: row.try_get("position")?, text: row.try_get("note")? })
        };
        query.fetch_all(self.app.store.pool()).await?.iter().map(read).collect()
    }

    async fn brought(&self, note: &Note) -> Result<(), sqlx::Error> {
        self.route.brought(note);
        self.mark(note).await
    }

    async fn mark(&self, note: &Note) -> Result<(), sqlx::Error> {
        let query = match self.route.place {
            Place::File(_) => "UPDATE checkpoints SET filed = 1 WHERE chain = $1 AND position = $2",
            Place::Url(_) => "UPDATE checkpoints SET posted = 1 WHERE chain = $1 AND position = $2",
        };
        let query = sqlx::query(query).bind(note.chain.clone()).bind(note.position);
        query.execute(self.app.store.pool()).await.map(|_| ())
    }
}

async fn append(path: &Path, notes: &[Note]) -> Result<(), Failure> {
    let mut lines = notes.iter().map(|note| line::checkpoint(&note.text)).collect::<Result<String, _>>()?;
    let place = path.to_owned();
    if spawn_blocking(move || torn(&place)).await?? {
        // Else the first of these would be lost with it.
        lines.insert(0, '\n');
    }
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path).await?;
    file.write_all(lines.as_bytes()).await?;
    Ok(file.sync_all().await?)
}

/// Whether its last line has no end: its writer was cut short.
fn torn(path: &Path) -> io::Result<bool> {
    if !path.metadata().is_ok_and(|data| data.is_file() && data.len() > 0) {
        return Ok(false);
    }
    let (mut file, mut last) = (File::open(path)?, [0]);
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

async fn post(outbound: &Outbound, url: &str, note: &Note) -> Result<(), String> {
    let request = outbound.client().post(url).header("content-type", "text/plain; charset=utf-8");
    let reply = send(request.body(note.text.clone())).await.map_err(|failure| failure.to_string())?;
    match reply.status.is_success() {
        true => Ok(()),
        false => Err(format!("answered {}", reply.status.as_u16())),
    }
}

#[cfg(test)]
mod tests {
    use harness::stack::fresh;

    use super::*;

    #[tokio::test]
    async fn what_was_cut_short_takes_nothing_with_it() {
        let file = fresh("deliver-torn").join("checkpoints");
        let note = |text: &str| Note { chain: String::new(), position: 1, text: text.into() };
        append(&file, &[note("one")]).await.unwrap();
        std::fs::write(&file, [&std::fs::read(&file).unwrap(), &b"{\"check"[..]].concat()).unwrap();
        append(&file, &[note("two"), note("three")]).await.unwrap();
        append(&file, &[note("four")]).await.unwrap();
        let [one, two, three, four] = ["one", "two", "three", "four"].map(|text| line::checkpoint(text).unwrap());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{one}{{\"check\n{two}{three}{four}"));
    }
}
