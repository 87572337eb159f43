//! What have our own keys committed to (P5.9)?
//!
//! A preconfer that says two things about one block of one window is slashed. [`OwnCommitments`] remembers each word that our keys gave, from
//! before it is on disk; the machine asks it before anything of ours is recorded, and again before it leaves.
//!
//! | two words of one signer about one block number | |
//! |---|---|
//! | in one window | the first binds for ever |
//! | in two windows | the first binds until L1 has settled another block there, has taken its parent back, or has passed its window's end |

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256};

use crate::config::Config;
use crate::cost::entry;
use crate::time::UnixTime;
use crate::wire::v1::SignedCommitment;

/// What it costs to know what we committed to for one block.
const COMMITTED: usize = entry::<(u64, u64, Address), Word>();

/// One word of one of our keys.
#[derive(Clone, Copy, Debug)]
struct Word {
    hash: B256,
    parent: B256,
    /// In other windows it binds no more.
    is_void: bool,
    /// How many were given before it.
    given: u64,
}

/// A settled block, as far as our words must be compared with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    /// Its preconfirmation hash.
    pub(crate) hash: B256,
    /// Its window's end, where the commitment is known.
    pub(crate) window_end: Option<u64>,
}

/// What our own keys have committed to, in this process and in those before it that were restored.
#[derive(Debug)]
pub(crate) struct OwnCommitments {
    /// By window's end, block number and signer: what is forgotten first comes first.
    words: BTreeMap<(u64, u64, Address), Word>,
    max: usize,
    given: u64,
    /// Since when all of them are known (P5.9b).
    began: UnixTime,
    /// The window in which the operator lets us publish, whatever our key has signed elsewhere (P5.9b).
    overridden: Option<u64>,
}

impl OwnCommitments {
    pub(crate) fn new(config: &Config, now: UnixTime) -> Self {
        Self { words: BTreeMap::new(), max: config.max_commitments, given: 0, began: now, overridden: None }
    }

    /// A key of ours gives its word. The first one stays, whatever order records come in. Where there are too many, the oldest window's go
    /// first, and within one window those that were given first: what was just said is never what is forgotten.
    pub(crate) fn commit(&mut self, signer: Address, (window_end, number): (u64, u64), hash: B256, signed: &SignedCommitment) {
        let parent = signed.preconf().parent_preconfirmation_hash;
        self.given += 1;
        let word = Word { hash, parent, is_void: false, given: self.given };
        self.words.entry((window_end, number, signer)).or_insert(word);
        while self.words.len() > self.max {
            let newest = self.given;
            let oldest = self.words.iter().filter(|(_, word)| word.given != newest).min_by_key(|((end, ..), word)| (*end, word.given));
            let Some(key) = oldest.map(|(key, _)| *key) else { return };
            self.words.remove(&key);
        }
    }

    /// Is this one of our words?
    pub(crate) fn names(&self, signer: Address, (window_end, number): (u64, u64), hash: &B256) -> bool {
        self.words.get(&(window_end, number, signer)).is_some_and(|word| word.hash == *hash)
    }

    /// P5.9: has this key given another word that still binds?
    pub(crate) fn contradicts(&self, signer: Address, (window_end, number): (u64, u64), hash: &B256) -> bool {
        let of_number = self.words.iter().filter(|((_, of, by), _)| (*of, *by) == (number, signer));
        of_number.into_iter().any(|((window, ..), word)| word.hash != *hash && (*window == window_end || !word.is_void))
    }

    /// The sync tip moved (P9.3). `settled` says what stands at a number at or below it, if that is known.
    pub(crate) fn tip_moved(&mut self, tip: u64, settled: impl Fn(u64) -> Option<Settled>) {
        let passed = settled(tip).and_then(|tip| tip.window_end);
        let differs = |number: u64, hash: B256| settled(number).is_some_and(|settled| settled.hash != hash);
        let mut lowest_first: Vec<_> = self.words.iter_mut().map(|(key, word)| (key.1, key.0, word)).collect();
        lowest_first.sort_unstable_by_key(|(number, window_end, _)| (*number, *window_end));
        let mut void = BTreeSet::new();
        for (number, window_end, word) in lowest_first {
            let is_replaced = number <= tip && differs(number, word.hash);
            let parent_is_gone = number.checked_sub(1).is_some_and(|before| before <= tip && differs(before, word.parent));
            let is_over = passed.is_some_and(|passed| passed > window_end);
            word.is_void |= is_replaced || parent_is_gone || is_over || void.contains(&word.parent);
            if word.is_void {
                void.insert(word.hash);
            }
        }
    }

    /// All of our words since then are known. The earliest time counts.
    pub(crate) fn began(&mut self, at: UnixTime) {
        self.began = self.began.min(at);
    }

    /// P5.9b: do our records reach back to this time, in unix seconds?
    pub(crate) fn reach_back_to(&self, start: u64) -> bool {
        self.began <= UnixTime::from_secs(start)
    }

