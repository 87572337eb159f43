//! Which heads do peers claim, and which claims do we follow (P6.9)?
//!
//! | a claim is | if its peer | counts for |
//! |---|---|---|
//! | followed | is neither pruned nor left out | where a catch-up goes, `lag` |
//! | left out | has not answered, or outran our schedule | `lag` |
//! | void | is pruned (P7.4) | nothing |
//!
//! Many claims can fall or come back at once, when nobody backs a head that all claimed. No step does that for more than
//! [`CLAIMS_AT_ONCE`] of them; the next step goes on.
//!
//! Invariants: `followed` and `valid` hold the claims that are followed, and those that are not void, by height; `left_out` those that are
//! left out, the first of them first. Only `put` touches them. The table of peers knows how far each is followed
//! ([`Peers::set_reach`](crate::peer::table::Peers::set_reach)): so only [`Core`] changes claims, by what stands here.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::PeerId;
use crate::machine::Core;
use crate::peer::score::Standing;
use crate::time::Now;

/// Claims that one step lets fall or come back, and that it looks at to see whether anybody backs them. Ours: each costs about half a
/// microsecond.
pub(crate) const CLAIMS_AT_ONCE: usize = 16;

/// The highest head that a peer can claim. Ours: the block behind it has a number too, so a page never ends past the last number.
const MAX_HEAD: u64 = u64::MAX - 1;

/// What one peer claims.
#[derive(Clone, Copy, Debug, Default)]
struct Claim {
    head: u64,
    /// How many had been left out before this one.
    left_out: Option<u64>,
    is_void: bool,
}

/// The claims of connected peers.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    of: BTreeMap<PeerId, Claim>,
    followed: BTreeSet<(u64, PeerId)>,
    valid: BTreeSet<(u64, PeerId)>,
    left_out: BTreeSet<(u64, PeerId)>,
    /// How many were left out ever.
    leavings: u64,
}

impl Core {
    /// A peer claims a head.
    pub(super) fn claim(&mut self, now: Now, peer: PeerId, head: u64) {
        let is_pruned = self.peers.standing(now.mono, &peer) >= Standing::Pruned;
        self.sync.claims.claim(peer, head, is_pruned);
        self.note_reach(&peer);
    }

    /// The peer can back no more than this.
    pub(super) fn lower_claim(&mut self, peer: &PeerId, to: u64) {
        if self.sync.claims.lower(peer, to) {
            self.note_reach(peer);
        }
    }

    /// The peer is not followed for now.
    pub(super) fn leave_out(&mut self, peer: &PeerId) {
        if self.sync.claims.leave_out(peer) {
            self.note_reach(peer);
        }
    }

    /// The first that were left out are followed again. Says how many.
    pub(super) fn follow_again(&mut self, most: usize) -> usize {
        let first: Vec<PeerId> = self.sync.claims.left_out.iter().map(|(_, peer)| *peer).take(most).collect();
        for peer in &first {
            self.sync.claims.follow(peer);
            self.note_reach(peer);
        }
        first.len()
    }

    /// The peer's score changed, and so perhaps whether its claim counts (P7.4).
    pub(crate) fn judge_claim(&mut self, now: Now, peer: &PeerId) {
        if self.sync.claims.judge(peer, self.peers.standing(now.mono, peer) >= Standing::Pruned) {
            self.note_reach(peer);
        }
    }

    /// The peer is gone.
    pub(crate) fn forget_claimant(&mut self, peer: &PeerId) {
        self.sync.forget(peer);
        self.note_reach(peer);
    }

    fn note_reach(&mut self, peer: &PeerId) {
        self.peers.set_reach(peer, self.sync.claims.reach(peer));
    }
}

impl Claims {
    /// A peer says that this is its head.
    fn claim(&mut self, peer: PeerId, head: u64, is_pruned: bool) {
        let claim = self.of.get(&peer).copied().unwrap_or_default();
        self.put(peer, Some(Claim { head: head.min(MAX_HEAD), is_void: is_pruned, ..claim }));
    }

    /// The peer can back no more than this. Says whether it had claimed more.
    fn lower(&mut self, peer: &PeerId, to: u64) -> bool {
        let Some(claim) = self.of.get(peer).copied().filter(|claim| claim.head > to) else { return false };
        self.put(*peer, Some(Claim { head: to, ..claim }));
        true
    }

    /// The peer became pruned, or is it no longer (P7.4). Says whether that is news.
    fn judge(&mut self, peer: &PeerId, is_pruned: bool) -> bool {
        let Some(claim) = self.of.get(peer).copied().filter(|claim| claim.is_void != is_pruned) else { return false };
        self.put(*peer, Some(Claim { is_void: is_pruned, ..claim }));
        true
    }

