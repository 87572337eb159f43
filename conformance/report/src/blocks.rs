//! Where is each block, and how far behind is each node?
//!
//! A block is *born* when its publisher accepts it as its own, or, where no publisher is observed, when a node first accepts it; `deliveries`
//! knows when that was. A node is
//! behind by the age of the oldest block that it does not have ready: a figure in time, so it reads the same whatever the blocks' pace, and
//! in a healthy network it is no more than what propagation takes.

use preconf_core::{Accepted, Source, Time};

use super::axis::halve;
use preconf_sim::Deliveries;
use preconf_sim::Spread;

/// Marks a bin in which a node was down.
pub(super) const DOWN: u32 = u32::MAX;

/// One node's way along the chain.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) up: bool,
    /// How often it was started.
    pub(super) lives: u32,
    started: Time,
    /// The block that must become ready next, once one has been.
    next: Option<u64>,
    /// Highest block of which it has been counted when it was ready.
    counted: u64,
    /// Peers that it is connected with.
    peers: i64,
    /// Commitments accepted.
    pub(super) accepted: u64,
    /// Blocks that became ready.
    pub(super) ready: u64,
    /// Furthest behind in the open bin, in microseconds.
    worst: u64,
    /// Furthest behind in each bin, in milliseconds; [`DOWN`] when it was down throughout.
    pub(super) behind: Vec<u32>,
}

impl Row {
    /// Highest block that is ready.
    pub(super) fn ready_to(&self) -> u64 {
        self.next.map_or(0, |next| next - 1)
    }
}

/// The most, the median and the least of the nodes that are up.
pub(super) type Range = [u64; 3];

/// Where all of them stand at the end of a bin.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Height {
    /// Highest block that anybody accepted.
    pub(super) best: u64,
    /// Up to which block all is ready.
    pub(super) ready: Range,
    /// Peers that a node is connected with.
    pub(super) peers: Range,
}

/// All nodes and blocks.
#[derive(Clone, Debug, Default)]
pub(super) struct Blocks {
    pub(super) rows: Vec<Row>,
    pub(super) heights: Vec<Height>,
    /// Births, and how long blocks took from publication to acceptance elsewhere.
    pub(super) deliveries: Deliveries,
    best: u64,
    /// From publication to ready elsewhere.
    pub(super) to_ready: Spread,
    /// From acceptance to ready, of blocks whose publisher is not observed.
    pub(super) waited: Spread,
}

impl Blocks {
    /// A node that has been down till now.
    pub(super) fn add(&mut self, name: String, bins: usize) -> usize {
        self.rows.push(Row {
            name,
            up: false,
            lives: 0,
            started: Time::ZERO,
            next: None,
            counted: 0,
            peers: 0,
            accepted: 0,
            ready: 0,
            worst: 0,
            behind: vec![DOWN; bins],
        });
        self.rows.len() - 1
    }

    /// A node starts, with nothing in memory.
    pub(super) fn started(&mut self, at: Time, node: usize) {
        if let Some(row) = self.rows.get_mut(node) {
            (row.up, row.started, row.next, row.peers) = (true, at, None, 0);
            row.lives += 1;
            self.deliveries.started(at, node);
        }
    }

    pub(super) fn stopped(&mut self, node: usize) {
        if let Some(row) = self.rows.get_mut(node) {
            row.up = false;
        }
    }

    pub(super) fn accepted(&mut self, at: Time, node: usize, commitment: &Accepted, source: Source) {
        self.best = self.best.max(commitment.block_number);
        self.deliveries.accepted(at, node, commitment, source);
        if let Some(row) = self.rows.get_mut(node) {
            row.accepted += 1;
        }
    }

    pub(super) fn ready(&mut self, at: Time, node: usize, commitment: &Accepted) {
        let (number, Some(row)) = (commitment.block_number, self.rows.get_mut(node)) else { return };
        row.next = Some(number.saturating_add(1));
        row.ready += 1;
        let Some(birth) = self.deliveries.birth(number, commitment.hash) else { return };
        let delay = at.since(birth.at);
        row.worst = row.worst.max(u64::try_from(delay.as_micros()).unwrap_or(u64::MAX));
        // What a node missed while it was down says nothing of the network.
        if birth.at < row.started || number <= row.counted {
            return;
        }
        row.counted = number;
        if !birth.published {
            self.waited.add(delay);
        } else if birth.node != node {
            self.to_ready.add(delay);
        }
    }

    pub(super) fn connected(&mut self, node: usize, change: i64) {
        if let Some(row) = self.rows.get_mut(node) {
            row.peers += change;
        }
    }

    /// P9.3: blocks up to this one are no longer a node's business.
    pub(super) fn settled(&mut self, node: usize, number: u64) {
        if let Some(row) = self.rows.get_mut(node) {
            row.next = row.next.max(Some(number.saturating_add(1)));
        }
    }

    /// P9.3: blocks from here on become ready anew.
    pub(super) fn execute_again(&mut self, node: usize, from: u64) {
        if let Some(row) = self.rows.get_mut(node) {
            row.next = Some(from);
        }
    }

    /// The open bin ends.
    pub(super) fn close(&mut self, end: Time) {
        let range = |of: fn(&Row) -> u64| {
            let mut values: Vec<u64> = self.rows.iter().filter(|row| row.up).map(of).collect();
            values.sort_unstable();
            let last = values.len().saturating_sub(1);
            [last, last / 2, 0].map(|place| values.get(place).copied().unwrap_or(0))
        };
        let peers = range(|row| u64::try_from(row.peers).unwrap_or(0));
        self.heights.push(Height { best: self.best, ready: range(Row::ready_to), peers });
        for row in &mut self.rows {
            let missing = self.deliveries.lowest_from(row.next.unwrap_or(0)).filter(|_| row.up);
            let age = missing.map_or(0, |birth| end.0.saturating_sub(birth.at.0));
            let worst = std::mem::take(&mut row.worst).max(age) / 1_000;
            row.behind.push(if row.up || worst > 0 { u32::try_from(worst).unwrap_or(DOWN).min(DOWN - 1) } else { DOWN });
        }
    }

    /// Every two bins become one.
    pub(super) fn halve(&mut self) {
        halve(&mut self.heights, |_, later| later);
        for row in &mut self.rows {
            halve(&mut row.behind, |a, b| match (a, b) {
                (DOWN, up) | (up, DOWN) => up,
                (a, b) => a.max(b),
            });
        }
    }
}
