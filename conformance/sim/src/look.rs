//! What can be seen of a world from outside?

use preconf_core::{B256, Core, PeerInfo, Reason, Status, Time};

use super::check::{Failure, Violation};
use super::node::{NodeId, peer_id};
use super::world::World;
use crate::deliveries::Propagation;

impl World {
    /// The world's time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// When gossip was lost last, for whatever cause.
    pub fn last_loss(&self) -> Time {
        self.last_loss
    }

    /// When the last block was published.
    pub fn last_block(&self) -> Time {
        self.last_block
    }

    /// Where a node stands.
    ///
    /// # Panics
    /// The node is a puppet.
    pub fn status(&self, node: NodeId) -> Status {
        self.core(node).status(self.nodes[node].now(self.now))
    }

    /// A node's peers.
    ///
    /// # Panics
    /// The node is a puppet.
    pub fn peers(&self, node: NodeId) -> Vec<PeerInfo> {
        self.core(node).peers(self.nodes[node].now(self.now))
    }

    /// The sum of what a node has charged a peer: 0 or less, in millionths of a point.
    ///
    /// # Panics
    /// The node is a puppet.
    pub fn charged(&self, node: NodeId, peer: NodeId) -> i64 {
        let changes = self.core(node).explain(self.nodes[node].now(self.now), peer_id(peer));
        // Decay takes from good scores too; it is no charge.
        let is_charge = |change: &&preconf_core::Change| change.delta < 0 && matches!(change.reason, Reason::Conduct(_));
        changes.iter().filter(is_charge).map(|change| change.delta).sum()
    }

    /// P7.10: does a node hold no more against a peer than that it was not there, as far as the node remembers?
    ///
    /// # Errors
    /// The first other charge.
    ///
    /// # Panics
    /// The node is a puppet.
    pub fn charged_only_for_absence(&self, node: NodeId, peer: NodeId) -> Result<(), Failure> {
        let changes = self.core(node).explain(self.nodes[node].now(self.now), peer_id(peer));
        let other = changes.iter().find_map(|change| match change.reason {
            Reason::Conduct(conduct) if !conduct.is_success() && !conduct.is_absence() => Some((conduct, change.rule)),
            _ => None,
        });
        match other {
            Some((conduct, rule)) => Err(self.failure(node, Violation::HonestPeerBlamed { peer, conduct, rule })),
            None => Ok(()),
        }
    }

    /// A node's machine.
    ///
    /// # Panics
    /// The node is a puppet.
    pub fn core(&self, node: NodeId) -> &Core {
        self.nodes[node].core().expect("a node with a machine")
    }

    /// Is the node one with a machine, and so honest?
    pub fn is_honest(&self, node: NodeId) -> bool {
        self.nodes.get(node).is_some_and(|node| node.core().is_some())
    }

    /// How many nodes there are, puppets included.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Is nobody there yet?
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Is the node up?
    pub fn is_up(&self, node: NodeId) -> bool {
        self.nodes[node].up
    }

    /// Number of a node's head, or of its sync tip.
    ///
    /// # Panics
    /// The node is a puppet.
    pub fn head(&self, node: NodeId) -> u64 {
        let status = self.status(node);
        status.head.map_or(status.sync_tip.block_number, |(number, _)| number)
    }

    /// Who has banned whom, ever.
    pub fn bans(&self) -> impl Iterator<Item = (NodeId, NodeId)> + '_ {
        self.bans.iter().copied()
    }

    /// Who has pruned or banned whom, ever.
    pub fn put_out(&self) -> impl Iterator<Item = (NodeId, NodeId)> + '_ {
        self.put_out.iter().copied()
    }

    /// Faults of preconfers that a node has proved, in all its lives.
    pub fn evidence_found(&self, node: NodeId) -> u64 {
        self.nodes[node].evidence
    }

    /// Requests of honest nodes that found no room at a node in time, in all its lives (P6.6).
    pub fn crowded_out(&self, node: NodeId) -> u64 {
        self.nodes[node].crowded
    }

    /// Numbers and hashes of the blocks that became ready, in that order, in the node's present life.
    pub fn ready(&self, node: NodeId) -> Vec<(u64, B256)> {
        self.nodes[node].ready.iter().map(|ready| (ready.number, ready.hash)).collect()
    }

    /// When a block became ready on a node.
    pub fn ready_at(&self, node: NodeId, number: u64) -> Option<Time> {
        self.nodes[node].ready.iter().find(|ready| ready.number == number).map(|ready| ready.at)
    }

    /// How long blocks took so far.
    pub fn propagation(&self) -> Propagation {
        Propagation::of(&self.deliveries.spread)
    }

    /// Calls of machines so far.
    pub fn steps(&self) -> u64 {
        self.trace.steps()
    }

    /// Signatures that were really recovered.
    pub fn recovered(&self) -> u64 {
        self.jobs.recovered
    }

    /// SHA-256 over every output of every machine so far.
    pub fn digest(&self) -> [u8; 32] {
        self.trace.digest()
    }
}
