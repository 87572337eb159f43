//! Who leaves when there are too many (P8.4)?
//!
//! The worst scored inbound peer first, the one that came last among equals; protected peers never. Who only our own dials brought leaves
//! when no inbound peer can.
//!
//! Invariant: a peer is ranked exactly while it is connected, not protected and not told to leave. Only the table touches ranks, and it
//! does so whenever one of the three, its side or its score changes. So the choice costs a look at the first entry, not a walk.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::id::PeerId;
use crate::machine::Core;
use crate::output::Action;

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
pub(crate) struct Ranks(BTreeSet<(Rank, PeerId)>);

impl Ranks {
    pub(crate) fn insert(&mut self, rank: Rank, peer: PeerId) {
        self.0.insert((rank, peer));
    }

    pub(crate) fn remove(&mut self, rank: Rank, peer: PeerId) {
        self.0.remove(&(rank, peer));
    }

    /// Who leaves first.
    pub(crate) fn first(&self) -> Option<(Side, PeerId)> {
        self.0.first().map(|(rank, peer)| (rank.side, *peer))
    }
}

impl Core {
    /// A peer has come: somebody else, or it, may have to go.
    pub(crate) fn make_room(&mut self) {
        let limits = self.config.connections;
        let count = self.peers.staying();
        let too_many = count.all > limits.target_peers as usize;
        let too_many_inbound = count.inbound > limits.max_inbound() as usize;
        let gone = match self.peers.worst() {
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