    /// P5.9b: the operator knows better, for this window.
    pub(crate) fn override_syncing(&mut self, window_end: u64) {
        self.overridden = Some(window_end);
    }

    /// May we publish in this window whatever our key has signed elsewhere?
    pub(crate) fn is_overridden(&self, window_end: u64) -> bool {
        self.overridden == Some(window_end)
    }

    /// The most bytes that it holds under a configuration.
    pub(crate) fn max_bytes(config: &Config) -> usize {
        config.max_commitments * COMMITTED
    }

    /// The bytes that it holds, counted likewise.
    pub(crate) fn bytes(&self) -> usize {
        self.words.len() * COMMITTED
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::topics::ChainId;
    use crate::wire::v1::{PreconfCommitment, Preconfirmation};

    const ONE: B256 = B256::repeat_byte(1);
    const OTHER: B256 = B256::repeat_byte(2);
    const SIGNER: Address = Address::repeat_byte(7);

    fn book(max_commitments: usize) -> OwnCommitments {
        OwnCommitments::new(&Config { max_commitments, ..Config::new(ChainId(1)) }, UnixTime::from_secs(1_000))
    }

    fn on(parent: B256) -> SignedCommitment {
        let preconf = Preconfirmation { parent_preconfirmation_hash: parent, ..Preconfirmation::default() };
        SignedCommitment::new(PreconfCommitment { preconf, ..PreconfCommitment::default() }, [0; 65])
    }

    #[test]
    fn p5_9_the_first_word_of_a_window_stays_and_the_oldest_windows_are_forgotten_first() {
        let mut book = book(2);
        for (position, hash) in [((100, 7), ONE), ((100, 7), OTHER), ((100, 8), ONE)] {
            book.commit(SIGNER, position, hash, &on(B256::ZERO));
        }
        assert!(book.contradicts(SIGNER, (100, 7), &OTHER) && !book.contradicts(SIGNER, (100, 7), &ONE));
        assert!(!book.contradicts(SIGNER, (100, 9), &ONE) && !book.contradicts(Address::ZERO, (100, 7), &OTHER));
        book.commit(SIGNER, (200, 3), ONE, &on(B256::ZERO));
        assert!(!book.contradicts(SIGNER, (100, 7), &OTHER) && book.contradicts(SIGNER, (100, 8), &OTHER));
        book.commit(SIGNER, (50, 1), ONE, &on(B256::ZERO));
        assert!(book.contradicts(SIGNER, (50, 1), &OTHER), "what was just said is not what is forgotten");
        assert_eq!(book.bytes(), 2 * COMMITTED);
    }

    #[test]
    fn p5_9_a_word_of_another_window_binds_until_l1_has_taken_its_parent_back() {
        let mut book = book(9);
        book.commit(SIGNER, (100, 1), ONE, &on(B256::ZERO));
        book.commit(SIGNER, (100, 2), OTHER, &on(ONE));
        let moved = |book: &mut OwnCommitments, hash| {
            book.tip_moved(0, |number| (number == 0).then_some(Settled { hash, window_end: None }));
        };
        moved(&mut book, B256::ZERO);
        assert!(book.contradicts(SIGNER, (200, 1), &OTHER) && book.contradicts(SIGNER, (200, 2), &ONE));
        moved(&mut book, B256::repeat_byte(9));
        assert!(!book.contradicts(SIGNER, (200, 1), &OTHER) && !book.contradicts(SIGNER, (200, 2), &ONE), "what built on it too");
        assert!(book.contradicts(SIGNER, (100, 1), &OTHER), "in its own window it binds for ever");
    }

    #[test]
    fn p5_9_a_word_of_another_window_binds_until_l1_has_settled_another_block_or_passed_the_window() {
        for (tip, settled) in [
            (1, Settled { hash: B256::repeat_byte(9), window_end: None }),
            (5, Settled { hash: B256::repeat_byte(9), window_end: Some(101) }),
        ] {
            let mut book = book(9);
            book.commit(SIGNER, (100, 1), ONE, &on(B256::ZERO));
            book.tip_moved(tip, |number| (number == tip).then_some(settled));
            assert!(!book.contradicts(SIGNER, (200, 1), &OTHER), "{settled:?}");
        }
        let mut book = book(9);
        book.commit(SIGNER, (100, 1), ONE, &on(B256::ZERO));
        book.tip_moved(1, |number| (number == 1).then_some(Settled { hash: ONE, window_end: Some(100) }));
        assert!(book.contradicts(SIGNER, (200, 1), &OTHER), "it is what was settled");
    }

    #[test]
    fn p5_9b_records_reach_back_to_the_earliest_time_that_was_told() {
        let mut book = book(9);
        assert!(!book.reach_back_to(999) && book.reach_back_to(1_000));
        book.began(UnixTime::from_secs(2_000));
        book.began(UnixTime::from_secs(500));
        assert!(book.reach_back_to(500) && !book.reach_back_to(499));
    }
}
