//! What becomes of a commitment (C4–C10)?
//!
//! ```text
//! receive (C4-C7) --> Verifying --signer_found--> concluded (C4, C6-C9) --> Accepted | Forked | ToRecord | Held | Refused
//!     \--schedule does not reach--> Held --schedule_changed--^   ^--its parent accepted-- Held
//!                                                            ^--its record is on disk-- Recording, where it is our own (P5.9a)
//! ```
//!
//! [`ChainState`] owns the commitments that link, those whose signers are being recovered, those that wait, our own whose records are being
//! written, what each elected signer has said lately, and the evidence against signers. It knows nothing of peers' conduct, of txlists, or of
//! catch-up: the machine tells it what came, polls [`ChainState::next_ruling`] until `None`, and settles each [`Ruling`] before it asks
//! for the next.
//!
//! Commitments are concluded in the order in which they came, whatever order their signers come back in. One that is accepted releases
//! those that waited for it, by a queue and never by recursion.
//!
//! Invariant: between two calls of the machine, `again` and `released` are empty, because it polls until `None`.

pub(crate) mod heard;
pub(crate) mod held;
pub(crate) mod in_vain;
pub(crate) mod linked;
pub(crate) mod pending;
pub(crate) mod recording;
pub(crate) mod ruling;
pub(crate) mod verifying;
mod views;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256};

use crate::accepted::Accepted;
use crate::chain::heard::Heard;
use crate::chain::held::{Bounds, Held, Wait};
use crate::chain::in_vain::RecoveredInVain;
use crate::chain::linked::{Linkage, LinkedChain, Moved};
use crate::chain::pending::PendingCommitment;
use crate::chain::recording::Recording;
use crate::chain::ruling::{BrokenRule, Changed, Completed, Conclusion, Proven, Ruling};
use crate::chain::verifying::Verifying;
use crate::config::Config;
use crate::crypto;
use crate::cx::Cx;
use crate::error::Refusal;
use crate::evidence::{Evidence, EvidenceBook, Fault};
use crate::id::{HeldId, JobId};
use crate::job::Work;
use crate::origin::Origin;
use crate::peer::subnet::Cidr;
use crate::publish::committed::{OwnCommitments, Said};
use crate::schedule::{Schedule, Window};
use crate::time::Timer;
use crate::tip::SyncTip;
use crate::validate::v1::commitment;
use crate::validate::v1::parent::{ParentRule, ParentRules};
use crate::verdict::Verdict;
use crate::wire::v1::SignedCommitment;

/// What is looked at once more, because something changed under it.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
enum Again {
    /// It waited for the schedule, and windows came.
    ForSchedule(HeldId),
    /// It was linked, or a fork, and the sync tip moved (P9.3).
    Kept(Arc<Accepted>),
    /// All that wait for a parent then, each by itself.
    AllForParents,
    /// It waited for its parent, or for its window to begin, and need not any more.
    Held(HeldId),
    /// One of our own: its record is on disk, or it built on one whose record was waited for (P5.9a).
    Own(PendingCommitment),
}

/// The commitments of a node: which hold, which are on their way to a verdict.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct ChainState {
    linked: LinkedChain,
    verifying: Verifying,
    held: Held,
    recording: Recording,
    heard: Heard,
    in_vain: RecoveredInVain,
    evidence: EvidenceBook,
    again: VecDeque<Again>,
    /// What is concluded next, with its signer: first the one whose turn it is, then those that waited for it.
    released: VecDeque<(PendingCommitment, Option<Address>)>,
    /// What is said with the last of them.
    completing: Option<Completed>,
}

impl ChainState {
    pub(crate) fn new(config: &Config) -> Self {
        let bounds = Bounds { all: config.max_held, per_peer: config.max_held_per_peer, per_position: config.max_held_per_position };
        Self {
            linked: LinkedChain::new(config.max_commitments),
            verifying: Verifying::default(),
            held: Held::new(bounds),
            recording: Recording::default(),
            heard: Heard::default(),
            in_vain: RecoveredInVain::default(),
            evidence: EvidenceBook::new(config.max_evidence),
            again: VecDeque::new(),
            released: VecDeque::new(),
            completing: None,
        }
    }

