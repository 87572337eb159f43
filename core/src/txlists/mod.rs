//! What becomes of a txlist (T1–T6), and which are missing (P5.6)?
//!
//! ```text
//! arrived (T1-T3) --named--> Hashing --hash_found (T4)--> stored by right of a commitment | refused
//!        \--not named (T5)--> Orphans --named--^
//!                                 \--verdict_timeout--> ignored --orphan_for--> gone
//! add_reference --not here--> Fetches --next_wanted--> the machine asks a peer --answered--> Hashing
//! ```
//!
//! [`TxLists`] owns the lists by hash and who refers to them (`store`), those that wait to be named (`orphans`), those that are being hashed
//! (`hashing`), and the search for those that are missing (`fetches`). It knows nothing of the chain, of peers' conduct, or of requests: the
//! machine tells it which commitments came and went and how far the chain is, asks for it what [`TxLists::next_wanted`] names, and settles
//! each [`TxListRuling`] and what [`TxLists::take_refused`] gives.
//!
//! Invariants: a list that a kept commitment of the canonical chain refers to, that is not ready yet, is stored, or there is a fetch for it.
//! An orphan has its timer, or its hash is named and one of its candidates is being hashed.

pub(crate) mod fetches;
pub(crate) mod hashing;
pub(crate) mod orphans;
pub(crate) mod store;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use alloy_primitives::B256;
use bytes::Bytes;

use crate::accepted::Accepted;
use crate::config::Config;
use crate::cost::entry;
use crate::cx::Cx;
use crate::error::Refusal;
use crate::id::{CommandId, HeldId, JobId, MessageId, PeerId};
use crate::job::Work;
use crate::origin::Origin;
use crate::peer::subnet::Cidr;
use crate::request::wanted::Wanted;
use crate::time::{Time, Timer};
use crate::txlists::fetches::Fetches;
use crate::txlists::hashing::{Hashing, MAX_HASHING_BYTES, MAX_HASHING_PER_PEER, Unhashed};
use crate::txlists::orphans::{Orphan, Orphans};
use crate::txlists::store::TxListStore;
use crate::validate::v1::txlist;
use crate::wire::v1::{RawTxList, TXLIST_HEADER_BYTES};

/// An entry of what is being hashed.
const HASHING: usize = entry::<JobId, [u64; 24]>();

/// How far the chain is, as far as txlists must know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heights {
    /// The highest linked block.
    pub(crate) head: u64,
    /// The first block that is not ready yet: lists of those before it are not needed any more.
    pub(crate) next_ready: u64,
}

/// What a txlist came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TxListConclusion {
    /// It is stored now.
    Stored,
    /// Its hash is right, and it is here already, or nothing gives it a right to be.
    NotStored,
    /// It is refused.
    Refused(Refusal),
}

/// What has been found of one txlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TxListRuling {
    pub(crate) origin: Origin,
    pub(crate) hash: B256,
    pub(crate) txlist: Bytes,
    pub(crate) conclusion: TxListConclusion,
    /// The message to publish, where it is our own.
    pub(crate) message: Option<Bytes>,
    /// When it came, if nothing named it then: it was taken off its peer's quota (T3).
    pub(crate) unnamed_since: Option<Time>,
}

/// A gossiped list that is refused without having been hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RefusedOrphan {
    pub(crate) peer: PeerId,
    pub(crate) message: MessageId,
    pub(crate) refusal: Refusal,
}

/// The txlists of a node: here, being hashed, or missing.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct TxLists {
    store: TxListStore,
    orphans: Orphans,
    /// Of the orphans: those whose verdict is given in this step.
    #[cfg_attr(feature = "serde", serde(skip))]
    refused: Vec<RefusedOrphan>,
    hashing: Hashing,
    fetches: Fetches,
    /// Our own txlists whose commitments may still come, and the number under which each is kept until then.
    pinned: BTreeMap<B256, u64>,
}

