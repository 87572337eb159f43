//! How long is a block on its way?
//!
//! From the moment at which its publisher takes it as its own to the moment at which another node accepts it. Each node counts once at each
//! number, and only if it was up when the block was published: what it missed while it was down says nothing of the network, nor does a block
//! that it accepts again after L1 took it back. A block whose publisher is no machine, as a hostile preconfer's, has no such moment and is not
//! counted. The simulator's figures and those of a page are these.

use std::collections::BTreeMap;

use preconf_core::{Accepted, B256, Source, Time};

mod spread;

pub use spread::Spread;

/// Births that are remembered, the lowest numbers out first. Source: a node keeps 3840 commitments (P10.1); whoever lacks older ones is far
/// behind.
const MAX_BIRTHS: usize = 4096;

/// Where and when a block was first seen.
#[derive(Clone, Copy, Debug)]
pub struct Birth {
    /// When.
    pub at: Time,
    /// At which node.
    pub node: usize,
    /// The publisher itself was observed: this is when it took the block as its own.
    pub published: bool,
}

/// A node that blocks are delivered to.
#[derive(Clone, Copy, Debug, Default)]
struct Receiver {
    started: Time,
    /// Highest block that was counted.
    counted: u64,
}

/// Blocks, and how long each took to each node.
#[derive(Clone, Debug, Default)]
pub struct Deliveries {
    births: BTreeMap<(u64, B256), Birth>,
    receivers: Vec<Option<Receiver>>,
    /// From publication to acceptance elsewhere.
    pub spread: Spread,
}

/// How long blocks took from their publisher to the other nodes that accepted them, in milliseconds, right to 1.6 %; `None` where none did.
///
/// What is counted: each block of an honest publisher, once for each honest node that was up when it was published. Neither repeats nor blocks
/// of hostile preconfers count.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Propagation {
    /// Half of them were faster.
    pub p50: Option<f64>,
    /// One in a hundred was slower.
    pub p99: Option<f64>,
}

impl Propagation {
    /// The figures of delays that were counted.
    pub fn of(spread: &Spread) -> Self {
        let ms = |percent| spread.quantile(percent).map(|delay| delay.as_micros() as f64 / 1e3);
        Self { p50: ms(50), p99: ms(99) }
    }
}

impl Deliveries {
    /// A node starts, or starts again.
    pub fn started(&mut self, at: Time, node: usize) {
        if node >= self.receivers.len() {
            self.receivers.resize(node + 1, None);
        }
        let counted = self.receivers[node].map_or(0, |receiver| receiver.counted);
        self.receivers[node] = Some(Receiver { started: at, counted });
    }

    /// A node accepted a block, perhaps its own.
    pub fn accepted(&mut self, at: Time, node: usize, commitment: &Accepted, source: Source) {
        let (number, published) = (commitment.block_number, source == Source::Own);
        let known = self.births.get(&(number, commitment.hash)).copied();
        if known.is_none() {
            self.births.insert((number, commitment.hash), Birth { at, node, published });
            if self.births.len() > MAX_BIRTHS {
                self.births.pop_first();
            }
        }
        let Some(receiver) = self.receivers.get_mut(node).and_then(Option::as_mut) else { return };
        if let Some(birth) = known.filter(|birth| birth.published && birth.node != node)
            && birth.at >= receiver.started
            && number > receiver.counted
        {
            receiver.counted = number;
            self.spread.add(at.since(birth.at));
        }
    }

    /// Where and when a block was first seen.
    pub fn birth(&self, number: u64, hash: B256) -> Option<Birth> {
        self.births.get(&(number, hash)).copied()
    }

    /// The lowest block from this number on.
    pub fn lowest_from(&self, number: u64) -> Option<Birth> {
        self.births.range((number, B256::ZERO)..).next().map(|(_, birth)| *birth)
    }
}
