//! Which txlists wait for a commitment that names them (T5)?
//!
//! A txlist is unsigned, so anyone can make valid ones. Until an accepted commitment names its hash, one has a right neither to our processor
//! nor to a verdict other than *ignore*: it waits here, unhashed, and what it claims to be is only a claim. So one hash may have several
//! candidates; once it is named they are hashed one after another, first come first, until one is right.
//!
//! There is room for so many bytes, in all and per peer, and for [`MAX_PER_HASH`] candidates of a hash, each of another peer. The newcomer
//! counts like those that are here. Of those that compete for room, the first of this order gives way:
//!
//! | sort key | gives way first |
//! |---|---|
//! | bytes of its neighbourhood | whose holds most; who is in none counts alone |
//! | bytes of its peer | who holds most |
//! | has it its verdict? | who has it, the oldest first: nobody waits for it any more |
//! | when it came | the newest, so that a flood does not wash out what came before it |
//!
//! Invariants: `by_hash`, `by_job` and `of_peers` point at entries of `by_id` and at all that they should; `bytes`, each share and each
//! neighbourhood are the sums of their costs. Only `insert`, `start` and `remove` touch them.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;
use bytes::Bytes;

use crate::config::Config;
use crate::cost::{TIMER, entry};
use crate::id::{HeldId, JobId, MessageId, PeerId};
use crate::peer::subnet::Cidr;
use crate::time::Time;
use crate::wire::v1::TXLIST_HEADER_BYTES;

/// Most candidates for one hash. Source: T5.
const MAX_PER_HASH: usize = 3;
/// Most that wait: each takes that part of the room at least. Ours: as many messages as are held of the other topic (P5.1).
const MAX_ORPHANS: usize = 1024;
/// Bytes that one takes beside its own: what it came in, its places in the tables, and its deadline.
const OVERHEAD_BYTES: usize = TXLIST_HEADER_BYTES
    + entry::<HeldId, Orphan>()
    + entry::<(B256, HeldId), ()>()
    + entry::<JobId, HeldId>()
    + entry::<PeerId, Share>()
    + entry::<Cidr, usize>()
    + entry::<HeldId, ()>()
    + TIMER;

/// A txlist that no commitment named when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Orphan {
    /// The hash that it is said to have.
    pub(crate) hash: B256,
    pub(crate) txlist: Bytes,
    pub(crate) peer: PeerId,
    /// Named until its verdict is given.
    pub(crate) message: Option<MessageId>,
    pub(crate) arrived: Time,
    /// The job that hashes it.
    job: Option<JobId>,
}

impl Orphan {
    /// One that has just arrived.
    pub(crate) fn new(hash: B256, txlist: Bytes, (peer, message): (PeerId, MessageId), arrived: Time) -> Self {
        Self { hash, txlist, peer, message: Some(message), arrived, job: None }
    }

    /// Is its hash being found?
    pub(crate) fn is_hashing(&self) -> bool {
        self.job.is_some()
    }
}

/// What one peer holds of the room.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Share {
    /// Where the peer was when the first of them came.
    neighbourhood: Option<Cidr>,
    bytes: usize,
    ids: BTreeSet<HeldId>,
}

/// The txlists that wait to be named.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Orphans {
    max_bytes: usize,
    max_bytes_per_peer: usize,
    by_id: BTreeMap<HeldId, Orphan>,
    by_hash: BTreeSet<(B256, HeldId)>,
    by_job: BTreeMap<JobId, HeldId>,
    of_peers: BTreeMap<PeerId, Share>,
    of_neighbourhoods: BTreeMap<Cidr, usize>,
    bytes: usize,
}

impl Orphans {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            max_bytes: config.max_orphan_bytes,
            max_bytes_per_peer: config.max_orphan_bytes_per_peer,
            by_id: BTreeMap::new(),
            by_hash: BTreeSet::new(),
            by_job: BTreeMap::new(),
            of_peers: BTreeMap::new(),
            of_neighbourhoods: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// Takes one in, and hands out what gives way: others, or the newcomer itself.
    pub(crate) fn insert(&mut self, id: HeldId, orphan: Orphan, neighbourhood: Option<Cidr>) -> Vec<(HeldId, Orphan)> {
        let (hash, peer, cost) = (orphan.hash, orphan.peer, self.cost(&orphan));
        let has_one = self.of_hash(&hash).any(|other| self.by_id.get(&other).is_some_and(|other| other.peer == peer));
        if has_one || cost > self.max_bytes_per_peer {
            return vec![(id, orphan)];
        }
        self.by_hash.insert((hash, id));
        self.by_id.insert(id, orphan);
        let share = self.of_peers.entry(peer).or_insert_with(|| Share { neighbourhood, bytes: 0, ids: BTreeSet::new() });
        share.ids.insert(id);
        share.bytes += cost;
        share.neighbourhood.into_iter().for_each(|block| *self.of_neighbourhoods.entry(block).or_default() += cost);
        self.bytes += cost;
        let mut gone = Vec::new();
        // Each turn takes one out; where the newcomer goes, nothing is over its bound any more.
        while let Some(loser) = self.gives_way(&hash, &peer) {
            gone.extend(self.remove(loser).map(|orphan| (loser, orphan)));
        }
        gone
    }

