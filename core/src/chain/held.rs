//! Which commitments wait, and for what (C6, C6a, C9, P5.1)?
//!
//! ```text
//! received --schedule does not reach--> Wait::Schedule --windows arrive--> its signer is recovered
//! concluded --parent not known--------> Wait::Parent ---parent accepted--> concluded again
//! concluded --its window lies ahead---> Wait::Window ---begins, or the one before it is ended--> concluded again
//! either --verdict_timeout--> verdict given (ignore), still held --hold_for--> gone
//! ```
//!
//! Those whose signer is known to be the elected one, and those that wait for the schedule and whose signer therefore is not known, have
//! room of their own: who signs nothing takes it from nobody who does.
//!
//! Invariants: every index points at entries of `by_id` and at all that it should. Only `insert` and `remove` touch them. Bounds of each
//! room: in all, per peer, per neighbourhood, per position (window and number); the newest loses.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;

use crate::chain::pending::PendingCommitment;
use crate::counts::Counts;
use crate::error::Refusal;
use crate::id::{HeldId, PeerId};
use crate::peer::subnet::Cidr;

/// What a held commitment waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) enum Wait {
    /// Windows that cover its time.
    Schedule,
    /// The commitment with this hash.
    Parent(B256),
    /// The begin of its window, or the end of the one before it by an EOP.
    Window,
}

impl Wait {
    /// Why there is no verdict yet; and the verdict, when its time comes before what it waits for.
    pub(crate) fn refusal(self) -> Refusal {
        match self {
            Self::Schedule => Refusal::ScheduleUnknown,
            Self::Parent(_) => Refusal::ParentUnknown,
            Self::Window => Refusal::Early,
        }
    }
}

#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Entry {
    pending: PendingCommitment,
    wait: Wait,
}

/// Most that wait for the schedule. Source: P5.1.
pub(crate) const MAX_UNSCHEDULED: usize = 256;

/// How many may be held.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Bounds {
    pub(crate) all: usize,
    /// Of one peer, and of one neighbourhood.
    pub(crate) per_peer: usize,
    pub(crate) per_position: usize,
}

/// Room for commitments that wait.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Room {
    bounds: Bounds,
    len: usize,
    of_peer: Counts<PeerId>,
    of_neighbourhood: Counts<Cidr>,
    of_position: Counts<(u64, u64)>,
}

impl Room {
    fn new(bounds: Bounds) -> Self {
        Self { bounds, len: 0, of_peer: Counts::default(), of_neighbourhood: Counts::default(), of_position: Counts::default() }
    }

    fn has_room_for(&self, pending: &PendingCommitment) -> bool {
        let Bounds { all, per_peer, per_position } = self.bounds;
        let of_peer = pending.origin.peer().map_or(0, |peer| self.of_peer.of(&peer));
        let of_neighbourhood = pending.neighbourhood.map_or(0, |neighbourhood| self.of_neighbourhood.of(&neighbourhood));
        self.len < all && of_peer.max(of_neighbourhood) < per_peer && self.of_position.of(&pending.position()) < per_position
    }

    fn enter(&mut self, pending: &PendingCommitment) {
        self.len += 1;
        pending.origin.peer().into_iter().for_each(|peer| self.of_peer.raise(peer));
        pending.neighbourhood.into_iter().for_each(|neighbourhood| self.of_neighbourhood.raise(neighbourhood));
        self.of_position.raise(pending.position());
    }

    fn leave(&mut self, pending: &PendingCommitment) {
        self.len -= 1;
        pending.origin.peer().iter().for_each(|peer| self.of_peer.lower(peer));
        pending.neighbourhood.iter().for_each(|neighbourhood| self.of_neighbourhood.lower(neighbourhood));
        self.of_position.lower(&pending.position());
    }
}

/// The commitments that wait.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Held {
    signed: Room,
    unscheduled: Room,
    by_id: BTreeMap<HeldId, Entry>,
    by_parent: BTreeMap<B256, BTreeSet<HeldId>>,
    for_schedule: BTreeSet<HeldId>,
    for_window: BTreeSet<HeldId>,
}

impl Held {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            signed: Room::new(bounds),
            unscheduled: Room::new(Bounds { all: MAX_UNSCHEDULED.min(bounds.all), ..bounds }),
            by_id: BTreeMap::new(),
            by_parent: BTreeMap::new(),
            for_schedule: BTreeSet::new(),
            for_window: BTreeSet::new(),
        }
    }

    fn room(&mut self, wait: Wait) -> &mut Room {
        match wait {
            Wait::Schedule => &mut self.unscheduled,
            Wait::Parent(_) | Wait::Window => &mut self.signed,
        }
    }

    /// Holds one, or says that there is no room for it.
    pub(crate) fn insert(&mut self, id: HeldId, pending: PendingCommitment, wait: Wait) -> Result<(), Refusal> {
        let room = self.room(wait);
        if !room.has_room_for(&pending) {
            return Err(Refusal::NoRoom); // P5.1: the newest loses
        }
        room.enter(&pending);
        match wait {
            Wait::Schedule => drop(self.for_schedule.insert(id)),
            Wait::Parent(hash) => drop(self.by_parent.entry(hash).or_default().insert(id)),
            Wait::Window => drop(self.for_window.insert(id)),
        }
        self.by_id.insert(id, Entry { pending, wait });
        Ok(())
    }

    /// Holds it no longer.
    pub(crate) fn remove(&mut self, id: HeldId) -> Option<PendingCommitment> {
        let Entry { pending, wait } = self.by_id.remove(&id)?;
        self.room(wait).leave(&pending);
        match wait {
            Wait::Schedule => drop(self.for_schedule.remove(&id)),
            Wait::Parent(hash) => {
                if let Some(ids) = self.by_parent.get_mut(&hash) {
                    ids.remove(&id);
                    if ids.is_empty() {
                        self.by_parent.remove(&hash);
                    }
                }
            }
            Wait::Window => drop(self.for_window.remove(&id)),
        }
        Some(pending)
    }

    /// A held one, to give its verdict while it goes on waiting.
    pub(crate) fn get_mut(&mut self, id: HeldId) -> Option<(&mut PendingCommitment, Wait)> {
        self.by_id.get_mut(&id).map(|entry| (&mut entry.pending, entry.wait))
    }

    /// Who waits for this parent, first come first.
    pub(crate) fn waiting_for(&self, parent: &B256) -> Vec<HeldId> {
        self.by_parent.get(parent).map(|ids| ids.iter().copied().collect()).unwrap_or_default()
    }

    /// Who waits for the schedule, first come first.
    pub(crate) fn waiting_for_schedule(&self) -> Vec<HeldId> {
        self.for_schedule.iter().copied().collect()
    }

    /// Who waits for a window to begin, first come first.
    pub(crate) fn waiting_for_window(&self) -> Vec<HeldId> {
        self.for_window.iter().copied().collect()
    }

    /// Every one that waits for a parent, first come first.
    pub(crate) fn waiting_for_parents(&self) -> Vec<HeldId> {
        self.by_parent.values().flatten().copied().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Every one, first come first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &PendingCommitment> {
        self.by_id.values().map(|entry| &entry.pending)
    }

    /// How many are held.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }
}
