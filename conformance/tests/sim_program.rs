//! What does `preconf-conformance sim` say, by its output and its exit status?
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::rc::Rc;

use preconf_report::{Report, Spectator, Summary};
use preconf_sim::scenario::{Change, Scenario};
use serde_json::Value;

/// An empty folder of a test's own.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sim").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn sim(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_preconf-conformance")).arg("sim").args(arguments).current_dir(folder).output().unwrap()
}

fn says(output: &Output, words: &[&str]) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(words.iter().all(|word| told.contains(word)), "{told}");
}

#[test]
fn the_json_object_has_exactly_the_agreed_fields() {
    let output = sim(&folder("json"), &["calm", "--seconds", "20", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let mut agreed =
        ["ok", "scenario", "seed", "nodes", "virtual_s", "wall_s", "steps", "trace_digest", "violations", "propagation_ms", "bans"];
    agreed.sort_unstable();
    assert_eq!(keys(&report), agreed);
    assert_eq!(keys(&report["propagation_ms"]), ["p50", "p99"]);
    assert_eq!(keys(&report["bans"]), ["honest", "hostile"]);
    assert!(report["propagation_ms"]["p50"].as_f64().unwrap() > 1.0, "{report}");
}

#[test]
fn what_cannot_be_written_is_an_error_that_names_it() {
    let folder = folder("unwritable");
    fs::write(folder.join("file"), "in the way").unwrap();
    for (flag, path) in [("--trace", "file"), ("--trace", "file/traces"), ("--html", "nowhere/page.html"), ("--html", ".")] {
        let output = sim(&folder, &["calm", "--seconds", "20", flag, path]);
        assert!(!output.status.success(), "{flag} {path}");
        says(&output, &["error: ", path, " cannot be written"]);
        assert!(output.stdout.is_empty(), "nothing was played: {output:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_trace_that_does_not_fit_on_the_disk_is_an_error_that_names_it() {
    let folder = folder("full");
    fs::create_dir(folder.join("traces")).unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.join("traces/node-1.trace")).unwrap();
    let output = sim(&folder, &["calm", "--seconds", "20", "--trace", "traces", "--html", "page.html"]);
    assert!(!output.status.success());
    says(&output, &["traces/node-1.trace cannot be written"]);
    assert!(folder.join("traces/node-0.trace").metadata().unwrap().len() > 1_000, "the others are whole");
    assert!(fs::read_to_string(folder.join("page.html")).unwrap().ends_with("</html>\n"), "and so is the page");
}

#[test]
fn a_failing_seed_says_how_to_repeat_it() {
    let folder = folder("failing");
    fs::create_dir(folder.join("seeds")).unwrap();
    // One second is too short for a block, which is no fault of anybody's.
    let output = sim(&folder, &["calm", "--seed", "3", "--seconds", "1", "--nodes", "3"]);
    assert!(!output.status.success());
    let again = "repeat with: cargo run --release -p preconf-conformance -- sim calm --seed 3 --nodes 3 --seconds 1";
    says(&output, &["blocks_a_minute", again]);
    assert!(!folder.join("seeds/calm.txt").exists(), "nothing is noted");
}

#[test]
fn a_defence_that_is_not_there_cannot_be_switched_off() {
    let output = sim(&folder("defenceless"), &["calm", "--without-defence"]);
    assert!(!output.status.success());
    says(&output, &["calm has no", "defence"]);
}

#[test]
fn the_object_and_the_page_count_propagation_alike() {
    // Restarts, L1 reorgs, hostile blocks: what was counted once here and twice there.
    for name in ["half_restart", "l1_reorg", "equivocating_preconfer", "sybil_and_eclipse"] {
        let spectator = Rc::new(RefCell::new(Spectator::default()));
        let change = Change { seconds: Some(60), ..Change::default() };
        let report = Scenario::named(name).unwrap().run_with(1, &change, |world| world.observe(spectator.clone()), |_| {});
        let page = Report::new(Summary::default(), spectator.take().into_timeline());
        assert_eq!(page.json()["propagation_ms"], serde_json::to_value(report.propagation_ms).unwrap(), "{name}");
        assert!(report.propagation_ms.p99.is_some(), "{name}");
    }
}
