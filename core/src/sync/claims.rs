//! Which heads do peers claim, and which claims do we follow (P6.9)?
//!
//! | a claim is | if its peer | counts for |
//! |---|---|---|
//! | followed | is neither pruned nor left out | where a catch-up goes, `lag` |
//! | left out | has not answered, or outran our schedule | `lag` |
//! | void | is pruned (P7.4) | nothing |
//!
//! Questions are passes over the claims, for there are no more than connected peers. Only [`Core`] changes them.

use std::collections::BTreeMap;

use crate::id::PeerId;
use crate::machine::Core;
use crate::peer::score::Standing;
use crate::time::Now;

/// The highest head that a peer can claim. Ours: the block behind it has a number too, so a page never ends past the last number.
const MAX_HEAD: u64 = u64::MAX - 1;

/// What one peer claims.
#[derive(Clone, Copy, Debug, Default)]
struct ClaimedHead {
    head: u64,
    is_left_out: bool,
    is_void: bool,
}

/// The claimed heads of connected peers.
#[derive(Debug, Default)]
pub(crate) struct ClaimedHeads {
    of: BTreeMap<PeerId, ClaimedHead>,
}

impl Core {
    /// A peer claims a head.
    pub(super) fn claim(&mut self, now: Now, peer: PeerId, head: u64) {
        let is_pruned = self.reputation.standing(now.mono, &peer) >= Standing::Pruned;
        self.sync.claims.claim(peer, head, is_pruned);
    }
}

impl ClaimedHeads {
    /// A peer says that this is its head.
    fn claim(&mut self, peer: PeerId, head: u64, is_pruned: bool) {
        let claim = self.of.entry(peer).or_default();
        (claim.head, claim.is_void) = (head.min(MAX_HEAD), is_pruned);
    }

    /// The peer can back no more than this.
    pub(super) fn lower(&mut self, peer: &PeerId, to: u64) {
        self.change(peer, |claim| claim.head = claim.head.min(to));
    }

    /// The peer became pruned, or is it no longer (P7.4).
    pub(crate) fn judge(&mut self, peer: &PeerId, is_pruned: bool) {
        self.change(peer, |claim| claim.is_void = is_pruned);
    }

    /// The peer is not followed for now.
    pub(super) fn leave_out(&mut self, peer: &PeerId) {
        self.change(peer, |claim| claim.is_left_out = true);
    }

    /// Nobody is left out any more.
    pub(super) fn follow_all(&mut self) {
        self.of.values_mut().for_each(|claim| claim.is_left_out = false);
    }

    /// The peer is gone.
    pub(super) fn forget(&mut self, peer: &PeerId) {
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
    pub(crate) fn target(&self) -> u64 {
        self.of.values().filter(|claim| claim.is_followed()).map(|claim| claim.head).max().unwrap_or(0)
    }

    /// The best head that a peer claims whom we would ask (P11.1).
    pub(crate) fn best(&self) -> u64 {
        self.of.values().filter(|claim| !claim.is_void).map(|claim| claim.head).max().unwrap_or(0)
    }

    /// Do we follow the peer to this block at least?
    pub(crate) fn is_followed_to(&self, peer: &PeerId, number: u64) -> bool {
        self.of.get(peer).is_some_and(|claim| claim.is_followed() && claim.head >= number)
    }

    /// Whom we follow to this block at least.
    pub(crate) fn followed_to(&self, number: u64) -> impl Iterator<Item = PeerId> + '_ {
        let reach = self.of.iter().filter(move |(_, claim)| claim.is_followed() && claim.head >= number);
        reach.map(|(peer, _)| *peer)
    }
}

impl ClaimedHead {
    fn is_followed(&self) -> bool {
        !self.is_void && !self.is_left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u8) -> PeerId {
        PeerId::from_bytes(&[0, 1, n]).expect("three bytes")
    }

    #[test]
    fn p6_9_who_is_left_out_counts_for_lag_only_and_who_is_pruned_for_nothing() {
        let mut claims = ClaimedHeads::default();
        for n in 1..=3 {
            claims.claim(peer(n), u64::from(n) * 10, false);
        }
        claims.leave_out(&peer(3));
        assert_eq!((claims.target(), claims.best()), (20, 30));
        claims.judge(&peer(3), true);
        assert_eq!((claims.target(), claims.best()), (20, 20));
        claims.follow_all();
        assert_eq!((claims.target(), claims.best()), (20, 20), "still pruned");
        claims.judge(&peer(3), false);
        assert_eq!((claims.target(), claims.best()), (30, 30));
        assert_eq!(claims.followed_to(20).collect::<Vec<_>>(), [peer(2), peer(3)]);
    }

    #[test]
    fn p6_9_a_claim_that_falls_or_is_forgotten_leaves_nothing_behind() {
        let mut claims = ClaimedHeads::default();
        claims.claim(peer(1), 30, false);
        claims.claim(peer(2), 10, true);
        claims.lower(&peer(1), 12);
        claims.lower(&peer(1), 20);
        assert_eq!((claims.of(&peer(1)), claims.target(), claims.best(), claims.len()), (Some(12), 12, 12, 2));
        claims.forget(&peer(1));
        assert_eq!((claims.of(&peer(1)), claims.target(), claims.best(), claims.len()), (None, 0, 0, 1));
    }
}
