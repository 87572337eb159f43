//! Damaged files, and disks that fail.

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use preconf_core::{Record, StorageFailure};
use preconf_store::disk::{Disk, OsDisk};
use preconf_store::{Commitments, ImportError, Interchange, RedbStore, Rest, accept_damage, export, import, inspect};
use support::dir::{Dir, ahead, all};
use support::sim_disk::SimDisk;
use support::{Driver, committed, options, own, peer, spoil, tip, txlist, within};

/// An export without anything in it.
fn none() -> Interchange {
    let dir = Dir::new();
    dir.keep([]);
    export(&dir.0).expect("ours").0
}

/// Changes the bytes of a text in a file.
fn spoil_file(path: &Path, text: &[u8]) {
    let mut bytes = fs::read(path).expect("there");
    spoil(&mut bytes, text);
    fs::write(path, bytes).expect("ours");
}

#[test]
fn a_damaged_row_of_the_chain_takes_nothing_with_it() {
    let dir = Dir::new();
    dir.keep(all());
    let Record::TxList { txlist: list, .. } = txlist(1, 100) else { panic!("a txlist") };
    spoil_file(&dir.file("chain.redb"), &list);
    let (driver, opened) = dir.open();
    driver.close();
    assert_eq!(opened.report.commitments, Commitments::Intact);
    let Rest::Replaced { aside, flaws, kept } = opened.report.chain else { panic!("{:?}", opened.report) };
    assert!(aside.exists());
    assert!(flaws.told.iter().any(|flaw| flaw.table == "txlists"), "{flaws}");
    let mut rest = all();
    rest.retain(|record| *record != txlist(1, 100));
    assert_eq!((kept, &opened.records[1..]), (rest.len() - 3, &rest[..]));
    assert_eq!(dir.records(), rest, "and the new file is whole");
}

#[test]
fn a_chain_file_that_is_none_is_moved_aside() {
    for damage in [&b""[..], b"not a database", &[0; 9000]] {
        let dir = Dir::new();
        dir.keep(all());
        fs::write(dir.file("chain.redb"), damage).expect("ours");
        let (mut driver, opened) = dir.open();
        assert!(matches!(opened.report.chain, Rest::Replaced { .. }), "{:?}", opened.report);
        assert_eq!(opened.report.commitments, Commitments::Intact);
        assert_eq!(opened.records[1..], all()[..3]);
        assert_eq!(driver.keep(tip(4)), Ok(()));
        assert_eq!(driver.keep(committed(own(1, ahead(300), 7, 0))), Ok(()));
        driver.close();
    }
}

#[test]
fn damaged_files_of_the_chain_do_not_fill_the_disk() {
    let dir = Dir::new();
    dir.keep([]);
    for second in 0..6 {
        fs::write(dir.file(&format!("chain.redb.damaged-{second}")), b"old").expect("ours");
    }
    fs::write(dir.file("chain.redb"), b"x").expect("ours");
    dir.open().0.close();
    assert_eq!(dir.names().iter().filter(|name| name.contains("damaged")).count(), 3);
}

#[test]
fn p5_9a_with_damaged_commitments_the_node_follows_and_publishes_only_when_told() {
    type Damage = fn(&Dir);
    let damages: [Damage; 4] = [
        |dir| {
            let Record::Committed(own) = committed(own(1, 1_000_000, 6, 5)) else { panic!("ours") };
            spoil_file(&dir.file("commitments.redb"), &own.signed.as_bytes()[..]);
        },
        |dir| fs::write(dir.file("commitments.redb"), b"").expect("ours"),
        |dir| fs::write(dir.file("commitments.redb"), [7; 5000]).expect("ours"),
        |dir| fs::remove_file(dir.file("commitments.redb")).expect("ours"),
    ];
    for (at, damage) in damages.into_iter().enumerate() {
        let dir = Dir::new();
        dir.keep([committed(own(1, 1_000_000, 6, 5)), committed(own(1, ahead(9), 7, 5)), tip(1)]);
        damage(&dir);
        let before = fs::read(dir.file("commitments.redb")).ok();
        for _ in 0..2 {
            let (mut driver, opened) = dir.open();
            assert!(matches!(opened.report.commitments, Commitments::Damaged(_)), "{at}: {:?}", opened.report);
            assert_eq!(driver.keep(committed(own(1, ahead(9), 8, 0))), Err(StorageFailure::Damaged), "{at}");
            assert_eq!(driver.keep(tip(2)), Ok(()), "{at}: it follows");
            driver.close();
        }
        assert_eq!(fs::read(dir.file("commitments.redb")).ok(), before, "{at}: written to");
        assert!(matches!(import(&dir.0, &options(), &none()), Err(ImportError::Damaged(_))), "{at}");
        assert!(!inspect(&dir.0, None).expect("ours").is_intact(), "{at}");

        let now = OsDisk.now();
        let accepted = accept_damage(&dir.0, &options()).expect("ours").expect("damaged");
        assert_eq!(accepted.kept, usize::from(at == 0), "{at}");
        assert_eq!(accepted.aside.map(|aside| fs::read(aside).expect("kept")), before, "{at}");
        let (mut driver, opened) = dir.open();
        assert_eq!(opened.report.commitments, Commitments::Intact, "{at}");
        assert!(matches!(opened.records[0], Record::Began { at } if at >= now), "{at}: peers must be asked (P5.9b)");
        assert_eq!(driver.keep(committed(own(1, ahead(9), 8, 0))), Ok(()), "{at}");
        driver.close();
        assert_eq!(accept_damage(&dir.0, &options()).expect("ours"), None, "{at}: nothing is damaged any more");
    }
}

