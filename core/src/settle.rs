//! What follows from what was found of a commitment or a txlist, for whoever brought it?
//!
//! | it came | accepted | refused |
//! |---|---|---|
//! | by gossip | gossip may forward it, and the peer is paid (C10, T5) | gossip is told; the peer is charged where the verdict is *reject* |
//! | in a page | the page is paid for as a whole, at the first of its commitments that passes C7 (P6.4) | catch-up decides: a broken page costs a failure, another one moves on |
//! | in an answer | the peer is paid, a command that waits for it ends | the peer is charged, the fetch or the command fails |
//! | from our application | it goes out (P5.7) | its command ends |
//! | it was here before | nothing | nothing: peers that have another chain bring it again |
//!
//! [`ChainState`](crate::chain::ChainState) and [`TxLists`](crate::txlists::TxLists) say what was found. Here is the one place that knows
//! both, and the peers, catch-up and the outbox beside them. Each ruling is settled before the next is made.

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use bytes::Bytes;

use crate::accepted::Accepted;
use crate::chain::ruling::{BrokenRule, Completed, Conclusion, Proven, Ruling};
use crate::error::{Refusal, RequestError};
use crate::id::{HeldId, JobId, MessageId, PeerId};
use crate::machine::Core;
use crate::origin::Origin;
use crate::output::{Action, Event, Outcome};
use crate::peer::conduct::Conduct;
use crate::peer::ledger::Cause;
use crate::peer::subnet::Cidr;
use crate::record::Record;
use crate::sync::MAX_PAGE_ITEMS_JUDGED;
use crate::sync::heads::PeerCount;
use crate::txlists::{Heights, RefusedOrphan, TxListConclusion, TxListRuling};
use crate::validate::v1::commitment;
use crate::verdict::Verdict;
use crate::wire::topics::{Protocol, Topic};
use crate::wire::v1::SignedCommitment;

impl Core {
    /// A message from gossip.
    pub(crate) fn gossip_received(&mut self, peer: PeerId, message: MessageId, topic: Topic, data: &Bytes) {
        let origin = Origin::Gossip { peer, message: Some(message) };
        let received = match topic {
            Topic::Commitments => commitment::shape(data, self.cx.config.slasher).and_then(|signed| {
                self.receipts.commitment_shown(&mut self.cx, peer, &signed);
                self.receive_commitment(origin, signed)
            }),
            Topic::TxLists => {
                let (mono, neighbourhood, peers) = (self.cx.now.mono, self.neighbourhood_of(&peer), &mut self.peers);
                let admit = |len| peers.admit_unnamed(mono, peer, len);
                self.txlists.arrived(&mut self.cx, (peer, message, neighbourhood), data, admit)
            }
        };
        if let Err(refusal) = received {
            self.refuse_gossip((peer, Some(message)), topic, refusal);
        }
    }

    /// Where a peer is: its neighbourhood (P8.3), or its address alone where that is exempt.
    fn neighbourhood_of(&self, peer: &PeerId) -> Option<Cidr> {
        let address = self.peers.address_of(peer)?;
        Some(self.gater.neighbourhood(address).unwrap_or(Cidr::around(address, u8::MAX)))
    }

    /// A commitment that is well formed (C1–C3). `Ok` means that its ruling comes later.
    pub(crate) fn receive_commitment(&mut self, origin: Origin, signed: SignedCommitment) -> Result<(), Refusal> {
        let address = origin.peer().and_then(|peer| self.peers.address_of(&peer));
        let neighbourhood = address.map(|address| self.gater.neighbourhood_or_address(address));
        self.chain.receive(&mut self.cx, &self.schedule, (origin, neighbourhood), signed)
    }

    /// A commitment's signer came back.
    pub(crate) fn signer_found(&mut self, job: JobId, signer: Option<Address>) {
        let checked = self.user_pages.signer_found(&self.cx, &self.schedule, job, signer);
        self.user_page_checked(checked);
        self.chain.signer_found(job, signer);
        let was_full = self.chain.verifying_in_responses() >= MAX_PAGE_ITEMS_JUDGED;
        self.settle_rulings();
        if was_full && self.chain.verifying_in_responses() < MAX_PAGE_ITEMS_JUDGED {
            self.dispatch_soon(); // more pages can be asked for
        }
    }

