//! When status lists are fetched, and for how long they are trusted.

use serde_json::json;

use super::*;
use crate::testing::{NOW, policy_json};
use crate::token::encode;

const URI: &str = "https://idp.example.test/status/1";
const MAX_AGE: Duration = Duration::from_secs(60);

/// One worker and an issuer whose status lists it asks.
struct Worker {
    policy: Policy,
    lists: Lists,
    now: Time,
}

impl Worker {
    fn new() -> Self {
        let mut json = policy_json();
        json["issuers"]["corp"]["status"] = json!({ "cluster": "status", "max_age": "60s" });
        Self { policy: crate::config::read(json).unwrap(), lists: Lists::default(), now: NOW }
    }

    fn after(&mut self, seconds: u64) -> &mut Self {
        self.now = self.now.plus(Duration::from_secs(seconds));
        self
    }

    /// Looks a token up that stands at `index` of the list at `uri`.
    fn find(&mut self, uri: &str, index: u64) -> Lookup {
        let listing = Listing { list: Resource::parse(uri).unwrap(), index };
        self.lists.find(self.policy.issuer("corp").unwrap(), &listing, MAX_AGE, self.now)
    }

    fn fetches(&mut self) -> Vec<String> {
        self.lists.wanted(&self.policy).into_iter().map(|fetch| fetch.path).collect()
    }

    /// The list arrives: one byte a token.
    fn brings(&mut self, statuses: &[u8], ttl: Option<u64>) {
        self.lands(URI, statuses, ttl.map(|ttl| ("ttl", ttl)));
    }

    /// The list at `uri` arrives, with one more claim.
    fn lands(&mut self, uri: &str, statuses: &[u8], claim: Option<(&str, u64)>) {
        self.arrives(uri, statuses, claim).unwrap();
    }

    fn arrives(&mut self, uri: &str, statuses: &[u8], claim: Option<(&str, u64)>) -> Result<(), &'static str> {
        let packed = miniz_oxide::deflate::compress_to_vec_zlib(statuses, 6);
        let mut claims =
            json!({ "sub": uri, "iat": NOW.seconds(), "status_list": { "bits": 8, "lst": encode(&packed) } });
        if let Some((name, value)) = claim {
            claims[name] = json!(value);
        }
        let (payload, now) = (claims.to_string(), self.now);
        let prove = |_: &str| List::read(payload.as_bytes(), uri, now);
        let answer = Answer { body: Some(b"token"), cache_control: None };
        self.lists.arrived((self.policy.issuer("corp").unwrap(), uri), &answer, prove, now)
    }

    fn fails(&mut self) {
        let prove = |_: &str| panic!("nothing came");
        let arrived =
            self.lists.arrived((self.policy.issuer("corp").unwrap(), URI), &Answer::default(), prove, self.now);
        assert!(arrived.is_err());
    }
}

const VALID: Lookup = Lookup::Judged(Ok(()));

fn refused(lookup: &Lookup) -> bool {
    matches!(lookup, Lookup::Judged(Err(_)))
}

#[test]
fn many_wait_for_one_fetch_and_are_judged_by_it() {
    let mut worker = Worker::new();
    assert!((0..100).all(|index| worker.find(URI, index) == Lookup::Waits));
    assert_eq!(worker.fetches(), ["/status/1"]);
    worker.brings(&[0, 1, 2], None);
    assert_eq!(worker.find(URI, 0), VALID);
    assert!((1..5).all(|index| refused(&worker.find(URI, index))));
    assert!(worker.fetches().is_empty());
}

#[test]
fn a_list_is_renewed_before_anyone_has_to_wait() {
    let mut worker = Worker::new();
    worker.find(URI, 0);
    worker.fetches();
    worker.brings(&[0], None);
    assert_eq!((worker.after(29).find(URI, 0), worker.fetches().len()), (VALID, 0));
    assert_eq!((worker.after(1).find(URI, 0), worker.fetches().len()), (VALID, 1));
    worker.brings(&[1], Some(5));
    assert!(refused(&worker.find(URI, 0)), "a list that is there counts at once");
    assert!(refused(&worker.after(4).find(URI, 0)) && worker.fetches().is_empty());
    assert!(refused(&worker.after(1).find(URI, 0)) && worker.fetches().len() == 1, "the list's own `ttl` is shorter");
}