    /// Who must go, as long as the room of this hash, of this peer, or of all is more than taken.
    fn gives_way(&self, hash: &B256, peer: &PeerId) -> Option<HeldId> {
        let of_hash: Vec<_> = self.of_hash(hash).collect();
        let compete: Vec<_> = if of_hash.len() > MAX_PER_HASH {
            of_hash
        } else if self.of_peers.get(peer).is_some_and(|share| share.bytes > self.max_bytes_per_peer) {
            self.of_peer(peer).collect()
        } else if self.bytes > self.max_bytes {
            // Only those of the peer that comes first in the order are looked at: a flood must not have each of its messages cost a walk
            // through all that wait.
            let most = self.of_peers.iter().max_by_key(|(_, share)| (self.near(share), share.bytes, share.ids.last().copied()))?;
            self.of_peer(most.0).collect()
        } else {
            return None;
        };
        compete.into_iter().max_by_key(|id| self.sort_key(id))
    }

    /// The table of the module's page: the highest gives way.
    fn sort_key(&self, id: &HeldId) -> Option<(usize, usize, bool, u64)> {
        let orphan = self.by_id.get(id)?;
        let share = self.of_peers.get(&orphan.peer)?;
        let is_judged = orphan.message.is_none();
        Some((self.near(share), share.bytes, is_judged, if is_judged { !id.0 } else { id.0 }))
    }

    /// What is held from where a share's peer is.
    fn near(&self, share: &Share) -> usize {
        share.neighbourhood.and_then(|block| self.of_neighbourhoods.get(&block).copied()).unwrap_or(share.bytes)
    }

    /// A job was started that hashes it.
    pub(crate) fn start(&mut self, id: HeldId, job: JobId) {
        if let Some(orphan) = self.by_id.get_mut(&id) {
            orphan.job = Some(job);
            self.by_job.insert(job, id);
        }
    }

    /// A job is done. Gives what it has hashed, if that is still here.
    pub(crate) fn finish(&mut self, job: JobId) -> Option<Orphan> {
        let id = *self.by_job.get(&job)?;
        self.remove(id)
    }

    /// Its time is over, or its place is needed.
    pub(crate) fn remove(&mut self, id: HeldId) -> Option<Orphan> {
        let orphan = self.by_id.remove(&id)?;
        let cost = self.cost(&orphan);
        self.by_hash.remove(&(orphan.hash, id));
        orphan.job.map(|job| self.by_job.remove(&job));
        self.bytes -= cost;
        if let Some(share) = self.of_peers.get_mut(&orphan.peer) {
            share.bytes -= cost;
            share.ids.remove(&id);
            if let Some((block, bytes)) = share.neighbourhood.and_then(|block| Some((block, self.of_neighbourhoods.get_mut(&block)?))) {
                *bytes -= cost;
                if *bytes == 0 {
                    self.of_neighbourhoods.remove(&block);
                }
            }
            if share.ids.is_empty() {
                self.of_peers.remove(&orphan.peer);
            }
        }
        Some(orphan)
    }

    pub(crate) fn get(&self, id: HeldId) -> Option<&Orphan> {
        self.by_id.get(&id)
    }

    /// Its verdict is given now: the message that it came in, if it was not given before.
    pub(crate) fn take_message(&mut self, id: HeldId) -> Option<MessageId> {
        self.by_id.get_mut(&id)?.message.take()
    }

    /// The candidates for a hash, first come first.
    pub(crate) fn of_hash(&self, hash: &B256) -> impl Iterator<Item = HeldId> {
        self.by_hash.range((*hash, HeldId(0))..=(*hash, HeldId(u64::MAX))).map(|(_, id)| *id)
    }

    /// Is one of the candidates for a hash being hashed?
    pub(crate) fn is_hashing(&self, hash: &B256) -> bool {
        self.of_hash(hash).any(|id| self.by_id.get(&id).is_some_and(Orphan::is_hashing))
    }

    fn of_peer(&self, peer: &PeerId) -> impl Iterator<Item = HeldId> {
        self.of_peers.get(peer).into_iter().flat_map(|share| share.ids.iter().copied())
    }

    /// How many are being hashed.
    pub(crate) fn hashing(&self) -> usize {
        self.by_job.len()
    }

