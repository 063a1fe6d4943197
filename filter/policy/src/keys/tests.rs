//! When keys are fetched, and for how long they are trusted.

use serde_json::{Value, json};

use super::*;
use crate::testing::{NOW, jwk, policy_json};

const KNOWN: Option<&str> = Some("k1");

/// One worker and its issuer, whose keys are at a URL.
struct Worker {
    policy: Policy,
    keys: Keys,
    now: Time,
}

/// What became of a token with this `kid`.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Found,
    Waits,
    Unknown,
    Unavailable,
}

use Fate::{Found, Unavailable, Unknown, Waits};

impl Worker {
    fn new() -> Self {
        let mut json = policy_json();
        json["issuers"]["corp"]["jwks"] =
            json!({ "url": "https://idp.example.test/jwks.json", "cluster": "idp", "refresh": "5m" });
        Self { policy: crate::config::read(json).unwrap(), keys: Keys::new(7), now: NOW }
    }

    /// One whose keys are there.
    fn loaded() -> Self {
        let mut worker = Self::new();
        assert_eq!(worker.find(KNOWN), Waits);
        assert_eq!(worker.fetches(), 1);
        worker.brings(&["k1"]);
        worker
    }

    fn after(&mut self, seconds: u64) -> &mut Self {
        self.now = self.now.plus(Duration::from_secs(seconds));
        self
    }

    /// A token that comes now.
    fn find(&mut self, id: Option<&str>) -> Fate {
        let since = self.now;
        self.again(id, since)
    }

    /// A token that came at `since`, looked at again.
    fn again(&mut self, id: Option<&str>, since: Time) -> Fate {
        let issuer = self.policy.issuer("corp").unwrap();
        match self.keys.find(issuer, id, Algorithm::EdDsa, since, self.now) {
            Lookup::Found(_) => Found,
            Lookup::Waits => Waits,
            Lookup::Unknown => Unknown,
            Lookup::Unavailable => Unavailable,
        }
    }

    /// How many fetches are to be made now.
    fn fetches(&mut self) -> usize {
        self.keys.wanted(&self.policy).len()
    }

    fn tick(&mut self) -> usize {
        self.keys.tick(self.now);
        self.fetches()
    }

    fn brings(&mut self, ids: &[&str]) {
        let keys: Vec<Value> = ids.iter().map(|id| crate::testing::with(jwk(), "kid", json!(id))).collect();
        let document = json!({ "keys": keys }).to_string();
        self.answers(Some(document.as_bytes()), None).unwrap();
    }

    fn fails(&mut self) {
        assert!(self.answers(None, None).is_err());
    }

    fn answers(&mut self, body: Option<&[u8]>, cache_control: Option<&str>) -> Result<(), BadKeySet> {
        self.keys.arrived(self.policy.issuer("corp").unwrap(), &Answer { body, cache_control }, self.now)
    }

    fn edition(&self) -> Option<u64> {
        self.keys.edition(self.policy.issuer("corp").unwrap(), self.now)
    }
}

#[test]
fn many_wait_for_one_fetch() {
    let mut worker = Worker::new();
    assert!((0..100).all(|_| worker.find(KNOWN) == Waits));
    assert_eq!(worker.fetches(), 1);
    worker.brings(&["k1"]);
    assert_eq!((worker.find(KNOWN), worker.fetches()), (Found, 0));
}

#[test]
fn a_key_that_was_published_before_it_signed_is_found_at_once() {
    let mut worker = Worker::loaded();
    worker.after(1);
    assert_eq!((worker.find(Some("k2")), worker.fetches()), (Waits, 1));
    worker.brings(&["k1", "k2"]);
    assert_eq!(worker.find(Some("k2")), Found);
    worker.after(1);
    assert_eq!((worker.find(Some("k3")), worker.fetches()), (Waits, 1), "a fetch that brought a key was not in vain");
}

#[test]
fn made_up_keys_cause_one_fetch_in_ten_seconds() {
    let mut worker = Worker::loaded();
    let mut fetches = 0;
    for second in 0..60 {
        worker.after(1);
        let since = worker.now;
        for n in 0..10 {
            let id = format!("made-up-{second}-{n}");
            if worker.again(Some(&id), since) == Waits {
                fetches += worker.fetches();
                worker.brings(&["k1"]);
                assert_eq!(worker.again(Some(&id), since), Unknown);
            }
        }
        assert_eq!(worker.find(KNOWN), Found);
    }
    assert_eq!(fetches, 6);
}

