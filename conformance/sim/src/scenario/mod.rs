//! What must a network live through?
//!
//! A [`Scenario`] is a readable file: who is there, what blocks are made, what goes wrong, who is hostile, how long it takes, and what must
//! hold. [`Scenario::run`] plays it from a seed in a [`World`](crate::World); [`Report`] says what came of it. The committed ones lie in
//! `conformance/sim/scenarios`, and [`all`] lists them.
//!
//! ```
//! use preconf_sim::scenario::{Change, Scenario};
//!
//! let scenario = Scenario::named("calm").expect("a committed scenario");
//! let report = scenario.run(7, &Change { seconds: Some(15), ..Change::default() });
//! assert!(report.ok, "{:?}", report.violations);
//! ```

mod adversaries;
mod file;
mod must;
mod report;
mod run;
mod stage;
mod timeline;
mod values;

use std::path::Path;

pub use file::{Adversary, Blocks, Defence, Disks, Fault, Finding, Links, Must, Nodes, Scenario, Tail, Tuning};
pub use report::{Bans, Report};
pub use run::{Change, Progress};
pub use timeline::Turn;

macro_rules! committed {
    ($($name:literal)*) => {
        /// Name and text of every committed scenario.
        const COMMITTED: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../scenarios/", $name, ".toml")))),*];
    };
}

committed! {
    "calm"
    "lossy_20"
    "partition_and_heal"
    "half_restart"
    "storage_faults"
    "skewed_clocks"
    "late_schedule"
    "l1_reorg"
    "chain_stalled_an_hour"
    "equivocating_preconfer"
    "txlist_withheld"
    "malformed_flood"
    "valid_txlist_flood"
    "slow_readers"
    "lying_heads"
    "strangers"
    "sybil_and_eclipse"
    "handover_at_worst_moment"
    "cold_start"
    "wrong_chain_records"
    "eclipse_by_records"
}

/// Why there is no such scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Neither a committed name nor a file.
    #[error("no scenario is called {name:?}, and there is no such file; `sim --list` names all of them")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The file says something that no scenario can say.
    #[error("{name}: {error}")]
    Unreadable {
        /// Which file.
        name: String,
        /// What is wrong, with its key.
        error: Box<toml::de::Error>,
    },
}

/// Every committed scenario, the calm one first.
///
/// # Panics
/// A committed file is broken; a test holds that none is.
pub fn all() -> Vec<Scenario> {
    COMMITTED.iter().map(|(name, text)| Scenario::read(name, text).expect("a committed scenario is readable")).collect()
}

impl Scenario {
    /// A committed scenario.
    pub fn named(name: &str) -> Option<Self> {
        let (name, text) = COMMITTED.iter().find(|(known, _)| *known == name)?;
        Self::read(name, text).ok()
    }

    /// A committed scenario, or one in a file.
    ///
    /// # Errors
    /// There is none, or it says something unknown.
    pub fn find(name: &str) -> Result<Self, ScenarioError> {
        if let Some(scenario) = Self::named(name) {
            return Ok(scenario);
        }
        let text = std::fs::read_to_string(name).map_err(|_| ScenarioError::Unknown { name: name.to_owned() })?;
        let stem = Path::new(name).file_stem().map_or_else(|| name.to_owned(), |stem| stem.to_string_lossy().into_owned());
        Self::read(&stem, &text)
    }

    /// Reads a scenario strictly: a key that it does not know is refused by name.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn read(name: &str, text: &str) -> Result<Self, ScenarioError> {
        let unreadable = |error| ScenarioError::Unreadable { name: name.to_owned(), error: Box::new(error) };
        toml::from_str::<Self>(text).map(|scenario| Self { name: name.to_owned(), ..scenario }).map_err(unreadable)
    }
}
