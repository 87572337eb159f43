//! Whatever comes, in whatever order: no panic, no bound broken, no deadline left behind, and in the end nothing hangs (P10.2, P6.5).
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::support::*;
use preconf_core::*;
use proptest::prelude::*;

/// What strangers can say: good blocks, forks, faults, orphans.
struct Material {
    commitments: Vec<SignedCommitment>,
    txlists: Vec<Bytes>,
}

fn material() -> Material {
    let mut writer = Writer::new(1);
    let mut blocks: Vec<_> = (0..10).map(|_| writer.block()).collect();
    let mut fork = Writer { parent: blocks[3].0.preconf().parent_preconfirmation_hash, number: 3, ..Writer::new(1) };
    blocks.extend((0..3).map(|_| fork.block()));
    let (eop, parent, number) = (writer.eop(), writer.parent, writer.number);
    let late = writer.block();
    let mut next = Writer { parent, number, ..writer };
    next.hand_over(2);
    blocks.extend((0..5).map(|_| next.block()));
    blocks.push(late);
    blocks.push(Writer { number: 400, ..Writer::new(1) }.block());
    blocks.push(Writer { key: key(3), ..Writer::new(1) }.block());
    let (mut commitments, txlists): (Vec<_>, Vec<_>) = blocks.into_iter().unzip();
    commitments.push(eop);
    Material { commitments, txlists }
}

/// One move, as small numbers that are taken modulo what there is.
type Move = (u8, u8, u16);

#[derive(Clone, Debug)]
enum Told {
    Command(Command),
    Update(Update),
}

struct Chaos {
    node: Node,
    material: Material,
    jobs: VecDeque<Job>,
    sent: Vec<(RequestId, Protocol, Bytes)>,
    publishes: Vec<PublishId>,
    dials: Vec<DialId>,
    /// Records that the disk has not answered for, and all that it was given.
    writes: VecDeque<PersistId>,
    kept: Vec<Record>,
    open_verdicts: BTreeMap<(MessageId, PeerId), i64>,
    commands: BTreeSet<CommandId>,
    connection: u64,
    /// All that it said.
    said: Vec<Output>,
    steps: u32,
    /// After how many steps the machine is put aside for one that goes on from a snapshot of it.
    snapshots: Option<u32>,
}

impl Chaos {
    fn new() -> Self {
        let config =
            Config { max_held: 16, max_held_per_peer: 6, max_commitments: 8, max_requests: 6, max_unsent: 3, ..Config::new(CHAIN) };
        Self {
            node: Node::unscheduled(config),
            material: material(),
            jobs: VecDeque::new(),
            sent: Vec::new(),
            publishes: Vec::new(),
            dials: Vec::new(),
            writes: VecDeque::new(),
            kept: Vec::new(),
            open_verdicts: BTreeMap::new(),
            commands: BTreeSet::new(),
            connection: 0,
            said: Vec::new(),
            steps: 0,
            snapshots: None,
        }
    }

    fn input(&mut self, input: Input) {
        if let Input::GossipReceived { peer, message, .. } = &input {
            *self.open_verdicts.entry((*message, *peer)).or_default() += 1;
        }
        self.node.quiet(input);
        self.after();
    }

    fn command(&mut self, command: Command) {
        if let Ok(id) = self.node.core.handle_command(self.node.now, command) {
            assert!(self.commands.insert(id), "an id used twice");
        }
        self.after();
    }

    fn update(&mut self, update: Update) {
        let _ = self.node.core.handle_update(self.node.now, update);
        self.after();
    }

