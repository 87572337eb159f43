//! What becomes of a commitment (C1–C10)?
//!
//! ```text
//! bytes --shape (C1-C3)--> Claim --judge (C4-C7)--> job --signer--> conclude (C4, C6-C9) --> accepted | fork | held | refused
//! ```
//!
//! Signers come back in any order, so claims are concluded in the order in which they were judged: what the node concludes does not depend
//! on which thread was faster. An accepted commitment releases the ones that waited for it, by a queue and never by recursion.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use alloy_primitives::{Address, B256};
use bytes::Bytes;

use crate::chain::held::Wait;
use crate::chain::linked::Link;
use crate::crypto;
use crate::error::{PublishError, Refusal};
use crate::evidence::{Evidence, Fault};
use crate::id::{CommandId, HeldId, JobId, MessageId, PeerId, RequestId};
use crate::job::Work;
use crate::machine::Core;
use crate::output::{Accepted, Action, Event, Outcome, Source, Verdict};
use crate::peer::conduct::Conduct;
use crate::peer::ledger::Cause;
use crate::sync::MAX_PAGE_ITEMS_JUDGED;
use crate::time::{Now, Time, Timer};
use crate::validate::v1::commitment;
use crate::wire::topics::Topic;
use crate::wire::v1::SignedCommitment;

/// Most commitments of all peers' gossip whose signers are being recovered. Ours: what P5.1 lets be held in all.
pub(crate) const MAX_VERIFYING: usize = 1024;

/// How a commitment came to us, and who waits to hear of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// By gossip. The message is named until its verdict is given.
    Gossip { peer: PeerId, message: Option<MessageId> },
    /// In a page that we asked for.
    Page { peer: PeerId, request: RequestId },
    /// From our own application.
    Own { command: CommandId },
    /// It was here already, and is linked anew because the sync tip moved (P9.3).
    Kept,
}

impl Origin {
    pub(crate) fn peer(self) -> Option<PeerId> {
        match self {
            Self::Gossip { peer, .. } | Self::Page { peer, .. } => Some(peer),
            Self::Own { .. } | Self::Kept => None,
        }
    }

    fn source(self) -> Source {
        match self {
            Self::Gossip { peer, .. } => Source::Gossip(peer),
            Self::Page { peer, .. } => Source::Response(peer),
            Self::Own { .. } => Source::Own,
            Self::Kept => Source::Kept,
        }
    }
}

/// A commitment on its way to a verdict.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) signed: Arc<SignedCommitment>,
    pub(crate) hash: B256,
    pub(crate) number: u64,
    pub(crate) window_end: u64,
    pub(crate) origin: Origin,
    arrived: Time,
    /// Who signed it, once that is recovered.
    signer: Option<Address>,
}

impl Claim {
    /// Where it wants to stand: one window, one block number (P5.1).
    pub(crate) fn place(&self) -> (u64, u64) {
        (self.window_end, self.number)
    }

    /// Is its signer recovered, and the elected one (C7)?
    pub(crate) fn is_signed(&self) -> bool {
        self.signer.is_some()
    }

    pub(crate) fn parent(&self) -> B256 {
        self.signed.preconf().parent_preconfirmation_hash
    }
}

/// Claims whose signers are being recovered, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Docket {
    claims: BTreeMap<JobId, (Claim, Option<Option<Address>>)>,
    gossip_of: BTreeMap<PeerId, usize>,
    gossip: usize,
    page_items: usize,
}

impl Docket {
    /// How many are under way.
    pub(crate) fn len(&self) -> usize {
        self.claims.len()
    }

    /// How many of them came in pages.
    pub(crate) fn page_items(&self) -> usize {
        self.page_items
    }

