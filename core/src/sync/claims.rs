//! Which heads do peers claim, and which claims do we follow (P6.9)?
//!
//! | a claim is | if its peer | counts for |
//! |---|---|---|
//! | followed | is neither pruned nor left out | where a catch-up goes, `lag` |
//! | left out | has not answered, or outran our schedule | `lag` |
//! | void | is pruned (P7.4) | nothing |
//!
//! Invariant: `followed` and `valid` hold the claims that are followed, and those that are not void, by height; `left_out` those that are
//! left out. Only `put` touches them.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::PeerId;

/// The highest head that a peer can claim. Ours: the block behind it has a number too, so a page never ends past the last number.
const MAX_HEAD: u64 = u64::MAX - 1;

/// What one peer claims.
#[derive(Clone, Copy, Debug, Default)]
struct Claim {
    head: u64,
    is_left_out: bool,
    is_void: bool,
}

/// The claims of connected peers.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    of: BTreeMap<PeerId, Claim>,
    followed: BTreeSet<(u64, PeerId)>,
    valid: BTreeSet<(u64, PeerId)>,
    left_out: BTreeSet<PeerId>,
}

impl Claims {
    /// A peer says that this is its head.
    pub(crate) fn claim(&mut self, peer: PeerId, head: u64, is_pruned: bool) {
        let claim = self.of.get(&peer).copied().unwrap_or_default();
        self.put(peer, Some(Claim { head: head.min(MAX_HEAD), is_void: is_pruned, ..claim }));
    }

    /// The peer can back no more than this. Says whether it had claimed more.
    pub(crate) fn lower(&mut self, peer: &PeerId, to: u64) -> bool {
        let Some(claim) = self.of.get(peer).copied().filter(|claim| claim.head > to) else { return false };
        self.put(*peer, Some(Claim { head: to, ..claim }));
        true
    }

    /// The peer became pruned, or is it no longer (P7.4).
    pub(crate) fn judge(&mut self, peer: &PeerId, is_pruned: bool) {
        if let Some(claim) = self.of.get(peer).copied().filter(|claim| claim.is_void != is_pruned) {
            self.put(*peer, Some(Claim { is_void: is_pruned, ..claim }));
        }
    }

    /// The peer is not followed for now. Says whether it was not left out before.
    pub(crate) fn leave_out(&mut self, peer: &PeerId) -> bool {
        let Some(claim) = self.of.get(peer).copied().filter(|claim| !claim.is_left_out) else { return false };
        self.put(*peer, Some(Claim { is_left_out: true, ..claim }));
        true
    }

    /// All that were left out are followed again.
    pub(crate) fn follow_all(&mut self) {
        while let Some(peer) = self.left_out.first().copied() {
            let followed = self.of.get(&peer).map(|claim| Claim { is_left_out: false, ..*claim });
            self.put(peer, followed);
        }
    }

    /// The peer is gone.
    pub(crate) fn forget(&mut self, peer: &PeerId) {
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
        }
        self.left_out.remove(&peer);
        if new.is_some_and(|claim| claim.is_left_out) {
            self.left_out.insert(peer);
        }
        if let Some(Claim { head, is_left_out, is_void: false }) = new {
            self.valid.insert((head, peer));
            if !is_left_out {
                self.followed.insert((head, peer));
            }
        }
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
        claims.follow_all();
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
