//! What follows from an answer to a request of ours, and from its failure?
//!
//! | asked for | a good answer | a broken one (P6.4) | none (P6.5) |
//! |---|---|---|---|
//! | a head | its claim counts, a command that waits ends; the peer is paid if it is between our head and the best that is backed | a failure; the command fails | the command fails |
//! | commitments, by our user | once their signers are recovered and are the elected ones, the peer is paid and the command ends | a failure; the command fails | the command fails |
//! | a page | items are judged; the peer is paid at the first that passes C7 | one failure; its good items are judged, another peer has the rest | another peer is asked |
//! | what backs a peer's claim | likewise (P11.1); nothing there: the claim falls | one failure | the claim is a word |
//! | the parent of a child | likewise | one failure | nothing: the next child asks again |
//! | what there is of our own window | likewise, before what waits for them (P5.9b) | one failure | another peer is asked |
//! | a txlist | it is hashed, and settled then; not found costs nothing | a failure; the fetch moves on, the command fails | likewise, uncharged |
//!
//! Who did not answer is charged by how: in time, by closing, with a broken frame; not for what it cannot help.

use bytes::Bytes;

use crate::error::{Refusal, RequestError};
use crate::id::{PeerId, RequestId};
use crate::input::RequestFailure;
use crate::machine::Core;
use crate::origin::Origin;
use crate::output::{Action, Outcome};
use crate::peer::conduct::Conduct;
use crate::peer::ledger::Cause;
use crate::peer::score::Standing;
use crate::request::response::{PageRead, read_head, read_page, read_txlist};
use crate::request::user_pages::Checked;
use crate::request::wanted::Purpose;
use crate::request::{Ended, Sent};
use crate::time::Timer;
use crate::verdict::Verdict;
use crate::wire::v1::{PreconfHead, RawTxList, SignedCommitment};

impl Core {
    /// A request of ours was answered.
    pub(crate) fn response_received(&mut self, request: RequestId, body: &Bytes) {
        let Some(Ended { sent, .. }) = self.requests.end(&mut self.cx, &mut self.peers, request) else { return }; // P6.5: unknown or late
        let Sent { peer, purpose, .. } = sent;
        let slasher = self.cx.config.slasher;
        let answered = match purpose {
            Purpose::Head { .. } => read_head(body).map(|head| self.head_received(request, sent, head)),
            Purpose::Commitments { start, count, command } => {
                let PageRead { items: commitments, broken } = read_page(body, start, count, slasher);
                broken.map_or(Ok(()), Err).map(|()| {
                    let about = (request, peer, command);
                    let checked = self.user_pages.arrived(&mut self.cx, &self.schedule, about, commitments);
                    self.user_page_checked(checked);
                })
            }
            Purpose::Page { start, count } => {
                let (items, is_broken) = self.commitments_received(request, peer, read_page(body, start, count, slasher));
                if !items.is_empty() {
                    self.peers.note_brought(self.cx.now.mono, &peer, sent.since, body.len());
                }
                self.page_arrived(request, peer, items, is_broken);
                Ok(())
            }
            Purpose::Probe { number } => {
                let (items, is_broken) = self.commitments_received(request, peer, read_page(body, number, 1, slasher));
                if items.is_empty() && !is_broken {
                    self.catch_up.claim_unbacked(&peer, self.chain.head_number());
                }
                self.judge_items(peer, request, items);
                Ok(())
            }
            Purpose::Parent { number } => {
                let (items, _) = self.commitments_received(request, peer, read_page(body, number, 1, slasher));
                self.judge_items(peer, request, items);
                Ok(())
            }
            Purpose::OwnWindow { start, count } => {
                let (items, is_broken) = self.commitments_received(request, peer, read_page(body, start, count, slasher));
                let len = items.len();
                self.judge_items(peer, request, items);
                self.inquiry_answered(&peer, (!is_broken).then_some(len));
                Ok(())
            }
            Purpose::TxList { hash, .. } => {
                read_txlist(body, hash, self.cx.config.txlist_cap).map(|list| self.txlist_received(request, sent, list))
            }
        };
        if let Err(refusal) = answered {
            self.blame(peer, request, refusal);
            self.ended_without_good(request, sent, RequestError::Refused(refusal));
        }
        self.dispatch_soon();
    }