#[test]
fn senders_that_do_not_wait_cause_no_more_fetches() {
    let mut worker = Worker::loaded();
    let mut fetches = 0;
    for _ in 0..60 {
        worker.after(1);
        if worker.find(Some("made-up")) == Waits {
            fetches += worker.fetches();
            worker.brings(&["k1"]);
        }
    }
    assert!(fetches <= 6, "{fetches} fetches in a minute");
}

#[test]
fn a_flood_does_not_ask_a_key_server_that_is_away_more_often() {
    let mut worker = Worker::loaded();
    let mut fetches = 0;
    for _ in 0..60 {
        worker.after(1);
        if worker.find(Some("made-up")) == Waits {
            fetches += worker.fetches();
            worker.fails();
        }
    }
    assert_eq!(fetches, 6);
}

#[test]
fn a_refresh_is_not_in_vain_for_what_an_earlier_fetch_was_made_for() {
    for failed in [true, false] {
        let mut worker = Worker::loaded();
        assert_eq!((worker.after(1).find(Some("made-up")), worker.fetches()), (Waits, 1));
        if failed {
            worker.fails();
        }
        assert_eq!(worker.after(300).tick(), 1, "one that was lost is made again");
        worker.brings(&["k1"]);
        assert_eq!(worker.after(1).find(Some("k2")), Waits, "{failed}");
    }
}

#[test]
fn keys_that_never_loaded_are_asked_for_every_second() {
    let mut worker = Worker::new();
    for _ in 0..5 {
        assert_eq!((worker.find(KNOWN), worker.fetches()), (Waits, 1));
        worker.fails();
        assert_eq!((worker.find(KNOWN), worker.fetches()), (Unavailable, 0));
        worker.after(1);
    }
    worker.find(KNOWN);
    worker.brings(&["k1"]);
    assert_eq!(worker.find(KNOWN), Found);
}

#[test]
fn a_refresh_comes_in_the_last_quarter_of_its_time_or_when_the_answer_says() {
    let mut worker = Worker::loaded();
    assert_eq!(worker.after(224).tick(), 0);
    assert_eq!(worker.after(76).tick(), 1);
    let document = json!({ "keys": [jwk()] }).to_string();
    worker.answers(Some(document.as_bytes()), Some("max-age=40")).unwrap();
    assert_eq!(worker.after(29).tick(), 0);
    assert_eq!(worker.after(11).tick(), 1);
}

#[test]
fn old_keys_are_trusted_for_a_day_while_they_cannot_be_renewed() {
    let mut worker = Worker::loaded();
    for _ in 0..23 {
        worker.after(3600);
        assert_eq!(worker.tick(), 1);
        worker.fails();
        assert_eq!(worker.find(KNOWN), Found);
    }
    worker.after(3599);
    assert!(worker.edition().is_some());
    worker.after(1);
    assert_eq!((worker.edition(), worker.find(KNOWN)), (None, Waits));
    worker.fails();
    assert_eq!(worker.find(KNOWN), Unavailable);
    let [health] = &worker.keys.health(worker.now)[..] else { panic!() };
    assert_eq!((health.age, health.failures), (Some(Duration::from_secs(86_400)), 24));
    assert_eq!(worker.keys.health(worker.now)[0].failures, 0, "each failure is told once");
}

#[test]
fn another_key_set_is_another_edition_and_the_same_is_not() {
    let mut worker = Worker::loaded();
    let first = worker.edition();
    worker.brings(&["k1"]);
    assert_eq!(worker.edition(), first);
    worker.brings(&["k2"]);
    assert_ne!(worker.edition(), first);
}

#[test]
fn a_warm_worker_fetches_before_the_first_token() {
    let mut worker = Worker::new();
    assert_eq!(worker.tick(), 0);
    worker.keys.warm(&worker.policy);
    assert_eq!((worker.tick(), worker.tick()), (1, 0));
}