    fn after(&mut self) {
        while let Some(output) = self.node.core.poll_output() {
            self.said.push(output.clone());
            match output {
                Output::Job(job) => self.jobs.push_back(job),
                Output::Net(Action::SendRequest { request, protocol, body, .. }) => self.sent.push((request, protocol, body)),
                Output::Net(Action::Publish { publish, .. }) => self.publishes.push(publish),
                Output::Net(Action::Dial { dial, .. }) => self.dials.push(dial),
                Output::Net(Action::ReportGossip { message, peer, .. }) => {
                    let open = self.open_verdicts.get_mut(&(message, peer)).expect("a verdict on what came");
                    *open -= 1;
                    assert!(*open >= 0, "two verdicts on one message");
                }
                Output::Persist { id, record } => {
                    self.writes.push_back(id);
                    self.kept.push(record);
                }
                // What was committed to before a restart is published again, by a command of the node's own.
                Output::App(Event::PublishingAgain { command, .. }) => drop(self.commands.insert(command)),
                Output::App(Event::CommandFinished { command, .. }) => assert!(self.commands.remove(&command), "a command ended twice"),
                _ => {}
            }
        }
        let (held, bound) = (
            self.node.core.memory_bytes(),
            memory_bound(&Config {
                max_held: 16,
                max_held_per_peer: 6,
                max_commitments: 8,
                max_requests: 6,
                max_unsent: 3,
                ..Config::new(CHAIN)
            }),
        );
        assert!(held <= bound);
        self.steps += 1;
        if self.snapshots.is_some_and(|every| self.steps.is_multiple_of(every)) {
            self.node.go_on_from_a_snapshot();
        }
    }

    fn step(&mut self, (what, who, which): Move) {
        let (name, which) = (1 + who % 4, usize::from(which));
        let commitment = self.material.commitments[which % self.material.commitments.len()].clone();
        let txlist = self.material.txlists[which % self.material.txlists.len()].clone();
        match what % 25 {
            0 => {
                self.connection += 1;
                let connection = ConnectionId(self.connection % 6);
                self.input(Input::ConnectionOpened {
                    peer: peer(name),
                    connection,
                    direction: Direction::Inbound,
                    address: None,
                    dial: None,
                });
                let protocols = SupportedProtocols { get_head: true, get_commitments: true, get_txlist: true, gossip: true };
                self.input(Input::PeerIdentified { peer: peer(name), protocols });
            }
            1 => self.input(Input::ConnectionClosed { peer: peer(name), connection: ConnectionId(which as u64 % 6) }),
            2 => self.input(Input::PeerSubscribed { peer: peer(name), topic: Topic::ALL[which % 2] }),
            3..=6 => self.input(gossip(name, Topic::Commitments, commitment.as_bytes().to_vec())),
            7 | 8 => self.input(gossip(name, Topic::TxLists, RawTxList { hash: keccak256(&txlist), txlist }.encode())),
            9 => self.input(gossip(name, Topic::ALL[which % 2], vec![which as u8; which % 500])),
            10..=13 => {
                if !self.jobs.is_empty() {
                    let job = self.jobs.remove(which % self.jobs.len()).unwrap();
                    self.input(Input::JobFinished(job.run()));
                }
            }
            14 | 15 => self.answer(which),
            16 => {
                let channel = ChannelId(which as u64 % 9);
                self.input(Input::RequestReceived {
                    peer: peer(name),
                    channel,
                    protocol: Protocol::ALL[which % 3],
                    body: vec![4, 0, 0, 0].into(),
                });
                self.input(Input::ChannelClosed { channel });
            }
            17 => self.update(Update::Schedule(windows(&[1, 2, 1][..1 + which % 3]))),
            18 => {
                let hash = (which % 3 == 0).then(|| preconfirmation_hash(&commitment));
                self.update(Update::MoveSyncTip(SyncTip { block_number: (which % 12) as u64, preconfirmation_hash: hash }));
            }
            19 => match which % 4 {
                0 => self.command(Command::PublishCommitment(Box::new(commitment))),
                1 => self.command(Command::PublishTxList(txlist)),
                2 => self.command(Command::GetHead { peer: Some(peer(name)) }),
                _ => self.command(Command::GetTxList { hash: keccak256(&txlist), peer: None }),
            },
            20 => {
                if let Some(publish) = self.publishes.pop() {
                    let outcomes = [PublishOutcome::Sent, PublishOutcome::NoPeers, PublishOutcome::Busy, PublishOutcome::Refused];
                    self.input(Input::PublishFinished { publish, outcome: outcomes[which % 4] });
                }
            }
            21 | 22 => {
                if let Some(id) = self.writes.pop_front() {
                    let failure = StorageFailure::NoSpace;
                    self.input(if which % 4 == 0 { Input::PersistFailed { id, failure } } else { Input::Persisted { id } });
                }
            }
            23 => match which % 4 {
                0 => self.update(Update::Restore(self.kept.clone())),
                1 => self.update(Update::OverrideSyncing { window_end: commitment.preconf().submission_window_end.to() }),
                _ => self.command(Command::PublishBlock { commitment: Box::new(commitment), txlist }),
            },
            _ => self.pass(Duration::from_millis(1 << (which % 15))),
        }
    }

