//! Which commitments hold, how do they link, and what may be executed (P5.5, P9.3)?
//!
//! [`LinkedChain`] is the table of what was accepted; [`ChainState`](crate::chain::ChainState) decides what enters it.
//!
//! Invariants: `canonical` is gapless, each linking to the one before. The sync tip is one of its numbers, or lies before the first: right
//! before it, or with blocks between that were ready and have fallen off. `by_hash` holds exactly the canonical commitments and the forks;
//! `by_position` and `ended` name some of them. `next_ready` lies between the tip's successor and the head's.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256};

use crate::accepted::Accepted;
use crate::chain::pending::PendingCommitment;
use crate::error::Refusal;
use crate::evidence::Fault;
use crate::tip::SyncTip;
use crate::validate::v1::parent::{ParentRule, ParentRules};
use crate::wire::v1::SignedCommitment;

/// Most forks kept beside the canonical chain. Ours: some windows' worth; a fork takes an elected signer to make.
pub(crate) const MAX_FORKS: usize = 256;

/// The linked commitments.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(try_from = "Written"))]
pub(crate) struct LinkedChain {
    tip: SyncTip,
    by_hash: BTreeMap<B256, Arc<Accepted>>,
    canonical: BTreeMap<u64, Arc<Accepted>>,
    /// Valid commitments beside the canonical chain, by number and hash.
    forks: BTreeMap<(u64, B256), Arc<Accepted>>,
    /// The first commitment for a block number of a window by a signer (C8), of those kept.
    by_position: BTreeMap<(u64, u64, Address), B256>,
    /// The block with which a signer ended its window (C8), of those kept.
    ended: BTreeMap<(u64, Address), (u64, B256)>,
    next_ready: u64,
    max: usize,
}

/// How it is written down: each commitment once.
#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
struct Written {
    tip: SyncTip,
    canonical: Vec<Arc<Accepted>>,
    forks: Vec<Arc<Accepted>>,
    by_position: BTreeMap<(u64, u64, Address), B256>,
    ended: BTreeMap<(u64, Address), (u64, B256)>,
    next_ready: u64,
    max: usize,
}

#[cfg(feature = "serde")]
impl serde::Serialize for LinkedChain {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { tip, canonical, forks, by_position, ended, next_ready, max, by_hash: _ } = self;
        Written {
            tip: *tip,
            canonical: canonical.values().cloned().collect(),
            forks: forks.values().cloned().collect(),
            by_position: by_position.clone(),
            ended: ended.clone(),
            next_ready: *next_ready,
            max: *max,
        }
        .serialize(to)
    }
}

#[cfg(feature = "serde")]
impl TryFrom<Written> for LinkedChain {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let Written { tip, canonical, forks, by_position, ended, next_ready, max } = written;
        if canonical.windows(2).any(|pair| pair[0].block_number.checked_add(1) != Some(pair[1].block_number)) {
            return Err("a chain with a gap");
        }
        let by_hash: BTreeMap<B256, Arc<Accepted>> = canonical.iter().chain(&forks).map(|one| (one.hash, one.clone())).collect();
        if by_position.values().chain(ended.values().map(|(_, hash)| hash)).any(|hash| !by_hash.contains_key(hash)) {
            return Err("a position of a commitment that is not kept");
        }
        let canonical = canonical.into_iter().map(|one| (one.block_number, one)).collect();
        let forks = forks.into_iter().map(|one| ((one.block_number, one.hash), one)).collect();
        Ok(Self { tip, by_hash, canonical, forks, by_position, ended, next_ready, max })
    }
}

/// How a commitment stands to what is there (C9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Linkage {
    /// It extends the canonical chain.
    Extends,
    /// Its parent is known, but it lies beside the canonical chain.
    Forks,
    /// Its parent is not known.
    MissingParent,
}

