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
//! does so whenever one of the three, its side or its score changes. Each inbound peer that is ranked is either on trial or settled, and
//! those on trial came after all others. So the choice is a look-up, not a walk over peers.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
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
    by_rank: BTreeSet<(Rank, PeerId)>,
    /// The inbound ones of them whose trial was not over when it was looked at last, in the order in which they came, and when.
    on_trial: BTreeMap<u64, (Time, Rank, PeerId)>,
    /// The other inbound ones.
    settled: BTreeSet<(Rank, PeerId)>,
    /// The last of all arrivals whose trial is known to be over.
    settled_to: u64,
}

impl Ranks {
    pub(crate) fn insert(&mut self, rank: Rank, peer: PeerId, since: Time) {
        self.by_rank.insert((rank, peer));
        match rank.side {
            Side::Outbound => {}
            Side::Inbound if rank.arrival.0 > self.settled_to => drop(self.on_trial.insert(rank.arrival.0, (since, rank, peer))),
            Side::Inbound => drop(self.settled.insert((rank, peer))),
        }
    }

    pub(crate) fn remove(&mut self, rank: Rank, peer: PeerId) {
        self.by_rank.remove(&(rank, peer));
        self.on_trial.remove(&rank.arrival.0);
        self.settled.remove(&(rank, peer));
    }

    /// Who leaves first, where so many newcomers have places.
    pub(crate) fn first(&mut self, now: Time, newcomers: usize) -> Option<(Side, PeerId)> {
        self.settle(now);
        let (worst, peer) = self.by_rank.first()?;
        if worst.side == Side::Outbound || worst.score < 0 {
            return Some((worst.side, *peer));
        }
        let settled = self.settled.first().filter(|_| self.on_trial.len() <= newcomers).map(|(_, peer)| *peer);
        let last = || self.on_trial.values().next_back().map(|(_, _, peer)| *peer);
        settled.or_else(last).map(|peer| (Side::Inbound, peer))
    }

    /// Trials end.
    fn settle(&mut self, now: Time) {
        while let Some(first) = self.on_trial.first_entry().filter(|first| now.since(first.get().0) >= TRIAL) {
            self.settled_to = *first.key();
            let (_, rank, peer) = first.remove();
            self.settled.insert((rank, peer));
        }
    }
}

impl Core {
    /// A peer has come: somebody else, or it, may have to go.
    pub(crate) fn make_room(&mut self, now: Now) {
        let limits = self.config.connections;
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
        self.stats.peers_pruned += 1;
        self.act(Action::Disconnect { peer: gone });
    }
}
