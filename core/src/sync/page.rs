//! How does a catch-up start, go on and end (P6.9, P5.2)?

use std::time::Duration;

use alloy_primitives::U256;

use crate::error::Refusal;
use crate::id::{PeerId, RequestId};
use crate::machine::Core;
use crate::origin::Origin;
use crate::output::{Event, Verdict};
use crate::request::Purpose;
use crate::request::answered::PageRead;
use crate::sync::{Bar, MAX_GAPS, Page, Slot};
use crate::time::{Now, Time, Timer};
use crate::wire::topics::Protocol;
use crate::wire::v1::{GetCommitmentsRequest, GetHeadRequest, SignedCommitment};

/// How long a child may wait for its parent before the parent is asked for. Ours: gossip reorders neighbours by less.
const GAP_GRACE: Duration = Duration::from_millis(100);

impl Core {
    /// A new peer said what it speaks: while few told us their head, it is asked for its own.
    pub(crate) fn greet(&mut self, now: Now, peer: PeerId) {
        let known = self.sync.claims.of(&peer).is_some();
        if !known && self.sync.claims.len() < self.cx.config.heads_from && self.can_ask(now.mono, peer, Protocol::GetHead) {
            self.ask_head(now, peer);
        }
        let at = self.heads_at(now.mono);
        self.cx.timers.set_if_idle(Timer::Heads, at);
    }

    /// Time to ask for heads again: some peers at once in quiet times; while the chain moves one after the other, so that what gossip lost
    /// is found in time (P11.2).
    pub(crate) fn heads_due(&mut self, now: Now) {
        self.pump_if_due(now);
        if self.sync.resume_at <= now.mono {
            self.sync.resume_at = now.mono.after(self.cx.config.heads_every);
            self.resume_sync();
        }
        let (turns, at_once) = (self.turns(), if self.is_moving(now.mono) { 1 } else { self.cx.config.heads_from });
        self.sync.polled.truncate(turns.saturating_sub(1));
        let mut asked: Vec<PeerId> = if at_once == 1 { self.sync.polled.iter().copied().collect() } else { Vec::new() };
        for _ in 0..at_once {
            let Some(peer) = self.choose(now.mono, Protocol::GetHead, |peer| !asked.contains(peer)) else { break };
            self.ask_head(now, peer);
            self.sync.polled.push_front(peer);
            asked.push(peer);
        }
        self.sync.polled.truncate(self.cx.config.heads_from);
        if self.peers.len() > 0 {
            let at = self.heads_at(now.mono);
            self.cx.timers.set(Timer::Heads, at);
        }
        self.plan();
    }

    /// How many peers take turns in being asked while the chain moves.
    fn turns(&self) -> usize {
        self.peers.supporting(Protocol::GetHead).clamp(1, self.cx.config.heads_from)
    }

    fn heads_at(&self, now: Time) -> Time {
        let turns = u32::try_from(self.turns()).unwrap_or(u32::MAX);
        now.after(if self.is_moving(now) { self.cx.config.heads_while_moving / turns } else { self.cx.config.heads_every })
    }

    fn is_moving(&self, now: Time) -> bool {
        self.sync.moved.is_some_and(|at| now.since(at) < self.cx.config.heads_every)
    }

    fn ask_head(&mut self, now: Now, peer: PeerId) {
        let body = bytes::Bytes::from_static(&GetHeadRequest::BYTES);
        self.ask(now.mono, peer, Protocol::GetHead, body, Purpose::Head { command: None });
    }

    /// A peer said what its head is.
    pub(crate) fn head_claimed(&mut self, now: Now, peer: PeerId, head: u64) {
        if self.peers.get(&peer).is_some() {
            self.claim(now, peer, head);
            self.plan();
        }
    }

    /// P5.2: a child came whose parent we do not know. Its sender has what lies before it, or knows who has.
    pub(crate) fn parent_missing(&mut self, now: Now, peer: PeerId, number: u64) {
        // The peer may have left while the child's signer was being recovered; its claim would outlive it.
        let room = self.sync.gaps.len() < MAX_GAPS || self.sync.gaps.contains_key(&number);
        if room && self.peers.get(&peer).is_some() {
            self.sync.gaps.entry(number).or_insert(peer);
            self.cx.timers.set_if_idle(Timer::MissingParent, now.mono.after(GAP_GRACE));
        }
    }

    /// The parents that are still missing are asked for.
    pub(crate) fn gaps_due(&mut self, now: Now) {
        self.pump_if_due(now);
        for (number, peer) in std::mem::take(&mut self.sync.gaps) {
            let before = number.saturating_sub(1);
            if self.peers.get(&peer).is_none() {
                continue; // it left; whoever else brings a child of the same gap starts this again
            }
            if before > self.chain.head_number() {
                let claim = self.sync.claims.of(&peer).unwrap_or(0).max(before);
                self.claim(now, peer, claim);
            } else if before > self.chain.floor() && self.can_ask(now.mono, peer, Protocol::GetCommitments) {
                // Another chain of the same height: the one commitment before the child says what it hangs on.
                let body = GetCommitmentsRequest { start_block_number: U256::from(before), max_count: 1 }.encode();
                self.ask(now.mono, peer, Protocol::GetCommitments, body, Purpose::Parent { number: before });
            }
        }
        self.plan();
    }

