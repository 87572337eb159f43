//! What happens next?
//!
//! The queue holds everything that is on its way, ordered by time and then by when it was put there. A node's next deadline stands in it
//! as a wake-up; one that was moved meanwhile is put back at its new time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use preconf_core::{
    Bytes, ChannelId, Command, CommandError, CommandId, ConnectionId, Core, Input, MessageId, Now, Output, PeerInfo, Protocol, RequestId,
    Status, Time, Topic, message_id,
};

use super::check::{Failure, Violation};
use super::dice::Dice;
use super::history::{CHAIN, History};
use super::jobs::{JobOrder, Jobs};
use super::link::{Link, Terms};
use super::node::{Mind, Node, NodeId, Setup, node_of, peer_id};
use super::puppet::Puppet;
use super::trace::Trace;

/// How often the end of a wait is looked for. Ours: the answer is asked of every node, so not after every step.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Something that is on its way.
#[derive(Debug)]
pub(crate) enum Happening {
    /// For the machine of a node, in this life.
    Input {
        node: NodeId,
        life: u32,
        input: Input,
    },
    /// A node's deadline.
    Wake {
        node: NodeId,
        life: u32,
    },
    /// Both ends say what they speak and join the topics.
    Joined {
        ends: (NodeId, NodeId),
        connection: ConnectionId,
    },
    /// A link is tried (again).
    Connect {
        ends: (NodeId, NodeId),
    },
    /// Both ends notice that nothing passes any more.
    Broken {
        ends: (NodeId, NodeId),
        connection: ConnectionId,
    },
    Gossip {
        from: NodeId,
        to: NodeId,
        connection: ConnectionId,
        message: MessageId,
        topic: Topic,
        data: Bytes,
    },
    Request {
        from: NodeId,
        to: NodeId,
        connection: ConnectionId,
        request: RequestId,
        protocol: Protocol,
        body: Bytes,
    },
    /// An answer, or none: the stream closes.
    Answer {
        to: NodeId,
        connection: ConnectionId,
        ends: (NodeId, NodeId),
        request: RequestId,
        body: Option<Bytes>,
    },
    /// The next block of a load is due.
    Block {
        load: usize,
        number: u64,
    },
}

/// Blocks that nodes publish in turn.
pub(crate) struct Load {
    history: History,
    every: Duration,
    publishers: Vec<NodeId>,
}

/// Where a request came from.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) connection: ConnectionId,
    pub(crate) request: RequestId,
}

/// Nodes, what lies between them, and what is on its way.
pub struct World {
    seed: u64,
    pub(crate) dice: Dice,
    pub(crate) now: Time,
    serial: u64,
    queue: BTreeMap<(Time, u64), Happening>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) links: BTreeMap<(NodeId, NodeId), Link>,
    pub(crate) channels: BTreeMap<ChannelId, Asked>,
    pub(crate) minted: u64,
    jobs: Jobs,
    loads: Vec<Load>,
    trace: Trace,
    poison: BTreeSet<MessageId>,
    pub(crate) last_loss: Time,
    last_block: Time,
}