    /// Every one, first come first.
    pub(crate) fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.claims.values().map(|(claim, _)| claim)
    }

    fn has_room_for(&self, origin: Origin, max_per_peer: usize) -> bool {
        match origin {
            Origin::Gossip { peer, .. } => {
                self.gossip < MAX_VERIFYING && self.gossip_of.get(&peer).is_none_or(|count| *count < max_per_peer)
            }
            Origin::Page { .. } | Origin::Own { .. } | Origin::Kept => true, // bounded where they are asked for
        }
    }

    fn enter(&mut self, job: JobId, claim: Claim) {
        if let Origin::Gossip { peer, .. } = claim.origin {
            *self.gossip_of.entry(peer).or_default() += 1;
            self.gossip += 1;
        }
        self.page_items += usize::from(matches!(claim.origin, Origin::Page { .. }));
        self.claims.insert(job, (claim, None));
    }

    fn answer(&mut self, job: JobId, signer: Option<Address>) {
        if let Some((_, found)) = self.claims.get_mut(&job) {
            *found = Some(signer);
        }
    }

    /// Drops what came with a page whose items so far proved bad (P6.4): late results find nothing.
    pub(crate) fn void(&mut self, request: RequestId) {
        let before = self.claims.len();
        self.claims.retain(|_, (claim, _)| !matches!(claim.origin, Origin::Page { request: of, .. } if of == request));
        self.page_items -= before - self.claims.len();
    }

    /// The oldest claim, if its signer is known.
    fn next_answered(&mut self) -> Option<(Claim, Option<Address>)> {
        let first = self.claims.first_entry()?;
        let signer = first.get().1?;
        let (claim, _) = first.remove();
        self.page_items -= usize::from(matches!(claim.origin, Origin::Page { .. }));
        if let Origin::Gossip { peer, .. } = claim.origin {
            self.gossip -= 1;
            if let Some(count) = self.gossip_of.get_mut(&peer) {
                *count -= 1;
                if *count == 0 {
                    self.gossip_of.remove(&peer);
                }
            }
        }
        Some((claim, signer))
    }
}

impl Core {
    /// A commitment from gossip.
    pub(crate) fn gossiped_commitment(&mut self, now: Now, peer: PeerId, message: MessageId, data: &Bytes) {
        let origin = Origin::Gossip { peer, message: Some(message) };
        let judged = commitment::shape(data, self.cx.config.slasher).and_then(|signed| self.judge(now, origin, signed));
        if let Err(refusal) = judged {
            self.refuse(now, origin, refusal);
        }
    }

    /// C4–C7: everything that can be said before the signer is known. `Ok` means that the verdict comes later.
    pub(crate) fn judge(&mut self, now: Now, origin: Origin, signed: SignedCommitment) -> Result<(), Refusal> {
        let hash = crypto::preconfirmation_hash(&signed);
        if self.chain.get(&hash).is_some() {
            return Err(Refusal::Duplicate); // C4
        }
        let preconf = signed.preconf();
        let number = commitment::place(preconf.block_number, self.chain.floor(), self.chain.head_number(), self.reach(origin))?;
        if !matches!(origin, Origin::Page { .. }) {
            commitment::timely(preconf.submission_window_end, now.unix, self.cx.config.late_grace)?; // C5, P6.10
        }
        // What fits no 64 bits is covered by no schedule, now or ever (C6).
        let window_end = u64::try_from(preconf.submission_window_end).map_err(|_| Refusal::ScheduleUnknown)?;
        let claim = Claim { signed: Arc::new(signed), hash, number, window_end, origin, arrived: now.mono, signer: None };
        self.seek_signer(now, claim)
    }

    /// How far above the head a commitment may be (C4). A page was asked for in reach of what is already under way.
    fn reach(&self, origin: Origin) -> u64 {
        match origin {
            Origin::Gossip { .. } | Origin::Own { .. } => self.cx.config.max_blocks_ahead,
            Origin::Page { .. } | Origin::Kept => u64::MAX,
        }
    }

    /// C6, then out for the signer; or held until the schedule reaches that far.
    fn seek_signer(&mut self, now: Now, claim: Claim) -> Result<(), Refusal> {
        match commitment::window(&claim.signed, &self.schedule)? {
            None => self.hold(now, claim, Wait::Schedule),
            Some(_) if crypto::is_high_s(&claim.signed) => Err(Refusal::HighS), // C7, P4.4
            Some(_) if !self.docket.has_room_for(claim.origin, self.cx.config.max_jobs_per_peer) => Err(Refusal::NoRoom),
            Some(_) => {
                let job = self.cx.start(Work::Recover { commitment: claim.signed.clone(), domain: self.cx.config.domain });
                self.docket.enter(job, claim);
                Ok(())
            }
        }
    }