    /// C4–C7: everything that can be said before the signer is known. `Ok` means that the verdict comes later. Where it came from a peer,
    /// `neighbourhood` is that peer's.
    pub(crate) fn receive(
        &mut self,
        cx: &mut Cx,
        schedule: &Schedule,
        (origin, neighbourhood): (Origin, Option<Cidr>),
        signed: SignedCommitment,
    ) -> Result<(), Refusal> {
        let hash = crypto::preconfirmation_hash(&signed);
        if self.linked.get(&hash).is_some() {
            return Err(Refusal::Duplicate); // C4
        }
        let preconf = signed.preconf();
        // C4: what was asked for was asked in reach of what is already under way.
        let max_ahead = match origin {
            Origin::Gossip { .. } | Origin::Own { is_recorded: false, .. } => cx.config.max_blocks_ahead,
            // What was recorded before a restart may come before the node knows where the chain is.
            Origin::Response { .. } | Origin::Kept | Origin::Own { is_recorded: true, .. } => u64::MAX,
        };
        let reached = commitment::number_in_reach(preconf.block_number, self.linked.floor(), self.linked.head_number(), max_ahead);
        let timely = match origin {
            Origin::Response { .. } => Ok(()), // P6.10
            Origin::Gossip { .. } | Origin::Own { .. } | Origin::Kept => {
                commitment::timely(preconf.submission_window_end, cx.now.unix, cx.config.late_grace) // C5
            }
        };
        let (number, only_for_evidence) = match reached.and_then(|number| timely.map(|()| number)) {
            Ok(number) => (number, None),
            Err(refusal) => {
                // C5: what comes too late to be accepted may still prove what its signer did, where there is something that it contradicts.
                let number = u64::try_from(preconf.block_number).map_err(|_| refusal)?;
                let window_end = u64::try_from(preconf.submission_window_end).map_err(|_| refusal)?;
                let position = (window_end, number);
                let is_new = self.linked.has_rival(position, &hash) && !self.evidence.has_told(position);
                if !is_new || !matches!(origin, Origin::Gossip { .. }) {
                    return Err(refusal);
                }
                (number, Some(refusal))
            }
        };
        // What fits no 64 bits is covered by no schedule, now or ever (C6).
        let window_end = u64::try_from(preconf.submission_window_end).map_err(|_| Refusal::ScheduleUnknown)?;
        let arrived = cx.now.mono;
        let signed = Arc::new(signed);
        let signer = None;
        let pending = PendingCommitment { signed, hash, number, window_end, origin, neighbourhood, arrived, signer, only_for_evidence };
        self.verify(cx, schedule, pending).map_err(|refusal| only_for_evidence.unwrap_or(refusal))
    }

    /// A signer was recovered, or found to be nobody's. What can be concluded now, [`ChainState::next_ruling`] hands out.
    pub(crate) fn signer_found(&mut self, job: JobId, signer: Option<Address>) {
        self.verifying.signer_found(job, signer);
    }

    /// New windows came. What waited for them has its signer recovered; what waited for a window to begin, and what was accepted under one that
    /// has settled on somebody else, with all that builds on it, is concluded anew by [`ChainState::next_ruling`] (C7). Says what it did.
    pub(crate) fn schedule_changed(&mut self, schedule: &Schedule) -> Changed {
        let is_wrong = |accepted: &Accepted| {
            let preconf = accepted.signed.preconf();
            schedule.refutes(accepted.signer, preconf.submission_window_end, preconf.timestamp)
        };
        let mut changed = Changed { dropped_from: None, execute_from: None };
        if let Some(Moved { dropped: mut loose, execute_from }) = self.linked.drop_wrong(is_wrong) {
            changed = Changed { dropped_from: loose.first().map(|first| first.block_number), execute_from };
            loose.extend(self.linked.take_forks());
            self.again.extend(loose.into_iter().map(Again::Kept));
        }
        self.again.extend(self.held.waiting_for_schedule().into_iter().map(Again::ForSchedule));
        self.again.extend(self.held.waiting_for_window().into_iter().map(Again::Held));
        changed
    }