impl TxLists {
    /// What a snapshot names and does not hold.
    #[cfg(feature = "serde")]
    pub(crate) fn named(&self) -> impl Iterator<Item = (B256, &Bytes)> {
        self.store.named()
    }

    /// Gives the lists of a snapshot their bytes back, or names one that is missing.
    #[cfg(feature = "serde")]
    pub(crate) fn fill(&mut self, find: impl FnMut(&B256) -> Option<Bytes>) -> Result<(), B256> {
        self.store.fill(find)
    }

    pub(crate) fn new(config: &Config) -> Self {
        Self {
            store: TxListStore::new(config.max_txlist_bytes),
            orphans: Orphans::new(config),
            refused: Vec::new(),
            hashing: Hashing::default(),
            fetches: Fetches::default(),
            pinned: BTreeMap::new(),
        }
    }

    /// T1–T3 and T5 of a gossiped txlist, before any byte is hashed. `admit` takes the length of one that nothing names off the peer's quota
    /// and says whether it was within. `Ok` means that the verdict comes later.
    pub(crate) fn arrived(
        &mut self,
        cx: &mut Cx,
        (peer, message, neighbourhood): (PeerId, MessageId, Option<Cidr>),
        data: &Bytes,
        admit: impl FnOnce(usize) -> bool,
    ) -> Result<(), Refusal> {
        let RawTxList { hash, txlist } = txlist::shape(data, cx.config.txlist_cap)?; // T1
        if self.store.has(&hash) {
            return Err(Refusal::Duplicate); // T2
        }
        if self.store.is_referenced(&hash) {
            self.hashing.check_room(&peer, txlist.len())?;
            self.hash(cx, Unhashed { hash, txlist, origin: Origin::Gossip { peer, message: Some(message) } });
            return Ok(());
        }
        if !admit(txlist.len()) {
            return Err(Refusal::OverQuota); // T3
        }
        let id = cx.mint.held.next(HeldId);
        cx.timers.set(Timer::Orphan(id), cx.now.mono.after(cx.config.verdict_timeout)); // T5
        let orphan = Orphan::new(hash, txlist, (peer, message), cx.now.mono);
        let mut is_here = true;
        for (loser, orphan) in self.orphans.insert(id, orphan, neighbourhood) {
            cx.timers.cancel(Timer::Orphan(loser));
            if loser == id {
                is_here = false;
                continue;
            }
            self.refuse_orphan(&orphan, Refusal::NoRoom);
            if orphan.is_hashing() {
                self.hash_next(cx, &orphan.hash); // another candidate is next
            }
        }
        if is_here { Ok(()) } else { Err(Refusal::NoRoom) }
    }

    /// T5: an orphan has had its time for a verdict, or to be kept.
    pub(crate) fn orphan_due(&mut self, cx: &mut Cx, id: HeldId) {
        let Some(orphan) = self.orphans.get(id) else { return };
        let (peer, until) = (orphan.peer, orphan.arrived.after(cx.config.orphan_for));
        if let Some(message) = self.orphans.take_message(id) {
            self.refused.push(RefusedOrphan { peer, message, refusal: Refusal::Unnamed });
        }
        if until > cx.now.mono {
            cx.timers.set(Timer::Orphan(id), until);
        } else {
            self.orphans.remove(id);
        }
    }

