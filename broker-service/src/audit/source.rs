//! Where `verify` reads: a database in one snapshot, or the lines of an export. What is read is believed in nothing.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, Take};
use std::path::Path;

use accredit_policy::Secret;
use accredit_policy::wire::audit::{Kind, Record};
use futures_util::StreamExt as _;
use serde::de::IgnoredAny;
use sqlx::any::{AnyRow, install_default_drivers};
use sqlx::{AnyConnection, Connection as _, Executor as _, Row as _};

use crate::audit::actors::Actor;
use crate::audit::columns::{Columns, MILLIS, NAMES};
use crate::audit::line::{self, Line};
use crate::chain::Hash;
use crate::note::Key;
use crate::store::Statement;
use crate::verify::{Claims, Entry, Origin, Verifier};

/// All records with their actors.
const ACTORS: &str = "SELECT audit.seq, audit.record, link.place, link.actor, link.giver FROM audit \
                      LEFT JOIN audit_actors link ON link.seq = audit.seq ORDER BY audit.seq, link.place";

/// All actors of a record that is not there.
const STRAY: &str = "SELECT link.seq, NULL AS record, link.place, link.actor, link.giver FROM audit_actors link \
                     WHERE NOT EXISTS (SELECT 1 FROM audit WHERE audit.seq = link.seq) ORDER BY link.seq, link.place";

/// The longest line that is read: a record is far shorter.
const LINE: u64 = 16 * 1024 * 1024;

/// Where the records lie.
pub enum Source {
    /// In a database.
    Database(Box<AnyConnection>),
    /// In a file of lines.
    Export(BufReader<File>),
}

type Failure = Box<dyn Error>;

impl Source {
    /// A SQLite file.
    pub async fn sqlite(file: &Path) -> Result<Self, Failure> {
        // SQLite would make one.
        File::open(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let url = format!("sqlite://{}?mode=ro", crate::store::encode(file));
        Self::database(&url, "BEGIN").await.map_err(|error| format!("{}: {error}", file.display()).into())
    }

    /// The PostgreSQL whose URL stands in that file.
    pub async fn postgres(file: &Path) -> Result<Self, Failure> {
        let url = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let url = Secret::new(url.trim());
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.reveal().starts_with(scheme)) {
            return Err(format!("{}: accepted is a URL that begins with `postgres://`", file.display()).into());
        }
        // A partition that is dropped is gone from all snapshots, other than rows that are deleted.
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
                     LOCK TABLE audit, audit_actors IN ACCESS SHARE MODE";
        Self::database(url.reveal(), begin).await.map_err(|error| format!("{}: {error}", file.display()).into())
    }

    /// The lines of that file.
    pub fn export(file: &Path) -> Result<Self, Failure> {
        Ok(Self::Export(lines(file)?))
    }

    async fn database(url: &str, begin: &'static str) -> Result<Self, sqlx::Error> {
        install_default_drivers();
        let mut connection = AnyConnection::connect(url).await?;
        connection.execute(begin).await?;
        Ok(Self::Database(Box::new(connection)))
    }

    /// The key that lies beside the records.
    pub async fn key(&mut self) -> Result<Option<Key>, Failure> {
        let text = match self {
            Self::Database(connection) => {
                let query = sqlx::query_scalar("SELECT vkey FROM checkpoint_keys ORDER BY created, id LIMIT 1");
                query.fetch_optional(&mut **connection).await?
            }
            Self::Export(reader) => {
                let mut key = None;
                each(reader, |line| {
                    if let Some(Line::Key(text)) = line {
                        key = key.take().or(Some(text));
                    }
                })?;
                key
            }
        };
        Ok(text.and_then(|text: String| Key::parse(&text)))
    }

    /// The checkpoints that lie beside the records.
    pub async fn claims(&mut self, claims: &mut Claims) -> Result<(), Failure> {
        match self {
            Self::Database(connection) => {
                let mut notes = sqlx::query_scalar("SELECT note FROM checkpoints").fetch(&mut **connection);
                while let Some(note) = notes.next().await {
                    let note: String = note?;
                    claims.add(&note, Origin::Inside);
                }
                Ok(())
            }
            Self::Export(reader) => each(reader, |line| {
                if let Some(Line::Checkpoint(note)) = line {
                    claims.add(&note, Origin::Inside);
                }
            }),
        }
    }

