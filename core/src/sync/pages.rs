//! Which pages does a catch-up want, and what follows from what comes (P6.9, P6.4)?
//!
//! A page goes to those who claim no more than a page above what is backed, if there are such: whoever claims every block there can be, and
//! brings none, is asked when nobody else is left, and what it is being asked goes to others as soon as they are there.
//!
//! Pages go out in the order of their numbers, so that what lies next above our head, which all others wait for, is asked for first.
//!
//! The page next above our head that comes more slowly than the line has shown that it can is asked of a second peer, of another neighbourhood;
//! what comes first is taken.
//!
//! | a page | follows |
//! |---|---|
//! | came, shorter than asked | its items are judged; the rest is a page of its own, of another peer |
//! | came empty | another peer is asked; the claim ends before it: the peer may have pruned or restarted, and is at no fault |
//! | came broken from the start, or not at all | another peer is asked; the claim stands |
//! | has a bad item | the run starts over from our head, without this peer |
//! | leads nowhere, though none of its items is bad: it runs along a fork, say | likewise |
//! | has an item that no window covers | likewise, and the peer is set aside until windows come |
//! | has an item that the chain has no room for | the run ends, and is paused |
//! | can be had of nobody | those who did not answer are set aside; all others' claims end before it |

use std::ops::RangeInclusive;
use std::time::Duration;

use alloy_primitives::U256;

use crate::cx::Cx;
use crate::error::Refusal;
use crate::id::{PeerId, RequestId};
use crate::output::Event;
use crate::peer::subnet::Cidr;
use crate::request::wanted::{Purpose, Wanted, Whom};
use crate::sync::CatchUp;
use crate::sync::run::{Bar, Page, Run, Slot};
use crate::time::Timer;
use crate::wire::topics::Protocol;
use crate::wire::v1::{GetCommitmentsRequest, SIGNED_COMMITMENT_BYTES, SignedCommitment};

/// What a choice of pages looks at beyond the catch-up itself.
pub(crate) struct View<'a> {
    /// Our head's number.
    pub(crate) head: u64,
    /// May more items come to be judged?
    pub(crate) has_room: bool,
    /// Is the peer connected, and does it serve commitments? Whether it can be asked now is another question; but who is pruned is not waited
    /// for, as that may take longer than anyone has time.
    pub(crate) serves_pages: &'a dyn Fn(&PeerId) -> bool,
    /// A peer's neighbourhood (P8.3).
    pub(crate) neighbourhood: &'a dyn Fn(&PeerId) -> Option<Cidr>,
    /// The most bytes a second that a peer has brought.
    pub(crate) line: Option<u64>,
}

/// How long the first peer has, where nobody has shown what the line carries. Ours: a page on a slow line.
const FIRST_PATIENCE: Duration = Duration::from_secs(2);
/// The least that a peer has, and the most. Ours: two round trips on a slow line; half of what it may take (P6.5).
const PATIENCE: RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_secs(5);

/// How long a page of so many commitments may take before a second peer is asked: twice what the best peer would (P6.9).
fn patience(count: u32, line: Option<u64>) -> Duration {
    let Some(line) = line else { return FIRST_PATIENCE };
    let micros = (u64::from(count) * SIGNED_COMMITMENT_BYTES as u64 * 2).saturating_mul(1_000_000) / line.max(1);
    Duration::from_micros(micros).clamp(*PATIENCE.start(), *PATIENCE.end())
}

impl CatchUp {
    /// Which page is wanted next, above a number: those up to there found nobody who can be asked now. Ends the run where nothing is left to
    /// be had.
    pub(crate) fn next_wanted(&mut self, cx: &mut Cx, view: &View<'_>, mut above: u64) -> Option<Wanted> {
        self.take_back(cx, view);
        loop {
            self.set_pages(cx, view.head);
            let run = self.run.as_ref()?;
            let (start, count) = run.first_wanted_above(above)?;
            if !view.has_room {
                return None; // what an ended run left behind is still being judged; each of its results brings us here again
            }
            let whom = self.who_may_bring(cx, run, start, view);
            if whom.is_empty() {
                self.drop_claims(start, view);
                above = 0; // who is set aside backs no other page either
                continue;
            }
            return Some(page(start, count, whom));
        }
    }

