//! Would a second implementation have said the same?
//!
//! A [`Model`] stands beside one machine. It is told what the machine is told and reads what the machine says, through the front door only,
//! and follows the rules that matter in the most obvious way: which verdict a message gets, which blocks form the chain and are ready, what
//! a peer's score is. It is slow on purpose, shares no rule's code with the core, and speaks up at the first difference.
//!
//! It judges what comes by gossip. What comes in pages (P6.9) reaches its chain only as the machine accepts it, and every acceptance is held
//! against the rules; of what a machine keeps beside its chain without a word, the model takes the machine's word. Where a table is full,
//! it asks only whether it can be.
//!
//! ```
//! use preconf_sim::model::Model;
//! use preconf_sim::Call;
//! use preconf_core::{ChainId, Config, Core, Input, MessageId, Now, PeerId, Topic};
//!
//! let (config, now) = (Config::new(ChainId(1)), Now::default());
//! let (mut core, mut model) = (Core::new(config.clone(), [7; 32], now)?, Model::new(&config));
//! let (peer, message) = (PeerId::from_bytes(&[0, 1, 9]).unwrap(), MessageId([1; 20]));
//! let input = Input::GossipReceived { peer, message, topic: Topic::Commitments, data: vec![0; 3].into() };
//!
//! model.call(now, Call::Input(&input));
//! core.handle_input(now, input);
//! let outputs: Vec<_> = std::iter::from_fn(|| core.poll_output()).collect();
//! model.done(now, &outputs, &core)?; // rejected (C1), and charged a point (P7.1)
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod chain;
mod records;
mod score;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use preconf_core::{
    Accepted, Action, Address, B256, Bytes, CommitmentsPage, Config, Core, Event, Found, Input, JobDone, JobId, MessageId, Now, Output,
    PeerId, RawTxList, Refusal, RequestFailure, RequestId, SignedCommitment, Source, Topic, Update, Verdict, Work, preconfirmation_hash,
};

use crate::Call;
use chain::Chain;
use records::Records;
use score::Scores;
use verdict::{Copy, Expect};

/// Where the machine and the model part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rule {rule}: the machine says {said}, the model {expected}")]
pub struct Disagreement {
    /// The rule of PROTOCOL.md.
    pub rule: &'static str,
    /// What the machine said or did.
    pub said: String,
    /// What the model expected.
    pub expected: String,
}

fn differ(rule: &'static str, said: impl std::fmt::Debug, expected: impl std::fmt::Debug) -> Disagreement {
    Disagreement { rule, said: format!("{said:?}"), expected: format!("{expected:?}") }
}

/// The second implementation.
#[derive(Debug)]
pub struct Model {
    config: Config,
    chain: Chain,
    scores: Scores,
    records: Records,
    /// Gossip without a verdict.
    open: Vec<Copy>,
    /// Gossip of the last minute, decided or not: what may fill the tables.
    lately: Vec<Copy>,
    jobs: BTreeMap<JobId, SignedCommitment>,
    /// Jobs that hash txlists.
    hashing: BTreeSet<JobId>,
    signers: BTreeMap<Vec<u8>, Option<Address>>,
    /// Numbers of blocks that came in pages: of those the machine may know what we do not.
    paged: BTreeSet<u64>,
    /// The txlists that they name, and those that blocks name which are held though their verdict is given.
    unseen_names: BTreeSet<B256>,
    sent: BTreeMap<RequestId, PeerId>,
    /// Numbers of blocks that are held though their verdict is given, or were: what becomes of those is not always told.
    in_vain: BTreeSet<u64>,
    /// A verdict whose refusal is told next.
    reported: Option<(Copy, Verdict)>,
    accepted: Option<(B256, PeerId)>,
}

impl Model {
    /// A model of a machine that starts with this configuration.
    pub fn new(config: &Config) -> Self {
        Self {
            config: config.clone(),
            chain: Chain::new(config.max_commitments),
            scores: Scores::new(config.score),
            records: Records::new(config),
            open: Vec::new(),
            lately: Vec::new(),
            jobs: BTreeMap::new(),
            hashing: BTreeSet::new(),
            signers: BTreeMap::new(),
            paged: BTreeSet::new(),
            unseen_names: BTreeSet::new(),
            sent: BTreeMap::new(),
            in_vain: BTreeSet::new(),
            reported: None,
            accepted: None,
        }
    }