    /// C6a: the window of a held one begins.
    pub(crate) fn window_begins(&mut self, id: HeldId) {
        self.again.push_back(Again::Held(id));
    }

    /// Takes back the commitments that were kept before a restart, lowest first, and the sync tip with them. Says which of them link.
    pub(crate) fn restore(&mut self, stored: Vec<Arc<Accepted>>, tip: Option<SyncTip>) -> Vec<Arc<Accepted>> {
        self.linked.restore(stored, tip)
    }

    /// A fault that was told before a restart is not told again.
    pub(crate) fn restore_evidence(&mut self, signer: Address, evidence: Evidence) {
        let preconf = evidence.second.preconf();
        if let (Ok(window_end), Ok(number)) = (u64::try_from(preconf.submission_window_end), u64::try_from(preconf.block_number)) {
            self.evidence.insert(signer, (window_end, number), evidence);
        }
    }

    /// P9.3: moves the sync tip. What no longer links, and all that waits for a parent, is concluded anew by [`ChainState::next_ruling`].
    /// Says what it did.
    pub(crate) fn tip_moved(&mut self, tip: SyncTip) -> Changed {
        let Moved { dropped: mut loose, execute_from } = self.linked.move_tip(tip);
        let dropped_from = loose.first().map(|first| first.block_number);
        if !loose.is_empty() || execute_from.is_some() {
            loose.extend(self.linked.take_forks());
        }
        // Lowest first, so that each finds its parent.
        self.again.extend(loose.into_iter().map(Again::Kept));
        self.again.push_back(Again::AllForParents);
        Changed { dropped_from, execute_from }
    }

    /// P5.1: the verdict of a held message is due. It stays held, and nobody is charged.
    pub(crate) fn verdict_due(&mut self, id: HeldId) -> Option<Ruling> {
        let (pending, wait) = self.held.get_mut(id)?;
        let origin = pending.origin;
        let Origin::Gossip { peer, message: Some(_) } = origin else { return None };
        pending.origin = Origin::Gossip { peer, message: None };
        Some(Ruling::refused(origin, wait.refusal()))
    }

    /// P5.1: held for long enough. A stranger's verdict was given long ago: `verdict_timeout` is less than `hold_for`. Whoever wanted our own
    /// published again is told now.
    pub(crate) fn hold_over(&mut self, cx: &mut Cx, id: HeldId) -> Option<Ruling> {
        let (_, wait) = self.held.get_mut(id)?;
        let origin = self.release(cx, id)?.origin;
        matches!(origin, Origin::Own { .. }).then(|| Ruling::refused(origin, wait.refusal()))
    }

    /// P5.9a: the record of one of our own is on disk.
    pub(crate) fn recorded(&mut self, hash: &B256) {
        let Some(mut pending) = self.recording.remove(hash) else { return };
        if let Origin::Own { is_recorded, .. } = &mut pending.origin {
            *is_recorded = true;
        }
        self.again.push_back(Again::Own(pending));
    }

    /// P5.9a: the record of one of our own could not be written. Says whose it was.
    pub(crate) fn not_recorded(&mut self, hash: &B256) -> Option<Origin> {
        let origin = self.recording.remove(hash)?.origin;
        self.release_behind(hash);
        Some(origin)
    }

    fn release_behind(&mut self, parent: &B256) {
        self.again.extend(self.recording.take_children(parent).into_iter().map(Again::Own));
    }

