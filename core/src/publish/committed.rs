//! What have our own keys committed to (P5.9)?
//!
//! A preconfer that says two things about one block of one window is slashed. [`OwnCommitments`] remembers each word that our keys gave, from
//! before it is on disk; the machine asks it before anything of ours is recorded, and again before it leaves.
//!
//! | two words of one signer about one block number | |
//! |---|---|
//! | in one window | the first binds for ever |
//! | in two windows | the first binds until L1 has settled another block there, has taken its parent back, or has passed its window's end |
//!
//! In one window a word that may have left the node also binds its neighbours: the next block builds on it (C9), until L1 has settled another
//! block at its number, and none follows one that ends the window (C8). A word that was recorded and then refused, because another block had
//! come first, has not left: the node goes on elsewhere.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256};

use crate::config::Config;
use crate::cost::entry;
use crate::crypto;
use crate::time::UnixTime;
use crate::wire::v1::SignedCommitment;

/// What it costs to know what we committed to for one block.
const COMMITTED: usize = entry::<(u64, u64, Address), Word>();

/// Words beyond `max_commitments` while the windows that they were given in are not over. Ours: a window has some hundred blocks.
const WORDS_OF_WINDOW: usize = 1024;

/// What was said about one block number of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Said {
    /// The preconfirmation hash.
    pub(crate) hash: B256,
    /// Does it end its window (P5.3)?
    pub(crate) eop: bool,
}

impl Said {
    /// What this commitment says.
    pub(crate) fn of(signed: &SignedCommitment) -> Self {
        Self { hash: crypto::preconfirmation_hash(signed), eop: signed.preconf().eop }
    }
}

/// Is there a word of this signer in this window that no honest preconfer gives beside this one: another about the same block, or one on the
/// other side of an end of the window (C8)?
pub(crate) fn contradicts_in_window<T>(
    words: &BTreeMap<(u64, u64, Address), T>,
    said: impl Fn(&T) -> Said,
    signer: Address,
    (window_end, number): (u64, u64),
    new: Said,
) -> bool {
    let of_window = words.range((window_end, 0, Address::ZERO)..=(window_end, u64::MAX, Address::repeat_byte(0xff)));
    of_window.filter(|((.., by), _)| *by == signer).any(|((_, other, _), word)| {
        let old = said(word);
        match other.cmp(&number) {
            Ordering::Equal => old.hash != new.hash,
            Ordering::Less => old.eop,
            Ordering::Greater => new.eop,
        }
    })
}

/// One word of one of our keys.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Word {
    said: Said,
    parent: B256,
    /// In other windows it binds no more.
    is_void: bool,
    /// L1 has settled another block there: what follows builds on that one.
    is_replaced: bool,
    /// Others may know of it: it was accepted here, or was kept before a restart.
    may_be_out: bool,
    /// How many were given before it.
    given: u64,
    /// What our key said there elsewhere, where this one was never public.
    elsewhere: Option<B256>,
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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct OwnCommitments {
    /// By window's end, block number and signer: what is forgotten first comes first.
    words: BTreeMap<(u64, u64, Address), Word>,
    max: usize,
    given: u64,
    /// Since when all of them are known (P5.9b).
    began: UnixTime,
    /// The one window, the last that was named, in which the operator lets us publish without being in sync with our own key (P5.9b).
    overridden: Option<u64>,
}

impl OwnCommitments {
    pub(crate) fn new(config: &Config, now: UnixTime) -> Self {
        Self { words: BTreeMap::new(), max: config.max_commitments, given: 0, began: now, overridden: None }
    }

    /// A key of ours gives its word. The first one stays, whatever order records come in. Where there are too many, those of windows that were
    /// over before this time go, the oldest first; beyond what a window may take, what was said first goes, and never what was just said.
    pub(crate) fn bind(&mut self, signer: Address, (window_end, number): (u64, u64), signed: &SignedCommitment, over_before: u64) {
        let parent = signed.preconf().parent_preconfirmation_hash;
        self.given += 1;
        let word = Word {
            said: Said::of(signed),
            parent,
            is_void: false,
            is_replaced: false,
            may_be_out: false,
            given: self.given,
            elsewhere: None,
        };
        self.words.entry((window_end, number, signer)).or_insert(word);
        while self.words.len() > self.max && self.words.first_key_value().is_some_and(|((end, ..), _)| *end < over_before) {
            self.words.pop_first();
        }
        while self.words.len() > self.max + WORDS_OF_WINDOW {
            let newest = self.given;
            let oldest = self.words.iter().filter(|(_, word)| word.given != newest).min_by_key(|(_, word)| word.given);
            let Some(key) = oldest.map(|(key, _)| *key) else { return };
            self.words.remove(&key);
        }
    }

    /// The same of a word that leaves now, or may have left.
    pub(crate) fn commit(&mut self, signer: Address, position: (u64, u64), signed: &SignedCommitment, over_before: u64) {
        self.bind(signer, position, signed, over_before);
        let hash = Said::of(signed).hash;
        if let Some(word) = self.words.get_mut(&(position.0, position.1, signer)).filter(|word| word.said.hash == hash) {
            word.may_be_out = true;
        }
    }

