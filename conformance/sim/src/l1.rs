//! What does L1 make of the blocks that preconfers make?
//!
//! It takes the first block that links to what it has, and settles it a while later. So where preconfers who did not see each other's blocks
//! have both been honest, the sync tip says who was first.

use std::collections::BTreeMap;
use std::time::Duration;

use preconf_core::{B256, SignedCommitment, SyncTip, Time, preconfirmation_hash};

/// A block that was made.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    /// Its number.
    pub number: u64,
    /// Its preconfirmation hash.
    pub hash: B256,
    /// What it builds on; zero for the first block of all.
    pub parent: B256,
    /// Its time, in unix seconds.
    pub timestamp: u64,
    /// The end of its window, in unix seconds.
    pub window_end: u64,
    /// Does it end its window?
    pub eop: bool,
    /// When it was made.
    pub at: Time,
}

impl Made {
    /// The block of a commitment.
    pub fn of(signed: &SignedCommitment, at: Time) -> Self {
        let preconf = signed.preconf();
        Self {
            number: preconf.block_number.saturating_to(),
            hash: preconfirmation_hash(signed),
            parent: preconf.parent_preconfirmation_hash,
            timestamp: preconf.timestamp.saturating_to(),
            window_end: preconf.submission_window_end.saturating_to(),
            eop: preconf.eop,
            at,
        }
    }
}

/// All blocks that were made, and those of them that L1 has.
#[derive(Debug, Default)]
pub struct L1 {
    made: BTreeMap<B256, Made>,
    /// What it has, in order.
    chain: Vec<B256>,
    tip: SyncTip,
}

impl L1 {
    /// A block was made; the same again changes nothing.
    pub fn made(&mut self, made: Made) {
        self.made.entry(made.hash).or_insert(made);
        self.take_what_links();
    }

    /// Blocks that nobody has any more: it never saw them.
    pub fn lost(&mut self, blocks: &[B256]) {
        for hash in blocks {
            self.made.remove(hash);
            if let Some(place) = self.chain.iter().position(|of_chain| of_chain == hash) {
                self.chain.truncate(place.max(self.tip.block_number as usize));
            }
        }
        self.take_what_links(); // another block may have been made there, which was too late before
    }

    /// For as long as one links to what it has: of several, the one that was made first.
    fn take_what_links(&mut self) {
        loop {
            let (number, head) = self.head();
            let links = self.made.values().filter(|made| made.number == number + 1 && made.parent == head);
            let Some(first) = links.min_by_key(|made| (made.at, made.hash)) else { return };
            self.chain.push(first.hash);
        }
    }

    /// Settles what was made so long ago. The sync tip, if it moved.
    pub fn settle(&mut self, age: Duration, now: Time) -> Option<SyncTip> {
        let is_old = |hash: &&B256| self.made.get(*hash).is_some_and(|made| made.at.after(age) <= now);
        let settled = self.chain.iter().take_while(is_old).count() as u64;
        (settled != self.tip.block_number).then(|| self.move_tip(settled))
    }

    /// Settles up to a block, or takes back what is above it.
    pub fn move_tip(&mut self, block_number: u64) -> SyncTip {
        let index = block_number.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        self.tip = SyncTip { block_number, preconfirmation_hash: index.and_then(|index| self.chain.get(index)).copied() };
        self.tip
    }

    /// What it has settled.
    pub fn tip(&self) -> SyncTip {
        self.tip
    }

    /// Number and hash of the last block that it has; zero before the first.
    pub fn head(&self) -> (u64, B256) {
        (self.chain.len() as u64, self.chain.last().copied().unwrap_or_default())
    }

    /// A block that was made.
    pub fn block(&self, hash: &B256) -> Option<&Made> {
        self.made.get(hash)
    }

    /// All blocks that were made, by their hashes.
    pub fn blocks(&self) -> impl Iterator<Item = &Made> {
        self.made.values()
    }

    /// The block that is settled at this number.
    pub fn settled_at(&self, number: u64) -> Option<B256> {
        let index = number.checked_sub(1).filter(|_| number <= self.tip.block_number)?;
        self.chain.get(usize::try_from(index).ok()?).copied()
    }

    /// Is this block settled?
    pub fn has_settled(&self, hash: &B256) -> bool {
        self.chain.iter().take(self.tip.block_number as usize).any(|of_chain| of_chain == hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(byte: u8) -> B256 {
        B256::repeat_byte(byte)
    }

    fn made(number: u64, block: u8, parent: u8, at: u64) -> Made {
        Made { number, hash: hash(block), parent: hash(parent), timestamp: 0, window_end: 0, eop: false, at: Time(at) }
    }

    #[test]
    fn it_takes_what_links_first_and_settles_it_when_it_is_old() {
        let mut l1 = L1::default();
        [made(2, 2, 1, 5), made(1, 1, 0, 6), made(2, 22, 1, 7)].into_iter().for_each(|block| l1.made(block));
        assert_eq!(l1.head(), (2, hash(2)), "one that was there before its parent links, too");
        let age = Duration::from_micros(10);
        assert_eq!(l1.settle(age, Time(15)), None, "the first is not old enough, and the second waits for it");
        assert_eq!(l1.settle(age, Time(16)), Some(SyncTip { block_number: 2, preconfirmation_hash: Some(hash(2)) }));
        assert_eq!((l1.settled_at(2), l1.settled_at(3), l1.settled_at(0)), (Some(hash(2)), None, None));
        assert!(l1.has_settled(&hash(1)) && !l1.has_settled(&hash(22)));
        assert_eq!(l1.move_tip(1).preconfirmation_hash, Some(hash(1)), "and takes it back");
        assert_eq!(l1.settled_at(2), None);
    }

    #[test]
    fn where_a_block_is_lost_another_takes_its_place_with_all_that_builds_on_it() {
        let mut l1 = L1::default();
        [made(1, 1, 0, 1), made(1, 9, 0, 2), made(2, 10, 9, 3)].into_iter().for_each(|block| l1.made(block));
        assert_eq!(l1.head(), (1, hash(1)));
        l1.lost(&[hash(1)]);
        assert_eq!(l1.head(), (2, hash(10)));
    }
}
