//! What the tests of the store share: records, a driver that waits, and a disk that crashes.

#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod dir;
pub(crate) mod sim_disk;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures::executor::block_on;
use preconf_core::{
    Accepted, B256, Bytes, ChainId, ChainLabel, DEFAULT_DOMAIN, Evidence, Fault, KnownNode, NodeRecord, OwnCommitment, PeerId, PersistId,
    PreconfCommitment, Record, SecretKey, SignedCommitment, StorageFailure, SyncTip, U256, UnixTime, Window, address_of, keccak256, sign,
};
use preconf_store::{Options, Pace, RedbStore, Store};

/// Long for any machine: what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn options() -> Options {
    let quick = Duration::from_millis(1);
    Options { pace: Pace { gather: Duration::ZERO, retry_first: quick, retry_most: quick }, ..Options::new(ChainId(7), DEFAULT_DOMAIN) }
}

pub(crate) fn key(name: u8) -> SecretKey {
    SecretKey::from_secret_bytes([name; 32]).expect("not zero")
}

pub(crate) fn signed(by: u8, window_end: u64, block_number: u64, story: u64) -> SignedCommitment {
    let mut commitment = PreconfCommitment::default();
    commitment.preconf.block_number = U256::from(block_number);
    commitment.preconf.submission_window_end = U256::from(window_end);
    commitment.preconf.timestamp = U256::from(story);
    sign(commitment, &key(by), DEFAULT_DOMAIN)
}

pub(crate) fn own(by: u8, window_end: u64, block_number: u64, story: u64) -> OwnCommitment {
    OwnCommitment { signer: address_of(&key(by)), signed: signed(by, window_end, block_number, story), txlist: None }
}

pub(crate) fn committed(own: OwnCommitment) -> Record {
    Record::Committed(Box::new(own))
}

pub(crate) fn peer_id(name: u16) -> PeerId {
    let [high, low] = name.to_be_bytes();
    PeerId::from_bytes(&[0, 2, high, low]).expect("four bytes")
}

pub(crate) fn peer(name: u16, score: i64) -> Record {
    Record::Peer { peer: peer_id(name), score, as_of: UnixTime(u64::from(name)), ban_ends: None }
}

pub(crate) fn banned(name: u16, until: UnixTime) -> Record {
    Record::Peer { peer: peer_id(name), score: -6_000_000, as_of: UnixTime(0), ban_ends: Some(until) }
}

pub(crate) fn known(name: u16, last_success: u64) -> Record {
    let record = NodeRecord {
        peer: peer_id(name),
        sequence: 1,
        chain: ChainLabel::Chain(ChainId(7)),
        addresses: vec!["/ip4/203.0.113.1/tcp/1".to_owned()],
        text: "enr:-x".to_owned(),
    };
    Record::Known(Box::new(KnownNode { record, last_success: UnixTime(last_success) }))
}

pub(crate) fn stored(block_number: u64, story: u64) -> Record {
    Record::Commitment(Arc::new(Accepted::of(signed(1, 1000, block_number, story), address_of(&key(1))).expect("small numbers")))
}

pub(crate) fn txlist(name: u64, len: usize) -> Record {
    let mut bytes = vec![7; len.max(8)];
    bytes[..8].copy_from_slice(&name.to_le_bytes());
    Record::TxList { hash: keccak256(&bytes), txlist: Bytes::from(bytes) }
}

pub(crate) fn evidence(number: u64) -> Record {
    let evidence = Evidence { fault: Fault::Equivocation, first: signed(1, 1000, number, 1), second: signed(1, 1000, number, 2) };
    Record::Evidence { evidence: Box::new(evidence), signer: address_of(&key(1)) }
}

pub(crate) fn schedule(end: u64) -> Record {
    Record::Schedule(vec![Window { start: end - 1, end, preconfer: address_of(&key(1)), settled_at: Some(0) }])
}

pub(crate) fn tip(block_number: u64) -> Record {
    Record::SyncTip(SyncTip { block_number, preconfirmation_hash: Some(B256::repeat_byte(block_number as u8)) })
}

/// Changes all places that hold this text.
pub(crate) fn spoil(bytes: &mut [u8], text: &[u8]) {
    let places: Vec<usize> = bytes.windows(text.len()).enumerate().filter(|(_, window)| *window == text).map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "nothing to spoil");
    places.iter().for_each(|at| bytes[at + text.len() / 2] ^= 1);
}

/// Runs something that must not hang.
pub(crate) fn within<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = mpsc::channel();
    let run = move || drop(send.send(work()));
    let thread = thread::Builder::new().name("within".to_owned()).spawn(run).expect("a thread");
    match receive.recv_timeout(PATIENCE) {
        Ok(value) => value,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => std::panic::resume_unwind(thread.join().expect_err("it ended without a word")),
    }
}

/// A store, and somebody who waits for each of its answers.
pub(crate) struct Driver {
    pub(crate) store: RedbStore,
    next: u64,
}

impl Driver {
    pub(crate) fn new(store: RedbStore) -> Self {
        Self { store, next: 0 }
    }

    /// Hands a record over, and waits for what becomes of it.
    pub(crate) fn keep(&mut self, record: Record) -> Result<(), StorageFailure> {
        self.hand(record);
        self.answer()
    }

    pub(crate) fn hand(&mut self, record: Record) -> PersistId {
        self.next += 1;
        self.store.persist(PersistId(self.next), record);
        PersistId(self.next)
    }

    pub(crate) fn answer(&mut self) -> Result<(), StorageFailure> {
        block_on(poll_fn(|context| self.store.poll_done(context))).result
    }

    pub(crate) fn keep_all(&mut self, records: impl IntoIterator<Item = Record>) {
        for record in records {
            assert_eq!(self.keep(record), Ok(()));
        }
    }

    pub(crate) fn close(self) {
        block_on(Box::new(self.store).close());
    }
}
