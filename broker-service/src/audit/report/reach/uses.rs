//! When what was last used, as the records tell.

use std::collections::BTreeMap;

use accredit_policy::Time;
use accredit_policy::pattern::Pattern;
use sqlx::Row as _;

use super::walk::Tool;
use crate::app::App;
use crate::audit::columns::plain;
use crate::clock;

/// The most distinct uses that are looked at.
const MOST: usize = 10_000;

/// Permitted calls of an agent, and of others with a task they have from it.
#[derive(Debug, Default)]
pub(super) struct Uses {
    /// By holder, server and tool.
    all: BTreeMap<(String, String), Vec<(String, Use)>>,
    /// Whether there are more.
    pub(super) cut: bool,
}

/// How often, and when last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    pub(super) calls: i64,
    pub(super) last: Time,
}

impl Uses {
    /// Those of `agent` since then, or ever.
    pub(super) async fn of(app: &App, agent: &str, since: Option<Time>) -> Result<Self, sqlx::Error> {
        let query = "SELECT agent, server, tool, MAX(millis) AS last, COUNT(CASE WHEN kind = 'outcome' THEN 1 END) AS calls \
                     FROM audit WHERE decision = 'permit' AND kind IN ('mint', 'outcome') AND issuer = $1 \
                     AND millis >= $2 AND seq IN (SELECT seq FROM audit WHERE agent = $3 \
                     UNION SELECT seq FROM audit_actors WHERE actor = $3) \
                     GROUP BY agent, server, tool ORDER BY last DESC LIMIT $4";
        let query = sqlx::query(query).bind(app.issuer.url()).bind(clock::signed(since.unwrap_or_default()));
        let query = query.bind(plain(agent)).bind(i64::try_from(MOST).unwrap_or(i64::MAX));
        let rows = query.fetch_all(app.store.pool()).await?;
        let mut uses = Self { cut: rows.len() >= MOST, ..Self::default() };
        for row in &rows {
            let text = |name| row.try_get::<Option<String>, _>(name).map(Option::unwrap_or_default);
            let used = Use { calls: row.try_get("calls")?, last: clock::unsigned(row.try_get("last")?) };
            uses.all.entry((text("agent")?, text("server")?)).or_default().push((text("tool")?, used));
        }
        Ok(uses)
    }

    /// The uses of all names the tool's rule is about.
    pub(super) fn of_tool(&self, tool: &Tool) -> Option<Use> {
        let pattern = Pattern::parse(&tool.name)?;
        let used = self.all.get(&(tool.holder.clone(), tool.server.clone()))?;
        let fits = used.iter().filter(|(name, _)| pattern.matches(name)).map(|(_, used)| *used);
        fits.reduce(|a, b| Use { calls: a.calls.saturating_add(b.calls), last: a.last.max(b.last) })
    }

    /// When this agent has last called anything.
    pub(super) fn of_agent(&self, id: &str) -> Option<Time> {
        let used = self.all.iter().filter(|((holder, _), _)| holder == id).flat_map(|(_, used)| used);
        used.map(|(_, used)| used.last).max()
    }
}