    /// Concludes the next commitment whose turn it is. The machine polls this until `None` whenever it has told something, and settles each
    /// ruling before it asks for the next. `own` knows what our own keys have committed to (P5.9).
    pub(crate) fn next_ruling(&mut self, cx: &mut Cx, schedule: &Schedule, own: &OwnCommitments) -> Option<Ruling> {
        loop {
            if let Some((pending, signer)) = self.released.pop_front() {
                return Some(self.conclude(cx, schedule, pending, signer, own));
            }
            match self.again.pop_front() {
                Some(Again::ForSchedule(id)) => {
                    let Some(pending) = self.release(cx, id) else { continue };
                    let origin = pending.origin;
                    if let Err(refusal) = self.verify(cx, schedule, pending) {
                        return Some(Ruling::refused(origin, refusal));
                    }
                }
                Some(Again::Kept(accepted)) => {
                    let Accepted { signed, hash, signer, block_number: number, window_end } = Accepted::clone(&accepted);
                    let pending = PendingCommitment {
                        signed: Arc::new(signed),
                        hash,
                        number,
                        window_end,
                        origin: Origin::Kept,
                        neighbourhood: None,
                        arrived: cx.now.mono,
                        signer: Some(signer),
                        only_for_evidence: None,
                    };
                    self.begin(pending, Some(signer), Some(accepted));
                }
                Some(Again::AllForParents) => {
                    for id in self.held.waiting_for_parents().into_iter().rev() {
                        self.again.push_front(Again::Held(id));
                    }
                }
                Some(Again::Held(id)) => {
                    // It may have been released by another one before it.
                    let Some(pending) = self.release(cx, id) else { continue };
                    let signer = pending.signer;
                    self.begin(pending, signer, None);
                }
                Some(Again::Own(pending)) => {
                    let signer = pending.signer;
                    self.begin(pending, signer, None);
                }
                None => {
                    let (pending, signer) = self.verifying.next_recovered()?;
                    self.begin(pending, signer, None);
                }
            }
        }
    }

    /// P5.5: the next block is ready if `has` says that its txlist is here.
    pub(crate) fn advance_ready(&mut self, has: impl FnOnce(&B256) -> bool) -> Option<Arc<Accepted>> {
        self.linked.advance_ready(has)
    }

    /// Makes a block that was ready the next one again, or the lowest one still kept above it. Says which.
    pub(crate) fn rewind_ready(&mut self, number: u64) -> u64 {
        self.linked.rewind_ready(number)
    }

    fn begin(&mut self, pending: PendingCommitment, signer: Option<Address>, replaces: Option<Arc<Accepted>>) {
        self.completing = Some(Completed { origin: pending.origin, replaces });
        self.released.push_back((pending, signer));
    }

    /// C6, then out for the signer; or held until the schedule reaches that far.
    fn verify(&mut self, cx: &mut Cx, schedule: &Schedule, pending: PendingCommitment) -> Result<(), Refusal> {
        match (commitment::window(&pending.signed, schedule, cx.settled_before())?, pending.only_for_evidence) {
            (None, Some(refusal)) => Err(refusal),
            (None, None) => self.hold(cx, pending, Wait::Schedule).map(drop),
            (Some(_), _) if crypto::is_high_s(&pending.signed) => Err(Refusal::HighS), // C7, P4.4
            (Some(_), _) if !self.verifying.has_room_for(pending.origin, cx.config.max_jobs_per_peer) => Err(Refusal::NoRoom),
            (Some(_), _) if !self.may_be_in_vain(cx, &pending) => Err(Refusal::NoRoom), // C7
            (Some(_), _) => {
                let job = cx.start(Work::Recover { commitment: pending.signed.clone(), domain: cx.config.domain });
                self.verifying.insert(job, pending);
                Ok(())
            }
        }
    }

