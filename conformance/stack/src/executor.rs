//! Whose turn is it?
//!
//! All tasks of all nodes run on one thread. Of those that are ready the dice choose the next, so that another seed tries another order; time
//! stands still while any is ready. Each task belongs to a node: it sees that node's wall clock, and dies with it.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

use futures::future::BoxFuture;
use preconf_sim::Dice;
use twox_hash::XxHash3_64;

use crate::NodeId;

/// Polls while time stands still. Ours: a thousand times what a message of all nodes to all nodes takes in the largest scenario.
const MAX_POLLS_AT_ONCE: u64 = 50_000_000;

/// What wakers and tasks reach from outside.
#[derive(Default)]
struct Shared {
    ready: Mutex<Vec<u64>>,
    spawned: Mutex<Vec<(NodeId, BoxFuture<'static, ()>)>>,
}

struct TaskWaker {
    task: u64,
    is_queued: AtomicBool,
    shared: Arc<Shared>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_queued.swap(true, Ordering::AcqRel) {
            lock(&self.shared.ready).push(self.task);
        }
    }
}

struct Task {
    node: NodeId,
    future: BoxFuture<'static, ()>,
    state: Arc<TaskWaker>,
    waker: Waker,
}

/// Runs the tasks of all nodes.
pub(crate) struct Executor {
    shared: Arc<Shared>,
    tasks: BTreeMap<u64, Task>,
    next_id: u64,
    dice: Dice,
    /// How far each node's wall clock is off, in nanoseconds.
    offsets: BTreeMap<NodeId, i64>,
    /// Nodes whose machine sleeps: their tasks are ready, and do not run.
    suspended: BTreeSet<NodeId>,
    polls: u64,
    digest: XxHash3_64,
}

/// Starts tasks of one node, from wherever.
#[derive(Clone)]
pub(crate) struct Spawner {
    shared: Arc<Shared>,
    node: NodeId,
}

impl Spawner {
    /// Starts one.
    pub(crate) fn spawn(&self, future: BoxFuture<'static, ()>) {
        lock(&self.shared.spawned).push((self.node, future));
    }
}

impl Executor {
    /// Nothing to do yet.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            shared: Arc::default(),
            tasks: BTreeMap::new(),
            next_id: 0,
            dice: Dice::new(seed),
            offsets: BTreeMap::new(),
            suspended: BTreeSet::new(),
            polls: 0,
            digest: XxHash3_64::new(),
        }
    }

    /// Starts tasks of a node.
    pub(crate) fn spawner(&self, node: NodeId) -> Spawner {
        Spawner { shared: Arc::clone(&self.shared), node }
    }

    /// Is there a task that could go on?
    pub(crate) fn has_ready(&self) -> bool {
        let is_awake = |id: &u64| self.tasks.get(id).is_some_and(|task| !self.suspended.contains(&task.node));
        lock(&self.shared.ready).iter().any(is_awake) || !lock(&self.shared.spawned).is_empty()
    }

    /// How often tasks were polled so far.
    pub(crate) fn polls(&self) -> u64 {
        self.polls
    }

    /// What identifies the order in which tasks ran, and when.
    pub(crate) fn digest(&self) -> u64 {
        self.digest.finish()
    }

    /// Sets a node's wall clock, off by so many nanoseconds.
    pub(crate) fn set_clock(&mut self, node: NodeId, offset: i64) {
        self.offsets.insert(node, offset);
    }

    /// How far a node's wall clock is off.
    pub(crate) fn clock(&self, node: NodeId) -> i64 {
        self.offsets.get(&node).copied().unwrap_or(0)
    }

    /// A node's machine falls asleep, or wakes up.
    pub(crate) fn suspend(&mut self, node: NodeId, is_suspended: bool) {
        if is_suspended {
            self.suspended.insert(node);
        } else {
            self.suspended.remove(&node);
        }
    }

    /// Runs until nothing can go on. Time stands still.
    ///
    /// # Panics
    /// Tasks wake each other for ever: on a real machine that is a core that is never idle again.
    pub(crate) fn run_until_idle(&mut self) {
        self.start_spawned();
        let most = self.polls + MAX_POLLS_AT_ONCE;
        while let Some(id) = self.choose() {
            let Some(task) = self.tasks.get_mut(&id) else { continue };
            task.state.is_queued.store(false, Ordering::Release);
            self.polls += 1;
            assert!(self.polls < most, "node {} and others wake each other for ever, at {} ns", task.node, preconf_interpose::now());
            self.digest.write_u64(id);
            self.digest.write_u64(preconf_interpose::now());
            preconf_interpose::set_unix_offset(self.offsets.get(&task.node).copied().unwrap_or(0));
            let is_done = {
                let _of_whom = tracing::info_span!("node", id = task.node).entered();
                task.future.as_mut().poll(&mut Context::from_waker(&task.waker)).is_ready()
            };
            preconf_interpose::set_unix_offset(0);
            if is_done {
                self.tasks.remove(&id);
            }
            self.start_spawned();
        }
    }

    /// One of those that are ready. A suspended node's stay where they are.
    fn choose(&mut self) -> Option<u64> {
        let mut ready = lock(&self.shared.ready);
        ready.retain(|id| self.tasks.contains_key(id));
        if self.suspended.is_empty() {
            let len = ready.len() as u64;
            return (len > 0).then(|| ready.swap_remove(index(self.dice.below(len))));
        }
        let awake = |id: &u64| self.tasks.get(id).is_some_and(|task| !self.suspended.contains(&task.node));
        let candidates: Vec<usize> = ready.iter().enumerate().filter(|(_, id)| awake(id)).map(|(at, _)| at).collect();
        let at = candidates.get(index(self.dice.below(candidates.len() as u64)))?;
        Some(ready.swap_remove(*at))
    }

    fn start_spawned(&mut self) {
        for (node, future) in std::mem::take(&mut *lock(&self.shared.spawned)) {
            let id = self.next_id;
            self.next_id += 1;
            let state = Arc::new(TaskWaker { task: id, is_queued: AtomicBool::new(true), shared: Arc::clone(&self.shared) });
            let waker = Waker::from(Arc::clone(&state));
            self.tasks.insert(id, Task { node, future, state, waker });
            lock(&self.shared.ready).push(id);
        }
    }

    /// A crash: a node's tasks are dropped where they stand.
    pub(crate) fn kill(&mut self, node: NodeId) {
        lock(&self.shared.spawned).retain(|(of, _)| *of != node);
        let (dead, alive) = std::mem::take(&mut self.tasks).into_iter().partition(|(_, task)| task.node == node);
        self.tasks = alive;
        drop::<BTreeMap<u64, Task>>(dead);
        // What a dropped task started on its way out dies with it.
        lock(&self.shared.spawned).retain(|(of, _)| *of != node);
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
