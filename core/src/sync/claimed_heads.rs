//! Which heads do peers claim, which claims do we follow (P6.9), and which have they backed (P11.1)?
//!
//! | a claim is | if its peer | counts for |
//! |---|---|---|
//! | followed | is neither pruned nor set aside | where a catch-up goes |
//! | set aside | did not answer for it, or is ahead of our schedule | nothing, for now |
//! | of no account | is pruned (P7.4) | nothing |
//!
//! A claim is a word. What a peer has *backed*, with a commitment at that number that the elected preconfer signed, counts for every figure that
//! an operator sees, as long as the peer is connected, not pruned, and claims as much.
//!
//! Questions are passes over the claims, for there are no more than connected peers. Only [`CatchUp`](crate::sync::CatchUp) changes them.

use std::collections::BTreeMap;

use crate::cost::entry;
use crate::id::PeerId;

/// The highest head that a peer can claim. Ours: the block behind it has a number too, so a page never ends past the last number.
const MAX_HEAD: u64 = u64::MAX - 1;

/// What one peer claims.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct ClaimedHead {
    head: u64,
    /// The highest number of a commitment of its that passed C7; never above `head`.
    backed: u64,
    /// Was it asked to back this claim?
    is_probed: bool,
    /// How often on end it was asked to, and did not.
    unbacked_probes: u32,
    is_set_aside: bool,
    is_pruned: bool,
}

/// The claimed heads of connected peers.
#[derive(Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct ClaimedHeads {
    of: BTreeMap<PeerId, ClaimedHead>,
}

impl ClaimedHeads {
    /// What one claim costs in memory.
    pub(super) const ENTRY: usize = entry::<PeerId, ClaimedHead>();

    /// A peer says that this is its head.
    pub(super) fn claim(&mut self, peer: PeerId, head: u64, is_pruned: bool) {
        let claim = self.of.entry(peer).or_default();
        (claim.head, claim.is_pruned, claim.is_probed) = (head.min(MAX_HEAD), is_pruned, false);
        claim.backed = claim.backed.min(claim.head);
    }

    /// The peer brought a commitment with this number that passed C7. One above its head backs nothing that it claims.
    pub(super) fn back(&mut self, peer: &PeerId, number: u64) {
        self.change(peer, |claim| {
            if number <= claim.head {
                claim.backed = claim.backed.max(number);
            }
            if claim.backed == claim.head {
                claim.unbacked_probes = 0;
            }
        });
    }

    /// The peer is asked to back its claim. Until it says something new, it is not asked again.
    pub(super) fn probed(&mut self, peer: &PeerId) {
        self.change(peer, |claim| {
            (claim.is_probed, claim.unbacked_probes) = (true, claim.unbacked_probes.saturating_add(1));
        });
    }

    /// The chain is another one: what was backed is to be backed anew.
    pub(super) fn back_anew(&mut self) {
        self.of.values_mut().for_each(|claim| (claim.backed, claim.is_probed) = (0, false));
    }

    /// The peer can back no more than this.
    pub(super) fn lower(&mut self, peer: &PeerId, to: u64) {
        self.change(peer, |claim| (claim.head, claim.backed) = (claim.head.min(to), claim.backed.min(to)));
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
        self.of.values_mut().for_each(|claim| (claim.is_set_aside, claim.is_probed) = (false, false));
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

    /// Up to where a peer has backed what it claims, if it has at all (P11.1).
    pub(crate) fn backed_by(&self, peer: &PeerId) -> Option<u64> {
        self.of.get(peer).map(|claim| claim.backed).filter(|backed| *backed > 0)
    }

    /// All that is claimed.
    #[cfg(test)]
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

    /// The best head that a peer has backed whom we would ask (P11.1).
    pub(super) fn best_backed(&self) -> u64 {
        self.counted().map(|claim| claim.backed).max().unwrap_or(0)
    }

    /// What each has backed.
    pub(crate) fn backed(&self) -> impl Iterator<Item = (&PeerId, u64)> {
        self.of.iter().map(|(peer, claim)| (peer, claim.backed))
    }

    /// How many claim more than this. They have not backed it, or it would be no more than the best that is backed.
    pub(crate) fn above(&self, number: u64) -> usize {
        self.counted().filter(|claim| claim.head > number).count()
    }

    /// Does anybody claim no more than this?
    pub(super) fn any_up_to(&self, number: u64) -> bool {
        self.counted().any(|claim| claim.head <= number)
    }

    /// Who may be asked to back more than this, and was not yet: how often on end each did not, what it claims, and who it is.
    pub(super) fn to_probe(&self, number: u64) -> impl Iterator<Item = (u32, u64, PeerId)> {
        let open = self.of.iter().filter(move |(_, claim)| !claim.is_pruned && !claim.is_probed && claim.head > number);
        open.map(|(peer, claim)| (claim.unbacked_probes, claim.head, *peer))
    }

    fn counted(&self) -> impl Iterator<Item = &ClaimedHead> {
        self.of.values().filter(|claim| !claim.is_pruned)
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
    fn p6_9_who_is_set_aside_and_who_is_pruned_is_not_followed() {
        let mut heads = ClaimedHeads::default();
        for n in 1..=3 {
            heads.claim(peer(n), u64::from(n) * 10, false);
        }
        heads.set_aside(&peer(3));
        assert_eq!((heads.target(), heads.above(20)), (20, 1));
        heads.set_pruned(&peer(3), true);
        assert_eq!((heads.target(), heads.above(20)), (20, 0));
        heads.follow_all();
        assert_eq!((heads.target(), heads.above(20)), (20, 0), "still pruned");
        heads.set_pruned(&peer(3), false);
        assert_eq!((heads.target(), heads.above(20)), (30, 1));
        assert_eq!(heads.followed_to(20).collect::<Vec<_>>(), [peer(2), peer(3)]);
    }

    #[test]
    fn p6_9_a_claim_that_falls_or_is_removed_leaves_nothing_behind() {
        let mut heads = ClaimedHeads::default();
        heads.claim(peer(1), 30, false);
        heads.back(&peer(1), 30);
        heads.claim(peer(2), 10, true);
        heads.lower(&peer(1), 12);
        heads.lower(&peer(1), 20);
        assert_eq!((heads.of(&peer(1)), heads.target(), heads.best_backed(), heads.len()), (Some(12), 12, 12, 2));
        heads.remove(&peer(1));
        assert_eq!((heads.of(&peer(1)), heads.target(), heads.best_backed(), heads.len()), (None, 0, 0, 1));
    }

    #[test]
    fn p11_1_only_what_was_backed_counts_and_only_while_its_peer_claims_as_much() {
        let mut heads = ClaimedHeads::default();
        heads.claim(peer(1), u64::MAX, false);
        heads.claim(peer(2), 30, false);
        assert_eq!((heads.best_backed(), heads.to_probe(0).count()), (0, 2));
        heads.probed(&peer(1));
        heads.back(&peer(2), 20);
        assert_eq!((heads.best_backed(), heads.backed_by(&peer(1)), heads.backed_by(&peer(2))), (20, None, Some(20)));
        assert_eq!(heads.to_probe(20).collect::<Vec<_>>(), [(0, 30, peer(2))], "nobody is asked twice for the same claim");
        heads.claim(peer(1), u64::MAX, false);
        assert_eq!(heads.to_probe(30).collect::<Vec<_>>(), [(1, MAX_HEAD, peer(1))], "and who did not back one waits behind");
        heads.claim(peer(2), 15, false);
        assert_eq!(heads.best_backed(), 15, "it has less than it had");
        heads.back_anew();
        assert_eq!(heads.best_backed(), 0);
    }
}
