//! Which blocks form the chain, and which are ready (C8, C9, P5.5, P9)?

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use preconf_core::{Accepted, Address, B256, Config, Now, Record, Status, SyncTip, U256, Window, preconfirmation_hash};

use super::verdict::Copy;
use super::{Disagreement, differ};

/// The chain, as plain lists.
#[derive(Debug)]
pub(super) struct Chain {
    max: usize,
    tip: SyncTip,
    windows: Vec<Window>,
    canonical: Vec<Arc<Accepted>>,
    forks: Vec<Arc<Accepted>>,
    /// Numbers of which the machine may keep more than it showed: a move of the tip has it judge again what it has.
    unsure: BTreeSet<u64>,
    next_ready: u64,
    stored: BTreeSet<B256>,
    ever_stored: BTreeSet<B256>,
}

impl Chain {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            tip: SyncTip::default(),
            windows: Vec::new(),
            canonical: Vec::new(),
            forks: Vec::new(),
            unsure: BTreeSet::new(),
            next_ready: 1,
            stored: BTreeSet::new(),
            ever_stored: BTreeSet::new(),
        }
    }

    /// P6.9: what was kept before a restart.
    pub(super) fn restored(&mut self, records: &[Record]) {
        let mut by_number = BTreeMap::new();
        for record in records {
            match record {
                Record::Schedule(windows) => self.update_schedule(windows),
                Record::SyncTip(tip) => self.tip = *tip,
                Record::Commitment(block) => drop(by_number.insert(block.block_number, block.clone())),
                Record::ChainDropped { from } => drop(by_number.split_off(from)),
                Record::TxList { hash, .. } => self.stored(*hash),
                _ => {}
            }
        }
        let mut runs: Vec<Vec<Arc<Accepted>>> = Vec::new();
        for block in by_number.into_values() {
            let parent = block.signed.preconf().parent_preconfirmation_hash;
            match runs
                .last_mut()
                .filter(|run| run.last().is_some_and(|last| last.hash == parent && last.block_number + 1 == block.block_number))
            {
                Some(run) => run.push(block),
                None => runs.push(vec![block]),
            }
        }
        let fits = |hash: B256| self.tip.preconfirmation_hash.is_none_or(|of_tip| of_tip == hash);
        let number = self.tip.block_number;
        let of_tip = runs.iter().position(|run| {
            let parent = run[0].signed.preconf().parent_preconfirmation_hash;
            run.iter().any(|block| block.block_number == number && fits(block.hash)) || (run[0].block_number == number + 1 && fits(parent))
        });
        self.canonical = of_tip.map(|index| runs.swap_remove(index)).unwrap_or_default();
        while self.canonical.len() > self.max && self.canonical[0].block_number < number {
            self.canonical.remove(0);
        }
        self.canonical.truncate(self.max);
        self.next_ready = self.canonical.first().map_or(0, |first| first.block_number).max(number + 1);
    }

    pub(super) fn kept(&self) -> usize {
        self.canonical.len() + self.forks.len()
    }

    pub(super) fn windows(&self) -> impl Iterator<Item = &Window> {
        self.windows.iter()
    }

    /// The window at a time, or the one after it. `None` when the schedule does not reach that far.
    pub(super) fn covering(&self, time: U256) -> Option<&Window> {
        let last = self.windows.last().filter(|last| time <= U256::from(last.end))?;
        Some(self.windows.iter().find(|window| time <= U256::from(window.end)).unwrap_or(last))
    }

    /// P9.1
    pub(super) fn update_schedule(&mut self, windows: &[Window]) {
        for new in windows {
            self.windows.retain(|old| old.end <= new.start || old.start >= new.end);
            self.windows.push(*new);
        }
        self.windows.sort_by_key(|window| window.end);
        // C7: what was accepted under a window that has settled on somebody else goes, and all that builds on it.
        let settled: Vec<Window> = self.windows.iter().filter(|window| window.settled_at.is_some()).copied().collect();
        let is_wrong = |block: &Accepted| {
            let preconf = block.signed.preconf();
            let time = preconf.timestamp;
            let at = settled.iter().find(|window| block.window_end > window.start && block.window_end <= window.end);
            at.is_some_and(|window| {
                let is_in = time > U256::from(window.start) && time <= U256::from(window.end);
                window.end != block.window_end || !is_in || window.preconfer != block.signer
            })
        };
        let tip = self.tip.block_number;
        let from = self.canonical.iter().find(|block| block.block_number > tip && is_wrong(block)).map(|block| block.block_number);
        if from.is_some() || self.forks.iter().any(|fork| is_wrong(fork)) {
            self.unsure.extend(self.forks.drain(..).map(|fork| fork.block_number));
        }
        if let Some(from) = from {
            let kept = self.canonical.iter().take_while(|block| block.block_number < from).count();
            self.unsure.extend(self.canonical.drain(kept..).map(|block| block.block_number));
            self.next_ready = self.next_ready.min(if kept == 0 { tip + 1 } else { from });
        }
    }

    /// C6a: has an accepted block ended the window before this one?
    fn is_handed_over(&self, window: &Window) -> bool {
        let before = self.windows.iter().rev().find(|before| before.end < window.end);
        before.is_some_and(|before| {
            let mut of_before = self.canonical.iter().filter(|block| block.window_end == before.end && block.signer == before.preconfer);
            of_before.any(|block| block.signed.preconf().eop)
        })
    }

    /// C6a: does this window lie so far ahead, and how far is that?
    pub(super) fn is_early(&self, config: &Config, now: Now, window_end: U256) -> Option<bool> {
        let window = self.windows.iter().find(|window| U256::from(window.end) == window_end)?;
        let ahead = (window.start * 1_000_000).checked_sub(now.unix.0 + config.early_grace.as_micros() as u64)?;
        (ahead > 0 && !self.is_handed_over(window)).then_some(ahead > config.hold_for.as_micros() as u64)
    }

    fn at(&self, number: u64) -> Option<&Arc<Accepted>> {
        self.canonical.iter().rev().find(|block| block.block_number <= number).filter(|block| block.block_number == number)
    }

    pub(super) fn get(&self, hash: &B256) -> Option<&Arc<Accepted>> {
        self.canonical.iter().rev().chain(&self.forks).find(|block| block.hash == *hash)
    }

    pub(super) fn has(&self, hash: &B256) -> bool {
        self.get(hash).is_some()
    }

    pub(super) fn is_unsure_of(&self, number: u64) -> bool {
        self.unsure.contains(&number)
    }

    pub(super) fn has_fork(&self, copy: &Copy) -> bool {
        let hash = copy.signed.as_ref().map(preconfirmation_hash);
        self.forks.iter().any(|fork| Some(fork.hash) == hash)
    }

    pub(super) fn was_stored(&self, txlist: &B256) -> bool {
        self.ever_stored.contains(txlist)
    }

    /// T5: does a block that is kept name this txlist?
    pub(super) fn names(&self, txlist: &B256) -> bool {
        self.canonical.iter().chain(&self.forks).any(|block| block.signed.preconf().raw_tx_list_hash == *txlist)
    }

    pub(super) fn head_number(&self) -> u64 {
        self.head().map_or(self.tip.block_number, |head| head.block_number)
    }

    fn head(&self) -> Option<&Arc<Accepted>> {
        self.canonical.last().filter(|head| head.block_number > self.tip.block_number)
    }

    pub(super) fn floor(&self) -> u64 {
        self.canonical.first().map_or(0, |first| first.block_number - 1).max(self.tip.block_number)
    }

    pub(super) fn tip_hash(&self) -> Option<B256> {
        self.tip.preconfirmation_hash
    }

    /// C8: has the signer said something else of this number in this window, or ended the window before it?
    pub(super) fn contradicts(&self, signer: Address, number: u64, window_end: U256) -> bool {
        self.canonical.iter().chain(&self.forks).filter(|block| block.signer == signer).any(|block| {
            let of_window = block.signed.preconf().submission_window_end == window_end;
            of_window && (block.block_number == number || (block.signed.preconf().eop && number > block.block_number))
        })
    }

    /// Is this the parent of the first block behind the sync tip?
    pub(super) fn is_behind_tip(&self, parent: &B256, number: u64) -> bool {
        let is_next = number == self.tip.block_number + 1;
        match self.tip.preconfirmation_hash {
            Some(hash) => is_next && hash == *parent,
            None => is_next && self.at(self.tip.block_number).is_none(),
        }
    }

    /// Does a block with this parent extend the canonical chain?
    pub(super) fn links(&self, parent: &B256, number: u64) -> bool {
        let on_chain = self.canonical.iter().any(|block| block.hash == *parent) || self.is_behind_tip(parent, number);
        on_chain && self.at(number).is_none()
    }

    /// Puts a block on top.
    pub(super) fn extend(&mut self, block: Arc<Accepted>) -> Result<(), Disagreement> {
        let next = self.canonical.last().map_or(self.tip.block_number, |last| last.block_number) + 1;
        if block.block_number != next {
            return Err(differ("C9", ("accepted block", block.block_number), ("the next is", next)));
        }
        self.forks.retain(|fork| fork.hash != block.hash);
        while self.kept() >= self.max && self.canonical.first().is_some_and(|first| first.block_number < self.next_ready) {
            // P10.1: a fork that lies behind goes first.
            match self.forks.iter().position(|fork| fork.block_number < self.next_ready) {
                Some(fork) => drop(self.forks.remove(fork)),
                None => drop(self.canonical.remove(0)),
            }
        }
        let hash = block.signed.preconf().raw_tx_list_hash;
        self.stored.remove(&hash); // it may have been let go of
        self.canonical.push(block);
        Ok(())
    }

    pub(super) fn fork(&mut self, block: Arc<Accepted>) {
        if !self.has(&block.hash) {
            self.forks.push(block);
        }
    }

    /// P9.3
    pub(super) fn move_tip(&mut self, tip: SyncTip) {
        let old = std::mem::replace(&mut self.tip, tip);
        let number = tip.block_number;
        let is = |hash: B256| tip.preconfirmation_hash.is_none_or(|of_tip| of_tip == hash);
        let still_links = match (self.canonical.first(), self.at(number)) {
            (None, _) => true,
            (_, Some(at)) => is(at.hash),
            (Some(first), None) if number + 1 < first.block_number => number >= old.block_number,
            (Some(first), None) => first.block_number == number + 1 && is(first.signed.preconf().parent_preconfirmation_hash),
        };
        let goes_back = tip.block_number < old.block_number;
        if !still_links || goes_back {
            // What still holds is told again, but for forks of blocks that are not there.
            self.unsure.extend(self.forks.drain(..).map(|fork| fork.block_number));
        }
        if !still_links {
            self.unsure.extend(self.canonical.drain(..).map(|block| block.block_number));
            self.next_ready = number + 1;
        } else if goes_back {
            self.next_ready = number + 1;
        } else {
            self.next_ready = self.next_ready.max(number + 1);
        }
    }

    pub(super) fn execute_again(&mut self, from: u64) {
        self.next_ready = from;
    }

    pub(super) fn stored(&mut self, hash: B256) {
        self.stored.insert(hash);
        self.ever_stored.insert(hash);
    }

    /// P5.5: in order, each once, and of the chain.
    pub(super) fn ready(&mut self, block: &Accepted, has_txlist: bool) -> Result<(), Disagreement> {
        let expected = self.at(self.next_ready).map(|next| (next.block_number, next.hash));
        if expected != Some((block.block_number, block.hash)) {
            return Err(differ("P5.5", ("ready", block.block_number, block.hash), expected));
        }
        if has_txlist == block.signed.preconf().raw_tx_list_hash.is_zero() {
            return Err(differ("P5.3", ("a txlist", has_txlist), block.signed.preconf().raw_tx_list_hash));
        }
        self.next_ready += 1;
        Ok(())
    }

    /// The chain as the machine shows it.
    pub(super) fn compare(&self, status: &Status) -> Result<(), Disagreement> {
        let head = self.head().map(|head| (head.block_number, head.hash));
        if (status.head, status.sync_tip) != (head, self.tip) {
            return Err(differ("C9", (status.head, status.sync_tip), (head, self.tip)));
        }
        if status.ready_to + 1 != self.next_ready {
            return Err(differ("P5.5", ("ready to", status.ready_to), ("the next is", self.next_ready)));
        }
        // A block whose txlist came while it waited for nothing else must not wait any longer.
        if let Some(next) = self.at(self.next_ready) {
            let txlist = next.signed.preconf().raw_tx_list_hash;
            if txlist.is_zero() || self.stored.contains(&txlist) {
                return Err(differ("P5.5", ("not ready", next.block_number), "its txlist is here"));
            }
        }
        Ok(())
    }
}
