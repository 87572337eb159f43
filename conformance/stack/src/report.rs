//! What came of a run?

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::net::Traffic;

/// What one run showed. The same words as the simulator's reports, and what only the real stack has.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Did everything hold?
    pub ok: bool,
    /// Which scenario.
    pub scenario: String,
    /// From which seed.
    pub seed: u64,
    /// How many nodes.
    pub nodes: usize,
    /// How long it took in its own time.
    pub virtual_s: f64,
    /// How long it really took.
    pub wall_s: f64,
    /// Events that applications heard.
    pub steps: u64,
    /// How often tasks were polled.
    pub polls: u64,
    /// What identifies every event of every node.
    pub trace_digest: String,
    /// What identifies every byte that arrived anywhere.
    pub wire_digest: String,
    /// What identifies the order in which tasks ran.
    pub schedule_digest: String,
    /// Bytes of commitments and txlists that were new to whoever they reached, of all bytes sent.
    pub useful_share: f64,
    /// Seconds that nodes lived in a second of one processor.
    pub node_seconds_per_cpu_s: f64,
    /// The highest block that was made.
    pub blocks: u64,
    /// Blocks that preconfers' own nodes refused, by what they said.
    pub refused_blocks: BTreeMap<String, u64>,
    /// Share of the commitments that gossip brought while nothing was broken; `None` when it was never calm for long enough.
    pub by_gossip: Option<f64>,
    /// What was on the lines.
    pub traffic: Traffic,
    /// From publication to ready, over all blocks and all other nodes.
    pub propagation_ms: Latencies,
    /// What did not hold, in words.
    pub violations: Vec<String>,
}

/// How long it took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latencies {
    /// Half took no longer.
    pub p50: Option<f64>,
    /// Ninety-nine in a hundred took no longer.
    pub p99: Option<f64>,
}

impl Latencies {
    /// Of these.
    pub(crate) fn of(mut all: Vec<f64>) -> Self {
        all.sort_by(f64::total_cmp);
        let at = |share: usize| all.get((all.len() * share / 100).min(all.len().saturating_sub(1))).copied();
        Self { p50: at(50), p99: at(99) }
    }
}
