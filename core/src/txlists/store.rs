//! Which txlists are here, and which blocks name them (T2, T6)?
//!
//! A txlist is unsigned, so anyone can make valid ones: only a commitment that refers to it gives it a right to our memory. Whatever is here
//! was hashed, so it is what is served (P6.3) and executed. Those that wait for a commitment are [`Orphans`](super::orphans::Orphans).
//!
//! Invariants: `bytes` is the sum over `lists`, and each of them has a reference.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use bytes::Bytes;

use crate::error::Refusal;

/// Bytes that one kept txlist costs beside its own. Ours: keys, pointers and the table's share.
pub(crate) const TXLIST_OVERHEAD_BYTES: usize = 256;

/// It was hashed, so in a snapshot its name is enough: whoever takes one has its bytes beside it.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Stored {
    #[cfg_attr(feature = "serde", serde(skip))]
    txlist: Bytes,
}

/// The numbers of the kept commitments that refer to a hash, and how many there are at each (T6). The lowest that is still needed decides who
/// falls off first.
#[derive(Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct References(BTreeMap<u64, usize>);

impl References {
    fn last(&self) -> Option<u64> {
        self.0.last_key_value().map(|(number, _)| *number)
    }

    /// The block for which it is needed first; else the last one that named it.
    fn rank(&self, next_ready: u64) -> Option<u64> {
        self.0.range(next_ready..).next().map(|(number, _)| *number).or_else(|| self.last())
    }
}

/// The bytes of txlists.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct TxListStore {
    lists: BTreeMap<B256, Stored>,
    references: BTreeMap<B256, References>,
    bytes: usize,
    max_bytes: usize,
}

impl TxListStore {
    /// What a snapshot names and does not hold.
    #[cfg(feature = "serde")]
    pub(crate) fn named(&self) -> impl Iterator<Item = (B256, &Bytes)> {
        self.lists.iter().map(|(hash, stored)| (*hash, &stored.txlist))
    }