    /// The last record that tells of a removal.
    pub async fn cut(&mut self) -> Result<Option<Entry>, Failure> {
        match self {
            Self::Database(connection) => {
                let mut statement = select();
                statement.push(" WHERE kind = 'cut' ORDER BY seq DESC LIMIT 1");
                let row = statement.build()?.fetch_optional(&mut **connection).await?;
                Ok(row.and_then(|row| read(&row).ok()))
            }
            Self::Export(reader) => {
                let mut cut = None;
                each(reader, |line| match line.and_then(record) {
                    Some(entry) if kind(&entry.record) == Some(Kind::Cut) => cut = Some(entry),
                    _ => {}
                })?;
                Ok(cut)
            }
        }
    }

    /// The actors beside each record, where the records lie in a database.
    pub async fn actors(&mut self, verifier: &mut Verifier) -> Result<(), Failure> {
        let Self::Database(connection) = self else {
            return Ok(());
        };
        for query in [ACTORS, STRAY] {
            let (mut rows, mut beside) = (sqlx::query(query).fetch(&mut **connection), Beside::default());
            while let Some(row) = rows.next().await {
                beside.take(&row?, verifier)?;
            }
            beside.tell(verifier);
        }
        Ok(())
    }

    /// All records, in the order of their numbers.
    pub async fn entries(&mut self, verifier: &mut Verifier) -> Result<(), Failure> {
        match self {
            Self::Database(connection) => {
                let mut statement = select();
                statement.push(" ORDER BY seq");
                let mut rows = statement.build()?.fetch(&mut **connection);
                while let Some(row) = rows.next().await {
                    let row = row?;
                    match read(&row) {
                        Ok(entry) => verifier.entry(&entry),
                        Err(_) => verifier.unreadable(row.try_get("seq").ok().and_then(unsigned)),
                    }
                }
                Ok(())
            }
            Self::Export(reader) => each(reader, |line| match line {
                Some(Line::Key(_) | Line::Checkpoint(_)) => {}
                other => match other.and_then(record) {
                    Some(entry) => verifier.entry(&entry),
                    None => verifier.unreadable(None),
                },
            }),
        }
    }
}

/// Those of one record, as they come: the rows of the next one end them.
#[derive(Default)]
struct Beside {
    seq: Option<i64>,
    record: Option<String>,
    rows: Vec<Actor>,
}

impl Beside {
    fn take(&mut self, row: &AnyRow, verifier: &mut Verifier) -> Result<(), sqlx::Error> {
        let seq = row.try_get("seq")?;
        if self.seq != seq {
            std::mem::take(self).tell(verifier);
            (self.seq, self.record) = (seq, row.try_get("record")?);
        }
        if let Some(place) = row.try_get("place")? {
            self.rows.push(Actor { place, name: row.try_get("actor")?, giver: row.try_get("giver")? });
        }
        Ok(())
    }

    fn tell(self, verifier: &mut Verifier) {
        let Self { seq, record, rows } = self;
        if let Some(seq) = seq {
            verifier.actors(unsigned(seq), record.as_deref(), rows);
        }
    }
}

/// Checkpoints that were kept elsewhere, as they were when this was opened: before the records are looked at, so that none
/// speaks of a record that came later.
pub struct Kept(BufReader<Take<File>>);

impl Kept {
    /// Those in that file.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| format!("{}: {error}", path.display());
        let file = File::open(path).map_err(failed)?;
        let data = file.metadata().map_err(failed)?;
        let length = if data.is_file() { data.len() } else { u64::MAX };
        Ok(Self(BufReader::new(file.take(length))))
    }

    /// Takes them all. A line that is something else counts as one that does not hold; one that is nothing, a write that was
    /// cut short, is only told: whoever could spoil it could remove it.
    pub fn claims(mut self, claims: &mut Claims) -> Result<(), Failure> {
        texts(&mut self.0, |text| match text.map(|text| (line::read(text), text)) {
            Some((Some(Line::Checkpoint(note)), _)) => claims.add(&note, Origin::Outside),
            Some((_, text)) if serde_json::from_str::<IgnoredAny>(text).is_ok() => claims.add("", Origin::Outside),
            _ => claims.torn(),
        })
    }
}

fn lines(file: &Path) -> Result<BufReader<File>, Failure> {
    Ok(BufReader::new(File::open(file).map_err(|error| format!("{}: {error}", file.display()))?))
}