    /// A signer came back. Concludes every claim that is next in line and answered.
    pub(crate) fn signer_found(&mut self, now: Now, job: JobId, signer: Option<Address>) {
        self.docket.answer(job, signer);
        let full = self.docket.page_items() >= MAX_PAGE_ITEMS_JUDGED;
        while let Some((claim, signer)) = self.docket.next_answered() {
            let origin = claim.origin;
            self.conclude_with_children(now, claim, signer);
            if let Origin::Page { request, .. } = origin {
                self.page_item_concluded(request);
            }
        }
        if full && self.docket.page_items() < MAX_PAGE_ITEMS_JUDGED {
            self.pump_soon();
        }
    }

    /// Concludes a claim, then all that waited for it, and all that waited for those.
    fn conclude_with_children(&mut self, now: Now, claim: Claim, signer: Option<Address>) {
        let mut queue = VecDeque::from([(claim, signer)]);
        while let Some((claim, signer)) = queue.pop_front() {
            let (origin, hash) = (claim.origin, claim.hash);
            if let Err(refusal) = self.conclude(now, claim, signer) {
                if let Origin::Page { request, .. } = origin
                    && !matches!(refusal, Refusal::Duplicate | Refusal::Stale)
                {
                    self.docket.void(request); // P6.4: nothing behind the first bad item; what stood before it is concluded already
                }
                self.refuse(now, origin, refusal);
            }
            if self.chain.get(&hash).is_some() {
                queue.extend(self.let_go(&hash));
            }
        }
        self.emit_ready();
    }

    /// Takes those that wait for a parent out of their places.
    fn let_go(&mut self, parent: &B256) -> Vec<(Claim, Option<Address>)> {
        let ids = self.held.waiting_for(parent);
        let take = |id| {
            let (claim, _) = self.unhold(id)?;
            let signer = claim.signer;
            Some((claim, signer))
        };
        ids.into_iter().filter_map(take).collect()
    }

    /// C4 and C6–C10, now that the signer is known.
    fn conclude(&mut self, now: Now, mut claim: Claim, signer: Option<Address>) -> Result<(), Refusal> {
        if self.chain.get(&claim.hash).is_some() {
            return Err(Refusal::Duplicate); // C4
        }
        if claim.number <= self.chain.floor() {
            return Err(Refusal::Stale); // C4
        }
        let Some(window) = commitment::window(&claim.signed, &self.schedule)? else {
            return self.hold(now, claim, Wait::Schedule); // C6: the schedule went back
        };
        let signer = commitment::elected(signer, &window)?; // C7
        if matches!(claim.origin, Origin::Own { .. }) && self.outbox.contradicts(claim.number, &claim.hash) {
            return Err(Refusal::Equivocation); // P5.9: the other one was said while this one's signer was recovered
        }
        if let Some((fault, first)) = self.chain.contradicted(&claim, signer) {
            let first = first.clone();
            self.accuse(&claim, signer, fault, &first);
            match fault {
                Fault::Equivocation => return Err(Refusal::Equivocation), // C8
                Fault::AfterEop => return Err(Refusal::AfterEop),         // C8
                Fault::BrokenLink => {}                                   // C9: its signer may have shown others the parent that it names
            }
        }
        claim.signer = Some(signer);
        match self.chain.link(&claim.signed, claim.number, &self.cx.config.parent_rules)? {
            Link::Missing => {
                let wait = Wait::Parent(claim.parent());
                self.hold(now, claim, wait)
            }
            // P5.7: nothing of ours is kept that is not sent, or it would speak against us later.
            Link::Forks if matches!(claim.origin, Origin::Own { .. }) => Err(Refusal::Fork),
            Link::Forks => {
                let other = self.keep(now, claim, signer, Link::Forks)?;
                if let Some(canonical) = self.chain.at(other.block_number).cloned() {
                    self.cx.tell(Event::Forked { canonical, other });
                }
                Err(Refusal::Fork)
            }
            Link::Extends => {
                let origin = claim.origin;
                let accepted = self.keep(now, claim, signer, Link::Extends)?;
                self.accept(now, origin, &accepted);
                Ok(())
            }
        }
    }