    /// Has commitments concluded until nothing more can be, and settles each ruling before the next is made.
    pub(crate) fn settle_rulings(&mut self) {
        loop {
            let Some(ruling) = self.chain.next_ruling(&mut self.cx, &self.schedule, &self.own) else { return };
            self.settle(ruling);
        }
    }

    /// P5.1: a held message must get its verdict now.
    pub(crate) fn verdict_due(&mut self, id: HeldId) {
        if let Some(ruling) = self.chain.verdict_due(id) {
            self.settle(ruling);
        }
    }

    /// P5.1: a held message has waited for long enough.
    pub(crate) fn hold_over(&mut self, id: HeldId) {
        if let Some(ruling) = self.chain.hold_over(&mut self.cx, id) {
            self.settle(ruling);
        }
    }

    /// What follows from one ruling.
    fn settle(&mut self, ruling: Ruling) {
        let Ruling { origin, conclusion, backed, proven, broken_rule, parent_wanted_for, completed } = ruling;
        if let Some(number) = backed {
            self.catch_up.height_backed(origin.peer().as_ref(), number); // P11.1
            if let Origin::Response { peer, request, .. } = origin
                && self.catch_up.is_first_good(request)
            {
                self.pay_for_answer(peer, request); // P6.4: not before a signature in it is checked
            }
        }
        if let Some(Proven { evidence, signer, block_number }) = proven {
            self.cx.stats.evidence += 1;
            self.cx.persist(Record::Evidence { evidence: Box::new((*evidence).clone()), signer });
            self.cx.tell(Event::EvidenceFound { evidence, signer, block_number }); // P5.4
        }
        if let Some(BrokenRule { parent, child, rule }) = broken_rule {
            self.cx.tell(Event::RuleBroken { parent, child, rule }); // C9
        }
        // P5.2. The peer may have left while the child's signer was being recovered.
        if let (Some(number), Some(peer)) = (parent_wanted_for, origin.peer().filter(|peer| self.peers.get(peer).is_some())) {
            self.catch_up.parent_missing(&mut self.cx, peer, number);
        }
        match conclusion {
            Conclusion::Accepted { commitment, fell_off } => {
                self.move_references(origin, &commitment, &fell_off, true);
                self.accept(origin, &commitment);
            }
            Conclusion::Forked { canonical, commitment: other, fell_off } => {
                self.move_references(origin, &other, &fell_off, false);
                if let Some(canonical) = canonical {
                    let (first, last) = (canonical.window_end.min(other.window_end), canonical.window_end.max(other.window_end));
                    let windows_adjoin = self.schedule.following(first).is_some_and(|next| first < last && next.end == last);
                    self.cx.tell(Event::Forked { canonical, other, windows_adjoin });
                }
                self.refuse(origin, Refusal::Fork);
            }
            Conclusion::ToRecord { signer, position, hash, signed } => self.record_own(origin, signer, position, hash, &signed),
            Conclusion::Held => {}
            Conclusion::Refused(refusal) => self.refuse(origin, refusal),
        }
        if let Some(Completed { origin, replaces }) = completed {
            self.emit_ready();
            if let Origin::Response { request, .. } = origin {
                self.page_item_concluded(request);
            }
            if let Some(replaced) = replaces {
                // After it was linked anew, or its txlist would be gone.
                self.txlists.remove_reference(&mut self.cx, &replaced);
            }
        }
    }

    /// The txlists of what fell off are needed no more; a new commitment's is, and is looked for if it is to be executed.
    fn move_references(&mut self, origin: Origin, new: &Accepted, fell_off: &[Arc<Accepted>], is_executed: bool) {
        for fallen in fell_off {
            self.txlists.remove_reference(&mut self.cx, fallen);
        }
        self.txlists.add_reference(&mut self.cx, new, origin.peer(), is_executed);
    }