    /// A good answer, a bad one, or a failure, to any of the requests, old ones too.
    fn answer(&mut self, which: usize) {
        if self.sent.is_empty() {
            return;
        }
        let (request, protocol, body) = self.sent[which % self.sent.len()].clone();
        let failures = [RequestFailure::Timeout, RequestFailure::Closed, RequestFailure::BadFrame];
        let answer = match (which % 4, protocol) {
            (0, _) => return self.input(Input::RequestFailed { request, failure: failures[which % 3] }),
            (1, _) => Bytes::from(vec![which as u8; which % 99]),
            (_, Protocol::GetHead) => PreconfHead { block_number: U256::from(which % 20), ..PreconfHead::default() }.encode(),
            (_, Protocol::GetCommitments) => {
                let start = GetCommitmentsRequest::decode(&body).unwrap().start_block_number;
                let from = usize::try_from(start).unwrap_or(0).saturating_sub(1).min(10);
                CommitmentsPage::encode(self.material.commitments[from..10].iter())
            }
            (_, Protocol::GetTxList) => {
                let hash = B256::from_slice(&body);
                let found = self.material.txlists.iter().find(|txlist| keccak256(txlist) == hash);
                RawTxList { hash, txlist: found.cloned().unwrap_or_default() }.encode()
            }
        };
        self.input(Input::ResponseReceived { request, body: answer });
    }

    fn pass(&mut self, span: Duration) {
        let until = self.node.now.after(span);
        while let Some((at, _)) = self.node.core.poll_timeout().filter(|(at, _)| *at <= until.mono) {
            let step = at.since(self.node.now.mono);
            self.node.now = self.node.now.after(step);
            self.node.core.handle_timeout(self.node.now);
            let next = self.node.core.poll_timeout();
            assert!(next.is_none_or(|(next, _)| next > self.node.now.mono), "left behind: {next:?}");
            self.after();
        }
        self.node.now = until;
    }

    /// What our application may say, most of it to be refused; `ahead` of the clock, which a refusal does not move.
    fn told(&self, (what, who, which): Move) -> Told {
        let (peer, block_number) = (peer(1 + who % 6), u64::from(which % 14));
        let peer = Some(peer).filter(|_| who < 200);
        let named = peer.unwrap_or(crate::support::peer(9));
        let signed = self.material.commitments[usize::from(which) % self.material.commitments.len()].clone();
        let window = Window { start: START, end: START + u64::from(which % 3), preconfer: Address::ZERO, settled_at: Some(0) };
        match what % 13 {
            0 => Told::Command(Command::PublishCommitment(Box::new(signed))),
            1 => Told::Command(Command::PublishTxList(vec![0; usize::from(which % 3) << 20].into())),
            2 => Told::Command(Command::GetHead { peer }),
            3 => Told::Command(Command::GetCommitments { start: 1, count: u32::from(which % 400), peer }),
            4 | 5 => Told::Command(Command::GetTxList { hash: B256::ZERO, peer }),
            6 => Told::Command(Command::Dial { address: format!("/ip4/203.0.113.{}/tcp/1/p2p/{named}", which % 3) }),
            7 => Told::Command(Command::Dial { address: "nowhere".to_owned() }),
            8 => Told::Update(Update::Disconnect { peer: named }),
            9 => Told::Update(Update::LiftBan { peer: named }),
            10 => Told::Update(Update::Schedule(vec![window, window])),
            11 => Told::Update(Update::MarkExecuted { block_number }),
            _ => Told::Update(Update::MarkFailed { block_number }),
        }
    }

    /// Is it taken?
    fn takes(&mut self, ahead: Duration, told: Told) -> bool {
        let now = self.node.now.after(ahead);
        let taken = match told {
            Told::Command(command) => self.node.core.handle_command(now, command).map(|id| self.commands.insert(id)).is_ok(),
            Told::Update(update) => self.node.core.handle_update(now, update).is_ok(),
        };
        if taken {
            self.node.now = now;
        }
        self.after();
        taken
    }

