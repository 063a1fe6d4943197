//! Old records are removed: whole prefixes of the log, each in one transaction with a record that says what was there, so
//! that what is left can still be verified, and a removal that nobody has decided is missed.

mod range;

use std::collections::BTreeMap;
use std::time::Duration;

use accredit_policy::wire::audit::{Kind, Record};
use range::{Form, Range, range};
use sqlx::AnyConnection;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::app::App;
use crate::chain::Head;
use crate::checkpoint::sign::{Notary, Outside};
use crate::clock;
use crate::error::ApiError;
use crate::store::{self, Base, Order, Statement, insert};

/// How often it is looked for what is too old.
const PAUSE: Duration = Duration::from_secs(3600);

/// Who has to have had a record before it goes.
#[derive(Clone, Copy, Debug)]
pub enum Reader {
    /// The collector.
    Collector,
    /// Nobody.
    None,
}

/// Removes what is older than `keep`, for as long as the process runs.
pub fn follow(app: &App, keep: Duration, reader: Reader) -> JoinHandle<()> {
    let app = app.clone();
    tokio::spawn(async move {
        loop {
            match round(&app.store, &app.notary, keep, reader).await {
                Ok(Step::More) => continue,
                Ok(Step::Done) => {}
                Err(error) => tracing::error!("old audit records were not removed: {}", error.internal),
            }
            sleep(PAUSE).await;
        }
    })
}

/// Whether there is more to remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    More,
    Done,
}

async fn round(base: &Base, notary: &Notary, keep: Duration, reader: Reader) -> Result<Step, ApiError> {
    let mut order = base.begin().await?;
    let Some(range) = range(&mut order, notary.key(), keep, reader).await? else {
        return Ok(Step::Done);
    };
    let heads = heads(&mut order, range).await?;
    let record = Record {
        id: clock::id()?,
        time: clock::now().rfc3339(),
        kind: Kind::Cut,
        heads: heads.iter().map(Head::told).collect(),
        ..Record::default()
    };
    // First: where all records go, the next one still has the number after theirs.
    insert(&mut order, &[&record]).await?;
    forget(&mut order, notary.outside(), range, &heads).await?;
    // Last: a partition is locked against all who read, until the commit.
    remove(&mut order, range).await?;
    order.commit().await?;
    // Until it is signed, it could be anybody's.
    notary.ask();
    let Range { first, last, form } = range;
    tracing::info!(first, last, ?form, "old audit records were removed");
    Ok(Step::More)
}

/// Where each chain ends among what is removed. One of which an earlier removal has taken all but what is left, is told again:
/// that record goes one day, too.
async fn heads(order: &mut Order<'_>, range: Range) -> Result<Vec<Head>, ApiError> {
    let mut heads: BTreeMap<String, Head> = BTreeMap::new();
    // What was removed lies below all that is there. Another end is a forgery, and would be signed for with the rest.
    let gone = |head: &Head| i64::try_from(head.seq).is_ok_and(|seq| seq < range.first);
    for head in earlier(order).await?.into_iter().filter(gone) {
        // One row is enough: all others wait for this transaction.
        let query = sqlx::query("SELECT 1 FROM audit WHERE chain = $1 AND position > $2 LIMIT 1");
        let query = query.bind(head.chain.clone()).bind(i64::try_from(head.length).unwrap_or(i64::MAX));
        if query.fetch_optional(&mut **order).await?.is_some() {
            heads.insert(head.chain.clone(), head);
        }
    }
    let ends = match range.form {
        Form::Rows => ends(order, range.last).await?,
        Form::Partition => ends_by_chain(order, range).await?,
    };
    heads.extend(ends.into_iter().map(|head| (head.chain.clone(), head)));
    Ok(heads.into_values().collect())
}

/// The ends among a few records.
async fn ends(connection: &mut AnyConnection, last: i64) -> Result<Vec<Head>, sqlx::Error> {
    let query = "SELECT chain, position, seq, hash FROM audit WHERE seq IN \
                 (SELECT MAX(seq) FROM audit WHERE seq <= $1 GROUP BY chain)";
    let rows = sqlx::query(query).bind(last).fetch_all(connection).await?;
    rows.iter().map(store::read).collect()
}

/// The same of a whole partition, whose own index of chains is gone through from the end, by one step for each.
async fn ends_by_chain(connection: &mut AnyConnection, range: Range) -> Result<Vec<Head>, sqlx::Error> {
    let mut ends: Vec<Head> = Vec::new();
    loop {
        let mut statement = Statement::new("SELECT chain, position, seq, hash FROM audit WHERE seq BETWEEN ");
        statement.bind(range.first).push(" AND ").bind(range.last);
        if let Some(end) = ends.last() {
            statement.push(" AND chain < ").bind(end.chain.clone());
        }
        statement.push(" ORDER BY chain DESC, position DESC LIMIT 1");
        let Some(row) = statement.build()?.fetch_optional(&mut *connection).await? else {
            return Ok(ends);
        };
        ends.push(store::read(&row)?);
    }
}

/// What the last removal has told.
async fn earlier(connection: &mut AnyConnection) -> Result<Vec<Head>, ApiError> {
    let query = sqlx::query_scalar("SELECT record FROM audit WHERE kind = 'cut' ORDER BY seq DESC LIMIT 1");
    let Some(text): Option<String> = query.fetch_optional(connection).await? else {
        return Ok(Vec::new());
    };
    let record: Record = serde_json::from_str(&text).map_err(ApiError::unavailable)?;
    Ok(record.heads.iter().filter_map(Head::read).collect())
}

/// Forgets checkpoints of what goes, and the chains of which nothing is left: their writers have rested for too long.
async fn forget(
    connection: &mut AnyConnection,
    outside: &Outside,
    range: Range,
    heads: &[Head],
) -> Result<(), sqlx::Error> {
    // A place outside that is away gets all of them when it is back.
    let brought = sqlx::query("DELETE FROM checkpoints WHERE seq <= $1 AND filed >= $2 AND posted >= $3");
    let [file, url] = [outside.file.is_some(), outside.url.is_some()].map(i64::from);
    brought.bind(range.last).bind(file).bind(url).execute(&mut *connection).await?;
    for head in heads {
        let gone = "DELETE FROM chains WHERE id = $1 AND \
                    (SELECT 1 FROM audit WHERE chain = $1 AND position > $2 LIMIT 1) IS NULL";
        let gone = sqlx::query(gone).bind(head.chain.clone());
        gone.bind(i64::try_from(head.length).unwrap_or(i64::MAX)).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn remove(order: &mut Order<'_>, range: Range) -> Result<(), sqlx::Error> {
    match range.form {
        Form::Partition => order.remove_partitions(range.last).await,
        Form::Rows => {
            for query in ["DELETE FROM audit WHERE seq <= $1", "DELETE FROM audit_actors WHERE seq <= $1"] {
                sqlx::query(query).bind(range.last).execute(&mut **order).await?;
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
