//! What must outlive the process?
//!
//! The machine says it with [`Output::Keep`](crate::Output::Keep), and takes it back with [`Command::Restore`](crate::Command::Restore).

use alloy_primitives::B256;

/// One thing to remember across restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// We committed to this block, and will never commit to another one with its number (P5.9).
    Committed {
        /// Its number.
        block_number: u64,
        /// Its preconfirmation hash.
        hash: B256,
    },
}
