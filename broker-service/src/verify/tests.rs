use accredit_policy::wire::audit;
use zeroize::Zeroizing;

use super::*;
use crate::checkpoint::Checkpoint;
use crate::note::{Key, Signer, Unsigned};

mod change;

const NOW: Time = Time::from_seconds(1_764_065_075);

fn signer(seed: u8) -> Signer {
    Signer::new("broker/audit", &Zeroizing::new(vec![seed; 32])).unwrap()
}

fn key() -> Key {
    signer(1).key().clone()
}

/// A log as brokers write it, and what they have signed.
#[derive(Clone, Default)]
struct Log {
    entries: Vec<Entry>,
    heads: BTreeMap<String, Head>,
    notes: Vec<String>,
}

impl Log {
    fn begin(&mut self, chain: &str) {
        let heads = self.heads.values().map(Head::told).collect();
        self.heads.insert(chain.to_owned(), Head::new(chain.to_owned()));
        self.write(chain, Record { kind: Kind::Chain, heads, ..Record::default() });
    }

    fn write(&mut self, chain: &str, record: Record) {
        let seq = self.entries.last().map_or(0, |entry| entry.seq).saturating_add(1);
        let record = Record { id: format!("r-{seq}"), time: NOW.rfc3339(), ..record };
        let text = serde_json::to_string(&record).unwrap();
        let head = self.heads.get_mut(chain).unwrap();
        head.push(seq, text.as_bytes());
        let Head { chain, length: position, seq, hash } = head.clone();
        self.entries.push(Entry { seq, chain, position, hash, record: text, columns: Some(columns::of(&record)) });
    }

    fn sign(&mut self, chain: &str) {
        self.notes.push(note(&self.heads[chain], 1));
    }

    /// Two writers beside each other, the first of which crashed and came back, and every kind of record.
    fn whole() -> Self {
        let mut log = Self::default();
        log.begin("a");
        log.begin("b");
        let kinds = [
            Kind::Admin,
            Kind::Intent,
            Kind::Mint,
            Kind::Outcome,
            Kind::Decision,
            Kind::Issue,
            Kind::End,
            Kind::Revocation,
            Kind::Gap,
        ];
        for (index, kind) in kinds.into_iter().enumerate() {
            log.write(["a", "b", "b"][index % 3], Record { kind, tool: Some("t".into()), ..Record::default() });
        }
        log.sign("b");
        log.begin("c");
        log.write("b", Record::default());
        log.write("c", Record::default());
        log.sign("b");
        log.sign("c");
        log
    }

    /// Removes what is old, as the chain `chain` says.
    fn cut(&mut self, chain: &str, through: u64) {
        let old: Vec<_> = self.entries.iter().filter(|entry| entry.seq <= through).cloned().collect();
        let heads: BTreeMap<_, _> = old.iter().map(|entry| (entry.chain.clone(), told(entry))).collect();
        self.write(chain, Record { kind: Kind::Cut, heads: heads.into_values().collect(), ..Record::default() });
        self.entries.retain(|entry| entry.seq > through);
    }

    fn verdict(&self) -> Verdict {
        self.against(&[])
    }

    fn against(&self, outside: &[String]) -> Verdict {
        let mut claims = Claims::new(Some(key()));
        self.notes.iter().for_each(|note| claims.add(note, Origin::Inside));
        outside.iter().for_each(|note| claims.add(note, Origin::Outside));
        let kind =
            |entry: &&Entry| serde_json::from_str::<Record>(&entry.record).is_ok_and(|record| record.kind == Kind::Cut);
        let cut = self.entries.iter().rfind(kind).cloned();
        let mut verifier = Verifier::new(claims, cut);
        self.entries.iter().for_each(|entry| verifier.entry(entry));
        verifier.finish(NOW)
    }

    /// What is wrong first, and where.
    fn first(&self) -> (Option<u64>, &'static str) {
        let verdict = self.verdict();
        let first = verdict.findings.first().expect("something is wrong");
        (first.spot.seq, first.fault.name())
    }
}

fn told(entry: &Entry) -> audit::Head {
    let Entry { seq, chain, position, hash, .. } = entry.clone();
    Head { chain, length: position, seq, hash }.told()
}

