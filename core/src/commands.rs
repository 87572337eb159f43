//! What may our own application say, and what does it do at once?
//!
//! Here is what publishes and asks, and what moves the chain, the schedule and the peers. The operator's lists stand in `peer::operator`.

use std::collections::BTreeMap;
use std::time::Duration;

use alloy_primitives::{B256, U256};
use bytes::Bytes;

use crate::crypto;
use crate::error::{CommandError, PublishError, Refusal, UpdateError};
use crate::id::{CommandId, PeerId};
use crate::input::SyncTip;
use crate::machine::Core;
use crate::origin::Origin;
use crate::output::{Action, Event};
use crate::record::Record;
use crate::request::Purpose;
use crate::schedule::Window;
use crate::time::{Now, Timer};
use crate::validate::v1::{commitment, txlist};
use crate::wire::topics::Protocol;
use crate::wire::v1::{
    GetCommitmentsRequest, GetHeadRequest, GetTxListRequest, MAX_COMMITMENTS_PER_RESPONSE, RawTxList, SIGNED_COMMITMENT_BYTES,
    SignedCommitment, TXLIST_HEADER_BYTES,
};

/// First pause before a block that the host could not execute is told again, and the longest. Ours: a host that restarts is back in seconds.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LONGEST: Duration = Duration::from_secs(60);

impl Core {
    /// A commitment of our own (P5.7). What can be said at once is said at once; the rest when its signer is recovered.
    pub(crate) fn publish_commitment(&mut self, signed: SignedCommitment) -> Result<CommandId, CommandError> {
        self.outbox.check_room(&self.cx.config, SIGNED_COMMITMENT_BYTES)?;
        commitment::well_formed(&signed, self.cx.config.slasher).map_err(PublishError::Refused)?;
        let number = u64::try_from(signed.preconf().block_number).unwrap_or(u64::MAX);
        if self.outbox.contradicts(number, &crypto::preconfirmation_hash(&signed)) {
            return Err(PublishError::Refused(Refusal::Equivocation).into()); // P5.9
        }
        let command = self.cx.mint.commands.upcoming(CommandId);
        self.receive_commitment(Origin::Own { command }, signed).map_err(PublishError::Refused)?;
        let command = self.cx.mint.commands.next(CommandId);
        self.outbox.judging(command, SIGNED_COMMITMENT_BYTES);
        Ok(command)
    }

    /// A txlist of our own (P5.7).
    pub(crate) fn publish_txlist(&mut self, txlist: Bytes) -> Result<CommandId, CommandError> {
        let len = TXLIST_HEADER_BYTES + txlist.len();
        self.outbox.check_room(&self.cx.config, len)?;
        let list = RawTxList { hash: B256::ZERO, txlist };
        txlist::fits(&list, self.cx.config.txlist_cap).map_err(PublishError::Refused)?;
        let command = self.cx.mint.commands.next(CommandId);
        self.outbox.judging(command, len);
        self.txlists.hash_own(&mut self.cx, command, list.txlist);
        Ok(command)
    }

    /// What was kept before a restart; what this life knows already stays as it is.
    pub(crate) fn restore(&mut self, now: Now, records: &[Record]) {
        let (mut peers, mut known) = (BTreeMap::new(), BTreeMap::new());
        for record in records {
            match record {
                &Record::Committed { block_number, hash } => self.outbox.commit(block_number, hash, self.cx.config.max_commitments),
                // The last word on a peer counts, a ban that was lifted among them.
                &Record::Peer { peer, score, as_of, ban_ends } => drop(peers.insert(peer, (score, as_of, ban_ends))),
                Record::Known(node) => drop(known.insert(node.record.peer, node)),
            }
        }
        for (peer, (score, as_of, ban_ends)) in peers {
            self.reputation.restore(&mut self.cx, peer, score, as_of, ban_ends);
        }
        for node in known.into_values() {
            self.restore_known(now, node);
        }
    }