    /// T4, T5: hashes the next candidate for a hash that is named; where it is not, or not any more, or where the list is here, nobody waits.
    fn hash_next(&mut self, cx: &mut Cx, hash: &B256) {
        let refusal = match (self.store.has(hash), self.store.is_referenced(hash)) {
            (true, _) => Refusal::Duplicate, // T2
            (false, false) => Refusal::Unnamed,
            (false, true) => {
                let candidates: Vec<_> = self.orphans.of_hash(hash).collect();
                candidates.iter().for_each(|id| cx.timers.cancel(Timer::Orphan(*id)));
                let next = candidates.first().filter(|_| !self.orphans.is_hashing(hash));
                if let Some((id, txlist)) = next.and_then(|id| Some((*id, self.orphans.get(*id)?.txlist.clone()))) {
                    self.orphans.start(id, cx.start(Work::Hash { txlist }));
                }
                return;
            }
        };
        for id in self.orphans.of_hash(hash).collect::<Vec<_>>() {
            cx.timers.cancel(Timer::Orphan(id));
            if let Some(orphan) = self.orphans.remove(id) {
                self.refuse_orphan(&orphan, refusal);
            }
        }
    }

    fn refuse_orphan(&mut self, orphan: &Orphan, refusal: Refusal) {
        let Orphan { peer, message, .. } = *orphan;
        self.refused.extend(message.map(|message| RefusedOrphan { peer, message, refusal }));
    }

    /// The orphans that have been refused since this was asked last.
    pub(crate) fn take_refused(&mut self) -> Vec<RefusedOrphan> {
        std::mem::take(&mut self.refused)
    }

    /// A txlist that a peer answered with.
    pub(crate) fn answered(&mut self, cx: &mut Cx, origin: Origin, list: RawTxList) {
        self.hash(cx, Unhashed { hash: list.hash, txlist: list.txlist, origin });
    }

    /// A txlist of our own, whose hash nobody has said yet (P5.7).
    pub(crate) fn hash_own(&mut self, cx: &mut Cx, command: CommandId, txlist: Bytes) {
        self.hash(cx, Unhashed { hash: B256::ZERO, txlist, origin: Origin::Own { command, is_recorded: false } });
    }

    fn hash(&mut self, cx: &mut Cx, unhashed: Unhashed) {
        let job = cx.start(Work::Hash { txlist: unhashed.txlist.clone() });
        self.hashing.insert(job, unhashed);
    }

    /// A list whose hash was checked before, where a commitment names it: from storage, or our own, whose record has been written meanwhile.
    /// Is it here by that?
    pub(crate) fn insert_checked(&mut self, cx: &mut Cx, hash: B256, txlist: &Bytes, next_ready: u64) -> bool {
        // Without room it is fetched again, like any other.
        self.store.is_referenced(&hash) && !self.store.has(&hash) && self.insert(cx, hash, txlist, next_ready).is_ok()
    }

    /// A hash came back (T4). `None` for a job that is not ours.
    pub(crate) fn hash_found(&mut self, cx: &mut Cx, job: JobId, found: B256, heights: Heights) -> Option<TxListRuling> {
        let (Unhashed { hash, txlist, origin }, unnamed_since) = match self.orphans.finish(job) {
            Some(Orphan { hash, txlist, peer, message, arrived, .. }) => {
                (Unhashed { hash, txlist, origin: Origin::Gossip { peer, message } }, Some(arrived))
            }
            None => (self.hashing.remove(job)?, None),
        };
        let (hash, txlist, message, stored) = match origin {
            Origin::Gossip { .. } => {
                let stored = if found == hash { self.store_gossiped(cx, hash, &txlist, heights) } else { Err(Refusal::WrongHash) }; // T4
                if unnamed_since.is_some() {
                    self.hash_next(cx, &hash);
                }
                (hash, txlist, None, stored)
            }
            Origin::Response { command, .. } => {
                let is_wanted = self.store.is_referenced(&hash) && !self.store.has(&hash);
                let stored = match found == hash {
                    false => Err(Refusal::WrongHash), // P6.4
                    // The answer is a good one, whether there is room for it here or not.
                    true if is_wanted => Ok(self.insert(cx, hash, &txlist, heights.next_ready).unwrap_or(TxListConclusion::NotStored)),
                    true => Ok(TxListConclusion::NotStored),
                };
                if command.is_none() && (stored.is_err() || is_wanted && !self.store.has(&hash)) {
                    self.fetches.failed(&hash);
                }
                (hash, txlist, None, stored)
            }
            Origin::Own { .. } | Origin::Kept => {
                let message = RawTxList { hash: found, txlist }.encode();
                let txlist = message.slice(TXLIST_HEADER_BYTES..); // the bytes that are published and those that are stored are the same ones
                let stored = self.store_own(cx, found, &txlist, heights);
                (found, txlist, Some(message), stored)
            }
        };
        Some(TxListRuling { origin, hash, txlist, conclusion: stored.unwrap_or_else(TxListConclusion::Refused), message, unnamed_since })
    }

