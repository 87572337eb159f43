//! What must outlive the process?
//!
//! The machine has no disk. It says it with [`Output::Persist`](crate::Output::Persist), and takes it back with
//! [`Update::Restore`](crate::Update::Restore), in the order in which it was kept. Where nobody stores it, it is gone with the process.

use alloy_primitives::B256;

use crate::discovery::record::KnownNode;
use crate::id::PeerId;
use crate::time::UnixTime;

/// One thing to remember across restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Record {
    /// We committed to this block, and will never commit to another one with its number (P5.9).
    Committed {
        /// Its number.
        block_number: u64,
        /// Its preconfirmation hash.
        hash: B256,
    },
    /// How a peer stands (P7.7). It replaces what was kept of the same peer before; a score of 0 without a ban means that nothing need be.
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
    /// A node that was of use, to be found again without a bootnode (P8.9). It replaces what was kept of the same node before.
    Known(Box<KnownNode>),
}
