//! Who leaves when there are too many (P8.4)?
//!
//! The worst scored inbound peer first, the one that came last among equals; protected peers never. Who only our own dials brought leaves
//! when no inbound peer can.
//!
//! A newcomer had no time yet to earn anything, and would always be the one to go: then whoever came first and does nothing wrong would hold
//! the places for ever. So for [`TRIAL`] it stays while somebody else is no better, as long as it has lost nothing itself. A quarter of the
//! inbound places is for such newcomers, so that a crowd of them drives out no more.
//!
//! | the worst of the inbound peers | newcomers | who goes |
//! |---|---|---|
//! | has lost points | any | it |
//! | has not | more than their places | the last one |
//! | has not | as many, or fewer | the worst of the others; the last newcomer where there is none |
//!
//! Invariants: a peer is ranked exactly while it is connected, not protected and not told to leave. Only the table touches ranks, and it
//! does so whenever one of the three, its side or its score changes. No two peers have the same rank, for each came at its own time. Those on
//! trial are the last ones of `inbound`, from a place on that is looked up. So the choice is a look-up, not a walk over peers.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::id::PeerId;
use crate::machine::Core;
use crate::output::Action;
use crate::time::{Now, Time};

/// How long a newcomer has to show itself (P8.4). Ours: two rounds of asking for heads, and some blocks.
const TRIAL: Duration = Duration::from_secs(30);

/// Who opened the connections with a peer; in the order in which they leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// Only the peer did.
    Inbound,
    /// We opened one, at least.
    Outbound,
}

/// A peer's place in the queue to the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    pub(crate) side: Side,
    /// As gossipsub was told it last, which is after every charge and every decay (P7.5).
    pub(crate) score: i64,
    /// How many peers had come before it.
    pub(crate) arrival: Reverse<u64>,
}

/// All who may be told to leave.
#[derive(Debug, Default)]
pub(crate) struct Ranks {
    by_rank: BTreeMap<Rank, PeerId>,
    /// The inbound ones of them in the order in which they came: how many had come before, when, and who.
    inbound: Vec<(u64, Time, PeerId)>,
    /// The others by seat, with their ranks.
    outbound: BTreeMap<u64, (Rank, PeerId)>,
}

impl Ranks {
    pub(crate) fn insert(&mut self, rank: Rank, peer: PeerId, (since, seat): (Time, u64)) {
        self.by_rank.insert(rank, peer);
        match rank.side {
            Side::Inbound => {
                if let Err(place) = self.place_of(rank.arrival.0) {
                    self.inbound.insert(place, (rank.arrival.0, since, peer));
                }
            }
            Side::Outbound => drop(self.outbound.insert(seat, (rank, peer))),
        }
    }

    pub(crate) fn remove(&mut self, rank: Rank, seat: u64) {
        self.by_rank.remove(&rank);
        match rank.side {
            Side::Inbound => {
                if let Ok(place) = self.place_of(rank.arrival.0) {
                    self.inbound.remove(place);
                }
            }
            Side::Outbound => drop(self.outbound.remove(&seat)),
        }
    }

    /// Where an inbound peer is among them, or would be.
    fn place_of(&self, arrival: u64) -> Result<usize, usize> {
        self.inbound.binary_search_by_key(&arrival, |(arrival, ..)| *arrival)
    }

    /// Whom our own dials brought, by their order from a seat on.
    pub(crate) fn outbound_from(&self, seat: u64) -> impl Iterator<Item = (Rank, PeerId)> + '_ {
        self.outbound.range(seat..).chain(self.outbound.range(..seat)).map(|(_, ranked)| *ranked)
    }

    /// Who leaves first, where so many newcomers have places.
    pub(crate) fn first(&self, now: Time, newcomers: usize) -> Option<(Side, PeerId)> {
        let (worst, peer) = self.by_rank.first_key_value()?;
        if worst.side == Side::Outbound || worst.score < 0 {
            return Some((worst.side, *peer));
        }
        let (settled, on_trial) = self.inbound.split_at(self.inbound.partition_point(|(_, since, _)| now.since(*since) >= TRIAL));
        let settled_to = settled.last().filter(|_| on_trial.len() <= newcomers).map(|(arrival, ..)| *arrival);
        let worst_settled = settled_to.and_then(|settled_to| self.worst_settled(*worst, settled_to));
        let last = || self.inbound.last().map(|(.., peer)| *peer);
        worst_settled.or_else(last).map(|peer| (Side::Inbound, peer))
    }

    /// The worst inbound peer that came no later than this one, the last whose trial is over. From one score up to the next: of equals those on trial lie in front.
    fn worst_settled(&self, worst: Rank, settled_to: u64) -> Option<PeerId> {
        let mut score = worst.score;
        loop {
            let behind = Rank { side: Side::Inbound, score, arrival: Reverse(settled_to) };
            let (next, peer) = self.by_rank.range(behind..).next().filter(|(next, _)| next.side == Side::Inbound)?;
            if next.arrival.0 <= settled_to {
                return Some(*peer);
            }
            score = next.score;
        }
    }
}

