//! How is something of our own published (P5.7–P5.9b)?
//!
//! ```text
//! command --judged like a stranger's--> ToRecord --Persisted--> judged again, accepted --> Outbox
//!    \--records do not reach back--> Inquiry --/   \--PersistFailed--> told: not published
//! ```
//!
//! Under `Storage::Ephemeral` what is good is accepted at once; under `Storage::Absent` nothing is taken.
//!
//! Here is what passes between the chain that judges it, [`OwnCommitments`](committed::OwnCommitments) that know what our keys have said, the
//! host that records it, and the [`Outbox`](outbox::Outbox) that gets it out. A txlist says nothing for which anybody could be slashed: alone
//! it needs no record, and with its commitment it is in that one's.

pub(crate) mod committed;
pub(crate) mod inquiry;
pub(crate) mod outbox;
pub(crate) mod receipts;

use alloy_primitives::{Address, B256};
use bytes::Bytes;

use crate::accepted::Accepted;
use crate::config::Storage;
use crate::crypto;
use crate::error::{CommandError, PublishError, Refusal, UpdateError};
use crate::id::{CommandId, PeerId, PersistId};
use crate::input::StorageFailure;
use crate::machine::Core;
use crate::origin::Origin;
use crate::output::{Event, Outcome};
use crate::publish::committed::Settled;
use crate::publish::inquiry::Waiting;
use crate::publish::outbox::OwnBlock;
use crate::record::{OwnCommitment, Record};
use crate::schedule::Window;
use crate::tip::SyncTip;
use crate::validate::v1::{commitment, txlist};
use crate::wire::topics::Topic;
use crate::wire::v1::{RawTxList, SIGNED_COMMITMENT_BYTES, SignedCommitment, TXLIST_HEADER_BYTES};

impl Core {
    /// A commitment of our own (P5.7). What can be said at once is said at once; the rest when its signer is recovered.
    pub(crate) fn publish_commitment(&mut self, signed: SignedCommitment) -> Result<CommandId, CommandError> {
        self.check_own(&signed, 1, SIGNED_COMMITMENT_BYTES)?;
        let command = self.cx.mint.commands.upcoming(CommandId);
        self.receive_own(command, signed, false).map_err(PublishError::Refused)?;
        let command = self.cx.mint.commands.next(CommandId);
        self.outbox.judging(command, SIGNED_COMMITMENT_BYTES);
        Ok(command)
    }

    /// A txlist of our own (P5.7).
    pub(crate) fn publish_txlist(&mut self, txlist: Bytes) -> Result<CommandId, CommandError> {
        self.check_own_txlist(&txlist, 1, TXLIST_HEADER_BYTES + txlist.len())?;
        Ok(self.hash_own(txlist))
    }

    /// A commitment of our own and the txlist that it names, as one (P5.7).
    pub(crate) fn publish_block(&mut self, signed: Box<SignedCommitment>, txlist: Bytes) -> Result<CommandId, CommandError> {
        let len = SIGNED_COMMITMENT_BYTES + TXLIST_HEADER_BYTES + txlist.len();
        self.check_own_txlist(&txlist, 2, len)?;
        self.check_own(&signed, 2, len)?;
        let command = self.hash_own(txlist);
        self.outbox.insert_block(command, OwnBlock { signed, is_recorded: false, message: None });
        Ok(command)
    }

    fn check_own(&self, signed: &SignedCommitment, messages: usize, len: usize) -> Result<(), PublishError> {
        if self.cx.config.storage == Storage::Absent {
            return Err(PublishError::NoStorage);
        }
        self.outbox.check_room(&self.cx.config, messages, len)?;
        commitment::well_formed(signed, self.cx.config.slasher).map_err(PublishError::Refused)?;
        let preconf = signed.preconf();
        let (number, window_end) = (u64::try_from(preconf.block_number), u64::try_from(preconf.submission_window_end));
        if let (Ok(number), Ok(window_end)) = (number, window_end)
            && let Some(window) = self.schedule.containing(window_end)
            && self.own.contradicts(window.preconfer, (window_end, number), signed)
        {
            return Err(PublishError::Refused(Refusal::Equivocation)); // P5.9
        }
        Ok(())
    }

    fn check_own_txlist(&self, txlist: &Bytes, messages: usize, len: usize) -> Result<(), PublishError> {
        if self.cx.config.storage == Storage::Absent {
            return Err(PublishError::NoStorage);
        }
        self.outbox.check_room(&self.cx.config, messages, len)?;
        let list = RawTxList { hash: B256::ZERO, txlist: txlist.clone() };
        txlist::fits(&list, self.cx.config.txlist_cap).map_err(PublishError::Refused)
    }

    fn hash_own(&mut self, txlist: Bytes) -> CommandId {
        let command = self.cx.mint.commands.next(CommandId);
        self.outbox.judging(command, TXLIST_HEADER_BYTES + txlist.len());
        self.txlists.hash_own(&mut self.cx, command, txlist);
        command
    }

