//! What has been found of a commitment?
//!
//! [`ChainState`](crate::chain::ChainState) concludes one commitment after the other and hands out a [`Ruling`] for each; what follows from
//! it for peers, txlists, catch-up and the application is none of its business, and is settled before the next is concluded.

use std::sync::Arc;

use alloy_primitives::{Address, B256};

use crate::accepted::Accepted;
use crate::error::Refusal;
use crate::evidence::Evidence;
use crate::origin::Origin;
use crate::validate::v1::parent::ParentRule;
use crate::wire::v1::SignedCommitment;

/// What a commitment came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Conclusion {
    /// It extends the canonical chain (C10).
    Accepted {
        commitment: Arc<Accepted>,
        /// What gave way to it.
        fell_off: Vec<Arc<Accepted>>,
    },
    /// It is valid and is kept beside the canonical chain (C9).
    Forked {
        /// What stands in the canonical chain at its number.
        canonical: Option<Arc<Accepted>>,
        commitment: Arc<Accepted>,
        fell_off: Vec<Arc<Accepted>>,
    },
    /// It is our own, and would be accepted if its record were on disk (P5.9a).
    ToRecord {
        signer: Address,
        /// The end of its window, and its number.
        position: (u64, u64),
        hash: B256,
        signed: Arc<SignedCommitment>,
    },
    /// It waits for its parent or for the schedule (C6, C9).
    Held,
    /// It is refused.
    Refused(Refusal),
}

impl Conclusion {
    /// Why its message is not accepted, if that is certain now.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Accepted { .. } | Self::ToRecord { .. } | Self::Held => None,
            Self::Forked { .. } => Some(Refusal::Fork),
            Self::Refused(refusal) => Some(*refusal),
        }
    }
}

/// What a move of the sync tip (P9.3), or a schedule that settled otherwise (C7), did to the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Changed {
    /// What was canonical from this number on is not any more; what of it links anew is accepted anew.
    pub(crate) dropped_from: Option<u64>,
    /// From which block on the host must execute again.
    pub(crate) execute_from: Option<u64>,
}

/// A fault of the signer's, found for the first time (P5.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proven {
    pub(crate) evidence: Arc<Evidence>,
    pub(crate) signer: Address,
    pub(crate) block_number: u64,
}

/// A child that breaks a parent rule, of which no evidence was found for the first time (C9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BrokenRule {
    pub(crate) parent: Arc<Accepted>,
    pub(crate) child: Arc<SignedCommitment>,
    pub(crate) rule: ParentRule,
}

/// A commitment is concluded, and so is all that waited for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Completed {
    /// Where that first one came from.
    pub(crate) origin: Origin,
    /// What it was before, where it was linked anew (P9.3): that is no longer in the chain.
    pub(crate) replaces: Option<Arc<Accepted>>,
}

/// What has been found of one commitment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ruling {
    pub(crate) origin: Origin,
    pub(crate) conclusion: Conclusion,
    /// Its number, once the preconfer that is elected in its window is known to have signed it (C7): such a height is backed (P11.1).
    pub(crate) backed: Option<u64>,
    /// What its signer did wrong.
    pub(crate) proven: Option<Proven>,
    /// What is wrong and cannot be proven of one signer.
    pub(crate) broken_rule: Option<BrokenRule>,
    /// Its number, if its parent should be asked of the peer that brought it (P5.2).
    pub(crate) parent_wanted_for: Option<u64>,
    /// Set where nothing is left that waited for the commitment with which this began. Blocks that became ready are told then, and not
    /// before: their order must not depend on which of their children came early.
    pub(crate) completed: Option<Completed>,
}

impl Ruling {
    /// One that refuses, and from which nothing else follows.
    pub(crate) fn refused(origin: Origin, refusal: Refusal) -> Self {
        Self {
            origin,
            conclusion: Conclusion::Refused(refusal),
            backed: None,
            proven: None,
            broken_rule: None,
            parent_wanted_for: None,
            completed: None,
        }
    }
}
