//! What does durability cost? A measurement, to be run by hand on the disk that is meant:
//!
//! ```text
//! TMPDIR=/var/lib cargo test --release -p preconf-store --features redb --test cost -- --ignored --nocapture
//! ```

mod support;

use std::time::{Duration, Instant};

use preconf_core::Record;
use preconf_store::RedbStore;
use support::{Driver, committed, options, own, stored, txlist};

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("{what}: p50 {:?}, p99 {:?}, most {:?}", at(50), at(99), at(100));
}

#[test]
#[ignore = "a measurement"]
fn what_durability_costs() {
    let dir = std::env::temp_dir().join(format!("preconf-store-cost-{}", std::process::id()));
    let open = || RedbStore::open(&dir, &options()).expect("a directory of our own");
    let mut driver = Driver::new(open().0);
    let mut keep = |record: Record| {
        let start = Instant::now();
        assert_eq!(driver.keep(record), Ok(()));
        start.elapsed()
    };
    print("a commitment of ours", (0..1000).map(|number| keep(committed(own(1, 4_000_000_000, number, 0)))).collect());
    print("a commitment of the chain", (0..3840).map(|number| keep(stored(number, 0))).collect());
    print("a txlist of 64 KiB", (0..4200).map(|name| keep(txlist(name, 64 << 10))).collect());
    print("a commitment of ours, after these", (1000..2000).map(|number| keep(committed(own(1, 4_000_000_000, number, 0)))).collect());
    driver.close();
    let start = Instant::now();
    let (store, opened) = open();
    println!("opened after {:?}, with {} records", start.elapsed(), opened.records.len());
    Driver::new(store).close();
    std::fs::remove_dir_all(&dir).expect("ours");
}
