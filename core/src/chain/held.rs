//! Which commitments wait, and for what (C6, C9, P5.1)?
//!
//! ```text
//! judged --schedule does not reach--> Wait::Schedule --windows arrive--> judged again
//! judged --parent not known--------> Wait::Parent ---parent accepted--> concluded
//! either --verdict_timeout--> verdict given (ignore), still held --hold_for--> gone
//! ```
//!
//! Invariants: every index points at entries of `by_id` and at all that it should. Only `hold` and `take` touch them. Bounds: in all, per
//! peer, per (window, number); the newest loses.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;

use crate::chain::judge::Claim;
use crate::error::Refusal;
use crate::id::{HeldId, PeerId};

/// What a held commitment waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Windows that cover its time.
    Schedule,
    /// The commitment with this hash.
    Parent(B256),
}

#[derive(Debug)]
struct Entry {
    claim: Claim,
    wait: Wait,
}

/// How many may be held.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) all: usize,
    pub(crate) per_peer: usize,
    pub(crate) per_place: usize,
}

/// The commitments that wait.
#[derive(Debug)]
pub(crate) struct Held {
    bounds: Bounds,
    by_id: BTreeMap<HeldId, Entry>,
    by_parent: BTreeMap<B256, BTreeSet<HeldId>>,
    for_schedule: BTreeSet<HeldId>,
    per_peer: BTreeMap<PeerId, usize>,
    per_place: BTreeMap<(u64, u64), usize>,
}

impl Held {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            by_id: BTreeMap::new(),
            by_parent: BTreeMap::new(),
            for_schedule: BTreeSet::new(),
            per_peer: BTreeMap::new(),
            per_place: BTreeMap::new(),
        }
    }

    /// Holds a claim, or hands it back when there is no room for it.
    pub(crate) fn hold(&mut self, id: HeldId, claim: Claim, wait: Wait) -> Result<(), Box<(Claim, Refusal)>> {
        let peer = claim.origin.peer();
        let of_peer = peer.and_then(|peer| self.per_peer.get(&peer)).copied().unwrap_or(0);
        let at_place = self.per_place.get(&claim.place()).copied().unwrap_or(0);
        let Bounds { all, per_peer, per_place } = self.bounds;
        if self.by_id.len() >= all || of_peer >= per_peer || at_place >= per_place {
            return Err(Box::new((claim, Refusal::NoRoom))); // P5.1: the newest loses
        }
        if let Some(peer) = peer {
            *self.per_peer.entry(peer).or_default() += 1;
        }
        *self.per_place.entry(claim.place()).or_default() += 1;
        match wait {
            Wait::Schedule => drop(self.for_schedule.insert(id)),
            Wait::Parent(hash) => drop(self.by_parent.entry(hash).or_default().insert(id)),
        }
        self.by_id.insert(id, Entry { claim, wait });
        Ok(())
    }

    /// Lets one go.
    pub(crate) fn take(&mut self, id: HeldId) -> Option<(Claim, Wait)> {
        let Entry { claim, wait } = self.by_id.remove(&id)?;
        if let Some(peer) = claim.origin.peer() {
            lower(&mut self.per_peer, &peer);
        }
        lower(&mut self.per_place, &claim.place());
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
        Some((claim, wait))
    }

    /// A held claim, to give its verdict while it goes on waiting.
    pub(crate) fn get_mut(&mut self, id: HeldId) -> Option<(&mut Claim, Wait)> {
        self.by_id.get_mut(&id).map(|entry| (&mut entry.claim, entry.wait))
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
    pub(crate) fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.by_id.values().map(|entry| &entry.claim)
    }

    /// How many are held.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }
}

fn lower<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