    /// P5.4: a fault of the signer's, not of the peer's that carried it.
    fn accuse(&mut self, claim: &Claim, signer: Address, fault: Fault, first: &Accepted) {
        if let Origin::Own { .. } = claim.origin {
            return; // it was never said to anyone, and will not be
        }
        let evidence = Evidence { fault, first: first.signed.clone(), second: (*claim.signed).clone() };
        if let Some(evidence) = self.evidence.enter(signer, claim.number, evidence) {
            self.cx.stats.evidence += 1;
            self.cx.tell(Event::EvidenceFound { evidence, signer, block_number: claim.number });
        }
    }

    /// Stores a commitment, canonical or beside, and what follows for its txlist.
    fn keep(&mut self, now: Now, claim: Claim, signer: Address, link: Link) -> Result<Arc<Accepted>, Refusal> {
        for fallen in self.chain.make_room()? {
            self.unname(&fallen);
        }
        let Claim { signed, hash, number: block_number, window_end, origin, .. } = claim;
        let accepted = Arc::new(Accepted { signed: Arc::unwrap_or_clone(signed), hash, signer, block_number, window_end });
        let fallen = if link == Link::Extends {
            self.chain.extend(accepted.clone());
            None
        } else {
            self.chain.keep_fork(accepted.clone())
        };
        if let Some(fallen) = fallen {
            self.unname(&fallen);
        }
        self.name(now, &accepted, origin.peer(), link);
        Ok(accepted)
    }

    /// C10, and the handoff that an EOP is (P5.3).
    fn accept(&mut self, now: Now, origin: Origin, accepted: &Arc<Accepted>) {
        self.cx.tell(Event::CommitmentAccepted { commitment: accepted.clone(), source: origin.source() });
        if accepted.signed.preconf().eop {
            let next = self.schedule.following(accepted.window_end).map(|window| window.preconfer);
            self.cx.tell(Event::Handoff { commitment: accepted.clone(), next });
        }
        match origin {
            Origin::Gossip { peer, message: Some(message) } => {
                self.report(message, peer, Verdict::Accept);
                self.charge(now, peer, "C10", Conduct::GossipAccepted, Cause::Message(message));
            }
            // Its verdict was given when its time was over (P5.1), a page is paid for as a whole, and nobody waits to hear of the last.
            Origin::Gossip { message: None, .. } | Origin::Page { .. } | Origin::Kept => {}
            Origin::Own { command } => {
                let data = Bytes::copy_from_slice(accepted.signed.as_bytes());
                self.own_judged(command);
                self.note_committed(accepted.block_number, accepted.hash);
                self.send_out(now, command, Topic::Commitments, data, accepted.window_end);
            }
        }
        self.head_moved(now);
    }

    /// Tells whoever waits that a claim is refused, and charges who is to blame.
    pub(crate) fn refuse(&mut self, now: Now, origin: Origin, refusal: Refusal) {
        let verdict = refusal.verdict();
        match origin {
            Origin::Gossip { peer, message } => {
                if let Some(message) = message {
                    self.report(message, peer, verdict);
                }
                self.note_refusal(peer, Some(Topic::Commitments), refusal);
                if verdict == Verdict::Reject {
                    let cause = message.map_or(Cause::Neither, Cause::Message);
                    self.charge(now, peer, refusal.rule(), Conduct::GossipRejected, cause);
                }
            }
            Origin::Page { peer, request } => self.page_item_refused(now, peer, request, refusal),
            Origin::Own { command } => {
                self.own_judged(command);
                self.cx.finish(command, Outcome::NotPublished(PublishError::Refused(refusal)));
            }
            Origin::Kept => {} // what no longer links is gone; peers that have another chain bring it again
        }
    }

