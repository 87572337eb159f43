//! The program says by its exit status whether the vectors hold.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[test]
fn exits_0_for_the_committed_vectors_and_prints_a_line_for_each_file() {
    let output = vectors(&committed(), &[]);
    let table = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{table}");
    assert_eq!(table.lines().count(), 1 + 9 + 1, "{table}");
}

#[test]
fn prints_one_object_when_asked_for_json() {
    let output = vectors(&committed(), &["--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON value and nothing else");
    assert_eq!(report["ok"], true);
    assert_eq!(report["failed"], 0);
    assert_eq!(report["files"].as_array().map(Vec::len), Some(9));
}

#[test]
fn exits_1_for_one_flipped_digit_and_names_the_row() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("flipped_digit");
    fs::create_dir_all(&dir).expect("writable");
    let entries = fs::read_dir(committed()).expect("committed").map(|entry| entry.expect("committed").path());
    for path in entries.filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
        fs::copy(&path, dir.join(path.file_name().expect("a file"))).expect("writable");
    }
    let ids = dir.join("ids.json");
    let text = fs::read_to_string(&ids).expect("committed").replacen("/taiko/167009/0/rawTxLists", "/taiko/167008/0/rawTxLists", 1);
    fs::write(&ids, text).expect("writable");
    let output = vectors(&dir, &[]);
    assert_eq!(output.status.code(), Some(1));
    let table = String::from_utf8(output.stdout).expect("text");
    assert!(table.contains("/taiko/167009/0/preconfirmationCommitments: topic of txlists"), "{table}");
}

#[test]
fn exits_1_for_a_folder_that_is_not_there() {
    let output = vectors(&committed().join("nowhere"), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty() && !output.stderr.is_empty());
}

fn vectors(dir: &Path, more: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_preconf-conformance");
    Command::new(program).arg("vectors").arg(dir).args(more).output().expect("the program starts")
}

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}