/// What a move of the sync tip (P9.3), or a schedule that settled otherwise (C7), did.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// Commitments that no longer link, lowest first.
    pub(crate) dropped: Vec<Arc<Accepted>>,
    /// First block that must be executed (again).
    pub(crate) execute_from: Option<u64>,
}

impl LinkedChain {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            tip: SyncTip::default(),
            by_hash: BTreeMap::new(),
            canonical: BTreeMap::new(),
            forks: BTreeMap::new(),
            by_position: BTreeMap::new(),
            ended: BTreeMap::new(),
            next_ready: 1,
            max,
        }
    }

    pub(crate) fn tip(&self) -> SyncTip {
        self.tip
    }

    /// The highest linked commitment above the sync tip.
    pub(crate) fn head(&self) -> Option<&Arc<Accepted>> {
        self.canonical.last_key_value().map(|(_, head)| head).filter(|head| head.block_number > self.tip.block_number)
    }

    /// Its number, or the sync tip's.
    pub(crate) fn head_number(&self) -> u64 {
        self.head().map_or(self.tip.block_number, |head| head.block_number)
    }

    /// The first number that is not ready yet.
    pub(crate) fn next_ready(&self) -> u64 {
        self.next_ready
    }

    pub(crate) fn get(&self, hash: &B256) -> Option<&Arc<Accepted>> {
        self.by_hash.get(hash)
    }

    pub(crate) fn at(&self, number: u64) -> Option<&Arc<Accepted>> {
        self.canonical.get(&number)
    }

    /// Canonical commitments from a number on, without a gap; none when the first is not here (P6.2).
    pub(crate) fn from(&self, start: u64) -> impl Iterator<Item = &Arc<Accepted>> {
        let known = self.canonical.contains_key(&start);
        self.canonical.range(start..).take_while(move |_| known).map(|(_, commitment)| commitment)
    }

    /// Canonical commitments from the head down.
    pub(crate) fn canonical_from_head(&self) -> impl Iterator<Item = &Arc<Accepted>> {
        self.canonical.values().rev()
    }

    /// Valid commitments beside the canonical chain, lowest first.
    pub(crate) fn forks(&self) -> impl Iterator<Item = &Arc<Accepted>> {
        self.forks.values()
    }

    /// Commitments kept, forks included.
    pub(crate) fn len(&self) -> usize {
        self.by_hash.len()
    }

    /// C4: the highest number that can no longer be taken: what is settled, or fell off behind what was executed.
    pub(crate) fn floor(&self) -> u64 {
        let first = self.canonical.first_key_value().map_or(0, |(&first, _)| first.saturating_sub(1));
        self.tip.block_number.max(first)
    }

    /// C8, C9: what its signer has said before that contradicts it, and how.
    pub(crate) fn contradicted(&self, pending: &PendingCommitment, signer: Address) -> Option<(Fault, &Arc<Accepted>)> {
        let PendingCommitment { number, window_end, hash, .. } = *pending;
        let said = |hash: &B256| self.by_hash.get(hash);
        if let Some(first) = self.by_position.get(&(window_end, number, signer)).filter(|first| **first != hash).and_then(said) {
            return Some((Fault::Equivocation, first)); // C8
        }
        if let Some((_, eop)) = self.ended.get(&(window_end, signer)).filter(|(eop, _)| number > *eop) {
            return said(eop).map(|eop| (Fault::AfterEop, eop)); // C8
        }
        // C9. A parent that is canonical, or that L1 settled, is no lie, whatever its signer said before.
        let (before_number, parent) = (number.checked_sub(1)?, pending.parent());
        let before = self.by_position.get(&(window_end, before_number, signer)).filter(|before| **before != parent).and_then(said)?;
        let is_canonical = self.at(before_number).is_some_and(|at| at.hash == parent);
        let is_settled = match before_number.cmp(&self.tip.block_number) {
            Ordering::Less => true, // what was settled there may be what it names
            Ordering::Equal => self.tip.preconfirmation_hash.is_none_or(|settled| settled == parent),
            Ordering::Greater => false,
        };
        (!is_canonical && !is_settled).then_some((Fault::BrokenLink, before))
    }

    /// Is another commitment than this one kept at its number of its window, or one that ended the window before it, so that both may be one
    /// signer's (C8)?
    pub(crate) fn has_rival(&self, (window_end, number): (u64, u64), hash: &B256) -> bool {
        let of_position = self.by_position.range((window_end, number, Address::ZERO)..=(window_end, number, Address::repeat_byte(0xff)));
        let of_window = (window_end, Address::ZERO)..=(window_end, Address::repeat_byte(0xff));
        let is_after_eop = self.ended.range(of_window).any(|(_, (eop, _))| number > *eop);
        is_after_eop || of_position.into_iter().any(|(_, kept)| kept != hash)
    }

    /// C9: finds the parent and asks the parent rules.
    pub(crate) fn linkage(&self, signed: &SignedCommitment, number: u64, rules: &ParentRules) -> Result<Linkage, Refusal> {
        let preconf = signed.preconf();
        let parent_hash = preconf.parent_preconfirmation_hash;
        let canonical_parent = if let Some(parent) = self.by_hash.get(&parent_hash) {
            rules.check(parent.signed.preconf(), preconf).map_err(Refusal::ParentRule)?;
            self.at(parent.block_number).is_some_and(|at| at.hash == parent_hash)
        } else if self.tip.preconfirmation_hash == Some(parent_hash) {
            if Some(number) != self.tip.block_number.checked_add(1) {
                return Err(Refusal::ParentRule(ParentRule::BlockNumber));
            }
            true
        } else if self.tip.preconfirmation_hash.is_none() && Some(number) == self.tip.block_number.checked_add(1) {
            // Where the tip's hash is known from the chain itself, only that parent links.
            if self.at(self.tip.block_number).is_some() {
                return Ok(Linkage::MissingParent);
            }
            true
        } else {
            return Ok(Linkage::MissingParent);
        };
        Ok(if canonical_parent && self.at(number).is_none() { Linkage::Extends } else { Linkage::Forks })
    }

    /// Makes room for one more commitment: forks that lie behind go first, then the lowest blocks that were ready already.
    ///
    /// Returns what fell off; `NoRoom` when everything kept is still needed.
    pub(crate) fn make_room(&mut self) -> Result<Vec<Arc<Accepted>>, Refusal> {
        let mut fallen = Vec::new();
        while self.len() >= self.max {
            let behind = self.forks.first_key_value().map(|(&key, _)| key).filter(|key| key.0 < self.next_ready);
            let commitment = match behind {
                Some(key) => self.forks.remove(&key),
                None => match self.canonical.first_key_value() {
                    // The head stays: it is what everything new links to.
                    Some((&first, _)) if first < self.next_ready && self.canonical.len() > 1 => self.canonical.remove(&first),
                    _ => return Err(Refusal::NoRoom),
                },
            };
            if let Some(commitment) = commitment {
                self.unindex(&commitment);
                fallen.push(commitment);
            }
        }
        Ok(fallen)
    }

    /// Puts a commitment on top. The caller has asked [`LinkedChain::linkage`] and made room.
    pub(crate) fn extend(&mut self, commitment: Arc<Accepted>) {
        self.index(&commitment);
        self.canonical.insert(commitment.block_number, commitment);
    }

    /// Puts a fork beside the canonical chain; the oldest gives way when there are too many. Returns what fell off.
    pub(crate) fn insert_fork(&mut self, commitment: Arc<Accepted>) -> Option<Arc<Accepted>> {
        let fallen = if self.forks.len() >= MAX_FORKS { self.forks.pop_first().map(|(_, fork)| fork) } else { None };
        if let Some(fork) = &fallen {
            self.unindex(fork);
        }
        self.index(&commitment);
        self.forks.insert((commitment.block_number, commitment.hash), commitment);
        fallen
    }

    /// The next block if `has` says that its txlist is here; then the one after it is next (P5.5).
    pub(crate) fn advance_ready(&mut self, has: impl FnOnce(&B256) -> bool) -> Option<Arc<Accepted>> {
        let next = self.canonical.get(&self.next_ready)?;
        let preconf = next.signed.preconf();
        if preconf.has_txlist() && !has(&preconf.raw_tx_list_hash) {
            return None;
        }
        let behind = self.next_ready.checked_add(1)?; // the greatest number of all has none behind it, and is never ready
        let next = next.clone();
        self.next_ready = behind;
        Some(next)
    }

    /// Makes a block that was ready the next one again, or the lowest one still kept above it. Says which.
    pub(crate) fn rewind_ready(&mut self, number: u64) -> u64 {
        let lowest = self.floor().saturating_add(1);
        self.next_ready = number.max(lowest).min(self.next_ready);
        self.next_ready
    }

    /// Takes back what was stored before a restart, lowest first, unless there is a chain or a tip already. Where the numbers have a gap, or a
    /// commitment names another parent, one run ends and the next begins: the one that holds the sync tip or follows it is taken, if there is one.
    pub(crate) fn restore(&mut self, stored: Vec<Arc<Accepted>>, tip: Option<SyncTip>) -> Vec<Arc<Accepted>> {
        if !self.by_hash.is_empty() || self.tip != SyncTip::default() {
            return Vec::new(); // this life knows better
        }
        let tip = tip.unwrap_or(self.tip);
        let follows = |before: &Accepted, after: &Accepted| {
            Some(after.block_number) == before.block_number.checked_add(1)
                && after.signed.preconf().parent_preconfirmation_hash == before.hash
        };
        let mut runs: Vec<Vec<Arc<Accepted>>> = Vec::new();
        for accepted in stored {
            match runs.last_mut() {
                Some(run) if run.last().is_some_and(|last| follows(last, &accepted)) => run.push(accepted),
                Some(_) | None => runs.push(vec![accepted]),
            }
        }
        let holds_tip = |run: &Vec<Arc<Accepted>>| {
            let at = run.iter().find(|accepted| accepted.block_number == tip.block_number);
            let first = &run[0];
            match (at, tip.preconfirmation_hash) {
                (Some(at), hash) => hash.is_none_or(|hash| hash == at.hash),
                (None, hash) => {
                    Some(first.block_number) == tip.block_number.checked_add(1)
                        && hash.is_none_or(|hash| hash == first.signed.preconf().parent_preconfirmation_hash)
                }
            }
        };
        let Some(index) = runs.iter().position(holds_tip) else {
            self.tip = tip;
            self.next_ready = tip.block_number.saturating_add(1);
            return Vec::new(); // what is missing between is not skipped (P5.5)
        };
        let mut run = runs.swap_remove(index);
        // Where there is no room for all, blocks that are settled go first, and then those that nothing waits for yet.
        let settled = run.iter().take_while(|accepted| accepted.block_number < tip.block_number).count();
        run.drain(..settled.min(run.len().saturating_sub(self.max)));
        run.truncate(self.max);
        self.tip = tip;
        let first = run.first().map_or(0, |first| first.block_number);
        self.next_ready = tip.block_number.saturating_add(1).max(first);
        for accepted in &run {
            self.extend(accepted.clone());
        }
        run
    }

    /// P9.3: moves the sync tip and links anew what still does.
    pub(crate) fn move_tip(&mut self, tip: SyncTip) -> Moved {
        let old = std::mem::replace(&mut self.tip, tip);
        let mut moved = Moved::default();
        if self.links_to_tip(old) {
            if tip.block_number < old.block_number {
                moved.execute_from = Some(tip.block_number.saturating_add(1));
                self.next_ready = tip.block_number.saturating_add(1);
            } else {
                self.next_ready = self.next_ready.max(tip.block_number.saturating_add(1));
            }
        } else {
            let was_ready = self.next_ready;
            moved.dropped = std::mem::take(&mut self.canonical).into_values().collect();
            for commitment in &moved.dropped {
                self.unindex(commitment);
            }
            self.next_ready = tip.block_number.saturating_add(1);
            if was_ready > self.next_ready {
                moved.execute_from = Some(self.next_ready);
            }
        }
        moved
    }

    /// C7: takes out the lowest commitment above the sync tip of which something is wrong, and all above it. If there is a wrong one, forks
    /// included, the forks are no longer certain either.
    pub(crate) fn drop_wrong(&mut self, is_wrong: impl Fn(&Accepted) -> bool) -> Option<Moved> {
        let above = self.canonical.range(self.tip.block_number.saturating_add(1)..);
        let first = above.map(|(number, accepted)| (*number, accepted)).find(|(_, accepted)| is_wrong(accepted)).map(|(number, _)| number);
        let Some(first) = first else { return self.forks().any(|fork| is_wrong(fork)).then(Moved::default) };
        let dropped: Vec<_> = self.canonical.split_off(&first).into_values().collect();
        for commitment in &dropped {
            self.unindex(commitment);
        }
        // Where all that is left has fallen off, it is all fetched again: what builds on it must find it.
        let from = if self.canonical.is_empty() { self.tip.block_number.saturating_add(1) } else { first };
        let execute_from = (self.next_ready > from).then_some(from);
        self.next_ready = self.next_ready.min(from);
        Some(Moved { dropped, execute_from })
    }

    /// C6a: was this window ended by a block of the canonical chain?
    pub(crate) fn is_ended(&self, window_end: u64, preconfer: Address) -> bool {
        let is_canonical = |(number, hash): &(u64, B256)| self.at(*number).is_some_and(|at| at.hash == *hash);
        self.ended.get(&(window_end, preconfer)).is_some_and(is_canonical)
    }

    /// Takes the forks and hands them out, so that the caller can judge them again after the chain has changed under them.
    pub(crate) fn take_forks(&mut self) -> Vec<Arc<Accepted>> {
        let forks: Vec<_> = std::mem::take(&mut self.forks).into_values().collect();
        for fork in &forks {
            self.unindex(fork);
        }
        forks
    }

    fn links_to_tip(&self, old: SyncTip) -> bool {
        let Some((&first, lowest)) = self.canonical.first_key_value() else { return true };
        let number = self.tip.block_number;
        if let Some(at) = self.at(number) {
            return self.tip.preconfirmation_hash.is_none_or(|hash| hash == at.hash);
        }
        if number.saturating_add(1) < first {
            // What stood between has fallen off: it was linked and ready, so a tip that rises into it changes nothing above.
            return number >= old.block_number;
        }
        let parent = lowest.signed.preconf().parent_preconfirmation_hash;
        Some(first) == number.checked_add(1) && self.tip.preconfirmation_hash.is_none_or(|hash| hash == parent)
    }

    fn index(&mut self, commitment: &Arc<Accepted>) {
        let Accepted { hash, signer, block_number, window_end, .. } = **commitment;
        // P5.4a: the first one stays, here and in every other table that has one entry for a position.
        self.by_position.entry((window_end, block_number, signer)).or_insert(hash);
        if commitment.signed.preconf().eop {
            self.ended.entry((window_end, signer)).or_insert((block_number, hash));
        }
        self.by_hash.insert(hash, commitment.clone());
    }

    fn unindex(&mut self, commitment: &Accepted) {
        let Accepted { hash, signer, block_number, window_end, .. } = *commitment;
        self.by_hash.remove(&hash);
        if self.by_position.get(&(window_end, block_number, signer)) == Some(&hash) {
            self.by_position.remove(&(window_end, block_number, signer));
        }
        if commitment.signed.preconf().eop && self.ended.get(&(window_end, signer)) == Some(&(block_number, hash)) {
            self.ended.remove(&(window_end, signer));
        }
    }
}
