//! Which record replaces which, and in which order do they come back?
//!
//! Of two records with one key the later one replaces the earlier; only what we committed to stays as it was said first (P5.9). The order of
//! the keys is that in which a restart is given them: first what binds us, then the chain from its tip on, then who is who.

use preconf_core::{Address, B256, OwnCommitment, PeerId, Record, SIGNED_COMMITMENT_BYTES, keccak256};

/// Kinds of records.
pub(crate) const KINDS: usize = 10;

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Began,
    /// By age, so that the first is the first to be forgotten.
    Committed {
        window_end: u64,
        block_number: u64,
        signer: Address,
    },
    Schedule,
    SyncTip,
    Commitment(u64),
    /// From this number on.
    ChainDropped(u64),
    TxList(B256),
    Evidence(B256),
    Peer(PeerId),
    Known(PeerId),
}

impl Key {
    pub(crate) fn of(record: &Record) -> Self {
        match record {
            Record::Began { .. } => Self::Began,
            Record::Committed(own) => Self::of_own(own),
            Record::Peer { peer, .. } => Self::Peer(*peer),
            Record::Known(node) => Self::Known(node.record.peer),
            Record::Schedule(_) => Self::Schedule,
            Record::SyncTip(_) => Self::SyncTip,
            Record::Commitment(accepted) => Self::Commitment(accepted.block_number),
            Record::ChainDropped { from } => Self::ChainDropped(*from),
            Record::TxList { hash, .. } => Self::TxList(*hash),
            Record::Evidence { evidence, .. } => {
                let mut both = Vec::with_capacity(2 * SIGNED_COMMITMENT_BYTES + 1);
                both.push(evidence.fault as u8);
                both.extend_from_slice(evidence.first.as_bytes());
                both.extend_from_slice(evidence.second.as_bytes());
                Self::Evidence(keccak256(both))
            }
        }
    }

    pub(crate) fn of_own(own: &OwnCommitment) -> Self {
        Self::Committed { window_end: own.window_end(), block_number: own.block_number(), signer: own.signer }
    }

    /// Do records of this kind come back in the order in which they were kept, instead of that of their keys?
    pub(crate) fn is_by_age(&self) -> bool {
        matches!(self, Self::TxList(_) | Self::Evidence(_))
    }

    /// A number for each kind, in the order of a restart; the last is never stored.
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Self::Began => 0,
            Self::Committed { .. } => 1,
            Self::Schedule => 2,
            Self::SyncTip => 3,
            Self::Commitment(_) => 4,
            Self::TxList(_) => 5,
            Self::Evidence(_) => 6,
            Self::Peer(_) => 7,
            Self::Known(_) => 8,
            Self::ChainDropped(_) => 9,
        }
    }
}

/// P7.7: a score of 0 without a ban need not be kept.
pub(crate) fn is_clean_peer(record: &Record) -> bool {
    matches!(record, Record::Peer { score: 0, ban_ends: None, .. })
}