    /// P6.4: what our user asked for is handed over, and paid for, once its signatures are checked.
    pub(crate) fn user_page_checked(&mut self, checked: Option<Checked>) {
        let Some(Checked { request, peer, command, items }) = checked else { return };
        match items {
            Ok(commitments) => {
                self.cx.stats.requests_answered += 1;
                if !commitments.is_empty() {
                    self.pay_for_answer(peer, request);
                }
                self.cx.finish(command, Outcome::Commitments { peer, commitments });
            }
            Err(refusal) => {
                self.cx.stats.requests_failed += 1;
                if refusal.verdict() == Verdict::Reject {
                    self.blame(peer, request, refusal);
                }
                self.cx.finish(command, Outcome::RequestFailed { peer, error: RequestError::Refused(refusal) });
            }
        }
    }

    fn head_received(&mut self, request: RequestId, Sent { peer, purpose, .. }: Sent, head: PreconfHead) {
        self.cx.stats.requests_answered += 1;
        if self.peers.get(&peer).is_some() {
            let is_pruned = self.reputation.standing(self.cx.now.mono, &peer) >= Standing::Pruned;
            let number = u64::try_from(head.block_number).unwrap_or(u64::MAX);
            self.receipts.head_shown(&mut self.cx, peer, number);
            let best = self.best(self.cx.now);
            // P7.1: neither a claim that nothing backs nor a head that was passed long ago is worth anything.
            if (self.chain.head_number()..=best).contains(&number) {
                self.pay_for_answer(peer, request);
            }
            self.catch_up.head_claimed(peer, number, is_pruned);
            self.plan_catch_up();
        }
        if let Some(command) = purpose.command() {
            self.cx.finish(command, Outcome::Head { peer, head });
        }
    }

    /// Commitments that catch-up asked for: the good ones, and whether a bad one ended them, which is charged. What they are worth is known
    /// when their signatures are checked.
    fn commitments_received(&mut self, request: RequestId, peer: PeerId, read: PageRead) -> (Vec<SignedCommitment>, bool) {
        for item in &read.items {
            self.receipts.commitment_shown(&mut self.cx, peer, item);
        }
        match read.broken {
            Some(refusal) => self.blame_once(peer, request, refusal),
            None => self.cx.stats.requests_answered += 1,
        }
        (read.items, read.broken.is_some())
    }

    fn page_arrived(&mut self, request: RequestId, peer: PeerId, items: Vec<SignedCommitment>, is_broken: bool) {
        self.peers.set_unresponsive(&peer, false);
        self.catch_up.page_arrived(request, peer, items, is_broken);
        self.judge_pages();
    }

    fn txlist_received(&mut self, request: RequestId, Sent { peer, purpose, .. }: Sent, list: RawTxList) {
        self.cx.stats.requests_answered += 1;
        match purpose.command() {
            // P6.3: not found, and P5.6, P7.8: that costs nothing
            Some(command) if list.txlist.is_empty() => self.cx.finish(command, Outcome::TxList { peer, txlist: None }),
            None if list.txlist.is_empty() => {
                self.txlists.fetch_failed(&list.hash); // the end of the request has others asked
            }
            command => self.txlists.answered(&mut self.cx, Origin::Response { peer, request, command }, list),
        }
    }

    /// P6.5: a request of ours has had its time, unless we did not read for a part of it.
    pub(crate) fn request_overdue(&mut self, request: RequestId) {
        match self.requests.time_left(&self.cx, request) {
            Some(left) => self.cx.timers.set(Timer::Request(request), self.cx.now.mono.after(left)),
            None => self.request_failed(request, RequestFailure::Timeout),
        }
    }

    /// A request of ours has no answer.
    pub(crate) fn request_failed(&mut self, request: RequestId, failure: RequestFailure) {
        let peer = self.requests.peer_of(request).and_then(|peer| self.peers.get(&peer));
        let disconnected_by_us = peer.is_some_and(|peer| peer.is_closed_by_us(self.cx.now.mono));
        self.request_ended(request, failure, disconnected_by_us);
    }

    /// A peer is gone: what we asked of it ends now.
    pub(crate) fn requests_end_with(&mut self, peer: PeerId, disconnected_by_us: bool) {
        for request in self.requests.of(&peer) {
            self.request_ended(request, RequestFailure::Closed, disconnected_by_us);
        }
    }

