//! What came out of a run, in a few figures?

use std::time::Duration;

use preconf_core::Time;
use serde_json::json;

use super::timeline::Timeline;
use preconf_sim::Propagation;

/// Longest violation that is quoted whole, and how many of them a page shows. Ours: a page stays a page.
const MAX_VIOLATIONS: usize = 64;

/// What was run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunKind {
    /// A world of simulated nodes.
    #[default]
    Simulation,
    /// The trace of one node.
    Replay,
}

impl RunKind {
    /// Its name on the page.
    pub fn label(self) -> &'static str {
        match self {
            Self::Simulation => "simulation",
            Self::Replay => "replay",
        }
    }
}

/// What a report says at its head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Simulation or replay.
    pub kind: RunKind,
    /// Name of the scenario, or of the trace.
    pub scenario: String,
    /// The seed that repeats a simulation.
    pub seed: Option<u64>,
    /// Nodes of the world, hostile ones among them.
    pub nodes: usize,
    /// How long it was, on the run's own clock.
    pub virtual_time: Duration,
    /// How long it took on ours; `None` leaves it out, so that the same run writes the same page.
    pub wall_time: Option<Duration>,
    /// Calls of machines.
    pub steps: u64,
    /// Digest over all outputs, in hex.
    pub digest: String,
    /// What did not hold. A run without any is good.
    pub violations: Vec<String>,
    /// The command that repeats the run.
    pub command: String,
}

impl Summary {
    /// Did everything hold?
    pub fn ok(&self) -> bool {
        self.violations.is_empty()
    }
}

/// A run's summary and timeline, ready to be written.
#[derive(Clone, Debug)]
pub struct Report {
    pub(super) summary: Summary,
    pub(super) timeline: Timeline,
}

impl Report {
    /// Ends the timeline at the summary's virtual time.
    pub fn new(mut summary: Summary, mut timeline: Timeline) -> Self {
        timeline.advance(Time::ZERO.after(summary.virtual_time));
        timeline.close_last();
        let more = summary.violations.len().saturating_sub(MAX_VIOLATIONS);
        if more > 0 {
            summary.violations.truncate(MAX_VIOLATIONS);
            summary.violations.push(format!("and {more} more"));
        }
        Self { summary, timeline }
    }

    /// The run as one JSON object, for scripts. What a single node cannot know is null.
    pub fn json(&self) -> serde_json::Value {
        let Self { summary, timeline } = self;
        let bans = timeline.bans();
        json!({
            "ok": summary.ok(),
            "scenario": summary.scenario,
            "seed": summary.seed,
            "nodes": summary.nodes,
            "virtual_s": summary.virtual_time.as_secs_f64(),
            "wall_s": summary.wall_time.map(|wall| wall.as_secs_f64()),
            "steps": summary.steps,
            "trace_digest": summary.digest,
            "violations": summary.violations,
            "propagation_ms": Propagation::of(timeline.to_accepted()),
            "bans": { "honest": bans.honest, "hostile": bans.hostile },
        })
    }

    /// The run as one page that needs nothing else: no network, no fonts, no script but its own.
    pub fn html(&self) -> String {
        super::html::page(self)
    }
}
