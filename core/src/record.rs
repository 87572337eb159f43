//! What must survive a restart?
//!
//! The machine has no disk. What it must remember leaves as [`Output::Keep`](crate::Output::Keep), and comes back at the next start with
//! [`Command::Restore`](crate::Command::Restore), in the order in which it was kept. Where nobody stores it, it is gone with the process.

use crate::id::PeerId;
use crate::time::UnixTime;

/// One thing to remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
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
}
