//! Which txlists are here, and by what right (T2, T5)?
//!
//! A txlist is unsigned, so anyone can make valid ones: only a commitment that refers to it gives it a right to our memory. The others are
//! orphans, few and short-lived, and room for one is set aside before its bytes are hashed, so that results may come back in any order.
//!
//! Invariants: `referenced_bytes` is the sum over the referenced lists; `orphan_bytes` and `orphans_of` are the sums over the orphans and
//! over what is set aside for those that are being hashed. A list that a kept commitment refers to is never an orphan.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use bytes::Bytes;

use crate::error::Refusal;
use crate::id::PeerId;

/// Bytes that one kept txlist costs beside its own. Ours: keys, pointers and the table's share.
pub(crate) const TXLIST_OVERHEAD_BYTES: usize = 256;

#[derive(Debug)]
struct Stored {
    txlist: Bytes,
    /// Who brought it, while no commitment refers to it.
    orphan_of: Option<PeerId>,
}

/// What a commitment refers to was hashed, so its name is enough, and whoever takes a snapshot has its bytes beside it; an orphan's are in it.
#[cfg(feature = "serde")]
impl serde::Serialize for Stored {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let orphan = self.orphan_of.map(|peer| (peer, &self.txlist));
        orphan.serialize(to)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Stored {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let orphan: Option<(PeerId, Bytes)> = serde::Deserialize::deserialize(from)?;
        Ok(orphan.map_or(Self { txlist: Bytes::new(), orphan_of: None }, |(peer, txlist)| Self { txlist, orphan_of: Some(peer) }))
    }
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
    referenced_bytes: usize,
    orphan_bytes: usize,
    orphans_of: BTreeMap<PeerId, usize>,
    max_referenced_bytes: usize,
    max_orphan_bytes: usize,
    max_orphan_bytes_per_peer: usize,
}

impl TxListStore {
    /// What a snapshot names and does not hold.
    #[cfg(feature = "serde")]
    pub(crate) fn named(&self) -> impl Iterator<Item = (B256, &Bytes)> {
        self.lists.iter().filter(|(_, stored)| stored.orphan_of.is_none()).map(|(hash, stored)| (*hash, &stored.txlist))
    }

    /// Gives a store of a snapshot its bytes back, or names those that are missing.
    #[cfg(feature = "serde")]
    pub(crate) fn fill(&mut self, mut find: impl FnMut(&B256) -> Option<Bytes>) -> Result<(), B256> {
        for (hash, stored) in self.lists.iter_mut().filter(|(_, stored)| stored.orphan_of.is_none()) {
            stored.txlist = find(hash).ok_or(*hash)?;
        }
        Ok(())
    }

    pub(crate) fn new(max_referenced_bytes: usize, max_orphan_bytes: usize, max_orphan_bytes_per_peer: usize) -> Self {
        Self {
            lists: BTreeMap::new(),
            references: BTreeMap::new(),
            referenced_bytes: 0,
            orphan_bytes: 0,
            orphans_of: BTreeMap::new(),
            max_referenced_bytes,
            max_orphan_bytes,
            max_orphan_bytes_per_peer,
        }
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
        self.referenced_bytes + self.orphan_bytes
    }

    /// T5: sets room for an orphan aside, before it is hashed.
    pub(crate) fn reserve_orphan(&mut self, peer: PeerId, len: usize) -> Result<(), Refusal> {
        let cost = len + TXLIST_OVERHEAD_BYTES;
        let of_peer = self.orphans_of.get(&peer).copied().unwrap_or(0);
        if self.orphan_bytes + cost > self.max_orphan_bytes || of_peer + cost > self.max_orphan_bytes_per_peer {
            return Err(Refusal::NoRoom);
        }
        self.orphan_bytes += cost;
        *self.orphans_of.entry(peer).or_default() += cost;
        Ok(())
    }

    /// Gives back what [`TxListStore::reserve_orphan`] set aside.
    pub(crate) fn release_orphan(&mut self, peer: PeerId, len: usize) {
        let cost = len + TXLIST_OVERHEAD_BYTES;
        self.orphan_bytes -= cost;
        if let Some(of_peer) = self.orphans_of.get_mut(&peer) {
            *of_peer -= cost;
            if *of_peer == 0 {
                self.orphans_of.remove(&peer);
            }
        }
    }

    /// Stores a txlist that a commitment refers to. `next_ready` is the first block still needed: lists that only blocks before it refer to
    /// give way, then those of later blocks than its own, which are handed out by number and hash: an earlier block is executed first.
    pub(crate) fn insert(&mut self, hash: B256, txlist: Bytes, next_ready: u64) -> Result<Vec<(u64, B256)>, Refusal> {
        let cost = txlist.len() + TXLIST_OVERHEAD_BYTES;
        let own = self.references.get(&hash).and_then(|references| references.rank(next_ready)).unwrap_or(u64::MAX);
        let mut gives_way = Vec::new();
        let mut bytes = self.referenced_bytes + cost;
        if bytes > self.max_referenced_bytes {
            let (mut behind, later): (Vec<_>, Vec<_>) = self.referenced_by_rank(next_ready).partition(|(number, _)| *number < next_ready);
            let mut later: Vec<_> = later.into_iter().filter(|(number, _)| *number > own).collect();
            behind.sort_unstable();
            later.sort_unstable_by(|one, other| other.cmp(one));
            // All of them are found before the first one goes: nothing is given up for a list that finds no room in the end.
            let mut candidates = behind.into_iter().chain(later);
            while bytes > self.max_referenced_bytes {
                let (number, hash) = candidates.next().ok_or(Refusal::NoRoom)?;
                bytes -= self.lists.get(&hash).map_or(0, |stored| stored.txlist.len() + TXLIST_OVERHEAD_BYTES);
                gives_way.push((number, hash));
            }
        }
        for (_, hash) in &gives_way {
            self.remove(hash);
        }
        gives_way.retain(|(number, _)| *number >= next_ready);
        self.referenced_bytes += cost;
        self.lists.insert(hash, Stored { txlist, orphan_of: None });
        Ok(gives_way)
    }