#[test]
fn any_changed_byte_of_the_commitments_is_found_or_harmless() {
    within(|| {
        let disk = SimDisk::new(5);
        let open = || {
            let (store, opened) = RedbStore::open_on(Arc::new(disk.clone()), "/node", &options()).expect("a good disk");
            (Driver::new(store), opened)
        };
        let said = [6, 7, 8, 9].map(|number| committed(own(1, 1_000_100, number, 5)));
        let (mut driver, _) = open();
        driver.keep_all(said[..2].iter().cloned());
        driver.close();
        let path = Path::new("/node/commitments.redb");
        let whole = disk.bytes(path);
        let written: Vec<usize> = whole.iter().enumerate().filter(|(_, byte)| **byte != 0).map(|(at, _)| at).collect();
        let (mut tried, mut found) = (0, 0);
        for at in written.iter().step_by(written.len() / 300) {
            let mut bytes = whole.clone();
            bytes[*at] ^= 0x55;
            disk.put(path, bytes);
            tried += 1;
            let (mut driver, opened) = open();
            if opened.report.commitments != Commitments::Intact {
                found += 1;
                driver.close();
                continue;
            }
            assert!(opened.records[1..] == said[..2], "byte {at}");
            driver.keep_all(said[2..].iter().cloned()); // nor does what is written next write over what is there
            driver.close();
            let (driver, opened) = open();
            driver.close();
            assert_eq!(opened.report.commitments, Commitments::Intact, "byte {at}");
            assert!(opened.records[1..] == said, "byte {at}");
        }
        // Most of a file is what was written before and is of no use any more.
        assert!(found * 30 > tried, "{found} of {tried} were found");
    });
}

#[test]
fn p10_4_a_full_disk_fails_what_is_written_and_heals_by_itself() {
    within(|| {
        let disk = SimDisk::new(1);
        let open = || RedbStore::open_on(Arc::new(disk.clone()), "/node", &options()).expect("a good disk");
        let (store, _) = open();
        let mut driver = Driver::new(store);
        let end = disk.now().secs() + 100;
        driver.keep_all([tip(1), committed(own(1, end, 1, 0))]);
        for (kind, failure) in [
            (std::io::ErrorKind::StorageFull, StorageFailure::NoSpace),
            (std::io::ErrorKind::ReadOnlyFilesystem, StorageFailure::ReadOnly),
            (std::io::ErrorKind::Other, StorageFailure::Io),
        ] {
            disk.fail(Some(kind));
            for _ in 0..3 {
                assert_eq!(driver.keep(committed(own(1, end, 2, 0))), Err(failure));
                assert_eq!(driver.keep(tip(2)), Err(failure));
            }
            assert_eq!(driver.keep(peer(1, -5)), Err(failure));
            disk.fail(None);
            assert_eq!(driver.keep(committed(own(1, end, 2, 0))), Ok(()), "the same again, on a good disk");
            while driver.keep(tip(3)).is_err() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        driver.close();
        let (store, opened) = open();
        Driver::new(store).close();
        // The peer's record was never offered again: the store itself tried until it was written.
        assert_eq!(opened.records[1..], [committed(own(1, end, 1, 0)), committed(own(1, end, 2, 0)), tip(3), peer(1, -5)]);
    });
}

#[cfg(unix)]
#[test]
fn p5_9a_nothing_is_confirmed_into_a_directory_that_is_gone() {
    let (dir, elsewhere) = (Dir::new(), Dir::new());
    let (mut driver, _) = dir.open();
    let word = || committed(own(1, ahead(100), 1, 0));
    fs::rename(&dir.0, &elsewhere.0).expect("ours");
    assert_eq!(driver.keep(word()), Err(StorageFailure::Gone));
    assert_eq!(driver.keep(tip(1)), Err(StorageFailure::Gone));
    fs::create_dir(&dir.0).expect("ours");
    assert_eq!(driver.keep(word()), Err(StorageFailure::Gone), "another directory is not ours");
    fs::copy(elsewhere.file("commitments.redb"), dir.file("commitments.redb")).expect("ours");
    assert_eq!(driver.keep(word()), Err(StorageFailure::Gone), "nor is an older copy");
    fs::remove_dir_all(&dir.0).expect("ours");
    fs::rename(&elsewhere.0, &dir.0).expect("ours");
    assert_eq!(driver.keep(word()), Ok(()), "put back, it goes on");
    driver.close();
    fs::remove_dir_all(&dir.0).expect("ours");
}