    /// A txlist of our own is hashed and stored. One that is published alone goes out; of a block, its commitment is judged now.
    pub(crate) fn own_txlist_hashed(&mut self, command: CommandId, hash: B256, message: Bytes) {
        let Some(block) = self.outbox.block_mut(command) else {
            self.outbox.judged(command);
            let now = self.cx.now.unix.secs();
            let window_end = self.schedule.containing(now).map_or(now, |window| window.end);
            self.outbox.send(&mut self.cx, command, Topic::TxLists, message, window_end);
            return;
        };
        block.message = Some(message);
        let (signed, is_recorded) = ((*block.signed).clone(), block.is_recorded);
        let received = match signed.preconf().raw_tx_list_hash == hash {
            false => Err(Refusal::WrongHash), // T4
            true => self.receive_own(command, signed, is_recorded),
        };
        if let Err(refusal) = received {
            self.own_refused(command, is_recorded, refusal);
        }
    }

    /// A commitment of our own is judged: now, or when peers have said what they hold of its window (P5.9b).
    fn receive_own(&mut self, command: CommandId, signed: SignedCommitment, is_recorded: bool) -> Result<(), Refusal> {
        let preconf = signed.preconf();
        let window = u64::try_from(preconf.submission_window_end).ok().and_then(|end| self.schedule.containing(end));
        let is_known = |window: &Window| {
            self.own.reach_back_to(window.start) || self.inquiry.is_done(window.end) || self.own.is_overridden(window.end)
        };
        let Some(window) = window.filter(|window| !is_known(window)) else {
            return self.receive_commitment(Origin::Own { command, is_recorded }, signed);
        };
        let number = u64::try_from(preconf.block_number).unwrap_or(u64::MAX);
        let start = number.min(self.chain.head_number().saturating_add(1));
        let waiting = Waiting { window_end: window.end, start, command, signed, is_recorded };
        self.inquiry.wait(&mut self.cx, waiting);
        self.dispatch_soon();
        Ok(())
    }

    /// A peer has said what it holds of our window, or will not.
    pub(crate) fn inquiry_answered(&mut self, peer: &PeerId, items: Option<usize>) {
        if self.inquiry.answered(peer, items) {
            self.end_inquiry();
        }
    }

    /// P5.9b: enough peers have answered, or had their time. What they hold is judged before this, since it came before.
    pub(crate) fn end_inquiry(&mut self) {
        for Waiting { command, signed, is_recorded, .. } in self.inquiry.end(&mut self.cx) {
            if let Err(refusal) = self.receive_commitment(Origin::Own { command, is_recorded }, signed) {
                self.own_refused(command, is_recorded, refusal);
            }
        }
        self.dispatch_soon(); // another window may be next
    }

    /// P5.9a: a commitment of our own is good. From now on we never say anything else about this block; and nothing of it leaves, nor counts,
    /// before the record of it is on disk.
    pub(crate) fn record_own(&mut self, origin: Origin, signer: Address, position: (u64, u64), hash: B256, signed: &SignedCommitment) {
        let Origin::Own { command, .. } = origin else { return };
        self.record_canonical_of(signer, position.0);
        self.own.bind(signer, position, signed, self.over_before());
        let message = self.outbox.block_mut(command).and_then(|block| block.message.clone());
        // Published with it, or before it.
        let txlist = message.map(|message| message.slice(TXLIST_HEADER_BYTES..));
        let txlist = txlist.or_else(|| self.txlists.get(&signed.preconf().raw_tx_list_hash).cloned());
        let id = self.cx.persist(Record::Committed(Box::new(OwnCommitment { signer, signed: signed.clone(), txlist })));
        self.outbox.recording(id, hash);
    }

    /// P5.9b: what our key has said in this window elsewhere, and is canonical, enters our records.
    fn record_canonical_of(&mut self, signer: Address, window_end: u64) {
        let of_window = self.chain.canonical_from_head().take_while(|accepted| accepted.window_end >= window_end);
        let of_key = of_window.filter(|accepted| accepted.window_end == window_end && accepted.signer == signer);
        let over_before = self.over_before();
        for accepted in of_key.cloned().collect::<Vec<_>>() {
            let Accepted { signed, block_number, .. } = &*accepted;
            if self.own.enter(signer, (window_end, *block_number), signed, over_before) {
                self.cx.persist(Record::Committed(Box::new(OwnCommitment { signer, signed: signed.clone(), txlist: None })));
            }
        }
    }

    /// P5.9a: a record is on disk.
    pub(crate) fn persisted(&mut self, id: PersistId) {
        self.cx.stats.persisted += 1;
        if let Some(hash) = self.outbox.record_ended(id) {
            self.chain.recorded(&hash);
            self.settle_rulings();
        }
    }

    /// P5.9a, P10.4: a record could not be written. The node goes on; our word stays bound, since the disk may have it all the same.
    pub(crate) fn persist_failed(&mut self, id: PersistId, failure: StorageFailure) {
        self.cx.stats.persist_failed += 1;
        self.cx.tell(Event::StorageFailed { failure });
        let Some(hash) = self.outbox.record_ended(id) else { return };
        if let Some(Origin::Own { command, .. }) = self.chain.not_recorded(&hash) {
            self.outbox.judged(command);
            self.cx.finish(command, Outcome::NotPublished(PublishError::NotRecorded(failure)));
        }
        self.settle_rulings();
    }

