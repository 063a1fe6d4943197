//! Identifiers that count once, for all replicas: the `jti` of an assertion or a proof.

use accredit_policy::Time;

use super::{Base, NotKept};

impl Base {
    /// Whether `id` is new for `purpose`; it is remembered until `until`. Of two callers with one `id`, one is told so.
    pub async fn once(&self, purpose: &str, id: &str, until: Time) -> Result<bool, NotKept> {
        let query = "INSERT INTO used (purpose, id, until) VALUES ($1, $2, $3) ON CONFLICT (purpose, id) DO NOTHING";
        let until = i64::try_from(until.millis()).unwrap_or(i64::MAX);
        let done = sqlx::query(query).bind(purpose).bind(id).bind(until).execute(self.pool()).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Forgets what nobody could use any more.
    pub async fn forget_used(&self, now: Time) -> Result<(), NotKept> {
        let now = i64::try_from(now.millis()).unwrap_or(i64::MAX);
        sqlx::query("DELETE FROM used WHERE until < $1").bind(now).execute(self.pool()).await?;
        Ok(())
    }
}
