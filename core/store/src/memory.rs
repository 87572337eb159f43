//! A store that lasts as long as somebody holds it.
//!
//! For tests: clones share what was stored, so a test gives one to a node, ends that node, and starts another on a
//! clone. A test may also withhold the confirmations, or have all writes fail.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::future::{BoxFuture, FutureExt, ready};
use preconf_core::{OwnCommitment, PersistId, Record, StorageFailure, UnixTime};

use crate::key::{KINDS, Key, is_clean_peer};
use crate::limits::Limits;
use crate::store::{Done, Store};

/// Records in memory, confirmed at once.
#[derive(Debug)]
pub struct MemoryStore {
    shared: Arc<Mutex<Shared>>,
    /// What this handle took and has not told of.
    taken: VecDeque<(PersistId, Record)>,
}

#[derive(Debug, Default)]
struct Shared {
    records: BTreeMap<Key, (u64, Record)>,
    /// How many there are of each kind.
    counts: [usize; KINDS],
    next: u64,
    is_held: bool,
    failure: Option<StorageFailure>,
    wakers: Vec<Waker>,
}

impl MemoryStore {
    /// An empty store, made at this time (P5.9b).
    pub fn new(began: UnixTime) -> Self {
        let store = Self { shared: Arc::default(), taken: VecDeque::new() };
        store.shared().put(Record::Began { at: began });
        store
    }

    /// What a restart is given, in its order.
    pub fn records(&self) -> Vec<Record> {
        let shared = self.shared();
        let mut records: Vec<_> = shared.records.iter().collect();
        records.sort_by_key(|(key, (age, _))| (key.kind(), if key.is_by_age() { *age } else { 0 }));
        records.into_iter().map(|(_, (_, record))| record.clone()).collect()
    }

    /// Keeps nothing more and confirms nothing, as a disk that hangs, until told otherwise. All clones do.
    pub fn hold(&self, is_held: bool) {
        let mut shared = self.shared();
        shared.is_held = is_held;
        shared.wakers.drain(..).for_each(Waker::wake);
    }

    /// Has all writes fail, or no more. All clones do.
    pub fn fail(&self, failure: Option<StorageFailure>) {
        self.shared().failure = failure;
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clone for MemoryStore {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), taken: VecDeque::new() }
    }
}

impl Store for MemoryStore {
    fn persist(&mut self, id: PersistId, record: Record) {
        self.taken.push_back((id, record));
        self.shared().wakers.drain(..).for_each(Waker::wake);
    }

    fn poll_done(&mut self, context: &mut Context<'_>) -> Poll<Done> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if !shared.is_held
            && let Some((id, record)) = self.taken.pop_front()
        {
            let result = shared.failure.map_or(Ok(()), Err);
            if result.is_ok() {
                shared.put(record);
            }
            return Poll::Ready(Done { id, result });
        }
        shared.wakers.retain(|waker| !waker.will_wake(context.waker()));
        shared.wakers.push(context.waker().clone());
        Poll::Pending
    }

    /// Nothing waits for a disk: what was not polled is kept now, unless it is withheld.
    fn close(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        let taken = std::mem::take(&mut self.taken);
        let mut shared = self.shared();
        if !shared.is_held && shared.failure.is_none() {
            taken.into_iter().for_each(|(_, record)| shared.put(record));
        }
        ready(()).boxed()
    }
}

impl Shared {
    fn put(&mut self, record: Record) {
        let key = Key::of(&record);
        if let Record::ChainDropped { from } = record {
            let dropped: Vec<Key> =
                self.records.range(Key::Commitment(from)..=Key::Commitment(u64::MAX)).map(|(key, _)| key.clone()).collect();
            dropped.iter().for_each(|key| self.remove(key));
            return;
        }
        if is_clean_peer(&record) {
            self.remove(&key);
            return;
        }
        self.next += 1;
        match (self.records.get_mut(&key), record) {
            // P5.9: what was said first stays. Said again, it may bring its txlist.
            (Some((_, Record::Committed(kept))), Record::Committed(own)) => keep_first(kept, &own),
            (Some(_), Record::Began { .. } | Record::TxList { .. } | Record::Evidence { .. }) => {}
            (old, record) => {
                self.counts[usize::from(key.kind())] += usize::from(old.is_none());
                self.records.insert(key.clone(), (self.next, record));
            }
        }
        self.trim(&key);
    }

    fn remove(&mut self, key: &Key) {
        self.counts[usize::from(key.kind())] -= usize::from(self.records.remove(key).is_some());
    }

    /// Drops what is over the bound of this kind: the lowest block, else the oldest.
    fn trim(&mut self, key: &Key) {
        let limits = Limits::default();
        let max = match key {
            Key::Began | Key::Schedule | Key::SyncTip | Key::ChainDropped(_) => return,
            Key::Committed { .. } => limits.own_at_most,
            Key::Commitment(_) | Key::TxList(_) | Key::Evidence(_) => limits.commitments,
            Key::Peer(_) | Key::Known(_) => limits.peers,
        };
        if self.counts[usize::from(key.kind())] <= max {
            return;
        }
        let mut alike = self.records.iter().filter(|(other, _)| other.kind() == key.kind());
        let out = match key {
            Key::Committed { .. } | Key::Commitment(_) => alike.next(),
            _ => alike.min_by_key(|(_, (age, _))| *age),
        };
        if let Some(out) = out.map(|(key, _)| key.clone()) {
            self.remove(&out);
        }
    }
}

fn keep_first(kept: &mut OwnCommitment, own: &OwnCommitment) {
    if kept.txlist.is_none() && kept.hash() == own.hash() {
        kept.txlist.clone_from(&own.txlist);
    }
}

#[cfg(test)]
mod tests {
    use futures::task::noop_waker_ref;
    use preconf_core::{PeerId, SyncTip};

    use super::*;

    fn done(store: &mut MemoryStore) -> Poll<Done> {
        store.poll_done(&mut Context::from_waker(noop_waker_ref()))
    }

    fn tip(block_number: u64) -> Record {
        Record::SyncTip(SyncTip { block_number, preconfirmation_hash: None })
    }

    fn peer(score: i64) -> Record {
        let peer = PeerId::from_bytes(&[0, 1, 7]).expect("three bytes");
        Record::Peer { peer, score, as_of: UnixTime(1), ban_ends: None }
    }

    #[test]
    fn a_restart_finds_what_was_confirmed_and_nothing_else() {
        let mut store = MemoryStore::new(UnixTime(5));
        let began = Record::Began { at: UnixTime(5) };
        store.persist(PersistId(1), tip(1));
        store.persist(PersistId(2), tip(2));
        assert_eq!(done(&mut store), Poll::Ready(Done { id: PersistId(1), result: Ok(()) }));
        assert_eq!(store.clone().records(), [began.clone(), tip(1)]);

        store.hold(true);
        assert_eq!(done(&mut store), Poll::Pending);
        store.hold(false);
        store.fail(Some(StorageFailure::NoSpace));
        assert_eq!(done(&mut store), Poll::Ready(Done { id: PersistId(2), result: Err(StorageFailure::NoSpace) }));
        store.fail(None);
        assert_eq!(store.records(), [began, tip(1)]);
    }

    #[test]
    fn p7_7_a_clean_peer_is_forgotten() {
        let store = MemoryStore::new(UnixTime(5));
        store.shared().put(peer(-1));
        store.shared().put(peer(-2));
        assert_eq!(store.records()[1..], [peer(-2)]);
        store.shared().put(peer(0));
        assert_eq!(store.records().len(), 1);
    }
}