    /// The machine is about to be told this.
    pub fn call(&mut self, now: Now, call: Call<'_>) {
        match call {
            Call::Input(Input::GossipReceived { peer, message, topic, data }) => self.hear(now, *peer, *message, *topic, data),
            Call::Input(Input::JobFinished(JobDone { id, found: Found::Signer(signer) })) => {
                if let Some(signed) = self.jobs.remove(id) {
                    self.signers.insert(signed.as_bytes().to_vec(), *signer);
                }
            }
            Call::Input(Input::JobFinished(JobDone { id, found: Found::Hash(_) })) => drop(self.hashing.remove(id)),
            Call::Input(Input::ResponseReceived { request, body }) => {
                self.sent.remove(request);
                if let Ok(page) = CommitmentsPage::decode(body) {
                    for signed in page.iter().filter_map(Result::ok) {
                        self.paged.extend(u64::try_from(signed.preconf().block_number).ok());
                        self.unseen_names.insert(signed.preconf().raw_tx_list_hash);
                    }
                }
            }
            Call::Input(Input::RequestFailed { request, failure }) => {
                if let Some(peer) = self.sent.remove(request)
                    && *failure == RequestFailure::Closed
                {
                    self.scores.absent(peer);
                }
            }
            Call::Input(Input::ConnectionClosed { peer, .. }) => {
                // If it was the last one, each request to the peer ends with it.
                let ended: Vec<_> = self.sent.iter().filter(|(_, to)| *to == peer).map(|(id, _)| *id).collect();
                self.scores.may_be_absent(*peer, ended.len());
            }
            Call::Input(Input::Persisted { id }) => self.records.persisted(*id),
            Call::Update(Update::Schedule(windows)) => self.chain.update_schedule(windows),
            Call::Update(Update::MoveSyncTip(tip)) => self.chain.move_tip(*tip),
            Call::Update(Update::Restore(records)) => {
                self.scores.restored(records);
                self.records.restored(records);
                self.chain.restored(records);
            }
            Call::Update(Update::Trust { peer } | Update::Distrust { peer } | Update::LiftBan { peer } | Update::BlockPeer { peer }) => {
                self.scores.is_unknown(*peer); // the operator's word is above the rules
            }
            Call::Input(_) | Call::Command(_) | Call::Update(_) | Call::Timeout => {}
        }
    }

    /// The machine was told it, and said this.
    ///
    /// # Errors
    /// The first thing that the model would have said otherwise.
    pub fn done(&mut self, now: Now, outputs: &[Output], core: &Core) -> Result<(), Disagreement> {
        outputs.iter().try_for_each(|output| self.output(now, output))?;
        self.verdicts_in_time(now)?;
        self.chain.compare(&core.status(now))?;
        self.scores.compare(now, core)
    }

    fn hear(&mut self, now: Now, peer: PeerId, message: MessageId, topic: Topic, data: &Bytes) {
        let head = self.chain.head_number();
        let early = verdict::at_first_sight(&self.config, &self.chain, head, now, topic, data);
        let (signed, list) = match topic {
            Topic::Commitments => (SignedCommitment::decode(data).ok(), None),
            Topic::TxLists => (None, RawTxList::decode(data, self.config.txlist_cap).ok()),
        };
        let copy = Copy { peer, message, topic, signed, list, arrived: now.mono, early };
        let since = now.mono.0.saturating_sub(self.config.hold_for.as_micros() as u64);
        self.lately.retain(|copy| copy.arrived.0 >= since);
        self.lately.push(copy.clone());
        self.open.push(copy);
    }

    fn output(&mut self, now: Now, output: &Output) -> Result<(), Disagreement> {
        match output {
            Output::Job(job) => match &job.work {
                Work::Recover { commitment, .. } => drop(self.jobs.insert(job.id, (**commitment).clone())),
                Work::Hash { .. } => drop(self.hashing.insert(job.id)),
            },
            Output::Net(Action::ReportGossip { message, peer, verdict }) => return self.report(now, *message, *peer, *verdict),
            Output::Net(Action::SendRequest { request, peer, .. }) => drop(self.sent.insert(*request, *peer)),
            Output::Net(Action::CancelRequest { request }) => {
                if let Some(peer) = self.sent.remove(request) {
                    self.scores.absent(peer);
                }
            }
            Output::Net(Action::SetScore { peer, .. }) => self.scores.touched(*peer),
            Output::Net(Action::Block { peer }) => self.scores.blocked(now, *peer)?,
            Output::App(event) => return self.event(now, event),
            Output::Persist { id, record } => self.records.persist(*id, record),
            Output::Net(Action::Publish { topic, data, .. }) => return self.records.published(*topic, data),
            Output::Net(_) => {}
        }
        Ok(())
    }

