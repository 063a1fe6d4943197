//! The queue between records that come and a broker that does or does not take them.

use super::*;

const SECOND: Time = Time::from_seconds(1);

fn outbox(queue: usize, when_unreachable: WhenUnreachable) -> Outbox {
    Outbox::new(Audit { when_unreachable, queue, flush: Duration::from_secs(1) })
}

fn record(id: &str) -> Record {
    Record { id: id.into(), ..Record::default() }
}

fn ids(batch: &Batch) -> Vec<String> {
    let batch: audit::Batch = serde_json::from_str(&batch.body).unwrap();
    batch.records.into_iter().map(|record| record.id).collect()
}

#[test]
fn the_same_batch_comes_again_until_it_is_kept() {
    let mut outbox = outbox(65_536, WhenUnreachable::Deny);
    outbox.push(&record("a"));
    let first = outbox.batch(SECOND).unwrap();
    outbox.push(&record("b"));
    assert_eq!(outbox.batch(SECOND), None);
    outbox.settled(first.number, Word::Failed, SECOND);
    assert_eq!(outbox.batch(SECOND), None);
    let second = outbox.batch(SECOND.plus(PAUSE)).unwrap();
    assert!(ids(&first) == ["a"] && ids(&second) == ["a", "b"]);
    outbox.settled(second.number, Word::Kept, SECOND.plus(PAUSE));
    assert!(outbox.waiting() == 0 && outbox.bytes == 0);
    assert_eq!(outbox.tally(), Tally { made: 2, sent: 2, lost: 0 });
}

#[test]
fn a_word_that_never_comes_is_not_waited_for_and_a_late_one_is_about_its_own_batch() {
    let mut outbox = outbox(65_536, WhenUnreachable::Deny);
    outbox.push(&record("a"));
    let lost = outbox.batch(SECOND).unwrap();
    let late = SECOND.plus(LOST);
    assert_eq!(outbox.batch(late), None);
    outbox.push(&record("b"));
    let again = outbox.batch(late.plus(PAUSE)).unwrap();
    assert_eq!(ids(&again), ["a", "b"]);
    outbox.settled(lost.number, Word::Kept, late.plus(PAUSE));
    assert_eq!(outbox.waiting(), 2, "the late word was taken for one on the batch under way");
    outbox.settled(again.number, Word::Kept, late.plus(PAUSE));
    assert_eq!(outbox.waiting(), 0);
}

#[test]
fn a_record_the_broker_never_takes_costs_the_others_nothing_and_leaves_a_gap() {
    let mut outbox = outbox(1 << 20, WhenUnreachable::Queue);
    (0..100).for_each(|number| outbox.push(&record(&format!("r{number}"))));
    let (mut now, mut kept, mut posts) = (SECOND, Vec::new(), 0);
    while outbox.waiting() > 0 {
        now = now.plus(Duration::from_secs(1));
        let Some(batch) = outbox.batch(now) else { continue };
        let poisoned = ids(&batch).iter().any(|id| id == "r42");
        if !poisoned {
            let records: audit::Batch = serde_json::from_str(&batch.body).unwrap();
            kept.extend(records.records);
        }
        outbox.settled(batch.number, if poisoned { Word::Refused } else { Word::Kept }, now);
        posts += 1;
        assert!(posts < 30, "the batch is not cut");
    }
    outbox.push(&record("after"));
    let last: audit::Batch = serde_json::from_str(&outbox.batch(now).unwrap().body).unwrap();
    kept.extend(last.records);
    let gaps: Vec<_> = kept.iter().filter(|record| record.kind == Kind::Gap).collect();
    let [gap] = &gaps[..] else { panic!("{gaps:?}") };
    assert_eq!((gap.lost, kept.len()), (Some(1), 99 + 2));
    assert_eq!(outbox.tally(), Tally { made: 102, sent: 99, lost: 1 });
}

#[test]
fn a_broker_that_takes_nothing_gets_no_more_than_a_record_in_ten_seconds_and_calls_are_denied() {
    let mut outbox = outbox(1 << 20, WhenUnreachable::Deny);
    (0..100).for_each(|number| outbox.push(&record(&format!("r{number}"))));
    for second in 0..60 {
        let now = SECOND.plus(Duration::from_secs(second));
        while let Some(batch) = outbox.batch(now) {
            outbox.settled(batch.number, Word::Refused, now);
        }
    }
    assert!(!outbox.admits());
    let Tally { lost, .. } = outbox.tally();
    assert!((1..15).contains(&lost), "{lost} are lost");
}

#[test]
fn an_unreachable_broker_denies_calls_unless_they_may_queue() {
    for (when, admits) in [(WhenUnreachable::Deny, false), (WhenUnreachable::Queue, true)] {
        let mut outbox = outbox(65_536, when);
        outbox.push(&record("a"));
        let batch = outbox.batch(SECOND).unwrap();
        assert!(outbox.admits());
        outbox.settled(batch.number, Word::Failed, SECOND);
        assert_eq!(outbox.admits(), admits);
        let batch = outbox.batch(SECOND.plus(PAUSE)).unwrap();
        outbox.settled(batch.number, Word::Kept, SECOND.plus(PAUSE));
        assert!(outbox.admits());
    }
}

#[test]
fn a_full_queue_denies_calls_and_owns_up_to_what_it_lost() {
    let mut outbox = outbox(200, WhenUnreachable::Queue);
    let mut pushed = 0;
    while outbox.lost < 3 {
        outbox.push(&record(&format!("r{pushed}")));
        pushed += 1;
    }
    assert!(!outbox.admits());
    let batch = outbox.batch(SECOND).unwrap();
    outbox.settled(batch.number, Word::Kept, SECOND);
    outbox.push(&record("after"));
    let batch: audit::Batch = serde_json::from_str(&outbox.batch(SECOND).unwrap().body).unwrap();
    let [gap, after] = &batch.records[..] else { panic!("{batch:?}") };
    assert_eq!((gap.kind, gap.lost, after.id.as_str()), (Kind::Gap, Some(3), "after"));
    let Tally { made, sent, lost } = outbox.tally();
    assert_eq!((lost, made), (3, sent + lost + 2));
}
