//! What may our own application say, and what does it do at once?
//!
//! Here is what publishes and asks, and what moves the chain, the schedule and the peers. The operator's lists stand in `peer::operator`.

use std::time::Duration;

use alloy_primitives::{B256, U256};
use bytes::Bytes;

use crate::chain::ruling::Changed;
use crate::error::{CommandError, UpdateError};
use crate::id::{CommandId, PeerId};
use crate::machine::Core;
use crate::output::{Action, Event};
use crate::record::Record;
use crate::request::wanted::Purpose;
use crate::schedule::Window;
use crate::time::{Now, Timer};
use crate::tip::SyncTip;
use crate::wire::topics::Protocol;
use crate::wire::v1::{GetCommitmentsRequest, GetHeadRequest, GetTxListRequest, MAX_COMMITMENTS_PER_RESPONSE};

/// First pause before a block that the host could not execute is told again, and the longest. Ours: a host that restarts is back in seconds.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LONGEST: Duration = Duration::from_secs(60);

impl Core {
    pub(crate) fn get_head(&mut self, peer: Option<PeerId>) -> Result<CommandId, CommandError> {
        let body = Bytes::from_static(&GetHeadRequest::BYTES);
        self.ask_for_user(peer, Protocol::GetHead, body, |command| Purpose::Head { command: Some(command) })
    }

    pub(crate) fn get_commitments(&mut self, start: u64, count: u32, peer: Option<PeerId>) -> Result<CommandId, CommandError> {
        let max = MAX_COMMITMENTS_PER_RESPONSE as u32;
        if !(1..=max).contains(&count) {
            return Err(CommandError::BadCount { count, min: 1, max });
        }
        let (in_flight, max) = (self.user_pages.len(), self.cx.config.max_requests);
        if in_flight >= max {
            return Err(CommandError::TooManyRequests { in_flight, max }); // P10.1: their signers are being recovered
        }
        let body = GetCommitmentsRequest { start_block_number: U256::from(start), max_count: count }.encode();
        self.ask_for_user(peer, Protocol::GetCommitments, body, |command| Purpose::Commitments { start, count, command })
    }

    pub(crate) fn get_txlist(&mut self, hash: B256, peer: Option<PeerId>) -> Result<CommandId, CommandError> {
        let body = GetTxListRequest { hash }.encode();
        self.ask_for_user(peer, Protocol::GetTxList, body, |command| Purpose::TxList { hash, command: Some(command) })
    }

    pub(crate) fn disconnect_for_user(&mut self, peer: PeerId) -> Result<(), UpdateError> {
        self.peers.get(&peer).ok_or(UpdateError::NotConnected)?;
        self.cx.act(Action::Disconnect { peer });
        Ok(())
    }

    /// P9.1
    pub(crate) fn update_schedule(&mut self, windows: &[Window]) -> Result<(), UpdateError> {
        self.schedule.update(windows)?;
        let changed = self.chain.schedule_changed(&self.schedule);
        if changed.dropped_from.is_some() {
            self.catch_up.chain_changed(true);
        }
        self.chain_changed(changed);
        self.cx.persist(Record::Schedule(self.schedule.iter().copied().collect()));
        self.resume();
        Ok(())
    }

    /// P9.3
    pub(crate) fn move_sync_tip(&mut self, tip: SyncTip) {
        self.cx.persist(Record::SyncTip(tip));
        let changed = self.chain.tip_moved(tip);
        self.catch_up.chain_changed(changed.dropped_from.is_some());
        self.own_tip_moved(tip);
        self.chain_changed(changed);
        if let Some(tip_block) = self.chain.at(tip.block_number) {
            // What ended before the settled chain's last block is of no more use; nodes that are behind still need its neighbours.
            self.schedule.prune(tip_block.window_end.saturating_sub(self.cx.config.late_grace.as_secs()));
        }
        self.resume();
    }

    /// The host is told what it must execute again, and what was dropped links anew where it still does.
    fn chain_changed(&mut self, Changed { dropped_from, execute_from }: Changed) {
        if let Some(from) = dropped_from {
            self.cx.persist(Record::ChainDropped { from });
        }
        if let Some(from) = execute_from {
            self.executed = self.executed.min(from.saturating_sub(1));
            self.cx.tell(Event::ExecuteAgain { from });
        }
        self.settle_rulings();
        self.txlists.end_fetches_below(&mut self.cx, self.chain.next_ready());
        if execute_from.is_some() {
            self.want_txlists_again();
        }
        self.emit_ready();
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
    pub(crate) fn resume(&mut self) {
        self.catch_up.resume();
        self.plan_catch_up();
    }
}
