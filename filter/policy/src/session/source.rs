//! Where the keys of sessions come from: the operator's own, or the broker's, fetched when the first session needs them
//! and renewed from then on.

use std::time::Duration;

use super::Sealer;
use crate::fetch::{Answer, Document, Fetch, Jitter, Kept, PATIENCE};
use crate::policy::Broker;
use crate::secret::Secret;
use crate::time::Time;
use crate::wire::exchange;
use crate::wire::session::{self, PATH};

/// The shortest and the longest time from one fetch to the next, whatever the broker says.
const LEAST: Duration = Duration::from_secs(5);
const MOST: Duration = Duration::from_secs(24 * 3600);

/// The keys of sessions in one VM.
#[derive(Debug)]
pub struct Sessions(Source);

#[derive(Debug)]
enum Source {
    Written(Sealer),
    Broker(Box<Fetched>),
}

#[derive(Debug)]
struct Fetched {
    kept: Kept<Sealer>,
    used: bool,
    wanted: bool,
    /// The last fetch brought nothing: the next is made in the background, and nobody waits for it.
    failed: bool,
    jitter: Jitter,
}

/// Whether there is a key to seal with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// There is.
    Now,
    /// The first fetch is under way.
    Waits,
    /// None can be had now.
    Never,
}

impl Sessions {
    /// With the keys an operator wrote down, see [`Sealer::written`].
    pub fn written(text: &Secret) -> Option<Self> {
        Sealer::written(text.reveal()).map(|sealer| Self(Source::Written(sealer)))
    }

    /// With the broker's keys. `seed` spreads the fetches of many workers.
    pub fn fetched(seed: u64) -> Self {
        let kept = Kept::default();
        Self(Source::Broker(Box::new(Fetched {
            kept,
            used: false,
            wanted: false,
            failed: false,
            jitter: Jitter::new(seed),
        })))
    }

    /// Whether a session can be sealed and opened now; if not, has the keys fetched.
    pub fn ready(&mut self, now: Time) -> Ready {
        if let Source::Broker(fetched) = &mut self.0 {
            fetched.used = true;
            fetched.renew(now);
        }
        match (&self.0, self.sealer()) {
            (_, Some(sealer)) if sealer.seals(now) => Ready::Now,
            (Source::Broker(fetched), _) if !fetched.failed && fetched.kept.flies(now) => Ready::Waits,
            _ => Ready::Never,
        }
    }

    /// What seals and opens, if there is something.
    pub fn sealer(&self) -> Option<&Sealer> {
        match &self.0 {
            Source::Written(sealer) => Some(sealer),
            // Each key has an end of its own.
            Source::Broker(fetched) => fetched.kept.value(Duration::MAX, Time::default()),
        }
    }

    /// Marks keys that are in use and due for a fetch.
    pub fn tick(&mut self, now: Time) {
        if let Source::Broker(fetched) = &mut self.0
            && fetched.used
        {
            fetched.renew(now);
        }
    }

    /// Whether keys have to be fetched.
    pub fn wants(&self) -> bool {
        matches!(&self.0, Source::Broker(fetched) if fetched.wanted)
    }

    /// Takes what has to be fetched now, authenticated as the proxy with this secret.
    pub fn wanted(&mut self, broker: &Broker, secret: &Secret) -> Option<Fetch> {
        let Source::Broker(fetched) = &mut self.0 else {
            return None;
        };
        std::mem::take(&mut fetched.wanted).then(|| Fetch {
            document: Document::Sessions,
            url: PATH.to_owned(),
            cluster: broker.cluster.clone(),
            authority: broker.authority.clone(),
            path: PATH.to_owned(),
            accept: "application/json",
            authorization: broker.client.as_ref().map(|client| exchange::basic(&client.id, secret)),
            patience: PATIENCE,
        })
    }

