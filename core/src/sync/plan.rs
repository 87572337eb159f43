//! Which pages does a catch-up ask for, of whom, and when does a claim give way (P6.9)?
//!
//! Called whenever room or a claim may have come or gone.

use alloy_primitives::U256;

use crate::id::PeerId;
use crate::machine::Core;
use crate::output::Event;
use crate::request::Purpose;
use crate::sync::{MAX_PAGE_ITEMS_JUDGED, MAX_PAGES, Page, Run, Slot};
use crate::time::Now;
use crate::wire::topics::Protocol;
use crate::wire::v1::GetCommitmentsRequest;

impl Core {
    /// What a catch-up waited for may have come: those left out are followed again. The caller plans.
    pub(crate) fn resume_sync(&mut self) {
        self.sync.paused = false;
        self.sync.claims.follow_all();
    }

    /// Starts a run where claims say that we miss something, sets its pages, and sends what there is room for.
    pub(crate) fn plan(&mut self) {
        if !self.sync.paused {
            self.begin_run();
            self.pump_soon();
        }
    }

    fn begin_run(&mut self) {
        let (head, target) = (self.chain.head_number(), self.sync.claims.target());
        if self.sync.run.is_none() && target > head {
            self.sync.run = Some(Run { from: head, next: head.saturating_add(1), pages: Default::default(), barred: Default::default() });
            self.cx.tell(Event::SyncProgress { from: head, at: head, to: target });
        }
    }

    /// Sets pages up to the best claim and gives those that wait to peers with room, until no claim gives way to that any more.
    pub(crate) fn pump_pages(&mut self, now: Now) {
        while self.pump_pages_once(now) {}
        self.judge_pages(); // one that waited for another which is not needed any more
    }

    /// Says whether claims gave way, so that the pages must be set anew. Claims only fall here, so that comes to an end.
    fn pump_pages_once(&mut self, now: Now) -> bool {
        let (head, target) = (self.chain.head_number(), self.sync.claims.target());
        let best = self.sync.claims.best();
        let Some(run) = &mut self.sync.run else { return false };
        // What gossip brought meanwhile, and what nobody claims any more, needs no page.
        run.pages
            .retain(|start, slot| slot.end(*start) > head.saturating_add(1) && (*start <= target || !matches!(slot.page, Page::Wanted)));
        run.next = run.pages.last_key_value().map_or(head.saturating_add(1), |(start, slot)| slot.end(*start));
        // A page that is here behind one that nobody will bring any more is of no use.
        if head >= target && !run.pages.values().any(|slot| slot.page.is_under_way()) {
            self.sync.run = None;
            if head >= best {
                self.cx.tell(Event::Synced { head });
            }
            return false;
        }
        let size =
            if target - head.min(target) > u64::from(self.cx.config.page_far) { self.cx.config.page_far } else { self.cx.config.page_near };
        while run.pages.len() < MAX_PAGES && run.next <= target {
            let count = u32::try_from(target - run.next + 1).unwrap_or(u32::MAX).min(size);
            run.pages.insert(run.next, Slot { count, page: Page::Wanted });
            run.next += u64::from(count);
        }
        let wanted = run.pages.iter().filter(|(_, slot)| matches!(slot.page, Page::Wanted)).map(|(start, slot)| (*start, slot.count));
        wanted.collect::<Vec<_>>().into_iter().any(|(start, count)| self.ask_page(now, start, count))
    }

    /// Asks for a page if somebody has room. Says whether claims gave way because nobody can serve it.
    fn ask_page(&mut self, now: Now, start: u64, count: u32) -> bool {
        if self.chain.verifying_in_responses() >= MAX_PAGE_ITEMS_JUDGED {
            return false; // what an ended run left behind is still being judged; each of its results comes by here
        }
        let Some(run) = &self.sync.run else { return false };
        // A peer that is pruned is not waited for: that may take longer than anyone has time.
        let is_able = |peer: PeerId| !run.is_barred(start, &peer) && self.serves_pages(&peer);
        if !self.sync.claims.followed_to(start).any(is_able) {
            return self.drop_claims(start);
        }
        let Some(peer) = self.choose_for_page(now.mono, start) else { return false };
        let body = GetCommitmentsRequest { start_block_number: U256::from(start), max_count: count }.encode();
        let request = self.ask(now.mono, peer, Protocol::GetCommitments, body, Purpose::Page { start, count });
        if let Some(slot) = self.sync.run.as_mut().and_then(|run| run.pages.get_mut(&start)) {
            slot.page = Page::Asked { request };
        }
        false
    }

    /// A head that nobody backs is dropped: the claims that reach this far end before it. Silence is no such answer: who did not answer, and
    /// serves pages, is left out for now. Says whether any gave way.
    fn drop_claims(&mut self, start: u64) -> bool {
        let unbacked: Vec<PeerId> = self.sync.claims.followed_to(start).collect();
        for peer in &unbacked {
            let is_unanswered = self.sync.run.as_ref().is_some_and(|run| run.was_silent(start, peer));
            if is_unanswered && self.serves_pages(peer) {
                self.sync.claims.leave_out(peer);
            } else {
                self.sync.claims.lower(peer, start - 1);
            }
        }
        !unbacked.is_empty()
    }

    fn serves_pages(&self, peer: &PeerId) -> bool {
        self.peers.get(peer).is_some_and(|connected| connected.spoken.supports(Protocol::GetCommitments))
    }
}
