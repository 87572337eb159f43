//! What came of a run?

use serde::Serialize;

use crate::{Failure, Propagation};

/// What one run of a scenario showed.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Did everything hold?
    pub ok: bool,
    /// Which scenario.
    pub scenario: String,
    /// From which seed.
    pub seed: u64,
    /// How many nodes, the hostile ones included.
    pub nodes: usize,
    /// How long it took in its own time.
    pub virtual_s: f64,
    /// How long it really took.
    pub wall_s: f64,
    /// Calls of machines.
    pub steps: u64,
    /// What identifies the run: every output of every machine.
    pub trace_digest: String,
    /// What did not hold, in words.
    pub violations: Vec<String>,
    /// The one of them that ended the run: a rule of the world itself, whatever the scenario wants. No part of the object.
    #[serde(skip)]
    pub failure: Option<Failure>,
    /// How long blocks were on their way.
    pub propagation_ms: Propagation,
    /// Who was banned by honest nodes.
    pub bans: Bans,
}

/// Pairs of an honest node and a peer that it banned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bans {
    /// Peers that are honest: there is none, or P7.10 is broken.
    pub honest: usize,
    /// Peers that are hostile.
    pub hostile: usize,
}