    /// P5.7: our own commitment is accepted, and goes out; with it the txlist of a block that is published whole.
    pub(crate) fn own_accepted(&mut self, command: CommandId, accepted: &Accepted) {
        let block = self.outbox.judged(command);
        self.own.commit(accepted.signer, (accepted.window_end, accepted.block_number), &accepted.signed, self.over_before());
        self.receipts.published(command, accepted.block_number, accepted.hash);
        let data = Bytes::copy_from_slice(accepted.signed.as_bytes());
        self.outbox.send(&mut self.cx, command, Topic::Commitments, data, accepted.window_end);
        if let Some(message) = block.and_then(|block| block.message) {
            // It was let go of if the disk took longer than an orphan may wait.
            let (hash, txlist) = (accepted.signed.preconf().raw_tx_list_hash, message.slice(TXLIST_HEADER_BYTES..));
            self.txlists.insert_checked(&mut self.cx, hash, &txlist, self.chain.next_ready());
            self.outbox.send(&mut self.cx, command, Topic::TxLists, message, accepted.window_end);
        }
    }

    /// Our own commitment is refused. What was recorded before a restart may be here already: then it only goes out again (P5.9a).
    pub(crate) fn own_refused(&mut self, command: CommandId, is_recorded: bool, refusal: Refusal) {
        let hash = self.outbox.block_mut(command).map(|block| crypto::preconfirmation_hash(&block.signed));
        if let (true, Refusal::Duplicate, Some(hash)) = (is_recorded, refusal, hash)
            && let Some(accepted) = self.chain.get(&hash).cloned()
        {
            return self.own_accepted(command, &accepted);
        }
        self.outbox.judged(command);
        self.cx.finish(command, Outcome::NotPublished(PublishError::Refused(refusal)));
    }

    /// P5.9a: what was committed to before a restart binds, and is published again while it is valid.
    pub(crate) fn restore_own(&mut self, mut words: Vec<OwnCommitment>) {
        let over_before = self.over_before();
        for own in &words {
            self.own.commit(own.signer, (own.window_end(), own.block_number()), &own.signed, over_before);
        }
        self.own_tip_moved(self.chain.tip());
        // C5: nobody would take those that are over. And what our own next word does not build on was never said.
        words.retain(|own| {
            let position = (own.window_end(), own.block_number());
            position.0 >= over_before && !self.own.is_passed_over(own.signer, position, &own.hash())
        });
        words.sort_by_key(|own| (own.window_end(), own.block_number()));
        self.outbox.publish_later(&self.cx.config, words);
    }

    /// Publishes what was recorded before a restart, as far as there is room, lowest first.
    pub(crate) fn publish_again(&mut self) {
        while let Some(own) = self.outbox.next_to_publish_again(&self.cx.config) {
            let OwnCommitment { signed, txlist, .. } = own;
            let (block_number, hash) =
                (u64::try_from(signed.preconf().block_number).unwrap_or(u64::MAX), crypto::preconfirmation_hash(&signed));
            let command = self.cx.mint.commands.next(CommandId);
            self.cx.tell(Event::PublishingAgain { command, block_number, hash });
            self.outbox.judging(command, SIGNED_COMMITMENT_BYTES + txlist.as_ref().map_or(0, |txlist| TXLIST_HEADER_BYTES + txlist.len()));
            self.outbox.insert_block(command, OwnBlock { signed: Box::new(signed.clone()), is_recorded: true, message: None });
            if let Some(txlist) = txlist {
                self.txlists.hash_own(&mut self.cx, command, txlist);
            } else if let Err(refusal) = self.receive_own(command, signed, true) {
                self.own_refused(command, true, refusal);
            }
        }
    }

    /// Windows that ended before this, in unix seconds, are over: nobody takes anything in them (C5).
    fn over_before(&self) -> u64 {
        self.cx.now.unix.secs().saturating_sub(self.cx.config.late_grace.as_secs())
    }

    /// P5.9b: the operator lets us publish in this window although peers were not asked, or show words of our key that our records do not name.
    pub(crate) fn override_syncing(&mut self, window_end: u64) -> Result<(), UpdateError> {
        tracing::warn!(
            window_end,
            "publishing in this window without knowing all that our own key has signed, as the operator says (P5.9b)"
        );
        self.own.override_syncing(window_end);
        Ok(())
    }

    /// P5.9: what L1 took back, or settled otherwise, binds us no more in other windows.
    pub(crate) fn own_tip_moved(&mut self, tip: SyncTip) {
        let chain = &self.chain;
        self.own.tip_moved(tip.block_number, |number| {
            let known = chain.at(number);
            let told = tip.preconfirmation_hash.filter(|_| number == tip.block_number);
            let hash = told.or_else(|| known.map(|accepted| accepted.hash))?;
            Some(Settled { hash, window_end: known.filter(|accepted| accepted.hash == hash).map(|accepted| accepted.window_end) })
        });
    }
}
