//! Which commitments of our own wait for the disk (P5.9a)?
//!
//! ```text
//! concluded, and good --> Recording --its record is on disk--> concluded again, and accepted
//!                             \--its record failed--> gone; what builds on it finds no parent
//! ```
//!
//! What our application says next builds on what it said before, and may come while that is still being written: it waits behind it.
//!
//! Invariant: what is in `behind` waits for one that is in `by_hash`, or in `behind` itself. The outbox bounds how many there are.

use std::collections::BTreeMap;

use alloy_primitives::B256;

use crate::chain::pending::PendingCommitment;

/// Our own commitments whose records are being written.
#[derive(Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Recording {
    by_hash: BTreeMap<B256, PendingCommitment>,
    /// What builds on them, first come first.
    behind: Vec<PendingCommitment>,
}

impl Recording {
    /// Its record is being written.
    pub(crate) fn insert(&mut self, pending: PendingCommitment) {
        self.by_hash.insert(pending.hash, pending);
    }

    /// It waits for what it builds on.
    pub(crate) fn insert_behind(&mut self, pending: PendingCommitment) {
        self.behind.push(pending);
    }

    /// Is it here?
    pub(crate) fn has(&self, hash: &B256) -> bool {
        self.by_hash.contains_key(hash) || self.behind.iter().any(|pending| pending.hash == *hash)
    }

    /// Its record is written, or is not.
    pub(crate) fn remove(&mut self, hash: &B256) -> Option<PendingCommitment> {
        self.by_hash.remove(hash)
    }

    /// Takes what builds directly on this one, first come first.
    pub(crate) fn take_children(&mut self, parent: &B256) -> Vec<PendingCommitment> {
        self.behind.extract_if(.., |pending| pending.parent() == *parent).collect()
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.by_hash.len() + self.behind.len()
    }
}
