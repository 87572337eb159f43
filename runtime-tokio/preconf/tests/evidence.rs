//! Does `preconf evidence verify` say who did what, or why nothing is proven, by words and exit status?
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use preconf_bundle::Bundle;
use preconf_core::{DEFAULT_DOMAIN, Evidence, Fault, PreconfCommitment, SecretKey, U256, address_of, sign};
use serde_json::json;

fn key() -> SecretKey {
    SecretKey::from_secret_bytes([1; 32]).unwrap()
}

/// Two blocks of one signer at number 7, said to be this fault.
fn bundle(fault: Fault) -> Bundle {
    let block = |eop| {
        let mut commitment = PreconfCommitment::default();
        commitment.preconf.block_number = U256::from(7);
        commitment.preconf.eop = eop;
        sign(commitment, &key(), DEFAULT_DOMAIN)
    };
    Bundle { domain: DEFAULT_DOMAIN, evidence: Evidence { fault, first: block(true), second: block(false) } }
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).unwrap();
    path
}

/// Exit status, stdout and stderr.
fn verify(path: PathBuf, more: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_preconf")).args(["evidence", "verify"]).arg(path).args(more).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_proof_names_the_signer_and_exits_0() {
    // P5.4
    let path = file("proof.json", &bundle(Fault::Equivocation).to_json().to_string());
    let (status, words, errors) = verify(path.clone(), &[]);
    assert_eq!((status, errors.as_str()), (Some(0), ""));
    let proven = format!("Proven: {} signed two different blocks with number 7.\n", address_of(&key()));
    assert!(words.starts_with(&proven) && words.contains("placeholder"), "{words}");
    assert_eq!(verify(path, &["--domain", &DEFAULT_DOMAIN.to_string()]).0, Some(0));
}

#[test]
fn a_line_of_preconf_run_verifies_as_it_is() {
    // P5.4
    let line = json!({"event": "evidence_found", "block_number": 7, "bundle": bundle(Fault::Equivocation).to_json()});
    assert_eq!(verify(file("line.json", &line.to_string()), &[]).0, Some(0));
}

#[test]
fn what_is_not_proven_says_why_and_exits_1() {
    // P5.4
    let path = file("no_proof.json", &bundle(Fault::AfterEop).to_json().to_string());
    let expected = "Not proven: block 7 does not come after block 7.\n";
    assert_eq!(verify(path, &[]), (Some(1), expected.to_owned(), String::new()));
}

#[test]
fn evidence_of_another_chain_proves_nothing_about_ours() {
    // P4.2
    let path = file("domain.json", &bundle(Fault::Equivocation).to_json().to_string());
    let (status, words, _) = verify(path, &["--domain", &"11".repeat(32)]);
    assert_eq!(status, Some(1));
    assert!(words.starts_with("Not proven: the bundle is of another signing domain"), "{words}");
}

#[test]
fn what_is_no_bundle_is_an_error_and_exits_2() {
    for (path, expected) in [
        (file("text.json", "proof!"), "not the JSON of a bundle"),
        (file("long.json", &" ".repeat(70_000)), "longer than 65536 bytes"),
        (PathBuf::from("no such file"), "cannot read no such file"),
    ] {
        let (status, words, errors) = verify(path, &[]);
        assert_eq!((status, words.as_str()), (Some(2), ""));
        assert!(errors.contains(expected), "{errors}");
    }
}
