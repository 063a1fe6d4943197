//! New keys: by the schedule, by an operator, or from the file of an earlier version.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::{error, fmt, io};

use accredit_policy::revocation::{Revocation, Target};
use accredit_policy::{Secret, Time};

use super::signer::{self, Pkcs8, Signer};
use super::table::{self, Entry};
use super::{Life, follow};
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::store::{Change, Order, insert};
use crate::{admin, clock};

/// Who acts when nobody does.
const NOBODY: &str = "the schedule";

/// How a new key takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// It is published first, and the tokens of the old one stay good.
    InTurn,
    /// It signs at once, and all that older keys have signed is refused: they are in the wrong hands.
    AtOnce,
}

/// Makes a key if the schedule wants one, and forgets those whose time is over. Of several replicas, one does it.
pub async fn keep(app: &App) -> Result<(), ApiError> {
    let now = clock::now();
    let ring = app.issuer.ring();
    let over = ring.lives().iter().any(|life| life.retired_at.is_some_and(|end| end <= now));
    if !over && app.issuer.schedule().successor(ring.lives(), now).is_none() {
        return Ok(());
    }
    // Looked at again where nobody else can write.
    let mut transaction = app.store.begin().await?;
    table::forget(&mut transaction, now).await?;
    let lives = lives(&table::entries(&mut transaction).await?);
    if let Some(signs_from) = app.issuer.schedule().successor(&lives, now) {
        make(app, &mut transaction, signs_from, (NOBODY, None)).await?;
    }
    transaction.commit().await?;
    follow::reload(app).await
}

/// Makes a key because `by` wants one. Out: its identifier.
pub async fn rotate(app: &App, pace: Pace, by: &str, why: Option<&str>) -> Result<String, ApiError> {
    let now = clock::now();
    let mut transaction = app.store.begin().await?;
    let entries = table::entries(&mut transaction).await?;
    let signs_from = match pace {
        Pace::InTurn if entries.iter().any(|(_, life)| life.signs_from > now) => {
            return Err(ApiError::new(Code::Conflict, "a new key is published already, and will sign soon"));
        }
        Pace::InTurn => now.plus(app.issuer.schedule().lead),
        Pace::AtOnce => {
            revoke(app, &mut transaction, &entries, (by, why)).await?;
            now
        }
    };
    let id = make(app, &mut transaction, signs_from, (by, why)).await?;
    transaction.commit().await?;
    // It counts from here on, whatever fails.
    if pace == Pace::AtOnce {
        app.store.refresh().await?;
    }
    follow::reload(app).await?;
    Ok(id)
}

/// Takes back all that `entries` have signed, and forgets them: nobody else shall trust them either.
async fn revoke(
    app: &App,
    order: &mut Order<'_>,
    entries: &[Entry],
    (by, why): (&str, Option<&str>),
) -> Result<(), ApiError> {
    for (id, _) in entries {
        let target = Target::Key { issuer: app.issuer.url().to_owned(), id: id.clone() };
        let change = Change {
            // Whoever has the key signs with any `exp`.
            revocation: Revocation { target, before: None, until: None },
            lifts: false,
            by: by.to_owned(),
            why: why.map(str::to_owned),
        };
        app.store.revoke(order, &change).await?;
        insert(order, &[&admin::by(app, by, "key.revoke", id, why)?]).await?;
    }
    Ok(table::clear(order).await?)
}

async fn make(
    app: &App,
    order: &mut Order<'_>,
    signs_from: Time,
    who: (&str, Option<&str>),
) -> Result<String, ApiError> {
    let pkcs8 = signer::fresh().map_err(ApiError::unavailable)?;
    table::retire(order, Life::end(signs_from)).await?;
    let life = Life { created: clock::now(), signs_from, retired_at: None };
    keep_one(app, order, &pkcs8, &life, ("key.rotate", who)).await
}

/// Keeps a key, and says so on the record.
async fn keep_one(
    app: &App,
    order: &mut Order<'_>,
    pkcs8: &Pkcs8,
    life: &Life,
    (action, (by, why)): (&str, (&str, Option<&str>)),
) -> Result<String, ApiError> {
    let id = Signer::read(pkcs8).map_err(ApiError::unavailable)?.id().to_owned();
    table::insert(app, order, &id, pkcs8, life).await?;
    insert(order, &[&admin::by(app, by, action, &id, why)?]).await?;
    tracing::info!(id, by, signs_from = life.signs_from.rfc3339(), "{action}");
    Ok(id)
}

fn lives(entries: &[Entry]) -> Vec<Life> {
    entries.iter().map(|(_, life)| *life).collect()
}

/// Why the key of an earlier version is not taken over.
#[derive(Debug)]
pub enum NotImported {
    /// The file cannot be read or renamed.
    File(PathBuf, io::Error),
    /// Others may read it.
    Open(PathBuf, u32),
    /// It holds no P-256 key in PKCS#8.
    Content(PathBuf),
    /// The store does not do its part.
    Store(String),
}

impl fmt::Display for NotImported {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(formatter, "{}: {error}", path.display()),
            Self::Open(path, mode) => {
                let path = path.display();
                write!(formatter, "{path}: found mode `{mode:o}`, accepted is `600` (hint: chmod 600 {path})")
            }
            Self::Content(path) => write!(formatter, "{}: not a P-256 key in PKCS#8 PEM", path.display()),
            Self::Store(error) => write!(formatter, "the signing keys cannot be kept: {error}"),
        }
    }
}

impl error::Error for NotImported {}

/// Takes over the key that an earlier version has left in `folder`: it signs where there is no other, and verifies in any
/// case.
pub async fn import(app: &App, folder: &Path) -> Result<(), NotImported> {
    let path = folder.join("signing-key.pem");
    let Some(pkcs8) = read(&path)? else {
        return Ok(());
    };
    keep_imported(app, &pkcs8).await.map_err(|error| NotImported::Store(error.internal))?;
    let done = folder.join("signing-key.pem.imported");
    fs::rename(&path, &done).map_err(|error| NotImported::File(path, error))?;
    tracing::warn!("the signing key is in the database now: `{}` can be removed", done.display());
    Ok(())
}

fn read(path: &Path) -> Result<Option<Pkcs8>, NotImported> {
    let failed = |error| NotImported::File(path.to_owned(), error);
    let mode = match fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode() & 0o777,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if mode & 0o077 != 0 {
        return Err(NotImported::Open(path.to_owned(), mode));
    }
    let text = Secret::new(fs::read_to_string(path).map_err(failed)?);
    signer::pem(&text).map(Some).map_err(|_| NotImported::Content(path.to_owned()))
}

async fn keep_imported(app: &App, pkcs8: &Pkcs8) -> Result<(), ApiError> {
    let now = clock::now();
    let mut transaction = app.store.begin().await?;
    let first = table::entries(&mut transaction).await?.first().map(|(_, life)| life.signs_from);
    let life = match first {
        None => Life { created: now, signs_from: now, retired_at: None },
        // Another replica's key signs already.
        Some(first) => {
            let earlier = Time::from_millis(first.millis().saturating_sub(1));
            Life { created: now, signs_from: earlier, retired_at: Some(Life::end(now)) }
        }
    };
    keep_one(app, &mut transaction, pkcs8, &life, ("key.import", ("the broker", None))).await?;
    Ok(transaction.commit().await?)
}