    fn store_gossiped(&mut self, cx: &mut Cx, hash: B256, txlist: &Bytes, heights: Heights) -> Result<TxListConclusion, Refusal> {
        if self.store.has(&hash) {
            return Err(Refusal::Duplicate); // T2: it came another way meanwhile
        }
        if !self.store.is_referenced(&hash) {
            return Err(Refusal::Unnamed); // T5: what named it has fallen off meanwhile
        }
        self.insert(cx, hash, txlist, heights.next_ready)
    }

    /// P5.7: our own is stored like any other. Where its commitment is still to come, it has the right of a referenced one until then, for as
    /// long as an orphan has.
    fn store_own(&mut self, cx: &mut Cx, hash: B256, txlist: &Bytes, heights: Heights) -> Result<TxListConclusion, Refusal> {
        if self.store.has(&hash) {
            return Ok(TxListConclusion::NotStored);
        }
        if self.store.is_referenced(&hash) {
            return self.insert(cx, hash, txlist, heights.next_ready);
        }
        let number = heights.head.saturating_add(1);
        self.store.add_reference(hash, number);
        self.insert(cx, hash, txlist, heights.next_ready).inspect_err(|_| self.store.remove_reference(&hash, number))?;
        self.pinned.insert(hash, number);
        cx.timers.set(Timer::OwnTxList(hash), cx.now.mono.after(cx.config.orphan_for));
        Ok(TxListConclusion::Stored)
    }

    /// Stores a list that a commitment refers to.
    fn insert(&mut self, cx: &mut Cx, hash: B256, txlist: &Bytes, next_ready: u64) -> Result<TxListConclusion, Refusal> {
        let displaced = self.store.insert(hash, txlist.clone(), next_ready)?;
        self.fetches.end(cx, &hash);
        for (number, displaced) in displaced {
            self.want(cx, displaced, number, None); // it gave way to an earlier block's list, and is needed after it
        }
        self.hash_next(cx, &hash); // nobody waits for it any more
        Ok(TxListConclusion::Stored)
    }

    /// One of our own has waited for its commitment for long enough; it lives on if that has come.
    pub(crate) fn own_over(&mut self, hash: &B256) {
        if let Some(number) = self.pinned.remove(hash) {
            self.store.remove_reference(hash, number);
        }
    }

    /// A commitment is kept now. The list that it refers to has a right to be here: what has waited for that is hashed (T5). It is looked for
    /// where the commitment is to be executed, of who sent it first.
    pub(crate) fn add_reference(&mut self, cx: &mut Cx, accepted: &Accepted, sender: Option<PeerId>, is_executed: bool) {
        let preconf = accepted.signed.preconf();
        if !preconf.has_txlist() {
            return;
        }
        let hash = preconf.raw_tx_list_hash;
        self.store.add_reference(hash, accepted.block_number);
        if is_executed {
            self.want(cx, hash, accepted.block_number, sender);
        }
        self.hash_next(cx, &hash);
    }

    /// A commitment is kept no longer.
    pub(crate) fn remove_reference(&mut self, cx: &mut Cx, fallen: &Accepted) {
        let preconf = fallen.signed.preconf();
        if preconf.has_txlist() {
            self.store.remove_reference(&preconf.raw_tx_list_hash, fallen.block_number);
            if !self.store.is_referenced(&preconf.raw_tx_list_hash) {
                self.fetches.end(cx, &preconf.raw_tx_list_hash);
            }
        }
    }