    /// What our key said elsewhere is canonical. Is that news?
    pub(crate) fn enter(&mut self, signer: Address, position: (u64, u64), signed: &SignedCommitment, over_before: u64) -> bool {
        let hash = Said::of(signed).hash;
        match self.words.get_mut(&(position.0, position.1, signer)) {
            None => {
                self.commit(signer, position, signed, over_before);
                true
            }
            Some(word) => word.said.hash != hash && word.elsewhere.replace(hash) != Some(hash),
        }
    }

    /// Was this one never public, as far as our own next word tells, which builds on another?
    pub(crate) fn is_passed_over(&self, signer: Address, (window_end, number): (u64, u64), hash: &B256) -> bool {
        let next = number.checked_add(1).and_then(|next| self.words.get(&(window_end, next, signer)));
        next.is_some_and(|next| next.parent != *hash)
    }

    /// Is there room for one more, with nothing forgotten of a window that is not over?
    pub(crate) fn has_room(&self, over_before: u64) -> bool {
        let oldest_is_over = || self.words.first_key_value().is_some_and(|((end, ..), _)| *end < over_before);
        self.words.len() < self.max + WORDS_OF_WINDOW || oldest_is_over()
    }

    /// Is this one of our words?
    pub(crate) fn names(&self, signer: Address, (window_end, number): (u64, u64), hash: &B256) -> bool {
        self.words.get(&(window_end, number, signer)).is_some_and(|word| word.said.hash == *hash)
    }

    /// P5.9: has this key given another word that still binds, and that this one contradicts?
    pub(crate) fn contradicts(&self, signer: Address, (window_end, number): (u64, u64), signed: &SignedCommitment) -> bool {
        let (new, parent) = (Said::of(signed), signed.preconf().parent_preconfirmation_hash);
        let by_signer = self.words.iter().filter(|((.., by), word)| *by == signer && word.said.hash != new.hash);
        by_signer.into_iter().any(|((window, of, _), word)| {
            let is_here = *window == window_end;
            let is_other_link = (of.checked_add(1) == Some(number) && word.said.hash != parent) // C9
                || (number.checked_add(1) == Some(*of) && word.parent != new.hash);
            match of.cmp(&number) {
                Ordering::Equal => is_here || !word.is_void,
                _ if !is_here || !word.may_be_out => false,
                Ordering::Less if word.said.eop => true, // C8
                Ordering::Greater if new.eop => true,
                Ordering::Less | Ordering::Greater => is_other_link && !word.is_replaced,
            }
        })
    }