    /// Stores an orphan whose room was set aside.
    pub(crate) fn insert_orphan(&mut self, hash: B256, txlist: Bytes, peer: PeerId) {
        self.lists.insert(hash, Stored { txlist, orphan_of: Some(peer) });
    }

    /// Its time is over (T5). Nothing happens if a commitment has come for it.
    pub(crate) fn expire_orphan(&mut self, hash: &B256) {
        if let Some(Stored { orphan_of: Some(_), .. }) = self.lists.get(hash) {
            self.remove(hash);
        }
    }

    /// A commitment that refers to this hash is kept now. An orphan of that hash is one no more.
    /// Hands out what gives way to it, as [`TxListStore::insert`] does.
    pub(crate) fn add_reference(&mut self, hash: B256, number: u64, next_ready: u64) -> Vec<(u64, B256)> {
        *self.references.entry(hash).or_default().0.entry(number).or_default() += 1;
        if let Some(Stored { txlist, orphan_of: Some(_) }) = self.lists.get(&hash) {
            let txlist = txlist.clone();
            self.remove(&hash);
            // Without room it is as if it had not come yet: it will be fetched.
            return self.insert(hash, txlist, next_ready).unwrap_or_default();
        }
        Vec::new()
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

    fn referenced_by_rank(&self, next_ready: u64) -> impl Iterator<Item = (u64, B256)> {
        let stored = self.lists.iter().filter(|(_, stored)| stored.orphan_of.is_none());
        stored.filter_map(move |(hash, _)| Some((self.references.get(hash)?.rank(next_ready)?, *hash)))
    }

    fn remove(&mut self, hash: &B256) {
        let Some(stored) = self.lists.remove(hash) else { return };
        match stored.orphan_of {
            Some(peer) => self.release_orphan(peer, stored.txlist.len()),
            None => self.referenced_bytes -= stored.txlist.len() + TXLIST_OVERHEAD_BYTES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: [u8; 2] = [0, 1];

    fn peer() -> PeerId {
        PeerId::from_bytes(&ALICE).expect("two bytes")
    }

    fn store() -> TxListStore {
        TxListStore::new(3 * (100 + TXLIST_OVERHEAD_BYTES), 2 * (100 + TXLIST_OVERHEAD_BYTES), 100 + TXLIST_OVERHEAD_BYTES)
    }

    fn list(byte: u8) -> (B256, Bytes) {
        (B256::repeat_byte(byte), vec![byte; 100].into())
    }

    #[test]
    fn an_orphan_takes_its_own_share_and_no_more() {
        // T5
        let mut store = store();
        assert_eq!(store.reserve_orphan(peer(), 100), Ok(()));
        assert_eq!(store.reserve_orphan(peer(), 1), Err(Refusal::NoRoom));
        let (hash, bytes) = list(1);
        store.insert_orphan(hash, bytes, peer());
        store.expire_orphan(&hash);
        assert_eq!((store.bytes(), store.has(&hash)), (0, false));
        assert_eq!(store.reserve_orphan(peer(), 100), Ok(()));
    }

    #[test]
    fn a_commitment_turns_an_orphan_into_a_list_with_a_right_to_its_room() {
        // T5
        let mut store = store();
        let (hash, bytes) = list(1);
        store.reserve_orphan(peer(), 100).expect("room");
        store.insert_orphan(hash, bytes, peer());
        store.add_reference(hash, 7, 7);
        store.expire_orphan(&hash);
        assert!(store.has(&hash));
        assert_eq!(store.reserve_orphan(peer(), 100), Ok(()));
        store.remove_reference(&hash, 7);
        assert!(!store.has(&hash));
    }

    #[test]
    fn what_is_still_needed_never_gives_way() {
        // P10.1
        let mut store = store();
        for number in 1..=3 {
            let (hash, bytes) = list(number);
            store.add_reference(hash, u64::from(number), 1);
            store.insert(hash, bytes, 1).expect("room for three");
        }
        let (hash, bytes) = list(4);
        store.add_reference(hash, 4, 1);
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
            store.add_reference(hash, u64::from(number), 1);
            store.insert(hash, bytes, 1).expect("room for three");
        }
        let large = B256::repeat_byte(3);
        store.add_reference(large, 3, 1);
        assert_eq!(store.insert(large, vec![3; 400].into(), 1), Err(Refusal::NoRoom));
        assert!(store.has(&B256::repeat_byte(4)), "block 4 would wait for it for ever");
    }

    #[test]
    fn t6_a_list_that_an_early_block_needs_has_that_block_s_rank_whoever_else_names_it() {
        // P5.5
        let mut store = store();
        for number in 2..=4 {
            let (hash, bytes) = list(number);
            store.add_reference(hash, u64::from(number), 1);
            store.insert(hash, bytes, 1).expect("room for three");
        }
        let (twin, bytes) = list(1);
        store.add_reference(twin, 1, 1);
        store.add_reference(twin, 7, 1);
        assert_eq!(store.insert(twin, bytes, 1), Ok(vec![(4, B256::repeat_byte(4))]), "block 1 comes before block 4");
        store.remove_reference(&twin, 1);
        assert!(store.has(&twin), "block 7 still names it");
    }
}
