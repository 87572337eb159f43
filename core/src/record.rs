//! What must outlive the process?
//!
//! The machine has no disk. It says it with [`Output::Persist`](crate::Output::Persist), hears with
//! [`Input::Persisted`](crate::Input::Persisted) that it is on disk, and takes it back with [`Update::Restore`](crate::Update::Restore), of
//! each kind oldest first. Where nobody stores it, it is gone with the process.

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use bytes::Bytes;

use crate::accepted::Accepted;
use crate::crypto;
use crate::discovery::record::KnownNode;
use crate::evidence::Evidence;
use crate::id::PeerId;
use crate::schedule::Window;
use crate::time::UnixTime;
use crate::tip::SyncTip;
use crate::wire::v1::SignedCommitment;

/// One thing to remember across restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Record {
    /// Since when what we commit to has been recorded here: a store's first record, which the store itself makes (P5.9b). The earliest counts.
    Began {
        /// When the store was made.
        at: UnixTime,
    },
    /// We committed to this block, and will never commit to another one with its number in its window (P5.9).
    Committed(Box<OwnCommitment>),
    /// How a peer stands (P7.7). It replaces what was stored of the same peer before; a score of 0 without a ban means that nothing need be.
    Peer {
        /// The peer.
        peer: PeerId,
        /// Its score, in millionths of a point.
        score: i64,
        /// When that was its score.
        as_of: UnixTime,
        /// When its ban ends, if it is banned.
        ban_ends: Option<UnixTime>,
    },
    /// A node that was of use, to be found again without a bootnode (P8.9). It replaces what was stored of the same node before.
    Known(Box<KnownNode>),
    /// The schedule as it stands (P9.1). It replaces the one that was stored before.
    Schedule(Vec<Window>),
    /// Where the sync tip stands (P9.3). It replaces the one that was stored before.
    SyncTip(SyncTip),
    /// A commitment of the canonical chain. It replaces what was stored at its number.
    Commitment(#[cfg_attr(feature = "serde", serde(with = "crate::serialize::accepted"))] Arc<Accepted>),
    /// None of the commitments that were stored so far, from a number on, is of the canonical chain any more (P9.3, C7). Those that are again
    /// follow.
    ChainDropped {
        /// The lowest of these numbers.
        from: u64,
    },
    /// A txlist that a commitment of the chain names, whose hash was checked.
    TxList {
        /// Its keccak-256.
        hash: B256,
        /// Its bytes.
        txlist: Bytes,
    },
    /// A preconfer's proven fault (P5.4).
    Evidence {
        /// What proves it.
        evidence: Box<Evidence>,
        /// Whose fault it is.
        signer: Address,
    },
}

/// What one of our own keys has committed to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct OwnCommitment {
    /// Whose word it is.
    pub signer: Address,
    /// The word.
    pub signed: SignedCommitment,
    /// The txlist that it names, where that was published with it or before it, and is still stored.
    pub txlist: Option<Bytes>,
}

impl OwnCommitment {
    /// Its preconfirmation hash.
    pub fn hash(&self) -> B256 {
        crypto::preconfirmation_hash(&self.signed)
    }

    /// Its block number. What no 64 bits hold was never accepted, and counts as the highest.
    pub fn block_number(&self) -> u64 {
        u64::try_from(self.signed.preconf().block_number).unwrap_or(u64::MAX)
    }

    /// Its window's end, in unix seconds.
    pub fn window_end(&self) -> u64 {
        u64::try_from(self.signed.preconf().submission_window_end).unwrap_or(u64::MAX)
    }
}
