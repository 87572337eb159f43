//! What can be done to a world from outside?

use std::collections::BTreeSet;
use std::time::Duration;

use preconf_core::{Bytes, Input, Topic, message_id};

use super::check::{Failure, Violation};
use super::link::Terms;
use super::node::{NodeId, peer_id};
use super::observe::Mark;
use super::queue::Happening;
use super::world::World;
use preconf_writer::CHAIN;

impl World {
    /// Changes the terms of every link from now on.
    pub fn terms(&mut self, change: impl Fn(&mut Terms)) {
        self.links.values_mut().for_each(|link| change(&mut link.terms));
    }

    /// From now on nothing passes between two nodes; they notice after a while.
    pub fn cut(&mut self, a: NodeId, b: NodeId, noticed_after: Duration) {
        let ends = (a.min(b), a.max(b));
        let Some(link) = self.links.get_mut(&ends) else { return };
        link.cut = true;
        self.agreement.cut(ends);
        if let Some(connection) = link.connection {
            self.after(noticed_after, Happening::Broken { ends, connection });
        }
    }

    /// The cut is over; the connection comes back unless it never broke.
    pub fn heal(&mut self, a: NodeId, b: NodeId) {
        let ends = (a.min(b), a.max(b));
        if let Some(link) = self.links.get_mut(&ends) {
            link.cut = false;
            self.after(Duration::ZERO, Happening::Connect { ends });
        }
    }

    /// Sets a node's wall clock forward or back from now on.
    pub fn jump_clock(&mut self, node: NodeId, micros: i64) {
        if let Some(setup) = &mut self.nodes[node].setup {
            setup.skew_micros += micros;
        }
    }

    /// From now on a node loses so much of the gossip that arrives, in millionths.
    pub fn drops(&mut self, node: NodeId, millionths: u32) {
        if let Some(setup) = &mut self.nodes[node].setup {
            setup.drops = millionths;
        }
    }

    /// The terms of links that dials make from now on.
    pub fn usual_terms(&mut self, terms: Terms) {
        self.usual = terms;
    }

    /// Hands a gossip message to a node after a while, as if a peer had sent it: past the mesh and its duplicate cache.
    pub fn inject(&mut self, to: NodeId, from: NodeId, topic: Topic, data: Bytes, after: Duration) {
        let input = Input::GossipReceived { peer: peer_id(from), message: message_id(CHAIN, topic, &data), topic, data };
        self.after(after, Happening::Input { node: to, life: self.nodes[to].life, input });
    }

    /// This message must never be accepted by an honest node.
    pub fn poison(&mut self, topic: Topic, data: &[u8]) {
        self.poison.insert(message_id(CHAIN, topic, data));
    }

    /// Heals everything, and loses nothing any more.
    pub fn calm(&mut self) {
        self.mark(&Mark::Calm);
        self.terms(|terms| (terms.loss, terms.repeats) = (0, 0));
        for setup in self.nodes.iter_mut().filter_map(|node| node.setup.as_mut()) {
            setup.drops = 0;
        }
        let cut: Vec<_> = self.links.iter().filter(|(_, link)| link.cut).map(|(ends, _)| *ends).collect();
        for (a, b) in cut {
            self.heal(a, b);
        }
    }

    /// Calms the world, and demands that the honest nodes come to rest within a span: same head, lag 0, nothing in flight.
    ///
    /// # Errors
    /// What is missing, or what did not hold on the way.
    pub fn settle(&mut self, within: Duration) -> Result<(), Failure> {
        self.calm();
        if self.run_until(within, |world| world.unsettled().is_none())? {
            return Ok(());
        }
        let (node, what) = self.unsettled().unwrap_or_default();
        Err(self.failure(node, Violation::Unsettled(what)))
    }

    fn unsettled(&self) -> Option<(NodeId, String)> {
        let mut heads = BTreeSet::new();
        for (id, node) in self.nodes.iter().enumerate() {
            let Some(core) = node.core().filter(|_| node.up) else { continue };
            let now = node.now(self.now);
            if let Some(what) = node.watch.unsettled(core, now) {
                return Some((id, what));
            }
            let status = core.status(now);
            heads.insert(
                status.head.map_or((status.sync_tip.block_number, status.sync_tip.preconfirmation_hash), |(n, hash)| (n, Some(hash))),
            );
            if heads.len() > 1 {
                return Some((id, format!("its head is {:?}, another's is not", core.status(now).head)));
            }
        }
        None
    }
}