    /// The page that all others wait for, once more, where its peer takes too long. Sets the timer for when that is so.
    pub(crate) fn second_wanted(&self, cx: &mut Cx, view: &View<'_>) -> Option<Wanted> {
        cx.timers.cancel(Timer::PageOverdue);
        let run = self.run.as_ref()?;
        let (start, count, first, since) = run.frontier()?;
        let due = since.after(patience(count, view.line));
        if due > cx.now.mono {
            cx.timers.set(Timer::PageOverdue, due);
            return None;
        }
        let near = (view.neighbourhood)(&first);
        let is_another = |peer: &PeerId| *peer != first && (near.is_none() || (view.neighbourhood)(peer) != near);
        let mut whom = self.who_may_bring(cx, run, start, view);
        whom.retain(is_another);
        if whom.is_empty() {
            return None;
        }
        cx.timers.set(Timer::PageOverdue, cx.now.mono.after(*PATIENCE.start())); // in case that none of them has room now
        Some(page(start, count, whom))
    }

    /// Those who may bring a page that starts there, in the order of their ids.
    fn who_may_bring(&self, cx: &Cx, run: &Run, start: u64, view: &View<'_>) -> Vec<PeerId> {
        let may_bring = |peer: &PeerId| !run.is_barred(start, peer) && (view.serves_pages)(peer);
        let mut whom: Vec<PeerId> = self.claims.followed_to(start).filter(may_bring).collect();
        if whom.iter().any(|peer| self.is_in_reach(cx, peer, view.head)) {
            whom.retain(|peer| self.is_in_reach(cx, peer, view.head));
        }
        whom
    }

    /// P6.9: does a peer claim no more than what is backed, or what lies right above it? Whoever claims more and has not shown it is asked where
    /// nobody else can be.
    fn is_in_reach(&self, cx: &Cx, peer: &PeerId, head: u64) -> bool {
        let best = self.claims.best_backed().max(head);
        self.claims.of(peer).is_some_and(|claim| claim <= best.saturating_add(u64::from(cx.config.page_near)))
    }

    /// Pages that are with peers out of reach go to others, as soon as there are such.
    fn take_back(&mut self, cx: &Cx, view: &View<'_>) {
        let Some(mut run) = self.run.take() else { return };
        let others = |start: u64| {
            let may_bring = |peer: &PeerId| self.is_in_reach(cx, peer, view.head) && (view.serves_pages)(peer);
            self.claims.followed_to(start).filter(may_bring).collect::<Vec<_>>()
        };
        let passed_over = |run: &Run, start: u64, peer: &PeerId| {
            !self.is_in_reach(cx, peer, view.head) && others(start).iter().any(|other| !run.is_barred(start, other))
        };
        for (start, peer) in run.asked().collect::<Vec<_>>() {
            if passed_over(&run, start, &peer) {
                run.take_back(start, peer);
            }
        }
        self.run = Some(run);
    }

    /// Sets pages up to the best claim that is followed, or ends the run.
    fn set_pages(&mut self, cx: &mut Cx, head: u64) {
        let target = self.claims.target();
        let Some(run) = &mut self.run else { return };
        run.drop_needless(head, target);
        // A page that is here behind one that nobody will bring any more is of no use.
        if head >= target && !run.is_under_way() {
            self.run = None;
            // Whoever claims more and backs nothing does not decide whether we are where the chain is (P11.1).
            let is_known = self.has_heard(head) || self.claims.above(head) == 0;
            if head >= self.claims.best_backed() && is_known {
                cx.tell(Event::Synced { head });
            }
            return;
        }
        let is_far = target.saturating_sub(head) > u64::from(cx.config.page_far);
        run.set_pages(target, if is_far { cx.config.page_far } else { cx.config.page_near });
    }

    /// A head that nobody backs is dropped: the claims that reach this far end before it. Who serves pages and did not answer may still have
    /// it, and is only set aside. Whoever is followed this far gives way, so that this comes to an end.
    fn drop_claims(&mut self, start: u64, view: &View<'_>) {
        let unbacked: Vec<PeerId> = self.claims.followed_to(start).collect();
        for peer in &unbacked {
            let was_unanswered = self.run.as_ref().is_some_and(|run| run.was_unanswered(start, peer));
            if was_unanswered && (view.serves_pages)(peer) {
                self.claims.set_aside(peer);
            } else {
                self.claims.lower(peer, start - 1);
            }
        }
    }

    /// The page that starts there went to this peer.
    pub(crate) fn page_asked(&mut self, cx: &Cx, start: u64, request: RequestId, peer: PeerId) {
        if let Some(run) = &mut self.run {
            run.asked_of(start, request, peer, cx.now.mono);
        }
    }

