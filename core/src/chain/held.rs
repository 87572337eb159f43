//! Which commitments wait, and for what (C6, C9, P5.1)?
//!
//! ```text
//! received --schedule does not reach--> Wait::Schedule --windows arrive--> its signer is recovered
//! concluded --parent not known--------> Wait::Parent ---parent accepted--> concluded again
//! either --verdict_timeout--> verdict given (ignore), still held --hold_for--> gone
//! ```
//!
//! Invariants: every index points at entries of `by_id` and at all that it should. Only `insert` and `remove` touch them. Bounds: in all,
//! per peer, per position (window and number); the newest loses.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;

use crate::chain::pending::PendingCommitment;
use crate::counts::Counts;
use crate::error::Refusal;
use crate::id::{HeldId, PeerId};

/// What a held commitment waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) enum Wait {
    /// Windows that cover its time.
    Schedule,
    /// The commitment with this hash.
    Parent(B256),
}

impl Wait {
    /// Why there is no verdict yet; and the verdict, when its time comes before what it waits for.
    pub(crate) fn refusal(self) -> Refusal {
        match self {
            Self::Schedule => Refusal::ScheduleUnknown,
            Self::Parent(_) => Refusal::ParentUnknown,
        }
    }
}

#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Entry {
    pending: PendingCommitment,
    wait: Wait,
}

/// How many may be held.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Bounds {
    pub(crate) all: usize,
    pub(crate) per_peer: usize,
    pub(crate) per_position: usize,
}

/// The commitments that wait.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Held {
    bounds: Bounds,
    by_id: BTreeMap<HeldId, Entry>,
    by_parent: BTreeMap<B256, BTreeSet<HeldId>>,
    for_schedule: BTreeSet<HeldId>,
    per_peer: Counts<PeerId>,
    per_position: Counts<(u64, u64)>,
}

impl Held {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            by_id: BTreeMap::new(),
            by_parent: BTreeMap::new(),
            for_schedule: BTreeSet::new(),
            per_peer: Counts::default(),
            per_position: Counts::default(),
        }
    }

    /// Holds one, or says that there is no room for it.
    pub(crate) fn insert(&mut self, id: HeldId, pending: PendingCommitment, wait: Wait) -> Result<(), Refusal> {
        let (peer, position) = (pending.origin.peer(), pending.position());
        let of_peer = peer.map_or(0, |peer| self.per_peer.of(&peer));
        let Bounds { all, per_peer, per_position } = self.bounds;
        if self.by_id.len() >= all || of_peer >= per_peer || self.per_position.of(&position) >= per_position {
            return Err(Refusal::NoRoom); // P5.1: the newest loses
        }
        if let Some(peer) = peer {
            self.per_peer.raise(peer);
        }
        self.per_position.raise(position);
        match wait {
            Wait::Schedule => drop(self.for_schedule.insert(id)),
            Wait::Parent(hash) => drop(self.by_parent.entry(hash).or_default().insert(id)),
        }
        self.by_id.insert(id, Entry { pending, wait });
        Ok(())
    }

    /// Holds it no longer.
    pub(crate) fn remove(&mut self, id: HeldId) -> Option<PendingCommitment> {
        let Entry { pending, wait } = self.by_id.remove(&id)?;
        if let Some(peer) = pending.origin.peer() {
            self.per_peer.lower(&peer);
        }
        self.per_position.lower(&pending.position());
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
