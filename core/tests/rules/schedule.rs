//! From an L1 lookahead to windows (P9.2).
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use crate::support::*;
use preconf_core::*;
use proptest::prelude::*;

const FALLBACK: Address = Address::repeat_byte(0xff);
const START: u64 = 1_000_000;

#[test]
fn an_epoch_has_32_slots_of_12_seconds() {
    assert_eq!(EPOCH_SECS, 384); // P9.2
}

#[test]
fn an_entry_covers_from_the_one_before_to_itself_and_the_first_from_a_slot_before_the_epoch() {
    // P9.2
    let epoch = epoch(0, vec![entry(24, 1), entry(60, 2)]);
    assert_eq!(windows(&[epoch]), [(START - 12, START + 24, who(1)), (START + 24, START + 60, who(2))]);
}

#[test]
fn the_tail_of_an_epoch_belongs_to_the_first_entry_of_the_next() {
    // P9.2
    let epochs = [epoch(0, vec![entry(24, 1)]), epoch(1, vec![entry(12, 2)])];
    assert_eq!(windows(&epochs), [(START - 12, START + 24, who(1)), (START + 24, START + EPOCH_SECS + 12, who(2))]);
}

#[test]
fn the_tail_of_the_last_epoch_stays_open_until_the_next_is_known() {
    // P9.2: nobody can say yet whose it is.
    assert_eq!(windows(&[epoch(0, vec![entry(24, 1)])]).last().map(|window| window.1), Some(START + 24));
}

#[test]
fn an_epoch_without_entries_is_the_fallbacks() {
    // P9.2
    assert_eq!(windows(&[epoch(0, vec![])]), [(START - 12, START + EPOCH_SECS - 12, FALLBACK)]);
}

#[test]
fn a_blacklisted_entrys_window_is_the_fallbacks_and_moves_no_other() {
    // P9.2
    let blacklisted = LookaheadEntry { blacklisted: true, ..entry(60, 2) };
    let epoch = epoch(0, vec![entry(24, 1), blacklisted, entry(96, 3)]);
    let expected = [(START - 12, START + 24, who(1)), (START + 24, START + 60, FALLBACK), (START + 60, START + 96, who(3))];
    assert_eq!(windows(&[epoch]), expected);
}

#[test]
fn a_window_is_settled_when_its_epoch_is() {
    // P9.1
    let epochs = [epoch(0, vec![entry(24, 1)]), LookaheadEpoch { settled_at: None, ..epoch(1, vec![entry(24, 2)]) }];
    let settled: Vec<_> = windows_from_lookahead(&epochs, FALLBACK).iter().map(|window| window.settled_at).collect();
    assert_eq!(settled, [Some(0), None]);
}

proptest! {
    #[test]
    fn windows_ascend_never_overlap_and_leave_only_the_tail_before_an_empty_epoch_open(
        epochs in prop::collection::vec(prop::collection::btree_set(1u64..32, 0..6), 1..6),
    ) {
        // P9.1, P9.2. A slot at the epoch's very start would make an empty window for it, so slots start at 1 here.
        let lookahead: Vec<_> = (0..).zip(&epochs).map(|(n, slots)| at_slots(n, slots.iter().copied())).collect();
        let windows = windows_from_lookahead(&lookahead, FALLBACK);
        prop_assert_eq!(windows.len(), epochs.iter().map(|slots| slots.len().max(1)).sum::<usize>());
        for window in &windows {
            prop_assert!(window.start < window.end);
        }
        for pair in windows.windows(2) {
            let [before, after]: &[Window; 2] = pair.try_into().expect("two of them");
            prop_assert!(before.end <= after.start);
            prop_assert!(before.end == after.start || after.preconfer == FALLBACK);
        }
    }
}

fn windows(epochs: &[LookaheadEpoch]) -> Vec<(u64, u64, Address)> {
    windows_from_lookahead(epochs, FALLBACK).iter().map(|window| (window.start, window.end, window.preconfer)).collect()
}

fn epoch(n: u64, entries: Vec<LookaheadEntry>) -> LookaheadEpoch {
    let start = START + n * EPOCH_SECS;
    let entries = entries.into_iter().map(|entry| LookaheadEntry { timestamp: start + entry.timestamp, ..entry }).collect();
    LookaheadEpoch { start, entries, settled_at: Some(0) }
}

fn at_slots(n: u64, slots: impl Iterator<Item = u64>) -> LookaheadEpoch {
    epoch(n, slots.map(|slot| entry(12 * slot, 1)).collect())
}

/// So many seconds into its epoch.
fn entry(secs: u64, preconfer: u8) -> LookaheadEntry {
    LookaheadEntry { timestamp: secs, preconfer: who(preconfer), blacklisted: false }
}

fn who(byte: u8) -> Address {
    Address::repeat_byte(byte)
}

#[test]
fn p9_2_a_host_that_feeds_epochs_as_they_come_takes_no_tail_away() {
    let start = START - START % EPOCH_SECS;
    let entry = |timestamp, name| LookaheadEntry { timestamp, preconfer: address_of(&key(name)), blacklisted: false };
    let epoch = |index: u64, at, name| {
        let start = start + index * EPOCH_SECS;
        LookaheadEpoch { start, entries: vec![entry(start + at, name)], settled_at: Some(0) }
    };
    let epochs = [epoch(0, 96, 1), epoch(1, 60, 2), epoch(2, 60, 1)];
    let mut node = Node::unscheduled(Config::new(CHAIN));
    node.connect(9);
    node.update(Update::Schedule(windows_from_lookahead(&epochs[..2], Address::ZERO))).unwrap();
    node.update(Update::Schedule(windows_from_lookahead(&epochs[1..], Address::ZERO))).unwrap();
    // Preconfer 2 owns the tail of the first epoch: (start + 96, start + 384 + 60].
    node.now.unix = UnixTime::from_secs(start + 200);
    let mut writer = Writer { key: key(2), window_end: start + EPOCH_SECS + 60, timestamp: start + 199, ..Writer::new(2) };
    assert_eq!(verdicts(&node.commitment(9, &writer.block().0)), [Verdict::Accept]);
}
