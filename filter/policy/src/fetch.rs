//! Documents that many requests wait for: what to fetch, when, and how long to keep it.
//!
//! Sans-IO: whoever keeps documents notes which to fetch; the shell fetches each once, from the root context, and brings
//! back what came.

use std::fmt;
use std::time::Duration;

use crate::secret::Secret;
use crate::time::Time;
use crate::token::{jwk, status};
use crate::wire::{feed, session};

/// How long the shell lets a fetch of a document take.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// After which a fetch counts as lost; longer than the shell lets one take.
const LOST: Duration = Duration::from_secs(15);

/// The pause after a failed fetch.
const RETRY: Duration = Duration::from_secs(1);

/// The shortest time a document is kept, whatever its `Cache-Control` says.
const LEAST: Duration = Duration::from_secs(10);

/// Which document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Document {
    /// The keys of the issuer of this name.
    Keys(String),
    /// A status list: the issuer's name, and where the list is.
    Statuses(String, String),
    /// The broker's keys of sessions.
    Sessions,
    /// The broker's revocations: the answer to the question of this number.
    Revocations(u64),
}

impl Document {
    /// The largest one that is read, in bytes.
    pub fn limit(&self) -> usize {
        match self {
            Self::Keys(_) => jwk::SIZE,
            Self::Statuses(..) => status::SIZE,
            Self::Sessions => session::SIZE,
            Self::Revocations(_) => feed::SIZE,
        }
    }
}

impl fmt::Display for Document {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys(issuer) => write!(formatter, "the keys of `{issuer}`"),
            Self::Statuses(issuer, _) => write!(formatter, "the statuses of `{issuer}`"),
            Self::Sessions => formatter.write_str("the keys of sessions"),
            Self::Revocations(_) => formatter.write_str("the revocations"),
        }
    }
}

/// One document to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Which.
    pub document: Document,
    /// Where it is.
    pub url: String,
    /// Through which Envoy cluster.
    pub cluster: String,
    /// The `:authority` to ask.
    pub authority: String,
    /// The `:path` to ask for.
    pub path: String,
    /// The media type to ask for.
    pub accept: &'static str,
    /// The `authorization` to send.
    pub authorization: Option<Secret>,
    /// How long it may take.
    pub patience: Duration,
}

/// What a fetch brought.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answer<'a> {
    /// The document; `None` when it could not be had.
    pub body: Option<&'a [u8]>,
    /// Its `Cache-Control`.
    pub cache_control: Option<&'a str>,
}

impl Answer<'_> {
    /// How long the answer may be kept, at most `most`.
    ///
    /// [RFC 9111 §5.2.2](https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2): `max-age` in seconds; `no-store` and
    /// `no-cache` stand for none. The bounds are ours: a document that changes by the second would be asked for on every
    /// request.
    pub fn fresh(&self, most: Duration) -> Duration {
        let directives = self.cache_control.unwrap_or_default().split(',').map(str::trim);
        let mut spans = directives.filter_map(|directive| {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            match name.to_ascii_lowercase().as_str() {
                "no-store" | "no-cache" => Some(Duration::ZERO),
                "max-age" => value.trim_matches('"').parse().ok().map(Duration::from_secs),
                _ => None,
            }
        });
        spans.next().map_or(most, |first| spans.fold(first, Duration::min)).clamp(LEAST.min(most), most)
    }
}

/// Spreads fetches of many workers over time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Jitter(u64);

impl Jitter {
    /// A sequence of its own for each seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Between three quarters of `span` and all of it.
    pub(crate) fn shorten(&mut self, span: Duration) -> Duration {
        // SplitMix64: even enough for timers, and nothing depends on its being unknown.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let cut = span.checked_div(4).unwrap_or_default();
        let part = u32::try_from(mixed >> 54).unwrap_or_default();
        let cut = cut.saturating_mul(part).checked_div(1024).unwrap_or_default();
        span.saturating_sub(cut)
    }
}

/// One document, and the fetch that renews it.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    held: Option<Held<T>>,
    due: Time,
    flight: Option<Time>,
}

