//! Slow pure work that leaves the machine.
//!
//! A [`Job`] can run on any thread; its result comes back as [`Input::JobFinished`](crate::Input::JobFinished). `run` is pure, so a replay
//! computes the result again and a trace need only say *when* it came back. The machine concludes the same whatever order results return in.

use std::sync::Arc;

use alloy_primitives::{Address, B256, keccak256};
use bytes::Bytes;

use crate::crypto;
use crate::id::JobId;
use crate::wire::v1::SignedCommitment;

/// Longest txlist whose hash still counts as small work, in bytes. Ours: about the time of one signature recovery.
const SMALL_TXLIST_BYTES: usize = 16 << 10;

/// A piece of work, ready to run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Job {
    /// Names the job; the result carries it back.
    pub id: JobId,
    /// What to do.
    pub work: Work,
}

/// What a job does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Work {
    /// Recover a commitment's signer (C7): two keccaks and one recovery, about 50 µs.
    Recover {
        /// The commitment.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serialize::shared"))]
        commitment: Arc<SignedCommitment>,
        /// The chain's signing domain.
        domain: B256,
    },
    /// Hash a txlist (T4): up to 5 ms for 2 MiB.
    Hash {
        /// Its bytes.
        txlist: Bytes,
    },
}

/// What a job found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Found {
    /// The signer, if the signature has one.
    Signer(Option<Address>),
    /// The hash.
    Hash(B256),
}

/// A job's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct JobDone {
    /// The job.
    pub id: JobId,
    /// What it found.
    pub found: Found,
}

impl Job {
    /// Does the work. Pure: the same job always finds the same.
    pub fn run(&self) -> JobDone {
        let found = match &self.work {
            Work::Recover { commitment, domain } => Found::Signer(crypto::recover(commitment, *domain)),
            Work::Hash { txlist } => Found::Hash(keccak256(txlist)),
        };
        JobDone { id: self.id, found }
    }

    /// Is it short enough (about 50 µs) to run at once when only a few wait, instead of on another thread?
    pub fn is_small(&self) -> bool {
        match &self.work {
            Work::Recover { .. } => true,
            Work::Hash { txlist } => txlist.len() <= SMALL_TXLIST_BYTES,
        }
    }
}
