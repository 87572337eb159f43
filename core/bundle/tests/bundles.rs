//! Does a bundle carry evidence whole, and is what is no bundle told by name?
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use preconf_bundle::{Bundle, BundleError};
use preconf_core::{B256, Evidence, Fault, NoProof, PreconfCommitment, SecretKey, U256, address_of, sign};
use serde_json::{Value, json};

const DOMAIN: B256 = B256::repeat_byte(0x77);

fn key() -> SecretKey {
    SecretKey::from_secret_bytes([1; 32]).unwrap()
}

/// Two blocks of one signer at number 7.
fn bundle() -> Bundle {
    let block = |eop| {
        let mut commitment = PreconfCommitment::default();
        commitment.preconf.block_number = U256::from(7);
        commitment.preconf.eop = eop;
        sign(commitment, &key(), DOMAIN)
    };
    Bundle { domain: DOMAIN, evidence: Evidence { fault: Fault::Equivocation, first: block(false), second: block(true) } }
}

/// The bundle's JSON with one field changed.
fn with(field: &str, value: Value) -> Result<Bundle, BundleError> {
    let mut json = bundle().to_json();
    json[field] = value;
    Bundle::from_json(json)
}

#[test]
fn a_bundle_reads_back_and_proves_the_same() {
    // P5.4
    let text = bundle().to_json().to_string();
    let read: Bundle = text.parse().unwrap();
    assert_eq!(read, bundle());
    assert_eq!(read.verify().unwrap().signer, address_of(&key()));
}

#[test]
fn under_another_domain_it_accuses_nobody() {
    // P4.2, P5.4
    let read = with("domain", json!(B256::ZERO.to_string())).unwrap();
    assert!(matches!(read.verify(), Err(NoProof::TwoSigners { .. } | NoProof::BadSignature(_))));
}

#[test]
fn a_fault_that_did_not_happen_is_not_proven() {
    let read = with("fault", json!("block_after_eop")).unwrap();
    assert_eq!(read.verify(), Err(NoProof::NoEop));
}

#[test]
fn what_is_no_bundle_is_told_by_name() {
    let text = |error: Result<Bundle, BundleError>| error.unwrap_err().to_string();
    assert!(text(with("fault", json!("theft"))).contains("\"theft\" is no fault"));
    assert!(text(with("version", json!(2))).contains("version 2"));
    assert!(text(with("format", json!("other"))).contains("other version 1"));
    assert!(text(with("signer", json!("0x01"))).contains("unknown field `signer`"), "what is not read is not believed");
    assert!(text(with("first", json!("0x00"))).contains("first: 382 bytes are expected"));
    assert!(text(with("domain", json!("0xzz"))).contains("domain: 32 bytes"));
    assert!(text(with("second", json!("02".repeat(382)))).starts_with("second: no signed commitment"));
    assert!(text("not json".parse()).starts_with("not the JSON of a bundle"));
    assert!(text("[]".parse()).starts_with("not the JSON of a bundle"));
    let whole = bundle().to_json();
    let values = ["format", "version", "fault", "domain", "first", "second"].map(|field| whole[field].clone());
    assert!(text(Bundle::from_json(json!(values))).contains("an object is expected"), "bare values are no bundle");
}