    /// Has a list looked for, unless it is here.
    fn want(&mut self, cx: &mut Cx, hash: B256, number: u64, sender: Option<PeerId>) {
        if !self.store.has(&hash) {
            self.fetches.begin(cx, hash, number, sender);
        }
    }

    /// A commitment that was ready is to be executed again, and needs its list again.
    pub(crate) fn want_again(&mut self, cx: &mut Cx, accepted: &Accepted) {
        let preconf = accepted.signed.preconf();
        if preconf.has_txlist() {
            self.want(cx, preconf.raw_tx_list_hash, accepted.block_number, None);
        }
    }

    /// What lies before this block needs no execution, and so no list.
    pub(crate) fn end_fetches_below(&mut self, cx: &mut Cx, next_ready: u64) {
        let store = &self.store;
        self.fetches.end_below(cx, next_ready, |hash| store.last_reference(hash));
    }

    /// P5.6: missing for long enough, or the pause behind the last try is over. Says whether somebody should be asked now.
    pub(crate) fn fetch_due(&mut self, hash: &B256) -> bool {
        self.fetches.became_due(hash)
    }

    /// A peer that was asked does not have it, or did not answer. Says whether somebody else should be asked now.
    pub(crate) fn fetch_failed(&mut self, hash: &B256) -> bool {
        self.fetches.failed(hash)
    }

    /// What should be asked next, and of whom. The same until [`TxLists::asked`] or [`TxLists::nobody_is_left`] says what came of it.
    pub(crate) fn next_wanted(&mut self, cx: &mut Cx) -> Option<Wanted> {
        self.fetches.next_wanted(cx)
    }

    /// This peer was asked for it.
    pub(crate) fn asked(&mut self, cx: &mut Cx, hash: &B256, peer: PeerId) {
        self.fetches.asked(cx, hash, peer);
    }

    /// All who could be asked for it were.
    pub(crate) fn nobody_is_left(&mut self, cx: &mut Cx, hash: &B256) {
        self.fetches.nobody_is_left(cx, hash);
    }

    /// A list that is here.
    pub(crate) fn get(&self, hash: &B256) -> Option<&Bytes> {
        self.store.get(hash)
    }

    /// Is it here?
    pub(crate) fn has(&self, hash: &B256) -> bool {
        self.store.has(hash)
    }

    /// Bytes of those that are here, and of those that wait to be named.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.store.bytes() + self.orphans.bytes()
    }

    /// How many are missing.
    pub(crate) fn missing(&self) -> usize {
        self.fetches.len()
    }

    /// Does one that is missing wait for somebody to ask?
    pub(crate) fn waits_for_peer(&self) -> bool {
        self.fetches.is_due()
    }

    /// How many are being hashed.
    pub(crate) fn hashing(&self) -> usize {
        self.hashing.len() + self.orphans.hashing()
    }

    /// How many of those are answers to requests of ours: their peers' work is done, ours is not.
    pub(crate) fn hashing_responses(&self) -> usize {
        self.hashing.responses()
    }

    /// The most bytes that it holds under a configuration, with so many peers. References and fetches count with their commitments.
    pub(crate) fn max_bytes(config: &Config, max_peers: usize) -> usize {
        config.max_txlist_bytes
            + config.max_orphan_bytes
            + MAX_HASHING_BYTES
            + config.max_requests * (config.txlist_cap + TXLIST_HEADER_BYTES)
            + (max_peers * MAX_HASHING_PER_PEER + config.max_requests + config.max_unsent) * HASHING
    }

    /// The bytes that it holds, counted likewise.
    pub(crate) fn bytes(&self) -> usize {
        self.kept_bytes() + self.hashing.bytes() + self.hashing.len() * HASHING
    }
}
