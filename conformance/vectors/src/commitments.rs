//! `commitments.json`: encodings, hashes, signatures (P3.1, P3.2, P4.1–P4.5) and the one rule on a commitment alone (C3).

use preconf_core::{
    Address, B256, ChainId, MessageId, PreconfCommitment, Preconfirmation, SecretKey, SignedCommitment, Topic, address_of, is_high_s,
    message_id, preconfirmation_hash, recover, sign, signing_hash,
};
use serde::Deserialize;

use super::report::{Problem, Tally, Unreadable, consistent, same};
use super::text::{Decimal, Hex, HexArray};
use super::verdict;

/// Messages of a possible shape are named alike on every chain (P4.5), so any id will do.
const ANY_CHAIN: ChainId = ChainId(1);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    cases: Vec<Row>,
    chain: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    preconfirmation: Fields,
    slasher_address: HexArray<20>,
    secret_key: HexArray<32>,
    signer: HexArray<20>,
    ssz_preconfirmation: Hex,
    preconfirmation_hash: HexArray<32>,
    ssz_commitment: Hex,
    signatures: Vec<Signature>,
    eop_only: bool,
    basic_rules_hold: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    eop: bool,
    block_number: Decimal,
    timestamp: Decimal,
    gas_limit: Decimal,
    coinbase: HexArray<20>,
    anchor_block_number: Decimal,
    raw_tx_list_hash: HexArray<32>,
    parent_preconfirmation_hash: HexArray<32>,
    submission_window_end: Decimal,
    prover_auth: HexArray<20>,
    proposal_id: Decimal,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    domain: HexArray<32>,
    signing_hash: HexArray<32>,
    signature: HexArray<65>,
    ssz_signed_commitment: Hex,
    message_id: HexArray<20>,
}

pub(super) fn run(text: &[u8]) -> Result<Tally, Unreadable> {
    let file: File = serde_json::from_slice(text)?;
    let mut tally = Tally::default();
    tally.check(&file.cases, |row| &row.name, check);
    tally.check(&file.chain, |row| &row.name, check);
    tally.check(&[file.chain], |_| "links of the chain", |chain| check_links(chain));
    Ok(tally)
}

/// The chain's commitments, each with its first signature; none when the file cannot be read, which its own run reports.
pub(super) fn chain(text: &[u8]) -> Vec<SignedCommitment> {
    let Ok(file) = serde_json::from_slice::<File>(text) else { return Vec::new() };
    let first = |row: &Row| SignedCommitment::decode(&row.signatures.first()?.ssz_signed_commitment.0).ok();
    file.chain.iter().filter_map(first).collect()
}

fn check(row: &Row) -> Result<(), Problem> {
    let commitment = PreconfCommitment { preconf: row.preconfirmation.to_core(), slasher_address: row.slasher_address.0.into() };
    let key = SecretKey::from_secret_bytes(row.secret_key.0).map_err(|_| Problem::Contradiction("the secret key is none"))?;
    let signer = Address::from(row.signer.0);
    same("signer of the key", &signer, &address_of(&key))?; // P4.3
    consistent(!row.signatures.is_empty(), "there is no signature")?;
    for signature in &row.signatures {
        let signed = SignedCommitment::new(commitment.clone(), signature.signature.0);
        check_hashes(row, &signed)?;
        check_signature(signature, &signed, signer)?;
        same("signature made anew", &signature.signature.0[..], sign(commitment.clone(), &key, signature.domain.0.into()).signature())?;
    }
    Ok(())
}

fn check_hashes(row: &Row, signed: &SignedCommitment) -> Result<(), Problem> {
    same("preconfirmation's bytes", &row.ssz_preconfirmation.0[..], signed.preconfirmation_preimage())?; // P3.2
    same("commitment's bytes", &row.ssz_commitment.0[..], signed.signing_preimage())?;
    same("preconfirmation hash", &B256::from(row.preconfirmation_hash.0), &preconfirmation_hash(signed))?; // P4.1
    same("is an end of preconfirmation alone", &row.eop_only, &(signed.preconf().eop && !signed.preconf().has_txlist()))?; // P5.3
    same("basic rules hold", &row.basic_rules_hold, &verdict::basic_rules_hold(signed)) // C3
}

fn check_signature(signature: &Signature, signed: &SignedCommitment, signer: Address) -> Result<(), Problem> {
    let domain = B256::from(signature.domain.0);
    same("signed commitment's bytes", &signature.ssz_signed_commitment.0[..], signed.as_bytes())?;
    same("signed commitment's fields", &Ok(signed.clone()), &SignedCommitment::decode(&signature.ssz_signed_commitment.0))?; // P3.1
    same("signing hash", &B256::from(signature.signing_hash.0), &signing_hash(signed, domain))?; // P4.2
    same("high s", &false, &is_high_s(signed))?; // P4.4
    same("recovered signer", &Some(signer), &recover(signed, domain))?; // P4.3
    let name = message_id(ANY_CHAIN, Topic::Commitments, signed.as_bytes());
    same("message id", &MessageId(signature.message_id.0), &name) // P4.5
}

fn check_links(chain: &[Row]) -> Result<(), Problem> {
    let zero = HexArray([0; 32]);
    same("parent of the first", &chain.first().map_or(zero, |row| row.preconfirmation.parent_preconfirmation_hash), &zero)?;
    for pair in chain.windows(2) {
        let [parent, child] = pair else { continue };
        same("parent", &child.preconfirmation.parent_preconfirmation_hash, &parent.preconfirmation_hash)?;
        let next = parent.preconfirmation.block_number.0.wrapping_add(preconf_core::U256::ONE);
        same("block number", &child.preconfirmation.block_number.0, &next)?;
    }
    Ok(())
}

impl Fields {
    fn to_core(&self) -> Preconfirmation {
        Preconfirmation {
            eop: self.eop,
            block_number: self.block_number.0,
            timestamp: self.timestamp.0,
            gas_limit: self.gas_limit.0,
            coinbase: self.coinbase.0.into(),
            anchor_block_number: self.anchor_block_number.0,
            raw_tx_list_hash: self.raw_tx_list_hash.0.into(),
            parent_preconfirmation_hash: self.parent_preconfirmation_hash.0.into(),
            submission_window_end: self.submission_window_end.0,
            prover_auth: self.prover_auth.0.into(),
            proposal_id: self.proposal_id.0,
        }
    }
}