    /// Concludes a commitment whose signer is known, and releases what waited for it.
    fn conclude(
        &mut self,
        cx: &mut Cx,
        schedule: &Schedule,
        pending: PendingCommitment,
        signer: Option<Address>,
        own: &OwnCommitments,
    ) -> Ruling {
        let (origin, neighbourhood, hash) = (pending.origin, pending.neighbourhood, pending.hash);
        let only_for_evidence = pending.only_for_evidence;
        let mut ruling = Ruling {
            origin,
            conclusion: Conclusion::Held,
            backed: None,
            proven: None,
            broken_rule: None,
            parent_wanted_for: None,
            completed: None,
        };
        let concluded = self.judge(cx, schedule, pending, signer, own, &mut ruling);
        // C4, C5: what is stale or late is ignored as such, whatever else it turns out to be.
        ruling.conclusion = concluded.unwrap_or_else(|refusal| Conclusion::Refused(only_for_evidence.unwrap_or(refusal)));
        if let Origin::Gossip { peer, .. } = origin
            && ruling.conclusion.refusal().is_some_and(|refusal| refusal.verdict() == Verdict::Ignore)
        {
            self.in_vain.note(cx.now.mono, peer, neighbourhood); // C7
        }
        if let Origin::Response { request, .. } = origin
            && ruling.conclusion.refusal().is_some_and(|refusal| !matches!(refusal, Refusal::Duplicate | Refusal::Stale))
        {
            self.verifying.drop_response(request); // P6.4: nothing behind the first bad item; what stood before it is concluded already
        }
        if matches!(origin, Origin::Own { .. }) && !self.recording.has(&hash) {
            self.release_behind(&hash);
        }
        if self.linked.get(&hash).is_some() {
            let ended = matches!(&ruling.conclusion, Conclusion::Accepted { commitment, .. } if commitment.signed.preconf().eop); // C6a
            let for_window = if ended { self.held.waiting_for_window() } else { Vec::new() };
            for id in self.held.waiting_for(&hash).into_iter().chain(for_window) {
                let Some(child) = self.release(cx, id) else { continue };
                let signer = child.signer;
                self.released.push_back((child, signer));
            }
        }
        if self.released.is_empty() {
            ruling.completed = self.completing.take();
        }
        ruling
    }