#[derive(Debug)]
struct Held<T> {
    value: T,
    landed: Time,
    /// When the fetch was made that brought it: what came later to light cannot be in it.
    asked: Time,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { held: None, due: Time::default(), flight: None }
    }
}

impl<T> Kept<T> {
    /// The document, unless it is as old as `trust`.
    pub(crate) fn value(&self, trust: Duration, now: Time) -> Option<&T> {
        let held = self.held.as_ref()?;
        (now.since(held.landed) < trust).then_some(&held.value)
    }

    /// How old the document is.
    pub(crate) fn age(&self, now: Time) -> Option<Duration> {
        self.held.as_ref().map(|held| now.since(held.landed))
    }

    /// When the fetch was made that brought the document.
    pub(crate) fn asked(&self) -> Option<Time> {
        self.held.as_ref().map(|held| held.asked)
    }

    /// Whether a fetch is under way.
    pub(crate) fn flies(&self, now: Time) -> bool {
        self.flight.is_some_and(|since| now.since(since) < LOST)
    }

    /// Whether it is time to fetch.
    pub(crate) fn due(&self, now: Time) -> bool {
        !self.flies(now) && now >= self.due
    }

    /// Notes that a fetch is made now.
    pub(crate) fn depart(&mut self, now: Time) {
        self.flight = Some(now);
    }

    /// Takes in a document that has to be renewed after `span`.
    pub(crate) fn land(&mut self, value: T, span: Duration, now: Time) {
        let asked = self.flight.take().unwrap_or(now);
        self.held = Some(Held { value, landed: now, asked });
        self.due = now.plus(span);
    }

    /// Notes a fetch that brought nothing; the document there is stays.
    pub(crate) fn fail(&mut self, now: Time) {
        self.flight = None;
        self.due = self.due.max(now.plus(RETRY));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn cache_control_is_honoured_within_bounds() {
        let fresh = |text| Answer { body: None, cache_control: text }.fresh(seconds(300));
        for (span, text) in [
            (300, None),
            (300, Some("public")),
            (60, Some("public, max-age=60")),
            (60, Some("MAX-AGE=\"60\", must-revalidate")),
            (300, Some("max-age=86400")),
            (10, Some("max-age=1")),
            (10, Some("max-age=60, no-cache")),
            (10, Some("no-store")),
            (300, Some("max-age=-1")),
            (300, Some("max-age=99999999999999999999999")),
        ] {
            assert_eq!(fresh(text), seconds(span), "{text:?}");
        }
        let short = Answer { body: None, cache_control: Some("no-store") };
        assert_eq!(short.fresh(seconds(5)), seconds(5));
    }

    #[test]
    fn jitter_only_ever_shortens_and_differs_by_seed() {
        let spans = |seed| {
            let mut jitter = Jitter::new(seed);
            (0..100).map(|_| jitter.shorten(seconds(100))).collect::<Vec<_>>()
        };
        assert!(spans(1).iter().all(|span| (seconds(75)..=seconds(100)).contains(span)));
        assert_ne!(spans(1), spans(2));
        assert_eq!(spans(3), spans(3));
    }

    #[test]
    fn one_fetch_flies_at_a_time_and_a_lost_one_is_made_again() {
        let start = Time::from_seconds(1000);
        let mut kept = Kept::default();
        assert!(kept.due(start));
        kept.depart(start);
        assert!(!kept.due(start.plus(seconds(14))) && kept.due(start.plus(seconds(15))));
        kept.land("keys", seconds(60), start.plus(seconds(2)));
        assert_eq!(kept.asked(), Some(start));
        assert!(!kept.due(start.plus(seconds(61))) && kept.due(start.plus(seconds(62))));
        kept.fail(start.plus(seconds(62)));
        assert!(!kept.due(start.plus(seconds(62))) && kept.due(start.plus(seconds(63))));
        assert_eq!(kept.value(seconds(100), start.plus(seconds(101))), Some(&"keys"));
        assert_eq!(kept.value(seconds(100), start.plus(seconds(102))), None);
    }
}