fn note(head: &Head, seed: u8) -> String {
    Checkpoint { head: head.clone(), time: NOW }.sign(&signer(seed))
}

/// All hashes made anew, as by somebody who knows how.
fn rehash(log: &mut Log) {
    let mut heads: BTreeMap<String, Head> = BTreeMap::new();
    for entry in &mut log.entries {
        let head = heads.entry(entry.chain.clone()).or_insert_with(|| Head::new(entry.chain.clone()));
        head.push(entry.seq, entry.record.as_bytes());
        (entry.position, entry.hash) = (head.length, head.hash);
    }
}

#[test]
fn a_whole_log_is_clean() {
    let verdict = Log::whole().verdict();
    assert_eq!((verdict.count, verdict.records, verdict.last, verdict.checkpoints), (0, 14, 14, 3), "{verdict:?}");
    let chains = verdict.chains.iter().map(|end| (end.head.chain.as_str(), end.signed, end.vouched, end.unsigned));
    let expected = [("a", 0, 4, 0), ("b", 8, 0, 0), ("c", 2, 0, 0)];
    assert_eq!(chains.collect::<Vec<_>>(), expected, "`c` has named the end of `a`");
}

type Change = fn(&mut Entry);

#[test]
fn an_altered_record_is_named_whatever_was_altered() {
    let whole = Log::whole();
    for index in 0..whole.entries.len() {
        let seq = Some(whole.entries[index].seq);
        let changes: [(&str, Change); 4] = [
            ("record", |entry| entry.record = entry.record.replacen("r-", "s-", 1)),
            ("hash", |entry| entry.hash = Hash::default()),
            ("chain", |entry| entry.chain = "d".into()),
            ("position", |entry| entry.position += 100),
        ];
        for (what, change) in changes {
            let mut log = whole.clone();
            change(&mut log.entries[index]);
            assert_eq!(log.first().0, seq, "{what} of {index}");
        }
        let mut log = whole.clone();
        log.entries[index].record = log.entries[index].record.replacen("r-", "s-", 1);
        let faults: Vec<_> = log.verdict().findings.into_iter().map(|finding| finding.fault).collect();
        assert_eq!(faults, [Fault::Altered], "one record, one finding: {index}");
        let mut log = whole.clone();
        log.entries[index].hash = Hash::default();
        let faults: Vec<_> = log.verdict().findings.into_iter().map(|finding| finding.fault).collect();
        assert_eq!(faults.first(), Some(&Fault::Altered));
        assert!(!faults.iter().skip(1).any(|fault| *fault == Fault::Altered), "one record, one finding: {faults:?}");
    }
}

#[test]
fn a_column_that_disagrees_is_named() {
    let whole = Log::whole();
    for (index, entry) in whole.entries.iter().enumerate() {
        for (column, name) in NAMES.into_iter().enumerate() {
            let mut log = whole.clone();
            let columns = log.entries[index].columns.as_mut().unwrap();
            columns[column] = Some("other".into());
            let verdict = log.verdict();
            let [Finding { spot, fault: Fault::Column(found) }] = &*verdict.findings else { panic!("{verdict:?}") };
            assert_eq!((spot.seq, *found), (Some(entry.seq), name));
        }
    }
}

#[test]
fn a_removed_record_is_missed_wherever_it_was() {
    let whole = Log::whole();
    for index in 0..whole.entries.len() {
        let mut log = whole.clone();
        let removed = log.entries.remove(index);
        let expected = match index + 1 == whole.entries.len() {
            true => (Some(removed.seq), "truncated"),
            false => (Some(removed.seq + 1), "missing"),
        };
        assert_eq!(log.first(), expected);
        // The others moved up, and all hashes made anew.
        (1..).zip(&mut log.entries).for_each(|(seq, entry)| entry.seq = seq);
        rehash(&mut log);
        assert!(log.verdict().count > 0, "{index}");
    }
}

