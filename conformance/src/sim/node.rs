//! Who lives in a world?

use std::collections::BTreeMap;
use std::time::Duration;

use preconf_core::{B256, Config, Core, Limiter, Now, PeerId, Protocol, Record, Time, UnixTime, Window, memory_bound};

use super::check::Watch;
use super::history::{CHAIN, History, START};
use super::jobs::JobOrder;
use super::mesh::Mesh;
use super::puppet::Puppet;

/// How long others count a request. Source: P6.6.
const LIMIT_WINDOW: Duration = Duration::from_secs(10);

/// A node's place in its world, from 0 in the order in which nodes were added.
pub type NodeId = usize;

/// A node's peer id: the same in every world.
pub fn peer_id(node: NodeId) -> PeerId {
    let mut bytes = [0, 4, 0, 0, 0, 0];
    bytes[2..].copy_from_slice(&(node as u32).to_be_bytes());
    PeerId::from_bytes(&bytes).expect("six bytes")
}

/// The node that a peer id names.
pub(crate) fn node_of(peer: &PeerId) -> Option<NodeId> {
    let bytes: [u8; 4] = peer.as_bytes().get(2..)?.try_into().ok()?;
    Some(u32::from_be_bytes(bytes) as NodeId)
}

/// How a node is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Its configuration.
    pub config: Config,
    /// The schedule that it is given at its start.
    pub windows: Vec<Window>,
    /// How far its unix clock is ahead of (positive) or behind the world's, in microseconds.
    pub skew_micros: i64,
    /// Gossip that it loses on arrival, in millionths.
    pub drops: u32,
    /// When its jobs come back.
    pub jobs: JobOrder,
}

impl Setup {
    /// The protocol's defaults, a right clock, nothing lost.
    pub fn of(history: &History) -> Self {
        Self { config: Config::new(CHAIN), windows: history.windows.to_vec(), skew_micros: 0, drops: 0, jobs: JobOrder::AtOnce }
    }

    /// What the node's unix clock says at a time of the world's.
    pub(crate) fn unix(&self, world: Time) -> UnixTime {
        UnixTime(UnixTime::from_secs(START).0.saturating_add(world.0).saturating_add_signed(self.skew_micros))
    }
}

/// What answers for a node.
pub(crate) enum Mind {
    /// A real machine.
    Machine(Box<Core>),
    /// A puppet, and how often each node may ask it (P6.6).
    Puppet(Box<dyn Puppet>, BTreeMap<(NodeId, Protocol), Limiter>),
}

/// A block as it became ready.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) number: u64,
    pub(crate) hash: B256,
    pub(crate) at: Time,
}

pub(crate) struct Node {
    pub(crate) mind: Mind,
    pub(crate) setup: Option<Setup>,
    pub(crate) mesh: Mesh,
    pub(crate) watch: Watch,
    /// How often it was started. What was under way for an earlier life is lost.
    pub(crate) life: u32,
    booted: Time,
    /// The time of the wake-up that stands in the queue for it.
    pub(crate) wake: Option<Time>,
    pub(crate) ready: Vec<Ready>,
    /// What its machine wants remembered: this node's disk.
    pub(crate) kept: Vec<Record>,
    pub(crate) blocked: Vec<NodeId>,
    pub(crate) memory_bound: usize,
}

impl Node {
    pub(crate) fn new(mind: Mind, setup: Option<Setup>, now: Time) -> Self {
        let memory_bound = setup.as_ref().map_or(0, |setup| memory_bound(&setup.config));
        Self {
            mind,
            setup,
            memory_bound,
            mesh: Mesh::default(),
            watch: Watch::default(),
            life: 1,
            booted: now,
            wake: None,
            ready: Vec::new(),
            kept: Vec::new(),
            blocked: Vec::new(),
        }
    }

    /// Starts again with a new machine: what was only in memory is gone, what was kept is not.
    pub(crate) fn reborn(&mut self, core: Core, now: Time) {
        let (life, blocked, kept) = (self.life + 1, std::mem::take(&mut self.blocked), std::mem::take(&mut self.kept));
        *self = Self { life, blocked, kept, ..Self::new(Mind::Machine(Box::new(core)), self.setup.take(), now) };
    }

    /// Was it restarted so lately that it cannot know all that it asked in a window of P6.6? Others may refuse it then, not punish it.
    pub(crate) fn has_forgotten(&self, now: Time) -> bool {
        self.life > 1 && now.since(self.booted) <= LIMIT_WINDOW
    }

    /// What its two clocks say.
    pub(crate) fn now(&self, world: Time) -> Now {
        let unix = self.setup.as_ref().map(|setup| setup.unix(world)).unwrap_or_default();
        Now { mono: Time(world.0 - self.booted.0), unix }
    }

    /// The world's time of its next deadline.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let Mind::Machine(core) = &self.mind else { return None };
        core.poll_timeout().map(|(at, _)| at.after(Duration::from_micros(self.booted.0)))
    }

    pub(crate) fn core(&self) -> Option<&Core> {
        match &self.mind {
            Mind::Machine(core) => Some(core),
            Mind::Puppet(..) => None,
        }
    }
}