    /// All that can be seen of it.
    fn seen(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let (core, now) = (&self.node.core, self.node.now);
        let views = (core.status(now), core.peers(now), core.stats().clone(), core.banned(now));
        (self.said.len(), self.said.last().cloned(), core.poll_timeout(), core.memory_bytes(), views)
    }

    fn answer_writes(&mut self) {
        while let Some(id) = self.writes.pop_front() {
            self.input(Input::Persisted { id });
        }
    }

    /// Everyone leaves, all jobs end, time goes on: what is still there would be there for ever.
    fn settle(&mut self) {
        while let Some(job) = self.jobs.pop_front() {
            self.input(Input::JobFinished(job.run()));
        }
        self.answer_writes();
        while let Some(dial) = self.dials.pop() {
            self.input(Input::DialFailed { dial, failure: DialFailure::Unreachable });
        }
        for name in 1..=4 {
            (0..6).for_each(|id| self.input(Input::ConnectionClosed { peer: peer(name), connection: ConnectionId(id) }));
        }
        // What goes out again after a restart goes one after the other, each when the one before has had its time.
        for _ in 0..100 {
            self.pass(Duration::from_secs(20_000));
            if self.jobs.is_empty() {
                break;
            }
            while let Some(job) = self.jobs.pop_front() {
                self.input(Input::JobFinished(job.run()));
                self.answer_writes();
            }
        }
        let status = self.node.status();
        assert_eq!((status.held, status.requests, status.jobs, status.unsent, status.syncing), (0, 0, 0, 0, false));
        assert!(self.commands.is_empty(), "commands that never ended: {:?}", self.commands);
        let open: Vec<_> = self.open_verdicts.iter().filter(|(_, open)| **open != 0).collect();
        assert!(open.is_empty(), "messages without a verdict: {open:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn no_order_of_moves_breaks_it(moves in prop::collection::vec(any::<Move>(), 1..400)) {
        let mut chaos = Chaos::new();
        moves.into_iter().for_each(|step| chaos.step(step));
        chaos.settle();
    }

    #[test]
    fn what_is_refused_changes_nothing(moves in prop::collection::vec((any::<Move>(), prop::option::of(any::<(Move, u16)>())), 1..200)) {
        // Two that live alike, but that only one of them is told what is then refused.
        let (mut told, mut spared) = (Chaos::new(), Chaos::new());
        for (step, trial) in moves {
            if let Some((trial, ahead)) = trial {
                let (trial, ahead) = (told.told(trial), Duration::from_millis(ahead.into()));
                if told.takes(ahead, trial.clone()) {
                    prop_assert!(spared.takes(ahead, trial));
                }
                prop_assert_eq!(told.seen(), spared.seen());
            }
            told.step(step);
            spared.step(step);
            prop_assert_eq!(told.seen(), spared.seen());
        }
        told.settle();
        spared.settle();
        prop_assert_eq!(told.said, spared.said);
    }

    #[cfg(feature = "serde")]
    #[test]
    fn no_bytes_of_a_snapshot_make_who_reads_it_panic(
        moves in prop::collection::vec(any::<Move>(), 1..60),
        spoiled in prop::collection::vec((any::<u16>(), any::<u8>()), 0..6),
    ) {
        let mut chaos = Chaos::new();
        moves.into_iter().for_each(|step| chaos.step(step));
        let mut bytes = postcard::to_allocvec(&chaos.node.core.snapshot().expect("nothing waits")).unwrap();
        for (place, byte) in spoiled {
            let place = usize::from(place) % bytes.len();
            bytes[place] = byte;
        }
        let find = |_: &B256| Some(Bytes::from_static(b"whatever"));
        let _ = Core::from_snapshot(&mut postcard::Deserializer::from_bytes(&bytes), Vec::new(), find);
    }

    #[cfg(feature = "serde")]
    #[test]
    fn a_machine_that_goes_on_from_snapshots_says_what_one_says_that_never_stopped(
        moves in prop::collection::vec(any::<Move>(), 1..200),
        every in 1..8u32,
    ) {
        let (mut whole, mut pieced) = (Chaos::new(), Chaos { snapshots: Some(every), ..Chaos::new() });
        for step in moves {
            whole.step(step);
            pieced.step(step);
            prop_assert_eq!(whole.seen(), pieced.seen());
        }
        whole.settle();
        pieced.settle();
        prop_assert_eq!(whole.said, pieced.said);
    }
}