    fn event(&mut self, now: Now, event: &Event) -> Result<(), Disagreement> {
        match event {
            Event::CommitmentAccepted { commitment, source } => self.accept(now, commitment, *source),
            Event::Forked { other, .. } => {
                let found = verdict::of_commitment(&self.config, &self.chain, now, &other.signed, Some(Some(other.signer)), false);
                self.chain.fork(other.clone());
                let is_one = matches!(found, Expect::Rule("C9", Verdict::Ignore)) || self.is_unsure_of(&other.signed);
                if is_one { Ok(()) } else { Err(differ("C9", ("a fork", other.block_number), found)) }
            }
            Event::BlockReady { commitment, txlist } => self.chain.ready(commitment, txlist.is_some()),
            Event::ExecuteAgain { from } => {
                self.chain.execute_again(*from);
                Ok(())
            }
            Event::TxListStored { hash, .. } => {
                self.chain.stored(*hash);
                Ok(())
            }
            Event::MessageRefused { topic: Some(_), refusal, .. } => self.refused(now, *refusal),
            Event::StandingChanged { peer, standing, .. } => self.scores.standing(now, *peer, *standing),
            _ => Ok(()),
        }
    }

    /// A verdict: that it may be given at all, and, where it is *accept*, that it is for what was just accepted.
    fn report(&mut self, now: Now, message: MessageId, peer: PeerId, verdict: Verdict) -> Result<(), Disagreement> {
        let place = self.open.iter().position(|copy| copy.message == message && copy.peer == peer);
        let Some(place) = place else { return Err(differ("P5", ("a verdict for", message), "nothing waits for one")) };
        let copy = self.open.remove(place);
        self.scores.judged(peer, verdict);
        if verdict != Verdict::Accept {
            self.reported = Some((copy, verdict));
            return Ok(());
        }
        match (copy.topic, &copy.early) {
            (Topic::TxLists, Expect::Open) if verdict::has_its_hash(&copy) && self.may_be_named(&copy) => Ok(()),
            (Topic::Commitments, Expect::Open | Expect::Wait) => {
                let hash = copy.signed.as_ref().map(preconfirmation_hash);
                let good = self.accepted.take().is_some_and(|(accepted, from)| hash == Some(accepted) && from == peer);
                if good { Ok(()) } else { Err(differ("C10", verdict, "it is not what was accepted last")) }
            }
            (_, early) => Err(differ("P5", (verdict, now.mono), early)),
        }
    }

    /// A refusal: the rule must be the one that the model finds, and the verdict the rule's.
    fn refused(&mut self, now: Now, refusal: Refusal) -> Result<(), Disagreement> {
        let Some((copy, verdict)) = self.reported.take() else { return Ok(()) }; // its verdict was given long ago
        if refusal == Refusal::NoRoom {
            let can_be = verdict::may_be_full(&self.config, &self.lately, &copy, self.chain.kept());
            return if can_be { Ok(()) } else { Err(differ("P5.1", refusal, "there is room")) };
        }
        let expected = match &copy.early {
            Expect::Open if copy.topic == Topic::TxLists => verdict::of_txlist(&self.chain, &copy, refusal),
            // It is told before its verdict is.
            Expect::Open | Expect::Wait if refusal == Refusal::Fork && self.chain.has_fork(&copy) => Expect::Rule("C9", Verdict::Ignore),
            Expect::Rule(rule, expected) => Expect::Rule(rule, *expected),
            Expect::Open | Expect::Wait => self.late_word(now, &copy),
        };
        let said = Expect::Rule(refusal.rule(), verdict);
        // P5.1: what waits for its parent gets its verdict when its time is over, whatever its signer was seen to do meanwhile (C8).
        let in_vain = refusal == Refusal::ParentUnknown && expected == Expect::Rule("C8", verdict) && self.waited_in_vain(now, &copy);
        if said == expected || in_vain || copy.signed.as_ref().is_some_and(|signed| self.is_unsure_of(signed)) {
            match refusal {
                Refusal::Fork => self.keep_fork(&copy),
                Refusal::ParentUnknown | Refusal::ScheduleUnknown | Refusal::Early => {
                    self.in_vain.extend(number_of(&copy));
                    self.unseen_names.extend(copy.signed.as_ref().map(|signed| signed.preconf().raw_tx_list_hash));
                }
                _ => {}
            }
            return Ok(());
        }
        Err(differ(refusal.rule(), (refusal, verdict), expected))
    }