#[test]
fn records_that_change_places_are_found() {
    let whole = Log::whole();
    for index in 1..whole.entries.len() {
        let mut log = whole.clone();
        log.entries.swap(index - 1, index);
        let seq = log.entries[index].seq;
        log.entries[index].seq = std::mem::replace(&mut log.entries[index - 1].seq, seq);
        assert_eq!(log.first().0, Some(seq), "by their numbers: {index}");
        let mut log = whole.clone();
        let record = log.entries[index].record.clone();
        log.entries[index].record = std::mem::replace(&mut log.entries[index - 1].record, record);
        assert_eq!(log.first().0, Some(seq), "by their texts: {index}");
        rehash(&mut log);
        assert!(log.verdict().count > 0, "by their texts, and all hashes made anew: {index}");
    }
}

#[test]
fn a_log_that_was_cut_short_is_found_wherever_it_ends() {
    let whole = Log::whole();
    for length in 0..whole.entries.len() {
        let mut log = whole.clone();
        log.entries.truncate(length);
        let verdict = log.verdict();
        assert!(verdict.findings.iter().any(|finding| finding.fault.name() == "truncated"), "{length}: {verdict:?}");
        // With what told of it, too; somebody outside knows better.
        log.notes.clear();
        assert_eq!(log.verdict().count, 0, "nobody here knows better");
        let faults: Vec<_> = log.against(&whole.notes).findings.into_iter().map(|one| one.fault.name()).collect();
        assert!(!faults.is_empty() && faults.iter().all(|fault| *fault == "rewound"), "{length}: {faults:?}");
    }
}

#[test]
fn a_record_that_is_there_twice_is_found() {
    let whole = Log::whole();
    for index in 0..whole.entries.len() {
        let mut log = whole.clone();
        log.entries.insert(index, whole.entries[index].clone());
        assert_eq!(log.first(), (Some(whole.entries[index].seq), "repeated"));
        let mut log = whole.clone();
        let twice = Entry { seq: 15, ..whole.entries[index].clone() };
        log.entries.push(twice);
        assert_eq!(log.first(), (Some(15), "repeated"), "under a number of its own");
    }
}

#[test]
fn only_the_key_that_is_pinned_counts() {
    let mut log = Log::whole();
    rehash(&mut log);
    log.notes = log.heads.values().map(|head| note(head, 2)).collect();
    let verdict = log.verdict();
    let stranger = Fault::Checkpoint { origin: Origin::Inside, why: Unsigned::Stranger };
    assert_eq!(verdict.findings.iter().filter(|finding| finding.fault == stranger).count(), 3, "{verdict:?}");
}

#[test]
fn checkpoints_that_contradict_each_other_are_found() {
    let log = Log::whole();
    let mut head = log.heads["b"].clone();
    head.hash = Hash::default();
    let verdict = log.against(&[note(&head, 1)]);
    assert_eq!(verdict.findings.first().map(|finding| &finding.fault), Some(&Fault::Contradiction), "{verdict:?}");
}

#[test]
fn a_restored_backup_is_told_from_a_log_whose_end_was_removed() {
    let mut log = Log::default();
    log.begin("a");
    log.write("a", Record::default());
    log.sign("a");
    let backup = log.clone();
    log.write("a", Record::default());
    log.sign("a");
    let outside = log.notes.clone();
    assert_eq!(log.against(&outside).count, 0);
    let mut restored = backup;
    assert_eq!(restored.verdict().count, 0, "by itself it is whole");
    restored.begin("b");
    restored.write("b", Record::default());
    restored.sign("b");
    let verdict = restored.against(&[&*outside, &*restored.notes].concat());
    let [Finding { spot, fault: Fault::Rewound { has: 2 } }] = &*verdict.findings else { panic!("{verdict:?}") };
    assert_eq!((spot.chain.as_deref(), spot.position, spot.seq), (Some("a"), Some(3), Some(3)));
    log.entries.pop();
    assert_eq!(log.first(), (Some(3), "truncated"));
}

#[test]
fn what_nobody_has_signed_is_told_and_is_no_fault() {
    let mut log = Log::whole();
    log.write("c", Record::default());
    let verdict = log.verdict();
    assert_eq!(verdict.count, 0);
    assert_eq!(verdict.chains.iter().map(|end| end.unsigned).sum::<u64>(), 1);
    log.notes.clear();
    let all: u64 = log.verdict().chains.iter().map(|end| end.unsigned).sum();
    assert_eq!(all, 15, "names that nobody has signed prove nothing");
}

