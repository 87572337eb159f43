//! How is the node doing (P11)?
//!
//! Read-only views for whoever looks after a node. Nothing in the machine decides by them.

use std::sync::Arc;

use alloy_primitives::B256;

use crate::evidence::Evidence;
use crate::id::PeerId;
use crate::input::SupportedProtocols;
use crate::machine::Core;
use crate::peer::ledger::Change;
use crate::peer::score::Standing;
use crate::time::Now;
use crate::tip::SyncTip;
use crate::wire::topics::Topic;

/// Where a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Number and preconfirmation hash of the highest linked block; `None` while nothing links to the sync tip.
    pub head: Option<(u64, B256)>,
    /// The last settled block.
    pub sync_tip: SyncTip,
    /// The highest block up to which all are ready to execute (P5.5).
    pub ready_to: u64,
    /// The highest block that the host said it executed.
    pub executed_to: u64,
    /// The best height that is backed: our own head, or a higher one at which the elected preconfer has signed a commitment (P11.1). What peers
    /// only claim is told of each ([`PeerInfo::claimed_head`]).
    pub best: u64,
    /// From `ready_to` to `best`; not 0 while there is a gap, and `None` while nobody is connected, or nobody has said where the chain is (P11.1).
    pub lag: Option<u64>,
    /// Connected peers that claim a head above `best`, and have not backed it.
    pub unbacked_claims: usize,
    /// Connected peers.
    pub peers: usize,
    /// Is a catch-up under way (P6.9)?
    pub syncing: bool,
    /// Commitments kept, forks included.
    pub commitments: usize,
    /// Commitments that wait for a parent or the schedule.
    pub held: usize,
    /// Bytes of txlists kept, of those that wait for a commitment to name them too (T5).
    pub txlist_bytes: usize,
    /// Txlists that accepted commitments name and that are not here.
    pub missing_txlists: usize,
    /// Requests of ours under way.
    pub requests: usize,
    /// Jobs under way.
    pub jobs: usize,
    /// Messages of our own that wait for a peer.
    pub unsent: usize,
}

/// What is known of a connected peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// Its id.
    pub peer: PeerId,
    /// Its score, in millionths of a point.
    pub score: i64,
    /// How we deal with it.
    pub standing: Standing,
    /// What of our chain it speaks.
    pub protocols: SupportedProtocols,
    /// Has it joined both our topics?
    pub subscribed: bool,
    /// The head that it claims, once it was asked.
    pub claimed_head: Option<u64>,
    /// How much of that it has backed, with a commitment of the elected preconfer's (P11.1).
    pub backed_head: Option<u64>,
    /// Requests of ours that it has not answered yet.
    pub in_flight: usize,
}

impl Core {
    /// Where the node stands.
    pub fn status(&self, now: Now) -> Status {
        let ready_to = self.chain.next_ready().saturating_sub(1);
        let best = self.best(now);
        Status {
            head: self.head(),
            sync_tip: self.sync_tip(),
            ready_to,
            executed_to: self.executed,
            best,
            lag: (self.peers.len() > 0 && self.catch_up.has_heard(best)).then(|| best.saturating_sub(ready_to)),
            unbacked_claims: self.catch_up.claims().above(best),
            peers: self.peers.len(),
            syncing: self.catch_up.is_running(),
            commitments: self.chain.len(),
            held: self.chain.held_count(),
            txlist_bytes: self.txlists.kept_bytes(),
            missing_txlists: self.txlists.missing(),
            requests: self.requests.in_flight(),
            jobs: self.chain.verifying_count() + self.txlists.hashing() + self.user_pages.jobs(),
            unsent: self.outbox.len(),
        }
    }

    /// Number and preconfirmation hash of the highest linked block, as in [`Status`]: cheap enough to be asked after every step.
    pub fn head(&self) -> Option<(u64, B256)> {
        self.chain.head().map(|head| (head.block_number, head.hash))
    }

    /// The last settled block, as in [`Status`].
    pub fn sync_tip(&self) -> SyncTip {
        self.chain.tip()
    }

    /// Every connected peer, in the order of their ids.
    pub fn peers(&self, now: Now) -> Vec<PeerInfo> {
        let info = |(peer, connected): (&PeerId, &crate::peer::table::Connected)| PeerInfo {
            peer: *peer,
            score: self.reputation.score(now.mono, peer),
            standing: self.reputation.standing(now.mono, peer),
            protocols: connected.protocols,
            subscribed: Topic::ALL.into_iter().all(|topic| connected.is_on(topic)),
            claimed_head: self.catch_up.claims().of(peer),
            backed_head: self.catch_up.claims().backed_by(peer),
            in_flight: self.peers.in_flight(peer),
        };
        self.peers.connected().map(info).collect()
    }

    /// Faults of preconfers that were proven, oldest first; at most [`Config::max_evidence`](crate::Config::max_evidence) (P5.4).
    pub fn evidence(&self) -> impl ExactSizeIterator<Item = &Arc<Evidence>> {
        self.chain.evidence()
    }

    /// How a peer's score came about (P7.9): lines that sum to it. Empty for a peer that is not remembered.
    pub fn explain(&self, now: Now, peer: PeerId) -> Vec<Change> {
        self.reputation.ledger(&peer).map(|ledger| ledger.explain(now.mono)).unwrap_or_default()
    }
}
