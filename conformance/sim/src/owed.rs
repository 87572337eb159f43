//! Did all that a machine owes reach us?
//!
//! No output may be lost, on its way out of the machine or within it. So, after every step of every machine: what it counts as said is what
//! was taken; each copy of a message has its verdict in time, each request of a peer its answer within the step that brought it, and each
//! request of its own an end; and what must outlive a restart is told before the world hears of it.
//!
//! Each step costs what it brings: the oldest debt lies in front. A machine that takes no step any more is looked at as time passes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use preconf_core::{
    Action, B256, ChannelId, Config, Event, Input, MessageId, Output, PeerId, PersistId, Record, RequestId, SignedCommitment, Stats, Time,
    Topic, Verdict, preconfirmation_hash,
};

use super::check::Violation;

/// How long the jobs of a message may hold its verdict up beyond P5.1. Ours: a job of the simulated worlds takes at most 30 ms, and few wait
/// for one another.
const JOBS_TAKE: Duration = Duration::from_secs(1);
/// How long a request of another's may wait for its answer. Source: P6.6.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// Something that a machine said, or owes, and that never came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// The machine has counted more or less than was taken from it.
    #[error("the machine counts {counted} {what}, {taken} were taken")]
    Counted {
        /// Of what.
        what: &'static str,
        /// By the machine.
        counted: u64,
        /// By the world.
        taken: u64,
    },
    /// P5.1: gossip waits for its verdict.
    #[error("P5.1: no verdict for {message} of {peer} in time")]
    Verdict {
        /// Of this message.
        message: MessageId,
        /// From this peer.
        peer: PeerId,
    },
    /// P6.6: a request was neither answered nor dropped in time.
    #[error("P6.6: the request on channel {channel} is neither answered nor dropped")]
    Answer {
        /// Where it would be answered.
        channel: ChannelId,
    },
    /// P6.5: a request of its own does not end.
    #[error("P6.5: request {request} has no end")]
    End {
        /// The request.
        request: RequestId,
    },
    /// P5.9a: it committed itself before the world, and no record of it was on disk.
    #[error("P5.9a: commitment {hash} was published before its record was on disk")]
    Record {
        /// Its name.
        hash: B256,
    },
}

/// What was taken from a machine, of what it counts itself.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    accepted: u64,
    ignored: u64,
    rejected: u64,
    ready: u64,
    evidence: u64,
    served: u64,
    refused: u64,
}

/// The debts of one machine, in its own time.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    verdict_within: Duration,
    end_within: Duration,
    taken: Taken,
    /// When each copy of a message must have its verdict, oldest first.
    verdicts: BTreeMap<(MessageId, PeerId), VecDeque<Time>>,
    verdicts_due: VecDeque<(Time, MessageId, PeerId)>,
    /// Those among them that carry a txlist: while somebody gossips lists that nothing names, some always wait (T5).
    txlists: BTreeSet<(MessageId, PeerId)>,
    /// Requests of others that must be answered or dropped, and until when.
    channels: BTreeMap<ChannelId, Time>,
    channels_due: VecDeque<(Time, ChannelId)>,
    requests: BTreeMap<RequestId, PeerId>,
    requests_due: VecDeque<(Time, RequestId)>,
    writing: BTreeMap<PersistId, B256>,
    /// Our words that are on disk.
    recorded: BTreeSet<B256>,
}

impl Owed {
    pub(crate) fn of(config: &Config) -> Self {
        Self { verdict_within: config.verdict_timeout + JOBS_TAKE, end_within: config.request_timeout, ..Self::default() }
    }

    /// Commitments without a verdict.
    pub(crate) fn commitments(&self) -> usize {
        self.verdicts.len() - self.txlists.len()
    }

    /// The machine is about to be told this.
    pub(crate) fn told(&mut self, now: Time, input: &Input) {
        match input {
            Input::GossipReceived { message, peer, topic, .. } => {
                if *topic == Topic::TxLists {
                    self.txlists.insert((*message, *peer));
                }
                let due = now.after(self.verdict_within);
                self.verdicts.entry((*message, *peer)).or_default().push_back(due);
                self.verdicts_due.push_back((due, *message, *peer));
            }
            Input::Persisted { id } => self.recorded.extend(self.writing.remove(id)),
            Input::RequestReceived { channel, .. } => {
                let due = now.after(ANSWERED_WITHIN);
                self.channels.insert(*channel, due);
                self.channels_due.push_back((due, *channel));
            }
            Input::ChannelClosed { channel } => drop(self.channels.remove(channel)),
            Input::ResponseReceived { request, .. } | Input::RequestFailed { request, .. } => drop(self.requests.remove(request)),
            // What a peer was asked ends with its connection; no link of a world has two.
            Input::ConnectionClosed { peer, .. } => self.requests.retain(|_, asked| asked != peer),
            _ => {}
        }
    }

