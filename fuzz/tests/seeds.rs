//! Does every seed still reach what it was written for?
//!
//! `PRECONF_WRITE_CORPUS=1 cargo test` writes those that are missing or differ; without it one that is not committed fails the test.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use preconf_fuzz::seeds::{Input, STORIES, Story, inputs};
use preconf_fuzz::{Text, crypto, enr_and_config, machine_bytes_twice, sim_model, trace_reader};

#[test]
fn every_story_of_a_node_is_committed_and_reaches_what_it_was_written_for() {
    for story @ Story { name, reaches, .. } in STORIES {
        let bytes = story.bytes();
        let reached = machine_bytes_twice(&bytes);
        assert!(reaches(&reached), "{name} reaches {reached:?}");
        committed("machine_bytes", name, &bytes);
    }
}

#[test]
fn every_other_seed_is_committed() {
    let mut names = BTreeSet::new();
    for Input { target, name, bytes } in inputs() {
        committed(target, &name, &bytes);
        assert!(names.insert((target, name.clone())), "{target}/{name} is there twice");
    }
}

#[test]
fn together_they_prove_every_fault_and_meet_every_form_of_a_signature() {
    let signed: Vec<_> = of("crypto").map(|input| (input.name.clone(), crypto(&input.bytes))).collect();
    for (name, signed) in &signed {
        assert_eq!(signed.proven, ["equivocation", "block_after_eop", "broken_link"].contains(&name.as_str()), "{name}: {signed:?}");
    }
    assert!(signed.iter().any(|(_, signed)| signed.high_s), "no signature in its high-s form");
    assert!(signed.iter().any(|(_, signed)| !signed.recovered), "nothing that nobody signed");
}

#[test]
fn every_kind_of_text_is_taken_by_one_seed_and_refused_by_another() {
    let read: BTreeSet<Text> = of("enr_and_config").map(|input| enr_and_config(&input.bytes)).collect();
    let refusable = [
        Text::Subnet,
        Text::Address,
        Text::Evidence,
        Text::Config,
        Text::Lookahead,
        Text::NodeRecord,
        Text::OwnRecord,
        Text::Bootnode,
        Text::Scenario,
    ];
    for kind in refusable.into_iter().chain([Text::Records as fn(bool) -> Text, Text::Limits]) {
        assert!(read.contains(&kind(true)), "{:?} is never reached", kind(true));
    }
    for kind in refusable {
        assert!(read.contains(&kind(false)), "{:?} is never reached", kind(false));
    }
}

#[test]
fn traces_are_read_whole_cut_and_refused() {
    let told: Vec<_> = of("trace_reader").map(|input| trace_reader(&input.bytes)).collect();
    assert!(told.iter().any(|told| told.steps > 10 && !told.refused), "no whole trace");
    assert!(told.iter().any(|told| told.steps > 0 && told.refused), "no trace that is damaged behind its start");
    assert!(told.iter().any(|told| told.steps == 0 && told.refused), "nothing that is no trace");
}

#[test]
fn worlds_heal_from_cuts_restarts_and_strangers() {
    let lived: Vec<_> = of("sim_model").map(|input| sim_model(&input.bytes)).collect();
    assert!(lived.iter().all(|lived| lived.blocks == 12), "{lived:?}");
    assert!(lived.iter().any(|lived| lived.cuts >= 3) && lived.iter().any(|lived| lived.restarts >= 3), "{lived:?}");
    assert!(lived.iter().any(|lived| lived.poison >= 5), "{lived:?}");
}

fn of(target: &'static str) -> impl Iterator<Item = Input> {
    inputs().into_iter().filter(move |input| input.target == target)
}

/// The seed stands in the corpus, byte for byte.
fn committed(target: &str, name: &str, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    if std::env::var_os("PRECONF_WRITE_CORPUS").is_some() {
        fs::create_dir_all(&folder).expect("writable");
        fs::write(folder.join(name), bytes).expect("writable");
    }
    assert_eq!(fs::read(folder.join(name)).ok().as_deref(), Some(bytes), "{target}/{name} is not committed as it is written");
}
