//! A node on a bench: one machine, a clock that only the test moves, jobs that run at once.
#![allow(dead_code, unused_imports, reason = "each test file uses its own part")]

use std::time::Duration;

use preconf_core::*;
pub(crate) use preconf_writer::{CHAIN, START, WINDOW_SECS, Writer, key, windows};

pub(crate) fn peer(name: u8) -> PeerId {
    PeerId::from_bytes(&[0, 1, name]).expect("three bytes")
}

/// One machine on the bench.
pub(crate) struct Node {
    pub(crate) core: Core,
    pub(crate) now: Now,
    /// Is every record confirmed as soon as it comes out?
    pub(crate) disk_works: bool,
    host_rules: Vec<HostRule>,
    drains: u32,
    connections: u64,
    channels: u64,
}

impl Node {
    /// A node of the default configuration with preconfer 1 elected for the first window and 2 for the second. Its disk is new, so what it may
    /// have said in that window before is asked of its peers (P5.9b).
    pub(crate) fn new() -> Self {
        let mut node = Self::unscheduled(Config::new(CHAIN));
        node.update(Update::Schedule(windows(&[1, 2, 1, 2]))).expect("windows in order");
        node
    }

    /// The same with a disk that has been there for ever, and nothing on it.
    pub(crate) fn with(config: Config) -> Self {
        let mut node = Self::unscheduled(config);
        node.update(Update::Restore(vec![Record::Began { at: UnixTime(0) }])).expect("what was kept is taken back");
        node.update(Update::Schedule(windows(&[1, 2, 1, 2]))).expect("windows in order");
        node
    }

    pub(crate) fn unscheduled(config: Config) -> Self {
        let now = Now { mono: Time::ZERO, unix: UnixTime::from_secs(START + 1) };
        let host_rules = config.parent_rules.host.clone();
        let core = Core::new(config, [7; 32], now).expect("a good configuration");
        Self { core, now, disk_works: true, host_rules, drains: 0, connections: 0, channels: 0 }
    }

    /// Connected to peers that speak everything and have joined both topics; its disk has been there for ever.
    pub(crate) fn connected_to(names: &[u8]) -> Self {
        let mut node = Self::with(Config::new(CHAIN));
        for name in names {
            node.connect(*name);
        }
        node
    }

    /// Connects a peer that speaks everything; drops what comes of it, the head request included.
    pub(crate) fn connect(&mut self, name: u8) {
        self.open(name);
        self.drain();
    }

    /// One connection and nothing more; its id, and what comes of it.
    pub(crate) fn link(&mut self, peer: PeerId, address: Option<&str>, dial: Option<DialId>) -> (ConnectionId, Vec<Output>) {
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        let direction = if dial.is_some() { Direction::Outbound } else { Direction::Inbound };
        let address = address.map(|text| text.parse().expect("an IP address"));
        (connection, self.input(Input::ConnectionOpened { peer, connection, direction, address, dial }))
    }

    pub(crate) fn unlink(&mut self, peer: PeerId, connection: ConnectionId) -> Vec<Output> {
        self.input(Input::ConnectionClosed { peer, connection })
    }

    pub(crate) fn open(&mut self, name: u8) {
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        self.quiet(Input::ConnectionOpened { peer: peer(name), connection, direction: Direction::Inbound, address: None, dial: None });
        let protocols = SupportedProtocols { get_head: true, get_commitments: true, get_txlist: true, gossip: true };
        self.quiet(Input::PeerIdentified { peer: peer(name), protocols });
        for topic in Topic::ALL {
            self.quiet(Input::PeerSubscribed { peer: peer(name), topic });
        }
    }

    pub(crate) fn wait(&mut self, span: Duration) -> Vec<Output> {
        let until = self.now.after(span);
        let mut outputs = Vec::new();
        while let Some((at, _)) = self.core.poll_timeout().filter(|(at, _)| *at <= until.mono) {
            let step = at.since(self.now.mono);
            self.now = self.now.after(step);
            self.core.handle_timeout(self.now);
            assert!(self.core.poll_timeout().is_none_or(|(next, _)| next > self.now.mono), "a deadline that is due was left");
            outputs.extend(self.drain());
        }
        self.now = until;
        outputs
    }

