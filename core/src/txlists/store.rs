//! Which txlists are here, and by what right (T2, T5)?
//!
//! A txlist is unsigned, so anyone can make valid ones: only a commitment gives it a right to our memory. The others are orphans, few and
//! short-lived, and room for one is set aside before its bytes are hashed, so that results may come back in any order.
//!
//! Invariants: `named_bytes` and `orphan_bytes` are the sums over `lists`; `reserved` is what admitted orphans under way will take. A list
//! that a kept commitment names is never an orphan.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use bytes::Bytes;

use crate::error::Refusal;
use crate::id::PeerId;

/// Bytes that one kept txlist costs beside its own. Ours: keys, pointers and the table's share.
pub(crate) const TXLIST_OVERHEAD_BYTES: usize = 256;

#[derive(Debug)]
struct Kept {
    txlist: Bytes,
    /// Who brought it, while no commitment names it.
    orphan_of: Option<PeerId>,
}

/// How many kept commitments name a hash, and the lowest of their numbers, which decides who falls off first.
#[derive(Debug)]
struct Named {
    by: usize,
    number: u64,
}

/// The bytes of txlists.
#[derive(Debug)]
pub(crate) struct TxLists {
    lists: BTreeMap<B256, Kept>,
    named: BTreeMap<B256, Named>,
    named_bytes: usize,
    orphan_bytes: usize,
    orphans_of: BTreeMap<PeerId, usize>,
    max_named_bytes: usize,
    max_orphan_bytes: usize,
    max_orphan_bytes_per_peer: usize,
}

impl TxLists {
    pub(crate) fn new(max_named_bytes: usize, max_orphan_bytes: usize, max_orphan_bytes_per_peer: usize) -> Self {
        Self {
            lists: BTreeMap::new(),
            named: BTreeMap::new(),
            named_bytes: 0,
            orphan_bytes: 0,
            orphans_of: BTreeMap::new(),
            max_named_bytes,
            max_orphan_bytes,
            max_orphan_bytes_per_peer,
        }
    }

    pub(crate) fn get(&self, hash: &B256) -> Option<&Bytes> {
        self.lists.get(hash).map(|kept| &kept.txlist)
    }

    pub(crate) fn has(&self, hash: &B256) -> bool {
        self.lists.contains_key(hash)
    }

    /// Does a kept commitment name it?
    pub(crate) fn is_named(&self, hash: &B256) -> bool {
        self.named.contains_key(hash)
    }

