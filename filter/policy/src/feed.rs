//! The broker's revocations in one VM: what they are, up to when they are known, and when to ask for more.
//!
//! Sans-IO: [`Feed::wanted`] says what to ask for, the shell brings the answer back with [`Feed::arrived`]. Each question is
//! held by the broker until something happens or its time is over, and is followed by the next at once.
//!
//! ```text
//!  asked ──── held by the broker ────▶ told ─▶ asked again …
//!    └ all that was revoked before this moment is known once the answer is there
//! ```
//!
//! The age of what is known counts from the question, not from its answer: an answer that was long under way, or held back,
//! says nothing of what came after it was written.

use std::time::Duration;

use crate::fetch::{Answer, Document, Fetch, Jitter};
use crate::policy::Broker;
use crate::revocation::Revocations;
use crate::secret::Secret;
use crate::time::Time;
use crate::token::Verified;
use crate::wire::exchange;
use crate::wire::feed::{self, Cursor, PATH, Page};

/// The longest time a question is held.
const HELD: Duration = Duration::from_secs(25);

/// The first and the longest pause after a question that was not answered.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What is revoked, as one VM knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Feed {
    /// How old it may be.
    max_age: Duration,
    known: Revocations,
    /// What is told from the beginning, until it is all there.
    renewed: Option<Revocations>,
    cursor: Cursor,
    /// Everything that was revoked before this moment is known.
    told: Option<Time>,
    follows: bool,
    flight: Option<Flight>,
    /// How many questions were asked.
    asked: u64,
    wanted: bool,
    due: Time,
    /// Questions in a row that were not answered.
    failures: u32,
    jitter: Jitter,
}

/// A question under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Flight {
    /// Tells it from those before: their answers say nothing of what came between.
    number: u64,
    asked: Time,
    /// How long the broker may hold it.
    wait: Duration,
}

/// What is known of a token or a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is not revoked.
    Good,
    /// It is revoked.
    Revoked,
    /// What is known is too old to say.
    Stale,
    /// The first answer is under way.
    Waits,
}

/// How the feed is, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// How old what is known is; `None` before the first answer.
    pub age: Option<Duration>,
    /// How many targets are revoked.
    pub targets: usize,
}

impl Feed {
    /// Nothing known yet, and nothing to be asked before [`Self::follow`]. `seed` spreads the questions of many workers.
    pub fn new(max_age: Duration, seed: u64) -> Self {
        Self {
            max_age,
            known: Revocations::default(),
            renewed: None,
            cursor: Cursor::default(),
            told: None,
            follows: false,
            flight: None,
            asked: 0,
            wanted: false,
            due: Time::default(),
            failures: 0,
            jitter: Jitter::new(seed),
        }
    }

    /// Where there is no broker to ask, as offline: nothing is revoked.
    pub fn offline() -> Self {
        Self { told: Some(Time::default()), ..Self::new(Duration::MAX, 0) }
    }

    /// Begins to ask, and goes on with it: a VM without a request, such as the main thread's, never does.
    pub fn follow(&mut self, now: Time) {
        if !self.follows && self.max_age < Duration::MAX {
            self.follows = true;
            self.ask(now);
        }
    }

    /// Asks again where that is due, and forgets what can hit nothing any more.
    pub fn tick(&mut self, now: Time) {
        // A clock that was set back would keep what is known young for as long as it was.
        self.told = self.told.map(|told| told.min(now));
        self.flight = self.flight.map(|flight| Flight { asked: flight.asked.min(now), ..flight });
        self.due = self.due.min(now.plus(PAUSES.1));
        // The host has forgotten it.
        let lost = |flight: Flight| now.since(flight.asked) > self.patience(flight.wait).saturating_add(PAUSES.1);
        if self.flight.is_some_and(lost) {
            self.fail(now);
        }
        if self.follows && self.flight.is_none() && now >= self.due {
            self.ask(now);
        }
        self.known.forget(now);
    }

    /// Whether the token, in a call of `tool` on `server`, may be used.
    pub fn judge(&self, verified: &Verified, server: &str, tool: Option<&str>, now: Time) -> Standing {
        match self.told {
            Some(_) if self.known.hit(verified, server, tool) => Standing::Revoked,
            Some(told) if now.since(told) <= self.max_age => Standing::Good,
            None if self.flight.is_some() && self.failures == 0 => Standing::Waits,
            Some(_) | None => Standing::Stale,
        }
    }

