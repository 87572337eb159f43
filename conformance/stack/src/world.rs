//! The world: nodes, lines, time, and what goes wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures_timer::Delay;
use preconf_core::{Change, Time, UnixTime};
use preconf_interpose as interpose;
use preconf_node::{Keypair, NetworkHandle, NetworkStatus};
use preconf_sim::scenario::{Links, Tail};
use preconf_sim::{CHAIN, Dice, DiskTerms, NodeId, START};

use crate::disk::Disk;
use crate::executor::Executor;
use crate::net::{Lines, Net, SharedNet, lock as net};
use crate::node::{Machine, Surroundings, tell_tip};
use crate::preconfer::{Office, SharedOffice, lock as office};
use crate::scenario::Scenario;
use crate::watch::{Seen, SharedSeen, lock as seen};

/// How far apart nodes hear of a new L1 block. Ours: seconds, as in life.
const L1_NEWS: Duration = Duration::from_secs(2);

/// All of it.
pub(crate) struct World {
    pub(crate) executor: Executor,
    pub(crate) net: SharedNet,
    pub(crate) seen: SharedSeen,
    pub(crate) office: SharedOffice,
    machines: Vec<Machine>,
    /// Handles of the nodes that are up.
    up: BTreeMap<NodeId, NetworkHandle>,
    dice: Dice,
    silent: u32,
    disk: DiskTerms,
    /// The first timer, which took the timers' thread in.
    _first: Delay,
}

fn millionths(share: f64) -> u32 {
    (share.clamp(0.0, 1.0) * 1e6) as u32
}

fn tail(tail: Option<Tail>) -> (u32, Duration) {
    tail.map_or((0, Duration::ZERO), |tail| (millionths(tail.share), Duration::from_millis(tail.ms)))
}

fn lines(links: &Links, scenario: &Scenario) -> Lines {
    let [least, most] = links.latency_ms.map(Duration::from_millis);
    let (both, stack) = (links.bandwidth_kib, &scenario.stack);
    let bytes = |kib: Option<u64>| kib.or(both).map(|kib| kib << 10);
    Lines {
        latency: (least, most.max(least + Duration::from_micros(1))),
        tail: tail(links.tail),
        loss: millionths(links.loss),
        bandwidth: (bytes(stack.uplink_kib), bytes(stack.downlink_kib)),
        window: stack.window_kib << 10,
        ..Lines::default()
    }
}

impl World {
    /// Every node of a scenario that `ends` at a time, in nanoseconds, started. On a thread that has entered virtual time.
    pub(crate) fn new(scenario: &Scenario, seed: u64, ends: u64, keeps_lines: bool) -> Self {
        let first = interpose::arm(|| Delay::new(Duration::from_secs(1 << 30)));
        let (pure, honest) = (&scenario.pure, scenario.pure.nodes.honest);
        let mut dice = Dice::new(!seed);
        let seats = pure.blocks.preconfers.min(honest);
        let watch = Seen::new(keeps_lines);
        let [least, most] = pure.disks.takes_ms.map(Duration::from_millis);
        let disk = DiskTerms {
            takes: least..most,
            tail: tail(pure.disks.tail),
            fails: millionths(pure.disks.fails),
            confirms_queued: pure.config.confirms_durable == Some(false),
        };
        let mut world = Self {
            executor: Executor::new(seed),
            net: Arc::new(Mutex::new(Net::new(lines(&pure.links, scenario), seed))),
            seen: Arc::new(Mutex::new(watch)),
            office: Arc::new(Mutex::new(Office::new(pure.blocks.clone(), seats, pure.seconds))),
            machines: Vec::new(),
            up: BTreeMap::new(),
            dice: Dice::new(seed.rotate_left(17)),
            silent: millionths(scenario.stack.silent),
            disk,
            _first: first,
        };
        for id in 0..honest {
            let keypair = Keypair::ed25519_from_bytes(dice.seed()).expect("thirty-two bytes are a key");
            let skew = (pure.nodes.skew_s * 1e9) as u64;
            world.executor.set_clock(id, dice.below(2 * skew + 1).cast_signed() - skew.cast_signed());
            let disk = world.new_disk(id);
            let mut core = preconf_core::Config::new(CHAIN);
            pure.config.apply(&mut core);
            let jobs = pure.nodes.jobs_ms.map(|[least, most]| Duration::from_millis(least)..Duration::from_millis(most));
            let pauses = scenario.stack.slow_application.filter(|_| id + 1 == honest).map(|pauses| (pauses, ends));
            world.machines.push(Machine { id, keypair, core, disk, jobs, seat: (id < seats).then_some(id), pauses, lives: 0 });
        }
        let addresses: Vec<String> = world.machines.iter().map(Machine::dial_address).collect();
        for id in 0..honest {
            let dials = dials(id, honest, pure.nodes.degree, scenario.stack.mutual, &mut dice);
            world.machines[id].core.static_peers = dials.into_iter().map(|other| addresses[other].clone()).collect();
        }
        let ids: BTreeMap<_, _> = world.machines.iter().map(|machine| (machine.peer_id(), machine.id)).collect();
        seen(&world.seen).honest = ids;
        (0..honest).for_each(|id| world.start(id));
        world
    }

