//! `txlists.json`: transaction lists as gossip carries them (P3, T1, T4, P4.5).

use preconf_core::{B256, Bytes, ChainId, MAX_TXLIST_BYTES, MessageId, RawTxList, Topic, keccak256, message_id};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::gossip;
use super::message_ids::{plain_name, shapeless_name};
use super::report::{Problem, Tally, Unreadable, consistent, same};
use super::text::{Hex, HexArray};
use super::verdict::{self, Verdict};

/// Messages of a possible shape are named alike on every chain (P4.5), so any id will do.
const ANY_CHAIN: ChainId = ChainId(1);
/// Longest txlist that a row may ask us to make, in bytes. Ours: some beyond the gossip cap.
const MAX_MADE_BYTES: usize = 16 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    literal: Vec<Literal>,
    by_rule: Vec<ByRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Literal {
    name: String,
    txlist: Hex,
    hash: HexArray<32>,
    ssz: Hex,
    gossip_verdict: Verdict,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ByRule {
    size: usize,
    byte_i: Rule,
    hash: HexArray<32>,
    ssz_length: usize,
    ssz_sha256: HexArray<32>,
    gossip_verdict: Verdict,
    message_id: HexArray<20>,
}

#[derive(Clone, Copy, Deserialize)]
enum Rule {
    #[serde(rename = "i mod 251")]
    IndexMod251,
}

pub(super) fn run(text: &[u8]) -> Result<Tally, Unreadable> {
    let file: File = serde_json::from_slice(text)?;
    let mut tally = Tally::default();
    tally.check(&file.literal, |row| &row.name, check_literal);
    tally.check(&file.by_rule, |_| "a txlist by rule", check_by_rule);
    Ok(tally)
}

fn check_literal(row: &Literal) -> Result<(), Problem> {
    let list = RawTxList { hash: row.hash.0.into(), txlist: Bytes::from(row.txlist.0.clone()) };
    let ssz = Bytes::from(row.ssz.0.clone());
    same("bytes", &ssz, &list.encode())?;
    same("bytes read back", &Ok(list), &RawTxList::decode(&ssz, MAX_TXLIST_BYTES))?;
    same("gossip verdict", &row.gossip_verdict, &verdict::of_txlist(&ssz))?;
    gossip::check_txlist(&ssz, row.gossip_verdict)
}

fn check_by_rule(row: &ByRule) -> Result<(), Problem> {
    consistent(row.size <= MAX_MADE_BYTES, "a txlist that no message could carry")?;
    let Rule::IndexMod251 = row.byte_i;
    let txlist: Bytes = (0..row.size).map(|i| (i % 251) as u8).collect();
    same("hash", &B256::from(row.hash.0), &keccak256(&txlist))?;
    let ssz = RawTxList { hash: row.hash.0.into(), txlist }.encode();
    same("length", &row.ssz_length, &ssz.len())?;
    same("SHA-256 of the bytes", &row.ssz_sha256.0[..], &Sha256::digest(&ssz)[..])?;
    same("gossip verdict", &row.gossip_verdict, &verdict::of_txlist(&ssz))?;
    gossip::check_txlist(&ssz, row.gossip_verdict)?;
    let (expected, found) = (MessageId(row.message_id.0), message_id(ANY_CHAIN, Topic::TxLists, &ssz));
    if row.gossip_verdict == Verdict::DecodeError {
        // P4.5a: over the cap the shape is impossible, and the topic has its part in the name. The vector gives the name without it.
        same("message id without its topic", &expected, &plain_name(&ssz))?;
        return same("message id", &shapeless_name(&Topic::TxLists.name(ANY_CHAIN), &ssz), &found);
    }
    same("message id", &expected, &found)
}