    /// The clock is set to the begin of one of the windows of the scene.
    pub(crate) fn set_clock_to_window(&mut self, index: u64) {
        self.now.unix = UnixTime::from_secs(START + index * WINDOW_SECS);
    }

    pub(crate) fn quiet(&mut self, input: Input) {
        self.core.handle_input(self.now, input);
    }

    /// One input; jobs run at once; everything else that comes out.
    pub(crate) fn input(&mut self, input: Input) -> Vec<Output> {
        self.core.handle_input(self.now, input);
        self.drain()
    }

    pub(crate) fn command(&mut self, command: Command) -> Result<(CommandId, Vec<Output>), CommandError> {
        let id = self.core.handle_command(self.now, command)?;
        Ok((id, self.drain()))
    }

    pub(crate) fn update(&mut self, update: Update) -> Result<Vec<Output>, UpdateError> {
        self.core.handle_update(self.now, update)?;
        Ok(self.drain())
    }

    pub(crate) fn drain(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Job(job) => self.core.handle_input(self.now, Input::JobFinished(job.run())),
                Output::Persist { id, .. } => {
                    outputs.push(output);
                    if self.disk_works {
                        self.core.handle_input(self.now, Input::Persisted { id });
                    }
                }
                Output::Net(_) | Output::App(_) => outputs.push(output),
            }
        }
        self.drains += 1;
        if self.drains < 16 || self.drains.is_power_of_two() {
            self.go_on_from_a_snapshot(); // some moments of every life, and each of a short one
        }
        outputs
    }

    /// Whatever a test shows of a machine holds for one that goes on from a snapshot of it.
    #[cfg(feature = "serde")]
    pub(crate) fn go_on_from_a_snapshot(&mut self) {
        let Some(snapshot) = self.core.snapshot() else { return };
        let bytes = postcard::to_allocvec(&snapshot).expect("values of known lengths");
        let lists: std::collections::BTreeMap<B256, Bytes> =
            self.core.snapshot_txlists().map(|(hash, list)| (hash, list.clone())).collect();
        let mut from = postcard::Deserializer::from_bytes(&bytes);
        let core =
            Core::from_snapshot(&mut from, self.host_rules.clone(), |hash| lists.get(hash).cloned()).expect("what was written is read");
        assert_eq!(postcard::to_allocvec(&core.snapshot().expect("nothing waits")).expect("likewise"), bytes, "one machine, one snapshot");
        self.core = core;
    }

    #[cfg(not(feature = "serde"))]
    pub(crate) fn go_on_from_a_snapshot(&mut self) {}

    pub(crate) fn gossip(&mut self, from: u8, topic: Topic, data: impl Into<Bytes>) -> Vec<Output> {
        let input = gossip(from, topic, data);
        self.input(input)
    }

    pub(crate) fn commitment(&mut self, from: u8, signed: &SignedCommitment) -> Vec<Output> {
        self.gossip(from, Topic::Commitments, signed.as_bytes().to_vec())
    }

    pub(crate) fn txlist(&mut self, from: u8, txlist: &Bytes) -> Vec<Output> {
        self.gossip(from, Topic::TxLists, RawTxList { hash: keccak256(txlist), txlist: txlist.clone() }.encode())
    }

    /// A block and its txlist, both from one peer.
    pub(crate) fn block(&mut self, from: u8, (signed, txlist): &(SignedCommitment, Bytes)) -> Vec<Output> {
        let mut outputs = self.commitment(from, signed);
        outputs.extend(self.txlist(from, txlist));
        outputs
    }

    /// A peer's request, and what we answer at once.
    pub(crate) fn asked(&mut self, from: u8, protocol: Protocol, body: impl Into<Bytes>) -> Vec<Output> {
        self.channels += 1;
        let channel = ChannelId(self.channels);
        let outputs = self.input(Input::RequestReceived { peer: peer(from), channel, protocol, body: body.into() });
        self.quiet(Input::ChannelClosed { channel });
        outputs
    }

    /// Gossip takes all that is published among outputs and after them: their topics, in order.
    pub(crate) fn all_sent(&mut self, outputs: &[Output]) -> Vec<Topic> {
        let mut topics = Vec::new();
        for (publish, topic, _) in published(outputs) {
            topics.push(topic);
            let next = self.input(Input::PublishFinished { publish, outcome: PublishOutcome::Sent });
            topics.extend(self.all_sent(&next));
        }
        topics
    }

    pub(crate) fn status(&self) -> Status {
        self.core.status(self.now)
    }

    pub(crate) fn head(&self) -> Option<u64> {
        self.status().head.map(|(number, _)| number)
    }

    pub(crate) fn score(&self, name: u8) -> i64 {
        self.core.peers(self.now).iter().find(|info| info.peer == peer(name)).map_or(0, |info| info.score)
    }
}

