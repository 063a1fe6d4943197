//! The feed between two clocks: the broker's answers, and the moments they come at.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::testing::{ISSUER, NOW, policy, proved};

const AGE: Duration = Duration::from_secs(30);

fn feed() -> Feed {
    let mut feed = Feed::new(AGE, 1);
    feed.follow(NOW);
    feed
}

fn at(millis: u64) -> Time {
    NOW.plus(Duration::from_millis(millis))
}

/// The question that is to be asked now: its number and its path.
fn asked(feed: &mut Feed) -> Option<(u64, String)> {
    let fetch = feed.wanted(&policy().broker, &Secret::default())?;
    match fetch.document {
        Document::Revocations(number) => Some((number, fetch.path)),
        other => panic!("{other:?}"),
    }
}

/// Asks, and answers at `now` with `page`.
fn tell(feed: &mut Feed, page: &Value, now: Time) -> Result<bool, &'static str> {
    let (number, _) = asked(feed).expect("a question");
    answer(feed, number, page, now)
}

fn answer(feed: &mut Feed, number: u64, page: &Value, now: Time) -> Result<bool, &'static str> {
    feed.arrived(number, &Answer { body: Some(page.to_string().as_bytes()), cache_control: None }, now)
}

fn page(after: u64, changes: &Value) -> Value {
    let seq = changes.as_array().unwrap().last().map_or(after, |change| change["seq"].as_u64().unwrap());
    json!({ "after": after, "seq": seq, "mark": format!("m{seq}"), "changes": changes })
}

/// A page that begins at the beginning.
fn reset(changes: &Value) -> Value {
    crate::testing::with(page(0, changes), "reset", json!(true))
}

fn agent(seq: u64, id: &str) -> Value {
    json!({ "seq": seq, "target": { "kind": "agent", "issuer": ISSUER, "id": id } })
}

fn standing(feed: &Feed, agent: &str, now: Time) -> Standing {
    feed.judge(&Verified::of(Arc::new(proved(agent, 600))), "crm", Some("crm_lookup"), now)
}

#[test]
fn nothing_is_asked_before_the_first_stream_and_nobody_passes_before_the_first_answer() {
    let mut idle = Feed::new(AGE, 1);
    idle.tick(at(60_000));
    assert!(!idle.wants() && idle.health(NOW).age.is_none());
    let mut feed = feed();
    assert_eq!(standing(&feed, "agent-7", NOW), Standing::Waits);
    let (number, path) = asked(&mut feed).unwrap();
    assert_eq!(path, "/v1/revocations?after=0&mark=&wait=0ms");
    assert!(asked(&mut feed).is_none(), "asked once");
    assert_eq!(answer(&mut feed, number, &reset(&json!([agent(4, "agent-7")])), at(5)), Ok(true));
    assert_eq!(standing(&feed, "agent-7", at(5)), Standing::Revoked);
    assert_eq!(standing(&feed, "agent-8", at(5)), Standing::Good);
    assert_eq!(asked(&mut feed).unwrap().1, "/v1/revocations?after=4&mark=m4&wait=10000ms");
}

#[test]
fn changes_follow_one_another() {
    let mut feed = feed();
    tell(&mut feed, &reset(&json!([])), NOW).unwrap();
    assert_eq!(tell(&mut feed, &page(0, &json!([agent(1, "agent-7")])), at(10)), Ok(true));
    assert_eq!(standing(&feed, "agent-7", at(10)), Standing::Revoked);
    let lifted = crate::testing::with(agent(2, "agent-7"), "lifts", json!(true));
    assert_eq!(tell(&mut feed, &page(1, &json!([lifted])), at(20)), Ok(true));
    assert_eq!(standing(&feed, "agent-7", at(20)), Standing::Good);
    assert_eq!(tell(&mut feed, &page(2, &json!([])), at(10_020)), Ok(false));
}

#[test]
fn age_counts_from_the_question_and_what_is_too_old_is_not_believed() {
    let mut feed = feed();
    tell(&mut feed, &reset(&json!([])), at(2_000)).unwrap();
    assert_eq!(standing(&feed, "agent-7", at(30_000)), Standing::Good);
    assert_eq!(standing(&feed, "agent-7", at(30_001)), Standing::Stale, "asked at 0, whenever the answer came");
    assert_eq!(feed.health(at(30_001)).age, Some(Duration::from_millis(30_001)));
}

#[test]
fn who_is_revoked_stays_so_when_there_is_no_news() {
    let mut feed = feed();
    tell(&mut feed, &reset(&json!([agent(1, "agent-7")])), NOW).unwrap();
    assert_eq!(standing(&feed, "agent-7", at(60_000)), Standing::Revoked);
    assert_eq!(standing(&feed, "agent-8", at(60_000)), Standing::Stale);
}

