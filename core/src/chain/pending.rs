//! What is known of a commitment that has no verdict yet?

use std::sync::Arc;

use alloy_primitives::{Address, B256};

use crate::config::Storage;
use crate::error::Refusal;
use crate::origin::Origin;
use crate::peer::subnet::Cidr;
use crate::time::Time;
use crate::wire::v1::SignedCommitment;

/// A commitment on its way to a verdict.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct PendingCommitment {
    pub(crate) signed: Arc<SignedCommitment>,
    /// Its preconfirmation hash.
    pub(crate) hash: B256,
    pub(crate) number: u64,
    pub(crate) window_end: u64,
    pub(crate) origin: Origin,
    /// Whose bounds it shares with others, where it came from a peer with an address (P5.1, C7).
    pub(crate) neighbourhood: Option<Cidr>,
    pub(crate) arrived: Time,
    /// It came too late to be accepted, for this reason: it is looked at only for what it proves of its signer (C5).
    pub(crate) only_for_evidence: Option<Refusal>,
    /// Who signed it, once that is recovered and found to be the elected one (C7).
    pub(crate) signer: Option<Address>,
}

impl PendingCommitment {
    /// Where it wants to stand: one window, one block number (P5.1).
    pub(crate) fn position(&self) -> (u64, u64) {
        (self.window_end, self.number)
    }

    /// Is its signer recovered, and the elected one (C7)?
    pub(crate) fn is_signed(&self) -> bool {
        self.signer.is_some()
    }

    /// P5.9a: must the record of it be on disk first?
    pub(crate) fn needs_record(&self, storage: Storage) -> bool {
        storage == Storage::Durable && matches!(self.origin, Origin::Own { is_recorded: false, .. })
    }

    /// The preconfirmation hash of the block that it builds on.
    pub(crate) fn parent(&self) -> B256 {
        self.signed.preconf().parent_preconfirmation_hash
    }
}