    fn request_ended(&mut self, request: RequestId, failure: RequestFailure, disconnected_by_us: bool) {
        let was_unread = self.requests.was_unread(&self.cx, request);
        let Some(Ended { sent, was_sent }) = self.requests.end(&mut self.cx, &mut self.peers, request) else { return }; // P6.5
        let conduct = match failure {
            RequestFailure::Timeout | RequestFailure::Closed if was_unread => None, // it may have answered, or given us up
            RequestFailure::Timeout => Some(Conduct::Timeout),
            RequestFailure::Closed if disconnected_by_us => None, // P8.4, P8.10: it was us
            RequestFailure::Closed => Some(Conduct::Dropped),
            RequestFailure::BadFrame => Some(Conduct::BadMessage),
            // A dial of its own says so when a peer cannot be reached, and what a peer does not speak we must not ask: no fault of its.
            RequestFailure::Unreachable | RequestFailure::Unsupported => None,
        };
        if let Some(conduct) = conduct.filter(|_| was_sent) {
            self.charge(self.cx.now, sent.peer, "P6.5", conduct, Cause::Request(request));
        }
        if was_sent && failure == RequestFailure::Timeout {
            self.cx.act(Action::CancelRequest { request });
        }
        if was_sent && failure == RequestFailure::Closed && self.peers.get(&sent.peer).is_some() {
            self.peers.rest(self.cx.now.mono, sent.peer, sent.protocol); // P6.7: it may count what we asked before a restart
        }
        if failure == RequestFailure::Unsupported {
            self.peers.does_not_speak(&sent.peer, sent.protocol);
        }
        self.ended_without_good(request, sent, RequestError::Failed(failure));
        self.dispatch_soon();
    }

    fn ended_without_good(&mut self, request: RequestId, Sent { peer, purpose, .. }: Sent, error: RequestError) {
        self.cx.stats.requests_failed += 1;
        match purpose {
            Purpose::Page { .. } => {
                self.peers.set_unresponsive(&peer, true);
                self.catch_up.page_failed(request, peer);
            }
            Purpose::TxList { hash, command: None } => {
                self.txlists.fetch_failed(&hash); // the end of the request has others asked
            }
            Purpose::OwnWindow { .. } => self.inquiry_answered(&peer, None),
            Purpose::TxList { .. }
            | Purpose::Head { .. }
            | Purpose::Commitments { .. }
            | Purpose::Parent { .. }
            | Purpose::Probe { .. } => {}
        }
        if let Some(command) = purpose.command() {
            self.cx.finish(command, Outcome::RequestFailed { peer, error });
        }
    }

    /// P7.1: a good answer to what we asked for.
    pub(crate) fn pay_for_answer(&mut self, peer: PeerId, request: RequestId) {
        self.charge(self.cx.now, peer, "P6.4", Conduct::ResponseOk, Cause::Request(request));
    }

    /// A broken response costs its peer a failure (P6.4).
    pub(crate) fn blame(&mut self, peer: PeerId, request: RequestId, refusal: Refusal) {
        self.note_refusal(peer, None, refusal);
        self.charge(self.cx.now, peer, refusal.rule(), Conduct::BadMessage, Cause::Request(request));
    }

    /// P6.4: one failure, however many of its items are bad.
    fn blame_once(&mut self, peer: PeerId, request: RequestId, refusal: Refusal) {
        if self.catch_up.is_first_fault(request) {
            self.blame(peer, request, refusal);
        }
    }

    /// Judges the pages that are here, in order, up to the first that is not.
    pub(crate) fn judge_pages(&mut self) {
        while let Some((peer, request, items)) = self.catch_up.next_to_judge() {
            self.judge_items(peer, request, items);
        }
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

    /// One item of a response has its conclusion.
    pub(crate) fn page_item_concluded(&mut self, request: RequestId) {
        if self.catch_up.item_concluded(request, self.chain.head_number()) {
            self.dispatch_soon();
        }
    }

    /// An item of a response is refused. A broken one costs its peer a failure; either way the rest is asked of another peer.
    pub(crate) fn page_item_refused(&mut self, peer: PeerId, request: RequestId, refusal: Refusal) {
        if refusal.verdict() == Verdict::Reject {
            self.blame_once(peer, request, refusal);
        }
        if self.catch_up.item_refused(request, peer, refusal, self.chain.head_number()) {
            self.dispatch_soon();
        }
    }
}