    /// C4 and C6–C9, now that the signer is known. What is found on the way is written into the ruling.
    fn judge(
        &mut self,
        cx: &mut Cx,
        schedule: &Schedule,
        mut pending: PendingCommitment,
        signer: Option<Address>,
        own: &OwnCommitments,
        ruling: &mut Ruling,
    ) -> Result<Conclusion, Refusal> {
        if self.linked.get(&pending.hash).is_some() {
            return Err(Refusal::Duplicate); // C4
        }
        if pending.number <= self.linked.floor() && pending.only_for_evidence.is_none() {
            return Err(Refusal::Stale); // C4
        }
        let Some(window) = commitment::window(&pending.signed, schedule, cx.settled_before())? else {
            if let Some(refusal) = pending.only_for_evidence {
                return Err(refusal);
            }
            return self.hold(cx, pending, Wait::Schedule).map(|_| Conclusion::Held); // C6: the schedule went back
        };
        let signer = commitment::elected(signer, &window, cx.settled_before())?; // C7
        ruling.backed = Some(pending.number); // P11.1
        let is_own = matches!(pending.origin, Origin::Own { .. });
        if is_own {
            commitment::timely(pending.signed.preconf().submission_window_end, cx.now.unix, cx.config.late_grace)?; // C5: the disk took time
            self.may_be_said(&pending, signer, own)?;
            let over_before = cx.now.unix.secs().saturating_sub(cx.config.late_grace.as_secs());
            if !own.has_room(over_before) && !own.names(signer, pending.position(), &pending.hash) {
                return Err(Refusal::NoRoom); // P5.9: nothing is forgotten for it
            }
        } else {
            self.heard.note(signer, pending.position(), Said::of(&pending.signed));
        }
        if let Some((fault, first)) = self.linked.contradicted(&pending, signer) {
            let first = first.clone();
            if !is_own {
                // What is our own was never said to anyone, and will not be.
                ruling.proven = self.prove(&pending, signer, fault, &first);
            }
            match fault {
                _ if pending.only_for_evidence.is_some() => {}
                Fault::Equivocation => return Err(Refusal::Equivocation), // C8
                Fault::AfterEop => return Err(Refusal::AfterEop),         // C8
                Fault::BrokenLink | Fault::BrokenRule => {}               // C9: its signer may have shown others the parent that it names
            }
        }
        if let Some(refusal) = pending.only_for_evidence {
            return Err(refusal);
        }
        pending.signer = Some(signer);
        let early_by = self.early_by(cx, schedule, &window, pending.origin);
        if early_by.is_some_and(|by| by > cx.config.hold_for) {
            return Err(Refusal::Early); // C6a
        }
        let linkage = self.linked.linkage(&pending.signed, pending.number, &cx.config.parent_rules);
        if let Err(Refusal::ParentRule(rule)) = linkage
            && !is_own
        {
            self.rule_broken(&pending, signer, rule, ruling);
        }
        match (linkage?, early_by) {
            (Linkage::Extends | Linkage::Forks, Some(by)) => {
                let begins = Timer::WindowBegins(self.hold(cx, pending, Wait::Window)?);
                cx.timers.set(begins, cx.now.mono.after(by));
                Ok(Conclusion::Held) // C6a
            }
            (Linkage::MissingParent, _) if is_own && self.recording.has(&pending.parent()) => {
                self.recording.insert_behind(pending);
                Ok(Conclusion::Held)
            }
            (Linkage::MissingParent, _) => {
                let (origin, number, parent) = (pending.origin, pending.number, pending.parent());
                let held = self.hold(cx, pending, Wait::Parent(parent));
                let is_asked_for = match origin {
                    Origin::Gossip { .. } => held.is_ok(), // P5.2
                    // P5.2: it runs along another chain, which is found and told so (C9)
                    Origin::Response { .. } => number <= self.linked.head_number().saturating_add(1),
                    Origin::Own { .. } | Origin::Kept => false,
                };
                ruling.parent_wanted_for = is_asked_for.then_some(number);
                held.map(|_| Conclusion::Held)
            }
            // P5.7: nothing of ours is kept that is not sent, or it would speak against us later.
            (Linkage::Forks, _) if is_own => Err(Refusal::Fork),
            (Linkage::Forks, _) => {
                let mut fell_off = self.linked.make_room()?;
                let commitment = accepted(pending, signer);
                fell_off.extend(self.linked.insert_fork(commitment.clone()));
                let canonical = self.linked.at(commitment.block_number).cloned();
                Ok(Conclusion::Forked { canonical, commitment, fell_off })
            }
            (Linkage::Extends, _) if pending.needs_record(cx.config.storage) => {
                let (signed, hash) = (pending.signed.clone(), pending.hash);
                let position = pending.position();
                self.recording.insert(pending);
                Ok(Conclusion::ToRecord { signer, position, hash, signed }) // P5.9a
            }
            (Linkage::Extends, _) => {
                let fell_off = self.linked.make_room()?;
                let commitment = accepted(pending, signer);
                self.linked.extend(commitment.clone());
                Ok(Conclusion::Accepted { commitment, fell_off }) // C10
            }
        }
    }

    /// P5.9, P5.9b: may a commitment of our own be said, whatever the chain says to it?
    fn may_be_said(&self, pending: &PendingCommitment, signer: Address, own: &OwnCommitments) -> Result<(), Refusal> {
        let (position, said) = (pending.position(), Said::of(&pending.signed));
        if own.contradicts(signer, position, &pending.signed) || self.heard.contradicts(signer, position, said) {
            return Err(Refusal::Equivocation); // P5.9: here, or at another host with our key
        }
        if self.recording.has(&pending.hash) {
            return Err(Refusal::Duplicate);
        }
        let is_unknown_word = |of: Address, other: (u64, u64), hash: &B256| {
            of == signer && other.0 == pending.window_end && *hash != pending.hash && !own.names(of, other, hash)
        };
        let mut held = self.held.iter().filter_map(|held| Some((held.signer?, held.position(), &held.hash)));
        let mut forks = self.linked.forks().map(|fork| (fork.signer, (fork.window_end, fork.block_number), &fork.hash));
        let is_elsewhere = held.any(|(of, other, hash)| is_unknown_word(of, other, hash))
            || forks.any(|(of, other, hash)| is_unknown_word(of, other, hash));
        if is_elsewhere && !own.is_overridden(pending.window_end) { Err(Refusal::Syncing) } else { Ok(()) }
    }

