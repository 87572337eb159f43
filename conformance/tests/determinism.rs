//! Is a world decided by its seed alone?
//!
//! The same seed gives the same digest in two runs, in two processes, and with one and many threads for its jobs. `.ci/determinism` asks the
//! same of a debug and a release build.
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::process::Command;

use preconf_sim::scenario::{Change, Scenario};

fn digest(name: &str, seed: u64, job_threads: usize) -> String {
    let report = Scenario::named(name).unwrap().run(seed, &Change { job_threads, ..Change::default() });
    assert!(report.ok, "{name}: {:?}", report.violations);
    report.trace_digest
}

#[test]
fn the_same_seed_gives_the_same_digest_and_another_seed_another() {
    for name in ["calm", "partition_and_heal", "skewed_clocks", "sybil_and_eclipse"] {
        assert_eq!(digest(name, 3, 0), digest(name, 3, 0), "{name}");
        assert_ne!(digest(name, 3, 0), digest(name, 4, 0), "{name}");
    }
}

#[test]
fn as_many_threads_as_you_like_may_do_the_jobs() {
    for name in ["calm", "skewed_clocks", "malformed_flood"] {
        assert_eq!(digest(name, 5, 0), digest(name, 5, 1), "{name}: one thread");
        assert_eq!(digest(name, 5, 0), digest(name, 5, 4), "{name}: four threads");
    }
}

#[test]
fn another_process_gives_the_same_digest() {
    let output = Command::new(env!("CARGO_BIN_EXE_preconf-conformance")).args(["sim", "calm", "--seed", "3", "--json"]).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["trace_digest"], digest("calm", 3, 0));
}