    /// C10, and the handoff that an EOP without a txlist is (P5.3).
    fn accept(&mut self, origin: Origin, accepted: &Arc<Accepted>) {
        self.cx.persist(Record::Commitment(accepted.clone()));
        self.cx.tell(Event::CommitmentAccepted { commitment: accepted.clone(), source: origin.source() });
        let preconf = accepted.signed.preconf();
        if preconf.eop && !preconf.has_txlist() {
            self.hand_over(accepted.clone()); // P5.3: nothing is to be executed
        }
        match origin {
            Origin::Gossip { peer, message: Some(message) } => self.accept_gossip(peer, message, "C10"),
            // Its verdict was given when its time was over (P5.1), a page is paid for as a whole, and nobody waits to hear of the last.
            Origin::Gossip { message: None, .. } | Origin::Response { .. } | Origin::Kept => {}
            Origin::Own { command, .. } => self.own_accepted(command, accepted),
        }
        let peers = &self.peers;
        let count = || PeerCount { connected: peers.len(), serving_heads: peers.supporting(Protocol::GetHead) };
        if self.catch_up.head_moved(&mut self.cx, self.chain.head_number(), count) {
            self.dispatch_soon();
        }
    }

    /// A commitment is refused: whoever waits for it is told, and who is to blame is charged.
    pub(crate) fn refuse(&mut self, origin: Origin, refusal: Refusal) {
        match origin {
            Origin::Gossip { peer, message } => self.refuse_gossip((peer, message), Topic::Commitments, refusal),
            Origin::Response { peer, request, .. } => self.page_item_refused(peer, request, refusal),
            Origin::Own { command, is_recorded } => self.own_refused(command, is_recorded, refusal),
            Origin::Kept => {}
        }
    }

    /// A txlist's hash came back.
    pub(crate) fn hash_found(&mut self, job: JobId, found: B256) {
        let heights = Heights { head: self.chain.head_number(), next_ready: self.chain.next_ready() };
        let Some(ruling) = self.txlists.hash_found(&mut self.cx, job, found, heights) else { return };
        let origin = ruling.origin;
        self.settle_txlist(ruling);
        self.emit_ready();
        if matches!(origin, Origin::Response { .. }) {
            self.dispatch_soon(); // its slot among the requests is free
        }
    }

    /// T5: tells gossip of the txlists that waited and were refused unhashed in this step.
    pub(crate) fn refuse_orphans(&mut self) {
        for RefusedOrphan { peer, message, refusal } in self.txlists.take_refused() {
            self.refuse_gossip((peer, Some(message)), Topic::TxLists, refusal);
        }
    }

    /// What follows from what was found of a txlist.
    fn settle_txlist(&mut self, ruling: TxListRuling) {
        let TxListRuling { origin, hash, txlist, conclusion, message: own, unnamed_since } = ruling;
        let len_bytes = txlist.len();
        if let (Some(peer), Some(since), TxListConclusion::Stored) = (origin.peer(), unnamed_since, conclusion) {
            self.peers.refund_unnamed(self.cx.now.mono, peer, len_bytes, since); // T3
        }
        // P6.4: an answer with the right hash is paid for, whether there was room for it or not.
        if let (Origin::Response { peer, request, .. }, TxListConclusion::Stored | TxListConclusion::NotStored) = (origin, conclusion) {
            self.charge(self.cx.now, peer, "P6.4", Conduct::ResponseOk, Cause::Request(request));
        }
        let refusal = match conclusion {
            TxListConclusion::Stored => {
                self.cx.tell(Event::TxListStored { hash, len_bytes, source: origin.source() });
                None
            }
            TxListConclusion::NotStored => None,
            TxListConclusion::Refused(refusal) => Some(refusal),
        };
        match (origin, refusal) {
            (Origin::Gossip { peer, message: Some(message) }, None) => self.accept_gossip(peer, message, "T5"),
            (Origin::Gossip { peer, message: Some(message) }, Some(refusal)) => {
                self.refuse_gossip((peer, Some(message)), Topic::TxLists, refusal);
            }
            // T5: its verdict was *ignore*, which takes nothing from anybody.
            (Origin::Gossip { peer, message: None }, Some(refusal)) => self.note_refusal(peer, Some(Topic::TxLists), refusal),
            (Origin::Response { peer, command: Some(command), .. }, None) => {
                self.cx.finish(command, Outcome::TxList { peer, txlist: Some(txlist) });
            }
            (Origin::Response { peer, request, command }, Some(refusal)) => {
                self.blame(peer, request, refusal); // P6.4: costs a failure
                if let Some(command) = command {
                    self.cx.finish(command, Outcome::RequestFailed { peer, error: RequestError::Refused(refusal) });
                }
            }
            (Origin::Own { command, .. }, None) => {
                self.own_txlist_hashed(command, hash, own.expect("our own txlist comes with the message to publish"));
            }
            // T5: a block goes out whole whether there is room for its list here or not.
            (Origin::Own { command, .. }, Some(Refusal::NoRoom)) if self.outbox.block_mut(command).is_some() => {
                self.own_txlist_hashed(command, hash, own.expect("our own txlist comes with the message to publish"));
            }
            (Origin::Own { command, is_recorded }, Some(refusal)) => self.own_refused(command, is_recorded, refusal),
            (Origin::Gossip { message: None, .. } | Origin::Response { command: None, .. }, None) | (Origin::Kept, _) => {}
        }
    }

