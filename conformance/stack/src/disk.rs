//! A node's disk: what it takes, what it fails, and what a crash leaves of it (P5.9a).
//!
//! A write takes its time; then it is there and confirmed, or it fails, and half of those are there all the same. A crash keeps any part of
//! what was not confirmed. Writes end in the order in which they began.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use futures_timer::Delay;
use preconf_core::{PersistId, Record, StorageFailure, UnixTime};
use preconf_sim::{Dice, DiskTerms};
use preconf_store::{Done, MemoryStore, Store};

/// What outlives a node's process. Clones are the same disk.
#[derive(Clone)]
pub(crate) struct Disk {
    /// What is on it.
    stored: MemoryStore,
    writes: Arc<Mutex<Writes>>,
    terms: DiskTerms,
}

struct Writes {
    waiting: VecDeque<Write>,
    /// When the last of them ends.
    busy_until: u64,
    dice: Dice,
    waker: Option<Waker>,
}

struct Write {
    id: PersistId,
    record: Record,
    ends: u64,
}

/// What a node writes through, until it crashes.
pub(crate) struct DiskWriter {
    disk: Disk,
    alarm: Option<(u64, Delay)>,
    /// Confirmed already, by a host that breaks P5.9a.
    told: VecDeque<PersistId>,
}

impl Disk {
    /// A new one, first used at this time by its node's clock (P5.9b).
    pub(crate) fn new(terms: DiskTerms, began: UnixTime, seed: u64) -> Self {
        let writes = Writes { waiting: VecDeque::new(), busy_until: 0, dice: Dice::new(seed), waker: None };
        Self { stored: MemoryStore::new(began), writes: Arc::new(Mutex::new(writes)), terms }
    }

    /// What a node that starts now finds, and what it writes through.
    pub(crate) fn open(&self) -> (Vec<Record>, Box<dyn Store>) {
        (self.stored.records(), Box::new(DiskWriter { disk: self.clone(), alarm: None, told: VecDeque::new() }))
    }

    /// The node is gone.
    pub(crate) fn crash(&self) {
        let mut writes = self.writes();
        for write in std::mem::take(&mut writes.waiting) {
            if writes.dice.below(2) == 0 {
                self.store(write);
            }
        }
    }

    fn store(&self, write: Write) {
        let mut stored = self.stored.clone();
        stored.persist(write.id, write.record);
        let _confirmed_later = stored.poll_done(&mut Context::from_waker(Waker::noop()));
    }

    fn writes(&self) -> MutexGuard<'_, Writes> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for DiskWriter {
    fn persist(&mut self, id: PersistId, record: Record) {
        let terms = &self.disk.terms;
        let mut writes = self.disk.writes();
        let longer = if writes.dice.chance(terms.tail.0) { writes.dice.span(&(Duration::ZERO..terms.tail.1)) } else { Duration::ZERO };
        let takes = u64::try_from((writes.dice.span(&terms.takes) + longer).as_nanos()).unwrap_or(u64::MAX);
        writes.busy_until = writes.busy_until.max(preconf_interpose::now() + takes);
        let ends = writes.busy_until;
        writes.waiting.push_back(Write { id, record, ends });
        if terms.confirms_queued {
            self.told.push_back(id);
        }
        writes.waker.take().into_iter().for_each(Waker::wake);
    }

    fn poll_done(&mut self, context: &mut Context<'_>) -> Poll<Done> {
        if let Some(id) = self.told.pop_front() {
            return Poll::Ready(Done { id, result: Ok(()) });
        }
        let now = preconf_interpose::now();
        let mut writes = self.disk.writes();
        let Some(ends) = writes.waiting.front().map(|write| write.ends) else {
            writes.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        if ends > now {
            writes.waker = Some(context.waker().clone());
            drop(writes);
            if self.alarm.as_ref().is_none_or(|(at, _)| *at != ends) {
                self.alarm = Some((ends, Delay::new(Duration::from_nanos(ends - now))));
            }
            if let Some((_, alarm)) = &mut self.alarm
                && alarm.poll_unpin(context).is_ready()
            {
                self.alarm = None;
                context.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        let Some(write) = writes.waiting.pop_front() else { return Poll::Pending };
        let has_failed = writes.dice.chance(self.disk.terms.fails);
        let is_there = !has_failed || writes.dice.below(2) == 0;
        drop(writes);
        let id = write.id;
        if is_there {
            self.disk.store(write);
        }
        if self.disk.terms.confirms_queued {
            context.waker().wake_by_ref(); // it was told before
            return Poll::Pending;
        }
        Poll::Ready(Done { id, result: if has_failed { Err(StorageFailure::NoSpace) } else { Ok(()) } })
    }

    /// An orderly end waits for nothing: what was taken is there.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        for write in std::mem::take(&mut self.disk.writes().waiting) {
            self.disk.store(write);
        }
        ready(()).boxed()
    }
}
