//! A directory: what comes back, whose it is, and how much it holds.

mod support;

use std::fs;
use std::sync::Arc;

use preconf_core::{B256, ChainId, Record, StorageFailure, UnixTime, address_of};
use preconf_store::disk::{Disk, OsDisk};
use preconf_store::{Limits, OpenError, Options, RedbStore, Rest, accept_damage, inspect};
use support::dir::{Dir, ahead, all, with_txlist};
use support::sim_disk::SimDisk;
use support::{Driver, banned, committed, evidence, key, known, options, own, peer, schedule, stored, tip, txlist};

#[test]
fn p6_9_everything_comes_back_in_its_order_whenever_it_was_kept() {
    let dir = Dir::new();
    let mut shuffled = all();
    shuffled.rotate_left(4);
    shuffled.swap(0, 1);
    dir.keep(shuffled);
    assert_eq!(dir.records(), all());
    assert_eq!(dir.records(), all(), "and again");
}

#[test]
fn p5_9b_the_first_record_says_since_when_there_are_records() {
    let dir = Dir::new();
    let before = OsDisk.now();
    let (driver, opened) = dir.open();
    driver.close();
    let [Record::Began { at }] = opened.records[..] else { panic!("{:?}", opened.records) };
    assert!(before <= at && at <= OsDisk.now());
    assert!(opened.report.is_new);
    let (driver, again) = dir.open();
    driver.close();
    assert_eq!((again.records, again.report.is_new), (opened.records, false));
}

#[test]
fn p5_9_what_was_said_first_stays_and_another_word_is_never_confirmed() {
    let dir = Dir::new();
    let (mut driver, _) = dir.open();
    let end = ahead(100);
    assert_eq!(driver.keep(committed(own(1, end, 9, 1))), Ok(()));
    assert_eq!(driver.keep(committed(own(1, end, 9, 2))), Err(StorageFailure::Io));
    assert_eq!(driver.keep(committed(own(1, end + 1, 9, 2))), Ok(()), "another window is another place");
    assert_eq!(driver.keep(committed(own(2, end, 9, 2))), Ok(()), "and another key");
    assert_eq!(driver.keep(with_txlist(committed(own(1, end, 9, 1)), 5)), Ok(()), "said again, with its txlist");
    driver.close();
    let records = dir.records();
    assert_eq!(records.len(), 3);
    assert!(records.contains(&with_txlist(committed(own(1, end, 9, 1)), 5)));
}

#[test]
fn later_records_replace_earlier_ones_and_a_clean_peer_is_forgotten() {
    let dir = Dir::new();
    dir.keep([
        peer(1, -1),
        peer(1, -2),
        peer(2, -1),
        known(1, 1),
        known(1, 2),
        stored(1, 1),
        stored(1, 2),
        tip(1),
        tip(2),
        schedule(1),
        schedule(2),
    ]);
    dir.keep([peer(2, 0)]);
    assert_eq!(dir.records(), [schedule(2), tip(2), stored(1, 2), peer(1, -2), known(1, 2)]);
}