    fn new_disk(&mut self, node: NodeId) -> Disk {
        let began = START * 1_000_000 + interpose::now() / 1_000;
        let began = began.saturating_add_signed(self.executor.clock(node) / 1_000);
        Disk::new(self.disk.clone(), UnixTime(began), self.dice.below(u64::MAX))
    }

    /// A node comes up.
    pub(crate) fn start(&mut self, node: NodeId) {
        let around = Surroundings { net: self.net.clone(), seen: self.seen.clone(), office: self.office.clone() };
        let spawner = self.executor.spawner(node);
        interpose::set_unix_offset(self.executor.clock(node));
        let handle = self.machines[node].start(&spawner, &around);
        interpose::set_unix_offset(0);
        self.up.insert(node, handle);
    }

    /// A node crashes: nothing of it runs on, and its disk keeps what it had confirmed. Its peers hear of it, or do not.
    pub(crate) fn crash(&mut self, node: NodeId) {
        let is_silent = self.dice.chance(self.silent);
        self.up.remove(&node);
        net(&self.net).crash(interpose::now(), node, is_silent);
        self.machines[node].disk.crash();
        self.executor.kill(node);
    }

    /// A node that is down gets a new disk.
    pub(crate) fn replace_disk(&mut self, node: NodeId) {
        self.machines[node].disk = self.new_disk(node);
    }

    /// A node's wall clock is set.
    pub(crate) fn jump_clock(&mut self, node: NodeId, nanos: i64) {
        let offset = self.executor.clock(node).saturating_add(nanos);
        self.executor.set_clock(node, offset);
    }

    /// L1 has another block: nodes hear of what it settles, each at a time of its own.
    pub(crate) fn l1_block(&mut self) {
        let Some(age) = office(&self.office).blocks.settles_after_s else { return };
        let now = Time(interpose::now() / 1_000);
        let Some(tip) = seen(&self.seen).l1.settle(Duration::from_secs(age), now) else { return };
        for (id, handle) in &self.up {
            let after = self.dice.span(&(Duration::ZERO..L1_NEWS));
            let told = tell_tip(*id, handle.clone(), tip, after, self.seen.clone());
            self.executor.spawner(*id).spawn(Box::pin(told));
        }
    }

    /// Lets the world go on until this time, in nanoseconds.
    pub(crate) fn run_until(&mut self, end: u64) {
        loop {
            self.executor.run_until_idle();
            let timer = interpose::next_timer(); // takes new ones in, and rings what is due already
            if self.executor.has_ready() {
                continue;
            }
            let next = [net(&self.net).next_event(), timer].into_iter().flatten().min().unwrap_or(u64::MAX);
            interpose::set_now(next.min(end));
            if next > end {
                return;
            }
            loop {
                let woken = net(&self.net).step(next);
                let Some(woken) = woken else { break };
                woken.into_iter().for_each(std::task::Waker::wake);
            }
            interpose::fire_timers();
        }
    }

    /// Has it been started, and not crashed since?
    pub(crate) fn is_up(&self, node: NodeId) -> bool {
        self.up.contains_key(&node)
    }

    /// What a node says of itself; `None` when it is down, or does not answer at once.
    pub(crate) fn status(&mut self, node: NodeId) -> Option<NetworkStatus> {
        self.ask(node, |handle| async move { handle.status().await.ok() }.boxed())
    }

    /// The first time that a node took points from another one for its silence (P6.5), in words.
    pub(crate) fn charged(&mut self, node: NodeId) -> Option<String> {
        for other in (0..self.machines.len()).filter(|other| *other != node) {
            let peer = self.machines[other].peer_id();
            let changes = self.ask(node, move |handle| async move { handle.explain(peer).await.ok() }.boxed())?;
            if let Some(Change { at, rule, reason, .. }) = changes.iter().find(|change| change.delta < 0 && change.rule == "P6.5") {
                return Some(format!(
                    "{rule}: {:.3} s after its start node {node} charged node {other}: {}",
                    at.0 as f64 / 1e6,
                    reason.label()
                ));
            }
        }
        None
    }

    /// Asks a node something, and waits until nothing moves; `None` while it is down.
    fn ask<T: Send + 'static>(&mut self, node: NodeId, question: impl FnOnce(NetworkHandle) -> BoxFuture<'static, Option<T>>) -> Option<T> {
        let asked = question(self.up.get(&node)?.clone());
        let slot = Arc::new(Mutex::new(None));
        let answer = Arc::clone(&slot);
        self.executor.spawner(node).spawn(Box::pin(async move {
            let said = asked.await;
            *answer.lock().unwrap_or_else(PoisonError::into_inner) = said;
        }));
        self.executor.run_until_idle();
        slot.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Whom a node dials.
fn dials(id: NodeId, honest: usize, degree: usize, is_mutual: bool, dice: &mut Dice) -> Vec<NodeId> {
    let mut others: Vec<NodeId> = if is_mutual { (0..honest).filter(|other| *other != id).collect() } else { (0..id).collect() };
    if degree > 0 && degree + 1 < honest {
        // A ring, so that nobody is left out, and random ways across it.
        others = vec![(id + 1) % honest];
        for _ in 1..degree / 2 {
            let other = usize::try_from(dice.below(honest as u64)).unwrap_or(0);
            if other != id && !others.contains(&other) {
                others.push(other);
            }
        }
    }
    others
}