#[test]
fn a_list_that_cannot_be_renewed_is_trusted_until_max_age_and_no_longer() {
    let mut worker = Worker::new();
    assert_eq!((worker.find(URI, 0), worker.fetches().len()), (Lookup::Waits, 1));
    worker.fails();
    assert_eq!((worker.find(URI, 0), worker.fetches().len()), (Lookup::Unavailable, 0));
    assert_eq!((worker.after(1).find(URI, 0), worker.fetches().len()), (Lookup::Waits, 1));
    worker.brings(&[0], None);
    assert_eq!(worker.after(59).find(URI, 0), VALID);
    worker.fetches();
    worker.fails();
    worker.after(1);
    assert_eq!((worker.find(URI, 0), worker.fetches().len()), (Lookup::Waits, 1));
    worker.fails();
    assert_eq!(worker.find(URI, 0), Lookup::Unavailable);
}

#[test]
fn a_list_that_ends_is_renewed_before_it_does() {
    let mut worker = Worker::new();
    worker.find(URI, 0);
    worker.fetches();
    worker.lands(URI, &[0], Some(("exp", NOW.seconds() + 20)));
    assert_eq!((worker.after(10).find(URI, 0), worker.fetches().len()), (VALID, 1));
    worker.lands(URI, &[0], Some(("exp", NOW.seconds() + 20)));
    assert_eq!(worker.after(9).find(URI, 0), VALID);
    worker.fetches();
    worker.fails();
    assert_eq!((worker.after(1).find(URI, 0), worker.fetches().len()), (Lookup::Waits, 1));
}

#[test]
fn lists_under_way_are_not_pushed_out() {
    let mut worker = Worker::new();
    let place = |n: usize| format!("https://idp.example.test/status/{n}");
    assert!((0..LISTS).all(|n| worker.find(&place(n), 0) == Lookup::Waits));
    assert_eq!(worker.fetches().len(), LISTS);
    assert_eq!((worker.find(&place(LISTS), 0), worker.fetches().len()), (Lookup::Unavailable, 0));
    (0..LISTS).for_each(|n| worker.lands(&place(n), &[0], None));
    assert!((0..LISTS).all(|n| worker.find(&place(n), 0) == VALID));
    assert_eq!((worker.find(&place(LISTS), 0), worker.fetches().len()), (Lookup::Waits, 1));
}

#[test]
fn the_list_nobody_asks_for_makes_room() {
    let mut worker = Worker::new();
    for n in 0..1000 {
        // One that never arrives is given up after fifteen seconds.
        worker.after(1);
        worker.find(&format!("https://idp.example.test/status/{n}"), 0);
        worker.find(URI, 0);
    }
    assert_eq!(worker.lists.entries.len(), LISTS);
    assert!(worker.lists.entries.keys().any(|(_, place)| place == URI));
}

#[test]
fn an_older_list_does_not_undo_a_newer_one() {
    let mut worker = Worker::new();
    worker.find(URI, 0);
    assert_eq!(worker.fetches(), ["/status/1"]);
    worker.lands(URI, &[1], Some(("iat", NOW.seconds() + 30)));
    assert!(refused(&worker.find(URI, 0)));
    worker.after(31).find(URI, 0);
    assert_eq!(worker.fetches(), ["/status/1"]);
    assert!(worker.arrives(URI, &[0], Some(("iat", NOW.seconds() + 29))).is_err());
    assert!(refused(&worker.find(URI, 0)));
    worker.arrives(URI, &[0], Some(("iat", NOW.seconds() + 30))).unwrap();
    assert_eq!(worker.find(URI, 0), VALID);
}