#[test]
fn p5_9c_a_second_process_is_refused_and_told_who_has_the_directory() {
    let dir = Dir::new();
    let (driver, _) = dir.open();
    for refused in [dir.open_with(&options()).map(drop), inspect(&dir.0, None).map(drop), accept_damage(&dir.0, &options()).map(drop)] {
        match refused {
            Err(OpenError::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
    }
    driver.close();
    dir.open().0.close();
}

#[test]
fn another_chain_domain_or_signer_is_refused_and_nothing_is_changed() {
    let dir = Dir::new();
    dir.keep(all());
    let files = || ["commitments.redb", "chain.redb"].map(|name| fs::read(dir.file(name)).expect("there"));
    let before = files();
    let refusal = |options: &Options| dir.open_with(options).map(drop).expect_err("another's");
    let chain = refusal(&Options { chain_id: ChainId(8), ..options() });
    assert!(matches!(chain, OpenError::OtherChain { found: ChainId(7), expected: ChainId(8), .. }), "{chain}");
    let domain = refusal(&Options { domain: B256::ZERO, ..options() });
    assert!(matches!(domain, OpenError::OtherDomain { .. }), "{domain}");
    let rotated = Options { signers: vec![address_of(&key(9))], ..options() };
    let signers = refusal(&rotated);
    assert!(matches!(&signers, OpenError::OtherSigners { found, .. } if *found == [address_of(&key(1))]), "{signers}");
    assert_eq!(files(), before);
    dir.open_with(&Options { allow_other_signers: true, ..rotated }).expect("allowed").0.close();
    dir.open_with(&Options { signers: vec![address_of(&key(9)), address_of(&key(1))], ..options() }).expect("one of its own").0.close();
}

#[cfg(unix)]
#[test]
fn the_directory_is_private_and_what_is_no_directory_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Dir::new();
    let deep = dir.file("a/b");
    let (store, _) = RedbStore::open(&deep, &options()).expect("made, with what is above it");
    Driver::new(store).close();
    for made in [&dir.0, &deep] {
        assert_eq!(fs::metadata(made).expect("there").permissions().mode() & 0o777, 0o700);
    }
    fs::write(dir.file("file"), b"").expect("ours");
    assert!(matches!(RedbStore::open(dir.file("file"), &options()), Err(OpenError::Disk { .. })));
}

#[test]
fn p10_1_what_is_kept_stays_within_the_limits() {
    let limits = Limits { commitments: 3, txlist_bytes: 2500, evidence_bytes: 2000, peers: 3, known: 2, ..Limits::default() };
    let options = Options { limits, ..options() };
    let dir = Dir::new();
    let (mut driver, _) = dir.open_with(&options).expect("ours");
    let far = UnixTime::from_secs(ahead(1000));
    driver.keep_all([3, 1, 5, 2, 4].map(|number| stored(number, 0)));
    driver.keep_all([9, 1, 5].map(|name| txlist(name, 1000)));
    driver.keep_all([1, 2, 3].map(evidence));
    driver.keep_all([banned(1, far), peer(2, -1), peer(9, -1), peer(5, -1), peer(7, -1)]);
    driver.keep_all([known(1, 5), known(2, 9), known(3, 7)]);
    driver.close();
    let records = dir.records();
    assert_eq!(records[..3], [3, 4, 5].map(|number| stored(number, 0)));
    assert_eq!(records[3..5], [1, 5].map(|name| txlist(name, 1000)), "the oldest falls off");
    assert_eq!(records[5..7], [2, 3].map(evidence));
    assert_eq!(records[7..], [banned(1, far), peer(7, -1), peer(9, -1), known(2, 9), known(3, 7)]);
}

#[test]
fn old_commitments_of_ours_are_forgotten_late_and_their_txlists_soon() {
    let disk = SimDisk::new(3);
    let options = Options { limits: Limits { own_at_least: 2, own_at_most: 4, ..Limits::default() }, ..options() };
    let open = || RedbStore::open_on(Arc::new(disk.clone()), "/node", &options).expect("a good disk");
    let day = 24 * 3600;
    let start = disk.now().secs();
    let mine = |number: u64| with_txlist(committed(own(1, start + number, number, 0)), 9);
    let bare = |number: u64| committed(own(1, start + number, number, 0));
    let found = || {
        let (store, opened) = open();
        Driver::new(store).close();
        opened.records[1..].to_vec()
    };

    let (store, _) = open();
    let mut driver = Driver::new(store);
    driver.keep_all((0..6).map(mine));
    driver.close();
    assert_eq!(found(), (0..6).map(mine).collect::<Vec<_>>(), "however many, none is forgotten that is young");
    for (later, number, expected) in [
        (3600 + 4, 6, vec![bare(0), bare(1), bare(2), bare(3), mine(4), mine(5), mine(6)]),
        (2 * day, 7, vec![bare(4), bare(5), bare(6), bare(7)]),
        (31 * day, 8, vec![bare(7), bare(8)]),
    ] {
        disk.set_now(UnixTime::from_secs(start + later));
        let (store, _) = open();
        let mut driver = Driver::new(store);
        assert_eq!(driver.keep(if number == 6 { mine(6) } else { bare(number) }), Ok(()));
        driver.close();
        assert_eq!(found(), expected, "{later} s later");
    }
}

#[test]
fn p7_7_bans_of_an_older_version_are_taken_over_once() {
    let dir = Dir::new();
    fs::create_dir(&dir.0).expect("ours");
    let (alice, bob) = ("16Uiu2HAm1Qd4aCe6ba3DYhTQfBMHQqDrwB6ZSkbAk8XDeKDEqTJp", "16Uiu2HAm1Qd4aCe6ba3DYhTQfBMHQqDrwB6ZSkbAk8XDeKDEqTJp");
    let text = format!(
        r#"{{"committed": [{{"block_number": 9, "hash": "{}"}}, 7],
            "peers": [{{"peer": "{alice}", "score": -6000000, "as_of_micros": 3, "ban_ends_micros": 4}},
                      {{"peer": "not a peer id", "score": 1, "as_of_micros": 1, "ban_ends_micros": null}}],
            "known": [{{"peer": "{bob}", "sequence": 7, "chain_id": 7, "addresses": ["/ip4/203.0.113.1/tcp/1"], "record": "enr:-x", "last_success_micros": 5}}],
            "more": 1}}"#,
        B256::repeat_byte(9)
    );
    fs::write(dir.file("records.json"), &text).expect("ours");
    let (driver, opened) = dir.open();
    driver.close();
    let legacy = opened.report.legacy.expect("it was there");
    assert_eq!((legacy.peers, legacy.known, legacy.unreadable), (1, 1, 2));
    assert_eq!(legacy.committed, [(9, B256::repeat_byte(9))]);
    assert!(legacy.to_string().contains("P5.9b"), "{legacy}");
    assert_eq!(fs::read_to_string(legacy.aside).expect("kept"), text);
    assert!(matches!(opened.records[1], Record::Peer { score: -6_000_000, ban_ends: Some(UnixTime(4)), .. }), "{:?}", opened.records);
    assert!(matches!(opened.records[2], Record::Known(_)));

    let (driver, again) = dir.open();
    driver.close();
    assert_eq!((again.report.legacy, again.records), (None, opened.records));
    assert_eq!(again.report.chain, Rest::Intact);
}

#[test]
fn a_restart_finds_the_directory_free_when_the_store_has_ended() {
    let dir = Dir::new();
    for number in 0..20 {
        dir.keep([tip(number)]);
    }
    assert_eq!(dir.records(), [tip(19)]);
}

#[test]
fn p9_3_what_is_dropped_of_the_chain_is_not_given_back_and_pushes_nothing_out() {
    let dir = Dir::new();
    let options = Options { limits: Limits { commitments: 3, ..Limits::default() }, ..options() };
    let (mut driver, _) = dir.open_with(&options).expect("a directory of our own");
    driver.keep_all((10..13).map(|number| stored(number, 1)));
    driver.keep_all([tip(4), Record::ChainDropped { from: 0 }]); // L1 takes it back, deep
    driver.keep_all((5..8).map(|number| stored(number, 2)));
    driver.close();
    let number = |record| if let Record::Commitment(accepted) = record { Some(accepted.block_number) } else { None };
    assert_eq!(dir.records().into_iter().filter_map(number).collect::<Vec<u64>>(), [5, 6, 7]);
}