    fn accept_gossip(&mut self, peer: PeerId, message: MessageId, rule: &'static str) {
        self.report(message, peer, Verdict::Accept);
        self.charge(self.cx.now, peer, rule, Conduct::GossipAccepted, Cause::Message(message));
    }

    /// Gossip is told, unless the verdict was given before (P5.1); the peer is charged where it is at fault.
    fn refuse_gossip(&mut self, (peer, message): (PeerId, Option<MessageId>), topic: Topic, refusal: Refusal) {
        let verdict = refusal.verdict();
        if let Some(message) = message {
            self.report(message, peer, verdict);
        }
        self.note_refusal(peer, Some(topic), refusal);
        if verdict == Verdict::Reject {
            let cause = message.map_or(Cause::Neither, Cause::Message);
            self.charge(self.cx.now, peer, refusal.rule(), Conduct::GossipRejected, cause);
        }
    }

    /// Tells gossip a verdict and counts it.
    fn report(&mut self, message: MessageId, peer: PeerId, verdict: Verdict) {
        match verdict {
            Verdict::Accept => self.cx.stats.accepted += 1,
            Verdict::Ignore => self.cx.stats.ignored += 1,
            Verdict::Reject => self.cx.stats.rejected += 1,
        }
        self.cx.act(Action::ReportGossip { message, peer, verdict });
    }

    /// Counts a refusal and tells the application.
    pub(crate) fn note_refusal(&mut self, peer: PeerId, topic: Option<Topic>, refusal: Refusal) {
        *self.cx.stats.refusals.entry(refusal.row().label).or_default() += 1;
        self.cx.tell(Event::MessageRefused { peer, topic, refusal });
    }

    /// P5.5: tells every block that became ready, in order, once.
    pub(crate) fn emit_ready(&mut self) {
        while let Some(commitment) = self.chain.advance_ready(|hash| self.txlists.has(hash)) {
            self.cx.stats.ready += 1;
            let preconf = commitment.signed.preconf();
            let hash = preconf.raw_tx_list_hash;
            let txlist = preconf.has_txlist().then(|| self.txlists.get(&hash).cloned()).flatten();
            if let Some(txlist) = txlist.clone().filter(|_| !self.restored_txlists.remove(&hash)) {
                self.cx.persist(Record::TxList { hash, txlist });
            }
            let hands_over = preconf.eop && txlist.is_some();
            self.cx.tell(Event::BlockReady { commitment: commitment.clone(), txlist });
            if hands_over {
                self.hand_over(commitment); // P5.3: execute, then hand off
            }
        }
    }

    fn hand_over(&mut self, commitment: Arc<Accepted>) {
        let next = self.schedule.following(commitment.window_end).map(|window| window.preconfer);
        self.cx.tell(Event::Handoff { commitment, next });
    }

    /// The pause behind a failure of the host is over.
    pub(crate) fn execute_again(&mut self) {
        let Some((block_number, _)) = self.failed else { return };
        if block_number >= self.chain.next_ready() || block_number <= self.chain.tip().block_number {
            return; // the chain moved under it: it is told, or settled, by itself
        }
        let from = self.chain.rewind_ready(block_number);
        self.cx.tell(Event::ExecuteAgain { from });
        self.want_txlists_again();
        self.emit_ready();
    }

    /// What must be executed again needs its txlists again.
    pub(crate) fn want_txlists_again(&mut self) {
        for accepted in self.chain.from(self.chain.next_ready()) {
            self.txlists.want_again(&mut self.cx, accepted);
        }
    }
}
