//! A directory of the system's disk, and everything that may be wrong with it.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use preconf_core::{B256, Bytes, ChainId, Record, StorageFailure, UnixTime, address_of};
use preconf_store::disk::{Disk, OsDisk};
use preconf_store::{
    Commitments, ImportError, Interchange, Limits, OpenError, Opened, Options, RedbStore, Rest, accept_damage, export, import, inspect,
};
use support::sim_disk::SimDisk;
use support::{Driver, banned, committed, evidence, key, known, options, own, peer, schedule, stored, tip, txlist, within};

/// A directory of a test's own, gone with it.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("preconf-store-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }

    fn open(&self) -> (Driver, Opened) {
        self.open_with(&options()).expect("a directory of our own")
    }

    fn open_with(&self, options: &Options) -> Result<(Driver, Opened), OpenError> {
        RedbStore::open(&self.0, options).map(|(store, opened)| (Driver::new(store), opened))
    }

    /// Keeps these and ends.
    fn keep(&self, records: impl IntoIterator<Item = Record>) {
        let (mut driver, _) = self.open();
        driver.keep_all(records);
        driver.close();
    }

    /// Without the first: since when.
    fn records(&self) -> Vec<Record> {
        let (driver, opened) = self.open();
        driver.close();
        opened.records[1..].to_vec()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Vec<String> {
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
fn ahead(secs: u64) -> u64 {
    static START: LazyLock<UnixTime> = LazyLock::new(|| OsDisk.now());
    START.secs() + secs
}

fn with_txlist(record: Record, len: usize) -> Record {
    let Record::Committed(mut own) = record else { panic!("a commitment of ours") };
    own.txlist = Some(Bytes::from(vec![3; len]));
    Record::Committed(own)
}

/// One of each kind, in the order in which they come back.
fn all() -> Vec<Record> {
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

/// Changes the bytes of a text in a file.
fn spoil(path: &Path, text: &[u8]) {
    let mut bytes = fs::read(path).expect("there");
    let places: Vec<usize> = bytes.windows(text.len()).enumerate().filter(|(_, window)| *window == text).map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "nothing to spoil");
    places.iter().for_each(|at| bytes[at + text.len() / 2] ^= 1);
    fs::write(path, bytes).expect("ours");
}

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

#[test]
fn a_damaged_row_of_the_chain_takes_nothing_with_it() {
    let dir = Dir::new();
    dir.keep(all());
    let Record::TxList { txlist: list, .. } = txlist(1, 100) else { panic!("a txlist") };
    spoil(&dir.file("chain.redb"), &list);
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
            spoil(&dir.file("commitments.redb"), &own.signed.as_bytes()[..]);
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
    let dir = Dir::new();
    let said = [committed(own(1, ahead(100), 6, 5)), committed(own(1, ahead(100), 7, 5))];
    dir.keep(said.clone());
    let path = dir.file("commitments.redb");
    let whole = fs::read(&path).expect("there");
    let written: Vec<usize> = whole.iter().enumerate().filter(|(_, byte)| **byte != 0).map(|(at, _)| at).collect();
    for at in written.iter().step_by(written.len() / 200) {
        let mut bytes = whole.clone();
        bytes[*at] ^= 0x55;
        fs::write(&path, bytes).expect("ours");
        let (driver, opened) = match dir.open_with(&options()) {
            Ok(opened) => opened,
            Err(error) => panic!("byte {at}: {error}"),
        };
        driver.close();
        match opened.report.commitments {
            Commitments::Damaged(_) => {}
            Commitments::Intact => assert_eq!(opened.records[1..], said, "byte {at}"),
        }
    }
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

fn none() -> Interchange {
    let dir = Dir::new();
    dir.keep([]);
    export(&dir.0).expect("ours").0
}

#[test]
fn a_key_moves_with_all_that_it_committed_to() {
    let (dir, other) = (Dir::new(), Dir::new());
    let said: Vec<_> = (1..5).map(|number| committed(own(1, ahead(100), number, 0))).collect();
    dir.keep(said.clone());
    let (exported, flaws) = export(&dir.0).expect("ours");
    assert!(flaws.is_empty());
    let read = Interchange::from_json(&exported.to_json()).expect("our own");
    assert_eq!(read, exported);

    let imported = import(&other.0, &options(), &read).expect("a new directory");
    assert_eq!((imported.added, imported.known), (4, 0));
    let again = import(&other.0, &options(), &read).expect("the same again");
    assert_eq!((again.added, again.known), (0, 4));
    assert_eq!(other.records(), said);
    let (mut driver, _) = other.open();
    let Record::Committed(first) = &said[0] else { panic!("ours") };
    assert_eq!(driver.keep(committed(own(1, first.window_end(), 1, 7))), Err(StorageFailure::Io), "it binds here, too");
    driver.close();
}

#[test]
fn an_import_that_contradicts_or_lies_changes_nothing() {
    let (dir, other) = (Dir::new(), Dir::new());
    let end = ahead(100);
    dir.keep([committed(own(1, end, 1, 0)), committed(own(1, end, 2, 0))]);
    other.keep([committed(own(1, end, 2, 5))]);
    let (exported, _) = export(&dir.0).expect("ours");
    match import(&other.0, &options(), &exported) {
        Err(ImportError::Contradictions(contradictions)) => {
            let [contradiction] = &contradictions[..] else { panic!("{contradictions:?}") };
            assert_eq!((contradiction.block_number, contradiction.window_end), (2, end));
            assert_eq!((contradiction.kept, contradiction.offered), (own(1, end, 2, 5).hash(), own(1, end, 2, 0).hash()));
        }
        other => panic!("{other:?}"),
    }
    let spoiled = |spoil: &dyn Fn(&mut Interchange)| {
        let mut spoiled = exported.clone();
        spoil(&mut spoiled);
        import(&other.0, &options(), &spoiled).expect_err("a lie")
    };
    assert!(matches!(spoiled(&|form| form.chain_id = 8), ImportError::OtherChain { .. }));
    assert!(matches!(spoiled(&|form| form.domain = B256::ZERO), ImportError::OtherDomain { .. }));
    assert!(matches!(spoiled(&|form| form.version = 2), ImportError::Form { .. }));
    assert!(matches!(spoiled(&|form| form.commitments[1].block_number = 3), ImportError::Entry { at: 1, field: "block_number" }));
    assert!(matches!(spoiled(&|form| form.commitments[0].signer = address_of(&key(2))), ImportError::Entry { at: 0, field: "signer" }));
    assert!(matches!(spoiled(&|form| form.commitments[0].ssz.truncate(9)), ImportError::Entry { at: 0, field: "ssz" }));
    assert_eq!(other.records(), [committed(own(1, end, 2, 5))]);
}

#[test]
fn a_directory_is_shown_without_being_changed() {
    let dir = Dir::new();
    dir.keep(all());
    let before = fs::read(dir.file("chain.redb")).expect("there");
    let shown = inspect(&dir.0, None).expect("ours");
    assert!(shown.is_intact());
    assert_eq!(shown.committed().count(), 3);
    assert_eq!(shown.records[1..], all());
    let text = shown.to_string();
    assert!(text.contains("3 own commitments") && text.contains("commitments.redb is intact"), "{text}");
    assert_eq!(fs::read(dir.file("chain.redb")).expect("there"), before);
    assert!(matches!(inspect(dir.file("nowhere"), None), Err(OpenError::Disk { .. })));
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