#[test]
fn a_broker_that_is_away_is_asked_again_with_pauses_that_grow() {
    let mut feed = feed();
    let mut now = NOW;
    for longest in [100, 200, 400, 800, 1600, 2000, 2000] {
        let (number, path) = asked(&mut feed).unwrap();
        assert!(path.ends_with("wait=0ms"), "an answer is wanted at once");
        assert!(feed.arrived(number, &Answer::default(), now).is_err());
        assert_eq!(standing(&feed, "agent-7", now), Standing::Stale, "nobody waits for a broker that is away");
        feed.tick(now.plus(Duration::from_millis(longest * 3 / 4 - 1)));
        assert!(!feed.wants(), "{longest}");
        now = now.plus(Duration::from_millis(longest));
        feed.tick(now);
    }
    tell(&mut feed, &reset(&json!([])), now).unwrap();
    assert_eq!(standing(&feed, "agent-7", now), Standing::Good);
}

#[test]
fn pages_from_the_beginning_count_once_they_are_whole() {
    let mut feed = feed();
    tell(&mut feed, &reset(&json!([agent(1, "agent-7")])), NOW).unwrap();
    let first = crate::testing::with(reset(&json!([agent(1, "agent-8")])), "more", json!(true));
    tell(&mut feed, &first, at(10)).unwrap();
    assert_eq!(standing(&feed, "agent-7", at(10)), Standing::Revoked, "the old list counts until the new one is whole");
    assert_eq!(standing(&feed, "agent-8", at(10)), Standing::Good);
    assert_eq!(feed.health(at(10)).age, Some(Duration::from_millis(10)), "half a list is no news");
    tell(&mut feed, &page(1, &json!([agent(2, "agent-9")])), at(20)).unwrap();
    assert_eq!(standing(&feed, "agent-7", at(20)), Standing::Good);
    assert_eq!([standing(&feed, "agent-8", at(20)), standing(&feed, "agent-9", at(20))], [Standing::Revoked; 2]);
}

#[test]
fn an_answer_that_does_not_follow_changes_nothing() {
    let mut feed = feed();
    tell(&mut feed, &reset(&json!([agent(1, "agent-7")])), NOW).unwrap();
    let before = feed.known.clone();
    for bad in [page(0, &json!([])), page(2, &json!([])), json!({}), page(1, &json!([agent(1, "agent-8")]))] {
        feed.tick(at(10_000));
        assert!(tell(&mut feed, &bad, at(10_000)).is_err(), "{bad}");
        assert_eq!((&feed.known, feed.cursor.seq), (&before, 1));
        feed.due = at(0);
    }
    assert_eq!(feed.told, Some(NOW));
}

#[test]
fn an_answer_to_an_earlier_question_is_no_news() {
    let mut feed = feed();
    tell(&mut feed, &reset(&json!([])), NOW).unwrap();
    let (lost, _) = asked(&mut feed).unwrap();
    feed.tick(at(17_000));
    assert!(feed.flight.is_some(), "it may still come");
    feed.tick(at(17_001));
    feed.tick(at(20_000));
    let (number, _) = asked(&mut feed).expect("the host has lost it");
    assert_ne!(lost, number);
    assert!(answer(&mut feed, lost, &page(0, &json!([])), at(29_000)).is_err());
    assert_eq!(feed.told, Some(NOW));
    assert_eq!(answer(&mut feed, number, &page(0, &json!([])), at(29_000)), Ok(false));
    assert_eq!(feed.told, Some(at(20_000)));
}

#[test]
fn a_clock_that_is_set_back_makes_nothing_younger_for_long() {
    let mut feed = feed();
    tell(&mut feed, &reset(&json!([])), NOW).unwrap();
    let earlier = Time::from_seconds(NOW.seconds() - 3600);
    feed.tick(earlier);
    assert_eq!(standing(&feed, "agent-7", earlier.plus(AGE)), Standing::Good);
    assert_eq!(standing(&feed, "agent-7", earlier.plus(AGE + Duration::from_millis(1))), Standing::Stale);
}

#[test]
fn a_clock_that_is_set_back_makes_no_pause_longer() {
    let mut feed = feed();
    let (number, _) = asked(&mut feed).unwrap();
    assert!(feed.arrived(number, &Answer::default(), NOW).is_err());
    let earlier = Time::from_seconds(NOW.seconds() - 3600);
    feed.tick(earlier);
    feed.tick(earlier.plus(PAUSES.1));
    assert!(feed.wants());
}

#[test]
fn a_broker_that_holds_nothing_is_not_asked_without_a_pause() {
    let mut feed = feed();
    tell(&mut feed, &reset(&json!([])), NOW).unwrap();
    tell(&mut feed, &page(0, &json!([])), at(1)).unwrap();
    assert!(!feed.wants());
    feed.tick(at(101));
    assert!(feed.wants());
}

#[test]
fn offline_nothing_is_revoked_and_nothing_asked() {
    let mut feed = Feed::offline();
    feed.follow(NOW);
    feed.tick(NOW);
    assert!(!feed.wants());
    assert_eq!(standing(&feed, "agent-7", NOW), Standing::Good);
}