    /// The sync tip moved (P9.3). `settled` says what stands at a number at or below it, if that is known.
    pub(crate) fn tip_moved(&mut self, tip: u64, settled: impl Fn(u64) -> Option<Settled>) {
        let passed = settled(tip).and_then(|tip| tip.window_end);
        let differs = |number: u64, hash: B256| settled(number).is_some_and(|settled| settled.hash != hash);
        let mut lowest_first: Vec<_> = self.words.iter_mut().map(|(key, word)| (key.1, key.0, word)).collect();
        lowest_first.sort_unstable_by_key(|(number, window_end, _)| (*number, *window_end));
        let mut void = BTreeSet::new();
        for (number, window_end, word) in lowest_first {
            let is_replaced = number <= tip && differs(number, word.said.hash);
            let parent_is_gone = number.checked_sub(1).is_some_and(|before| before <= tip && differs(before, word.parent));
            let is_over = passed.is_some_and(|passed| passed > window_end);
            word.is_replaced |= is_replaced;
            word.is_void |= is_replaced || parent_is_gone || is_over || void.contains(&word.parent);
            if word.is_void {
                void.insert(word.said.hash);
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

    /// Does the operator let us publish in this window without being in sync with our own key?
    pub(crate) fn is_overridden(&self, window_end: u64) -> bool {
        self.overridden == Some(window_end)
    }

    /// The most bytes that it holds under a configuration.
    pub(crate) fn max_bytes(config: &Config) -> usize {
        (config.max_commitments + WORDS_OF_WINDOW) * COMMITTED
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

    const SIGNER: Address = Address::repeat_byte(7);

    fn book(max_commitments: usize) -> OwnCommitments {
        OwnCommitments::new(&Config { max_commitments, ..Config::new(ChainId(1)) }, UnixTime::from_secs(1_000))
    }

    /// A word on a parent; `name` tells it from others.
    fn word(name: u8, parent: B256) -> SignedCommitment {
        let preconf = Preconfirmation {
            raw_tx_list_hash: B256::repeat_byte(name),
            parent_preconfirmation_hash: parent,
            eop: name == EOP,
            ..Preconfirmation::default()
        };
        SignedCommitment::new(PreconfCommitment { preconf, ..PreconfCommitment::default() }, [0; 65])
    }

    const EOP: u8 = 0xee;

    impl OwnCommitments {
        fn say(&mut self, position: (u64, u64), name: u8) {
            self.commit(SIGNER, position, &word(name, B256::ZERO), 150);
        }

        /// What a good word would build on.
        fn expected_parent(&self, (window_end, number): (u64, u64)) -> B256 {
            let before = number.checked_sub(1).and_then(|before| self.words.get(&(window_end, before, SIGNER)));
            before.map_or(B256::ZERO, |before| before.said.hash)
        }

        fn forbids(&self, position: (u64, u64), name: u8) -> bool {
            self.contradicts(SIGNER, position, &word(name, self.expected_parent(position)))
        }
    }

    #[test]
    fn p5_9_the_first_word_stays_and_that_of_a_window_that_is_not_over_is_not_forgotten() {
        let mut book = book(2);
        for (position, name) in [((200, 7), 1), ((200, 7), 2), ((200, 8), 1)] {
            book.say(position, name);
        }
        assert!(book.forbids((200, 7), 2) && !book.forbids((200, 7), 1) && !book.forbids((200, 9), 1));
        assert!(!book.contradicts(Address::ZERO, (200, 7), &word(2, B256::ZERO)));
        book.say((200, 9), 1);
        assert!(book.forbids((200, 7), 2), "its window is not over");
        book.say((100, 3), 1);
        assert!(!book.forbids((100, 3), 2) && book.forbids((200, 7), 2), "what is over goes first");
        book.say((200, 10), 1);
        book.say((200, 1), 1);
        assert!(book.forbids((200, 1), 2), "what was just said is not what is forgotten");
        assert_eq!(book.bytes(), 5 * COMMITTED);
        (0..2_000).for_each(|number| book.say((300, number), 1));
        assert!(!book.has_room(150) && book.has_room(301) && !book.forbids((200, 8), 2) && book.forbids((300, 1_999), 2));
        assert_eq!(book.bytes(), (2 + WORDS_OF_WINDOW) * COMMITTED);
    }

    #[test]
    fn p5_9_nothing_is_said_behind_the_end_of_a_window_and_no_end_before_what_was_said() {
        // C8
        let mut book = book(9);
        book.say((200, 7), EOP);
        assert!(book.forbids((200, 8), 1) && !book.forbids((200, 5), 1) && !book.forbids((300, 8), 1));
        book.say((300, 9), 1);
        assert!(book.forbids((300, 6), EOP) && !book.forbids((300, 6), 1) && !book.forbids((300, 10), EOP));
    }

    #[test]
    fn p5_9_a_word_that_may_be_out_binds_its_neighbours_and_one_that_is_only_recorded_does_not() {
        // C9
        let mut book = book(9);
        book.bind(SIGNER, (200, 7), &word(1, B256::ZERO), 0);
        let on = |parent| word(3, parent);
        let other = B256::repeat_byte(9);
        assert!(!book.contradicts(SIGNER, (200, 8), &on(other)), "it never left");
        book.say((200, 7), 1);
        assert!(book.contradicts(SIGNER, (200, 8), &on(other)), "it does not build on what was said");
        assert!(!book.contradicts(SIGNER, (200, 8), &on(crypto::preconfirmation_hash(&word(1, B256::ZERO)))));
        assert!(book.contradicts(SIGNER, (200, 6), &on(other)), "what was said does not build on it");
        assert!(!book.contradicts(SIGNER, (300, 8), &on(other)), "another window");
    }

    #[test]
    fn p5_9_a_word_of_another_window_binds_until_l1_has_taken_its_parent_back() {
        let mut book = book(9);
        let (first, second) = (word(1, B256::ZERO), word(2, crypto::preconfirmation_hash(&word(1, B256::ZERO))));
        book.commit(SIGNER, (100, 1), &first, 0);
        book.commit(SIGNER, (100, 2), &second, 0);
        let moved = |book: &mut OwnCommitments, hash| {
            book.tip_moved(0, |number| (number == 0).then_some(Settled { hash, window_end: None }));
        };
        moved(&mut book, B256::ZERO);
        assert!(book.forbids((200, 1), 2) && book.forbids((200, 2), 1));
        moved(&mut book, B256::repeat_byte(9));
        assert!(!book.forbids((200, 1), 2) && !book.forbids((200, 2), 1), "what built on it too");
        assert!(book.forbids((100, 1), 2), "in its own window it binds for ever");
    }

    #[test]
    fn p5_9_a_word_of_another_window_binds_until_l1_has_settled_another_block_or_passed_the_window() {
        let said = word(1, B256::ZERO);
        for (tip, settled) in [
            (1, Settled { hash: B256::repeat_byte(9), window_end: None }),
            (5, Settled { hash: B256::repeat_byte(9), window_end: Some(101) }),
        ] {
            let mut book = book(9);
            book.commit(SIGNER, (100, 1), &said, 0);
            book.tip_moved(tip, |number| (number == tip).then_some(settled));
            assert!(!book.forbids((200, 1), 2), "{settled:?}");
        }
        let mut book = book(9);
        book.commit(SIGNER, (100, 1), &said, 0);
        let settled = Settled { hash: crypto::preconfirmation_hash(&said), window_end: Some(100) };
        book.tip_moved(1, |number| (number == 1).then_some(settled));
        assert!(book.forbids((200, 1), 2), "it is what was settled");
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