    pub(crate) fn get_head(&mut self, now: Now, peer: Option<PeerId>) -> Result<CommandId, CommandError> {
        let body = Bytes::from_static(&GetHeadRequest::BYTES);
        self.ask_for_user(now, peer, Protocol::GetHead, body, |command| Purpose::Head { command: Some(command) })
    }

    pub(crate) fn get_commitments(&mut self, now: Now, start: u64, count: u32, peer: Option<PeerId>) -> Result<CommandId, CommandError> {
        let max = MAX_COMMITMENTS_PER_RESPONSE as u32;
        if !(1..=max).contains(&count) {
            return Err(CommandError::BadCount { count, min: 1, max });
        }
        let body = GetCommitmentsRequest { start_block_number: U256::from(start), max_count: count }.encode();
        self.ask_for_user(now, peer, Protocol::GetCommitments, body, |command| Purpose::Commitments { start, count, command })
    }

    pub(crate) fn get_txlist(&mut self, now: Now, hash: B256, peer: Option<PeerId>) -> Result<CommandId, CommandError> {
        let body = GetTxListRequest { hash }.encode();
        self.ask_for_user(now, peer, Protocol::GetTxList, body, |command| Purpose::TxList { hash, command: Some(command) })
    }

    pub(crate) fn disconnect_for_user(&mut self, peer: PeerId) -> Result<(), UpdateError> {
        self.peers.get(&peer).ok_or(UpdateError::NotConnected)?;
        self.cx.act(Action::Disconnect { peer });
        Ok(())
    }

    /// P9.1
    pub(crate) fn update_schedule(&mut self, windows: &[Window]) -> Result<(), UpdateError> {
        self.schedule.update(windows)?;
        self.chain.schedule_changed();
        self.settle_rulings();
        self.resume();
        Ok(())
    }

    /// P9.3
    pub(crate) fn move_sync_tip(&mut self, tip: SyncTip) {
        let execute_from = self.chain.tip_moved(tip);
        self.sync.run = None; // its pages were set from the head as it was
        if let Some(from) = execute_from {
            self.executed = self.executed.min(from.saturating_sub(1));
            self.cx.tell(Event::ExecuteAgain { from });
        }
        self.settle_rulings();
        if let Some(tip_block) = self.chain.at(tip.block_number) {
            // What ended before the settled chain's last block is of no more use; nodes that are behind still need its neighbours.
            self.schedule.prune(tip_block.window_end.saturating_sub(self.cx.config.late_grace.as_secs()));
        }
        self.txlists.end_fetches_below(&mut self.cx, self.chain.next_ready());
        if execute_from.is_some() {
            self.want_txlists_again();
        }
        self.emit_ready();
        self.resume();
    }

    /// P11.1: blocks are executed in the order in which they became ready.
    pub(crate) fn mark_executed(&mut self, block_number: u64) -> Result<(), UpdateError> {
        if block_number >= self.chain.next_ready() {
            return Err(UpdateError::NotReady { block_number });
        }
        self.executed = self.executed.max(block_number);
        if self.failed.is_some_and(|(failed, _)| failed <= block_number) {
            self.failed = None;
            self.cx.timers.cancel(Timer::Execute);
        }
        Ok(())
    }

    /// P10.4: an error of the host is an event and a retry, never the end of the node.
    pub(crate) fn mark_failed(&mut self, now: Now, block_number: u64) -> Result<(), UpdateError> {
        if block_number >= self.chain.next_ready() || block_number <= self.executed {
            return Err(UpdateError::NotReady { block_number });
        }
        let tries = match self.failed {
            Some((failed, tries)) if failed == block_number => tries.saturating_add(1),
            Some(_) | None => 0,
        };
        self.failed = Some((block_number, tries));
        let again_in = RETRY_FIRST.saturating_mul(1 << tries.min(6)).min(RETRY_LONGEST);
        self.cx.timers.set(Timer::Execute, now.mono.after(again_in));
        self.cx.tell(Event::ExecutionFailed { block_number, again_in });
        Ok(())
    }

    /// What catch-up waited for may have come.
    fn resume(&mut self) {
        self.resume_sync();
        self.plan();
    }
}