/// Every line from the beginning.
fn each(reader: &mut BufReader<File>, mut take: impl FnMut(Option<Line>)) -> Result<(), Failure> {
    reader.rewind()?;
    texts(reader, |text| take(text.and_then(line::read)))
}

/// Every line, `None` where it is no text.
fn texts(reader: &mut impl BufRead, mut take: impl FnMut(Option<&str>)) -> Result<(), Failure> {
    loop {
        let mut bytes = Vec::new();
        if reader.by_ref().take(LINE).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(());
        }
        take(str::from_utf8(&bytes).ok().map(|text| text.trim_end_matches('\n')));
    }
}

fn record(line: Line) -> Option<Entry> {
    let Line::Entry(line::Entry { seq, chain, position, hash, record }) = line else {
        return None;
    };
    Some(Entry { seq, chain, position, hash: Hash::parse(&hash)?, record: record.get().to_owned(), columns: None })
}

fn kind(record: &str) -> Option<Kind> {
    serde_json::from_str::<Record>(record).ok().map(|record| record.kind)
}

fn select() -> Statement {
    let mut statement = Statement::new("SELECT seq, chain, position, hash, record");
    for name in NAMES {
        statement.push(", ").push(name);
    }
    statement.push(" FROM audit");
    statement
}

fn read(row: &AnyRow) -> Result<Entry, sqlx::Error> {
    let number = |name| unsigned(row.try_get(name)?).ok_or_else(|| sqlx::Error::Decode("a number below zero".into()));
    let bytes: Vec<u8> = row.try_get("hash")?;
    let hash = Hash::of(&bytes).ok_or_else(|| sqlx::Error::Decode("a hash that is none".into()))?;
    let mut columns = Columns::default();
    for (column, name) in columns.iter_mut().zip(NAMES) {
        *column = match name {
            MILLIS => Some(row.try_get::<i64, _>(name)?.to_string()),
            _ => row.try_get(name)?,
        };
    }
    let (chain, record) = (row.try_get("chain")?, row.try_get("record")?);
    Ok(Entry { seq: number("seq")?, chain, position: number("position")?, hash, record, columns: Some(columns) })
}

fn unsigned(number: i64) -> Option<u64> {
    u64::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use accredit_policy::Time;
    use harness::stack::fresh;
    use zeroize::Zeroizing;

    use super::*;
    use crate::chain::Head;
    use crate::checkpoint::Checkpoint;
    use crate::note::Signer;

    fn said(path: &Path, more: &str) -> Claims {
        let kept = Kept::open(path).unwrap();
        std::fs::write(path, std::fs::read_to_string(path).unwrap() + more).unwrap();
        let mut claims = Claims::new(Some(signer().key().clone()));
        kept.claims(&mut claims).unwrap();
        claims
    }

    fn signer() -> Signer {
        Signer::new("broker/audit", &Zeroizing::new(vec![7; 32])).unwrap()
    }

    fn note(seconds: u64) -> String {
        let mut head = Head::new("c".into());
        head.push(seconds, b"{}");
        line::checkpoint(&Checkpoint { head, time: Time::from_seconds(seconds) }.sign(&signer())).unwrap()
    }

    #[test]
    fn what_comes_after_the_file_was_opened_is_not_held_against_the_log() {
        let path = fresh("source-kept").join("checkpoints");
        std::fs::write(&path, note(1)).unwrap();
        let verdict = Verifier::new(said(&path, &note(2)), None).finish(Time::from_seconds(9));
        assert_eq!((verdict.checkpoints, verdict.newest), (1, Some(Time::from_seconds(1))));
    }

    #[test]
    fn a_line_that_was_cut_short_is_told_and_no_fault_while_another_is_one() {
        let path = fresh("source-torn").join("checkpoints");
        let verdict = |lines: &str| {
            std::fs::write(&path, lines).unwrap();
            let verdict = Verifier::new(said(&path, ""), None).finish(Time::from_seconds(9));
            (verdict.torn, verdict.findings.iter().filter(|one| one.fault.name() == "checkpoint").count())
        };
        assert_eq!(verdict("{\"check\n"), (1, 0));
        assert_eq!(verdict("{\"checkpoint\":\"x\"}\n{}\n"), (0, 2));
    }
}