    /// May the machine keep another block of this number, or this one's parent, without having shown it?
    fn is_unsure_of(&self, signed: &SignedCommitment) -> bool {
        let Ok(number) = u64::try_from(signed.preconf().block_number) else { return false };
        let unsure = |number: u64| self.paged.contains(&number) || self.in_vain.contains(&number) || self.chain.is_unsure_of(number);
        unsure(number) || (unsure(number.saturating_sub(1)) && !self.chain.has(&signed.preconf().parent_preconfirmation_hash))
    }

    /// T5: does a block name it that is kept, or may be?
    fn may_be_named(&self, copy: &Copy) -> bool {
        verdict::is_named(&self.chain, copy) || copy.list.as_ref().is_some_and(|list| self.unseen_names.contains(&list.hash))
    }

    /// A fork that the machine keeps without showing it.
    fn keep_fork(&mut self, copy: &Copy) {
        let Some(signed) = &copy.signed else { return };
        let signer = self.signers.get(&signed.as_bytes()[..]).copied().flatten();
        if let (Some(signer), Ok(block_number), Ok(window_end)) =
            (signer, u64::try_from(signed.preconf().block_number), u64::try_from(signed.preconf().submission_window_end))
        {
            let hash = preconfirmation_hash(signed);
            self.chain.fork(Arc::new(Accepted { signed: signed.clone(), hash, signer, block_number, window_end }));
        }
    }

    /// Has it waited as long as it may, and is its parent still not here?
    fn waited_in_vain(&self, now: Now, copy: &Copy) -> bool {
        let is_missing = |signed: &SignedCommitment| self.chain.get(&signed.preconf().parent_preconfirmation_hash).is_none();
        now.mono >= copy.arrived.after(self.config.verdict_timeout) && copy.signed.as_ref().is_some_and(is_missing)
    }

    fn late_word(&self, now: Now, copy: &Copy) -> Expect {
        let Some(signed) = &copy.signed else { return copy.early.clone() };
        let signer = self.signers.get(&signed.as_bytes()[..]).copied();
        let is_over = now.mono >= copy.arrived.after(self.config.verdict_timeout);
        verdict::of_commitment(&self.config, &self.chain, now, signed, signer, is_over)
    }

    /// C10: what is accepted passes every rule, here as there.
    fn accept(&mut self, now: Now, accepted: &Arc<Accepted>, source: Source) -> Result<(), Disagreement> {
        let signer = match source {
            Source::Kept => Some(Some(accepted.signer)),
            Source::Gossip(_) | Source::Response(_) | Source::Own => self.signers.get(&accepted.signed.as_bytes()[..]).copied(),
        };
        let found = verdict::of_commitment(&self.config, &self.chain, now, &accepted.signed, signer, false);
        // C6a: what is linked anew was not early when it came.
        let was_early =
            source == Source::Kept && self.chain.is_early(&self.config, now, accepted.signed.preconf().submission_window_end).is_some();
        if found != Expect::Open && !was_early {
            return Err(differ("C10", ("accepted", accepted.block_number, accepted.hash), found));
        }
        if signer.flatten() != Some(accepted.signer) {
            return Err(differ("C7", accepted.signer, signer));
        }
        self.chain.extend(accepted.clone())?;
        if let Source::Gossip(peer) = source {
            self.accepted = Some((accepted.hash, peer));
        }
        Ok(())
    }

    /// P5.1: nothing waits for its verdict longer than it may.
    fn verdicts_in_time(&self, now: Now) -> Result<(), Disagreement> {
        let over = |copy: &&Copy| copy.arrived.after(self.config.verdict_timeout) < now.mono && self.is_computed(copy);
        match self.open.iter().find(over) {
            Some(copy) => Err(differ("P5.1", ("no verdict yet for", copy.message), "verdict_timeout is over")),
            None => Ok(()),
        }
    }

    /// Is nothing being computed that its verdict waits for: its signer, or, once it is named, its hash or that of another candidate (T5)?
    fn is_computed(&self, copy: &Copy) -> bool {
        let is_hashing = !self.hashing.is_empty() && verdict::is_named(&self.chain, copy);
        let is_recovering = |signed: &SignedCommitment| self.jobs.values().any(|out| out.as_bytes() == signed.as_bytes());
        !is_hashing && !copy.signed.as_ref().is_some_and(is_recovering)
    }
}

fn number_of(copy: &Copy) -> Option<u64> {
    u64::try_from(copy.signed.as_ref()?.preconf().block_number).ok()
}
