//! Identifiers that count once, for all replicas: the `jti` of an assertion, a proof or a security event.

use accredit_policy::Time;
use sqlx::AnyConnection;

use super::{Base, NotKept};
use crate::clock;

/// Whether something of that name has come before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The same has.
    Before,
    /// It has not.
    New,
    /// Something else has.
    Other,
}

impl Base {
    /// Whether `id` is new for `purpose`; it is remembered until `until`. Of two callers with one `id`, one is told so.
    pub async fn once(&self, purpose: &str, id: &str, until: Time) -> Result<bool, NotKept> {
        let query = "INSERT INTO used (purpose, id, until) VALUES ($1, $2, $3) ON CONFLICT (purpose, id) DO NOTHING";
        let done = sqlx::query(query).bind(purpose).bind(id).bind(clock::signed(until)).execute(self.pool()).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Forgets what nobody could use any more.
    pub async fn forget_used(&self, now: Time) -> Result<(), NotKept> {
        sqlx::query("DELETE FROM used WHERE until < $1").bind(clock::signed(now)).execute(self.pool()).await?;
        Ok(())
    }
}

/// Remembers, within a transaction of [`Base::begin`], that `id` came for `purpose` with this `content`, unless something of
/// that name is remembered already.
pub async fn remember(
    connection: &mut AnyConnection,
    (purpose, id): (&str, &str),
    content: &str,
    until: Time,
) -> Result<Seen, sqlx::Error> {
    let query = "SELECT content FROM used WHERE purpose = $1 AND id = $2";
    let known = sqlx::query_scalar::<_, Option<String>>(query).bind(purpose).bind(id);
    if let Some(known) = known.fetch_optional(&mut *connection).await? {
        return Ok(if known.as_deref() == Some(content) { Seen::Before } else { Seen::Other });
    }
    let query = "INSERT INTO used (purpose, id, content, until) VALUES ($1, $2, $3, $4)";
    let query = sqlx::query(query).bind(purpose).bind(id).bind(content).bind(clock::signed(until));
    query.execute(connection).await.map(|_| Seen::New)
}
