//! Which txlists are being hashed, and what became of their claims (T4)?
//!
//! Hashing is slow and leaves as a job, so what strangers send is bounded by count and by bytes before it does. What we asked for is bounded
//! by the requests, and our own where it waits to go out.
//!
//! Invariants: `bytes` sums up all that is not our own, `gossip_bytes` and `gossip_of` what came by gossip, and `responses` counts the answers.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use bytes::Bytes;

use crate::counts::Counts;
use crate::error::Refusal;
use crate::id::{JobId, PeerId};
use crate::origin::Origin;

/// Txlists of one peer whose hashes are under way. Ours: a quota's worth of the longest ones, twice.
pub(crate) const MAX_HASHING_PER_PEER: usize = 8;
/// Bytes of gossiped txlists whose hashes are under way. Ours: half a second of hashing on one core.
pub(crate) const MAX_HASHING_BYTES: usize = 64 << 20;

/// A txlist whose hash is being computed.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Unhashed {
    /// The hash that it is said to have.
    pub(crate) hash: B256,
    pub(crate) txlist: Bytes,
    pub(crate) origin: Origin,
}

/// The txlists whose hashes are being computed.
#[derive(Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Hashing {
    by_job: BTreeMap<JobId, Unhashed>,
    bytes: usize,
    gossip_bytes: usize,
    gossip_of: Counts<PeerId>,
    responses: usize,
}

impl Hashing {
    /// How many are under way.
    pub(crate) fn len(&self) -> usize {
        self.by_job.len()
    }

    /// Bytes of all that are not our own: those are counted where they wait to go out.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many of them came in responses.
    pub(crate) fn responses(&self) -> usize {
        self.responses
    }

    /// Is there room for one more gossiped txlist of this length from this peer?
    pub(crate) fn check_room(&self, peer: &PeerId, len: usize) -> Result<(), Refusal> {
        let has_room = self.gossip_of.of(peer) < MAX_HASHING_PER_PEER && self.gossip_bytes + len <= MAX_HASHING_BYTES;
        if has_room { Ok(()) } else { Err(Refusal::NoRoom) }
    }

    /// A job was started for it.
    pub(crate) fn insert(&mut self, job: JobId, unhashed: Unhashed) {
        let len = unhashed.txlist.len();
        match unhashed.origin {
            Origin::Gossip { peer, .. } => {
                self.gossip_of.raise(peer);
                self.gossip_bytes += len;
                self.bytes += len;
            }
            Origin::Response { .. } => {
                self.responses += 1;
                self.bytes += len;
            }
            Origin::Own { .. } | Origin::Kept => {}
        }
        self.by_job.insert(job, unhashed);
    }

    /// Its job is done.
    pub(crate) fn remove(&mut self, job: JobId) -> Option<Unhashed> {
        let unhashed = self.by_job.remove(&job)?;
        let len = unhashed.txlist.len();
        match unhashed.origin {
            Origin::Gossip { peer, .. } => {
                self.gossip_of.lower(&peer);
                self.gossip_bytes -= len;
                self.bytes -= len;
            }
            Origin::Response { .. } => {
                self.responses -= 1;
                self.bytes -= len;
            }
            Origin::Own { .. } | Origin::Kept => {}
        }
        Some(unhashed)
    }
}