    /// The room that is taken: at least what they cost in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn cost(&self, orphan: &Orphan) -> usize {
        (orphan.txlist.len() + OVERHEAD_BYTES).max(self.max_bytes / MAX_ORPHANS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::topics::ChainId;

    /// Room for eight lists of 100 bytes, and for four of one peer.
    fn orphans() -> Orphans {
        let one = 100 + OVERHEAD_BYTES;
        Orphans::new(&Config { max_orphan_bytes: 8 * one, max_orphan_bytes_per_peer: 4 * one, ..Config::new(ChainId(1)) })
    }

    fn orphan(peer: u8, hash: u8) -> Orphan {
        let peer = PeerId::from_bytes(&[0, 1, peer]).expect("three bytes");
        Orphan::new(B256::repeat_byte(hash), vec![hash; 100].into(), (peer, MessageId([hash; 20])), Time::ZERO)
    }

    fn near(block: u8) -> Option<Cidr> {
        Some(Cidr::around([block, 0, 0, 1].into(), 24))
    }

    /// Who gave way to this one.
    fn insert(orphans: &mut Orphans, id: u64, orphan: Orphan, block: Option<Cidr>) -> Option<u64> {
        let gone = orphans.insert(HeldId(id), orphan, block);
        assert!(gone.len() <= 1);
        let sum: usize = orphans.by_id.values().map(|orphan| orphans.cost(orphan)).sum();
        let shares: usize = orphans.of_peers.values().map(|share| share.bytes).sum();
        assert_eq!((orphans.bytes, orphans.by_hash.len()), (sum, orphans.by_id.len()));
        assert!(sum == shares && sum <= orphans.max_bytes);
        gone.first().map(|(id, _)| id.0)
    }

    #[test]
    fn t5_one_hash_has_three_candidates_of_different_peers() {
        let mut orphans = orphans();
        assert_eq!(insert(&mut orphans, 1, orphan(1, 7), None), None);
        assert_eq!(insert(&mut orphans, 2, orphan(1, 7), None), Some(2), "the same peer's");
        assert_eq!(insert(&mut orphans, 3, orphan(2, 7), None), None);
        assert_eq!(insert(&mut orphans, 4, orphan(3, 7), None), None);
        assert_eq!(insert(&mut orphans, 5, orphan(4, 7), None), Some(5), "the newest of equals");
        assert_eq!(insert(&mut orphans, 6, orphan(3, 8), None), None);
        assert_eq!(insert(&mut orphans, 7, orphan(4, 7), None), Some(4), "its peer holds most");
        assert_eq!(orphans.of_hash(&B256::repeat_byte(7)).collect::<Vec<_>>(), [1, 3, 7].map(HeldId));
    }

    #[test]
    fn t5_a_peer_has_its_share_and_what_has_its_verdict_gives_way_first() {
        let mut orphans = orphans();
        for id in 1..=4u8 {
            assert_eq!(insert(&mut orphans, u64::from(id), orphan(1, id), None), None);
        }
        assert_eq!(insert(&mut orphans, 5, orphan(1, 5), None), Some(5));
        for id in [3, 2] {
            assert!(orphans.take_message(HeldId(id)).is_some() && orphans.take_message(HeldId(id)).is_none());
        }
        assert_eq!(insert(&mut orphans, 6, orphan(1, 6), None), Some(2), "the oldest of those");
        assert_eq!(insert(&mut orphans, 7, orphan(2, 7), None), None, "another peer's");
        let long = Orphan { txlist: vec![0; 5_000].into(), ..orphan(3, 9) };
        assert_eq!(insert(&mut orphans, 8, long, None), Some(8), "more than a peer may have");
    }

    #[test]
    fn t5_whose_neighbourhood_holds_most_gives_way_then_who_holds_most() {
        let mut orphans = orphans();
        let held = [(1, 1), (1, 1), (2, 1), (3, 1), (4, 4), (4, 4), (4, 4), (5, 5)];
        for (id, (peer, block)) in (1u8..).zip(held) {
            assert_eq!(insert(&mut orphans, u64::from(id), orphan(peer, id), near(block)), None);
        }
        assert_eq!(insert(&mut orphans, 9, orphan(6, 9), near(6)), Some(2), "four of block 1, and two of them of its first peer");
        assert_eq!(insert(&mut orphans, 10, orphan(4, 10), near(4)), Some(10), "block 4 would hold most with it");
        assert_eq!(insert(&mut orphans, 11, orphan(6, 11), None), Some(7), "block 4 holds most, its newest goes");
        (1..=11).for_each(|id| drop(orphans.remove(HeldId(id))));
        assert!(orphans.bytes == 0 && orphans.of_peers.is_empty() && orphans.of_neighbourhoods.is_empty() && orphans.by_hash.is_empty());
    }

    #[test]
    fn p10_1_however_short_they_are_there_are_so_many_and_no_more() {
        let mut orphans = Orphans::new(&Config::new(ChainId(1)));
        let short = |id: u64| Orphan {
            hash: B256::from(alloy_primitives::U256::from(id)),
            txlist: Bytes::from_static(&[1]),
            ..orphan(u8::try_from(id % 100).expect("few"), 0)
        };
        (0..3_000).for_each(|id| drop(orphans.insert(HeldId(id), short(id), None)));
        assert_eq!(orphans.by_id.len(), MAX_ORPHANS);
    }

    #[test]
    fn t4_a_job_that_comes_back_for_one_that_is_gone_finds_nothing() {
        let mut orphans = orphans();
        insert(&mut orphans, 1, orphan(1, 7), None);
        orphans.start(HeldId(1), JobId(5));
        assert!(orphans.is_hashing(&B256::repeat_byte(7)) && orphans.hashing() == 1);
        assert!(orphans.remove(HeldId(1)).is_some() && orphans.finish(JobId(5)).is_none());
        assert_eq!((orphans.bytes(), orphans.hashing()), (0, 0));
    }
}
