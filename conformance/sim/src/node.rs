//! Who lives in a world?

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use preconf_core::{B256, Config, Core, Limiter, Now, PeerId, Protocol, Time, UnixTime, Window, memory_bound};
use preconf_trace::Recorder;

use super::check::Watch;
use super::disk::{Disk, DiskTerms};
use super::gossip::Gossip;
use super::history::History;
use super::jobs::JobOrder;
use super::puppet::Puppet;
use preconf_writer::{CHAIN, START};

/// Requests that can be on their way to one peer when it begins to refuse: four in flight (P6.6) and, once they have failed, four more of a
/// connection that a cut hid the refusal of.
const MAX_ON_THEIR_WAY: u32 = 8;

/// A node's place in its world, from 0 in the order in which nodes were added.
pub type NodeId = usize;

/// A node's peer id: the same in every world.
pub fn peer_id(node: NodeId) -> PeerId {
    let mut bytes = [0, 4, 0, 0, 0, 0];
    bytes[2..].copy_from_slice(&(node as u32).to_be_bytes());
    PeerId::from_bytes(&bytes).expect("six bytes")
}

/// The node that a peer id names.
pub fn node_of(peer: &PeerId) -> Option<NodeId> {
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
    /// How its disk works (P5.9a).
    pub disk: DiskTerms,
    /// Does its host execute every block that is ready, at once (P11.1)?
    pub executes: bool,
}

impl Setup {
    /// The protocol's defaults, a right clock, nothing lost.
    pub fn of(history: &History) -> Self {
        Self { windows: history.windows.to_vec(), ..Self::plain() }
    }

    /// The same without a schedule: that of an election comes when it begins.
    pub fn plain() -> Self {
        Self {
            config: Config::new(CHAIN),
            windows: Vec::new(),
            skew_micros: 0,
            drops: 0,
            jobs: JobOrder::AtOnce,
            disk: DiskTerms::INSTANT,
            executes: false,
        }
    }

    /// What the node's unix clock says at a time of the world's.
    pub(crate) fn unix(&self, world: Time) -> UnixTime {
        UnixTime(UnixTime::from_secs(START).0.saturating_add(world.0).saturating_add_signed(self.skew_micros))
    }
}

/// What answers for a node.
pub(crate) enum Mind {
    /// A real machine.
    Machine(Box<Recorder>),
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
    pub(crate) gossip: Gossip,
    pub(crate) watch: Watch,
    pub(crate) up: bool,
    /// Nodes that it has a link to.
    pub(crate) linked: Vec<NodeId>,
    /// Where it was placed.
    pub(crate) ip: Option<Ipv4Addr>,
    /// A puppet that had its first turn.
    pub(crate) has_turn: bool,
    /// The highest block that became ready and that its host has not executed yet.
    pub(crate) to_execute: Option<u64>,
    /// Faults of preconfers that it proved.
    pub(crate) evidence: u64,
    /// Requests of honest nodes that found no room here in time (P6.6).
    pub(crate) crowded: u64,
    /// How often it was started. What was under way for an earlier life is lost.
    pub(crate) life: u32,
    pub(crate) booted: Time,
    /// The time of the wake-up that stands in the queue for it.
    pub(crate) wake: Option<Time>,
    pub(crate) ready: Vec<Ready>,
    pub(crate) disk: Disk,
    pub(crate) blocked: Vec<NodeId>,
    /// How often a peer refused it a request in this life.
    refused: BTreeMap<NodeId, u32>,
    pub(crate) memory_bound: usize,
}

impl Node {
    pub(crate) fn new(mind: Mind, setup: Option<Setup>, now: Time) -> Self {
        let memory_bound = setup.as_ref().map_or(0, |setup| memory_bound(&setup.config));
        let watch = setup.as_ref().map(|setup| Watch::of(&setup.config)).unwrap_or_default();
        Self {
            mind,
            setup,
            memory_bound,
            gossip: Gossip::default(),
            watch,
            up: true,
            linked: Vec::new(),
            ip: None,
            has_turn: false,
            to_execute: None,
            evidence: 0,
            crowded: 0,
            life: 1,
            booted: now,
            wake: None,
            ready: Vec::new(),
            disk: Disk::default(),
            blocked: Vec::new(),
            refused: BTreeMap::new(),
        }
    }

    /// Starts again with a new machine: what was only in memory is gone, what was kept is not.
    pub(crate) fn reborn(&mut self, core: Recorder, now: Time) {
        let new = Self::new(Mind::Machine(Box::new(core)), self.setup.take(), now);
        let (linked, disk) = (std::mem::take(&mut self.linked), std::mem::take(&mut self.disk));
        // Its machine says again whom it has banned, from what was kept (P7.7).
        *self = Self { life: self.life + 1, linked, disk, ip: self.ip, evidence: self.evidence, crowded: self.crowded, ..new };
    }

    /// A peer refused it a request for asking too much. Only a node that was restarted may run into that, since it cannot know what it asked
    /// before; and not again once it was told, beyond what was on its way already.
    pub(crate) fn may_be_limited(&mut self, by: NodeId) -> bool {
        let refused = self.refused.entry(by).or_default();
        *refused += 1;
        self.life > 1 && *refused <= MAX_ON_THEIR_WAY
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
            Mind::Machine(core) => Some(&**core),
            Mind::Puppet(..) => None,
        }
    }
}
