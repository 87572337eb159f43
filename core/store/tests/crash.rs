//! P5.9a over a disk that at a crash keeps any part of what was not synced: what was acknowledged is there, and nothing opens wrong.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use preconf_core::{Address, OwnCommitment, Record, StorageFailure, UnixTime};
use preconf_store::{Commitments, OpenError, Opened, RedbStore, Rest, accept_damage_on};
use support::sim_disk::SimDisk;
use support::{Driver, banned, committed, evidence, known, options, own, peer, schedule, spoil, stored, tip, txlist, within};

const DIR: &str = "/node";

fn open(disk: &SimDisk) -> Result<(Driver, Opened), OpenError> {
    let (store, opened) = RedbStore::open_on(Arc::new(disk.clone()), DIR, &options())?;
    Ok((Driver::new(store), opened))
}

/// What a node was promised, and what a later start may also find.
#[derive(Default)]
struct Promises {
    /// Acknowledged, or found at a start: never to be missed again.
    own: BTreeMap<Position, OwnCommitment>,
    /// Handed over: may be there.
    offered: BTreeMap<Position, OwnCommitment>,
    /// Of each kind, as a name: what may be there, and whether something must be.
    rest: BTreeMap<String, (Vec<Record>, bool)>,
    began: Option<Record>,
}

/// What a record is about; of an earlier one with the same name it is the successor.
fn name(record: &Record) -> String {
    match record {
        Record::Peer { peer, .. } => format!("peer {peer}"),
        Record::Known(node) => format!("known {}", node.record.peer),
        Record::Schedule(_) => "schedule".to_owned(),
        Record::SyncTip(_) => "tip".to_owned(),
        Record::Commitment(stored) => format!("block {}", stored.block_number),
        Record::ChainDropped { from } => format!("a drop of the chain from {from} on"),
        Record::TxList { hash, .. } => format!("txlist {hash}"),
        Record::Evidence { evidence, .. } => format!("evidence {}", evidence.first.preconf().block_number),
        Record::Began { .. } | Record::Committed(_) => unreachable!("these are the other file's"),
    }
}

type Position = (u64, u64, Address);

fn position(own: &OwnCommitment) -> Position {
    (own.window_end(), own.block_number(), own.signer)
}

impl Promises {
    fn keep(&mut self, driver: &mut Driver, record: Record) -> Result<(), StorageFailure> {
        match &record {
            Record::Committed(own) => drop(self.offered.insert(position(own), (**own).clone())),
            other => self.rest.entry(name(other)).or_default().0.push(other.clone()),
        }
        let result = driver.keep(record.clone());
        if result.is_ok() {
            match record {
                Record::Committed(own) => drop(self.own.insert(position(&own), *own)),
                other => drop(self.rest.insert(name(&other), (vec![other], true))),
            }
        }
        result
    }

    /// Is everything there that must be, and nothing that never was? What is there is there for good from now on.
    fn check(&mut self, opened: &Opened, story: &str) {
        assert_eq!(opened.report.commitments, Commitments::Intact, "{story}");
        assert!(!matches!(opened.report.chain, Rest::Replaced { .. }), "{story}: {:?}", opened.report.chain);
        let mut records = opened.records.iter();
        let began = records.next().cloned();
        assert!(matches!(began, Some(Record::Began { .. })), "{story}");
        assert!(self.began.is_none() || self.began == began || self.own.is_empty(), "{story}");
        self.began = began;
        let (mut found, mut rest) = (BTreeMap::new(), BTreeMap::new());
        for record in records {
            match record {
                Record::Committed(own) => {
                    assert!(self.offered.get(&position(own)) == Some(own), "{story}: {:?} was never said so", position(own));
                    found.insert(position(own), (**own).clone());
                }
                other => drop(rest.insert(name(other), other.clone())),
            }
        }
        for (place, own) in &self.own {
            assert!(found.get(place) == Some(own), "{story}: {place:?} was acknowledged");
        }
        self.own = found;
        for (name, (offered, must)) in &mut self.rest {
            match rest.remove(name) {
                Some(record) => {
                    assert!(offered.contains(&record), "{story}: {name} was never so");
                    (*offered, *must) = (vec![record], true);
                }
                None => assert!(!*must, "{story}: {name} was acknowledged"),
            }
        }
        assert!(rest.is_empty(), "{story}: never handed over: {rest:?}");
    }
}

/// A day of a node, in which everything is kept.
fn day(round: u64) -> Vec<Record> {
    let list = txlist(round, 3000);
    let mut mine = own(1, 1_000_000 + round / 4, round, 0);
    if let Record::TxList { txlist, .. } = &list {
        mine.txlist = Some(txlist.clone());
    }
    vec![
        committed(mine),
        stored(round, 0),
        list,
        peer(round as u16 % 5, -(round as i64) - 1),
        committed(own(2, 1_000_000 + round / 4, round, 0)),
        tip(round),
        schedule(round + 1),
        evidence(round),
        known(round as u16 % 3, round),
        banned(100, UnixTime(round)),
    ]
}

/// Lives until the disk crashes, or the day is over. Did it crash?
fn live(disk: &SimDisk, promises: &mut Promises, rounds: std::ops::Range<u64>, story: &str) -> bool {
    let (mut driver, opened) = match open(disk) {
        Ok(opened) => opened,
        Err(error) => {
            assert!(disk.has_crashed(), "{story}: {error}");
            return true;
        }
    };
    promises.check(&opened, story);
    for record in rounds.flat_map(day) {
        if let Err(failure) = promises.keep(&mut driver, record) {
            assert!(disk.has_crashed(), "{story}: {failure}");
            driver.close();
            return true;
        }
    }
    driver.close();
    disk.has_crashed()
}