    /// Takes in what the fetch brought; one that brought nothing usable leaves the old keys in place.
    pub fn arrived(&mut self, answer: &Answer<'_>, now: Time) -> Result<(), &'static str> {
        let Source::Broker(fetched) = &mut self.0 else {
            return Ok(());
        };
        match answer.body.ok_or("could not be fetched").and_then(session::read) {
            Ok((sealer, next)) => {
                let span = fetched.jitter.shorten(Duration::from_secs(next).clamp(LEAST, MOST));
                fetched.failed = false;
                fetched.kept.land(sealer, span, now);
                Ok(())
            }
            Err(why) => {
                fetched.failed = true;
                fetched.kept.fail(now);
                Err(why)
            }
        }
    }
}

impl Fetched {
    fn renew(&mut self, now: Time) {
        if self.kept.due(now) {
            self.kept.depart(now);
            self.wanted = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Principal;
    use crate::testing::{NOW, policy};

    const ALICE: Principal<'_> = Principal { server: "crm", issuer: "i", agent: "a", subject: "s" };

    fn document(next: u64) -> String {
        let key =
            session::Key { secret: vec![3; 32].into(), not_before: NOW.seconds(), not_after: later(100).seconds() };
        session::Keys { keys: vec![key], next }.write().reveal().to_owned()
    }

    fn later(seconds: u64) -> Time {
        NOW.plus(Duration::from_secs(seconds))
    }

    fn fetch(sessions: &mut Sessions) -> Option<Fetch> {
        let mut broker = policy().broker;
        broker.client = Some(crate::policy::Client { id: "proxy:1".into(), secret_env: "X".into() });
        sessions.wanted(&broker, &Secret::new("p+q"))
    }

    #[test]
    fn keys_are_fetched_once_for_the_first_session_and_renewed_from_then_on() {
        let mut sessions = Sessions::fetched(1);
        sessions.tick(NOW);
        assert!(!sessions.wants(), "nobody has a session");
        assert_eq!(sessions.ready(NOW), Ready::Waits);
        assert_eq!(sessions.ready(NOW), Ready::Waits);
        let made = fetch(&mut sessions).unwrap();
        assert_eq!((&*made.cluster, &*made.authority, &*made.path), ("broker", "broker.internal", "/v1/session-keys"));
        assert_eq!(made.authorization, Some(exchange::basic("proxy:1", &Secret::new("p+q"))));
        assert!(fetch(&mut sessions).is_none() && sessions.sealer().is_none());

        let body = document(40);
        sessions.arrived(&Answer { body: Some(body.as_bytes()), cache_control: None }, NOW).unwrap();
        assert_eq!(sessions.ready(NOW), Ready::Now);
        assert!(sessions.sealer().unwrap().seal("s-1", &ALICE, NOW).is_ok());
        sessions.tick(later(29));
        assert!(!sessions.wants());
        sessions.tick(later(40));
        assert!(sessions.wants());
    }

    #[test]
    fn keys_outlive_fetches_that_fail_but_not_their_own_end() {
        let mut sessions = Sessions::fetched(1);
        assert_eq!(sessions.ready(NOW), Ready::Waits);
        assert!(sessions.arrived(&Answer::default(), NOW).is_err());
        assert_eq!(sessions.ready(NOW), Ready::Never);
        assert_eq!(sessions.ready(later(1)), Ready::Never, "nobody waits again for a broker that is away");
        assert!(fetch(&mut sessions).is_some());
        let body = document(0);
        sessions.arrived(&Answer { body: Some(body.as_bytes()), cache_control: None }, later(1)).unwrap();
        assert_eq!(sessions.ready(later(2)), Ready::Now);
        assert!(!sessions.wants(), "not every second, whatever the broker says");
        for seconds in [10, 50, 99] {
            assert_eq!(sessions.ready(later(seconds)), Ready::Now);
            assert!(sessions.arrived(&Answer { body: Some(b"{}"), cache_control: None }, later(seconds)).is_err());
        }
        assert_eq!(sessions.ready(later(100)), Ready::Never);
    }

    #[test]
    fn written_keys_are_never_fetched() {
        let mut sessions = Sessions::written(&Secret::new("0123456789abcdef0123456789abcdef")).unwrap();
        sessions.tick(NOW);
        assert_eq!(sessions.ready(NOW), Ready::Now);
        assert!(!sessions.wants() && fetch(&mut sessions).is_none());
    }
}
