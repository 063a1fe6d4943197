//! `GET /v1/audit/export`: the whole log, in a form that `accredit audit verify` reads.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use futures_util::stream;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::line;
use crate::app::App;
use crate::error::ApiError;
use crate::operator::Operator;
use crate::store::{self, NotKept};

/// How many rows are read at once.
const PAGE: i64 = 256;

/// Answers with the records there are now, then the key and the checkpoints of them.
pub async fn answer(State(app): State<App>, _: Operator) -> Result<impl IntoResponse, ApiError> {
    // What was told before the question is in the answer.
    app.store.ready().await?;
    // A removal just before this would stand there unsigned, which is how a forged one looks.
    if let Some(head) = app.store.head().await {
        app.notary.sign(&app.store, head).await?;
    }
    let query = sqlx::query_scalar("SELECT COALESCE(MAX(seq), 0) FROM audit");
    let end = query.fetch_one(app.store.pool()).await?;
    let begin = Reader { app, end, next: Next::Records(0) };
    // Pages, and not one long transaction: whoever reads slowly holds nothing.
    let lines = stream::try_unfold(begin, |mut reader| async move {
        let lines =
            reader.page().await.inspect_err(|error| tracing::error!("the export of the audit broke off: {error}"));
        Ok::<_, NotKept>(lines?.map(|lines| (Bytes::from(lines), reader)))
    });
    let fixed = [(header::CONTENT_TYPE, "application/x-ndjson"), (header::CACHE_CONTROL, "no-store")];
    Ok((fixed, Body::from_stream(lines)))
}

/// How far the export is.
struct Reader {
    app: App,
    /// The last record of it.
    end: i64,
    next: Next,
}

enum Next {
    /// Records after this one.
    Records(i64),
    /// The key.
    Key,
    /// Checkpoints after this chain and position.
    Checkpoints(String, i64),
    Nothing,
}

impl Reader {
    /// The next lines, `None` at the end.
    async fn page(&mut self) -> Result<Option<String>, NotKept> {
        loop {
            let lines = match &self.next {
                Next::Records(after) => self.records(*after).await?,
                Next::Key => {
                    self.next = Next::Checkpoints(String::new(), 0);
                    line::key(&self.app.notary.key().to_string()).map_err(broken)?
                }
                Next::Checkpoints(chain, after) => self.checkpoints(chain.clone(), *after).await?,
                Next::Nothing => return Ok(None),
            };
            if !lines.is_empty() {
                return Ok(Some(lines));
            }
        }
    }

    async fn records(&mut self, after: i64) -> Result<String, NotKept> {
        let query = sqlx::query(
            "SELECT seq, chain, position, hash, record FROM audit WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3",
        );
        let rows = query.bind(after).bind(self.end).bind(PAGE).fetch_all(self.app.store.pool()).await?;
        let mut lines = String::new();
        for row in &rows {
            lines.push_str(&record(row)?);
        }
        self.next = match rows.last() {
            Some(last) => {
                self.cut(after).await?;
                Next::Records(last.try_get("seq")?)
            }
            None if after < self.end => return Err(broken("records were removed meanwhile")),
            None => Next::Key,
        };
        Ok(lines)
    }

    /// Fails where old records were removed since: what was sent already ends in a gap.
    async fn cut(&self, after: i64) -> Result<(), NotKept> {
        let query = sqlx::query_scalar("SELECT COALESCE(MIN(seq), 0) FROM audit");
        let first: i64 = query.fetch_one(self.app.store.pool()).await?;
        match after > 0 && first > after.saturating_add(1) {
            true => Err(broken("records were removed meanwhile")),
            false => Ok(()),
        }
    }

    async fn checkpoints(&mut self, chain: String, after: i64) -> Result<String, NotKept> {
        let query = sqlx::query(
            "SELECT chain, position, note FROM checkpoints WHERE (chain > $1 OR chain = $1 AND position > $2) \
             AND seq <= $3 ORDER BY chain, position LIMIT $4",
        );
        let query = query.bind(chain).bind(after).bind(self.end).bind(PAGE);
        let rows = query.fetch_all(self.app.store.pool()).await?;
        let mut lines = String::new();
        for row in &rows {
            lines.push_str(&line::checkpoint(row.try_get("note")?).map_err(broken)?);
        }
        self.next = match rows.last() {
            Some(last) => Next::Checkpoints(last.try_get("chain")?, last.try_get("position")?),
            None => Next::Nothing,
        };
        Ok(lines)
    }
}

fn record(row: &AnyRow) -> Result<String, NotKept> {
    let head = store::read(row)?;
    line::entry(head.seq, &head.chain, head.length, &head.hash.to_string(), row.try_get("record")?).map_err(broken)
}

fn broken(why: impl std::fmt::Display) -> NotKept {
    NotKept::from(sqlx::Error::Protocol(why.to_string()))
}