    /// A page came. Its good items are used; what they leave open goes to another peer.
    pub(crate) fn page_arrived(&mut self, request: RequestId, peer: PeerId, start: u64, read: PageRead) {
        self.peers.set_unresponsive(&peer, false);
        let Some(run) = self.sync.run.as_mut().filter(|run| run.start_of(request) == Some(start)) else { return };
        let Some(slot) = run.pages.get_mut(&start) else { return };
        let got = u32::try_from(read.items.len()).unwrap_or(slot.count);
        let rest = slot.count - got.min(slot.count);
        if got == 0 {
            slot.page = Page::Wanted;
            run.bar(start, peer, Bar::Useless);
            if read.broken.is_none() {
                self.sync.claims.lower(&peer, start - 1); // it may have pruned or restarted: no blame
            }
        } else {
            slot.count = got;
            slot.page = Page::Here { request, peer, items: read.items };
            if rest > 0 {
                let open = start + u64::from(got);
                run.pages.insert(open, Slot { count: rest, page: Page::Wanted });
                run.bar(open, peer, Bar::Useless);
            }
        }
        self.judge_pages();
    }

    /// A page did not come.
    pub(crate) fn page_failed(&mut self, request: RequestId, peer: PeerId, start: u64) {
        self.peers.set_unresponsive(&peer, true);
        let Some(run) = self.sync.run.as_mut().filter(|run| run.start_of(request) == Some(start)) else { return };
        run.bar(start, peer, Bar::Silent);
        if let Some(slot) = run.pages.get_mut(&start) {
            slot.page = Page::Wanted;
        }
        self.pump_soon();
    }

    /// Judges the pages that are here, in order, up to the first that is not.
    pub(super) fn judge_pages(&mut self) {
        while let Some(run) = &mut self.sync.run {
            let next = run.pages.iter_mut().find(|(_, slot)| !matches!(slot.page, Page::Judging { .. }));
            let Some((_, slot)) = next else { return };
            let Page::Here { request, peer, items } = &mut slot.page else { return };
            let (request, peer, items) = (*request, *peer, std::mem::take(items));
            slot.page = Page::Judging { request, peer, open: items.len() };
            self.judge_items(peer, request, items);
        }
    }

    /// One item of a page has its conclusion. A page that leads nowhere though none of its items is bad (it runs along a fork of ours, say)
    /// is of no use from this peer.
    pub(crate) fn page_item_concluded(&mut self, request: RequestId) {
        let head = self.chain.head_number();
        let Some(run) = &mut self.sync.run else { return };
        let Some(start) = run.start_of(request) else { return };
        let Some(slot) = run.pages.get_mut(&start) else { return };
        let end = slot.end(start);
        let Page::Judging { peer, open, .. } = &mut slot.page else { return };
        *open = open.saturating_sub(1);
        let (peer, open) = (*peer, *open);
        if open == 0 && end > head.saturating_add(1) {
            self.page_in_vain(peer, start);
        }
    }

    /// Starts over from our head, without this peer for these blocks.
    fn page_in_vain(&mut self, peer: PeerId, start: u64) {
        let next = self.chain.head_number().saturating_add(1);
        let Some(run) = &mut self.sync.run else { return };
        run.bar(start, peer, Bar::Useless);
        run.bar(next, peer, Bar::Useless);
        run.pages.clear();
        run.next = next;
        self.pump_soon();
    }

    fn judge_items(&mut self, peer: PeerId, request: RequestId, items: Vec<SignedCommitment>) {
        let origin = Origin::Response { peer, request, command: None };
        for item in items {
            match self.receive_commitment(origin, item) {
                Ok(()) => {}
                Err(Refusal::Duplicate | Refusal::Stale) => self.page_item_concluded(request),
                Err(refusal) => {
                    self.refuse(origin, refusal);
                    return; // P6.4: nothing after the first bad item
                }
            }
        }
    }

    /// The one commitment came that a child may hang on.
    pub(crate) fn parent_arrived(&mut self, request: RequestId, peer: PeerId, items: Vec<SignedCommitment>) {
        self.judge_items(peer, request, items);
    }

    /// An item of a page is refused. A broken one costs its peer a failure; either way the rest is asked of another peer.
    pub(crate) fn page_item_refused(&mut self, now: Now, peer: PeerId, request: RequestId, refusal: Refusal) {
        if matches!(refusal, Refusal::Duplicate | Refusal::Stale) {
            return; // gossip was faster
        }
        if refusal.verdict() == Verdict::Reject {
            self.blame_page(now, peer, request, refusal);
        }
        let start = self.sync.run.as_ref().and_then(|run| run.start_of(request));
        let Some(start) = start else { return };
        if refusal == Refusal::NoRoom {
            // Not for want of a better peer: blocks must become ready first.
            self.sync.run = None;
            self.sync.paused = true;
            return;
        }
        if refusal == Refusal::ScheduleUnknown {
            self.sync.claims.leave_out(&peer); // until windows come; who is not so far ahead can still be followed
        }
        self.page_in_vain(peer, start);
    }

    /// P6.4: a broken page costs its peer a failure, once.
    pub(crate) fn blame_page(&mut self, now: Now, peer: PeerId, request: RequestId, refusal: Refusal) {
        if self.sync.blame(request) {
            self.blame(now, peer, request, refusal);
        }
    }

    /// The head moved: pages that it has passed are done.
    pub(crate) fn head_moved(&mut self, now: Now) {
        let head = self.chain.head_number();
        let was_moving = self.is_moving(now.mono);
        self.sync.moved = Some(now.mono);
        if !was_moving && self.peers.len() > 0 {
            let at = self.heads_at(now.mono);
            self.cx.timers.set(Timer::Heads, at);
        }
        let Some(run) = &mut self.sync.run else { return };
        let from = run.from;
        let passed = run.pages.first_key_value().is_some_and(|(start, slot)| slot.end(*start) <= head.saturating_add(1));
        if passed {
            let to = self.sync.claims.best().max(head);
            self.cx.tell(Event::SyncProgress { from, at: head, to });
            self.pump_soon();
        }
    }
}
