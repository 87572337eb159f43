//! A key moves, and a directory is looked at.

mod support;

use std::fs;

use preconf_core::{B256, Record, StorageFailure, address_of};
use preconf_store::{ImportError, Interchange, OpenError, export, import, inspect};
use support::dir::{Dir, ahead, all};
use support::{committed, key, options, own};

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