    /// Gives a store of a snapshot its bytes back, or names those that are missing.
    #[cfg(feature = "serde")]
    pub(crate) fn fill(&mut self, mut find: impl FnMut(&B256) -> Option<Bytes>) -> Result<(), B256> {
        for (hash, stored) in &mut self.lists {
            stored.txlist = find(hash).ok_or(*hash)?;
        }
        Ok(())
    }

    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { lists: BTreeMap::new(), references: BTreeMap::new(), bytes: 0, max_bytes }
    }

    pub(crate) fn get(&self, hash: &B256) -> Option<&Bytes> {
        self.lists.get(hash).map(|stored| &stored.txlist)
    }

    pub(crate) fn has(&self, hash: &B256) -> bool {
        self.lists.contains_key(hash)
    }

    /// The highest block whose commitment refers to it.
    pub(crate) fn last_reference(&self, hash: &B256) -> Option<u64> {
        self.references.get(hash).and_then(References::last)
    }

    /// Does a kept commitment refer to it?
    pub(crate) fn is_referenced(&self, hash: &B256) -> bool {
        self.references.contains_key(hash)
    }

    /// Bytes kept, overhead included.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Stores a txlist that a commitment refers to. `next_ready` is the first block still needed: lists that only blocks before it refer to
    /// give way, then those of later blocks than its own, which are handed out by number and hash: an earlier block is executed first.
    pub(crate) fn insert(&mut self, hash: B256, txlist: Bytes, next_ready: u64) -> Result<Vec<(u64, B256)>, Refusal> {
        let cost = txlist.len() + TXLIST_OVERHEAD_BYTES;
        let own = self.references.get(&hash).and_then(|references| references.rank(next_ready)).unwrap_or(u64::MAX);
        let mut gives_way = Vec::new();
        let mut bytes = self.bytes + cost;
        if bytes > self.max_bytes {
            let (mut behind, later): (Vec<_>, Vec<_>) = self.by_rank(next_ready).partition(|(number, _)| *number < next_ready);
            let mut later: Vec<_> = later.into_iter().filter(|(number, _)| *number > own).collect();
            behind.sort_unstable();
            later.sort_unstable_by(|one, other| other.cmp(one));
            // All of them are found before the first one goes: nothing is given up for a list that finds no room in the end.
            let mut candidates = behind.into_iter().chain(later);
            while bytes > self.max_bytes {
                let (number, hash) = candidates.next().ok_or(Refusal::NoRoom)?;
                bytes -= self.lists.get(&hash).map_or(0, |stored| stored.txlist.len() + TXLIST_OVERHEAD_BYTES);
                gives_way.push((number, hash));
            }
        }
        for (_, hash) in &gives_way {
            self.remove(hash);
        }
        gives_way.retain(|(number, _)| *number >= next_ready);
        self.bytes += cost;
        self.lists.insert(hash, Stored { txlist });
        Ok(gives_way)
    }

    /// A commitment that refers to this hash is kept now.
    pub(crate) fn add_reference(&mut self, hash: B256, number: u64) {
        *self.references.entry(hash).or_default().0.entry(number).or_default() += 1;
    }

    /// A commitment with this number that referred to this hash is kept no longer.
    pub(crate) fn remove_reference(&mut self, hash: &B256, number: u64) {
        let Some(References(numbers)) = self.references.get_mut(hash) else { return };
        let Some(count) = numbers.get_mut(&number) else { return };
        *count -= 1;
        if *count == 0 {
            numbers.remove(&number);
        }
        if numbers.is_empty() {
            self.references.remove(hash);
            self.remove(hash);
        }
    }

    fn by_rank(&self, next_ready: u64) -> impl Iterator<Item = (u64, B256)> {
        self.lists.keys().filter_map(move |hash| Some((self.references.get(hash)?.rank(next_ready)?, *hash)))
    }

    fn remove(&mut self, hash: &B256) {
        if let Some(stored) = self.lists.remove(hash) {
            self.bytes -= stored.txlist.len() + TXLIST_OVERHEAD_BYTES;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> TxListStore {
        TxListStore::new(3 * (100 + TXLIST_OVERHEAD_BYTES))
    }

    fn list(byte: u8) -> (B256, Bytes) {
        (B256::repeat_byte(byte), vec![byte; 100].into())
    }

    #[test]
    fn what_is_still_needed_never_gives_way() {
        // P10.1
        let mut store = store();
        for number in 1..=3 {
            let (hash, bytes) = list(number);
            store.add_reference(hash, u64::from(number));
            store.insert(hash, bytes, 1).expect("room for three");
        }
        let (hash, bytes) = list(4);
        store.add_reference(hash, 4);
        assert_eq!(store.insert(hash, bytes.clone(), 1), Err(Refusal::NoRoom));
        assert_eq!(store.insert(hash, bytes, 2), Ok(Vec::new()));
        assert!(!store.has(&B256::repeat_byte(1)) && store.has(&B256::repeat_byte(2)));
    }

    #[test]
    fn nothing_gives_way_to_a_list_that_finds_no_room_in_the_end() {
        // P5.5, P10.1
        let mut store = store();
        for number in [1, 2, 4] {
            let (hash, bytes) = list(number);
            store.add_reference(hash, u64::from(number));
            store.insert(hash, bytes, 1).expect("room for three");
        }
        let large = B256::repeat_byte(3);
        store.add_reference(large, 3);
        assert_eq!(store.insert(large, vec![3; 400].into(), 1), Err(Refusal::NoRoom));
        assert!(store.has(&B256::repeat_byte(4)), "block 4 would wait for it for ever");
    }

    #[test]
    fn t6_a_list_that_an_early_block_needs_has_that_block_s_rank_whoever_else_names_it() {
        // P5.5
        let mut store = store();
        for number in 2..=4 {
            let (hash, bytes) = list(number);
            store.add_reference(hash, u64::from(number));
            store.insert(hash, bytes, 1).expect("room for three");
        }
        let (twin, bytes) = list(1);
        store.add_reference(twin, 1);
        store.add_reference(twin, 7);
        assert_eq!(store.insert(twin, bytes, 1), Ok(vec![(4, B256::repeat_byte(4))]), "block 1 comes before block 4");
        store.remove_reference(&twin, 1);
        assert!(store.has(&twin), "block 7 still names it");
    }
}
