//! Where does the chain that is settled on L1 end?

use alloy_primitives::B256;

/// The last L2 block that is settled on L1 ([`protocol`](crate::protocol), Terms).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SyncTip {
    /// Its number.
    pub block_number: u64,
    /// Hash of its preconfirmation. `None` when the host does not know it: then the first valid commitment of the next block links, whatever
    /// parent it names.
    pub preconfirmation_hash: Option<B256>,
}
