//! Which scenarios can the real stack play, and what do its own say beside?
//!
//! A scenario is one of the simulator's files, with a table `[stack]` for what only real lines have. What the stack cannot play is refused by
//! name: nothing that a file asks for is left out in silence.

use std::path::Path;

use preconf_sim::scenario::{Fault, Scenario as Pure};
use serde::Deserialize;

macro_rules! committed {
    ($($name:literal)*) => {
        /// Name and text of every scenario of the stack's own.
        const COMMITTED: &[(&str, &str)] = &[$(($name, include_str!(concat!("../scenarios/", $name, ".toml")))),*];
    };
}

committed! {
    "five"
    "restarts"
    "mutual_dials"
    "resets"
    "cuts"
    "stopped_machines"
    "slow_application"
    "thin_uplinks"
}

/// Scenarios of the simulator that the stack plays as they are.
const SHARED: &[&str] = &["calm", "partition_and_heal", "half_restart", "skewed_clocks", "storage_faults"];

/// A scenario that the stack can play.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What the simulator would make of it.
    pub pure: Pure,
    /// What only real lines have.
    pub stack: Stack,
}

/// What only real lines and real connections have.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stack {
    /// KiB a second that each node sends, all its connections together.
    pub uplink_kib: Option<u64>,
    /// KiB a second that each node receives.
    pub downlink_kib: Option<u64>,
    /// KiB of one direction of a connection that may be under way unread.
    pub window_kib: usize,
    /// A connection somewhere is reset so often.
    pub resets_every_ms: Option<u64>,
    /// A machine is stopped so often, and goes on a while later: its processes do not run, and its lines hold.
    pub stops: Option<Pauses>,
    /// The application of the last node takes no events so often, for a while, and few may wait for it. That node charges nobody (P6.5).
    pub slow_application: Option<Pauses>,
    /// Share of the crashes in which nobody says that the node is gone: its power failed.
    pub silent: f64,
    /// Each node dials all others, instead of those before it.
    pub mutual: bool,
    /// Share of the blocks' commitments that gossip must bring while nothing is broken.
    pub by_gossip: f64,
    /// How many blocks a node may lack in the end. 0 unless the lines cannot carry them.
    pub may_lack: u64,
}

/// What pauses, and goes on.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pauses {
    /// So often.
    pub every_ms: u64,
    /// For so long: least and most.
    pub for_ms: [u64; 2],
}

impl Default for Stack {
    fn default() -> Self {
        Self {
            uplink_kib: None,
            downlink_kib: None,
            window_kib: 1024,
            resets_every_ms: None,
            stops: None,
            slow_application: None,
            silent: 0.5,
            mutual: false,
            by_gossip: 0.9,
            may_lack: 0,
        }
    }
}

/// Why there is no such scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Neither a name nor a file.
    #[error("no scenario is called {name:?}, and there is no such file; --list names all of them")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The file says something that no scenario can say.
    #[error("{name}: {error}")]
    Unreadable {
        /// Which file.
        name: String,
        /// What is wrong.
        error: String,
    },
    /// It can be played by the simulator alone.
    #[error("{name}: the real stack does not play {what}; `preconf-conformance sim` does")]
    NotHere {
        /// Which scenario.
        name: String,
        /// What it asks for.
        what: &'static str,
    },
}

/// Every scenario that the stack plays by name.
///
/// # Panics
/// A committed file is broken; a test holds that none is.
pub fn all() -> Vec<Scenario> {
    let own = COMMITTED.iter().map(|(name, _)| *name);
    own.chain(SHARED.iter().copied()).map(|name| Scenario::find(name).expect("a committed scenario is readable")).collect()
}

impl Scenario {
    /// A scenario by its name, the stack's own first, or in a file.
    ///
    /// # Errors
    /// There is none, it says something unknown, or only the simulator can play it.
    pub fn find(name: &str) -> Result<Self, ScenarioError> {
        if let Some((name, text)) = COMMITTED.iter().find(|(known, _)| *known == name) {
            return Self::read(name, text);
        }
        if let Some(pure) = Pure::named(name) {
            return Self { pure, stack: Stack::default() }.checked();
        }
        let text = std::fs::read_to_string(name).map_err(|_| ScenarioError::Unknown { name: name.to_owned() })?;
        let stem = Path::new(name).file_stem().map_or_else(|| name.to_owned(), |stem| stem.to_string_lossy().into_owned());
        Self::read(&stem, &text)
    }

    /// Reads one strictly.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn read(name: &str, text: &str) -> Result<Self, ScenarioError> {
        let unreadable = |error: toml::de::Error| ScenarioError::Unreadable { name: name.to_owned(), error: error.to_string() };
        let mut table: toml::Table = toml::from_str(text).map_err(unreadable)?;
        let stack = table.remove("stack").map_or(Ok(Stack::default()), toml::Value::try_into).map_err(unreadable)?;
        let pure: Pure = table.try_into().map_err(unreadable)?;
        Self { pure: Pure { name: name.to_owned(), ..pure }, stack }.checked()
    }

    fn checked(self) -> Result<Self, ScenarioError> {
        let must = &self.pure.must;
        let asks = [
            ("hostile peers", !self.pure.adversaries.is_empty()),
            ("discovery", self.pure.discovery.is_some()),
            (
                "gossip that is lost or repeated by itself (TCP sends again what is lost)",
                self.pure.nodes.drops > 0.0 || self.pure.links.repeats > 0.0,
            ),
            ("evidence, hostile peers and discovery under [must]", {
                must.evidence.is_some()
                    || must.hostile_out.is_some()
                    || must.hostile_banned.is_some()
                    || must.honest_peers.is_some()
                    || must.eclipsed.is_some()
                    || must.wrong_chain.is_some()
            }),
            ("this kind of fault", {
                let is_other = |fault: &Fault| {
                    matches!(fault, Fault::Drops { .. } | Fault::LateSchedule { .. } | Fault::Reorg { .. } | Fault::Join { .. })
                };
                self.pure.faults.iter().any(is_other)
            }),
        ];
        match asks.into_iter().find(|(_, is_asked)| *is_asked) {
            Some((what, _)) => Err(ScenarioError::NotHere { name: self.pure.name, what }),
            None => Ok(self),
        }
    }
}
