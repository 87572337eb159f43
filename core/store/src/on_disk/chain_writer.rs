//! Writes all that nobody waits for, gathered.
//!
//! | state   | a record comes                     | its time is over                                                  |
//! |---------|------------------------------------|-------------------------------------------------------------------|
//! | idle    | gather: so long from now           | -                                                                 |
//! | gather  | it replaces one of its kind        | write: idle, or failing with the first pause                      |
//! | failing | told that it failed, kept to retry | write: idle, or failing with twice the pause, up to the longest   |
//!
//! What could not be written is kept, the latest of its kind, within the bounds of the queue; it is written when the disk takes records again.
//! Nobody is told then: a later record of its kind is.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::channel::mpsc::UnboundedSender;
use preconf_core::{PersistId, Record, SIGNED_COMMITMENT_BYTES, StorageFailure};

use super::chain;
use super::database::Live;
use super::own_writer::tell;
use crate::key::Key;
use crate::limits::Limits;
use crate::store::Done;

/// How the thread paces its writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How long records are gathered that nobody waits for. Default 50 ms: ours, some 20 syncs a second at most.
    pub gather: Duration,
    /// The pause after a failure, doubled at each. Default 1 s.
    pub retry_first: Duration,
    /// The longest pause. Default 1 min.
    pub retry_most: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { gather: Duration::from_millis(50), retry_first: Duration::from_secs(1), retry_most: Duration::from_secs(60) }
    }
}

type Waiting = BTreeMap<Key, (u64, Record)>;

/// What waits for the thread.
#[derive(Debug, Default)]
pub(crate) struct ChainQueue {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Each with its place in the order in which they came.
    waiting: Waiting,
    /// Whom to tell.
    ids: Vec<PersistId>,
    next: u64,
    bytes: usize,
    due: Option<Instant>,
    /// What the last try came to, and the pause after it.
    failing: Option<(StorageFailure, Duration)>,
    is_closing: bool,
}

impl ChainQueue {
    /// Takes a record. Of a failure is told at once; the record may be written later all the same.
    pub(crate) fn push(&self, id: PersistId, record: Record, limits: &Limits, pace: &Pace, done: &UnboundedSender<Done>) {
        let mut state = self.state();
        let failing = state.failing.map(|(failure, _)| failure);
        let is_kept = state.ids.len() < limits.waiting && state.keep(Key::of(&record), None, record, limits);
        // Without room the disk has not taken any for a long time.
        if let Some(failure) = failing.or((!is_kept).then_some(StorageFailure::Io)) {
            let _ = done.unbounded_send(Done { id, result: Err(failure) });
            return;
        }
        state.ids.push(id);
        if state.due.is_none() {
            state.due = Some(Instant::now() + pace.gather);
            self.wake.notify_one();
        }
    }

    /// Has the thread end after one last try.
    pub(crate) fn close(&self) {
        self.state().is_closing = true;
        self.wake.notify_one();
    }

    /// What is due, and whom to tell; nothing at the end.
    fn take(&self) -> Option<(Waiting, Vec<PersistId>)> {
        let mut state = self.state();
        while !state.is_closing {
            let now = Instant::now();
            match state.due {
                None => state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(due) if due > now => {
                    state = self.wake.wait_timeout(state, due - now).unwrap_or_else(|poisoned| poisoned.into_inner()).0;
                }
                Some(_) => break,
            }
        }
        state.due = None;
        state.bytes = 0;
        let taken = (std::mem::take(&mut state.waiting), std::mem::take(&mut state.ids));
        (!taken.0.is_empty() || !taken.1.is_empty()).then_some(taken)
    }

    /// After a try: who waits is told, and what failed waits again, unless a later one of its kind does.
    fn settle(
        &self,
        result: Result<(), StorageFailure>,
        ids: Vec<PersistId>,
        taken: Waiting,
        rules: (&Limits, &Pace),
        done: &UnboundedSender<Done>,
    ) {
        let mut state = self.state(); // held, so that who comes next is told next
        for id in ids {
            let _ = done.unbounded_send(Done { id, result }); // nobody listens any more at the end
        }
        let Err(failure) = result else {
            state.failing = None;
            return;
        };
        let (limits, pace) = rules;
        let pause = state.failing.map_or(pace.retry_first, |(_, pause)| (pause * 2).min(pace.retry_most));
        state.failing = Some((failure, pause));
        // The newest first: what does not fit any more is the oldest.
        let mut taken: Vec<_> = taken.into_iter().collect();
        taken.sort_by_key(|(_, (age, _))| std::cmp::Reverse(*age));
        for (key, (age, record)) in taken {
            if !state.waiting.contains_key(&key) {
                state.keep(key, Some(age), record, limits);
            }
        }
        state.due = Some(Instant::now() + pause);
    }