    /// The machine was given back what was kept before.
    pub(crate) fn restored(&mut self, records: &[Record]) {
        let own = |record: &Record| if let Record::Committed(own) = record { Some(own.hash()) } else { None };
        self.recorded.extend(records.iter().filter_map(own));
    }

    /// The machine said this.
    pub(crate) fn said(&mut self, now: Time, output: &Output) -> Result<(), Violation> {
        match output {
            Output::Net(action) => return self.ordered(now, action),
            Output::App(Event::BlockReady { .. }) => self.taken.ready += 1,
            Output::App(Event::EvidenceFound { .. }) => self.taken.evidence += 1,
            Output::Persist { id, record: Record::Committed(own) } => drop(self.writing.insert(*id, own.hash())),
            Output::App(_) | Output::Persist { .. } | Output::Job(_) => {}
        }
        Ok(())
    }

    fn ordered(&mut self, now: Time, action: &Action) -> Result<(), Violation> {
        match action {
            Action::ReportGossip { message, verdict, peer } => {
                let Some(copies) = self.verdicts.get_mut(&(*message, *peer)) else {
                    return Err(Violation::VerdictUnasked { message: *message });
                };
                let is_late = copies.pop_front().is_some_and(|due| due < now);
                if copies.is_empty() {
                    self.verdicts.remove(&(*message, *peer));
                    self.txlists.remove(&(*message, *peer));
                }
                if is_late {
                    return Err(Violation::OutputLost(Lost::Verdict { message: *message, peer: *peer }));
                }
                *match verdict {
                    Verdict::Accept => &mut self.taken.accepted,
                    Verdict::Ignore => &mut self.taken.ignored,
                    Verdict::Reject => &mut self.taken.rejected,
                } += 1;
            }
            Action::Respond { channel, .. } => {
                self.taken.served += 1;
                self.channels.remove(channel);
            }
            Action::DropRequest { channel } => {
                self.taken.refused += 1;
                self.channels.remove(channel);
            }
            Action::SendRequest { request, peer, .. } => {
                self.requests.insert(*request, *peer);
                self.requests_due.push_back((now.after(self.end_within), *request));
            }
            Action::CancelRequest { request } => drop(self.requests.remove(request)),
            Action::Publish { topic: Topic::Commitments, data, .. } => {
                let hash = SignedCommitment::decode(data).map(|signed| preconfirmation_hash(&signed)).unwrap_or_default();
                if !self.recorded.contains(&hash) {
                    return Err(Violation::OutputLost(Lost::Record { hash }));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The machine's call is over, and all that it said was taken.
    pub(crate) fn balance(&mut self, now: Time, stats: &Stats) -> Result<(), Violation> {
        let Taken { accepted, ignored, rejected, ready, evidence, served, refused } = self.taken;
        let counts = [
            ("messages accepted", stats.accepted, accepted),
            ("messages ignored", stats.ignored, ignored),
            ("messages rejected", stats.rejected, rejected),
            ("blocks ready", stats.ready, ready),
            ("faults proven", stats.evidence, evidence),
            ("requests answered", stats.requests_served, served),
            ("requests dropped", stats.requests_refused, refused),
        ];
        let lost = counts.into_iter().find(|(_, counted, taken)| counted != taken).map(|(what, counted, taken)| Lost::Counted {
            what,
            counted,
            taken,
        });
        lost.map_or_else(|| self.overdue(now), |lost| Err(Violation::OutputLost(lost)))
    }

    /// Time has passed, whether or not the machine noticed.
    pub(crate) fn overdue(&mut self, now: Time) -> Result<(), Violation> {
        let lost = self.late_verdict(now).or_else(|| self.endless_request(now)).or_else(|| self.late_answer(now));
        lost.map_or(Ok(()), |lost| Err(Violation::OutputLost(lost)))
    }

    fn late_answer(&mut self, now: Time) -> Option<Lost> {
        while let Some((_, channel)) = self.channels_due.pop_front_if(|(due, _)| *due < now) {
            if self.channels.get(&channel).is_some_and(|due| *due < now) {
                return Some(Lost::Answer { channel });
            }
        }
        None
    }

    fn late_verdict(&mut self, now: Time) -> Option<Lost> {
        while let Some((_, message, peer)) = self.verdicts_due.pop_front_if(|(due, ..)| *due < now) {
            let is_open = self.verdicts.get(&(message, peer)).and_then(VecDeque::front).is_some_and(|due| *due < now);
            if is_open {
                return Some(Lost::Verdict { message, peer });
            }
        }
        None
    }

    fn endless_request(&mut self, now: Time) -> Option<Lost> {
        while let Some((_, request)) = self.requests_due.pop_front_if(|(due, _)| *due < now) {
            if self.requests.contains_key(&request) {
                return Some(Lost::End { request });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use preconf_core::{Bytes, ChainId, Protocol};

    use super::super::node::{Setup, peer_id};
    use super::super::world::World;
    use super::*;

    const MESSAGE: MessageId = MessageId([7; 20]);

    fn owed() -> Owed {
        Owed::of(&Config::new(ChainId(1)))
    }

    fn lost(balance: Result<(), Violation>) -> Lost {
        match balance {
            Err(Violation::OutputLost(lost)) => lost,
            other => panic!("{other:?}"),
        }
    }

    fn gossip() -> Input {
        Input::GossipReceived { peer: peer_id(1), message: MESSAGE, topic: Topic::Commitments, data: Bytes::new() }
    }

    fn ignored() -> Output {
        Output::Net(Action::ReportGossip { message: MESSAGE, peer: peer_id(1), verdict: Verdict::Ignore })
    }

    #[test]
    fn p5_1_a_verdict_that_does_not_come_is_missed_and_one_for_each_copy_is_owed() {
        let (mut owed, late, stats) = (owed(), Time::from_millis(4_002), Stats { ignored: 1, ..Stats::default() });
        owed.told(Time::ZERO, &gossip());
        owed.told(Time::from_millis(1), &gossip());
        owed.said(Time::from_millis(2), &ignored()).expect("asked for");
        assert_eq!(owed.balance(Time::from_millis(4_001), &stats), Ok(()));
        assert_eq!(lost(owed.balance(late, &stats)), Lost::Verdict { message: MESSAGE, peer: peer_id(1) });
    }

    #[test]
    fn p5_1_a_verdict_is_missed_though_the_machine_takes_no_step_any_more() {
        let mut world = World::new(7);
        let node = world.add_node(Setup::plain());
        assert_eq!(world.nodes[node].deadline(), None);
        let now = world.nodes[node].now(world.now);
        world.nodes[node].watch.told(now, &gossip());
        let failed = world.run_for(Duration::from_secs(10)).expect_err("nobody wakes it");
        assert_eq!(failed.violation, Violation::OutputLost(Lost::Verdict { message: MESSAGE, peer: peer_id(1) }));
    }

    #[test]
    fn a_verdict_that_nobody_asked_for_is_noticed() {
        assert_eq!(owed().said(Time::ZERO, &ignored()), Err(Violation::VerdictUnasked { message: MESSAGE }));
    }

    #[test]
    fn p6_6_a_request_that_is_neither_answered_nor_dropped_in_time_is_noticed() {
        let (mut owed, channel) = (owed(), ChannelId(3));
        let asked = Input::RequestReceived { peer: peer_id(1), channel, protocol: Protocol::GetHead, body: Bytes::new() };
        owed.told(Time::ZERO, &asked);
        assert_eq!(owed.balance(Time::from_millis(5_000), &Stats::default()), Ok(()), "it may wait");
        assert_eq!(lost(owed.balance(Time::from_millis(5_001), &Stats::default())), Lost::Answer { channel });
        owed.told(Time::ZERO, &asked);
        owed.said(Time::ZERO, &Output::Net(Action::DropRequest { channel })).expect("it may");
        assert_eq!(owed.balance(Time::ZERO, &Stats { requests_refused: 1, ..Stats::default() }), Ok(()));
    }

    #[test]
    fn p6_5_a_request_without_an_end_is_noticed() {
        let (mut owed, request) = (owed(), RequestId(5));
        let ask = Output::Net(Action::SendRequest { request, peer: peer_id(1), protocol: Protocol::GetHead, body: Bytes::new() });
        owed.said(Time::ZERO, &ask).expect("it may");
        assert_eq!(owed.balance(Time::from_millis(10_000), &Stats::default()), Ok(()));
        assert_eq!(lost(owed.balance(Time::from_millis(10_001), &Stats::default())), Lost::End { request });
    }

    #[test]
    fn what_is_counted_and_was_not_taken_is_noticed() {
        let lost = lost(owed().balance(Time::ZERO, &Stats { ready: 1, ..Stats::default() }));
        assert_eq!(lost, Lost::Counted { what: "blocks ready", counted: 1, taken: 0 });
    }
}
