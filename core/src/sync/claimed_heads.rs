//! Which heads do peers claim, and which claims do we follow (P6.9)?
//!
//! | a claim is | if its peer | counts for |
//! |---|---|---|
//! | followed | is neither pruned nor set aside | where a catch-up goes, `lag` |
//! | set aside | did not answer for it, or is ahead of our schedule | `lag` |
//! | of no account | is pruned (P7.4) | nothing |
//!
//! Questions are passes over the claims, for there are no more than connected peers. Only [`CatchUp`](crate::sync::CatchUp) changes them.

use std::collections::BTreeMap;

use crate::cost::entry;
use crate::id::PeerId;

/// The highest head that a peer can claim. Ours: the block behind it has a number too, so a page never ends past the last number.
const MAX_HEAD: u64 = u64::MAX - 1;

/// What one peer claims.
#[derive(Clone, Copy, Debug, Default)]
struct ClaimedHead {
    head: u64,
    is_set_aside: bool,
    is_pruned: bool,
}

/// The claimed heads of connected peers.
#[derive(Debug, Default)]
pub(crate) struct ClaimedHeads {
    of: BTreeMap<PeerId, ClaimedHead>,
}

impl ClaimedHeads {
    /// What one claim costs in memory.
    pub(super) const ENTRY: usize = entry::<PeerId, ClaimedHead>();

    /// A peer says that this is its head.
    pub(super) fn claim(&mut self, peer: PeerId, head: u64, is_pruned: bool) {
        let claim = self.of.entry(peer).or_default();
        (claim.head, claim.is_pruned) = (head.min(MAX_HEAD), is_pruned);
    }

    /// The peer can back no more than this.
    pub(super) fn lower(&mut self, peer: &PeerId, to: u64) {
        self.change(peer, |claim| claim.head = claim.head.min(to));
    }

    /// The peer became pruned, or is it no longer (P7.4).
    pub(super) fn set_pruned(&mut self, peer: &PeerId, is_pruned: bool) {
        self.change(peer, |claim| claim.is_pruned = is_pruned);
    }

    /// The peer is not followed, until [`ClaimedHeads::follow_all`].
    pub(super) fn set_aside(&mut self, peer: &PeerId) {
        self.change(peer, |claim| claim.is_set_aside = true);
    }

    /// Nobody is set aside any more.
    pub(super) fn follow_all(&mut self) {
        self.of.values_mut().for_each(|claim| claim.is_set_aside = false);
    }

    /// The peer is gone.
    pub(super) fn remove(&mut self, peer: &PeerId) {
        self.of.remove(peer);
    }

    fn change(&mut self, peer: &PeerId, change: impl FnOnce(&mut ClaimedHead)) {
        self.of.get_mut(peer).map(change);
    }

    /// What a peer claims.
    pub(crate) fn of(&self, peer: &PeerId) -> Option<u64> {
        self.of.get(peer).map(|claim| claim.head)
    }

    /// All that is claimed.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&PeerId, u64)> {
        self.of.iter().map(|(peer, claim)| (peer, claim.head))
    }

    /// How many peers told us their head.
    pub(crate) fn len(&self) -> usize {
        self.of.len()
    }

    /// The best head that we try to reach.
    pub(super) fn target(&self) -> u64 {
        self.of.values().filter(|claim| claim.is_followed()).map(|claim| claim.head).max().unwrap_or(0)
    }

    /// The best head that a peer claims whom we would ask (P11.1).
    pub(super) fn best(&self) -> u64 {
        self.of.values().filter(|claim| !claim.is_pruned).map(|claim| claim.head).max().unwrap_or(0)
    }

    /// Whom we follow to this block at least, in the order of their ids.
    pub(super) fn followed_to(&self, number: u64) -> impl Iterator<Item = PeerId> + '_ {
        let reach = self.of.iter().filter(move |(_, claim)| claim.is_followed() && claim.head >= number);
        reach.map(|(peer, _)| *peer)
    }
}

impl ClaimedHead {
    fn is_followed(&self) -> bool {
        !self.is_pruned && !self.is_set_aside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u8) -> PeerId {
        PeerId::from_bytes(&[0, 1, n]).expect("three bytes")
    }

    #[test]
    fn p6_9_who_is_set_aside_counts_for_lag_only_and_who_is_pruned_for_nothing() {
        let mut heads = ClaimedHeads::default();
        for n in 1..=3 {
            heads.claim(peer(n), u64::from(n) * 10, false);
        }
        heads.set_aside(&peer(3));
        assert_eq!((heads.target(), heads.best()), (20, 30));
        heads.set_pruned(&peer(3), true);
        assert_eq!((heads.target(), heads.best()), (20, 20));
        heads.follow_all();
        assert_eq!((heads.target(), heads.best()), (20, 20), "still pruned");
        heads.set_pruned(&peer(3), false);
        assert_eq!((heads.target(), heads.best()), (30, 30));
        assert_eq!(heads.followed_to(20).collect::<Vec<_>>(), [peer(2), peer(3)]);
    }

    #[test]
    fn p6_9_a_claim_that_falls_or_is_removed_leaves_nothing_behind() {
        let mut heads = ClaimedHeads::default();
        heads.claim(peer(1), 30, false);
        heads.claim(peer(2), 10, true);
        heads.lower(&peer(1), 12);
        heads.lower(&peer(1), 20);
        assert_eq!((heads.of(&peer(1)), heads.target(), heads.best(), heads.len()), (Some(12), 12, 12, 2));
        heads.remove(&peer(1));
        assert_eq!((heads.of(&peer(1)), heads.target(), heads.best(), heads.len()), (None, 0, 0, 1));
    }
}