    /// C7: may this signer be recovered, even if nothing comes of it?
    fn may_be_in_vain(&self, cx: &Cx, pending: &PendingCommitment) -> bool {
        match pending.origin {
            Origin::Gossip { peer, .. } => self.in_vain.has_room(cx.now.mono, &peer, pending.neighbourhood),
            Origin::Response { .. } | Origin::Own { .. } | Origin::Kept => true,
        }
    }

    /// C6a: how long it is until the window of a commitment begins, unless the preconfer of the one before has handed over.
    fn early_by(&self, cx: &Cx, schedule: &Schedule, window: &Window, origin: Origin) -> Option<Duration> {
        let by = commitment::early_by(window, cx.now.unix, cx.config.early_grace)?;
        let is_handed_over = schedule.preceding(window.end).is_some_and(|before| self.linked.is_ended(before.end, before.preconfer));
        (!is_handed_over && !matches!(origin, Origin::Kept)).then_some(by) // what was accepted before was not early then
    }

    /// C9: a child that breaks a parent rule proves a fault where one signer signed both, and the rule is everybody's.
    fn rule_broken(&mut self, pending: &PendingCommitment, signer: Address, rule: ParentRule, ruling: &mut Ruling) {
        let Some(parent) = self.linked.get(&pending.parent()).cloned() else { return };
        let is_proof = parent.signer == signer && ParentRules::default().check(parent.signed.preconf(), pending.signed.preconf()).is_err();
        if is_proof {
            ruling.proven = self.prove(pending, signer, Fault::BrokenRule, &parent).or(ruling.proven.take());
        } else {
            ruling.broken_rule = Some(BrokenRule { parent, child: pending.signed.clone(), rule });
        }
    }

    /// P5.4: a fault of the signer's, not of the peer's that carried it. `None` where it was told before.
    fn prove(&mut self, pending: &PendingCommitment, signer: Address, fault: Fault, first: &Accepted) -> Option<Proven> {
        let evidence = Evidence { fault, first: first.signed.clone(), second: (*pending.signed).clone() };
        let evidence = self.evidence.insert(signer, pending.position(), evidence)?;
        Some(Proven { evidence, signer, block_number: pending.number })
    }

    /// Lets one wait, if its origin may (P5.1).
    fn hold(&mut self, cx: &mut Cx, pending: PendingCommitment, wait: Wait) -> Result<HeldId, Refusal> {
        let message = match pending.origin {
            Origin::Gossip { message, .. } => message,
            Origin::Own { is_recorded: true, .. } => None, // what was recorded before a restart waits until the node knows where it is
            Origin::Own { is_recorded: false, .. } | Origin::Response { .. } | Origin::Kept => return Err(wait.refusal()),
        };
        let id = cx.mint.held.next(HeldId);
        let arrived = pending.arrived;
        self.held.insert(id, pending, wait)?;
        if message.is_some() {
            cx.timers.set(Timer::Verdict(id), arrived.after(cx.config.verdict_timeout));
        }
        cx.timers.set(Timer::Hold(id), arrived.after(cx.config.hold_for));
        Ok(id)
    }

    fn release(&mut self, cx: &mut Cx, id: HeldId) -> Option<PendingCommitment> {
        cx.timers.cancel(Timer::Verdict(id));
        cx.timers.cancel(Timer::Hold(id));
        cx.timers.cancel(Timer::WindowBegins(id));
        self.held.remove(id)
    }
}

fn accepted(pending: PendingCommitment, signer: Address) -> Arc<Accepted> {
    let PendingCommitment { signed, hash, number: block_number, window_end, .. } = pending;
    Arc::new(Accepted { signed: Arc::unwrap_or_clone(signed), hash, signer, block_number, window_end })
}
