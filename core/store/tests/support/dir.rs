//! A directory of the system's disk, and what is kept in it.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use preconf_core::{Bytes, Record, UnixTime};
use preconf_store::disk::{Disk, OsDisk};
use preconf_store::{OpenError, Opened, Options, RedbStore};

use super::{Driver, banned, committed, evidence, known, options, own, peer, schedule, stored, tip, txlist};

/// A directory of a test's own, gone with it.
pub(crate) struct Dir(pub(crate) PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("preconf-store-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }

    pub(crate) fn open(&self) -> (Driver, Opened) {
        self.open_with(&options()).expect("a directory of our own")
    }

    pub(crate) fn open_with(&self, options: &Options) -> Result<(Driver, Opened), OpenError> {
        RedbStore::open(&self.0, options).map(|(store, opened)| (Driver::new(store), opened))
    }

    /// Keeps these and ends.
    pub(crate) fn keep(&self, records: impl IntoIterator<Item = Record>) {
        let (mut driver, _) = self.open();
        driver.keep_all(records);
        driver.close();
    }

    /// Without the first: since when.
    pub(crate) fn records(&self) -> Vec<Record> {
        let (driver, opened) = self.open();
        driver.close();
        opened.records[1..].to_vec()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(&self.0).expect("ours").map(|entry| entry.expect("ours").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Seconds from the start of the tests, so that two calls agree.
pub(crate) fn ahead(secs: u64) -> u64 {
    static START: LazyLock<UnixTime> = LazyLock::new(|| OsDisk.now());
    START.secs() + secs
}

pub(crate) fn with_txlist(record: Record, len: usize) -> Record {
    let Record::Committed(mut own) = record else { panic!("a commitment of ours") };
    own.txlist = Some(Bytes::from(vec![3; len]));
    Record::Committed(own)
}

/// One of each kind, in the order in which they come back.
pub(crate) fn all() -> Vec<Record> {
    vec![
        with_txlist(committed(own(1, ahead(100), 9, 0)), 10),
        committed(own(1, ahead(200), 5, 0)),
        committed(own(1, ahead(200), 6, 0)),
        schedule(50),
        tip(3),
        stored(4, 0),
        stored(5, 0),
        txlist(2, 100),
        txlist(1, 100),
        evidence(8),
        evidence(7),
        peer(1, -1),
        banned(2, UnixTime(77)),
        known(1, 5),
        known(2, 4),
    ]
}