    /// Bytes kept, overhead included.
    pub(crate) fn bytes(&self) -> usize {
        self.named_bytes + self.orphan_bytes
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

    /// Gives back what [`TxLists::reserve_orphan`] set aside.
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

    /// Keeps a txlist that a commitment names. `below` is the first block still needed: lists that only blocks below it name give way, then
    /// those of later blocks than its own, which are handed out by number and hash: an earlier block is executed first.
    pub(crate) fn keep_named(&mut self, hash: B256, txlist: Bytes, below: u64) -> Result<Vec<(u64, B256)>, Refusal> {
        let cost = txlist.len() + TXLIST_OVERHEAD_BYTES;
        let own = self.named.get(&hash).map_or(u64::MAX, |named| named.number);
        let mut displaced = Vec::new();
        while self.named_bytes + cost > self.max_named_bytes {
            let oldest = self.kept_by_number().filter(|(number, _)| *number < below).min();
            let latest = || self.kept_by_number().filter(|(number, _)| *number > own).max();
            let (number, gives_way) = oldest.or_else(latest).ok_or(Refusal::NoRoom)?;
            self.remove(&gives_way);
            if number >= below {
                displaced.push((number, gives_way));
            }
        }
        self.named_bytes += cost;
        self.lists.insert(hash, Kept { txlist, orphan_of: None });
        Ok(displaced)
    }

    /// Keeps an orphan whose room was set aside.
    pub(crate) fn keep_orphan(&mut self, hash: B256, txlist: Bytes, peer: PeerId) {
        self.lists.insert(hash, Kept { txlist, orphan_of: Some(peer) });
    }

    /// Its time is over (T5). Nothing happens if a commitment has come for it.
    pub(crate) fn expire_orphan(&mut self, hash: &B256) {
        if let Some(Kept { orphan_of: Some(_), .. }) = self.lists.get(hash) {
            self.remove(hash);
        }
    }

    /// A commitment that names this hash is kept now. An orphan of that hash is one no more.
    /// Hands out what gives way to it, as [`TxLists::keep_named`] does.
    pub(crate) fn name(&mut self, hash: B256, number: u64, below: u64) -> Vec<(u64, B256)> {
        let named = self.named.entry(hash).or_insert(Named { by: 0, number });
        named.by += 1;
        named.number = named.number.max(number);
        if let Some(Kept { txlist, orphan_of: Some(_) }) = self.lists.get(&hash) {
            let txlist = txlist.clone();
            self.remove(&hash);
            // Without room it is as if it had not come yet: it will be fetched.
            return self.keep_named(hash, txlist, below).unwrap_or_default();
        }
        Vec::new()
    }

    /// A commitment that named this hash is kept no longer.
    pub(crate) fn unname(&mut self, hash: &B256) {
        let Some(named) = self.named.get_mut(hash) else { return };
        named.by -= 1;
        if named.by == 0 {
            self.named.remove(hash);
            self.remove(hash);
        }
    }

    fn kept_by_number(&self) -> impl Iterator<Item = (u64, B256)> {
        let kept = self.lists.iter().filter(|(_, kept)| kept.orphan_of.is_none());
        kept.filter_map(|(hash, _)| self.named.get(hash).map(|named| (named.number, *hash)))
    }

    fn remove(&mut self, hash: &B256) {
        let Some(kept) = self.lists.remove(hash) else { return };
        match kept.orphan_of {
            Some(peer) => self.release_orphan(peer, kept.txlist.len()),
            None => self.named_bytes -= kept.txlist.len() + TXLIST_OVERHEAD_BYTES,
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

    fn store() -> TxLists {
        TxLists::new(3 * (100 + TXLIST_OVERHEAD_BYTES), 2 * (100 + TXLIST_OVERHEAD_BYTES), 100 + TXLIST_OVERHEAD_BYTES)
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
        store.keep_orphan(hash, bytes, peer());
        store.expire_orphan(&hash);
        assert_eq!((store.bytes(), store.has(&hash)), (0, false));
        assert_eq!(store.reserve_orphan(peer(), 100), Ok(()));
    }

    #[test]
    fn a_commitment_turns_an_orphan_into_a_kept_list() {
        // T5
        let mut store = store();
        let (hash, bytes) = list(1);
        store.reserve_orphan(peer(), 100).expect("room");
        store.keep_orphan(hash, bytes, peer());
        store.name(hash, 7, 7);
        store.expire_orphan(&hash);
        assert!(store.has(&hash));
        assert_eq!(store.reserve_orphan(peer(), 100), Ok(()));
        store.unname(&hash);
        assert!(!store.has(&hash));
    }

    #[test]
    fn what_is_still_needed_never_gives_way() {
        // P10.1
        let mut store = store();
        for number in 1..=3 {
            let (hash, bytes) = list(number);
            store.name(hash, u64::from(number), 1);
            store.keep_named(hash, bytes, 1).expect("room for three");
        }
        let (hash, bytes) = list(4);
        store.name(hash, 4, 1);
        assert_eq!(store.keep_named(hash, bytes.clone(), 1), Err(Refusal::NoRoom));
        assert_eq!(store.keep_named(hash, bytes, 2), Ok(Vec::new()));
        assert!(!store.has(&B256::repeat_byte(1)) && store.has(&B256::repeat_byte(2)));
    }
}
