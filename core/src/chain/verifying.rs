//! Whose signers are being recovered, and which commitment is concluded next (C7)?
//!
//! Signers come back in any order. Commitments are concluded in the order in which they came, so that what the node concludes does not
//! depend on which thread was faster: the oldest is handed out as soon as its signer is known, and the others wait for it.
//!
//! Invariants: `gossip_of`, `gossip` and `in_responses` count what is in `by_job`. Jobs' ids ascend, so the first entry is the oldest.

use std::collections::BTreeMap;

use alloy_primitives::Address;

use crate::chain::pending::PendingCommitment;
use crate::counts::Counts;
use crate::id::{JobId, PeerId, RequestId};
use crate::origin::Origin;

/// Most commitments of all peers' gossip whose signers are being recovered. Ours: what P5.1 lets be held in all.
pub(crate) const MAX_VERIFYING: usize = 1024;

#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Entry {
    pending: PendingCommitment,
    /// What the job found: `Some(None)` when nobody can have signed it.
    found: Option<Option<Address>>,
}

/// Commitments whose signers are being recovered.
#[derive(Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Verifying {
    by_job: BTreeMap<JobId, Entry>,
    gossip_of: Counts<PeerId>,
    gossip: usize,
    in_responses: usize,
}

impl Verifying {
    /// How many are under way.
    pub(crate) fn len(&self) -> usize {
        self.by_job.len()
    }

    /// How many of them came in responses.
    pub(crate) fn in_responses(&self) -> usize {
        self.in_responses
    }

    /// Every one, first come first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &PendingCommitment> {
        self.by_job.values().map(|entry| &entry.pending)
    }

    /// Is there room for one more of this origin? What was asked for, and what is our own, is bounded where it is asked for.
    pub(crate) fn has_room_for(&self, origin: Origin, max_per_peer: usize) -> bool {
        match origin {
            Origin::Gossip { peer, .. } => self.gossip < MAX_VERIFYING && self.gossip_of.of(&peer) < max_per_peer,
            Origin::Response { .. } | Origin::Own { .. } | Origin::Kept => true,
        }
    }

    /// A job was started for it.
    pub(crate) fn insert(&mut self, job: JobId, pending: PendingCommitment) {
        match pending.origin {
            Origin::Gossip { peer, .. } => {
                self.gossip_of.raise(peer);
                self.gossip += 1;
            }
            Origin::Response { .. } => self.in_responses += 1,
            Origin::Own { .. } | Origin::Kept => {}
        }
        self.by_job.insert(job, Entry { pending, found: None });
    }

    /// A job has its result. One of a commitment that was dropped meanwhile finds nothing.
    pub(crate) fn signer_found(&mut self, job: JobId, signer: Option<Address>) {
        if let Some(entry) = self.by_job.get_mut(&job) {
            entry.found = Some(signer);
        }
    }

    /// Drops what came with a response of which an item proved bad (P6.4).
    pub(crate) fn drop_response(&mut self, request: RequestId) {
        let before = self.by_job.len();
        self.by_job.retain(|_, entry| !matches!(entry.pending.origin, Origin::Response { request: of, .. } if of == request));
        self.in_responses -= before - self.by_job.len();
    }

    /// Takes the oldest commitment out, if its signer is known.
    pub(crate) fn next_recovered(&mut self) -> Option<(PendingCommitment, Option<Address>)> {
        let first = self.by_job.first_entry()?;
        let signer = first.get().found?;
        let Entry { pending, .. } = first.remove();
        match pending.origin {
            Origin::Gossip { peer, .. } => {
                self.gossip -= 1;
                self.gossip_of.lower(&peer);
            }
            Origin::Response { .. } => self.in_responses -= 1,
            Origin::Own { .. } | Origin::Kept => {}
        }
        Some((pending, signer))
    }
}
