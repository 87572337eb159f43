//! What is known of a commitment that was accepted?

use alloy_primitives::{Address, B256};

use crate::crypto;
use crate::wire::v1::SignedCommitment;

/// A commitment that passed every rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Accepted {
    /// Its bytes and fields.
    pub signed: SignedCommitment,
    /// Its preconfirmation hash (P4.1).
    pub hash: B256,
    /// Who signed it.
    pub signer: Address,
    /// Its block number; an accepted one fits 64 bits.
    pub block_number: u64,
    /// Its window's end, in unix seconds.
    pub window_end: u64,
}

impl Accepted {
    /// What was accepted of this signer before. `None` where its number or its window's end does not fit 64 bits: that never was.
    ///
    /// Whether it is signed by this signer, and good, is not looked at.
    pub fn of(signed: SignedCommitment, signer: Address) -> Option<Self> {
        let preconf = signed.preconf();
        let block_number = u64::try_from(preconf.block_number).ok()?;
        let window_end = u64::try_from(preconf.submission_window_end).ok()?;
        Some(Self { hash: crypto::preconfirmation_hash(&signed), signer, block_number, window_end, signed })
    }
}