    /// The peer is not followed for now. Says whether it was not left out before.
    fn leave_out(&mut self, peer: &PeerId) -> bool {
        let Some(claim) = self.of.get(peer).copied().filter(|claim| claim.left_out.is_none()) else { return false };
        self.leavings += 1; // 2^64 of them outlive any node
        self.put(*peer, Some(Claim { left_out: Some(self.leavings), ..claim }));
        true
    }

    /// The peer is left out no more.
    fn follow(&mut self, peer: &PeerId) {
        if let Some(claim) = self.of.get(peer).copied() {
            self.put(*peer, Some(Claim { left_out: None, ..claim }));
        }
    }

    /// The peer is gone.
    pub(super) fn forget(&mut self, peer: &PeerId) {
        self.put(*peer, None);
    }

    /// What a peer claims.
    pub(crate) fn of(&self, peer: &PeerId) -> Option<u64> {
        self.of.get(peer).map(|claim| claim.head)
    }

    /// All that is claimed.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&PeerId, u64)> {
        self.of.iter().map(|(peer, claim)| (peer, claim.head))
    }

    /// How far the peer is followed, 0 when it is not.
    fn reach(&self, peer: &PeerId) -> u64 {
        self.of.get(peer).filter(|claim| claim.is_followed()).map_or(0, |claim| claim.head)
    }

    /// How many are left out.
    pub(super) fn left_out(&self) -> usize {
        self.left_out.len()
    }

    /// How many peers told us their head.
    pub(crate) fn len(&self) -> usize {
        self.of.len()
    }

    /// The best head that we try to reach.
    pub(crate) fn target(&self) -> u64 {
        self.followed.last().map_or(0, |(head, _)| *head)
    }

    /// The best head that a peer claims whom we would ask (P11.1).
    pub(crate) fn best(&self) -> u64 {
        self.valid.last().map_or(0, |(head, _)| *head)
    }

    /// Whom we follow to this block at least.
    pub(crate) fn followed_to(&self, number: u64) -> impl Iterator<Item = PeerId> + '_ {
        let from = self.followed.iter().rev().take_while(move |(head, _)| *head >= number);
        from.map(|(_, peer)| *peer)
    }

    fn put(&mut self, peer: PeerId, new: Option<Claim>) {
        let old = match new {
            Some(claim) => self.of.insert(peer, claim),
            None => self.of.remove(&peer),
        };
        if let Some(old) = old {
            self.followed.remove(&(old.head, peer));
            self.valid.remove(&(old.head, peer));
            old.left_out.map(|leaving| self.left_out.remove(&(leaving, peer)));
        }
        if let Some(new) = new {
            self.left_out.extend(new.left_out.map(|leaving| (leaving, peer)));
            self.valid.extend((!new.is_void).then_some((new.head, peer)));
            self.followed.extend(new.is_followed().then_some((new.head, peer)));
        }
    }
}

impl Claim {
    fn is_followed(&self) -> bool {
        !self.is_void && self.left_out.is_none()
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
        let mut claims = Claims::default();
        for n in 1..=3 {
            claims.claim(peer(n), u64::from(n) * 10, false);
        }
        assert!(claims.leave_out(&peer(3)) && !claims.leave_out(&peer(3)));
        assert_eq!((claims.target(), claims.best()), (20, 30));
        claims.judge(&peer(3), true);
        assert_eq!((claims.target(), claims.best()), (20, 20));
        claims.follow(&peer(3));
        assert_eq!((claims.target(), claims.best()), (20, 20), "still pruned");
        claims.judge(&peer(3), false);
        assert_eq!((claims.target(), claims.best()), (30, 30));
        assert_eq!(claims.followed_to(20).collect::<Vec<_>>(), [peer(3), peer(2)]);
    }

    #[test]
    fn p6_9_a_claim_that_falls_or_is_forgotten_leaves_nothing_behind() {
        let mut claims = Claims::default();
        claims.claim(peer(1), 30, false);
        claims.claim(peer(2), 10, true);
        assert!(claims.lower(&peer(1), 12) && !claims.lower(&peer(1), 12));
        assert_eq!((claims.of(&peer(1)), claims.target(), claims.best(), claims.len()), (Some(12), 12, 12, 2));
        claims.forget(&peer(1));
        assert_eq!((claims.of(&peer(1)), claims.target(), claims.best(), claims.len()), (None, 0, 0, 1));
        assert!(claims.followed.is_empty() && claims.valid.is_empty() && claims.left_out.is_empty());
    }
}
