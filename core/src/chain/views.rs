//! What do others see of the commitments?
//!
//! Read-only; nothing in it decides anything.

use std::sync::Arc;

use alloy_primitives::{Address, B256};

use crate::accepted::Accepted;
use crate::chain::ChainState;
use crate::chain::heard::Heard;
use crate::chain::held::MAX_UNSCHEDULED;
use crate::chain::in_vain::RecoveredInVain;
use crate::chain::pending::PendingCommitment;
use crate::chain::verifying::MAX_VERIFYING;
use crate::config::Config;
use crate::cost::{TIMER, entry};
use crate::evidence::Evidence;
use crate::id::{HeldId, JobId, PeerId};
use crate::peer::subnet::Cidr;
use crate::tip::SyncTip;
use crate::wire::v1::SignedCommitment;

/// A kept commitment: itself, and its entry in every index, its txlist's reference and fetch among them.
const COMMITMENT: usize = size_of::<Accepted>()
    + 2 * size_of::<usize>()
    + 2 * entry::<B256, Arc<Accepted>>() // by hash, by number or among the forks
    + 2 * entry::<(u64, B256), B256>() // by signer, ended windows
    + 2 * entry::<B256, [u64; 2]>() // its txlist is referenced, and pinned if it is ours
    + entry::<B256, [u64; 16]>() // a fetch
    + 8 * size_of::<PeerId>() // who was asked
    + TIMER;
/// A proven fault, and its position in the book.
const EVIDENCE: usize = size_of::<Evidence>() + 2 * size_of::<usize>() + 2 * entry::<(Address, u64, u64), Arc<Evidence>>();
/// One on its way: in a table, with what it shares with its job, and the peer's count of it.
const PENDING: usize = entry::<JobId, (PendingCommitment, Option<Option<Address>>)>()
    + size_of::<SignedCommitment>()
    + 2 * size_of::<usize>()
    + entry::<PeerId, usize>();
const HELD: usize = PENDING + 2 * entry::<HeldId, B256>() + 2 * entry::<PeerId, usize>() + entry::<Cidr, usize>() + 3 * TIMER;

impl ChainState {
    /// The most bytes that it holds under a configuration, where so many commitments of responses may have their signers recovered at once.
    pub(crate) fn max_bytes(config: &Config, max_in_responses: usize) -> usize {
        config.max_commitments * COMMITMENT
            + (config.max_held + MAX_UNSCHEDULED.min(config.max_held)) * HELD
            + config.max_evidence * EVIDENCE
            + Heard::MAX_BYTES
            + RecoveredInVain::MAX_BYTES
            + (MAX_VERIFYING + max_in_responses + config.max_unsent) * PENDING
    }

    /// The bytes that it holds, counted likewise.
    pub(crate) fn bytes(&self) -> usize {
        self.linked.len() * COMMITMENT
            + self.held.len() * HELD
            + self.heard.bytes()
            + self.in_vain.bytes()
            + self.evidence.iter().len() * EVIDENCE
            + (self.verifying.len() + self.recording.len()) * PENDING
    }

    /// The last settled block.
    pub(crate) fn tip(&self) -> SyncTip {
        self.linked.tip()
    }

    /// The highest linked commitment above the sync tip.
    pub(crate) fn head(&self) -> Option<&Arc<Accepted>> {
        self.linked.head()
    }

    /// Its number, or the sync tip's.
    pub(crate) fn head_number(&self) -> u64 {
        self.linked.head_number()
    }

    /// C4: the lowest number that can still be taken lies right above this.
    pub(crate) fn floor(&self) -> u64 {
        self.linked.floor()
    }

    /// The first number that is not ready yet.
    pub(crate) fn next_ready(&self) -> u64 {
        self.linked.next_ready()
    }

    /// A kept commitment, canonical or a fork.
    pub(crate) fn get(&self, hash: &B256) -> Option<&Arc<Accepted>> {
        self.linked.get(hash)
    }

    /// Canonical commitments from the head down.
    pub(crate) fn canonical_from_head(&self) -> impl Iterator<Item = &Arc<Accepted>> {
        self.linked.canonical_from_head()
    }

    /// The canonical commitment with this number.
    pub(crate) fn at(&self, number: u64) -> Option<&Arc<Accepted>> {
        self.linked.at(number)
    }

    /// Canonical commitments from a number on, without a gap; none when the first is not here (P6.2).
    pub(crate) fn from(&self, start: u64) -> impl Iterator<Item = &Arc<Accepted>> {
        self.linked.from(start)
    }

    /// Valid commitments beside the canonical chain, lowest first.
    pub(crate) fn forks(&self) -> impl Iterator<Item = &Arc<Accepted>> {
        self.linked.forks()
    }

    /// Commitments kept, forks included.
    pub(crate) fn len(&self) -> usize {
        self.linked.len()
    }

    /// Those that wait, first come first.
    pub(crate) fn held(&self) -> impl Iterator<Item = &PendingCommitment> {
        self.held.iter()
    }

    /// How many wait.
    pub(crate) fn held_count(&self) -> usize {
        self.held.len()
    }

    /// Those whose signers are being recovered, first come first.
    pub(crate) fn verifying(&self) -> impl Iterator<Item = &PendingCommitment> {
        self.verifying.iter()
    }

    /// How many signers are being recovered.
    pub(crate) fn verifying_count(&self) -> usize {
        self.verifying.len()
    }

    /// How many of those came in responses.
    pub(crate) fn verifying_in_responses(&self) -> usize {
        self.verifying.in_responses()
    }

    /// Faults of signers that were proven, oldest first.
    pub(crate) fn evidence(&self) -> impl ExactSizeIterator<Item = &Arc<Evidence>> {
        self.evidence.iter()
    }
}
