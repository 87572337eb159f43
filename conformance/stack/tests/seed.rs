//! Does a seed decide everything, and does every committed scenario read?
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::process::Command;

use preconf_stack::{Report, Scenario, scenario};

/// One run in a process of its own, as the program is used.
fn run(line: &[&str]) -> Report {
    let output = Command::new(env!("CARGO_BIN_EXE_preconf-stack")).args(line).arg("--json").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(text.lines().last().unwrap_or_default())
        .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

fn digests(report: &Report) -> [&str; 3] {
    [&report.trace_digest, &report.wire_digest, &report.schedule_digest]
}

#[test]
fn a_seed_decides_every_event_every_byte_and_every_turn() {
    for name in ["five", "restarts"] {
        let line = [name, "--seconds", "30", "--seed", "7"];
        let (first, second) = (run(&line), run(&line));
        assert_eq!(digests(&first), digests(&second), "{name}");
        let other = run(&[name, "--seconds", "30", "--seed", "8"]);
        for (one, another) in digests(&first).into_iter().zip(digests(&other)) {
            assert_ne!(one, another, "{name}: another seed is another world");
        }
    }
}

#[test]
fn five_real_nodes_have_every_block_by_gossip() {
    let report = run(&["five", "--seed", "1"]);
    assert!(report.ok, "{:?}", report.violations);
    assert_eq!((report.nodes, report.blocks), (5, 30));
    assert!(
        report.by_gossip.is_some_and(|share| share >= 0.98) && report.useful_share > 0.1 && report.traffic.bytes > 100_000,
        "{report:?}"
    );
}

#[test]
fn what_the_stack_cannot_play_is_refused_by_name() {
    assert!(scenario::all().len() >= 10);
    let error = Scenario::find("malformed_flood").unwrap_err().to_string();
    assert!(error.contains("malformed_flood") && error.contains("hostile peers"), "{error}");
    let error = Scenario::read("mine", "about = \"x\"\nseconds = 5\nsettle_s = 5\n[stack]\nuplink = 3\n").unwrap_err().to_string();
    assert!(error.contains("mine") && error.contains("uplink"), "{error}");
    assert!(Scenario::find("no such thing").unwrap_err().to_string().contains("--list"));
}

#[test]
fn the_first_event_that_differs_is_named() {
    let file = std::env::temp_dir().join(format!("preconf-stack-events-{}", std::process::id()));
    let path = file.to_str().unwrap();
    let program = || Command::new(env!("CARGO_BIN_EXE_preconf-stack"));
    let written = program().args(["five", "--seconds", "10", "--seed", "3", "--events", path]).output().unwrap();
    assert!(!std::fs::read_to_string(&file).unwrap().is_empty(), "{written:?}");
    let same = program().args(["five", "--seconds", "10", "--seed", "3", "--diff", path]).output().unwrap();
    assert!(String::from_utf8(same.stdout).unwrap().contains("the same "), "of one seed");
    let other = program().args(["five", "--seconds", "10", "--seed", "4", "--diff", path]).output().unwrap();
    let other = String::from_utf8(other.stdout).unwrap();
    assert!(other.contains("there:") && other.contains("here:"), "{other}");
    std::fs::remove_file(&file).unwrap();
}
