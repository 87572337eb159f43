//! Does every seed still reach what it was written for?
//!
//! `PRECONF_WRITE_CORPUS=1 cargo test` writes those that are missing or differ; without it one that is not committed fails the test.

use std::fs;
use std::path::Path;

use preconf_fuzz::machine_bytes;
use preconf_fuzz::seeds::{STORIES, Story};

#[test]
fn every_story_of_a_node_is_committed_and_reaches_what_it_was_written_for() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/machine_bytes");
    for story @ Story { name, reaches, .. } in STORIES {
        let bytes = story.bytes();
        let reached = machine_bytes(&bytes);
        println!("{name}: {} bytes, {reached:?}", bytes.len());
        assert!(reaches(&reached), "{name} reaches {reached:?}");
        if std::env::var_os("PRECONF_WRITE_CORPUS").is_some() {
            fs::create_dir_all(&folder).expect("writable");
            fs::write(folder.join(name), &bytes).expect("writable");
        }
        assert_eq!(fs::read(folder.join(name)).ok(), Some(bytes), "{name} is not committed as it is written");
    }
}
