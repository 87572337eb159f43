//! How far is each block (P11.1)?
//!
//! ```text
//! Missing --a commitment came--> Seen --C1-C8--> Valid --C9--> Linked --txlist, ancestors--> Ready --the host says so--> Executed
//! ```
//!
//! A read-only view, computed from the tables when somebody asks. Each stage holds what the ones before it hold.

use std::collections::BTreeMap;

use crate::id::PeerId;
use crate::machine::Core;
use crate::peer::score::Standing;
use crate::time::Now;

/// Most blocks that one answer lists. Ours: the most commitments that can be kept, and as many ahead of them.
pub const MAX_HEALTH_BLOCKS: usize = 7680;

/// How far a block has come here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Something above it is backed; of itself nothing is here.
    Missing,
    /// A commitment for it is here; its signer, or the schedule that elects it, is not known yet.
    Seen,
    /// Its elected preconfer has signed it; its parent is missing, it lies beside the chain, or a peer has shown it and it is yet to be fetched.
    Valid,
    /// It is in the chain that reaches down to the sync tip.
    Linked,
    /// It may be executed: its txlist is here, and all before it is ready (P5.5).
    Ready,
    /// The host has executed it.
    Executed,
}

impl Stage {
    /// Its name in JSON and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Seen => "seen",
            Self::Valid => "valid",
            Self::Linked => "linked",
            Self::Ready => "ready",
            Self::Executed => "executed",
        }
    }
}

/// One block's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHealth {
    /// Its number.
    pub block_number: u64,
    /// How far it is.
    pub stage: Stage,
}

impl Core {
    /// How far every block is, ascending and without a gap, from `from` or the sync tip's successor, whichever is higher, up to the best head
    /// ([`Status::best`](crate::Status::best)); at most [`MAX_HEALTH_BLOCKS`] of them. The rest begins behind the last one listed.
    pub fn health(&self, now: Now, from: u64) -> Vec<BlockHealth> {
        let beside = self.beside();
        let first = self.chain.tip().block_number.saturating_add(1).max(from);
        let stage = |block_number| BlockHealth { block_number, stage: self.stage(block_number, &beside) };
        (first..=self.best(now)).take(MAX_HEALTH_BLOCKS).map(stage).collect()
    }

    /// The best height that is backed: an elected preconfer has signed a commitment at it (C7). It is ours, it waits for its parent, or it is the
    /// head of a peer that has shown it. What a peer only claims counts for nothing, and a fork that we keep is no gap unless it is a peer's head.
    pub(crate) fn best(&self, now: Now) -> u64 {
        let held = self.chain.held().filter(|pending| pending.is_signed()).map(|pending| pending.number).max();
        let counts = |peer: &PeerId| self.reputation.standing(now.mono, peer) <= Standing::Throttled;
        let shown = self.catch_up.claims().backed().filter(|(peer, _)| counts(peer)).map(|(_, backed)| backed).max();
        [held, shown].into_iter().flatten().fold(self.chain.head_number(), u64::max)
    }

    fn stage(&self, number: u64, beside: &BTreeMap<u64, Stage>) -> Stage {
        if number < self.chain.next_ready() {
            if number <= self.executed { Stage::Executed } else { Stage::Ready }
        } else if self.chain.at(number).is_some() {
            Stage::Linked
        } else {
            beside.get(&number).copied().unwrap_or(Stage::Missing)
        }
    }

    /// What is known and not in the chain: the furthest stage of each number.
    fn beside(&self) -> BTreeMap<u64, Stage> {
        let forks = self.chain.forks().map(|fork| (fork.block_number, Stage::Valid));
        let held = self.chain.held().map(|pending| (pending.number, if pending.is_signed() { Stage::Valid } else { Stage::Seen }));
        let verifying = self.chain.verifying().map(|pending| (pending.number, Stage::Seen));
        let paged = self.catch_up.numbers_waiting().map(|number| (number, Stage::Seen));
        let shown = self.catch_up.claims().backed().map(|(_, number)| (number, Stage::Valid));
        let mut beside = BTreeMap::new();
        for (number, stage) in forks.chain(held).chain(verifying).chain(paged).chain(shown) {
            let furthest = beside.entry(number).or_insert(stage);
            *furthest = stage.max(*furthest);
        }
        beside
    }
}