impl World {
    /// An empty world. The seed decides all its chance, and that of its machines.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            dice: Dice::new(seed),
            now: Time::ZERO,
            serial: 0,
            queue: BTreeMap::new(),
            nodes: Vec::new(),
            links: BTreeMap::new(),
            channels: BTreeMap::new(),
            minted: 0,
            jobs: Jobs::default(),
            loads: Vec::new(),
            trace: Trace::default(),
            poison: BTreeSet::new(),
            last_loss: Time::ZERO,
            last_block: Time::ZERO,
        }
    }

    /// An honest node with a machine of its own.
    ///
    /// # Panics
    /// A configuration that no node can start with.
    pub fn add_node(&mut self, setup: Setup) -> NodeId {
        let id = self.nodes.len();
        let core = self.machine(&setup);
        self.nodes.push(Node::new(Mind::Machine(Box::new(core)), Some(setup), self.now));
        self.schedule_of(id);
        id
    }

    /// A peer that is no machine, and that the honest ones owe nothing but P6.7.
    pub fn add_puppet(&mut self, puppet: impl Puppet + 'static) -> NodeId {
        self.nodes.push(Node::new(Mind::Puppet(Box::new(puppet), BTreeMap::new()), None, self.now));
        self.nodes.len() - 1
    }

    /// Takes a node down and starts it again at once, with the same identity and an empty memory but for what it had kept (P5.9).
    pub fn restart(&mut self, node: NodeId) -> Result<(), Failure> {
        let ends: Vec<_> = self.links.keys().filter(|(a, b)| *a == node || *b == node).copied().collect();
        for ends in &ends {
            self.disconnect(*ends)?;
        }
        if let Some(setup) = self.nodes[node].setup.clone() {
            let core = self.machine(&setup);
            self.nodes[node].reborn(core, self.now);
            let kept = self.nodes[node].kept.clone();
            self.command(node, Command::Restore(kept))?.expect("what was kept is taken back");
            self.schedule_of(node);
        }
        for ends in ends {
            self.after(Duration::from_millis(100), Happening::Connect { ends });
        }
        Ok(())
    }

    fn machine(&mut self, setup: &Setup) -> Core {
        let now = Now { mono: Time::ZERO, unix: setup.unix(self.now) };
        Core::new(setup.config.clone(), self.dice.seed(), now).expect("a configuration that a node can start with")
    }

    fn schedule_of(&mut self, node: NodeId) {
        let windows = self.nodes[node].setup.as_ref().map(|setup| setup.windows.clone()).unwrap_or_default();
        if !windows.is_empty() {
            let updated = self.command(node, Command::UpdateSchedule(windows)).expect("an empty node breaks no rule");
            updated.expect("a history's windows are in order");
        }
    }

    /// Links two nodes; the connection comes up as soon as time goes on.
    pub fn link(&mut self, a: NodeId, b: NodeId, terms: Terms) {
        let ends = (a.min(b), a.max(b));
        self.links.insert(ends, Link::new(terms));
        self.after(Duration::ZERO, Happening::Connect { ends });
    }

    /// Links a node to all that are there already.
    pub fn link_to_all(&mut self, node: NodeId, terms: Terms) {
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            self.link(node, other, terms.clone());
        }
    }

    /// Changes the terms of every link from now on.
    pub fn terms(&mut self, change: impl Fn(&mut Terms)) {
        self.links.values_mut().for_each(|link| change(&mut link.terms));
    }

    /// From now on nothing passes between two nodes; they notice after a while.
    pub fn cut(&mut self, a: NodeId, b: NodeId, noticed_after: Duration) {
        let ends = (a.min(b), a.max(b));
        let Some(link) = self.links.get_mut(&ends) else { return };
        link.cut = true;
        if let Some(connection) = link.connection {
            self.after(noticed_after, Happening::Broken { ends, connection });
        }
    }

    /// The cut is over; the connection comes back unless it never broke.
    pub fn heal(&mut self, a: NodeId, b: NodeId) {
        let ends = (a.min(b), a.max(b));
        if let Some(link) = self.links.get_mut(&ends) {
            link.cut = false;
            self.after(Duration::ZERO, Happening::Connect { ends });
        }
    }

    /// A wish of a node's application.
    ///
    /// # Errors
    /// Outside: a rule of the world is broken. Inside: the machine refuses.
    pub fn command(&mut self, node: NodeId, command: Command) -> Result<Result<CommandId, CommandError>, Failure> {
        let takes_time = command.takes_time();
        let now = self.nodes[node].now(self.now);
        let Mind::Machine(core) = &mut self.nodes[node].mind else { return Ok(Err(CommandError::NotConnected)) };
        let taken = core.handle_command(now, command);
        if let Ok(id) = &taken {
            self.nodes[node].watch.command(*id, takes_time);
        }
        self.drain(node)?;
        Ok(taken)
    }

    /// Hands a gossip message to a node after a while, as if a peer had sent it: past the mesh and its duplicate cache.
    pub fn inject(&mut self, to: NodeId, from: NodeId, topic: Topic, data: Bytes, after: Duration) {
        let input = Input::GossipReceived { peer: peer_id(from), message: message_id(CHAIN, topic, &data), topic, data };
        self.after(after, Happening::Input { node: to, life: self.nodes[to].life, input });
    }

    /// This message must never be accepted by an honest node.
    pub fn poison(&mut self, topic: Topic, data: &[u8]) {
        self.poison.insert(message_id(CHAIN, topic, data));
    }

    /// The publishers take windows in turn and publish a history, a block every so often. Each waits until it has the block before.
    pub fn publish(&mut self, history: &History, every: Duration, publishers: &[NodeId]) {
        self.loads.push(Load { history: history.clone(), every, publishers: publishers.to_vec() });
        self.after(every, Happening::Block { load: self.loads.len() - 1, number: 1 });
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// What did not hold on the way.
    pub fn run_for(&mut self, span: Duration) -> Result<(), Failure> {
        let until = self.now.after(span);
        while self.queue.first_key_value().is_some_and(|((at, _), _)| *at <= until) {
            self.step()?;
        }
        self.now = until;
        Ok(())
    }

    /// Lets time pass until something holds; says whether it did within the span.
    ///
    /// # Errors
    /// What did not hold on the way.
    pub fn run_until(&mut self, span: Duration, holds: impl Fn(&Self) -> bool) -> Result<bool, Failure> {
        let until = self.now.after(span);
        while !holds(self) {
            if self.now >= until {
                return Ok(false);
            }
            self.run_for(LOOK_EVERY)?;
        }
        Ok(true)
    }

    /// Heals everything, and loses nothing any more.
    pub fn calm(&mut self) {
        self.terms(|terms| (terms.loss, terms.repeats) = (0, 0));
        for setup in self.nodes.iter_mut().filter_map(|node| node.setup.as_mut()) {
            setup.drops = 0;
        }
        let cut: Vec<_> = self.links.iter().filter(|(_, link)| link.cut).map(|(ends, _)| *ends).collect();
        for (a, b) in cut {
            self.heal(a, b);
        }
    }

    /// Calms the world, and demands that the honest nodes come to rest within a span: same head, lag 0, nothing in flight.
    ///
    /// # Errors
    /// What is missing, or what did not hold on the way.
    pub fn settle(&mut self, within: Duration) -> Result<(), Failure> {
        self.calm();
        if self.run_until(within, |world| world.unsettled().is_none())? {
            return Ok(());
        }
        let (node, what) = self.unsettled().unwrap_or_default();
        Err(self.failure(node, Violation::Unsettled(what)))
    }

    fn unsettled(&self) -> Option<(NodeId, String)> {
        let mut heads = BTreeSet::new();
        for (id, node) in self.nodes.iter().enumerate() {
            let Some(core) = node.core() else { continue };
            let now = node.now(self.now);
            if let Some(what) = node.watch.unsettled(core, now) {
                return Some((id, what));
            }
            heads.insert(core.status(now).head);
            if heads.len() > 1 {
                return Some((id, format!("its head is {:?}, another's is not", core.status(now).head)));
            }
        }
        None
    }

    /// The world's time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// When gossip was lost last, for whatever cause.
    pub fn last_loss(&self) -> Time {
        self.last_loss
    }

    /// When the last block was published.
    pub fn last_block(&self) -> Time {
        self.last_block
    }

    /// Where a node stands; that of a puppet is empty.
    ///
    /// # Panics
    /// The node is a puppet.
    pub fn status(&self, node: NodeId) -> Status {
        self.core(node).status(self.nodes[node].now(self.now))
    }

    /// A node's peers.
    ///
    /// # Panics
    /// The node is a puppet.
    pub fn peers(&self, node: NodeId) -> Vec<PeerInfo> {
        self.core(node).peers(self.nodes[node].now(self.now))
    }

    /// The sum of what a node has charged a peer: 0 or less, in millionths of a point.
    ///
    /// # Panics
    /// The node is a puppet.
    pub fn charged(&self, node: NodeId, peer: NodeId) -> i64 {
        let changes = self.core(node).explain(self.nodes[node].now(self.now), peer_id(peer));
        // Decay takes from good scores too; it is no charge.
        let is_charge = |change: &&preconf_core::Change| change.delta < 0 && matches!(change.reason, preconf_core::Reason::Conduct(_));
        changes.iter().filter(is_charge).map(|change| change.delta).sum()
    }

    /// A node's machine.
    ///
    /// # Panics
    /// The node is a puppet.
    pub fn core(&self, node: NodeId) -> &Core {
        self.nodes[node].core().expect("a node with a machine")
    }

    /// Numbers and hashes of the blocks that became ready, in that order, in the node's present life.
    pub fn ready(&self, node: NodeId) -> Vec<(u64, preconf_core::B256)> {
        self.nodes[node].ready.iter().map(|ready| (ready.number, ready.hash)).collect()
    }

    /// When a block became ready on a node.
    pub fn ready_at(&self, node: NodeId, number: u64) -> Option<Time> {
        self.nodes[node].ready.iter().find(|ready| ready.number == number).map(|ready| ready.at)
    }

    /// Calls of machines so far.
    pub fn steps(&self) -> u64 {
        self.trace.steps()
    }

    /// Signatures that were really recovered.
    pub fn recovered(&self) -> u64 {
        self.jobs.recovered
    }

    /// SHA-256 over every output of every machine so far.
    pub fn digest(&self) -> [u8; 32] {
        self.trace.digest()
    }

    pub(crate) fn after(&mut self, span: Duration, happening: Happening) {
        self.at(self.now.after(span), happening);
    }

    pub(crate) fn at(&mut self, at: Time, happening: Happening) {
        self.serial += 1;
        self.queue.insert((at, self.serial), happening);
    }

    pub(crate) fn failure(&self, node: NodeId, violation: Violation) -> Failure {
        Failure { seed: self.seed, at: self.now, node, violation }
    }

    /// Does the next thing.
    fn step(&mut self) -> Result<(), Failure> {
        let Some(((at, _), happening)) = self.queue.pop_first() else { return Ok(()) };
        self.now = at;
        match happening {
            Happening::Input { node, life, input } if self.nodes[node].life == life => self.input(node, input),
            Happening::Wake { node, life } if self.nodes[node].life == life => self.wake(node),
            Happening::Input { .. } | Happening::Wake { .. } => Ok(()), // of a life that is over
            Happening::Joined { ends, connection } => self.joined(ends, connection),
            Happening::Connect { ends } => self.connect(ends),
            Happening::Broken { ends, connection } if self.is_broken(ends, connection) => self.disconnect(ends),
            Happening::Broken { .. } => Ok(()),
            Happening::Gossip { from, to, connection, message, topic, data } => {
                self.gossip_arrives(from, to, connection, message, topic, data)
            }
            Happening::Request { from, to, connection, request, protocol, body } => {
                self.request_arrives(Asked { from, to, connection, request }, protocol, body)
            }
            Happening::Answer { to, connection, ends, request, body } => self.answer_arrives(to, connection, ends, request, body),
            Happening::Block { load, number } => self.next_block(load, number),
        }
    }

    /// One input for a machine, and all that follows from it at once.
    pub(crate) fn input(&mut self, node: NodeId, input: Input) -> Result<(), Failure> {
        let now = self.nodes[node].now(self.now);
        if let Input::GossipReceived { message, peer, .. } = &input {
            self.nodes[node].watch.gossip(*message, *peer);
        }
        if let Mind::Machine(core) = &mut self.nodes[node].mind {
            core.handle_input(now, input);
            self.drain(node)?;
        }
        Ok(())
    }

    fn wake(&mut self, node: NodeId) -> Result<(), Failure> {
        self.nodes[node].wake = None;
        let now = self.nodes[node].now(self.now);
        let due = self.nodes[node].deadline().is_some_and(|at| at <= self.now);
        let Mind::Machine(core) = &mut self.nodes[node].mind else { return Ok(()) };
        if due {
            core.handle_timeout(now);
            if let Some((_, timer)) = core.poll_timeout().filter(|(at, _)| *at <= now.mono) {
                return Err(self.failure(node, Violation::DueTimerLeft { timer }));
            }
        }
        self.drain(node)
    }

    /// Takes a machine's outputs, checks them, carries them out, and sets its wake-up.
    fn drain(&mut self, node: NodeId) -> Result<(), Failure> {
        let mut results = std::collections::VecDeque::new();
        loop {
            let outputs = self.take_outputs(node)?;
            for output in outputs {
                match output {
                    Output::Net(action) => self.carry_out(node, action)?,
                    Output::App(event) => self.note(node, &event),
                    Output::Keep(record) => self.nodes[node].kept.push(record),
                    Output::Job(job) => {
                        let done = self.jobs.run(&job);
                        match self.nodes[node].setup.as_ref().map(|setup| &setup.jobs) {
                            Some(JobOrder::After(range)) => {
                                let after = self.dice.span(range);
                                self.after(after, Happening::Input { node, life: self.nodes[node].life, input: Input::JobFinished(done) });
                            }
                            Some(JobOrder::AtOnce) | None => results.push_back(done),
                        }
                    }
                }
            }
            let Some(done) = results.pop_front() else { break };
            let now = self.nodes[node].now(self.now);
            if let Mind::Machine(core) = &mut self.nodes[node].mind {
                core.handle_input(now, Input::JobFinished(done));
            }
        }
        let deadline = self.nodes[node].deadline();
        let Node { wake, life, .. } = &mut self.nodes[node];
        if let Some(at) = deadline.filter(|at| wake.is_none_or(|wake| *at < wake)) {
            *wake = Some(at);
            let life = *life;
            self.at(at.max(self.now), Happening::Wake { node, life });
        }
        Ok(())
    }

    fn take_outputs(&mut self, node: NodeId) -> Result<Vec<Output>, Failure> {
        let mut outputs = Vec::new();
        let Mind::Machine(core) = &mut self.nodes[node].mind else { return Ok(outputs) };
        while let Some(output) = core.poll_output() {
            outputs.push(output);
        }
        self.trace.step(self.now, node);
        outputs.iter().for_each(|output| self.trace.output(output));
        let mut watch = std::mem::take(&mut self.nodes[node].watch);
        let checked = watch.outputs(&outputs, &self.poison, |peer| node_of(peer).filter(|peer| self.is_honest(*peer)));
        self.nodes[node].watch = watch;
        checked.map_err(|violation| self.failure(node, violation))?;
        self.check_memory(node)?;
        Ok(outputs)
    }

    /// P10.3: what the machine counts never passes its bound.
    fn check_memory(&self, node: NodeId) -> Result<(), Failure> {
        let Some(core) = self.nodes[node].core() else { return Ok(()) };
        let (bytes, bound) = (core.memory_bytes(), self.nodes[node].memory_bound);
        if bytes > bound { Err(self.failure(node, Violation::OverMemory { bytes, bound })) } else { Ok(()) }
    }

    pub(crate) fn is_honest(&self, node: NodeId) -> bool {
        self.nodes.get(node).is_some_and(|node| node.core().is_some())
    }

    fn next_block(&mut self, load: usize, number: u64) -> Result<(), Failure> {
        let Load { history, every, publishers } = &self.loads[load];
        let (every, Some(block)) = (*every, history.block(number)) else { return Ok(()) };
        let publisher = publishers[block.window % publishers.len()];
        if self.status(publisher).head.map_or(0, |(head, _)| head) + 1 < number {
            // It cannot build on a block that it does not have.
            self.after(LOOK_EVERY, Happening::Block { load, number });
            return Ok(());
        }
        let (signed, txlist) = (block.signed.clone(), block.txlist.clone());
        if let Some((_, txlist)) = txlist {
            self.command(publisher, Command::PublishTxList(txlist))?.map_err(|error| self.refused(publisher, &error))?;
        }
        self.command(publisher, Command::PublishCommitment(Box::new(signed)))?.map_err(|error| self.refused(publisher, &error))?;
        self.last_block = self.now;
        self.after(every, Happening::Block { load, number: number + 1 });
        Ok(())
    }

    fn refused(&self, node: NodeId, error: &CommandError) -> Failure {
        self.failure(node, Violation::Unsettled(format!("its own block is refused: {error}")))
    }
}