    /// A page came: its good items, and whether a bad one ended them. What it leaves open goes to another peer.
    pub(crate) fn page_arrived(&mut self, request: RequestId, peer: PeerId, items: Vec<SignedCommitment>, is_broken: bool) {
        let Some(run) = &mut self.run else { return };
        let Some(start) = run.start_of(request) else { return };
        let Some(slot) = run.pages.get_mut(&start) else { return };
        let got = u32::try_from(items.len()).unwrap_or(slot.count);
        let rest = slot.count - got.min(slot.count);
        let has_second = matches!(slot.page, Page::Asked { second: Some(_), .. });
        if got == 0 || has_second && rest > 0 {
            // Who else was asked may bring more; else somebody else is asked.
            run.not_brought(start, request);
            run.bar(start, peer, Bar::Useless);
            if got == 0 && !is_broken {
                self.claims.lower(&peer, start - 1);
            }
            return;
        }
        slot.count = got;
        slot.page = Page::Here { request, peer, items };
        let end = slot.end(start);
        if rest > 0 {
            let open = start + u64::from(got);
            run.pages.insert(open, Slot { count: rest, page: Page::Wanted });
            run.bar(open, peer, Bar::Useless);
        }
        self.probed_by_page(&peer, start, end);
    }

    /// P11.1: whoever was asked for its head with a page need not be probed for it.
    fn probed_by_page(&mut self, peer: &PeerId, start: u64, end: u64) {
        if self.claims.of(peer).is_some_and(|head| (start..end).contains(&head)) {
            self.claims.probed(peer);
        }
    }

    /// A page did not come.
    pub(crate) fn page_failed(&mut self, request: RequestId, peer: PeerId) {
        let Some(run) = &mut self.run else { return };
        let Some(start) = run.start_of(request) else { return };
        run.bar(start, peer, Bar::Unanswered);
        run.not_brought(start, request);
        if let Some(end) = run.pages.get(&start).map(|slot| slot.end(start)) {
            self.probed_by_page(&peer, start, end);
        }
    }

    /// The items to judge next, in their order, with who brought them in which response. To be polled until `None` whenever a page has come.
    pub(crate) fn next_to_judge(&mut self) -> Option<(PeerId, RequestId, Vec<SignedCommitment>)> {
        self.run.as_mut()?.next_to_judge()
    }

    /// One item of a response has its conclusion. Says whether the run starts over: the page is judged whole and leads nowhere.
    pub(crate) fn item_concluded(&mut self, request: RequestId, head: u64) -> bool {
        let Some(run) = &mut self.run else { return false };
        let Some(start) = run.start_of(request) else { return false };
        let Some(slot) = run.pages.get_mut(&start) else { return false };
        let end = slot.end(start);
        let Page::Judging { peer, open, .. } = &mut slot.page else { return false };
        *open = open.saturating_sub(1);
        let leads_nowhere = *open == 0 && end > head.saturating_add(1);
        let peer = *peer;
        if leads_nowhere {
            self.start_over(peer, start, head);
        }
        leads_nowhere
    }

    /// An item of a response is refused. Says whether the run starts over.
    pub(crate) fn item_refused(&mut self, request: RequestId, peer: PeerId, refusal: Refusal, head: u64) -> bool {
        if matches!(refusal, Refusal::Duplicate | Refusal::Stale) {
            return false; // gossip was faster
        }
        let Some(start) = self.run.as_ref().and_then(|run| run.start_of(request)) else { return false };
        if refusal == Refusal::NoRoom {
            // Not for want of a better peer: blocks must become ready first.
            self.run = None;
            self.paused = true;
            return false;
        }
        if refusal == Refusal::ScheduleUnknown {
            self.claims.set_aside(&peer); // who is not so far ahead can still be followed
        }
        self.start_over(peer, start, head);
        true
    }

    /// Starts over from our head, without this peer for these blocks.
    fn start_over(&mut self, peer: PeerId, start: u64, head: u64) {
        let Some(run) = &mut self.run else { return };
        run.bar(start, peer, Bar::Useless);
        run.bar(head.saturating_add(1), peer, Bar::Useless);
        run.start_over(head);
    }

    /// Does a page wait for a peer?
    pub(crate) fn waits_for_peer(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.first_wanted_above(0).is_some())
    }
}

/// A page of a catch-up, of one of these.
fn page(start: u64, count: u32, whom: Vec<PeerId>) -> Wanted {
    let body = GetCommitmentsRequest { start_block_number: U256::from(start), max_count: count }.encode();
    Wanted { protocol: Protocol::GetCommitments, body, purpose: Purpose::Page { start, count }, whom: Whom::OneOf(whom) }
}
