//! What happens next?
//!
//! A [`World`] owns the nodes, what lies between them, and the queue of what is on its way. A node's next deadline stands in the queue as a
//! wake-up; one that was moved meanwhile is put back at its new time. Who lives in a world is added in `build`, disturbed in `faults`, called
//! in `turn`, looked at in `look`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use preconf_core::{ChannelId, ConnectionId, Input, MessageId, Output, RequestId, Time, Window};

use super::agree::Agreement;
use super::check::{Failure, Violation};
use super::dice::Dice;
use super::discovery::Directory;
use super::host::Offer;
use super::jobs::Jobs;
use super::link::{Link, Terms};
use super::load::Load;
use super::node::{Node, NodeId};
use super::observe::{Mark, Observer};
use super::preconfer::Office;
use super::queue::{Happening, Queue};
use super::record::Tapes;
use super::trace::Trace;
use super::words::Words;
use crate::deliveries::Deliveries;
use crate::model::Model;

/// How often the end of a wait is looked for. Ours: the answer is asked of every node, so not after every step.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Where a request came from.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) connection: ConnectionId,
    pub(crate) request: RequestId,
}

/// A fault between the machines and the world.
pub(crate) type Planted = Box<dyn FnMut(Time, NodeId, Output) -> Vec<Output>>;

/// Nodes, what lies between them, and what is on its way.
pub struct World {
    seed: u64,
    pub(crate) dice: Dice,
    pub(crate) now: Time,
    pub(crate) queue: Queue,
    pub(crate) nodes: Vec<Node>,
    pub(crate) links: BTreeMap<(NodeId, NodeId), Link>,
    /// Connections that stand.
    pub(crate) standing: HashMap<ConnectionId, (NodeId, NodeId)>,
    pub(crate) channels: HashMap<ChannelId, Asked>,
    pub(crate) minted: u64,
    pub(crate) jobs: Jobs,
    pub(crate) loads: Vec<Load>,
    pub(crate) trace: Trace,
    pub(crate) poison: BTreeSet<MessageId>,
    pub(crate) last_loss: Time,
    pub(crate) last_block: Time,
    pub(crate) observers: Vec<Box<dyn Observer>>,
    /// Beside every so manieth machine stands a model.
    pub(crate) model_every: usize,
    pub(crate) models: BTreeMap<NodeId, Model>,
    /// Where machines that start are recorded.
    pub(crate) tapes: Option<Tapes>,
    /// The terms of links that dials make.
    pub(crate) usual: Terms,
    pub(crate) office: Option<Office>,
    pub(crate) words: Words,
    /// What preconfers' hosts have offered their nodes, and do not know the end of.
    pub(crate) offers: BTreeMap<NodeId, Vec<Offer>>,
    pub(crate) schedule: Vec<Window>,
    /// Who has banned whom, and who has put whom out of its mesh at least, ever.
    pub(crate) bans: BTreeSet<(NodeId, NodeId)>,
    pub(crate) put_out: BTreeSet<(NodeId, NodeId)>,
    pub(crate) deliveries: Deliveries,
    pub(crate) agreement: Agreement,
    pub(crate) planted: Option<Planted>,
    /// Whom look-ups find.
    pub(crate) directory: Directory,
}