    /// Whether a call is revoked that was let through before. Without news it goes on.
    pub fn hits(&self, verified: &Verified, server: &str, tool: Option<&str>) -> bool {
        self.known.hit(verified, server, tool)
    }

    /// Whether a tool that is listed is revoked for a token in good standing.
    pub fn hides(&self, verified: &Verified, server: &str, tool: &str) -> bool {
        self.known.call(server, tool, verified.claims().issued)
    }

    /// Whether there is something to be asked.
    pub fn wants(&self) -> bool {
        self.wanted
    }

    /// Takes the question to ask now, authenticated as the proxy with this secret.
    pub fn wanted(&mut self, broker: &Broker, secret: &Secret) -> Option<Fetch> {
        let Flight { number, wait, .. } = self.flight.filter(|_| std::mem::take(&mut self.wanted))?;
        let Cursor { seq, mark } = &self.cursor;
        Some(Fetch {
            document: Document::Revocations(number),
            url: PATH.to_owned(),
            cluster: broker.cluster.clone(),
            authority: broker.authority.clone(),
            path: format!("{PATH}?after={seq}&mark={mark}&wait={}ms", wait.as_millis()),
            accept: "application/json",
            authorization: broker.client.as_ref().map(|client| exchange::basic(&client.id, secret)),
            patience: self.patience(wait),
        })
    }

    /// Takes in what came to the question of this number. `Ok(true)` when something has changed; the error says why the
    /// answer is none.
    pub fn arrived(&mut self, number: u64, answer: &Answer<'_>, now: Time) -> Result<bool, &'static str> {
        let flight = self.flight.filter(|flight| flight.number == number).ok_or("comes too late")?;
        match answer.body.ok_or("could not be fetched").and_then(|body| feed::read(body, &self.cursor)) {
            Ok(page) => Ok(self.turn(page, flight, now)),
            Err(why) => {
                self.fail(now);
                Err(why)
            }
        }
    }

    /// How the feed is.
    pub fn health(&self, now: Time) -> Health {
        Health { age: self.told.map(|told| now.since(told)), targets: self.known.len() }
    }

    /// Whether it was asked for at all.
    pub fn follows(&self) -> bool {
        self.follows
    }

    fn turn(&mut self, page: Page, flight: Flight, now: Time) -> bool {
        if page.reset {
            self.renewed = Some(Revocations::default());
        }
        let changes = page.reset || !page.changes.is_empty();
        // What is told from the beginning counts once it is whole; until then the old counts.
        let revocations = self.renewed.as_mut().unwrap_or(&mut self.known);
        for change in &page.changes {
            match change.lifts {
                true => revocations.lift(&change.target),
                false => revocations.add(change.revocation()),
            }
        }
        self.cursor = Cursor { seq: page.seq, mark: page.mark };
        if !page.more {
            self.known = self.renewed.take().unwrap_or_else(|| std::mem::take(&mut self.known));
            self.told = Some(flight.asked);
        }
        self.failures = 0;
        // A broker that holds nothing would be asked without a pause.
        let hasty = !changes && now.since(flight.asked) < flight.wait.checked_div(2).unwrap_or_default();
        if hasty {
            self.rest(PAUSES.0, now)
        } else {
            self.ask(now)
        }
        changes
    }

    fn ask(&mut self, now: Time) {
        self.asked = self.asked.wrapping_add(1);
        self.flight = Some(Flight { number: self.asked, asked: now, wait: self.wait() });
        self.wanted = true;
    }

    fn fail(&mut self, now: Time) {
        let pause = PAUSES.0.saturating_mul(2_u32.saturating_pow(self.failures)).min(PAUSES.1);
        self.failures = self.failures.saturating_add(1);
        self.rest(pause, now);
    }

    fn rest(&mut self, pause: Duration, now: Time) {
        self.flight = None;
        self.wanted = false;
        self.due = now.plus(self.jitter.shorten(pause));
    }

    /// How long the broker may hold the question. Of three such spans within `max_age` one answer may fail; and what is
    /// doubtful is asked for at once.
    fn wait(&self) -> Duration {
        match (self.told, self.failures, &self.renewed) {
            (Some(_), 0, None) => self.max_age.checked_div(3).unwrap_or_default().min(HELD),
            _ => Duration::ZERO,
        }
    }

    /// How long a question may take that is held so long.
    fn patience(&self, wait: Duration) -> Duration {
        let third = self.max_age.checked_div(3).unwrap_or_default();
        wait.saturating_add(third.min(Duration::from_secs(5)))
    }
}

#[cfg(test)]
mod tests;