    fn is_closing(&self) -> bool {
        self.state().is_closing
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Keeps a record in place of what waits of its kind, if there is room.
    fn keep(&mut self, key: Key, age: Option<u64>, record: Record, limits: &Limits) -> bool {
        if let (Key::ChainDropped(from), None) = (&key, age) {
            let dropped: Vec<Key> =
                self.waiting.range(Key::Commitment(*from)..=Key::Commitment(u64::MAX)).map(|(key, _)| key.clone()).collect();
            for key in &dropped {
                self.bytes -= self.waiting.remove(key).map_or(0, |(_, record)| len_bytes(&record));
            }
        }
        let bytes = len_bytes(&record);
        let old = self.waiting.get(&key).map(|(_, old)| len_bytes(old));
        let after = self.bytes - old.unwrap_or(0) + bytes;
        if after > limits.waiting_bytes || (old.is_none() && self.waiting.len() >= limits.waiting) {
            return false;
        }
        let age = age.unwrap_or_else(|| {
            self.next += 1;
            self.next
        });
        self.bytes = after;
        self.waiting.insert(key, (age, record));
        true
    }
}

/// About what a record takes.
fn len_bytes(record: &Record) -> usize {
    match record {
        Record::Began { .. } | Record::SyncTip(_) | Record::ChainDropped { .. } | Record::Peer { .. } => 64,
        Record::Committed(_) | Record::Commitment(_) => 2 * SIGNED_COMMITMENT_BYTES,
        Record::Known(node) => 256 + node.record.text.len() + node.record.addresses.iter().map(String::len).sum::<usize>(),
        Record::Schedule(windows) => windows.len() * size_of::<preconf_core::Window>(),
        Record::TxList { txlist, .. } => 64 + txlist.len(),
        Record::Evidence { .. } => 4 * SIGNED_COMMITMENT_BYTES,
    }
}

/// The thread.
pub(crate) fn run(queue: &Arc<ChainQueue>, mut live: Live, limits: &Limits, pace: &Pace, done: &UnboundedSender<Done>) {
    let mut is_failing = false;
    while let Some((taken, ids)) = queue.take() {
        let mut records: Vec<&(u64, Record)> = taken.values().collect();
        records.sort_by_key(|(age, _)| *age);
        let now = live.at().disk.now();
        let written = live.write(|transaction| chain::write(transaction, records.iter().map(|(_, record)| record), now, limits));
        if written.is_err() != is_failing {
            is_failing = written.is_err();
            tell(live.at().path().display(), written.as_ref().err());
        }
        queue.settle(written, ids, taken, (limits, pace), done);
        if is_failing && queue.is_closing() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc::{UnboundedReceiver, unbounded};
    use preconf_core::{B256, Bytes, SyncTip};

    use super::*;

    fn tip(block_number: u64) -> Record {
        Record::SyncTip(SyncTip { block_number, preconfirmation_hash: None })
    }

    fn txlist(name: u8, len: usize) -> Record {
        Record::TxList { hash: B256::repeat_byte(name), txlist: Bytes::from(vec![name; len]) }
    }

    fn refused(told: &mut UnboundedReceiver<Done>) -> Vec<(u64, StorageFailure)> {
        std::iter::from_fn(|| told.try_recv().ok()).map(|done| (done.id.0, done.result.expect_err("refused"))).collect()
    }

    fn taken(queue: &ChainQueue) -> (Vec<Record>, Vec<u64>) {
        let (waiting, ids) = queue.take().expect("something");
        (waiting.into_values().map(|(_, record)| record).collect(), ids.into_iter().map(|id| id.0).collect())
    }

    #[test]
    fn what_waits_is_bounded_in_count_and_in_bytes_and_replaces_its_kind() {
        let limits = Limits { waiting: 4, waiting_bytes: 1000, ..Limits::default() };
        let pace = Pace { gather: Duration::ZERO, ..Pace::default() };
        let (queue, (done, mut told)) = (ChainQueue::default(), unbounded());
        let push = |id, record| queue.push(PersistId(id), record, &limits, &pace, &done);
        push(1, tip(1));
        push(2, tip(2));
        push(3, txlist(1, 800));
        push(4, txlist(2, 800));
        assert_eq!(refused(&mut told), [(4, StorageFailure::Io)], "no room in bytes");
        push(5, tip(3));
        push(6, tip(4));
        assert_eq!(refused(&mut told), [(6, StorageFailure::Io)], "nor for more who wait");
        assert_eq!(taken(&queue), (vec![tip(3), txlist(1, 800)], vec![1, 2, 3, 5]));
        push(7, txlist(2, 800));
        assert_eq!((refused(&mut told), taken(&queue)), (vec![], (vec![txlist(2, 800)], vec![7])), "and there is room again");
    }

    #[test]
    fn p10_4_what_failed_is_kept_for_another_try_unless_something_later_is() {
        let limits = Limits::default();
        let pace = Pace { gather: Duration::ZERO, retry_first: Duration::ZERO, retry_most: Duration::ZERO };
        let (queue, (done, mut told)) = (ChainQueue::default(), unbounded());
        let push = |id, record| queue.push(PersistId(id), record, &limits, &pace, &done);
        push(1, tip(1));
        push(2, txlist(1, 9));
        let (waiting, ids) = queue.take().expect("two");
        push(3, tip(2));
        queue.settle(Err(StorageFailure::NoSpace), ids, waiting, (&limits, &pace), &done);
        push(4, txlist(2, 9));
        assert_eq!(refused(&mut told), [1, 2, 4].map(|id| (id, StorageFailure::NoSpace)), "told at once while it fails");
        assert_eq!(taken(&queue), (vec![tip(2), txlist(1, 9), txlist(2, 9)], vec![3]));
    }
}