impl Core {
    /// A peer has come, or counts as inbound now: somebody else, or it, may have to go.
    pub(crate) fn make_room(&mut self, now: Now) {
        let limits = self.cx.config.connections;
        let count = self.peers.staying();
        let too_many = count.all > limits.target_peers as usize;
        let too_many_inbound = count.inbound > limits.max_inbound() as usize;
        let newcomers = (limits.max_inbound() as usize).div_ceil(4);
        let gone = match self.peers.worst(now.mono, newcomers) {
            Some((Side::Inbound, peer)) if too_many || too_many_inbound => peer,
            Some((Side::Outbound, peer)) if too_many => peer,
            Some(_) | None => return,
        };
        tracing::debug!(peer = %gone, peers = count.all, inbound = count.inbound, "too many peers: the worst one goes");
        self.peers.send_off(&gone);
        self.cx.stats.peers_pruned += 1;
        self.cx.act(Action::Disconnect { peer: gone });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Who leaves, as the table of this module's head reads.
    fn walk(all: &[(Rank, PeerId, Time)], now: Time, newcomers: usize) -> Option<PeerId> {
        let worst = all.iter().min_by_key(|(rank, ..)| *rank)?;
        if worst.0.side == Side::Outbound || worst.0.score < 0 {
            return Some(worst.1);
        }
        let inbound = || all.iter().filter(|(rank, ..)| rank.side == Side::Inbound);
        let is_new = |(_, _, since): &&(Rank, PeerId, Time)| now.since(*since) < TRIAL;
        let last = inbound().max_by_key(|(rank, ..)| rank.arrival.0);
        let settled = inbound().filter(|peer| !is_new(peer)).min_by_key(|(rank, ..)| *rank);
        settled.filter(|_| inbound().filter(is_new).count() <= newcomers).or(last).map(|(_, peer, _)| *peer)
    }

    proptest! {
        #[test]
        fn p8_4_who_leaves_is_who_a_walk_over_all_peers_finds(
            moves in prop::collection::vec((0_u64..20_000, 0_u8..6, any::<u16>(), -1_i64..4), 1..80),
        ) {
            let (mut ranks, mut all, mut now, mut arrivals) = (Ranks::default(), Vec::<(Rank, PeerId, Time)>::new(), Time::ZERO, 0);
            for (wait, what, which, score) in moves {
                now = now.after(Duration::from_millis(wait));
                let one = (!all.is_empty()).then(|| usize::from(which) % all.len());
                match (what, one) {
                    (0..=2, _) | (_, None) => {
                        arrivals += 1;
                        let side = if which % 4 == 0 { Side::Outbound } else { Side::Inbound };
                        let rank = Rank { side, score: score.max(0), arrival: Reverse(arrivals) };
                        let peer = PeerId::from_bytes(&arrivals.to_be_bytes()).expect("eight bytes");
                        ranks.insert(rank, peer, (now, arrivals));
                        all.push((rank, peer, now));
                    }
                    (3, Some(one)) => {
                        let (rank, ..) = all.swap_remove(one);
                        ranks.remove(rank, rank.arrival.0);
                    }
                    (_, Some(one)) => {
                        let (rank, peer, since) = &mut all[one];
                        ranks.remove(*rank, rank.arrival.0);
                        rank.score = score;
                        if what == 5 {
                            rank.side = if rank.side == Side::Inbound { Side::Outbound } else { Side::Inbound };
                        }
                        ranks.insert(*rank, *peer, (*since, rank.arrival.0));
                    }
                }
                let newcomers = usize::from(which % 3);
                prop_assert_eq!(ranks.first(now, newcomers).map(|(_, peer)| peer), walk(&all, now, newcomers));
                prop_assert_eq!(ranks.outbound_from(u64::from(which)).count(), all.iter().filter(|(rank, ..)| rank.side == Side::Outbound).count());
            }
        }
    }
}
