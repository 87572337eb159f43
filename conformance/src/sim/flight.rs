//! How long is a block on its way?

use std::collections::HashMap;

use preconf_core::{B256, Time};

use super::node::NodeId;
use super::world::World;

/// Blocks under way, and how long each took to each node, in microseconds.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    since: HashMap<B256, Time>,
    took: Vec<u32>,
}

/// How long blocks took from their preconfer to the nodes that accepted them, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Propagation {
    /// Half of them were faster.
    pub p50: f64,
    /// One in a hundred was slower.
    pub p99: f64,
}

impl World {
    pub(crate) fn published(&mut self, hash: B256) {
        self.flights.since.entry(hash).or_insert(self.now);
    }

    /// A node accepted a commitment.
    ///
    /// Not counted: its own, and what was on its way before the node was.
    pub(crate) fn arrived(&mut self, node: NodeId, hash: B256) {
        let (booted, now) = (self.nodes[node].booted, self.now);
        if let Some(since) = self.flights.since.get(&hash).filter(|since| booted < **since && **since < now) {
            self.flights.took.push(u32::try_from(self.now.since(*since).as_micros()).unwrap_or(u32::MAX));
        }
    }

    /// How long blocks took so far.
    pub fn propagation(&self) -> Propagation {
        let mut took = self.flights.took.clone();
        took.sort_unstable();
        let at = |share: usize| took.get((took.len().saturating_sub(1)) * share / 100).map_or(0.0, |micros| f64::from(*micros) / 1000.0);
        Propagation { p50: at(50), p99: at(99) }
    }
}