impl World {
    /// An empty world. The seed decides all its chance, and that of its machines.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            dice: Dice::new(seed),
            now: Time::ZERO,
            queue: Queue::default(),
            nodes: Vec::new(),
            links: BTreeMap::new(),
            standing: HashMap::new(),
            channels: HashMap::new(),
            minted: 0,
            jobs: Jobs::default(),
            loads: Vec::new(),
            trace: Trace::default(),
            poison: BTreeSet::new(),
            last_loss: Time::ZERO,
            last_block: Time::ZERO,
            observers: Vec::new(),
            model_every: 0,
            models: BTreeMap::new(),
            tapes: None,
            usual: Terms::default(),
            office: None,
            words: Words::default(),
            offers: BTreeMap::new(),
            schedule: Vec::new(),
            bans: BTreeSet::new(),
            put_out: BTreeSet::new(),
            deliveries: Deliveries::default(),
            agreement: Agreement::default(),
            planted: None,
            directory: Directory::default(),
        }
    }

    /// Lets somebody look on from now on.
    ///
    /// ```
    /// use std::{cell::RefCell, rc::Rc};
    /// use preconf_sim::{History, HistoryPlan, NodeId, Observer, Setup, World};
    /// use preconf_core::{Output, Time};
    ///
    /// #[derive(Default)]
    /// struct Count(u64);
    /// impl Observer for Count {
    ///     fn output(&mut self, _: Time, _: NodeId, _: &Output) {
    ///         self.0 += 1;
    ///     }
    /// }
    ///
    /// let count = Rc::new(RefCell::new(Count::default()));
    /// let mut world = World::new(1);
    /// world.observe(count.clone());
    /// # let _ = world;
    /// assert_eq!(count.borrow().0, 0);
    /// ```
    pub fn observe(&mut self, observer: impl Observer + 'static) {
        self.observers.push(Box::new(observer));
    }

    /// Has so many threads do the machines' jobs from now on, each job anew; 0 has the world do them itself, and each only once. What happens
    /// is the same.
    pub fn job_threads(&mut self, threads: usize) {
        self.jobs.on_threads(threads);
    }

    /// Puts a [`Model`] beside every so manieth machine that starts from now on (1: each of them; 0: none), and fails where the two part.
    pub fn model_every(&mut self, nodes: usize) {
        self.model_every = nodes;
    }

    /// Plants a fault: what this makes of an output is what the machine has said, for all that the world knows. A check that has never
    /// failed proves nothing, so each is shown to fail by a fault of its own.
    pub fn plant(&mut self, fault: impl FnMut(Time, NodeId, Output) -> Vec<Output> + 'static) {
        self.planted = Some(Box::new(fault));
    }

    /// Notes for those who look on that something is done to the world.
    pub fn mark(&mut self, mark: &Mark) {
        let now = self.now;
        self.observers.iter_mut().for_each(|observer| observer.mark(now, mark));
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// What did not hold on the way.
    pub fn run_for(&mut self, span: Duration) -> Result<(), Failure> {
        let until = self.now.after(span);
        while self.queue.next_at().is_some_and(|at| at <= until) {
            self.step()?;
        }
        self.now = until;
        self.forks_due()?;
        self.debts_due()
    }

    /// What machines owe is here by now, also of those that take no step any more.
    pub(crate) fn debts_due(&mut self) -> Result<(), Failure> {
        for id in 0..self.nodes.len() {
            let node = &mut self.nodes[id];
            let now = node.now(self.now);
            let owed = if node.up && node.core().is_some() { node.watch.overdue(now) } else { Ok(()) };
            owed.map_err(|violation| self.failure(id, violation))?;
        }
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

    pub(crate) fn after(&mut self, span: Duration, happening: Happening) {
        self.at(self.now.after(span), happening);
    }

    pub(crate) fn at(&mut self, at: Time, happening: Happening) {
        self.queue.push(at, happening);
    }

    pub(crate) fn failure(&self, node: NodeId, violation: Violation) -> Failure {
        Failure { seed: self.seed, at: self.now, node, violation }
    }

    /// Does the next thing.
    fn step(&mut self) -> Result<(), Failure> {
        let Some((at, happening)) = self.queue.pop() else { return Ok(()) };
        let is_next_second = at.0 / 1_000_000 > self.now.0 / 1_000_000;
        self.now = at;
        if is_next_second {
            self.debts_due()?; // a machine that takes no step any more is not asked by one
        }
        self.forks_due()?;
        match happening {
            Happening::Input { node, life, input } if self.nodes[node].life == life => self.input(node, input),
            Happening::Wake { node, life } if self.nodes[node].life == life => self.wake(node),
            Happening::Tip { node, tip } => self.tip_arrives(node, tip),
            Happening::Windows { node, windows } => self.windows_arrive(node, windows),
            Happening::Slot { seat } => self.slot(seat),
            Happening::L1Block => {
                self.l1_block();
                Ok(())
            }
            Happening::Have { from, to, connection, told } => {
                self.have_arrives(from, to, connection, told);
                Ok(())
            }
            Happening::Wanted { by, from, connection, message, topic, data } => {
                self.want_arrives(from, by, connection, message, topic, &data);
                Ok(())
            }
            Happening::Heartbeat { node } => {
                self.heartbeat(node);
                Ok(())
            }
            Happening::Dialed { from, to, dial } => self.dialed(from, to, dial),
            Happening::Turn { node } => self.puppet_turn(node),
            Happening::Job { node, life, ticket } => {
                let done = self.jobs.finish(ticket);
                if self.nodes[node].life == life { self.input(node, Input::JobFinished(done)) } else { Ok(()) }
            }
            Happening::Written { node, life, id } => self.written(node, life, id),
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
}
