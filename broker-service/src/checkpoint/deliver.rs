//! Brings copies of checkpoints to the places outside, so that an older state of the database is noticed. What could not be
//! brought is brought later, from the table; records never wait for it.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use sqlx::Row as _;
use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{sleep, timeout};

use crate::app::App;
use crate::audit::line;
use crate::checkpoint::sign::Outside;
use crate::outbound::{Outbound, send};

/// How many are brought at once.
const BATCH: i64 = 64;

/// How often the table is looked at although nobody has told of news.
const PAUSE: Duration = Duration::from_secs(60);

/// The longest pause after a failure.
const LONGEST: Duration = Duration::from_secs(60);

/// How long the process waits at its end.
const PATIENCE: Duration = Duration::from_secs(5);

/// A place outside.
#[derive(Clone, Copy, Debug)]
enum Place<'a> {
    File(&'a Path),
    Url(&'a Outbound, &'a str),
}

struct Note {
    chain: String,
    position: i64,
    text: String,
}

/// Brings what there is to the places there are, for as long as the process runs.
pub fn follow(app: &App) -> Result<(), reqwest::Error> {
    if app.notary.outside == Outside::default() {
        return Ok(());
    }
    let (app, outbound) = (app.clone(), Outbound::new(None)?);
    tokio::spawn(async move {
        let mut pause = Duration::from_secs(1);
        loop {
            match round(&app, &outbound).await {
                Ok(()) => {
                    pause = Duration::from_secs(1);
                    drop(timeout(PAUSE, app.notary.news.notified()).await);
                }
                Err(Failed) => {
                    sleep(pause).await;
                    pause = pause.saturating_mul(2).min(LONGEST);
                }
            }
        }
    });
    Ok(())
}

/// The same once, for what is signed at the end.
pub async fn last(app: &App) {
    if app.notary.outside == Outside::default() {
        return;
    }
    let Ok(outbound) = Outbound::new(None) else { return };
    if !matches!(timeout(PATIENCE, round(app, &outbound)).await, Ok(Ok(()))) {
        tracing::warn!("the last checkpoint of the audit will be brought outside after the next start");
    }
}

/// It is on the log why.
struct Failed;

/// One place does not wait for the other.
async fn round(app: &App, outbound: &Outbound) -> Result<(), Failed> {
    let _turn = app.notary.turn.lock().await;
    let outside = &app.notary.outside;
    let file = async {
        match &outside.file {
            Some(file) => bring(app, Place::File(file)).await,
            None => Ok(()),
        }
    };
    let url = async {
        match &outside.url {
            Some(url) => bring(app, Place::Url(outbound, url)).await,
            None => Ok(()),
        }
    };
    let (file, url) = tokio::join!(file, url);
    file.and(url)
}

async fn bring(app: &App, place: Place<'_>) -> Result<(), Failed> {
    loop {
        let notes = waiting(app, place).await.map_err(|error| place.failed(error))?;
        if notes.is_empty() {
            return Ok(());
        }
        match place {
            Place::File(path) => append(path, &notes).await.map_err(|error| place.failed(error))?,
            Place::Url(outbound, url) => {
                for note in &notes {
                    post(outbound, url, note).await.map_err(|error| place.failed(error))?;
                    mark(app, place, note).await.map_err(|error| place.failed(error))?;
                }
                continue;
            }
        }
        for note in &notes {
            mark(app, place, note).await.map_err(|error| place.failed(error))?;
        }
    }
}

async fn append(path: &Path, notes: &[Note]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let lines = notes.iter().map(|note| line::checkpoint(&note.text)).collect::<Result<String, _>>()?;
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path).await?;
    file.write_all(lines.as_bytes()).await?;
    Ok(file.sync_all().await?)
}

async fn post(outbound: &Outbound, url: &str, note: &Note) -> Result<(), String> {
    let request = outbound.client().post(url).header("content-type", "text/plain; charset=utf-8");
    let reply = send(request.body(note.text.clone())).await.map_err(|failure| failure.to_string())?;
    match reply.status.is_success() {
        true => Ok(()),
        false => Err(format!("answered {}", reply.status.as_u16())),
    }
}

async fn waiting(app: &App, place: Place<'_>) -> Result<Vec<Note>, sqlx::Error> {
    let query = match place {
        Place::File(_) => "SELECT chain, position, note FROM checkpoints WHERE filed = 0 ORDER BY seq LIMIT $1",
        Place::Url(..) => "SELECT chain, position, note FROM checkpoints WHERE posted = 0 ORDER BY seq LIMIT $1",
    };
    let rows = sqlx::query(query).bind(BATCH).fetch_all(app.store.pool()).await?;
    let read = |row: &sqlx::any::AnyRow| {
        Ok(Note { chain: row.try_get("chain")?, position: row.try_get("position")?, text: row.try_get("note")? })
    };
    rows.iter().map(read).collect()
}

async fn mark(app: &App, place: Place<'_>, note: &Note) -> Result<(), sqlx::Error> {
    let query = match place {
        Place::File(_) => "UPDATE checkpoints SET filed = 1 WHERE chain = $1 AND position = $2",
        Place::Url(..) => "UPDATE checkpoints SET posted = 1 WHERE chain = $1 AND position = $2",
    };
    let query = sqlx::query(query).bind(note.chain.clone()).bind(note.position);
    query.execute(app.store.pool()).await.map(|_| ())
}

impl Place<'_> {
    /// The URL can hold a secret.
    fn failed(self, why: impl Display) -> Failed {
        match self {
            Self::File(path) => tracing::warn!("no checkpoint to `{}`: {why}", path.display()),
            Self::Url(..) => tracing::warn!("no checkpoint to `audit.checkpoints.url`: {why}"),
        }
        Failed
    }
}
