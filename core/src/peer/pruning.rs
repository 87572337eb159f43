//! Who leaves when there are too many (P8.4)?
//!
//! The worst scored inbound peer first, the one that came last among equals; protected peers never. Who only our own dials brought leaves
//! when no inbound peer can.
//!
//! A newcomer had no time yet to earn anything, and would always be the one to go: then whoever came first and does nothing wrong would hold
//! the slots for ever. So for [`TRIAL`] it stays while somebody else is no better, as long as it has lost nothing itself. A quarter of the
//! inbound slots is for such newcomers, so that a crowd of them drives out no more.
//!
//! Of all who may go, the one with the least key does:
//!
//! | a peer | sort key |
//! |---|---|
//! | inbound, has lost points | 0, score, the last to come first |
//! | inbound, no longer a newcomer, or newcomers hold more than their slots: then scores do not count | 1, score, the last to come first |
//! | inbound, a newcomer | 2, the last to come first |
//! | outbound | 3, score, the last to come first |

use std::cmp::Reverse;
use std::time::Duration;

use crate::id::PeerId;
use crate::machine::Core;
use crate::output::Action;
use crate::peer::reputation::Reputation;
use crate::peer::table::{Connected, Peers, Side};
use crate::time::{Now, Time};

/// How long a newcomer has to show itself (P8.4). Ours: two rounds of asking for heads, and some blocks.
const TRIAL: Duration = Duration::from_secs(30);

/// What decides when a peer leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stay {
    pub(crate) side: Side,
    pub(crate) score: i64,
    /// How many peers had come before it, and when it came.
    pub(crate) arrival: u64,
    since: Time,
}

impl Stay {
    fn is_newcomer(&self, now: Time) -> bool {
        self.side == Side::Inbound && now.since(self.since) < TRIAL
    }

    /// The sort key of this module's head.
    fn key(&self, now: Time, has_too_many_new: bool) -> (u8, i64, Reverse<u64>) {
        let (class, score) = match self.side {
            Side::Outbound => (3, self.score),
            Side::Inbound if self.score < 0 => (0, self.score),
            Side::Inbound if has_too_many_new => (1, 0),
            Side::Inbound if self.is_newcomer(now) => (2, 0),
            Side::Inbound => (1, self.score),
        };
        (class, score, Reverse(self.arrival))
    }
}

/// Who leaves first, where so many newcomers have slots.
fn first_to_leave(all: &[(PeerId, Stay)], now: Time, newcomers: usize) -> Option<(Side, PeerId)> {
    let has_too_many_new = all.iter().filter(|(_, stay)| stay.is_newcomer(now)).count() > newcomers;
    all.iter().min_by_key(|(_, stay)| stay.key(now, has_too_many_new)).map(|(peer, stay)| (stay.side, *peer))
}

impl Connected {
    /// `None` for who cannot be told to leave: it is protected, or was told already.
    fn stay(&self, score: impl FnOnce() -> i64) -> Option<Stay> {
        let stay = || Stay { side: self.side(), score: score(), arrival: self.arrival, since: self.since };
        (!self.is_protected && !self.is_leaving).then(stay)
    }
}

impl Peers {
    /// All that may be told to leave.
    pub(crate) fn may_leave(&self, reputation: &Reputation, now: Time) -> impl Iterator<Item = (PeerId, Stay)> {
        let known = self.connected.iter().zip(reputation.connected()); // both in the order of ids
        known.filter_map(move |((id, peer), (_, account))| Some((*id, peer.stay(|| account.score(now))?)))
    }
}

impl Core {
    /// A peer has come, or counts as inbound now: somebody else, or it, may have to go.
    pub(crate) fn make_room(&mut self, now: Now) {
        let limits = self.cx.config.connections;
        let count = self.peers.staying();
        let too_many = count.all > limits.target_peers as usize;
        if !too_many && count.inbound <= limits.max_inbound() as usize {
            return;
        }
        let newcomers = (limits.max_inbound() as usize).div_ceil(4);
        let all: Vec<_> = self.peers.may_leave(&self.reputation, now.mono).collect();
        match first_to_leave(&all, now.mono, newcomers) {
            Some((Side::Outbound, _)) if !too_many => {}
            Some((_, peer)) => {
                tracing::debug!(%peer, peers = count.all, inbound = count.inbound, "too many peers: the worst one goes");
                self.cx.stats.peers_pruned += 1;
                self.disconnect(peer);
            }
            None => {}
        }
    }

    /// Tells a peer to leave, which is at no fault.
    pub(crate) fn disconnect(&mut self, peer: PeerId) {
        self.peers.disconnect(&peer);
        self.cx.act(Action::Disconnect { peer });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Who leaves, as P8.4 reads.
    fn as_the_rule_reads(all: &[(PeerId, Stay)], now: Time, newcomers: usize) -> Option<(Side, PeerId)> {
        let last = |of: Vec<&(PeerId, Stay)>| of.into_iter().max_by_key(|(_, stay)| stay.arrival).map(|(peer, stay)| (stay.side, *peer));
        let worst = |of: Vec<&(PeerId, Stay)>| {
            let least = of.iter().map(|(_, stay)| stay.score).min();
            last(of.into_iter().filter(|(_, stay)| Some(stay.score) == least).collect())
        };
        let (inbound, outbound): (Vec<&_>, Vec<&_>) = all.iter().partition(|(_, stay)| stay.side == Side::Inbound);
        let (new, settled): (Vec<&_>, Vec<&_>) =
            inbound.iter().copied().partition(|(_, stay)| now.since(stay.since) < Duration::from_secs(30));
        match inbound.iter().any(|(_, stay)| stay.score < 0) {
            true => worst(inbound),
            false if new.len() > newcomers => last(inbound),
            false if !settled.is_empty() => worst(settled),
            false if !new.is_empty() => last(new),
            false => worst(outbound),
        }
    }

    proptest! {
        #[test]
        fn p8_4_who_leaves_is_who_the_rule_names(
            peers in prop::collection::vec((0_u64..60, any::<bool>(), 0_i64..4, 0_u8..8), 0..40),
            newcomers in 0_usize..8,
        ) {
            let stay = |(arrival, (secs, ours, score, is_bad)): (u64, (u64, bool, i64, u8))| {
                let side = if ours { Side::Outbound } else { Side::Inbound };
                let score = if is_bad == 0 { -1 - score } else { score };
                let peer = PeerId::from_bytes(&arrival.to_be_bytes()).expect("eight bytes");
                (peer, Stay { side, score, arrival, since: Time::from_millis(secs * 1000) })
            };
            let mut since: Vec<_> = peers;
            since.sort_by_key(|peer| peer.0); // they came one after the other
            let all: Vec<_> = (1..).zip(since).map(stay).collect();
            let now = Time::from_millis(60_000);
            prop_assert_eq!(first_to_leave(&all, now, newcomers), as_the_rule_reads(&all, now, newcomers));
        }
    }
}