#[test]
fn p5_9a_nothing_acknowledged_is_missing_after_a_crash_at_any_write() {
    within(|| {
        let whole = SimDisk::new(0);
        assert!(!live(&whole, &mut Promises::default(), 0..3, "without a crash"));
        let writes = whole.writes();
        assert!(writes > 200, "{writes} writes are no long run");
        for at in 0..writes {
            let story = format!("a crash at write {at} of {writes}");
            let (disk, mut promises) = (SimDisk::new(at), Promises::default());
            disk.crash_after(at);
            live(&disk, &mut promises, 0..3, &story);
            let disk = disk.crash();
            let (mut driver, opened) = open(&disk).unwrap_or_else(|error| panic!("{story}: {error}"));
            promises.check(&opened, &story);
            driver.keep_all(day(9)); // and it goes on
        }
    });
}

#[test]
fn p5_9a_nothing_acknowledged_is_missing_after_many_crashes_in_a_row() {
    within(|| {
        for seed in 0..8 {
            let (mut disk, mut promises) = (SimDisk::new(1000 + seed), Promises::default());
            for crash in 0..40 {
                let story = format!("seed {seed}, crash {crash}");
                disk.crash_after((seed * 31 + crash * 17) % 97);
                live(&disk, &mut promises, crash * 3..crash * 3 + 3, &story);
                disk = if crash % 5 == 4 { disk.kill() } else { disk.crash() };
            }
            let (_driver, opened) = open(&disk).expect("a good disk");
            promises.check(&opened, &format!("seed {seed}, the end"));
        }
    });
}

#[test]
fn p5_9a_a_failed_sync_is_no_promise_and_does_not_spoil_the_next() {
    within(|| {
        for seed in 0..16 {
            let (mut disk, mut promises) = (SimDisk::new(2000 + seed), Promises::default());
            for turn in 0..12 {
                let story = format!("seed {seed}, turn {turn}");
                let (mut driver, opened) = open(&disk).unwrap_or_else(|error| panic!("{story}: {error}"));
                promises.check(&opened, &story);
                for (at, record) in day(turn).into_iter().enumerate() {
                    let fails = (at as u64 + seed + turn).is_multiple_of(3);
                    disk.fail_sync(fails);
                    let result = promises.keep(&mut driver, record);
                    assert!(!fails || result.is_err(), "{story}: confirmed without a sync");
                }
                disk.fail_sync(false);
                disk = if turn % 3 == 0 { disk.kill() } else { disk.crash() };
                driver.close();
            }
            let (_driver, opened) = open(&disk).expect("a good disk");
            promises.check(&opened, &format!("seed {seed}, the end"));
        }
    });
}

#[test]
fn p5_9a_a_file_that_is_removed_while_it_is_written_is_not_confirmed() {
    within(|| {
        let mut confirmed = 0;
        for after in 0..20 {
            let disk = SimDisk::new(after);
            let (mut driver, _) = open(&disk).expect("a good disk");
            disk.vanish_after(after, &Path::new(DIR).join("commitments.redb"));
            let result = driver.keep(committed(own(1, 1_000_000, 1, 0)));
            confirmed += u64::from(result.is_ok());
            assert_eq!(result, if disk.has_vanished() { Err(StorageFailure::Gone) } else { Ok(()) }, "removed after {after} writes");
        }
        assert!((5..15).contains(&confirmed), "{confirmed} of 20 were done before");
    });
}

#[test]
fn p5_9a_damage_is_accepted_as_a_whole_or_not_at_all() {
    within(|| {
        let said = [1, 2, 3].map(|number| own(1, 1_000_000, number, 0));
        for after in 0.. {
            let story = format!("a crash after {after} writes");
            let disk = SimDisk::new(3000 + after);
            let (mut driver, _) = open(&disk).expect("a good disk");
            driver.keep_all(said.clone().map(committed));
            driver.close();
            let path = Path::new(DIR).join("commitments.redb");
            let mut bytes = disk.bytes(&path);
            spoil(&mut bytes, said[1].signed.as_bytes());
            disk.put(&path, bytes);

            disk.crash_after(after);
            let accepted = accept_damage_on(Arc::new(disk.clone()), DIR, &options());
            let (is_done, disk) = (!disk.has_crashed(), disk.crash());
            let again = accept_damage_on(Arc::new(disk.clone()), DIR, &options()).expect("a good disk");
            assert_eq!(accepted.is_ok(), is_done, "{story}");
            assert!(!is_done || again.is_none(), "{story}: done, and lost");
            assert!(again.is_none_or(|again| again.kept == 2), "{story}: what was readable is lost");
            let (_driver, opened) = open(&disk).expect("a good disk");
            assert_eq!(opened.report.commitments, Commitments::Intact, "{story}");
            assert!(opened.records[1..] == [0, 2].map(|at| committed(said[at].clone())), "{story}");
            assert_eq!(disk.names().iter().filter(|name| name.contains("damaged")).count(), 1, "{story}");
            if is_done {
                assert!(after > 10, "{after} writes are too few to be all");
                break;
            }
        }
    });
}