    /// Lets a claim wait, if its origin may (P5.1).
    fn hold(&mut self, now: Now, claim: Claim, wait: Wait) -> Result<(), Refusal> {
        let unknown = match wait {
            Wait::Schedule => Refusal::ScheduleUnknown,
            Wait::Parent(_) => Refusal::ParentUnknown,
        };
        if let Origin::Page { peer, .. } = claim.origin
            && claim.number <= self.chain.head_number().saturating_add(1)
            && matches!(wait, Wait::Parent(_))
        {
            self.parent_missing(now, peer, claim.number); // P5.2: it runs along another chain, which is found and told so (C9)
        }
        let Origin::Gossip { peer, message } = claim.origin else { return Err(unknown) };
        let id = self.cx.mint.held.next(HeldId);
        let (arrived, number) = (claim.arrived, claim.number);
        if let Err(back) = self.held.hold(id, claim, wait) {
            return Err(back.1);
        }
        if message.is_some() {
            self.cx.timers.set(Timer::Verdict(id), arrived.after(self.cx.config.verdict_timeout));
        }
        self.cx.timers.set(Timer::Hold(id), arrived.after(self.cx.config.hold_for));
        if matches!(wait, Wait::Parent(_)) {
            self.parent_missing(now, peer, number); // P5.2
        }
        Ok(())
    }

    fn unhold(&mut self, id: HeldId) -> Option<(Claim, Wait)> {
        self.cx.timers.cancel(Timer::Verdict(id));
        self.cx.timers.cancel(Timer::Hold(id));
        self.held.take(id)
    }

    /// P5.1: the verdict of a held message is due. It stays held, and nobody is charged.
    pub(crate) fn verdict_due(&mut self, id: HeldId) {
        let Some((claim, wait)) = self.held.get_mut(id) else { return };
        let Origin::Gossip { peer, message: Some(message) } = claim.origin else { return };
        claim.origin = Origin::Gossip { peer, message: None };
        let refusal = match wait {
            Wait::Schedule => Refusal::ScheduleUnknown,
            Wait::Parent(_) => Refusal::ParentUnknown,
        };
        self.report(message, peer, refusal.verdict());
        self.note_refusal(peer, Some(Topic::Commitments), refusal);
    }

    /// P5.1: held for long enough.
    pub(crate) fn hold_over(&mut self, id: HeldId) {
        self.unhold(id); // its verdict was given long ago: `verdict_timeout` is less than `hold_for`
    }

    /// New windows came: what waited for them is judged again.
    pub(crate) fn judge_waiting_for_schedule(&mut self, now: Now) {
        for id in self.held.waiting_for_schedule() {
            let Some((claim, _)) = self.unhold(id) else { continue };
            let origin = claim.origin;
            if let Err(refusal) = self.seek_signer(now, claim) {
                self.refuse(now, origin, refusal);
            }
        }
    }

    /// The chain changed under them: concludes again all that wait for a parent, and the forks (P9.3).
    pub(crate) fn judge_again(&mut self, now: Now, loose: Vec<Arc<Accepted>>) {
        // Lowest first, so that each finds its parent.
        for accepted in loose {
            let Accepted { signed, hash, signer, block_number: number, window_end } = Accepted::clone(&accepted);
            let origin = Origin::Kept;
            let claim = Claim { signed: Arc::new(signed), hash, number, window_end, origin, arrived: now.mono, signer: Some(signer) };
            self.conclude_with_children(now, claim, Some(signer));
            self.unname(&accepted); // after it was named anew, or its txlist would be gone
        }
        for id in self.held.waiting_for_parents() {
            let Some((claim, _)) = self.unhold(id) else { continue };
            let signer = claim.signer;
            self.conclude_with_children(now, claim, signer);
        }
    }

    /// Tells gossip a verdict and counts it.
    pub(crate) fn report(&mut self, message: MessageId, peer: PeerId, verdict: Verdict) {
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
}