#[test]
fn old_records_are_gone_cleanly_only_if_a_signed_record_says_so() {
    let mut log = Log::whole();
    log.cut("c", 7);
    assert_eq!(log.first(), (Some(15), "unsigned_cut"));
    log.sign("c");
    let verdict = log.against(&Log::whole().notes);
    assert_eq!((verdict.count, verdict.through, verdict.records), (0, 7, 8), "{verdict:?}");
    let mut more = log.clone();
    more.entries.remove(0);
    assert_eq!(more.first(), (Some(9), "missing"), "more than the record says");
    let mut without = log.clone();
    without.entries.retain(|entry| entry.seq != 15);
    assert_eq!(without.first(), (Some(8), "missing"));
    log.write("c", Record::default());
    log.cut("b", 10);
    log.sign("b");
    log.sign("c");
    let verdict = log.verdict();
    assert_eq!((verdict.count, verdict.through), (0, 10), "and once more: {verdict:?}");
}

#[test]
fn a_removal_that_was_forged_into_the_end_does_not_count_because_a_successor_found_it_there() {
    let mut log = Log::whole();
    log.begin("forged");
    log.cut("forged", 14);
    log.begin("d");
    log.sign("d");
    assert_eq!(log.first(), (Some(16), "unsigned_cut"));
}

#[test]
fn a_record_that_only_a_column_calls_a_removal_is_none() {
    let log = Log::whole();
    let begun = log.entries.iter().find(|entry| entry.record.contains("heads")).cloned().unwrap();
    let mut verifier = Verifier::new(Claims::new(None), Some(begun));
    log.entries.iter().for_each(|entry| verifier.entry(entry));
    let verdict = verifier.finish(NOW);
    assert_eq!((verdict.through, verdict.count), (0, 0), "{verdict:?}");
}

#[test]
fn a_chain_that_was_appended_by_somebody_else_is_told_from_what_its_own_writer_has_signed() {
    let mut log = Log::whole();
    log.begin("forged");
    log.write("forged", Record { kind: Kind::Mint, ..Record::default() });
    log.begin("d");
    log.sign("d");
    let verdict = log.verdict();
    let forged = verdict.chains.iter().find(|end| end.head.chain == "forged").unwrap();
    assert_eq!((verdict.count, forged.signed, forged.vouched, forged.unsigned), (0, 0, 2, 0), "as a crash leaves it");
    log.cut("d", 16);
    log.sign("d");
    assert_eq!(log.verdict().chains.iter().map(|end| end.vouched).sum::<u64>(), 0, "what is gone is not spoken of");
}

#[test]
fn a_chain_begins_with_its_own_record_and_nobody_else_writes_one() {
    let mut log = Log::whole();
    log.heads.insert("d".into(), Head::new("d".into()));
    log.write("d", Record::default());
    assert_eq!(log.first(), (Some(15), "misplaced"));
    let mut log = Log::whole();
    log.write("c", Record { kind: Kind::Chain, ..Record::default() });
    assert_eq!(log.first(), (Some(15), "misplaced"));
}

#[test]
fn an_intent_that_nothing_came_of_is_told() {
    let mut log = Log::default();
    log.begin("a");
    let credential =
        |lease: &str| audit::Credential { name: "c".into(), kind: None, lease: Some(lease.into()), expires: None };
    for (kind, lease) in [(Kind::Intent, "one"), (Kind::Intent, "two"), (Kind::Mint, "two")] {
        log.write("a", Record { kind, credential: Some(credential(lease)), ..Record::default() });
    }
    assert!(log.verdict().open.is_empty(), "there is time");
    let mut verifier = Verifier::new(Claims::new(None), None);
    log.entries.iter().for_each(|entry| verifier.entry(entry));
    let open = verifier.finish(Time::from_seconds(NOW.seconds() + 601)).open;
    assert_eq!(open.iter().map(|open| (open.seq, open.lease.as_str())).collect::<Vec<_>>(), [(2, "one")]);
}