pub(crate) fn gossip(from: u8, topic: Topic, data: impl Into<Bytes>) -> Input {
    let data = data.into();
    Input::GossipReceived { peer: peer(from), message: message_id(CHAIN, topic, &data), topic, data }
}

/// The verdicts among outputs, in order.
pub(crate) fn verdicts(outputs: &[Output]) -> Vec<Verdict> {
    let verdict = |output: &Output| match output {
        Output::Net(Action::ReportGossip { verdict, .. }) => Some(*verdict),
        _ => None,
    };
    outputs.iter().filter_map(verdict).collect()
}

/// The refusals among outputs, in order.
pub(crate) fn refusals(outputs: &[Output]) -> Vec<Refusal> {
    let refusal = |output: &Output| match output {
        Output::App(Event::MessageRefused { refusal, .. }) => Some(*refusal),
        _ => None,
    };
    outputs.iter().filter_map(refusal).collect()
}

/// Numbers of the blocks that became ready, in order.
pub(crate) fn ready(outputs: &[Output]) -> Vec<u64> {
    let ready = |output: &Output| match output {
        Output::App(Event::BlockReady { commitment, .. }) => Some(commitment.block_number),
        _ => None,
    };
    outputs.iter().filter_map(ready).collect()
}

/// Requests that went out: id, peer, protocol, body.
pub(crate) fn requests(outputs: &[Output]) -> Vec<(RequestId, PeerId, Protocol, Bytes)> {
    let request = |output: &Output| match output {
        Output::Net(Action::SendRequest { request, peer, protocol, body }) => Some((*request, *peer, *protocol, body.clone())),
        _ => None,
    };
    outputs.iter().filter_map(request).collect()
}

/// Orders to the network, in order.
pub(crate) fn actions(outputs: &[Output]) -> Vec<Action> {
    let action = |output: &Output| match output {
        Output::Net(action) => Some(action.clone()),
        _ => None,
    };
    outputs.iter().filter_map(action).collect()
}

/// Changes of standing, in order.
pub(crate) fn standings(outputs: &[Output]) -> Vec<(PeerId, Standing)> {
    let changed = |output: &Output| match output {
        Output::App(Event::StandingChanged { peer, standing, .. }) => Some((*peer, *standing)),
        _ => None,
    };
    outputs.iter().filter_map(changed).collect()
}

/// What is to be stored, in order.
pub(crate) fn records(outputs: &[Output]) -> Vec<Record> {
    let record = |output: &Output| match output {
        Output::Persist { record, .. } => Some(record.clone()),
        _ => None,
    };
    outputs.iter().filter_map(record).collect()
}

/// Outcomes of commands, in order.
pub(crate) fn outcomes(outputs: &[Output]) -> Vec<(CommandId, Outcome)> {
    let outcome = |output: &Output| match output {
        Output::App(Event::CommandFinished { command, outcome }) => Some((*command, outcome.clone())),
        _ => None,
    };
    outputs.iter().filter_map(outcome).collect()
}

/// What goes out of our own.
pub(crate) fn published(outputs: &[Output]) -> Vec<(PublishId, Topic, Bytes)> {
    let publish = |output: &Output| match output {
        Output::Net(Action::Publish { publish, topic, data }) => Some((*publish, *topic, data.clone())),
        _ => None,
    };
    outputs.iter().filter_map(publish).collect()
}

/// Our user publishes a commitment.
pub(crate) fn publish(node: &mut Node, signed: &SignedCommitment) -> Result<(CommandId, Vec<Output>), CommandError> {
    node.command(Command::PublishCommitment(Box::new(signed.clone())))
}
