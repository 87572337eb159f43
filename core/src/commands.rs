//! What may our own application wish, and what does a wish do at once?
//!
//! Publishing stands in `publish`, asking in `request::ask`; here is what moves the chain, the schedule and the peers.

use std::time::Duration;

use alloy_primitives::{B256, U256};
use bytes::Bytes;

use crate::error::CommandError;
use crate::id::{CommandId, PeerId};
use crate::input::SyncTip;
use crate::machine::Core;
use crate::output::{Action, Event};
use crate::request::Purpose;
use crate::schedule::Window;
use crate::time::{Now, Timer};
use crate::wire::topics::Protocol;
use crate::wire::v1::{GetCommitmentsRequest, GetHeadRequest, GetTxListRequest, MAX_COMMITMENTS_PER_RESPONSE};

/// First pause before a block that the host could not execute is told again, and the longest. Ours: a host that restarts is back in seconds.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LONGEST: Duration = Duration::from_secs(60);

impl Core {
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

    pub(crate) fn disconnect_for_user(&mut self, peer: PeerId) -> Result<CommandId, CommandError> {
        self.peers.get(&peer).ok_or(CommandError::NotConnected)?;
        self.cx.act(Action::Disconnect { peer });
        Ok(self.cx.mint.commands.next(CommandId))
    }

    /// P9.1
    pub(crate) fn update_schedule(&mut self, now: Now, windows: &[Window]) -> Result<CommandId, CommandError> {
        self.schedule.update(windows)?;
        self.judge_waiting_for_schedule(now);
        self.resume();
        Ok(self.cx.mint.commands.next(CommandId))
    }

    /// P9.3
    pub(crate) fn move_sync_tip(&mut self, now: Now, tip: SyncTip) -> CommandId {
        let moved = self.chain.move_tip(tip);
        self.sync.run = None; // its pages were set from the head as it was
        if let Some(from) = moved.execute_from {
            self.executed = self.executed.min(from.saturating_sub(1));
            self.cx.tell(Event::ExecuteAgain { from });
        }
        let mut loose = moved.dropped;
        if !loose.is_empty() || moved.execute_from.is_some() {
            loose.extend(self.chain.take_forks());
        }
        self.judge_again(now, loose);
        if let Some(tip_block) = self.chain.at(tip.block_number) {
            // What ended before the settled chain's last block is of no more use; nodes that are behind still need its neighbours.
            self.schedule.prune(tip_block.window_end.saturating_sub(self.cx.config.late_grace.as_secs()));
        }
        self.end_settled_fetches();
        if moved.execute_from.is_some() {
            self.look_for_all(now);
        }
        self.emit_ready();
        self.resume();
        self.cx.mint.commands.next(CommandId)
    }

    /// P11.1: blocks are executed in the order in which they became ready.
    pub(crate) fn mark_executed(&mut self, block_number: u64) -> Result<CommandId, CommandError> {
        if block_number >= self.chain.next_ready() {
            return Err(CommandError::NotReady { block_number });
        }
        self.executed = self.executed.max(block_number);
        if self.failed.is_some_and(|(failed, _)| failed <= block_number) {
            self.failed = None;
            self.cx.timers.cancel(Timer::Execute);
        }
        Ok(self.cx.mint.commands.next(CommandId))
    }

    /// P10.4: an error of the host is an event and a retry, never the end of the node.
    pub(crate) fn mark_failed(&mut self, now: Now, block_number: u64) -> Result<CommandId, CommandError> {
        if block_number >= self.chain.next_ready() || block_number <= self.executed {
            return Err(CommandError::NotReady { block_number });
        }
        let tries = match self.failed {
            Some((failed, tries)) if failed == block_number => tries.saturating_add(1),
            Some(_) | None => 0,
        };
        self.failed = Some((block_number, tries));
        let again_in = RETRY_FIRST.saturating_mul(1 << tries.min(6)).min(RETRY_LONGEST);
        self.cx.timers.set(Timer::Execute, now.mono.after(again_in));
        self.cx.tell(Event::ExecutionFailed { block_number, again_in });
        Ok(self.cx.mint.commands.next(CommandId))
    }

    /// The pause behind a failure of the host is over.
    pub(crate) fn execute_again(&mut self, now: Now) {
        let Some((block_number, _)) = self.failed else { return };
        if block_number >= self.chain.next_ready() || block_number <= self.chain.tip().block_number {
            return; // the chain moved under it: it is told, or settled, by itself
        }
        let from = self.chain.rewind_ready(block_number);
        self.cx.tell(Event::ExecuteAgain { from });
        self.look_for_all(now);
        self.emit_ready();
    }

    /// P5.5: tells every block that became ready, in order, once.
    pub(crate) fn emit_ready(&mut self) {
        while let Some(commitment) = self.chain.advance_ready(|hash| self.txlists.has(hash)) {
            self.cx.stats.ready += 1;
            let preconf = commitment.signed.preconf();
            let txlist = preconf.has_txlist().then(|| self.txlists.get(&preconf.raw_tx_list_hash).cloned()).flatten();
            self.cx.tell(Event::BlockReady { commitment, txlist });
        }
    }

    /// What catch-up waited for may have come.
    fn resume(&mut self) {
        self.resume_sync();
        self.plan();
    }
}
