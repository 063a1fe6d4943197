//! Any change at any place.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn whatever_is_changed_in_a_signed_log_is_found(
        writers in prop::collection::vec(0_usize..3, 1..24),
        at in any::<prop::sample::Index>(),
        byte in any::<prop::sample::Index>(),
        anew in any::<bool>(),
    ) {
        let mut log = Log::default();
        for writer in writers {
            let chain = ["a", "b", "c"][writer];
            match log.heads.contains_key(chain) {
                true => log.write(chain, Record { tool: Some("tool".into()), ..Record::default() }),
                false => log.begin(chain),
            }
        }
        for chain in log.heads.keys().cloned().collect::<Vec<_>>() {
            log.sign(&chain);
        }
        prop_assert_eq!(log.verdict().count, 0);
        let entry = at.index(log.entries.len());
        let mut record = log.entries[entry].record.clone().into_bytes();
        let byte = byte.index(record.len());
        record[byte] = if record[byte] == b'0' { b'1' } else { b'0' };
        log.entries[entry].record = String::from_utf8(record).unwrap();
        if anew {
            rehash(&mut log);
        }
        prop_assert!(log.verdict().count > 0);
    }
}
